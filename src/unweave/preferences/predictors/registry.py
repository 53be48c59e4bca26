"""Predictors: ways to say from a dataset what training on it will change, one registered function each.

A predictor is a function of ``Evidence`` and a ``Resampling`` of its prompts that gives each pair's share of each
column's change (n, m), in units of ``Evidence.spread``, and the change in every resample (r, m). To add one::

    @predictor("my-own", "what it does, in one line")
    def my_own(evidence: Evidence, resampling: Resampling) -> Shares:
        shares = ...
        return Shares(shares, resampling.mean_over_pairs(shares))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unweave.base.errors import UnweaveError, nearest
from unweave.preferences.evidence import Evidence, Prediction
from unweave.preferences.predictors.prompts import Resampling

LEVEL = 0.95
"""Of every interval."""


class Shares(NamedTuple):
    """Each pair's share, whose mean over pairs is the predicted change, and the change in each resample."""

    shares: Float[np.ndarray, "n m"]
    resampled: Float[np.ndarray, "r m"]


@dataclass(frozen=True)
class Predictor:
    """A name, what it does in one line, and how."""

    name: str
    meaning: str
    function: Callable[[Evidence, Resampling], Shares]
    lacks: Callable[[Evidence], str | None]
    """What the evidence would have to hold for this predictor and does not; None where it can predict."""
    pushes: Callable[[Evidence, Resampling], Float[np.ndarray, "n m"]] | None
    """Shares that turn their sign with a pair's label, for a null of flipped labels; None: ``function``'s do."""
    parts: tuple[str, ...] = ()
    """The predictors whose mean this one is, where it is one."""


_PREDICTORS: dict[str, Predictor] = {}


def predictor(
    name: str,
    meaning: str,
    lacks: Callable[[Evidence], str | None] = lambda _: None,
    pushes: Callable[[Evidence, Resampling], Float[np.ndarray, "n m"]] | None = None,
) -> Callable[[Callable[[Evidence, Resampling], Shares]], Callable[[Evidence, Resampling], Shares]]:
    """Registers a function ``(Evidence, Resampling) -> Shares`` as a predictor, of your own too."""

    def register(function: Callable[[Evidence, Resampling], Shares]) -> Callable[[Evidence, Resampling], Shares]:
        known = _PREDICTORS.get(name)
        if known is not None and known.function.__module__ != function.__module__:
            raise TypeError(f"predictor {name!r} is registered by {known.function.__module__} already")
        _PREDICTORS[name] = Predictor(name, meaning, function, lacks, pushes)
        return function

    return register


def combination(name: str, meaning: str, parts: Sequence[str]) -> None:
    """Registers the mean of other predictors, whose shares must turn their sign with a pair's label."""

    def function(evidence: Evidence, resampling: Resampling) -> Shares:
        return mean_of([find_predictor(part).function(evidence, resampling) for part in parts])

    def lacks(evidence: Evidence) -> str | None:
        return next((found for part in parts if (found := find_predictor(part).lacks(evidence)) is not None), None)

    _PREDICTORS[name] = Predictor(name, meaning, function, lacks, None, tuple(parts))


def mean_of(parts: Sequence[Shares]) -> Shares:
    """The mean of what several predictors say, in every resample too."""
    shares, resampled = parts[0]
    for part in parts[1:]:
        shares, resampled = shares + part.shares, resampled + part.resampled
    return Shares(shares / len(parts), resampled / len(parts))


def all_predictors() -> dict[str, Predictor]:
    """Every predictor by name: those of this package's modules, and what else was registered."""
    import unweave.preferences.predictors as room

    for module in iter_modules(room.__path__):
        import_module(f"{room.__name__}.{module.name}")
    return dict(sorted(_PREDICTORS.items()))


def find_predictor(name: str) -> Predictor:
    """The predictor of this name; raises ``UnweaveError`` with the nearest where there is none."""
    known = all_predictors()
    if name not in known:
        raise UnweaveError(f"predictor {name!r} is not registered; {nearest(name, known)}")
    return known[name]


def left_out(evidence: Evidence) -> dict[str, str]:
    """The predictors that cannot predict from this evidence, each with what it lacks."""
    found = {name: each.lacks(evidence) for name, each in all_predictors().items()}
    return {name: reason for name, reason in found.items() if reason is not None}


def predict(
    evidence: Evidence, names: Sequence[str] | None = None, seed: int = 0, resamples: int = 200
) -> list[Prediction]:
    """What each predictor says of a dataset, with 95 % percentile intervals over prompts drawn anew.

    ``names`` are those of predictors, all that ``left_out`` does not name by default. A single prompt has no interval:
    NaN ends. Raises ``UnweaveError`` where the evidence does not fit together, is not finite, or lacks what a named
    predictor needs.
    """
    check_evidence(evidence)
    if resamples < 2:
        raise UnweaveError(f"{resamples} resamples give no interval: use 2 or more, and 200 for one of 95 %")
    missing = left_out(evidence)
    wanted = [find_predictor(name) for name in (names if names is not None else all_predictors())]
    for each in wanted:
        if names is not None and each.name in missing:
            raise UnweaveError(f"predictor {each.name!r} cannot predict here: {missing[each.name]}")
    resampling = Resampling.draw(evidence.groups, evidence.reference_groups, resamples, seed)
    able = [each for each in wanted if each.name not in missing]
    # What is a mean of others comes last, and takes what they have said already.
    said: dict[str, Shares] = {}
    for each in sorted(able, key=lambda each: len(each.parts)):
        known = bool(each.parts) and all(part in said for part in each.parts)
        said[each.name] = mean_of([said[part] for part in each.parts]) if known else each.function(evidence, resampling)
    return [_prediction(each.name, said[each.name], evidence, resampling) for each in able]


def check_evidence(evidence: Evidence) -> None:
    """Raises ``UnweaveError`` where rows or columns do not fit together, or a value is not finite."""
    n, m = len(evidence), len(evidence.names)
    if not n or not m or not len(evidence.reference):
        raise UnweaveError(
            f"{n} pairs, {m} columns and {len(evidence.reference)} replies of the target: a prediction needs "
            "some of each"
        )
    sides = {"chosen": (evidence.chosen, n), "rejected": (evidence.rejected, n)}
    sides["reference"] = (evidence.reference, len(evidence.reference_groups))
    for side, (replies, rows) in sides.items():
        if replies.values.shape != (rows, m):
            raise UnweaveError(f"values of {side} are {replies.values.shape}: {rows} rows of {m} columns are expected")
        for what in ("tokens", "embedding", "words"):
            if getattr(replies, what).shape[0] != rows:
                raise UnweaveError(f"{what} of {side} has {getattr(replies, what).shape[0]} rows, not {rows}")
        broken = np.flatnonzero(~np.isfinite(replies.values).all(0))
        if len(broken):
            raise UnweaveError(f"column {evidence.names[broken[0]]!r} of {side} is not finite: measure it again")
        if not np.isfinite(replies.embedding).all():
            raise UnweaveError(f"the embedding of {side} is not finite: read the features again")
    if evidence.gradient is not None and evidence.gradient.shape != (n, m):
        raise UnweaveError(f"gradient is {evidence.gradient.shape}: {n} rows of {m} columns are expected")


def _prediction(name: str, said: Shares, evidence: Evidence, resampling: Resampling) -> Prediction:
    shares, resampled = said
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    if len(resampling.pairs) == 1:
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    return Prediction(
        name,
        evidence.names,
        shares.mean(0, dtype=np.float64).astype(np.float32),
        low.astype(np.float32),
        high.astype(np.float32),
        shares.astype(np.float32, copy=False),
    )
