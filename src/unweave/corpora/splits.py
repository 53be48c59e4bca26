"""Which text serves which purpose: documents given to parts by seed, with nothing in two parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.corpora.text import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHARES = {"decomposition": 0.55, "selection": 0.10, "training": 0.15, "tuning": 0.05, "evaluation": 0.15}
BLANK_LINES = r"\n(?:[^\S\n]*\n)+"
FEW_DOCUMENTS = 10
LEAST_CHARACTERS = 2_000  # below it the smallest part would hold less than one short window
# A paragraph met twice stays where it is scarcest and matters most.
KEEPERS = ("evaluation", "tuning", "selection", "training", "decomposition")


@dataclass(frozen=True)
class Piece:
    """A document, and its part if the person named one."""

    text: str
    part: str | None = None


def assign(pieces: Mapping[str, Sequence[Piece]], seed: int = 0) -> dict[str, dict[str, tuple[str, ...]]]:
    """Documents by part and label, proportional to ``SHARES`` in characters.

    Pieces with a part stay in it; the others are dealt over the parts for which the label names none. Whole documents
    are dealt where there are ten or more and the shares come out within a factor of two; otherwise long ones are cut at
    paragraphs or lines into one contiguous block per part. Repeated documents are dropped, and a paragraph that
    stands in several parts stays in one of them. Raises ``UnweaveError`` when a document stands under two labels, or
    when a part would be left without text.
    """
    pieces = {label: _distinct(texts) for label, texts in pieces.items()}
    _refuse_shared_documents(pieces)
    parts: dict[str, dict[str, list[str]]] = {part: {label: [] for label in pieces} for part in PARTS}
    dealt: dict[str, list[str]] = {}
    for label, texts in pieces.items():
        free = [piece.text for piece in texts if piece.part is None]
        for piece in texts:
            if piece.part is not None:
                parts[piece.part][label].append(piece.text)
        open_parts = [part for part in PARTS if not parts[part][label]]
        dealt[label] = open_parts if free else []
        if not free:
            continue
        if not open_parts:
            raise UnweaveError(f"label {label!r} has text in every part and more without a part: name its part")
        total = sum(map(len, free))
        if total < LEAST_CHARACTERS:
            raise UnweaveError(
                f"label {label!r} has {total} characters to be split into parts, and at least {LEAST_CHARACTERS} are "
                "needed: give more text"
            )
        for part, documents in _deal(free, open_parts, label, seed).items():
            parts[part][label] = documents
    parts = _without_shared_paragraphs(parts)
    for label, open_parts in dealt.items():
        for part in open_parts:
            if not parts[part][label]:
                raise UnweaveError(
                    f"label {label!r} has too little text of its own for the {part} part: repeated paragraphs are "
                    "kept once; give more text"
                )
    return {part: {k: tuple(texts) for k, texts in labels.items() if texts} for part, labels in parts.items()}


def paragraphs(text: str) -> list[str]:
    """Stretches between blank lines, or the lines of a text that has no blank line."""
    blocks = [block.strip("\n") for block in re.split(BLANK_LINES, text.strip())]
    if len(blocks) == 1:
        blocks = text.strip().split("\n")
    return [block for block in blocks if block.strip()]


def _distinct(pieces: Sequence[Piece]) -> list[Piece]:
    """Documents once each, one with a named part before one without; a copy in two named parts is refused."""
    kept: dict[str, Piece] = {}
    for piece in pieces:
        key = _normal(piece.text)
        if not key:
            continue
        known = kept.setdefault(key, piece)
        if known.part is None and piece.part is not None:
            kept[key] = piece
        elif known.part is not None and piece.part not in (None, known.part):
            raise UnweaveError(
                f"the document {_beginning(piece.text)} stands in the {known.part} and in the {piece.part} part: "
                "remove it from one of them"
            )
    return list(kept.values())


def _refuse_shared_documents(pieces: Mapping[str, Sequence[Piece]]) -> None:
    owner: dict[str, str] = {}
    for label, texts in pieces.items():
        for piece in texts:
            known = owner.setdefault(_normal(piece.text), label)
            if known != label:
                raise UnweaveError(
                    f"the document {_beginning(piece.text)} stands under the labels {known!r} and {label!r}: "
                    "remove it from one of them"
                )


def _deal(documents: list[str], open_parts: list[str], label: str, seed: int) -> dict[str, list[str]]:
    shares = {part: SHARES[part] / sum(SHARES[name] for name in open_parts) for part in open_parts}
    if len(documents) >= FEW_DOCUMENTS:
        dealt = _deal_whole(documents, shares, label, seed)
        total = sum(map(len, documents))
        sizes = {part: sum(map(len, texts)) / total for part, texts in dealt.items()}
        if all(share / 2 <= sizes[part] <= share * 2 for part, share in shares.items()):
            return dealt
    return _deal_blocks(documents, shares, label, seed)


def _deal_whole(documents: list[str], shares: Mapping[str, float], label: str, seed: int) -> dict[str, list[str]]:
    order = numpy_generator(seed, "split", label).permutation(len(documents))
    dealt: dict[str, list[str]] = {part: [] for part in shares}
    sizes = dict.fromkeys(shares, 0)
    for index in order:
        part = min(shares, key=lambda name: (sizes[name] + len(documents[index]) / 2) / shares[name])
        dealt[part].append(documents[index])
        sizes[part] += len(documents[index])
    return dealt


def _deal_blocks(documents: list[str], shares: Mapping[str, float], label: str, seed: int) -> dict[str, list[str]]:
    """Every long document cut into one block per part; short ones are laid end to end, so that few of them are cut."""
    generator = numpy_generator(seed, "blocks", label)
    dealt: dict[str, list[str]] = {part: [] for part in shares}
    runs = [[document] for document in documents if len(document) >= LEAST_CHARACTERS]
    short = [document for document in documents if len(document) < LEAST_CHARACTERS]
    if sum(map(len, short)) >= LEAST_CHARACTERS:
        runs.append(short)
    else:
        dealt[max(shares, key=lambda part: shares[part])] += short
    for run in runs:
        order = [list(shares)[index] for index in generator.permutation(len(shares))]
        for part, blocks in zip(order, _cut(run, [shares[part] for part in order]), strict=True):
            dealt[part] += blocks
    return dealt


def _cut(run: list[str], shares: list[float]) -> list[list[str]]:
    """Consecutive stretches of a run of documents, of the given shares; a document is cut where no border is near."""
    total = sum(map(len, run))
    room = int(min(shares) * total / 3)
    blocks: list[list[str]] = [[] for _ in shares]
    current, target, position = 0, shares[0] * total, 0
    for document in run:
        start = 0
        while current < len(shares) - 1 and target < position + len(document) - room:
            inside = int(target) - position
            end = _border(document, inside, room) if inside > room else 0
            blocks[current].append(document[start:end].strip("\n"))
            start, current = end, current + 1
            target += shares[current] * total
        blocks[current].append(document[start:].strip("\n"))
        position += len(document)
    return [[block for block in found if block.strip()] for found in blocks]


def _border(text: str, target: int, room: int) -> int:
    """The best place to cut within ``room`` characters of ``target``: paragraph, line, sentence, word, anywhere."""
    low, high = max(0, target - room), min(len(text), target + room)
    for pattern in (BLANK_LINES, r"\n", r"[.!?。！？]+\s*", r"\s+"):
        ends = [low + match.end() for match in re.finditer(pattern, text[low:high])]
        if ends:
            return min(ends, key=lambda end: abs(end - target))
    return target


def _without_shared_paragraphs(parts: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
    keeper: dict[str, str] = {}
    for part in KEEPERS:
        for documents in parts[part].values():
            for paragraph in (paragraph for text in documents for paragraph in paragraphs(text)):
                keeper.setdefault(_normal(paragraph), part)
    return {
        part: {
            label: [kept for text in documents if (kept := _kept(text, part, keeper)).strip()]
            for label, documents in labels.items()
        }
        for part, labels in parts.items()
    }


def _kept(text: str, part: str, keeper: Mapping[str, str]) -> str:
    found = paragraphs(text)
    # A bare bracket or rule gives nothing away, and code needs it.
    own = [block for block in found if keeper[_normal(block)] == part or not any(map(str.isalnum, block))]
    if len(own) == len(found):
        return text
    return ("\n\n" if re.search(BLANK_LINES, text) else "\n").join(own)


def _normal(text: str) -> str:
    return " ".join(text.split())


def _beginning(text: str) -> str:
    return repr(_normal(text)[:40])
