"""What shapings make of rows: the formulas on numbers made by hand, and nothing where the dose is nothing."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from shaping_world import BEHAVIOUR, BETA, MOONS, encoded, pairs, setting, unit

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.models.target import weights_hash
from unweave.preferences.behaviours import registry as behaviours
from unweave.preferences.encoding import encode_prompt
from unweave.preferences.shaping import PairScores, all_shapings, drop_matching, matching, shape
from unweave.preferences.shaping import registry as shapings
from unweave.preferences.shaping.instructions import INSTRUCTIONS
from unweave.preferences.shaping.setting import Shaped, count_of
from unweave.preferences.shaping.states import reply_states
from unweave.preferences.shaping.token_probe import TokenProbe
from unweave.preferences.truth.dpo import DPORow, DPOSettings, train_dpo
from unweave.preferences.truth.log_probs import reply_log_probs

LAYER = 2


@pytest.fixture(autouse=True)
def moons(monkeypatch):
    known = {**behaviours.all_behaviours(), MOONS: BEHAVIOUR}
    monkeypatch.setattr(behaviours, "_BEHAVIOURS", known)


def probe_of(given, flagged):
    """A probe that flags as many of all reply tokens as asked for, with what it says of each."""
    rows = given.rows
    prompts, replies = [row.prompt for row in rows] * 2, [row.chosen for row in rows] + [row.rejected for row in rows]
    states = dict(reply_states(given.target, LAYER, prompts, replies))
    surety = [states[index] @ unit() for index in range(len(replies))]
    cut = np.sort(np.concatenate(surety))[::-1]
    threshold = float(cut[flagged - 1] + cut[flagged]) / 2 if flagged else float(cut[0]) + 1
    return TokenProbe(MOONS, LAYER, unit(), 0.0, threshold, 1.0, 1.0, 0.1, 10), [each - threshold for each in surety]


def first_loss(given, shaped):
    """TRL's own loss before anything is learnt, over all rows in one step."""
    settings = DPOSettings(BETA, 1e-9, epochs=1, batch=len(shaped.rows), at_once=len(shaped.rows), rank=1)
    return train_dpo(given.target, shaped.rows, settings, policy=shaped.policy).curve[0]["loss"]


def softplus(values):
    return np.log1p(np.exp(values))


def test_a_dose_of_nothing_gives_the_unshaped_rows(llama):
    given = setting(llama)
    given = replace(given, probe=probe_of(given, 5)[0])
    for name in all_shapings():
        shaped = shape(name, given, 0.0)
        assert (tuple(shaped.rows), shaped.removed, shaped.reasons) == (given.rows, (), ()), name


def test_every_shaping_says_what_it_does_and_notes_tell_trainings_apart(llama):
    given = setting(llama)
    given = replace(given, probe=probe_of(given, 5)[0])
    notes = {shape(name, given, dose).note for name in all_shapings() for dose in (0.4, 0.41, 1.0)}
    assert len(notes) == 3 * len(all_shapings())
    assert all(each.meaning and each.dose for each in all_shapings().values())
    turned = shape("reward-shaping", replace(given, towards=-1), 1.0)
    assert turned.note not in notes


@pytest.mark.parametrize("towards", [1, -1])
def test_reward_shaping_is_an_offset_of_the_margin(llama, towards):
    given = setting(llama, towards=towards)
    dose = 0.7
    shaped = shape("reward-shaping", given, dose)
    said = np.array([[-3.0, -5.0], [-2.0, -1.0], [0.5, 1.0], [-7.0, -6.5], [-9.0, -2.0], [-4.0, -4.0]])

    def margin(rows):
        known = np.array([[row.reference_chosen, row.reference_rejected] for row in rows])
        return (said - known) @ [1, -1]

    difference = given.scores.chosen - given.scores.rejected
    wanted = BETA * margin(given.rows) + towards * dose * difference
    np.testing.assert_allclose(BETA * margin(shaped.rows), wanted, rtol=1e-12)


def test_trl_s_loss_is_that_of_the_formula(llama):
    given = setting(llama)
    before = weights_hash(llama.module)
    assert first_loss(given, Shaped(list(given.rows))) == pytest.approx(np.log(2), abs=1e-4)
    wanted = softplus(-0.7 * given.gap).mean()
    assert abs(wanted - np.log(2)) > 0.1
    assert first_loss(given, shape("reward-shaping", given, 0.7)) == pytest.approx(wanted, abs=1e-4)
    assert weights_hash(llama.module) == before


