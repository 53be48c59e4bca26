from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.stats import holm


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.9]) == pytest.approx([1.0, 1.0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_the_raw_p_and_bonferroni_and_keeps_the_order(p):
    adjusted, raw = holm(p), np.array(p)
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(raw * len(p), 1) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_as_the_step_down_procedure_does(p, alpha):
    rejected, order = set(), sorted(range(len(p)), key=lambda index: p[index])
    for step, index in enumerate(order):
        if p[index] * (len(p) - step) > alpha:
            break
        rejected.add(index)
    assert {index for index, value in enumerate(holm(p)) if value <= alpha} == rejected


def test_holm_refuses_what_is_not_a_probability():
    with pytest.raises(UnweaveError, match="between 0 and 1"):
        holm([0.2, 1.2])
