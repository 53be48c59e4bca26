"""Text by label, split into parts that serve different purposes and never mix."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PARTS = ("decomposition", "selection", "training", "tuning", "evaluation")


@dataclass(frozen=True)
class Corpus:
    """Documents by part and label, e.g. ``parts["evaluation"]["de"]``; a label is any string that names a contrast.

    A document is a stretch of running text (a book, a file, consecutive articles): windows of tokens are cut inside
    one and never over its border. A part may be empty, and a label may be missing from a part.
    """

    name: str
    parts: Mapping[str, Mapping[str, tuple[str, ...]]]
    source: str = ""
    licence: str = ""
    label_names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in self.parts:
            _check_part(part)
        copy = {
            part: {label: tuple(texts) for label, texts in self.parts.get(part, {}).items() if texts} for part in PARTS
        }
        object.__setattr__(self, "parts", copy)

    def labels(self, part: str | None = None) -> tuple[str, ...]:
        """The labels that have text in ``part``, or in any part, in the corpus's own order."""
        if part is not None:
            _check_part(part)
        chosen = PARTS if part is None else (part,)
        return tuple(dict.fromkeys(label for name in chosen for label in self.parts[name]))

    def label_name(self, label: str) -> str:
        """A person's name for a label (``German`` for ``de``), or the label itself."""
        self._check_label(label)
        return self.label_names.get(label, label)

    def documents(self, part: str, label: str) -> tuple[str, ...]:
        """The documents of a label in a part. Raises ``UnweaveError`` when there are none."""
        _check_part(part)
        self._check_label(label)
        if label not in self.parts[part]:
            have = ", ".join(name for name in PARTS if label in self.parts[name])
            raise UnweaveError(
                f"label {label!r} of corpus {self.name!r} has no text in the {part} part (it has: {have}); "
                "choose another label, or give text for that part"
            )
        return self.parts[part][label]

    def characters(self, part: str, label: str) -> int:
        """Characters of a label in a part; 0 when the part has none of it."""
        _check_part(part)
        self._check_label(label)
        return sum(map(len, self.parts[part].get(label, ())))

    def fingerprint(self, part: str | None = None) -> str:
        """sha256 over labels and documents, of one part or of all: what binds a run to the text it used."""
        if part is None:
            return _digest({name: self._fingerprints[name] for name in PARTS})
        _check_part(part)
        return self._fingerprints[part]

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return {part: _digest(self.parts[part]) for part in PARTS}

    def only(self, labels: Iterable[str]) -> Corpus:
        """The same corpus with some of its labels, in the order given."""
        wanted = list(dict.fromkeys(labels))
        for label in wanted:
            self._check_label(label)
        parts = {
            part: {label: self.parts[part][label] for label in wanted if label in self.parts[part]} for part in PARTS
        }
        names = {label: self.label_names[label] for label in wanted if label in self.label_names}
        return Corpus(f"{self.name}[{','.join(wanted)}]", parts, self.source, self.licence, names)

    def with_labels(self, other: Corpus, labels: Iterable[str]) -> Corpus:
        """This corpus and some labels of another; a label that both have is refused."""
        return merge(self, other.only(labels))

    def _check_label(self, label: str) -> None:
        known = self.labels()
        if label not in known:
            raise UnweaveError(f"label {label!r} is not in corpus {self.name!r}; {nearest(label, known)}")


def merge(*corpora: Corpus) -> Corpus:
    """The labels of several corpora side by side, part by part. Raises ``UnweaveError`` for a label that two have."""
    if not corpora:
        raise UnweaveError("merge needs at least one corpus, and none was given")
    owner: dict[str, str] = {}
    for corpus in corpora:
        for label in corpus.labels():
            if label in owner:
                raise UnweaveError(
                    f"label {label!r} is in corpus {owner[label]!r} and in {corpus.name!r}; "
                    "take it from one of them only, with Corpus.only or with_labels"
                )
            owner[label] = corpus.name
    return Corpus(
        name=" + ".join(corpus.name for corpus in corpora),
        parts={part: {k: v for corpus in corpora for k, v in corpus.parts[part].items()} for part in PARTS},
        source="; ".join(dict.fromkeys(corpus.source for corpus in corpora if corpus.source)),
        licence="; ".join(dict.fromkeys(corpus.licence for corpus in corpora if corpus.licence)),
        label_names={k: v for corpus in corpora for k, v in corpus.label_names.items()},
    )


def _check_part(part: str) -> None:
    if part not in PARTS:
        raise UnweaveError(f"part {part!r} is not one of the parts of a corpus; {nearest(part, PARTS)}")


def _digest(value: Mapping[str, object]) -> str:
    text = json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
