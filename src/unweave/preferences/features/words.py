"""Words of replies counted by hash, so that a table of them has one width for every dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from unweave.preferences.behaviours.reply_text import ReplyText
from unweave.preferences.evidence import WORD_BUCKETS

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@lru_cache(1 << 16)
def word_bucket(word: str) -> int:
    """The column of a word in lower case: BLAKE2b of its UTF-8 modulo ``WORD_BUCKETS``, the same on every machine."""
    digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % WORD_BUCKETS


def count_words(texts: Sequence[str]) -> csr_matrix:
    """How often words of each bucket stand in each text: float32 [texts, ``WORD_BUCKETS``], columns in order."""
    from scipy.sparse import csr_matrix

    starts, columns, counts = np.zeros(len(texts) + 1, np.int64), [], []
    for row, text in enumerate(texts):
        found = sorted(Counter(map(word_bucket, ReplyText(text).words)).items())
        columns += [bucket for bucket, _ in found]
        counts += [count for _, count in found]
        starts[row + 1] = len(columns)
    values = np.array(counts, np.float32), np.array(columns, np.int32), starts
    return csr_matrix(values, shape=(len(texts), WORD_BUCKETS))
