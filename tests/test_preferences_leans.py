from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from unweave.base.errors import UnweaveError
from unweave.preferences.features import leans as module
from unweave.preferences.features.leans import LeanConfig, first_half, measure_leans

ROWS, GROUPS, COLUMNS = 600, 6, 12
FEATURES = np.full(COLUMNS, 5)
UNITS = [f"pair {row}" for row in range(ROWS)]
PLANTED = (2, 7)


def signed(seed=0, lean=0.0):
    """Noise in [-1, 1]; with ``lean`` group 2 prefers column 7."""
    generator = np.random.default_rng(seed)
    found = generator.choice([-0.4, -0.2, 0, 0.2, 0.4], size=(ROWS, COLUMNS))
    found[np.arange(ROWS) % GROUPS == PLANTED[0], PLANTED[1]] += lean
    return found.astype(np.float32)


def groups(rows=ROWS):
    return sparse.csr_matrix(np.arange(rows)[:, None] % GROUPS == np.arange(GROUPS))


def test_the_planted_lean_and_no_other_is_shown():
    table = measure_leans(signed(lean=0.25), groups(), UNITS, FEATURES)
    (lean,) = table.leans()
    assert (lean.group, lean.column, lean.rows, lean.features) == (*PLANTED, 100, 5)
    assert lean.delta == pytest.approx(0.25, abs=0.1)
    assert lean.delta_min == min(abs(half) for half in lean.halves) > 0.1
    assert lean.z > table.least_z > 2
    assert table.leans("rejected") == []
    (other,) = measure_leans(-signed(lean=0.25), groups(), UNITS, FEATURES).leans("rejected")
    assert other.delta == pytest.approx(-lean.delta)


def test_a_dataset_that_teaches_nothing_shows_nothing():
    """Few of twelve null tables show a lean (one in twenty would), where the source's rules show dozens in each."""
    tables = [measure_leans(signed(seed), groups(), UNITS, FEATURES) for seed in range(12)]
    assert sum(bool(table.leans()) for table in tables) <= 2
    assert all(table.agreeing_by_chance > 20 for table in tables)
    assert all(table.shown_by_chance <= 0.06 for table in tables)
    agreeing = np.mean([table.agrees.sum() for table in tables])
    assert agreeing == pytest.approx(np.mean([table.agreeing_by_chance for table in tables]), rel=0.25)


def test_statistics_are_those_of_scipy():
    values, table = signed(3, 0.1), measure_leans(signed(3, 0.1), groups(), UNITS, FEATURES)
    half = first_half(UNITS)
    for group in range(GROUPS):
        inside = np.arange(ROWS) % GROUPS == group
        for column in range(COLUMNS):
            x = values[:, column].astype(np.float64)
            welch = stats.ttest_ind(x[inside], x[~inside], equal_var=False).statistic
            assert table.z[group, column] == pytest.approx(welch, rel=1e-6)
            assert table.inside[group, column] == pytest.approx(x[inside].mean())
            student = stats.ttest_ind(x[inside], x[~inside]).statistic
            n, m = inside.sum(), (~inside).sum()
            assert table.d[group, column] == pytest.approx(student * np.sqrt(1 / n + 1 / m), rel=1e-6)
            for part in (half, ~half):
                expected = x[inside & part].mean() - x[~inside & part].mean()
                assert table.halves[0 if part is half else 1, group, column] == pytest.approx(expected)
    np.testing.assert_allclose(table.overall, values.mean(0), atol=1e-6)


def test_groups_may_overlap_and_columns_come_in_blocks(monkeypatch):
    values, members = signed(4), np.random.default_rng(0).random((ROWS, 3)) < 0.3
    whole = measure_leans(values, sparse.csr_matrix(members), UNITS, FEATURES)
    monkeypatch.setattr(module, "COLUMN_VALUES", 5 * ROWS)
    parts = measure_leans(values, sparse.csr_matrix(members), UNITS, FEATURES)
    np.testing.assert_allclose(whole.z, parts.z)
    assert whole.least_z == parts.least_z
    for group in range(3):
        inside = members[:, group]
        expected = values[inside].mean(0) - values[~inside].mean(0)
        np.testing.assert_allclose(whole.delta[group], expected, atol=1e-6)


def test_few_rows_and_few_features_are_not_shown():
    few = FEATURES.copy()
    few[PLANTED[1]] = 3
    assert not measure_leans(signed(lean=0.3), groups(), UNITS, few).leans()
    assert measure_leans(signed(lean=0.3), groups(), UNITS, few, LeanConfig(least_features=3)).leans()
    assert not measure_leans(signed(lean=0.3), groups(), UNITS, FEATURES, LeanConfig(least_rows=101)).leans()


def test_halves_that_disagree_are_not_shown():
    half = first_half(UNITS)
    values = signed()
    inside = np.arange(ROWS) % GROUPS == PLANTED[0]
    values[inside & half, PLANTED[1]] += 0.9
    values[inside & ~half, PLANTED[1]] -= 0.1
    table = measure_leans(values, groups(), UNITS, FEATURES)
    assert table.z[PLANTED] > table.least_z
    assert not table.agrees[PLANTED]
    assert table.delta_min[PLANTED] == 0
    assert not table.leans()
    assert len(table.leans(shown=False)) == GROUPS * COLUMNS


def test_halves_hang_on_the_unit_not_on_the_order():
    order = np.random.default_rng(0).permutation(ROWS)
    np.testing.assert_array_equal(first_half([UNITS[i] for i in order]), first_half(UNITS)[order])
    assert 0.4 < first_half(UNITS).mean() < 0.6
    both = first_half([*UNITS, *UNITS])
    np.testing.assert_array_equal(both[:ROWS], both[ROWS:])


def test_copies_of_a_pair_are_no_more_evidence():
    """Every pair eight times, named as one unit each: what a null dataset then shows is caught; as pairs it is not."""
    shown = {True: 0, False: 0}
    for seed in range(6):
        values = np.repeat(signed(seed)[: ROWS // 4], 8, axis=0)
        members = groups(ROWS // 4)[np.repeat(np.arange(ROWS // 4), 8)]
        names = np.repeat(UNITS[: ROWS // 4], 8)
        for together in shown:
            units = list(names) if together else [f"{name}/{i}" for i, name in enumerate(names)]
            shown[together] += len(measure_leans(values, members, units, FEATURES).leans())
    assert shown[True] <= 1
    assert shown[False] > 20


def test_orders_and_limits():
    table = measure_leans(signed(lean=0.25), groups(), UNITS, FEATURES)
    for order in module.ORDERS:
        found = table.leans(order=order, shown=False)
        strengths = [abs(getattr(lean, order)) for lean in found]
        assert strengths == sorted(strengths, reverse=True)
    assert len(table.leans(shown=False, most=3)) == 3
    with pytest.raises(UnweaveError, match="'size' is not known"):
        table.leans(order="size")  # type: ignore[arg-type]


def test_columns_that_never_vary_have_no_lean():
    values = signed()
    values[:, 3] = 0.1
    table = measure_leans(values, groups(), UNITS, FEATURES)
    assert (table.z[:, 3] == 0).all()
    assert (table.d[:, 3] == 0).all()


def test_what_does_not_match_is_refused():
    with pytest.raises(UnweaveError, match="as many rows"):
        measure_leans(signed(), groups(), UNITS[1:], FEATURES)
    with pytest.raises(UnweaveError, match="cannot reach level"):
        LeanConfig(flips=10)
    with pytest.raises(UnweaveError, match="least_rows"):
        LeanConfig(least_rows=1)