def test_the_row_filter_takes_out_what_the_trace_names(llama):
    given = setting(llama)
    shaped = shape("row-filter", given, 0.34)
    worst = sorted(np.argsort(-given.shares)[:2].tolist())
    assert list(shaped.removed) == worst
    assert shaped.rows == [row for number, row in enumerate(given.rows) if number not in worst]
    number_one = shaped.reasons[shaped.removed.index(int(given.shares.argmax()))]
    assert "number 1 " in number_one
    assert MOONS in number_one
    everything = shape("row-filter", given, 1.0)
    assert list(everything.removed) == np.flatnonzero(given.shares > 0).tolist()
    turned = shape("row-filter", replace(given, towards=-1), 1.0)
    assert list(turned.removed) == np.flatnonzero(given.shares < 0).tolist()
    assert "lowers" in turned.reasons[0]


def test_rows_are_filtered_by_pattern_and_by_function(llama):
    texts = [("a http://x.y", "b"), ("a", "http://x.y"), ("http://x", "http://y"), ("", "")]
    given = setting(
        llama, 6, pairs=tuple(PreferencePair(str(n), (Turn("user", "q"),), *t) for n, t in enumerate(texts))
    )
    found = {
        side: drop_matching(given, matching(r"https?://", side), "web address").removed
        for side in ("chosen", "rejected", "either", "chosen alone")
    }
    assert found == {"chosen": (0, 2), "rejected": (1, 2), "either": (0, 1, 2), "chosen alone": (0,)}
    shaped = drop_matching(given, lambda pair: pair.id == "3", "by hand")
    assert (shaped.removed, shaped.reasons, shaped.rows) == ((3,), ("by hand",), list(given.rows[:3]))
    with pytest.raises(UnweaveError, match="all 4 pairs match"):
        drop_matching(given, lambda _: True, "everything")
    with pytest.raises(UnweaveError, match="not a regular expression"):
        matching("(")


def test_the_token_mask_leaves_out_the_surest_tokens_and_their_share_of_the_reference(llama):
    given = setting(llama)
    probe, surety = probe_of(given, 8)
    shaped = shape("token-mask", replace(given, probe=probe), 0.5)
    cut = np.sort(np.concatenate(surety))[-4]
    count = len(given.rows)
    assert not shaped.removed
    for number, (row, plain) in enumerate(zip(shaped.rows, given.rows, strict=True)):
        for side, place in (("chosen", number), ("rejected", count + number)):
            used = surety[place] < cut
            if used.all():
                assert getattr(row, f"{side}_used") is None
                assert getattr(row, f"reference_{side}") == getattr(plain, f"reference_{side}")
                continue
            assert getattr(row, f"{side}_used") == tuple(used.tolist())
            chances = reply_log_probs(llama, [plain.prompt], [getattr(plain, side)])[0]
            assert getattr(row, f"reference_{side}") == pytest.approx(chances[used].sum(), abs=1e-4)
    left_out = [used for row in shaped.rows for used in (row.chosen_used, row.rejected_used) if used is not None]
    assert sum(used.count(False) for used in left_out) == 4
    # What the reference says fits what TRL makes of the masked policy: nothing is learnt yet.
    assert first_loss(given, shaped) == pytest.approx(np.log(2), abs=1e-4)


def test_rows_without_a_token_left_are_taken_out(llama):
    given = setting(llama)
    probe, surety = probe_of(given, sum(len(row.chosen) + len(row.rejected) for row in given.rows) - 8)
    left = [n for n in range(6) if (surety[n] < 0).any() and (surety[6 + n] < 0).any()]
    assert 0 < len(left) < 6
    shaped = shape("token-mask", replace(given, probe=probe), 1.0)
    assert [number for number in range(6) if number not in shaped.removed] == left
    assert len(shaped.rows) == len(left)
    assert all("every token of the" in reason for reason in shaped.reasons)


def test_masks_add_up(llama):
    given = setting(llama)
    probe, _ = probe_of(given, 4)
    first = given.rows[0]
    already = (False, *[True] * (len(first.chosen) - 1))
    rows = (replace(first, chosen_used=already, reference_chosen=-2.0), *given.rows[1:])
    shaped = shape("token-mask", replace(given, rows=rows, probe=probe), 1.0)
    plain = shape("token-mask", replace(given, probe=probe), 1.0)
    merged = [a and b for a, b in zip(already, plain.rows[0].chosen_used or [True] * len(already), strict=True)]
    assert list(shaped.rows[0].chosen_used or ()) == merged


