"""The names of the concepts that come with the package; importing them loads nothing else."""

from __future__ import annotations

BUNDLED = (
    "weekdays",
    "months",
    "hours",
    "numbers",
    "years",
    "letters",
    "ages",
    "colours",
    "hues",
    "cities",
    "organisms",
    "emotions",
)
