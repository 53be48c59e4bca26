"""One streaming pass over preference pairs, or over replies, that keeps what can be predicted from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from unweave.base.errors import UnweaveError
from unweave.base.files import check_writable
from unweave.base.progress import Progress, usual_progress
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.models.target import Target
from unweave.preferences.behaviours.registry import find_behaviours
from unweave.preferences.encoding import PairEncoder, choose_limits
from unweave.preferences.features.facts import FORMAT, FeatureFacts, ShardFacts, write_facts
from unweave.preferences.features.reader import SpanReader
from unweave.preferences.features.rows import RowMeasure, StoreRow, content_hash
from unweave.preferences.features.shards import Shard, shard_path, write_shard
from unweave.preferences.features.store import PairFeatures, ReplyFeatures
from unweave.read.features import Dictionary, feature_counts

SHARD_ROWS = 2048
BATCH_TOKENS = 4096
PAIR_SIDES, REPLY_SIDES = ("chosen", "rejected"), ("reply",)


class SampledReply(Protocol):
    """A reply and whether it ended by itself, which one that reached a limit did not."""

    @property
    def text(self) -> str: ...

    @property
    def ended(self) -> bool: ...


def read_pairs(
    target: Target,
    source: Iterable[PreferencePair],
    folder: Path,
    layer: int,
    dictionary: Dictionary | None = None,
    behaviours: Sequence[str] | None = None,
    *,
    max_prompt: int | None = None,
    max_reply: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    shard_rows: int = SHARD_ROWS,
    progress: Progress | None = None,
    resume: bool = True,
) -> PairFeatures:
    """Reads pairs once, in bounded memory, and writes to ``folder`` what each says in features, states and behaviours.

    Of the prompt, the chosen and the rejected reply: which features of ``dictionary`` fire, on what share of tokens
    and how strongly; of each reply its mean state entering block ``layer``, its tokens, hashed words and
    ``behaviours`` (all by default, of its whole text). The target reads a prompt once for all replies to it within a
    shard, and no further than it must. ``batch_tokens`` are those of one forward, padding included; results are equal
    but for rounding.

    Rows stand in the order of ``source``. Interrupted, the same call goes on after the last whole shard; without
    ``resume`` a folder that holds some is refused. Raises ``UnweaveError`` for a dictionary of another target, for a
    folder of another reading or another source, and for a source without pairs.
    """
    rows = map(StoreRow.of_pair, source)
    reading = _Reading(
        target, PAIR_SIDES, layer, dictionary, behaviours, max_prompt, max_reply, batch_tokens, shard_rows
    )
    reading.run(rows, Path(folder), _length(source), progress or usual_progress(), resume)
    return PairFeatures.open(folder)


def read_replies(
    target: Target,
    prompts: Sequence[Sequence[Turn]],
    replies: Sequence[Sequence[str | SampledReply]],
    folder: Path,
    layer: int,
    dictionary: Dictionary | None = None,
    behaviours: Sequence[str] | None = None,
    *,
    max_prompt: int | None = None,
    max_reply: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    shard_rows: int = SHARD_ROWS,
    progress: Progress | None = None,
    resume: bool = True,
) -> ReplyFeatures:
    """Reads the target's own replies, some to each prompt, as ``read_pairs`` reads pairs: a row a reply.

    A reply that is a text has ended by itself. Row ids are ``<prompt>:<reply>``, both numbers from 0.
    """
    if len(prompts) != len(replies):
        raise UnweaveError(f"there are {len(prompts)} prompts and replies to {len(replies)}: give as many of both")

    def rows() -> Iterator[StoreRow]:
        for at, (prompt, own) in enumerate(zip(prompts, replies, strict=True)):
            for number, reply in enumerate(own):
                text, ended = (reply, True) if isinstance(reply, str) else (reply.text, reply.ended)
                yield StoreRow(f"{at}:{number}", tuple(prompt), (text,), (ended,))

    reading = _Reading(
        target, REPLY_SIDES, layer, dictionary, behaviours, max_prompt, max_reply, batch_tokens, shard_rows
    )
    reading.run(rows(), Path(folder), sum(map(len, replies)), progress or usual_progress(), resume)
    return ReplyFeatures.open(folder)


class _Reading:
    def __init__(
        self,
        target: Target,
        sides: tuple[str, ...],
        layer: int,
        dictionary: Dictionary | None,
        behaviours: Sequence[str] | None,
        max_prompt: int | None,
        max_reply: int | None,
        batch_tokens: int,
        shard_rows: int,
    ) -> None:
        if dictionary is not None and dictionary.target not in (None, target.identity.digest):
            raise UnweaveError(
                f"{dictionary.name} belongs to target {dictionary.target}, not to {target.identity.digest} "
                f"({target.name}): load the target it was made from"
            )
        for name, value in (("batch_tokens", batch_tokens), ("shard_rows", shard_rows)):
            if value < 1:
                raise UnweaveError(f"{name} is {value}, and it must be 1 or more")
        names = [each.name for each in find_behaviours(behaviours)]
        limits = choose_limits(target, max_prompt, max_reply)
        reader = SpanReader(target, layer, dictionary)
        self.measure = RowMeasure(PairEncoder(target, limits), reader, sides, names, batch_tokens)
        self.facts = FeatureFacts(
            format=FORMAT,
            target=target.identity.digest,
            target_name=target.name,
            layer=layer,
            width=reader.width,
            sides=sides,
            behaviours=tuple(names),
            kind=dictionary.kind if dictionary is not None else None,
            dictionary=dictionary.digest if dictionary is not None else None,
            dictionary_name=dictionary.name if dictionary is not None else None,
            features=feature_counts(dictionary) if dictionary is not None else {},
            max_prompt=limits.prompt,
            max_reply=limits.reply,
            shard_rows=shard_rows,
        )

    def run(
        self, source: Iterator[StoreRow], folder: Path, total: int | None, progress: Progress, resume: bool
    ) -> None:
        check_writable(folder)
        there = sorted(folder.glob("shard-*.safetensors"))
        if there and not resume:
            raise UnweaveError(f"{folder} holds {len(there)} shards already: choose another folder, or resume")
        identity = json.loads(json.dumps(self.facts.identity()))
        shards, done = [], 0
        while rows := list(islice(source, self.facts.shard_rows)):
            path, content = shard_path(folder, len(shards)), content_hash(rows)
            if path.exists():
                _check_shard(path, identity, content, done)
            else:
                arrays = self.measure.arrays(rows, partial(_report, progress, done, len(rows), total))
                write_shard(path, arrays, identity, content)
            shards.append(ShardFacts.of(path, len(rows), self.facts.sides))
            done += len(rows)
            _report(progress, done, 0, total, 1.0)
        if not done:
            raise UnweaveError("the source has no rows: nothing to read")
        if len(there) > len(shards):
            raise UnweaveError(
                f"{folder} has {len(there)} shards, and the source ends after {len(shards)}: it is another source, or "
                "has lost rows; choose another folder"
            )
        write_facts(folder, self.facts, shards)


def _report(progress: Progress, done: int, more: int, total: int | None, share: float) -> None:
    """Rows that are written, and a share of those being read. A source need not know how many it has."""
    if total is not None:
        progress.update(done + int(more * share), total, "rows read")
    elif share == 1.0 and not more:
        progress.say(f"{done} rows read")


def _length(source: Any) -> int | None:
    """How many pairs there are, where that can be known without reading them."""
    known = getattr(source, "rows", None)
    if isinstance(known, int):
        return known
    return len(source) if hasattr(source, "__len__") else None


def _check_shard(path: Path, identity: dict[str, Any], content: str, done: int) -> None:
    shard = Shard(path)
    for name, value in identity.items():
        if shard.identity.get(name) != value:
            raise UnweaveError(
                f"{path} was read with {name} {shard.identity.get(name)!r}, and now it is {value!r}: choose another "
                "folder, or go on as it was begun"
            )
    if shard.content != content:
        raise UnweaveError(
            f"{path} holds other rows than the source has from row {done} on: choose another folder for another source"
        )
