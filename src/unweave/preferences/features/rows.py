"""Rows of a store, and everything that is measured of some of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.preferences.behaviours.registry import score
from unweave.preferences.encoding import PairEncoder, last_user_turn
from unweave.preferences.features.packing import batches, pack
from unweave.preferences.features.reader import SpanReader, SpanReading
from unweave.preferences.features.shards import packed_texts, starts_of
from unweave.preferences.features.words import count_words


class StoreRow(NamedTuple):
    """A row of a store: a prompt and its replies, one a side."""

    id: str
    prompt: tuple[Turn, ...]
    replies: tuple[str, ...]
    ended: tuple[bool, ...]

    @classmethod
    def of_pair(cls, pair: PreferencePair) -> StoreRow:
        """Chosen and rejected, both of them whole replies."""
        return cls(pair.id, pair.prompt, (pair.chosen, pair.rejected), (True, True))


def content_hash(rows: Sequence[StoreRow]) -> str:
    """A hash of all that is read of some rows."""
    found = blake2b(digest_size=16)
    for row in rows:
        found.update(_plain(row.prompt) + json.dumps([row.id, row.replies, row.ended]).encode())
    return found.hexdigest()


class RowMeasure:
    """Measures the rows of one shard: the target reads each of their prompts once, and batches are of one length."""

    def __init__(
        self,
        encoder: PairEncoder,
        reader: SpanReader,
        sides: tuple[str, ...],
        behaviours: Sequence[str],
        batch_tokens: int,
    ) -> None:
        self.encoder, self.reader, self.sides = encoder, reader, sides
        self.behaviours, self.batch_tokens = behaviours, batch_tokens

    def arrays(self, rows: Sequence[StoreRow], report: Callable[[float], None]) -> dict[str, np.ndarray]:
        """Everything that is kept of some rows, in their order; ``report`` is told the share that is read."""
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
            report(len(readings) / (len(prompts) + len(replies)))
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


def _plain(prompt: Sequence[Turn]) -> bytes:
    return json.dumps([[turn.role, turn.content] for turn in prompt]).encode()
