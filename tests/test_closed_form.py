from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.edit.closed_form import SHRINKAGE, least_variance, mean_difference

D_IN, D_OUT = 12, 7
LABELS = ("de", "en", "fr", "it")


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def inputs_of(seed=0, labels=LABELS):
    """Clouds of one shape, stretched, around a mean for each label; labels differ in their number of tokens."""
    stretch = torch.linspace(0.2, 3, D_IN)
    return {
        label: normal(40 + 10 * n, D_IN, seed=seed + n) * stretch + 2 * normal(D_IN, seed=seed + 50 + n)
        for n, label in enumerate(labels)
    }


WEIGHT = normal(D_OUT, D_IN, seed=99)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(LABELS))
def test_least_variance_responds_1_to_its_label_and_0_to_each_other(seed, label):
    inputs = inputs_of(seed)
    piece = least_variance("h", WEIGHT, inputs, label)
    for other, x in inputs.items():
        assert float((x @ piece.v).mean()) == pytest.approx(float(other == label), abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_no_direction_with_the_same_responses_varies_less_on_the_other_labels(seed, other_seed):
    inputs = inputs_of(seed)
    read = least_variance("h", WEIGHT, inputs, "de").v.double()
    means = torch.stack([x.mean(0) for x in inputs.values()], dim=1).double()
    free = normal(D_IN, seed=other_seed).double()
    free = free - means @ torch.linalg.lstsq(means, free[:, None]).solution[:, 0]
    centred = torch.cat([inputs[label] - inputs[label].mean(0) for label in LABELS[1:]]).double()
    covariance = centred.T @ centred / len(centred)
    scale = covariance.diagonal().mean()
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * scale * torch.eye(D_IN).double()

    def variance(direction):
        return float(direction @ shrunk @ direction)

    for size in (0.01, -0.01, 0.3):
        assert variance(read) <= variance(read + size * free) * (1 + 1e-6)


def test_the_labels_own_variation_does_not_matter_to_least_variance():
    inputs = inputs_of()
    noisier = {**inputs, "de": inputs["de"].mean(0) + 5 * (inputs["de"] - inputs["de"].mean(0))}
    first, second = (least_variance("h", WEIGHT, found, "de") for found in (inputs, noisier))
    torch.testing.assert_close(first.v, second.v, rtol=1e-3, atol=1e-4)


def test_mean_difference_responds_1_to_the_difference_and_not_across_it():
    inputs = inputs_of()
    piece = mean_difference("h", WEIGHT, inputs, "fr")
    difference = inputs["fr"].mean(0) - torch.stack([inputs[x].mean(0) for x in ("de", "en", "it")]).mean(0)
    assert float(difference @ piece.v) == pytest.approx(1, abs=1e-5)
    across = normal(D_IN, seed=3)
    across = across - (across @ difference) / (difference @ difference) * difference
    assert float(across @ piece.v) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("method", [mean_difference, least_variance])
def test_both_write_the_image_of_the_difference_each_label_counting_once(method):
    inputs = inputs_of()
    piece = method("h", WEIGHT, inputs, "de")
    difference = inputs["de"].mean(0) - torch.stack([inputs[x].mean(0) for x in LABELS[1:]]).mean(0)
    torch.testing.assert_close(piece.u, WEIGHT @ difference, rtol=1e-3, atol=1e-4)
    assert (piece.site, piece.index, piece.u.dtype, piece.v.dtype) == ("h", -1, torch.float32, torch.float32)


def test_two_labels_are_enough():
    inputs = inputs_of(labels=("de", "en"))
    piece = least_variance("h", WEIGHT, inputs, "de")
    assert float((inputs["en"] @ piece.v).mean()) == pytest.approx(0, abs=1e-4)


def test_as_many_labels_as_inputs_leave_no_direction():
    inputs = {str(label): normal(5, 4, seed=label) for label in range(4)}
    with pytest.raises(UnweaveError, match="4 labels leave no free direction among 4 inputs of h"):
        least_variance("h", normal(3, 4, seed=9), inputs, "0")
