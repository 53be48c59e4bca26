from __future__ import annotations

import numpy as np
import planted
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.decompose.batches import RowBatches, check_data, fingerprint, text_windows

ROWS = torch.arange(20)[:, None] * 10 + torch.arange(3)


def test_the_step_and_the_seed_decide_a_batch_and_what_was_drawn_before_does_not():
    batches = RowBatches(ROWS, 8, seed=3)
    found = [batches(step) for step in range(5)]
    assert all(batch.shape == (8, 3) for batch in found)
    assert all(torch.equal(batches(step), found[step]) for step in (4, 0, 2))
    assert not torch.equal(found[0], found[1])
    assert torch.equal(RowBatches(ROWS, 8, seed=3)(2), found[2])
    assert not torch.equal(RowBatches(ROWS, 8, seed=4)(2), found[2])


def test_rows_are_whole_and_drawn_about_equally_often():
    batches = RowBatches(ROWS, 100)
    drawn = torch.cat([batches(step) for step in range(50)])
    assert torch.equal(drawn % 10, torch.arange(3).expand(5000, 3))
    counts = torch.bincount(drawn[:, 0] // 10, minlength=20)
    assert (counts - 250).abs().max() < 80  # a standard deviation is 15


def test_an_order_says_which_rows_and_how_often():
    batches = RowBatches(ROWS, 300, order=np.array([4, 7, 7, 7]))
    drawn = torch.cat([batches(step) for step in range(10)])[:, 0] // 10
    assert set(drawn.tolist()) == {4, 7}
    assert (drawn == 7).float().mean() == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("rows", [ROWS, ROWS.float(), ROWS.to(torch.float16)])
def test_feature_rows_keep_their_dtype(rows):
    assert RowBatches(rows, 4)(0).dtype == rows.dtype


def test_a_label_with_less_text_gives_the_windows_that_it_has(planted_target, planted_text):
    windows = text_windows(planted_target, planted_text, "decomposition", 5, 16)
    assert {label: found.shape for label, found in windows.items()} == dict.fromkeys(planted.LABELS, (5, 16))
    every = text_windows(planted_target, planted_text, "decomposition", 10**6, 16, ["qa"])
    assert list(every) == ["qa"]
    assert 100 < len(every["qa"]) < 10**6
    assert np.array_equal(every["qa"][:5], windows["qa"])
    # No labels named are all of them.
    assert list(text_windows(planted_target, planted_text, "decomposition", 5, 16, ())) == list(planted.LABELS)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (5,), ()])
def test_data_without_rows_is_refused_with_its_shape(shape):
    with pytest.raises(UnweaveError) as refused:
        check_data(torch.zeros(shape))
    assert str(refused.value) == (
        f"the data has shape {shape}: give windows of tokens (n, t) or rows of features (n, d)"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_data_that_is_not_finite_is_refused(value):
    rows = torch.ones(4, 3)
    rows[2, 1] = value
    with pytest.raises(UnweaveError, match=r"^the data has NaN or infinite values: remove those rows first$"):
        check_data(rows)


def test_tokens_and_finite_rows_pass():
    check_data(ROWS)
    check_data(torch.randn(2, 3, 4))


def test_a_fingerprint_is_of_the_values_alone():
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert fingerprint(rows) == fingerprint(rows.clone().requires_grad_())
    assert fingerprint(rows) == fingerprint(rows.T.contiguous().T)
    changed = rows.clone()
    changed[3, 2] += 1e-6
    assert fingerprint(changed) != fingerprint(rows)
    assert fingerprint(rows[[1, 0, 2, 3, 4, 5]]) != fingerprint(rows)
    assert fingerprint(rows.bfloat16()) != fingerprint(rows)


def test_the_same_numbers_in_another_shape_or_type_are_other_data():
    rows = torch.arange(64).view(8, 8)
    found = {fingerprint(each) for each in (rows, rows.view(16, 4), rows.to(torch.float64), rows.view(4, 16))}
    assert len(found) == 4
    assert fingerprint(rows) == fingerprint(rows.clone())
