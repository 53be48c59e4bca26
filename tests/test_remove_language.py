from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from functools import partial
from operator import itemgetter
from types import SimpleNamespace

import planted
import pytest
import torch

from unweave.base.configs import plain_config
from unweave.base.errors import NothingFound, UnweaveError
from unweave.corpora import bundled, files
from unweave.corpora import windows as windows_module
from unweave.corpora.files import load_corpus
from unweave.corpora.text import PARTS, Corpus
from unweave.corpora.windows import random_groups, token_windows
from unweave.decompose import site_local
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.run import decompose
from unweave.edit import continuations, methods, persistence
from unweave.edit import setting as setting_module
from unweave.edit.edits import applied
from unweave.edit.export import export_peft
from unweave.lab.audit.auditor import audit_folder
from unweave.models.load import load_target
from unweave.record.audit import audit_run
from unweave.record.run import Run, RunCancelled
from unweave.record.seal import check_seal
from unweave.studies.registry import find_study
from unweave.studies.removal_bench import doubts
from unweave.studies.removal_report import _frontiers
from unweave.studies.removal_tables import cost_table
from unweave.studies.remove_language import QUICK, RECORD, RemoveLanguage, _seeds, edits_of, plan, remove_language

METHODS = ("factor", "ablation", "lora-1-here", "least-variance")
OTHERS = ("qa", "qc", "qd")


def second_genre():
    """A declaration in two of the corpus's languages, one that is left out, and one that the target does not know."""
    texts = {label: planted.text(label, 30, 77) for label in ("qa", "qb", planted.STRANGER)}
    noise = torch.randint(2, len(planted.words()), (800,), generator=torch.Generator().manual_seed(0))
    texts["qz"] = " ".join(planted.words()[token] for token in noise)
    return Corpus("declaration", {"evaluation": {label: (text,) for label, text in texts.items()}})


@pytest.fixture(scope="module", autouse=True)
def declaration():
    """The Declaration is replaced for the whole file: nothing in it is a planted language."""
    with pytest.MonkeyPatch.context() as patch:
        corpus = second_genre()
        patch.setattr(bundled, "declaration", lambda: corpus)
        yield corpus


