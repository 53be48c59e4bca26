"""Contrasts of labels: how they are read, what they are, and that chance gives none."""

from __future__ import annotations

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.read.contrast import Contrast, ContrastTest

LABELS = ("de", "en", "fr")
NAMES = ("German", "English", "French")


def windows(seed=0, each=40, features=200):
    """By-window importances without any difference between three labels."""
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(3), each)
    return generator.random((len(owner), features)).astype(np.float32) ** 4, generator.permutation(owner)


def test_a_contrast_is_read_by_label_or_by_name():
    assert Contrast.parse("de", LABELS, NAMES) == Contrast(0, None)
    assert Contrast.parse("french:English", LABELS, NAMES) == Contrast(2, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [("xx", "label 'xx' is not in this harvest"), ("de:de", "compares 'de' with itself"), ("de:", "label '' is not")],
)
def test_a_contrast_that_makes_no_sense_is_refused(text, said):
    with pytest.raises(UnweaveError, match=said):
        Contrast.parse(text, LABELS, NAMES)


def test_one_label_has_no_contrast():
    with pytest.raises(UnweaveError, match="two labels"):
        Contrast.parse("de", ["de"])


def test_values_are_against_one_label_or_against_the_largest_other():
    by_label = np.array([[0.9, 0.2, 0.5], [0.1, np.nan, 0.4]])
    np.testing.assert_allclose(Contrast(0, None).values(by_label), [0.4, -0.3])
    np.testing.assert_allclose(Contrast(0, 1).values(by_label), [0.7, np.nan])


def test_where_no_label_differs_nothing_is_found():
    found = 0
    for seed in range(20):
        test = ContrastTest(*windows(seed), labels=3)
        found += sum(test.differs(contrast).any() for contrast in (Contrast(0, None), Contrast(1, 2)))
    assert found <= 4  # each of 40 searches has one chance in 51 of a hit


def test_what_differs_is_found_and_only_on_its_label():
    values, owner = windows()
    values[owner == 1, 7] += 1.0
    values[owner == 2, 9] += 0.02 * np.arange(40)
    values[:, 11] = 0.5  # large everywhere
    values[:, 13] *= 0.01  # matters little, and differs
    values[owner == 0, 13] += 0.02
    test = ContrastTest(values, owner, labels=3)
    assert np.flatnonzero(test.differs(Contrast(1, None))).tolist() == [7]
    assert np.flatnonzero(test.differs(Contrast(2, None))).tolist() == [9]
    assert np.flatnonzero(test.differs(Contrast(1, 0))).tolist() == [7]
    assert np.flatnonzero(test.differs(Contrast(0, None))).tolist() == [13]


def test_few_labels_give_what_each_contrast_gives_alone(monkeypatch):
    values, owner = windows(features=5000)  # more than are held in memory at once
    values[owner == 1, 4900] += 1.0
    together = ContrastTest(values, owner, labels=3)
    monkeypatch.setattr("unweave.read.contrast._FEW_LABELS", 2)
    for contrast in (Contrast(1, None), Contrast(1, 0), Contrast(2, 1)):
        assert np.array_equal(together.differs(contrast), ContrastTest(values, owner, labels=3).differs(contrast))
    assert np.flatnonzero(together.differs(Contrast(1, 2))).tolist() == [4900]


def test_a_label_without_windows_never_differs_and_hides_nothing():
    values, owner = windows()
    values[owner == 1, 7] += 1.0
    test = ContrastTest(values, owner, labels=4)
    assert not test.differs(Contrast(3, None)).any()
    assert not test.differs(Contrast(1, 3)).any()
    assert np.flatnonzero(test.differs(Contrast(1, None))).tolist() == [7]
