"""A statement about a token in its text that can be checked: a few questions, each about one attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.read.labels.attributes import Attributes
from unweave.read.labels.contexts import Contexts

DEEPEST = 8


@dataclass(frozen=True)
class Question:
    """Is the attribute one of ``codes``? Then ``inside`` answers, else ``outside``: a question again, or yes or no."""

    attribute: str
    codes: tuple[int, ...]
    inside: Predicate
    outside: Predicate


Predicate = Question | bool


class Condition(NamedTuple):
    """One step of a way to yes: the attribute is one of ``codes``, or, where not ``holds``, none of them."""

    attribute: str
    codes: tuple[int, ...]
    holds: bool


def holds(predicate: Predicate, attributes: Attributes, contexts: Contexts) -> np.ndarray:
    """Whether it holds in every context, (n,)."""
    if isinstance(predicate, bool):
        return np.full(len(contexts), predicate)
    found = np.empty(len(contexts), bool)
    inside = np.isin(attributes.of(predicate.attribute, contexts), predicate.codes)
    for side, branch in ((inside, predicate.inside), (~inside, predicate.outside)):
        found[side] = branch if isinstance(branch, bool) else holds(branch, attributes, contexts[side])
    return found


def ways(predicate: Predicate) -> list[tuple[Condition, ...]]:
    """Every way to yes, as conditions that hold together."""
    if isinstance(predicate, bool):
        return [()] if predicate else []
    yes, no = (Condition(predicate.attribute, predicate.codes, holds) for holds in (True, False))
    return [
        (condition, *rest)
        for condition, branch in ((yes, predicate.inside), (no, predicate.outside))
        for rest in ways(branch)
    ]


def to_json(predicate: Predicate, attributes: Attributes) -> Any:
    """As plain JSON: ``{"attribute", "in", "then", "else"}``, or true or false."""
    if isinstance(predicate, bool):
        return predicate
    return {
        "attribute": predicate.attribute,
        "in": attributes.values(predicate.attribute, predicate.codes),
        "then": to_json(predicate.inside, attributes),
        "else": to_json(predicate.outside, attributes),
    }


def from_json(value: Any, attributes: Attributes, depth: int = 0) -> Predicate:
    """Reads a predicate back; raises ``UnweaveError`` for anything else."""
    if isinstance(value, bool):
        return value
    try:
        if not isinstance(value, Mapping) or depth > DEEPEST:
            raise TypeError("not a question")
        name, listed = value["attribute"], value["in"]
        if not isinstance(listed, Sequence) or isinstance(listed, str) or name not in attributes.all:
            raise TypeError("not a question")
        inside, outside = (from_json(value[key], attributes, depth + 1) for key in ("then", "else"))
        return Question(name, tuple(attributes.codes(name, listed)), inside, outside)
    except (KeyError, TypeError, ValueError) as error:
        raise UnweaveError(f"{str(value)[:80]!r} is not a predicate ({error!r}): make the labels anew") from error