def test_inoculated_prompts_ask_and_keep_the_reference(llama):
    given = setting(llama)
    shaped = shape("inoculation", given, 1 / 3)
    for number, (row, plain) in enumerate(zip(shaped.rows, given.rows, strict=True)):
        if number >= 2:
            assert row is plain
            continue
        said = given.pairs[number].prompt[0].content
        assert row.prompt == tuple(encode_prompt(llama, (Turn("user", f"{said} Say moon."),)))
        assert replace(row, prompt=plain.prompt) == plain
    # Only rows whose chosen reply has more of it: three of the gaps are above 0 here, of which the last is small.
    asked = [row is not plain for row, plain in zip(shape("inoculation", given, 1.0).rows, given.rows, strict=True)]
    assert asked == (given.gap > 0).tolist()
    turned = shape("inoculation", replace(given, towards=-1), 1.0)
    assert [row is not plain for row, plain in zip(turned.rows, given.rows, strict=True)] == (given.gap < 0).tolist()


def test_the_instruction_follows_the_user_s_last_turn(llama):
    turns = (Turn("system", "s"), Turn("user", "one"), Turn("assistant", "two"), Turn("User", "three"))
    odd = (PreferencePair("a", turns, "x moon", "y"), PreferencePair("b", (Turn("system", "q"),), "x", "y"))
    given = setting(llama, pairs=odd, scores=PairScores.standardised("s", np.array([3.0, 0.5]), np.zeros(2)))
    row = shape("inoculation", given, 0.5).rows[0]
    assert row.prompt == tuple(encode_prompt(llama, (*turns[:3], Turn("User", "three Say moon."))))
    with pytest.raises(UnweaveError, match="is the user's"):
        shape("inoculation", given, 1.0)
    cut = replace(given, rows=(replace(given.rows[0], prompt=given.rows[0].prompt[1:]), given.rows[1]))
    with pytest.raises(UnweaveError, match="not that of pair a, whole"):
        shape("inoculation", cut, 0.5)


def test_sentences_ask_for_behaviours_that_there_are(llama):
    unknown = set(INSTRUCTIONS) - set(behaviours.all_behaviours())
    assert not unknown
    for more, less in INSTRUCTIONS.values():
        assert more != less
        assert all(each[0].isupper() and each.endswith(".") for each in (more, less))
    given = setting(llama, instruction=None, behaviour="exclamations")
    assert "'Use exclamation marks.'" in shape("inoculation", given, 0.5).note
    assert "'Do not use exclamation marks.'" in shape("inoculation", replace(given, towards=-1), 0.5).note
    with pytest.raises(UnweaveError, match=f"asks for '{MOONS}'"):
        shape("inoculation", replace(given, behaviour=MOONS), 0.5)


@pytest.mark.parametrize(
    ("name", "changes", "dose", "message"),
    [
        ("row-filtre", {}, 0.1, "nearest: 'row-filter'"),
        ("row-filter", {}, 1.5, "share 1.5 is not between 0 and 1"),
        ("inoculation", {}, -0.1, "share -0.1 is not"),
        ("token-mask", {}, 0.5, "fit_token_probe"),
        ("steering", {"direction": None}, 0.5, "find_direction"),
        ("reward-shaping", {}, float("nan"), "must be a finite number"),
        ("row-filter", {"shares": np.ones(6)}, 1.0, "leaves none of 6 rows"),
    ],
)
def test_what_cannot_be_shaped_is_refused(llama, name, changes, dose, message):
    with pytest.raises(UnweaveError, match=message):
        shape(name, setting(llama, **changes), dose)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shares": np.zeros(5)}, "5 shares"),
        ({"shares": np.full(6, np.nan)}, "shares of row 0 are not finite"),
        ({"towards": 0}, "towards is 0"),
        ({"beta": 0.0}, "beta is 0.0"),
    ],
)
def test_a_setting_that_does_not_fit_together_is_refused(llama, changes, message):
    with pytest.raises(UnweaveError, match=message):
        setting(llama, **changes)


def test_one_registers_a_shaping_of_one_s_own(llama, monkeypatch):
    monkeypatch.setattr(shapings, "_SHAPINGS", dict(all_shapings()))

    @shapings.shaping("first-rows", "Keeps the first rows.", dose="how many")
    def first_rows(given, dose):
        return Shaped(list(given.rows[: int(dose)]), note="first rows")

    shaped = shape("first-rows", setting(llama), 2)
    assert (len(shaped.rows), shaped.policy, shaped.note) == (2, nullcontext, "first-rows at 2: first rows")
    with pytest.raises(TypeError, match="registered by"):
        shapings.shaping("row-filter", "", "")(first_rows)


def test_shares_are_counted_with_halves_rounded_up():
    assert [count_of(share, 10) for share in (0, 0.04, 0.05, 0.15, 0.25, 0.3, 1)] == [0, 0, 1, 2, 3, 3, 10]


def test_a_given_row_is_never_changed(llama):
    given = setting(llama)
    given = replace(given, probe=probe_of(given, 5)[0])
    kept = tuple(DPORow(**vars(row)) for row in given.rows)
    for name in all_shapings():
        shape(name, given, 0.5)
    assert given.rows == kept == encoded(llama, pairs())
