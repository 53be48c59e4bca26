"""One streaming pass over preference pairs, or over replies, that keeps what can be predicted from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.base.files import check_writable
from unweave.base.progress import Progress, usual_progress
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.models.target import Target
from unweave.preferences.behaviours.registry import find_behaviours, score
from unweave.preferences.encoding import PairEncoder, choose_limits, last_user_turn
from unweave.preferences.features.packing import batches, pack
from unweave.preferences.features.reader import SpanReader, SpanReading
from unweave.preferences.features.shards import Shard, packed_texts, shard_path, starts_of, write_shard
from unweave.preferences.features.store import (
    FORMAT,
    FeatureFacts,
    PairFeatures,
    ReplyFeatures,
    ShardFacts,
    write_facts,
)
from unweave.preferences.features.words import count_words
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


class _Row(NamedTuple):
    """A row of a store: a prompt and its replies, one a side."""

    id: str
    prompt: tuple[Turn, ...]
    replies: tuple[str, ...]
    ended: tuple[bool, ...]


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

    Of the prompt, the chosen and the rejected reply: which features of ``dictionary`` fire, on what share of tokens and
    how strongly; of each reply its mean state entering block ``layer``, its tokens, hashed words and ``behaviours`` (all
    by default, of its whole text). The target reads a prompt once for all replies to it within a shard, and no further
    than it must. ``batch_tokens`` are those of one forward, padding included; results are equal but for rounding.

    Rows stand in the order of ``source``. Interrupted, the same call goes on after the last whole shard; without
    ``resume`` a folder that holds some is refused. Raises ``UnweaveError`` for a dictionary of another target, for a
    folder of another reading or another source, and for a source without pairs.
    """
    rows = (_Row(pair.id, pair.prompt, (pair.chosen, pair.rejected), (True, True)) for pair in source)
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

    def rows() -> Iterator[_Row]:
        for at, (prompt, own) in enumerate(zip(prompts, replies, strict=True)):
            for number, reply in enumerate(own):
                text, ended = (reply, True) if isinstance(reply, str) else (reply.text, reply.ended)
                yield _Row(f"{at}:{number}", tuple(prompt), (text,), (ended,))

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
        self.sides, self.batch_tokens, self.shard_rows = sides, batch_tokens, shard_rows
        self.behaviours = [each.name for each in find_behaviours(behaviours)]
        self.encoder = PairEncoder(target, choose_limits(target, max_prompt, max_reply))
        self.reader = SpanReader(target, layer, dictionary)
        self.facts = FeatureFacts(
            format=FORMAT,
            target=target.identity.digest,
            target_name=target.name,
            layer=layer,
            width=self.reader.width,
            sides=sides,
            behaviours=tuple(self.behaviours),
            kind=dictionary.kind if dictionary is not None else None,
            dictionary=dictionary.digest if dictionary is not None else None,
            dictionary_name=dictionary.name if dictionary is not None else None,
            features=feature_counts(dictionary) if dictionary is not None else {},
            max_prompt=self.encoder.limits.prompt,
            max_reply=self.encoder.limits.reply,
            shard_rows=shard_rows,
        )

    def run(self, source: Iterator[_Row], folder: Path, total: int | None, progress: Progress, resume: bool) -> None:
        check_writable(folder)
        there = sorted(folder.glob("shard-*.safetensors"))
        if there and not resume:
            raise UnweaveError(f"{folder} holds {len(there)} shards already: choose another folder, or resume")
        identity = json.loads(json.dumps(self.facts.identity()))
        shards, done = [], 0
        while rows := list(islice(source, self.shard_rows)):
            path, content = shard_path(folder, len(shards)), _content(rows)
            if path.exists():
                _check_shard(path, identity, content, done)
            else:
                write_shard(path, self._arrays(rows, done, total, progress), identity, content)
            shards.append(ShardFacts.of(path, len(rows), self.sides))
            done += len(rows)
            if total is None:
                progress.say(f"{done} rows read")
            else:
                progress.update(done, total, "rows read")
        if not done:
            raise UnweaveError("the source has no rows: nothing to read")
        if len(there) > len(shards):
            raise UnweaveError(
                f"{folder} has {len(there)} shards, and the source ends after {len(shards)}: it is another source, or "
                "has lost rows; choose another folder"
            )
        write_facts(folder, self.facts, shards)

    def _arrays(self, rows: Sequence[_Row], done: int, total: int | None, progress: Progress) -> dict[str, np.ndarray]:
        """Everything that is kept of a shard's rows, in their order."""
        prompts: dict[tuple[int, ...], int] = {}
        prompt_of, prompt_cut, replies, reply_cut = [], [], [], []
        for row in rows:
            tokens, cut = self.encoder.prompt(row.prompt)
            prompt_of.append(prompts.setdefault(tuple(tokens), len(prompts)))
            prompt_cut.append(cut)
            for text, ended in zip(row.replies, row.ended, strict=True):
                tokens, cut = self.encoder.reply(text, ended)
                replies.append(tokens)
                reply_cut.append(cut)
        count = len(self.sides)
        owner = np.repeat(prompt_of, count).tolist()
        packed = pack(list(prompts), replies, owner, self.reader.shared)
        readings: dict[tuple[bool, int], SpanReading] = {}
        for batch in batches(packed, self.batch_tokens):
            readings |= self.reader.read(batch)
            if total is not None:
                progress.update(done + len(rows) * len(readings) // (len(prompts) + len(replies)), total, "rows read")
        users = [last_user_turn(row.prompt) for row in rows]
        found = packed_texts("ids", [row.id for row in rows])
        found["groups"] = np.array([_group(row.prompt) for row in rows])
        lengths = list(map(len, prompts))
        found |= _span("prompt", [readings[False, p] for p in prompt_of], [lengths[p] for p in prompt_of], prompt_cut)
        for at, side in enumerate(self.sides):
            mine = range(at, len(replies), count)
            read, texts = [readings[True, n] for n in mine], [row.replies[at] for row in rows]
            found |= _span(side, read, [len(replies[n]) for n in mine], [reply_cut[n] for n in mine])
            words = count_words(texts)
            found |= {
                f"{side}.state": np.stack([each.state for each in read]),
                f"{side}.behaviours": score(texts, users, self.behaviours),
                f"{side}.words.starts": words.indptr.astype(np.int64),
                f"{side}.words.index": words.indices.astype(np.int32),
                f"{side}.words.count": words.data,
            }
        return found


def _span(
    name: str, readings: Sequence[SpanReading], tokens: Sequence[int], cut: Sequence[bool]
) -> dict[str, np.ndarray]:
    return {
        f"{name}.starts": starts_of([len(each.feature) for each in readings]),
        f"{name}.index": np.concatenate([each.feature for each in readings]),
        f"{name}.freq": np.concatenate([each.frequency for each in readings]),
        f"{name}.max": np.concatenate([each.maximum for each in readings]),
        f"{name}.tokens": np.array(tokens, np.int32),
        f"{name}.cut": np.array(cut, np.uint8),
    }


def _group(prompt: Sequence[Turn]) -> int:
    """A number of 63 bits that is the same for the same conversation."""
    return int.from_bytes(blake2b(_plain(prompt), digest_size=8).digest(), "big") >> 1


def _content(rows: Sequence[_Row]) -> str:
    """A hash of all that is read of some rows."""
    found = blake2b(digest_size=16)
    for row in rows:
        found.update(_plain(row.prompt) + json.dumps([row.id, row.replies, row.ended]).encode())
    return found.hexdigest()


def _plain(prompt: Sequence[Turn]) -> bytes:
    return json.dumps([[turn.role, turn.content] for turn in prompt]).encode()


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
