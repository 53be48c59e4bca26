from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.discovery import DiscoveryConfig, discover
from unweave.shapes.manifolds.ising import fit_ising

ROWS = 1500
CONFIG = DiscoveryConfig(random_groups=19)


def drawn(couplings, fields, count=2000, seed=0):
    """Spins of an Ising model by enumerating its states."""
    units = len(fields)
    states = ((np.arange(2**units)[:, None] >> np.arange(units)) & 1) * 2.0 - 1
    energy = states @ fields + 0.5 * np.einsum("si,ij,sj->s", states, couplings, states)
    chance = np.exp(energy - energy.max())
    return states[np.random.default_rng(seed).choice(len(states), count, p=chance / chance.sum())]


def planted():
    couplings = np.zeros((8, 8))
    for i, j, size in ((0, 1, 0.7), (1, 2, 0.7), (3, 4, -0.6), (5, 6, 0.5)):
        couplings[i, j] = couplings[j, i] = size
    return couplings, np.full(8, -0.3)


def test_planted_couplings_are_found_with_their_signs_and_no_others():
    couplings, fields = planted()
    found = fit_ising(drawn(couplings, fields))
    there = couplings != 0
    assert (np.sign(found.couplings[there]) == np.sign(couplings[there])).all()
    assert np.abs(found.couplings[there]).min() > 0.3
    # The penalty of the least criterion lets in a coupling or two that are next to nothing.
    assert np.abs(found.couplings[~there]).max() < 0.05
    assert np.array_equal(found.couplings, found.couplings.T)
    assert found.edges <= 6


def test_without_a_penalty_the_fit_comes_to_the_model():
    couplings, fields = planted()
    # The last penalty of a long path is a hundredth of the first: with gamma 0 and many rows it shrinks little.
    found = fit_ising(drawn(couplings, fields, 6000), gamma=0)
    assert np.abs(found.couplings - couplings).max() < 0.12
    assert np.abs(found.fields - fields).max() < 0.1


def test_independent_units_have_no_couplings():
    spins = np.where(np.random.default_rng(0).random((ROWS, 20)) < 0.2, 1.0, -1.0)
    assert fit_ising(spins).edges == 0


def bumps(kind, seed=0):
    """Two circles, each active in a quarter of the rows and carried by six latents, among thirty that fire anywhere."""
    generator = np.random.default_rng(seed)
    centres = np.arange(6) / 6 * 2 * np.pi
    parts, directions = [], np.linalg.qr(generator.standard_normal((48, 34)))[0].T
    written = []
    for circle in range(2):
        angle = generator.random(ROWS) * 2 * np.pi
        on = generator.random(ROWS) < 0.25
        wide = -0.7 if kind == "capture" else 0.88
        parts.append(np.where(on[:, None], np.maximum(np.cos(angle[:, None] - centres) - wide, 0), 0))
        written.append(np.stack([np.cos(centres), np.sin(centres)], 1) @ directions[2 * circle : 2 * circle + 2])
    parts.append(np.where(generator.random((ROWS, 30)) < 0.15, generator.random((ROWS, 30)), 0))
    written.append(directions[4:34])
    return np.concatenate(parts, 1), np.concatenate(written)


def test_latents_of_two_circles_are_two_groups_with_two_dimensions_each():
    activity, directions = bumps("capture")
    found = discover(activity, directions, CONFIG)
    assert {each.units for each in found.kept} == {tuple(range(6)), tuple(range(6, 12))}
    for each in found.kept:
        assert (each.kind, each.dimensions) == ("capture", 2)
        assert each.balance > 0.2
        assert each.inside > 0.9
        assert each.p <= 0.05
    # With 19 random groups no p is below a twentieth: the same groups are found, and none is kept.
    strict = discover(activity, directions, replace(CONFIG, random_groups=19, level=0.01))
    assert {each.units for each in strict.groups} >= {tuple(range(6)), tuple(range(6, 12))}
    assert not strict.kept


def test_latents_that_share_a_circle_out_shatter_it():
    # Each latent of a circle that is always on has a sixth of it to itself.
    angle = np.random.default_rng(3).random(ROWS) * 6
    activity = np.stack([(angle.astype(int) == each) * (0.5 + angle % 1) for each in range(6)], 1)
    others = np.where(np.random.default_rng(4).random((ROWS, 8)) < 0.15, 1.0, 0.0)
    found = discover(np.concatenate([activity, others], 1), None, CONFIG)
    (group,) = [each for each in found.groups if set(each.units) & set(range(6))]
    assert group.units == tuple(range(6))
    assert group.kind == "shatter"
    assert group.balance < -0.9


def test_neither_scale_nor_order_of_the_units_changes_what_is_found():
    activity, directions = bumps("capture")
    order = np.random.default_rng(0).permutation(42)
    found = discover(3 * activity[:, order], directions[order] / 3, CONFIG)
    groups = {tuple(sorted(order[list(each.units)])) for each in found.kept}
    assert groups == {tuple(range(6)), tuple(range(6, 12))}


def test_nothing_is_found_in_units_that_fire_on_their_own():
    for seed in range(2):
        activity, directions = bumps("capture", seed)
        generator = np.random.default_rng(seed)
        found = discover(generator.permuted(activity, axis=0), directions, CONFIG)
        assert not found.kept


def test_units_outside_the_band_are_left_out():
    activity, directions = bumps("capture")
    rates = (activity > 0).mean(0)
    config = replace(CONFIG, least_rate=float(rates[12:].min()) + 1e-9, most_rate=0.9)
    assert 12 + int(rates[12:].argmin()) not in discover(activity, directions, config).considered
    none = discover(np.zeros((20, 5)), None, CONFIG)
    assert (none.groups, none.considered, none.ising) == ((), (), None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: fit_ising(np.zeros((9, 3))), "give -1 and 1"),
        (lambda: fit_ising(np.ones((9, 3))), "unit 0 never changes"),
        (lambda: fit_ising(np.array([[1, -1], [-1, 1.0]]), gamma=-1), "gamma -1"),
        (lambda: discover(np.full((4, 3), np.nan)), "finite numbers"),
        (lambda: discover(np.ones((4, 3)), np.ones((2, 5))), "2 directions of 3 units"),
        (lambda: DiscoveryConfig(least_rate=0.6), "rates from 0.6"),
        (lambda: DiscoveryConfig(random_groups=5), "random_groups 5"),
    ],
)
def test_what_cannot_be_used_is_refused(given, said):
    with pytest.raises(UnweaveError, match=said):
        given()
