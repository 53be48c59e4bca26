from __future__ import annotations

import math
from dataclasses import replace

import planted
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.corpora.windows import windows_by_label
from unweave.edit import line_search
from unweave.edit.edits import FactorEdit, applied
from unweave.edit.line_search import (
    KL_LIMIT,
    Probe,
    Reference,
    expected_levels,
    loss_activations,
    search,
    tune_factor,
    tune_on_loss_alone,
)
from unweave.edit.measure import measure
from unweave.edit.objective import removal_cross_entropy, retained_kl
from unweave.edit.setting import Setting
from unweave.models.capture import capture_inputs
from unweave.models.prefix import Prefix
from unweave.models.target import weights_hash
from unweave.read.selection import label_statistics, select


@pytest.fixture(scope="module")
def setting(planted_target, planted_text, planted_decomposition):
    pieces = planted_decomposition.site(planted.SITE)
    windows = windows_by_label(planted_target.tokenizer, planted_text, "selection", count=16)
    chosen = select([label_statistics(planted_target, pieces, windows)], planted.REMOVED).index
    return Setting(planted_target, planted_text, planted.REMOVED, planted.RETAINED, pieces, chosen, windows)


@pytest.fixture(scope="module")
def edit(setting):
    return FactorEdit.on_pieces([(setting.piece(), 1.0)], setting.target.identity.digest)


def level_of(curve, kl=lambda _: 0.0):
    """A level function that remembers where it was asked."""
    asked = []

    def level(strength):
        asked.append(strength)
        return Probe(strength, curve(strength), kl(strength))

    return level, asked


@settings(max_examples=100, deadline=None)
@given(st.floats(0.05, 3), st.floats(0.4, 3), st.floats(0, 4), st.floats(5, 9))
def test_any_rising_curve_is_followed_to_the_wanted_level(rate, power, start, wanted):
    level, asked = level_of(lambda strength: start + rate * abs(strength) ** power)
    tuned = search(level, wanted, limit=1e6)
    assert tuned.stopped == "reached"
    assert level(tuned.strength).level == pytest.approx(wanted, rel=0.04)
    assert tuned.strength < 0
    assert max(asked) <= 0, "the piece is only ever turned down"
    assert len(tuned.path) < 40
    assert tuned.factor == 1 + tuned.strength


def test_a_step_is_closed_in_on_from_the_far_side():
    level, _ = level_of(lambda strength: 9.0 if strength < -2.9 else 1.0)
    tuned = search(level, 5.0)
    assert tuned.stopped == "reached"
    assert -2.9 * 1.02 < tuned.strength < -2.9


def test_a_base_that_is_there_already_is_left_alone():
    level, asked = level_of(lambda _: 7.0)
    tuned = search(level, 5.0)
    assert (tuned.strength, tuned.factor, asked) == (0.0, 1.0, [0.0])
    assert "already there" in tuned.stopped


def test_what_never_arrives_stops_at_the_limit_with_the_best_it_saw():
    level, asked = level_of(lambda strength: 3 - abs(abs(strength) - 4) / 10)
    tuned = search(level, 5.0, limit=40)
    assert tuned.stopped == "limit of the strength"
    assert tuned.strength == -4
    assert min(asked) >= -40


def test_it_stops_short_where_retained_text_would_change_too_much():
    level, asked = level_of(lambda strength: 0.5 * -strength, kl=lambda strength: 0.1 * -strength)
    tuned = search(level, 5.0)
    assert tuned.stopped == "retained text would change too much"
    assert tuned.strength == pytest.approx(-3, abs=0.1)
    assert asked[:5] == [0, -1, -2, -4, -3]
    assert all(probe.kl <= KL_LIMIT for probe in tuned.path if probe.strength >= tuned.strength)


def test_the_factor_of_the_planted_piece_makes_its_label_uninformative_and_no_other(setting, edit):
    target = setting.target
    before = weights_hash(target.module)
    tuned = tune_factor(target, edit, setting.objective(64, 0), setting.reference(setting.piece()))
    assert weights_hash(target.module) == before
    assert tuned.factor < 1
    windows = windows_by_label(target.tokenizer, setting.corpus, "evaluation", count=12)
    held_out = {label: Prefix(torch.as_tensor(part), 0, None) for label, part in windows.items()}
    base = {label: measure(target, prefix).mean()[0] for label, prefix in held_out.items()}
    with applied(target, edit.with_factor(tuned.factor)):
        edited = {label: measure(target, prefix).mean()[0] for label, prefix in held_out.items()}
    assert base["qb"] / math.log(target.vocabulary) < 0.4
    assert 0.75 < edited["qb"] / math.log(target.vocabulary) < 1.1
    assert all(edited[label] - base[label] < 0.4 for label in ("qa", "qc", "qd"))


