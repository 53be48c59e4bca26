from __future__ import annotations

import pytest

from unweave.studies.removal_beyond import _plain_name


@pytest.mark.parametrize(
    ("label", "other", "same"), [("de", "de-1901", True), ("es", "042", True), ("es", "pt", False), ("qa", "qb", False)]
)
def test_a_variant_of_the_removed_language_is_no_stranger(label, other, same):
    assert (_plain_name(label) == _plain_name(other)) == same
