"""Trainings of one target on variants of datasets, each kept as it ends: the adapter, and replies before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.base.files import read_json, write_json
from unweave.base.progress import Progress, Silent
from unweave.corpora.pairs.value import PreferencePair
from unweave.edit.edits import applied
from unweave.edit.store import load_edit, save_edit
from unweave.models.target import Target
from unweave.preferences.encoding import encode_prompt, encode_reply
from unweave.preferences.truth.answers import Answered, answer_questions
from unweave.preferences.truth.dpo import DPORow, DPOSettings, train_dpo
from unweave.preferences.truth.log_probs import reply_log_probs
from unweave.preferences.truth.references import References
from unweave.stats.bootstrap import Interval, cluster_interval


@dataclass(frozen=True)
class Sampling:
    """How replies are drawn, before training and after."""

    each: int = 8
    """Replies to a prompt."""
    most: int = 48
    """Tokens of a reply."""
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """What one training did."""

    after: tuple[Answered, ...] = field(repr=False)
    """Replies to the same prompts as before."""
    accuracy: Interval
    """Share of held-out pairs whose chosen reply became likelier against the rejected one; over their prompts."""
    margin: Interval
    """Mean growth of ln p(chosen) - ln p(rejected) on held-out pairs, in nats, likewise."""
    perplexity: float
    """Of text that has nothing to do with it, after training."""
    curve: tuple[dict[str, float], ...]
    tokens: int
    seconds: float


class TruthBench:
    """One target and the prompts it answers before and after each training; results are kept in ``folder``.

    ``held_out`` pairs are never trained on. A training that is there already is read, not repeated; one with the same
    name and other rows or settings is refused.
    """

    def __init__(
        self,
        target: Target,
        folder: Path,
        before: Sequence[Answered],
        settings: DPOSettings,
        sampling: Sampling,
        windows: np.ndarray | None = None,
        progress: Progress | None = None,
        stop: Callable[[], None] | None = None,
    ) -> None:
        self.target, self.folder, self.before = target, Path(folder), list(before)
        self.settings, self.sampling, self.windows = settings, sampling, windows
        self.progress, self.stop = progress or Silent(), stop
        self._references = References(target, self.folder / "references.jsonl", self.progress)

    def rows(self, pairs: Sequence[PreferencePair]) -> list[DPORow]:
        """Pairs as tokens with the untrained target's log-probabilities, kept: each reply is weighed once for all."""
        return self._references.rows([self._encoded(pair) for pair in pairs])

    def outcome(
        self,
        name: str,
        rows: Sequence[DPORow],
        seed: int,
        held_out: Sequence[PreferencePair],
        policy: Callable[[], AbstractContextManager[Any]] = nullcontext,
        note: str = "",
    ) -> Outcome:
        """Trains on ``rows``, samples, and keeps both under ``name``; ``note`` says what ``policy`` does.

        Raises ``UnweaveError`` where no pair is held out, and where ``name`` holds another training.
        """
        if not held_out:
            raise UnweaveError(f"no pair is held out, to see by whether training {name!r} took: give one or more")
        place = self.folder / name
        settings = replace(self.settings, seed=seed)
        asked = {"settings": _plain(settings), "rows": _fingerprint(rows), "policy": note}
        edit_path, facts_path = place / "adapter.safetensors", place / "training.json"
        if facts_path.exists():
            facts = read_json(facts_path)
            if facts["asked"] != asked:
                raise UnweaveError(f"{place} holds another training: its rows or settings differ; choose another name")
            edit = load_edit(edit_path)
        else:
            started = time.monotonic()
            trained = train_dpo(self.target, rows, settings, self.progress, self.stop, policy)
            edit = replace(trained.adapter, name=name)
            facts = {
                "asked": asked,
                "curve": list(trained.curve),
                "tokens": trained.tokens,
                "seconds": round(time.monotonic() - started, 1),
            }
            place.mkdir(parents=True, exist_ok=True)
            save_edit(edit, edit_path)
            write_json(facts_path, facts)
        result_path = place / "outcome.json"
        measured = result_path.exists()
        # Weighed before the edit is applied.
        untrained = [] if measured else self.rows(held_out)
        with applied(self.target, edit):
            after = answer_questions(
                self.target,
                [answered.question for answered in self.before],
                place / "replies.jsonl",
                self.sampling.each,
                self.sampling.most,
                # Other draws than before: differences in luck must show as the noise that they are.
                self.sampling.seed + 1_000_003 * (seed + 1),
                self.progress,
                self.stop,
            )
            if not measured:
                write_json(result_path, {"margins": self._margins(untrained), "perplexity": self._perplexity()})
        result = read_json(result_path)
        margins, prompts = result["margins"], [pair.prompt for pair in held_out]
        return Outcome(
            tuple(after),
            cluster_interval([float(each > 0) for each in margins], prompts),
            cluster_interval(margins, prompts),
            result["perplexity"],
            tuple(facts["curve"]),
            facts["tokens"],
            facts["seconds"],
        )

    def _encoded(self, pair: PreferencePair) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        replies = (tuple(encode_reply(self.target, text)) for text in (pair.chosen, pair.rejected))
        chosen, rejected = replies
        return tuple(encode_prompt(self.target, pair.prompt)), chosen, rejected

    def _margins(self, rows: Sequence[DPORow]) -> list[float]:
        """Growth of each row's log-ratio over the reference, with the edit applied."""
        prompts = [row.prompt for row in rows] * 2
        replies = [row.chosen for row in rows] + [row.rejected for row in rows]
        now = [float(each.sum()) for each in reply_log_probs(self.target, prompts, replies, progress=self.progress)]
        return [
            (now[n] - row.reference_chosen) - (now[len(rows) + n] - row.reference_rejected)
            for n, row in enumerate(rows)
        ]

    def _perplexity(self) -> float:
        return perplexity(self.target, self.windows) if self.windows is not None else float("nan")


def perplexity(target: Target, windows: np.ndarray) -> float:
    """exp of the mean cross-entropy of token windows [n, t] after their first token."""
    chances = reply_log_probs(target, [row[:1].tolist() for row in windows], [row[1:].tolist() for row in windows])
    return float(np.exp(-np.mean(np.concatenate(chances))))


def _plain(settings: DPOSettings) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(settings).items()}


def _fingerprint(rows: Sequence[DPORow]) -> str:
    import hashlib

    # Not what the reference says: its last digits differ from one machine to the next.
    text = repr([(row.prompt, row.chosen, row.rejected, row.chosen_used, row.rejected_used) for row in rows])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