def test_the_expected_level_is_the_acting_entropy_plus_the_offset_plus_the_gain_per_activation(setting, edit):
    """And a piece that hardly acts on the loss tokens counts as acting there by a fifth of what is usual."""
    objective, piece = setting.objective(4, 0), setting.piece()
    entropy = objective.removed.entropy()
    activation = loss_activations(setting.target, objective.removed, piece.site, piece.v, piece.u)
    acting = float(activation.sum())
    usual, rare = Reference(2.0, 1.6, acting / 4, 1.5), Reference(2.0, 1.6, 10 * acting, 1.5)
    assert usual.offset == pytest.approx(0.1 + 0.75 * 0.4)
    start = expected_levels(setting.target, edit, objective, usual)(0.0)
    assert start.level == pytest.approx(float((activation * entropy).sum()) / acting + usual.offset, abs=1e-4)
    assert start.kl == pytest.approx(0, abs=1e-5)
    with applied(setting.target, edit.with_factor(-1.0)), torch.no_grad():
        gain = removal_cross_entropy(setting.target, objective.removed) - entropy
        kl = retained_kl(setting.target, objective.retained).mean()
    found = expected_levels(setting.target, edit, objective, usual)(-2.0)
    assert found.level == pytest.approx(start.level + float(gain.sum()) / 4, rel=1e-3)
    at_rest = expected_levels(setting.target, edit, objective, rare)(0.0)
    capped = expected_levels(setting.target, edit, objective, rare)(-2.0)
    assert at_rest.level == pytest.approx(float(entropy.mean()) + rare.offset, abs=1e-4)
    assert capped.level - at_rest.level == pytest.approx(float(gain.sum()) / (0.2 * 4), rel=1e-3)
    assert found.kl == pytest.approx(float(kl), rel=1e-3)


def test_where_entropy_is_carried_over_the_rise_counts_from_the_labels_own_entropy(setting, edit):
    objective = setting.objective(4, 0)
    one_level = Reference(2.0, 1.6, 0.7, 1.5)
    starts = [
        expected_levels(setting.target, edit, objective, replace(one_level, entropy_carried=carried))(0.0).level
        for carried in (0.0, 0.5, 1.0)
    ]
    assert starts[2] == pytest.approx(1.6 + 0.75 * 0.4, abs=1e-4)
    assert abs(starts[0] - starts[2]) > 0.01
    assert starts[1] == pytest.approx((starts[0] + starts[2]) / 2, abs=1e-4)


def test_the_activations_are_read_at_the_loss_positions(setting):
    text, piece = setting.objective(4, 0).removed, setting.piece()
    site = setting.target.site(piece.site)
    with torch.no_grad():
        x = capture_inputs(setting.target, [site], text.prefix.tokens)[site.name]
    at = [[x[row, position] @ piece.v for position in positions] for row, positions in enumerate(text.positions)]
    expected = torch.tensor(at) * piece.u.norm()
    torch.testing.assert_close(loss_activations(setting.target, text, site.name, piece.v, piece.u), expected)


def test_only_one_piece_can_be_tuned(setting):
    two = FactorEdit.on_pieces([(setting.pieces[0], 1.0), (setting.pieces[1], 1.0)], setting.target.identity.digest)
    with pytest.raises(UnweaveError, match="one factor is tuned on one subcomponent, and this edit has 2"):
        tune_factor(setting.target, two, setting.objective(4, 0), Reference(1.0, 1.0, 1.0, 1.0))


def test_the_limit_itself_is_tried_before_giving_up():
    level, asked = level_of(lambda strength: 1.0 if strength <= -90 else 0.0)
    assert -95 <= search(level, 1.0).factor <= -89
    level, asked = level_of(lambda strength: 0.0)
    assert search(level, 1.0).stopped == "limit of the strength"
    assert min(asked) == -96


def test_a_piece_that_acts_both_ways_on_the_loss_tokens_starts_from_their_mean_entropy(setting, edit, monkeypatch):
    objective = setting.objective(4, 0)
    reference = setting.reference(setting.piece())
    size = abs(reference.activation)
    mixed = torch.tensor([[9.0, -8.9, 9.0, -7.9]]) * size
    monkeypatch.setattr(line_search, "loss_activations", lambda *_: mixed)
    base = expected_levels(setting.target, edit, objective, reference)(0.0).level - reference.offset
    assert base == pytest.approx(float(objective.removed.entropy().mean()), rel=1e-4)


def test_without_a_reference_the_search_ends_where_the_loss_tokens_themselves_stand_at_the_ceiling(setting, edit):
    objective = setting.objective(4, 0)
    tuned = tune_on_loss_alone(setting.target, edit, objective)
    assert tuned.stopped == "reached"
    with applied(setting.target, edit.with_factor(tuned.factor)), torch.no_grad():
        reached = float(removal_cross_entropy(setting.target, objective.removed).mean())
    assert reached == pytest.approx(objective.ceiling, rel=0.01)
