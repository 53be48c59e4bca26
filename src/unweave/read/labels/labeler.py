"""What a labeler is: evidence of one feature in, a label out. Registered in one line, found by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Protocol

from unweave.base.errors import UnweaveError, nearest
from unweave.read.labels.evidence import Evidence

Confidence = Literal["clear", "weak", "unclear"]
UNCLEAR = "unclear"


@dataclass(frozen=True)
class Label:
    """When a feature fires and what it makes the model say, in words, and, where there is one, as a predicate."""

    text: str
    reads: str
    """What it fires on; empty where that is unclear."""
    writes: str
    """What it promotes and suppresses; empty where that is unclear."""
    confidence: Confidence
    reason: str
    """What the confidence rests on."""
    predicate: Any = None
    """As JSON, see ``predicate.from_json``."""


def make_label(
    reads: str, writes: str, confidence: Confidence, reason: str, predicate: Any = None
) -> Label:
    """A label whose text says both sides, ``reads → writes``."""
    said = reads if confidence != UNCLEAR and reads else UNCLEAR
    return Label(f"{said} → {writes}" if writes else said, reads, writes, confidence, reason, predicate)


class Labeler(Protocol):
    """Labels one feature at a time, by what it is shown. It has no way to what labels are scored on."""

    @property
    def name(self) -> str: ...

    def settings(self) -> dict[str, Any]:
        """What a label depends on besides the evidence, as JSON; no secrets."""
        ...

    def label(self, evidence: Evidence) -> Label: ...

    def spent(self) -> dict[str, Any]:
        """Tokens and money spent so far; empty where a label costs nothing."""
        ...


LABELERS: Mapping[str, str] = {
    "statistical": "unweave.read.labels.statistical:StatisticalLabeler",
    "language-model": "unweave.read.labels.language_model:LanguageModelLabeler",
}
"""Every labeler by name: one line each, ``module:class``, so that listing them loads none."""


def find_labeler(name: str) -> Callable[..., Labeler]:
    """The labeler's class; raises ``UnweaveError`` with the nearest names."""
    if name not in LABELERS:
        raise UnweaveError(f"labeler {name!r} is not known; {nearest(name, LABELERS)}")
    module, _, attribute = LABELERS[name].partition(":")
    return getattr(import_module(module), attribute)
