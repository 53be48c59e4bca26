"""Which features fire on a token: the harvest's token counts turned round, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from unweave.read.harvest.value import Harvest


class TokenIndex:
    """Firings by token, over shown windows."""

    def __init__(self, harvest: Harvest) -> None:
        count = len(harvest)
        tables = [harvest.input_tokens(row) for row in range(count)]
        token = np.concatenate([np.asarray(table.tokens) for table in tables]) if tables else np.empty(0, np.int64)
        firings = np.concatenate([np.asarray(table.counts) for table in tables]) if tables else np.empty(0, np.int64)
        owner = np.repeat(np.arange(count), [len(table.tokens) for table in tables])
        order = np.argsort(token, kind="stable")
        self._owner, self._firings = owner[order], firings[order]
        self._start = np.searchsorted(token[order], np.arange(len(harvest.vocabulary.text) + 1))
        self._total = np.bincount(owner, firings, count)
        self._occurrences = np.asarray(harvest.vocabulary.count)
        self._by_text: dict[str, list[int]] = {}
        for number, text in enumerate(harvest.vocabulary.text):
            for key in {text, text.strip(), text.strip().casefold()}:
                self._by_text.setdefault(key, []).append(number)

    def ids(self, text: str) -> Int[np.ndarray, " n"]:
        """Tokens written so; where there is none, those that differ only in spaces around them, then in case."""
        for key in (text, text.strip(), text.strip().casefold()):
            if key in self._by_text:
                return np.array(self._by_text[key])
        return np.empty(0, np.int64)

    def texts(self) -> list[str]:
        return list(self._by_text)

    def precision_recall(self, ids: Int[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
        """Per feature: the share of the tokens' occurrences that fire it, and the share of its firings on them."""
        found = np.zeros(len(self._total))
        for number in ids:
            span = slice(self._start[number], self._start[number + 1])
            found[self._owner[span]] += self._firings[span]
        occurrences = self._occurrences[ids].sum()
        precision = found / max(occurrences, 1)
        return precision, np.divide(found, self._total, out=np.zeros_like(found), where=self._total > 0)
