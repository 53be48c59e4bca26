"""Sentences grouped by story: a story's path at equal steps, and paths dealt to other stories for nulls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int64

from unweave.base.errors import UnweaveError

Names = Sequence[str | int] | np.ndarray
"""One name a sentence: of its story, or of its topic."""


def rows_by_story(stories: Names) -> dict[str | int, Int64[np.ndarray, " t"]]:
    """The rows of each story, in the order of the sentences; stories in the order of their first sentence."""
    rows: dict[str | int, list[int]] = {}
    for row, name in enumerate(np.asarray(stories).tolist()):
        rows.setdefault(name, []).append(row)
    return {name: np.array(each, np.int64) for name, each in rows.items()}


def of_stories(names: Names, stories: Names, what: str = "topic") -> list[str | int]:
    """What ``names`` [n], given for each sentence, say of each story, in the order of ``rows_by_story``.

    Raises ``UnweaveError`` where sentences of one story differ.
    """
    given = np.asarray(names)
    if len(given) != len(stories):
        raise UnweaveError(f"{len(given)} {what} names for {len(stories)} sentences: give one for each sentence")
    found = []
    for name, rows in rows_by_story(stories).items():
        values = set(given[rows].tolist())
        if len(values) > 1:
            raise UnweaveError(f"story {name!r} has more than one {what}: {sorted(map(str, values))}; give it one")
        found.append(values.pop())
    return found


def resampled(path: Float[np.ndarray, "t ..."], points: int) -> Float64[np.ndarray, "p ..."]:
    """A path at ``points`` equal steps from its first value to its last, by straight lines between its values.

    Raises ``UnweaveError`` for fewer than two values or points.
    """
    path = np.asarray(path, np.float64)
    if len(path) < 2 or points < 2:
        raise UnweaveError(f"a path of {len(path)} values at {points} points: give two of each or more")
    place = np.linspace(0, len(path) - 1, points)
    before = np.minimum(place.astype(np.int64), len(path) - 2)
    share = (place - before).reshape(-1, *[1] * (path.ndim - 1))
    return path[before] * (1 - share) + path[before + 1] * share


def story_paths(values: Float[np.ndarray, "n ..."], stories: Names, points: int = 6) -> Float64[np.ndarray, "s p ..."]:
    """The path of every story at ``points`` equal steps, in the order of ``rows_by_story``."""
    values = np.asarray(values)
    if len(values) != len(stories):
        raise UnweaveError(f"{len(values)} rows with {len(stories)} story names: give one name for each row")
    return np.stack([resampled(values[rows], points) for rows in rows_by_story(stories).values()])


def dealt(
    values: Float[np.ndarray, "n ..."], stories: Names, generator: np.random.Generator
) -> Float64[np.ndarray, "n ..."]:
    """Every story's values replaced by those of a story drawn without replacement, stretched to its own length.

    It is the null of whatever is said of sentences: those of one story hang together, so that dealing sentences would
    count each story many times. What follows from the place in a story alone stays.
    """
    values = np.asarray(values, np.float64)
    rows = list(rows_by_story(stories).values())
    found = np.empty_like(values)
    for mine, other in zip(rows, generator.permutation(len(rows)), strict=True):
        path = values[rows[other]]
        found[mine] = resampled(path, len(mine)) if min(len(path), len(mine)) > 1 else path[0]
    return found
