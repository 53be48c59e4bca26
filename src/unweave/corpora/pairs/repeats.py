"""What has been seen before, in this dataset or in another: kept as hashes of eight bytes."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from unweave.corpora.pairs.value import PreferencePair, Turn


def _hash(*parts: str) -> int:
    text = "\0".join(f"{len(part)}\0{part}" for part in parts)
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def _flat(turns: Iterable[Turn]) -> list[str]:
    return [part for turn in turns for part in (turn.role, turn.content)]


@dataclass(frozen=True)
class Marks:
    """Hashes of one pair; the last three are the same for texts that differ in case, white space or system turns."""

    id: int
    pair: int
    swapped: int
    prompt: int
    chosen: int
    rejected: int


def marks(pair: PreferencePair) -> Marks:
    """The hashes that tell one pair from another."""
    exact = _flat(pair.prompt)
    asked = [_normal(part) for part in _flat(turn for turn in pair.prompt if turn.role != "system")]
    return Marks(
        _hash(pair.id),
        _hash(*exact, pair.chosen, pair.rejected),
        _hash(*exact, pair.rejected, pair.chosen),
        _hash(*asked),
        _hash(*asked, _normal(pair.chosen)),
        _hash(*asked, _normal(pair.rejected)),
    )


class Seen:
    """The hashes of a dataset's earlier rows."""

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self._pairs: set[int] = set()
        self._prompts: set[int] = set()

    def add(self, found: Marks) -> list[str]:
        """Notes a row, and says what it repeats: ``id``, and ``pair``, else ``contradiction``, else ``prompt``."""
        repeated = ["id"] if found.id in self._ids else []
        if found.pair in self._pairs:
            repeated.append("pair")
        elif found.swapped in self._pairs:
            repeated.append("contradiction")
        elif found.prompt in self._prompts:
            repeated.append("prompt")
        self._ids.add(found.id)
        self._pairs.add(found.pair)
        self._prompts.add(found.prompt)
        return repeated


class OtherDataset:
    """Prompts, and prompts with a reply, of another dataset or split: what must not be met again in this one."""

    def __init__(self, name: str, pairs: Iterable[PreferencePair]) -> None:
        self.name = name
        prompts, replies = array("Q"), array("Q")
        for pair in pairs:
            found = marks(pair)
            prompts.append(found.prompt)
            replies.extend((found.chosen, found.rejected))
        self._prompts, self._replies = _in_order(prompts), _in_order(replies)

    def has_prompt(self, found: Marks) -> bool:
        return _holds(self._prompts, found.prompt)

    def has_reply(self, found: Marks) -> bool:
        return _holds(self._replies, found.chosen) or _holds(self._replies, found.rejected)


def _in_order(values: array[int]) -> array[int]:
    import numpy as np

    return array("Q", np.sort(np.frombuffer(values, np.uint64)).tobytes()) if values else values


def _holds(values: array[int], value: int) -> bool:
    at = bisect_left(values, value)
    return at < len(values) and values[at] == value
