from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from test_ladder import exact, falling, measured

from unweave.base.errors import UnweaveError
from unweave.decompose.card import limits, tokens_spent, write_card
from unweave.decompose.decomposition import Decomposition, bundled, is_bundled
from unweave.decompose.ladder import Ladder, Rung
from unweave.decompose.ladder_tables import SHUFFLED
from unweave.decompose.ruler import SiteFacts
from unweave.decompose.stability import Compared, matched_cosine

CONFIG = {"steps": 100, "batch": 4, "window_length": 8}


@pytest.fixture
def trained(llama, decomposed):
    """A decomposition that can be saved, with what its training says of itself."""
    made = decomposed(llama, "model.layers.1.mlp.down_proj")
    return replace(made, card={"method": "whole-model", "config": CONFIG, "corpus": "books", "tokens": 640})


@pytest.fixture
def ladder(llama, trained, tokens):
    return replace(measured(llama, trained, tokens, attack_steps=(1, 2)), text={"corpus": "books", "fingerprint": "ab"})


def test_a_card_beside_the_checkpoint_changes_nothing_that_is_loaded(llama, trained, ladder, tmp_path):
    folder = tmp_path / "made"
    trained.save(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert write_card(trained, ladder, folder, target=llama) == folder / "card.md"
    assert Decomposition.load(folder).digest() == trained.digest()
    assert sorted(path.name for path in folder.iterdir()) == sorted([*before, "card.json", "card.md"])
    assert all((folder / name).read_bytes() == content for name, content in before.items())


def test_the_card_says_what_how_from_what_and_how_good(llama, trained, ladder, tmp_path):
    text = write_card(trained, ladder, tmp_path, target=llama, name="seed-0").read_text(encoding="utf-8")
    facts = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert facts["target"]["identity"] == llama.identity.digest
    assert facts["target"]["parameters"] == sum(p.numel() for p in llama.module.parameters())
    assert facts["method"] == "whole-model"
    assert facts["training"]["config"] == CONFIG
    assert facts["decomposition"] == trained.digest()
    assert facts["tokens"] == {"decomposition text": 640, "seen in training": 3200, "evaluation": 30}
    assert facts["ladder"] == json.loads(json.dumps(ladder.as_dict()))
    assert facts["ladder"]["text"]["fingerprint"] == "ab"
    assert facts["limits"] == limits(ladder)
    assert facts["stability"] == {}
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == [
        "Limits",
        "How it was made",
        "Tokens",
        "Text of this measurement",
        "Ladder",
        "Controls",
        "Adversary",
        "Sites",
    ]
    for shown in (llama.name, llama.identity.digest, trained.digest(), "window_length `8`", "seen in training: 3,200"):
        assert shown in text
    assert all(f"- {limit}\n" in text for limit in limits(ladder))
    assert "The adversary reads 3 windows: 30 of the 30 tokens." in text
    assert facts["ladder"]["attack_windows"] == 3
    row = next(line for line in text.splitlines() if line.startswith("| importance | decomposition"))
    assert f"{ladder.rung('importance').kl:.4f}" in row


def test_what_was_compared_is_in_the_card(llama, trained, ladder, decomposed, tokens, tmp_path):
    other = decomposed(llama, "model.layers.1.mlp.down_proj", seed=1)
    found = measured(llama, other, tokens, controls=())
    compared = {"seed-1": Compared(found, matched_cosine(trained, other))}
    text = write_card(trained, ladder, tmp_path, name="seed-0", compared=compared).read_text(encoding="utf-8")
    assert "## Stability" in text
    assert "| seed-0 |" in text
    assert "| seed-1 |" in text
    facts = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert facts["stability"]["seed-1"]["matched"] == compared["seed-1"].stability.matched
    assert facts["stability"]["seed-1"]["alive"] == found.alive
    assert not any("another seed" in limit for limit in facts["limits"])
    assert any(limit.startswith("seed-1 has other pieces: matched cosine 0.") for limit in facts["limits"])
    alike = limits(ladder, {"same": same(ladder, trained)})
    assert not any("other pieces" in limit or "same seed" in limit for limit in alike)
    assert any(
        "same seed" in limit for limit in limits(ladder, {"same": replace(same(ladder, trained), same_seed=True)})
    )
    assert any("another seed" in limit for limit in limits(ladder))


def test_shuffled_weights_stand_beside_ours_and_whether_they_do_as_well_is_said(llama, trained, ladder, tmp_path):
    unknown = "Shuffled weights were not taken apart, so it is not known whether these numbers are more than what noise"
    assert [limit for limit in limits(ladder) if limit.startswith(unknown)]
    assert [limit for limit in limits(ladder, {"same": same(ladder, trained)}) if limit.startswith(unknown)]
    text = write_card(trained, ladder, tmp_path, compared={SHUFFLED: Compared(ladder)}).read_text(encoding="utf-8")
    share = f"{ladder.importance_of_zero:.1%}"
    said = f"about as well: under importance masks KL is {share} of zero masks' at L0 {ladder.l0:.1f}, and here {share}"
    assert said in text
    assert unknown not in text
    assert "Whether another seed or capacity finds the same pieces was not measured." in text
    row = next(line for line in text.splitlines() if line.startswith("| shuffled weights |"))
    assert f" {ladder.importance_of_zero:.3f} |" in row
    # There is no piece to match with, so there are no cosines.
    assert "matched" not in text
    assert "Cosines" not in text
    facts = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert facts["stability"][SHUFFLED]["importance_of_zero"] == ladder.importance_of_zero


def test_shuffled_weights_that_are_taken_apart_worse_or_otherwise_are_told_from_those_that_are_not():
    def said(noise, **options):
        return [limit for limit in limits(good(), {SHUFFLED: Compared(noise, **options)}) if "Shuffled" in limit]

    assert len(said(good())) == 1
    worse = with_rung(good(), "importance", 0.7, 0.05)
    assert said(worse) == []  # 7 % of zero masks' KL, and ours has 3 %
    assert len(said(with_rung(worse, "zero", 30.0, 2.0))) == 1  # as much KL, and no larger a share
    more = replace(good(), sites=(facts(l0=2.0),))
    assert said(more) == []
    other = said(more, same_settings=False)
    assert other == ["Shuffled weights were taken apart with other settings, so their numbers are no control of these."]


def same(ladder, made):
    return Compared(ladder, matched_cosine(made, made))


def test_a_folder_that_cannot_be_written_to_is_refused_by_name(trained, ladder, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UnweaveError, match="file"):
        write_card(trained, ladder, tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_card_of_a_bare_decomposition_says_that_nothing_is_stated(llama, trained, tokens, tmp_path):
    bare = replace(trained, card={})
    text = write_card(bare, measured(llama, bare, tokens), tmp_path).read_text(encoding="utf-8")
    assert text.count("Not stated.") == 2
    assert "## Adversary" not in text


def test_tokens_are_counted_as_far_as_the_training_says(trained, ladder):
    assert tokens_spent(replace(trained, card={}), ladder) == {"evaluation": 30}
    windows = replace(trained, card={"method": "whole-model", "config": CONFIG})
    assert tokens_spent(windows, ladder) == {"windows seen in training": 400, "evaluation": 30}
    local = replace(trained, card={"method": "site-local", "config": CONFIG, "tokens": 640})
    wanted = {"decomposition text": 640, "seen in training, each site": 400, "evaluation": 30}
    assert tokens_spent(local, ladder) == wanted


def facts(site="h", l0=1.0, alive=100, hidden=0.1):
    return SiteFacts(site, 200, l0, l0, alive, alive, 0.001, hidden)


def good():
    """A ladder that holds to every aim."""
    numbers = {"unmasked": (0.01, 0.01), "importance": (0.3, 0.05), "stochastic": (0.2, 0.04), "zero": (10.0, 2.0)}
    rungs = tuple(Rung(masks, 3.0, kl, share) for masks, (kl, share) in numbers.items())
    return Ladder(rungs, {20: 1.0, 320: 1.5}, (facts(),), 3.0, 6.0, 20_000)


def with_rung(ladder, masks, kl, share):
    rungs = tuple(Rung(masks, 3.0, kl, share) if rung.masks == masks else rung for rung in ladder.rungs)
    return replace(ladder, rungs=rungs)


def test_limits_are_said_where_an_aim_is_missed_and_only_there():
    always = limits(good())
    assert len(always) == 3
    assert "No controls" in always[0]
    assert "another seed" in always[1]
    assert "Shuffled weights were not taken apart" in always[2]
    level = with_rung(good(), "importance", 0.3, None)
    for missed, words in [
        (
            with_rung(good(), "unmasked", 0.1, 0.1),
            r"KL without masks and without the delta is 0.100 nats, 1.0% of zero",
        ),
        (with_rung(good(), "importance", 0.3, 0.11), r"importance masks 11.0% of the cross-entropy is not recovered"),
        (level, r"no better than zero masks, so"),
        (replace(level, unigram_cross_entropy=2.9), r"no better than the unigram model, so"),
        (replace(good(), attacks={20: 1.0, 320: 2.1}), r"KL 1.00 nats after 20 steps, 2.10 after 320, where zero.* 10"),
        (replace(good(), sites=(facts(), facts("b", hidden=0.6))), r"at 1 of 2 sites .*\(most at b, 0.60\)"),
        (replace(good(), sites=(facts(), facts("b", alive=0))), r"No subcomponent is alive on this text at b\."),
        (replace(good(), sites=(facts(l0=26.0),)), r"not sparse: 26 of 100 alive"),
        (replace(good(), tokens=9_999), r"Measured on 9,999 tokens"),
    ]:
        new = [limit for limit in limits(missed) if limit not in always]
        assert len(new) == 1, new
        assert re.search(words, new[0])


def test_what_a_control_does_better_is_a_limit(llama, tokens):
    found = measured(llama, exact(llama, falling), tokens)
    assert found.failures
    said = limits(found)
    for failure in found.failures:
        assert f"It does not beat its controls: {failure}." in said


def test_bundled_decompositions_are_told_by_their_folder(tmp_path):
    folder = bundled("smollm2")
    assert is_bundled(folder)
    assert is_bundled(Path(str(folder)) / ".." / folder.name)
    assert not is_bundled(tmp_path)
