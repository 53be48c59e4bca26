"""What the untrained target says of replies, each weighed once: DPO holds the trained one against it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from unweave.base.progress import Progress, Silent
from unweave.models.target import Target
from unweave.preferences.truth.dpo import DPORow
from unweave.preferences.truth.log_probs import reply_log_probs
from unweave.record import jsonl

Tokens = Sequence[int]


class References:
    """ln p of whole replies after their prompts, in nats; with a ``path`` kept there, in JSON lines.

    No edit may be applied to the target while replies are weighed.
    """

    def __init__(self, target: Target, path: Path | None = None, progress: Progress | None = None) -> None:
        self.target, self.path, self.progress = target, path, progress or Silent()
        self._sums: dict[str, float] = {}
        if path is not None:
            # Another target, loaded into the same folder, says something else of the same tokens.
            self._sums = {row["of"]: row["sum"] for row in jsonl.read(path) if row["target"] == self._digest}

    def rows(self, pairs: Sequence[tuple[Tokens, Tokens, Tokens]]) -> list[DPORow]:
        """Rows of (prompt, chosen, rejected) tokens."""
        wanted = {_key(prompt, reply): (prompt, reply) for prompt, *replies in pairs for reply in replies}
        self._weigh({key: each for key, each in wanted.items() if key not in self._sums})
        return [
            DPORow(
                tuple(prompt),
                tuple(chosen),
                tuple(rejected),
                self._sums[_key(prompt, chosen)],
                self._sums[_key(prompt, rejected)],
            )
            for prompt, chosen, rejected in pairs
        ]

    @property
    def _digest(self) -> str:
        return self.target.identity.digest

    def _weigh(self, missing: dict[str, tuple[Tokens, Tokens]]) -> None:
        if not missing:
            return
        prompts, replies = zip(*missing.values(), strict=True)
        found = reply_log_probs(self.target, prompts, replies, progress=self.progress)
        last = list(missing)[-1]
        for key, chances in zip(missing, found, strict=True):
            self._sums[key] = float(chances.sum())
            if self.path is not None:
                row = {"target": self._digest, "of": key, "sum": self._sums[key]}
                jsonl.append(self.path, row, durable=key == last)


def _key(prompt: Tokens, reply: Tokens) -> str:
    return hashlib.sha256(repr((tuple(prompt), tuple(reply))).encode()).hexdigest()[:32]