@pytest.fixture(scope="module", autouse=True)
def short_continuations():
    """Every run that reports writes some: half as long tells as much here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(continuations, "continuations", partial(continuations.continuations, length=12))
        yield


@pytest.fixture(scope="module")
def config(planted_target_folder, planted_corpus, planted_decomposition_folder):
    return RemoveLanguage(
        language=planted.REMOVED,
        retain=planted.RETAINED,
        target=str(planted_target_folder),
        corpus=str(planted_corpus),
        decomposition=str(planted_decomposition_folder),
        methods=METHODS,
        seeds=2,
        windows=8,
        selection_windows=16,
        left_out=("all",),
        device="cpu",
    )


def run_in(root, config, name="one"):
    return Run.create("remove-language", plain_config(config), root=root, name=name)


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """The study with everything it writes, run once."""
    with run_in(tmp_path_factory.mktemp("runs"), config) as run:
        removal = remove_language(config, run)
    return run, removal


def cell(removal, method, seed=0, strict=False):
    key = (method, seed, strict)
    (found,) = [row for row in removal.cells if (row["method"], row["seed"], row["strict"]) == key]
    return found


def realised(target, windows):
    tokens = torch.as_tensor(windows)
    with torch.no_grad():
        logits = target.logits(tokens)[:, :-1]
    return float(torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:]))


def without_time(cells):
    """Cells as they come back from a run, without the seconds."""
    return json.loads(json.dumps([{key: value for key, value in row.items() if key != "seconds"} for row in cells]))


def test_one_number_removes_the_label_and_hardly_touches_the_others(finished, config):
    _, removal = finished
    assert removal.site == planted.SITE
    assert removal.plain_label.startswith("only qb: ")
    for seed in range(config.seeds):
        effects = cell(removal, "factor", seed)["effects"]
        own = effects["qb"]
        assert own["base"] < 0.4 * removal.ceiling
        assert own["edited"] >= 0.85 * removal.ceiling
        assert own["entropy"] > 0.3 * removal.ceiling
        for label in OTHERS:
            assert effects[label]["base"] < 0.4 * removal.ceiling
            assert effects[label]["change"] < 0.25 * own["change"]


def test_ablation_and_the_other_methods_stand_beside_it(finished):
    _, removal = finished
    ablation = cell(removal, "ablation")
    assert (ablation["budget"], ablation["loss_tokens"], ablation["detail"]) == (0, 0, {"factor": 0.0})
    half = ablation["effects"]["qb"]
    assert 0.2 < half["change"] < cell(removal, "factor")["effects"]["qb"]["change"]
    assert cell(removal, "lora-1-here")["effects"]["qb"]["change"] > 1
    assert cell(removal, "least-variance")["effects"]["qb"]["change"] > 1
    assert len(removal.cells) == 2 + 1 + 2 + 2 + 2


def test_the_run_has_every_table_figure_and_claim_and_the_audit_finds_nothing(finished):
    run, removal = finished
    assert run.tables() == [
        "continuations",
        "cost",
        "effects",
        "left-out",
        "left-out-top",
        "related",
        "second-genre",
        "seeds",
        "summary",
    ]
    assert run.figures() == ["changes", "frontier", "left-out-worst"]
    assert audit_run(run) == []
    assert run.status == "finished"
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert removal.report == str(run.path / "report.html")
    assert f"{removal.site}:{removal.index}" in page
    assert "leaves qb at" in " ".join(claim.sentence for claim in run.claims())


def test_the_run_says_what_its_numbers_depend_on_and_is_sealed(finished, planted_target, planted_text):
    run = finished[0]
    state = run.state()
    assert state["seeds"] == [0, 1]
    known = {(one["kind"], one["name"]): one["sha256"] for one in state["identities"]}
    name = planted_text.name
    assert known["target", planted_target.name] == planted_target.identity.digest
    assert known["held-out", f"{name}/evaluation"] == planted_text.fingerprint("evaluation")
    assert known["data", f"{name}/training"] == planted_text.fingerprint("training")
    assert {kind for kind, _ in known} == {"target", "decomposition", "data", "held-out"}
    assert check_seal(run.path) == []


def test_the_labs_auditor_finds_nothing_either_and_recomputes_medians_from_their_seeds(finished):
    audit = audit_folder(finished[0].path)
    assert (audit.verdict, [one.verdict for one in audit.claims]) == ("valid", ["held"] * len(audit.claims)), audit
    assert [one.claim.over.table for one in audit.claims if one.claim.over] == ["seeds"] * 4


def test_the_tables_hold_the_cells(finished, config):
    run, removal = finished
    seeds = run.load_table("seeds").records()
    assert len(seeds) == len(removal.cells)
    levels = sorted(cell(removal, "factor", seed)["effects"]["qb"]["edited"] / removal.ceiling for seed in range(2))
    (row,) = [row for row in run.load_table("summary").records() if row["method"] == "factor"]
    assert (row["lowest level"], row["highest level"]) == pytest.approx(tuple(levels))
    assert row["level"] == pytest.approx(sum(levels) / 2)
    worst = [
        max(cell(removal, "factor", seed)["effects"][label]["change"] for label in ("qc", "qd")) for seed in range(2)
    ]
    assert row["worst other"] == pytest.approx(sum(worst) / 2)
    assert row["worst other, worst seed"] == pytest.approx(max(worst))
    assert row["seeds"] == 2
    effects = run.load_table("effects")
    assert len(effects.rows) == 5 * 4
    changes = {round(cell(removal, "factor", seed)["effects"]["qa"]["change"], 9) for seed in range(2)}
    (shown,) = [row for row in effects.records() if (row["method"], row["label"]) == ("factor", "qa")]
    assert round(shown["change"], 9) in changes
    assert {round(shown["lowest seed"], 9), round(shown["highest seed"], 9)} == changes


def test_what_each_method_cost_is_told_apart(finished):
    run, _ = finished
    cost = {row["method"]: row for row in run.load_table("cost").records()}
    factor = cost["factor"]
    assert (factor["loss"], factor["seen"], factor["retained"]) == (4, 64, 128)
    assert (factor["decomposition"], factor["selection"]) == (4 * 100 * 64, 4 * 16 * 64)
    assert factor["tuning on another label"] == 0
    assert (cost["factor, strict"]["loss"], cost["factor, strict"]["seen"]) == (4, 4)
    assert (cost["lora-1-here"]["decomposition"], cost["lora-1-here"]["selection"]) == (0, 0)
    assert (cost["least-variance"]["decomposition"], cost["least-variance"]["selection"]) == (0, 4 * 16 * 64)
    assert (cost["ablation"]["loss"], cost["ablation"]["tuning on another label"]) == (0, 0)
    reference = {name: row["reference"] for name, row in cost.items()}
    assert reference["factor"] == reference["least-variance"] == 48 * 64
    assert reference["ablation"] == reference["lora-1-here"] == 0


@pytest.mark.parametrize("sites", [1, 2])
def test_methods_in_a_matrix_that_was_chosen_are_charged_its_choice(finished, sites):
    """Of one matrix taken apart there was nothing to choose."""
    _, removal = finished
    bench = SimpleNamespace(
        decomposition=SimpleNamespace(sites=range(sites)),
        spent={"selection": 100, "labels": 0, "decomposition": 1000, "tuning": 0},
    )
    here = {"method": "lora-1-here", "loss_tokens": 4, "strict": False}
    cells = [row for row in removal.cells if here.items() <= row.items()]
    cells += [{**row, "method": "lora-1"} for row in cells]
    table = cost_table(RemoveLanguage(), bench, replace(removal, cells=tuple(cells)))
    charged = {row["method"]: (row["selection"], row["decomposition"]) for row in table.records()}
    assert charged == {"lora-1-here": (100 * (sites > 1), 0), "lora-1": (0, 0)}
    assert ("charged the selection text that chose it" in table.caption) == (sites > 1)


def test_the_second_genre_and_the_languages_left_out_are_told(finished):
    run, removal = finished
    rows = run.load_table("second-genre").records()
    second = {row["label"]: row for row in rows if row["method"] == "factor"}
    assert set(second) == {"qa", "qb"}
    assert second["qb"]["low"] < second["qb"]["change"] < second["qb"]["high"]
    assert second["qb"]["tokens seen"] == 64
    assert second["qb"]["change"] > 0.6 * cell(removal, "factor")["effects"]["qb"]["change"]
    assert abs(second["qa"]["change"]) < 0.25 * second["qb"]["change"]
    left = {row["label"]: row for row in run.load_table("left-out").records()}
    assert set(left) == {planted.STRANGER, "qz"}
    assert (left["qe"]["known"], left["qz"]["known"]) == (True, False)
    assert [row["label"] for row in run.load_table("left-out-top").records()] == ["qe"]
    assert any("Of the languages left out, qe changes most" in claim.sentence for claim in run.claims())
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert ("Warning: more than 0.3 nats are lost in 1 of them (qe)" in page) == (left["qe"]["change"] > 0.3)
    target, edits, spent = edits_of(run)
    assert (spent["loss"], spent["seen"]) == (4, 64)
    text = token_windows(target.tokenizer, bundled.declaration(), "evaluation", "qe", 64)[:32]
    before = realised(target, text)
    with applied(target, *edits):
        assert left["qe"]["change"] == pytest.approx(realised(target, text) - before, abs=1e-3)


def test_the_related_pieces_are_listed_with_what_they_fire_on_elsewhere(finished):
    run, removal = finished
    related = run.load_table("related").records()
    assert len(related) == 16
    assert related[0]["subcomponent"] == f"{removal.site}:{removal.index}"
    assert related[0]["importance qb"] - related[0]["importance qa"] == max(
        row["importance qb"] - row["importance qa"] for row in related
    )


def test_continuations_are_the_models_own_before_and_after(finished, config):
    run, _ = finished
    rows = run.load_table("continuations").records()
    assert [row["label"] for row in rows] == ["qb"] * 2 + ["qa"] * 2 + ["qc"] * 2
    own = planted.languages()["qb"].own
    for row in rows[:2]:
        assert len(set(row["before"].split()) & own) >= 2
        assert row["before"] != row["after"]
    target = load_target(config.target, device="cpu")
    ids = torch.tensor([target.tokenizer(rows[2]["prompt"])["input_ids"]])
    assert ids.shape == (1, 32)
    with torch.no_grad():
        following = int(target.logits(ids)[0, -1].argmax())
    assert rows[2]["before"].split()[0] == target.tokenizer.decode([following])


def test_without_a_run_the_same_cells_come_back_and_nothing_is_written(finished, config, tmp_path, monkeypatch):
    """Also: two executions give identical numbers."""
    monkeypatch.chdir(tmp_path)
    _, removal = finished
    again = remove_language(replace(config, seeds=1))
    assert without_time(again.cells) == without_time([row for row in removal.cells if row["seed"] == 0])
    assert again.report is None
    assert not list(tmp_path.iterdir())


def test_a_killed_run_goes_on_without_doing_anything_twice(finished, config, tmp_path, monkeypatch):
    _, removal = finished
    config = replace(config, methods=("factor", "lora-1-here", "ablation"), left_out=())
    lora = methods.METHODS["lora-1-here"]

    def killed(task):
        if task.seed == 1:
            raise KeyboardInterrupt
        return lora.function(task)

    with monkeypatch.context() as patch:
        patch.setitem(methods.METHODS, "lora-1-here", replace(lora, function=killed))
        with pytest.raises(KeyboardInterrupt), run_in(tmp_path, config) as run:
            remove_language(config, run)
    assert run.status == "interrupted"
    assert list(run.cells("cells")) == ["factor/4/0", "factor/4/1", "lora-1-here/4/0"]
    called = []
    for name, method in dict(methods.METHODS).items():

        def counted(task, method=method):
            called.append(method.name)
            return method.function(task)

        monkeypatch.setitem(methods.METHODS, name, replace(method, function=counted))
    with Run.resume(run.path) as run:
        resumed = remove_language(find_study("remove-language").configure(run.config), run)
    assert called == ["lora-1-here", "ablation", "factor", "factor"]
    key = itemgetter("method", "seed", "strict")
    wanted = [row for row in removal.cells if row["method"] in config.methods]
    assert sorted(without_time(resumed.cells), key=key) == sorted(without_time(wanted), key=key)
    assert audit_run(run) == []


def test_a_run_does_not_go_on_with_another_decomposition(config, planted_decomposition, tmp_path):
    folder = tmp_path / "one.decomp"
    planted_decomposition.save(folder)
    few = replace(config, decomposition=str(folder), methods=("ablation",), strict=False, left_out=(), seeds=1)
    run = run_in(tmp_path, few)
    remove_language(few, run)
    run.finish("interrupted")
    pieces = planted_decomposition.site(planted.SITE)
    shutil.rmtree(folder)
    turned = replace(pieces, V=-pieces.V, U=-pieces.U)
    Decomposition({planted.SITE: turned}, planted_decomposition.target, "other").save(folder)
    with pytest.raises(UnweaveError, match="run 'one' was started with another decomposition: put that one back"):
        remove_language(few, Run.resume(run.path))


def test_what_is_doubtful_about_a_decomposition_is_told(finished, config, planted_decomposition, tmp_path):
    card = {**planted_decomposition.card, "failures": ["no better than an SVD"], "data": "0", "corpus": "elsewhere"}
    replace(planted_decomposition, card=card).save(tmp_path / "one.decomp")
    few = replace(config, methods=("ablation",), strict=False, left_out=(), seeds=1)
    with run_in(tmp_path, few) as run:
        remove_language(replace(few, decomposition=str(tmp_path / "one.decomp")), run)
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Warning: the decomposition failed its own check at the logits: no better than an SVD." in page
    assert "Warning: the decomposition was trained on elsewhere, not on the decomposition part of corpus" in page
    assert "Warning: the decomposition" not in (finished[0].path / "report.html").read_text(encoding="utf-8")


def test_other_text_that_leaves_out_what_is_evaluated_is_no_reason_to_doubt(planted_decomposition, planted_text):
    card = {"data": "0", "corpus": "elsewhere", "unseen": {"evaluation": planted_text.fingerprint("evaluation")}}
    assert doubts(replace(planted_decomposition, card=card), planted_text) == ()
    whole = {"data": "0", "text": planted_text.fingerprint("decomposition"), "corpus": "elsewhere"}
    assert doubts(replace(planted_decomposition, card=whole), planted_text) == ()
    card["unseen"] = {"evaluation": planted_text.fingerprint("training")}
    assert "was trained on elsewhere" in doubts(replace(planted_decomposition, card=card), planted_text)[0]


def test_a_language_that_the_decomposition_read_is_not_called_left_out(config, planted_decomposition, tmp_path):
    labels = [*planted_decomposition.card.get("labels", []), planted.STRANGER]
    card = {**planted_decomposition.card, "labels": labels}
    replace(planted_decomposition, card=card).save(tmp_path / "one.decomp")
    few = replace(config, decomposition=str(tmp_path / "one.decomp"), methods=("ablation",), strict=False, seeds=1)
    with run_in(tmp_path, few) as run:
        remove_language(few, run)
    assert planted.STRANGER not in run.load_table("left-out").column("label")


def test_left_out_languages_are_measured_under_the_whole_of_an_edit(config, tmp_path):
    """LoRA everywhere changes layers before the decomposed one, which a cached prefix would hide."""
    few = replace(config, methods=("lora-1",), seeds=1, strict=False)
    with run_in(tmp_path, few) as run:
        remove_language(few, run)
    target, edits, _ = edits_of(run, "lora-1")
    text = token_windows(target.tokenizer, bundled.declaration(), "evaluation", "qe", 64)[:32]
    before = realised(target, text)
    with applied(target, *edits):
        change = realised(target, text) - before
    left = {row["label"]: row for row in run.load_table("left-out").records()}
    assert left["qe"]["change"] == pytest.approx(change, abs=1e-3)


def test_each_part_of_the_text_has_its_own_readers(config, tmp_path, monkeypatch):
    """A leak from the evaluation part would be seen here: who asked for which part of which corpus."""
    asked = set()

    def spy(tokenizer, corpus, part, label, *args, **options):
        caller = sys._getframe(1).f_code.co_qualname.partition(".<locals>")[0]
        asked.add((caller, part, corpus.name))
        return token_windows(tokenizer, corpus, part, label, *args, **options)

    for module in (windows_module, setting_module, persistence):
        monkeypatch.setattr(module, "token_windows", spy)
    monkeypatch.setattr(persistence, "STEPS", 2)
    few = replace(config, methods=("factor", "lora-1-here-equal-total"), seeds=1, persistence=True)
    with run_in(tmp_path, few) as run:
        remove_language(few, run)
    readers = {part: {name for name, read, _ in asked if read == part} for part in PARTS}
    beyond = {"write_continuations", "measure_left_out", "contexts", "_where_there_is_text"}
    assert readers["evaluation"] == {"_yardstick", *beyond}
    assert readers["selection"] == {"windows_by_label"}
    assert readers["training"] == {"Setting.windows", "relearning"}
    assert readers["tuning"] == set()
    assert readers["decomposition"] == {"Setting.reference_windows", "Setting.streamed_texts"}
    assert {corpus for name, _, corpus in asked if name == "measure_left_out"} == {"declaration"}


def test_strict_cells_are_planned_only_where_a_window_holds_the_budget(config):
    for tokens, strict in (((4, 256), 4), ((64,), 64), ((256,), None), ((1, 8), None)):
        cells = plan(replace(config, tokens=tokens, methods=("factor",), seeds=2))
        assert {budget for _, budget, _, is_strict in cells if is_strict} == ({strict} if strict else set())


def test_methods_that_draw_nothing_stand_for_every_seed(config, tmp_path):
    alone = replace(config, methods=("ablation",), seeds=3, first_seed=4, strict=False, left_out=())
    about = {"seeds": [4, 5, 6], "plan": {"study": "remove-language", "seeds": [4, 5, 6]}}
    with Run.create("remove-language", plain_config(alone), root=tmp_path, about=about) as run:
        remove_language(alone, run)
    assert run.load_table("seeds").column("seed") == (4,)
    audit = audit_folder(run.path)
    assert audit.verdict == "valid", audit.reasons
    assert "one seed stands for all" in " ".join(str(one) for one in audit.findings)


@pytest.mark.parametrize(
    ("methods", "seeds", "unseeded"),
    [
        (("factor", "ablation"), [2, 3, 4], False),
        (("ablation",), [2, 3, 4], True),
        (("lora-1-here-equal-total",), [2, 3], False),
    ],
)
def test_the_seeds_of_a_run_are_those_that_its_methods_draw(config, methods, seeds, unseeded):
    assert _seeds(replace(config, methods=methods, first_seed=2, seeds=3)) == (seeds, unseeded)


def test_a_loaded_target_is_used_as_it_is(config, planted_target):
    live = replace(config, target="only a name", methods=("ablation",), seeds=1, strict=False, left_out=())
    removal = remove_language(live, target=planted_target)
    assert [row["method"] for row in removal.cells] == ["ablation"]


def test_a_label_without_evaluation_text_is_refused_before_anything_is_computed(config, monkeypatch, planted_text):
    parts = {part: dict(planted_text.parts[part]) for part in planted_text.parts}
    del parts["evaluation"]["qb"]
    monkeypatch.setattr(files, "load_corpus", lambda _: Corpus("bare", parts))
    with pytest.raises(UnweaveError, match="label 'qb' of corpus 'bare' has no text in the evaluation part"):
        remove_language(config)


def test_a_cancelled_run_stops_after_the_cell_it_was_at(config, tmp_path):
    run = run_in(tmp_path, replace(config, methods=("ablation", "factor")))
    run.cancel()
    with pytest.raises(RunCancelled), run:
        remove_language(replace(config, methods=("ablation", "factor")), run)
    assert (run.status, len(run.cells("cells"))) == ("cancelled", 1)


@pytest.mark.parametrize("method", [None, "ablation", "lora-1-here"])
def test_the_edit_of_a_run_can_be_exported(finished, method, tmp_path):
    run, removal = finished
    target, edits, _ = edits_of(run) if method is None else edits_of(run, method)
    report = export_peft(target, edits, tmp_path / "adapter")
    assert report.max_logit_difference <= 1e-4
    assert report.effect > 0.01
    rows = [row for row in removal.cells if row["method"] == (method or "factor") and not row["strict"]]
    levels = sorted(row["effects"]["qb"]["edited"] for row in rows)
    corpus = load_corpus(run.config["corpus"])
    text = token_windows(target.tokenizer, corpus, "evaluation", "qb", 64)[: run.config["windows"]]
    with applied(target, *edits):
        assert realised(target, text) == pytest.approx(levels[len(levels) // 2], abs=1e-3)


def test_an_edit_that_was_not_made_is_refused(finished):
    run, _ = finished
    with pytest.raises(UnweaveError, match=r"run 'one' has no edit by 'lora-4'; nearest: 'lora-1-here'"):
        edits_of(run, "lora-4")
    with pytest.raises(UnweaveError, match="run 'one' has no edit by 'factor' at 64 tokens"):
        edits_of(run, "factor", 64)


def test_labels_given_by_lot_give_nothing_and_that_is_a_result(config, tmp_path):
    line = r"^nothing was found for 'qb': the most selective .*shuffled windows give"
    run = run_in(tmp_path, replace(config, shuffle=True))
    with pytest.raises(NothingFound, match=line) as found, run:
        remove_language(replace(config, shuffle=True), run)
    assert found.value.exit_code == 1
    assert run.status == "finished"
    assert run.cells("cells") == {}


def test_what_needs_no_subcomponent_learns_from_text_given_by_lot(finished, config, tmp_path):
    """The null of an adapter is an adapter that was trained, on other text for each seed."""
    shuffled = replace(config, shuffle=True, methods=("lora-1-here",), seeds=1, strict=False)
    with run_in(tmp_path, shuffled) as run:
        (null,) = remove_language(shuffled, run).cells
    assert run.status == "finished"
    own = cell(finished[1], "lora-1-here")
    assert null["effects"]["qb"]["edited"] < own["effects"]["qb"]["edited"]


def test_each_seed_deals_its_own_lot(config, monkeypatch):
    dealt = []

    def kept(windows, seed=0):
        dealt.append(seed)
        return random_groups(windows, seed)

    monkeypatch.setattr("unweave.corpora.windows.random_groups", kept)
    for first_seed in (0, 1):
        with pytest.raises(NothingFound):
            remove_language(replace(config, shuffle=True, first_seed=first_seed))
    assert len(set(dealt)) == 2


@pytest.fixture(scope="module")
def untrained(planted_decomposition, tmp_path_factory):
    """The same architecture with its first random weights, and a decomposition that claims to be of it."""
    root = tmp_path_factory.mktemp("untrained")
    folder = planted.save(planted.untrained(seed=1), root / "target")
    identity = load_target(folder, device="cpu").identity.digest
    Decomposition(planted_decomposition.sites, identity, "untrained").save(root / "one.decomp")
    return {"target": str(folder), "decomposition": str(root / "one.decomp")}


def test_random_weights_are_refused(config, untrained):
    with pytest.raises(UnweaveError, match=r"does not know 'qb': its cross-entropy there is .* above 0.8 ln V = 4.11"):
        remove_language(replace(config, **untrained))


def test_a_decomposition_of_another_target_is_refused(config, untrained):
    with pytest.raises(UnweaveError, match="this decomposition belongs to target"):
        remove_language(replace(config, target=untrained["target"]))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"language": "qx"}, r"language 'qx' is not a label of corpus 'corpus'; nearest: "),
        ({"retain": "qx"}, r"retain 'qx' is not a label of corpus 'corpus'; nearest: "),
        ({"decomposition": "no/where"}, r"no/where is not a decomposition: there is no such folder"),
        ({"left_out": ("qq",)}, r"left_out 'qq' is not a label of the Declaration; nearest: "),
        ({"decomposition": None}, r"no decomposition of '.*target' is bundled .*unweave decompose"),
        ({"corpus": "no/where"}, r"corpus 'no/where' is neither a bundled corpus nor a path that exists"),
        ({"target": "no/where/at/all"}, r"target 'no/where/at/all' is no known name"),
    ],
)
def test_what_is_not_there_is_named_in_one_line(config, changes, line):
    with pytest.raises(UnweaveError, match=line) as refused:
        remove_language(replace(config, **changes))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"retain": "de"}, r"retain is 'de', the label to be removed: choose another label to retain"),
        ({"tokens": ()}, r"tokens is \(\), and each budget must be at least 1"),
        ({"tokens": (64, 4)}, r"tokens is \(64, 4\): give each budget once, the smallest first"),
        ({"tokens": (4, 0)}, r"tokens is \(4, 0\), and each budget must be at least 1"),
        ({"seeds": 0}, r"seeds is 0, and it must be at least 1"),
        ({"windows": -1}, r"windows is -1, and it must be at least 1"),
        ({"methods": ("factr",)}, r"method 'factr' is not registered; nearest: 'factor'"),
        ({"methods": ()}, r"methods is empty: give at least one of factor, "),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_before_anything_is_loaded(changes, line):
    with pytest.raises(UnweaveError, match=line):
        RemoveLanguage(**changes)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"tokens": "4"}, {"tokens": (4,)}),
        ({"tokens": "4,64"}, {"tokens": (4, 64)}),
        ({"methods": "factor"}, {"methods": ("factor",)}),
        ({"methods": "factor,lora-1"}, {"methods": ("factor", "lora-1")}),
        ({"also": "nl, sv"}, {"also": ("nl", "sv")}),
        ({"left_out": ""}, {"left_out": ()}),
        ({"decomposition": "fr.decomp", "language": "fr"}, {"decomposition": "fr.decomp", "language": "fr"}),
        ({"decomposition": "none"}, {"decomposition": None}),
        ({"strict": "no", "shuffle": "true", "seeds": "5"}, {"strict": False, "shuffle": True, "seeds": 5}),
    ],
)
def test_settings_of_the_command_line_reach_the_right_types(settings, expected):
    found = find_study("remove-language").configure(settings)
    assert {name: getattr(found, name) for name in expected} == expected
    assert found == find_study("remove-language").configure(plain_config(found))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"langage": "fr"}, r"study 'remove-language' has no field 'langage'; nearest: 'language'"),
        ({"tokens": "four"}, r"study 'remove-language': tokens is 'four'"),
        ({"setting": "slow"}, r"study 'remove-language': setting is 'slow': input should be 'quick' or 'record'"),
        ({"retain": "de"}, r"retain is 'de', the label to be removed"),
    ],
)
def test_settings_that_are_wrong_are_refused_in_one_line(settings, line):
    with pytest.raises(UnweaveError, match=line) as refused:
        find_study("remove-language").configure(settings)
    assert "\n" not in str(refused.value)


def test_the_plan_has_the_factor_first_and_each_cell_once():
    cells = plan(RemoveLanguage(tokens=(4, 64), seeds=3))
    assert cells[:3] == [("factor", 4, seed, False) for seed in range(3)]
    assert len(cells) == len(set(cells))
    assert [cell for cell in cells if cell[0] == "ablation"] == [("ablation", 4, 0, False)]
    assert sum(cell[3] for cell in cells) == 3
    assert all(budget == 4 for name, budget, _, strict in cells if strict)
    for name in set(QUICK) - {"ablation"}:
        assert [cell[1:3] for cell in cells if cell[0] == name and not cell[3]] == [
            (budget, seed) for budget in (4, 64) for seed in range(3)
        ]


def test_the_record_setting_compares_everything_and_asks_large_budgets_of_few():
    config = RemoveLanguage(setting="record", tokens=(4, 1024), seeds=5).resolved()
    assert (config.methods, config.persistence, config.left_out) == (RECORD, True, ("all",))
    assert _frontiers(config) == {"frontier": 4, "frontier-1024": 1024}
    large = [cell for cell in plan(config) if cell[1] == 1024]
    assert {cell[0] for cell in large} == {"factor", "lora-1-here", "lora-1", "lora-4"}
    assert len(large) == 4 * 2
    chosen = RemoveLanguage(setting="record", methods=("factor",)).resolved()
    assert chosen.methods == ("factor",)
    assert (config.windows, replace(chosen, windows=5).resolved().windows) == (32, 5)
    assert RemoveLanguage().resolved() == RemoveLanguage()


def test_two_labels_and_no_other_are_enough(config, planted_corpus, tmp_path):
    """No third label to set the stopping level on, or to call the worst."""
    for label in ("qa", "qb"):
        shutil.copytree(planted_corpus / label, tmp_path / "two" / label)
    few = replace(config, corpus=str(tmp_path / "two"), methods=("factor",), seeds=1, left_out=(), strict=False)
    with run_in(tmp_path, few) as run:
        removal = remove_language(few, run)
    assert cell(removal, "factor")["effects"]["qb"]["change"] > 1
    (row,) = run.load_table("summary").records()
    assert (row["worst other"], row["which"]) == (None, None)
    assert "left-out" not in run.tables()
    assert audit_run(run) == []


def test_a_run_without_the_factor_and_with_nothing_known_left_out_still_reports(config, tmp_path, monkeypatch):
    noise = second_genre().only(["qz", "qb"])
    monkeypatch.setattr(bundled, "declaration", lambda: noise)
    few = replace(config, methods=("ablation",), windows=1, strict=False)
    with run_in(tmp_path, few) as run:
        remove_language(few, run)
    assert run.figures() == ["changes", "frontier"]
    assert [row["known"] for row in run.load_table("left-out").records()] == [False]
    assert "None of these languages is known" in (run.path / "report.html").read_text(encoding="utf-8")
    assert run.claims() == []
    assert audit_run(run) == []


def test_a_second_pass_with_the_hurt_language_in_the_contrast_spares_it(
    finished, config, planted_target, planted_text, tmp_path, monkeypatch
):
    """Its text is read by decomposition and selection; the piece that is found tells the two apart."""
    lines = {"decomposition": 150, "selection": 60, "evaluation": 30}
    texts = {part: {"qe": (planted.text("qe", count, 77 + n),)} for n, (part, count) in enumerate(lines.items())}
    corpus = Corpus("declaration", texts)
    monkeypatch.setattr(bundled, "declaration", lambda: corpus)
    monkeypatch.setattr(site_local, "compiler_works", lambda: False)
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path / "cache"))
    wider = planted_text.with_labels(corpus, ["qe"])
    decompose(planted_target, wider, planted.CONFIG, out=tmp_path / "two.decomp", check=False)
    second = replace(
        config, also=("qe",), decomposition=str(tmp_path / "two.decomp"), methods=("factor",), seeds=1, strict=False
    )
    removal = remove_language(second)
    effects = cell(removal, "factor")["effects"]
    assert set(effects) == {*planted.LABELS, "qe"}
    assert effects["qb"]["edited"] >= 0.85 * removal.ceiling
    run, _ = finished
    (first,) = [row for row in run.load_table("left-out").records() if row["label"] == "qe"]
    assert effects["qe"]["change"] < max(0.3, 0.5 * first["change"])


def test_removed_or_only_suppressed_is_measured_in_other_contexts_and_by_fine_tuning(config, tmp_path):
    few = replace(config, methods=("factor",), seeds=1, strict=False, left_out=(), persistence=True)
    with run_in(tmp_path, few) as run:
        removal = remove_language(few, run)
    contexts = {row["context"]: row for row in run.load_table("contexts").records()}
    assert list(contexts) == ["plain", "few-shot", "code-switched", "chat", "long qa", "code"]
    own = cell(removal, "factor")["effects"]["qb"]["change"]
    for name in ("plain", "few-shot", "chat"):
        assert contexts[name]["change"] > 0.5 * own
    assert contexts["long qa"]["change"] < 0.3 * own
    unedited, edited = run.load_table("relearning").records()
    assert (unedited["model"], edited["model"]) == ("unedited", "edited")
    assert unedited["before"] == pytest.approx(contexts["plain"]["base"], abs=1e-4)
    assert edited["before"] == pytest.approx(contexts["plain"]["edited"], abs=1e-4)
    assert unedited["after"] < unedited["before"] + 0.01
    assert edited["after"] < edited["before"]
    assert audit_run(run) == []
