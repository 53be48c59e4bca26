from __future__ import annotations

from dataclasses import replace

import pytest
from test_ladder import SITES, exact, falling, measured

from unweave.decompose.ladder_figures import spectrum_figures
from unweave.decompose.ladder_report import save_ladder, write_ladder
from unweave.decompose.ladder_tables import OURS, SHUFFLED, attacks_table, controls_table, rungs_table, spectrum_table
from unweave.decompose.stability import Compared, matched_cosine
from unweave.record import Run, Table, audit_run


@pytest.fixture(scope="module")
def written(pristine, tokens, tmp_path_factory):
    """A run with everything, of a decomposition and another one."""
    llama = pristine["llama"]
    made = exact(llama, falling)
    ladder = measured(llama, made, tokens, attack_steps=(2, 20, 25))
    other = measured(llama, exact(llama), tokens, controls=())
    compared = {"other": Compared(other, matched_cosine(made, made))}
    run = Run.create("evaluate", {"windows": 1}, tmp_path_factory.mktemp("runs"))
    save_ladder(run, "mine", ladder, compared)
    page = write_ladder(run, made, "mine", ladder, compared)
    return run, ladder, page


def test_every_table_and_figure_of_the_page_is_there_and_the_audit_finds_nothing(written):
    run, _, page = written
    assert page == run.path / "report.html"
    assert run.tables() == ["attacks", "compared", "controls", "ladder", "matches", "sites", "spectrum"]
    assert set(run.figures()) == {
        "ladder",
        "control-svd",
        "control-random",
        "attacks",
        "l0",
        "spectrum-0",
        "spectrum-1",
        "hidden-error",
        "matched",
    }
    assert audit_run(run) == []
    content = page.read_text(encoding="utf-8")
    for name in run.figures():
        assert f'id="figure-{name}"' in content
    for name in ("ladder", "controls", "attacks", "sites", "compared", "matches"):
        assert f'id="table-{name}"' in content


def test_captions_say_what_the_adversary_has_read(pristine, tokens):
    llama = pristine["llama"]
    ladder = measured(llama, exact(llama, falling), tokens, attack_steps=(1,), attack_windows=2)
    for table in (attacks_table(ladder), controls_table(ladder)):
        assert table.caption.endswith(" The adversary reads 2 windows: 20 of the 30 tokens.")
    assert "all tokens" not in attacks_table(ladder).caption
    none = measured(llama, exact(llama), tokens)
    assert "The adversary reads" not in attacks_table(none).caption + controls_table(none).caption


def test_beside_shuffled_weights_alone_the_page_has_their_row_and_no_matching(pristine, tokens, tmp_path):
    llama = pristine["llama"]
    ladder = measured(llama, exact(llama, falling), tokens)
    compared = {SHUFFLED: Compared(measured(llama, exact(llama), tokens, controls=()))}
    run = Run.create("evaluate", {}, tmp_path)
    save_ladder(run, "mine", ladder, compared)
    page = write_ladder(run, exact(llama), "mine", ladder, compared).read_text(encoding="utf-8")
    assert "matches" not in run.tables()
    table = run.load_table("compared")
    assert table.column("decomposition") == ("mine", SHUFFLED)
    assert "matched" not in table.columns
    assert 'id="table-compared"' in page
    assert audit_run(run) == []


def test_the_page_says_whether_it_passed_and_where_not(written):
    _, ladder, page = written
    content = page.read_text(encoding="utf-8")
    assert ladder.failures
    assert all(f"It fails: {failure}." in content.replace("&#x27;", "'") for failure in ladder.failures)
    assert "It passes" not in content


def test_claims_are_of_the_ladders_own_cells(written):
    run, ladder, _ = written
    values = {claim.sentence: claim.value for claim in run.claims()}
    kl = ladder.rung("importance").kl
    assert values[f"Under importance masks KL is {kl:.3f} nats a token."] == kl
    svd = ladder.controls[0].rung("stochastic").kl
    assert values[f"KL of the SVD's pieces, as many a token, under stochastic masks is {svd:.3f} nats a token."] == svd


def test_controls_stand_beside_the_decomposition_in_one_table(written):
    _, ladder, _ = written
    rows = controls_table(ladder).records()
    kinds = ["importance", "stochastic", "adversary, 2 steps", "adversary, 20 steps"]
    assert [(row["masks"], row["pieces"]) for row in rows] == [(m, p) for m in kinds for p in (OURS, "svd", "random")]
    last = rows[-1]
    assert last["kl"] == ladder.controls[1].attacks[20]
    assert last["times"] == pytest.approx(ladder.controls[1].attacks[20] / ladder.attacks[20])
    assert rows[0]["active"] == sum(site.nonzero for site in ladder.sites)
    assert rows[1]["active"] == ladder.controls[0].active
    masks = [(row["masks"], row["pieces"]) for row in rungs_table(ladder).records()]
    assert masks[:2] == [("target", OURS), ("unmasked", OURS)]
    assert masks[-4:] == [(m, p) for p in ("svd", "random") for m in ("importance", "stochastic")]


def test_the_spectrum_is_sorted_and_leaves_out_what_was_never_needed(written):
    _, ladder, _ = written
    table = spectrum_table(ladder)
    for site in SITES["llama"]:
        rows = [row for row in table.records() if row["site"] == site]
        means = [row["mean_importance"] for row in rows]
        assert means == sorted(means, reverse=True)
        assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
        assert len(rows) == sum(mean > 0 for mean in ladder.mean_importances[site]) == 25


def test_spectra_are_drawn_block_by_block_thinned_and_never_too_many_in_one():
    sites = [f"model.layers.{block}.mlp.{matrix}" for block in (0, 1) for matrix in "abcdefghij"] + ["head"]
    rows = [(site, rank, 1 / rank) for site in sites for rank in range(1, 301)]
    figures = spectrum_figures(Table("spectrum", ("site", "rank", "mean_importance"), tuple(rows)))
    drawn = [sorted({rows[row][0] for row in figure.spec.rows}) for figure in figures.values()]
    assert drawn == [sites[:8], sites[8:10], sites[10:18], sites[18:20], ["head"]]
    ranks = [rows[row][1] for row in figures["spectrum-4"].spec.rows]
    assert len(ranks) == 120
    assert (ranks[0], ranks[-1]) == (1, 300)


def test_a_ladder_without_controls_attacks_or_anything_recovered_still_makes_a_page(pristine, tokens, tmp_path):
    llama = pristine["llama"]
    made = exact(llama)
    ladder = replace(measured(llama, made, tokens, controls=()), mean_importances={})
    run = Run.create("evaluate", {}, tmp_path)
    save_ladder(run, "mine", ladder, {})
    page = write_ladder(run, made, "mine", ladder)
    assert set(run.figures()) == {"ladder", "l0", "hidden-error"}
    assert "No controls were measured" in page.read_text(encoding="utf-8")
    assert audit_run(run) == []
