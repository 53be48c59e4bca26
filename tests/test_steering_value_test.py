from __future__ import annotations

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.shapes.steering.value_test import pairs_mean

PAIRS = [(a, b) for a in range(8) for b in range(a + 1, 8)]


def test_a_mean_of_nothing_is_called_something_no_more_often_than_stated():
    """Also where each value has its own share in all its pairs, which a test over pairs takes for evidence."""
    generator = np.random.default_rng(0)
    for own in (0.0, 1.0):
        ps = []
        for _ in range(400):
            shares = own * generator.standard_normal(8)
            noise = generator.standard_normal(len(PAIRS))
            ps.append(pairs_mean([shares[a] + shares[b] + e for (a, b), e in zip(PAIRS, noise, strict=True)], PAIRS).p)
        assert np.mean(np.array(ps) <= 0.05) < 0.08


def test_a_clear_difference_is_found_and_lies_in_its_interval():
    generator = np.random.default_rng(1)
    found = pairs_mean((3 + generator.standard_normal(len(PAIRS))).tolist(), PAIRS)
    assert found.p < 0.001
    assert found.low < 3 < found.high
    assert found.values == 8
    assert pairs_mean([2.0] * len(PAIRS), PAIRS).p == 0
    assert np.isnan(pairs_mean([1.0, 2.0], [(0, 1), (1, 2)]).p)


def test_numbers_that_are_not_of_the_pairs_are_refused():
    with pytest.raises(UnweaveError, match="2 numbers for 1 pairs"):
        pairs_mean([1.0, 2.0], [(0, 1)])
