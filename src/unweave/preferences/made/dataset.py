"""Made preference datasets: a rater's best and worst of a target's own replies, with planted faults and a key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_path, read_json, write_json
from unweave.base.seeds import numpy_generator
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.preferences.made.faults import Draft, plant
from unweave.preferences.made.mixtures import Mixture
from unweave.preferences.truth.answers import Answered


@dataclass(frozen=True)
class Key:
    """What a dataset was made by. Kept apart from the pairs: nothing that predicts or traces may read it."""

    mixture: Mixture
    seed: int
    topics: tuple[str, ...]
    """Of each pair."""
    planted: tuple[int, ...]
    """Rows that the fault changed."""

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class MadeDataset:
    """Pairs as anybody would get them, and the key."""

    name: str
    pairs: tuple[PreferencePair, ...]
    key: Key

    def save(self, folder: Path) -> None:
        """Writes ``pairs.jsonl``, which is all that a tool is given, and ``key.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            {"id": pair.id, "prompt": pair.prompt[0].content, "chosen": pair.chosen, "rejected": pair.rejected}
            for pair in self.pairs
        ]
        with atomic_path(folder / "pairs.jsonl") as temporary:
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            temporary.write_text(text, encoding="utf-8")
        write_json(folder / "key.json", {"name": self.name, **self.key.to_json()})

    @classmethod
    def load(cls, folder: Path) -> MadeDataset:
        """Reads back what ``save`` wrote."""
        key = read_json(folder / "key.json")
        lines = (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
        pairs = [json.loads(line) for line in lines]
        return cls(
            key["name"],
            tuple(
                PreferencePair(pair["id"], (Turn("user", pair["prompt"]),), pair["chosen"], pair["rejected"])
                for pair in pairs
            ),
            Key(Mixture(**key["mixture"]), key["seed"], tuple(key["topics"]), tuple(key["planted"])),
        )


def make_dataset(pool: Sequence[Answered], mixture: Mixture, count: int, seed: int) -> MadeDataset:
    """``count`` pairs of the pool's prompts: the reply that the mixture's rater likes best, and the one it likes least.

    Only replies that ended by themselves take part, so that a pair's text is all there is to it. Prompts are drawn by
    ``seed``, and so are the rater's moods and where the fault goes.
    Raises ``UnweaveError`` where fewer prompts than ``count`` have two different replies.
    """
    usable = [_usable(answered) for answered in pool]
    kept = [(answered.question, texts) for answered, texts in zip(pool, usable, strict=True) if len(texts) >= 2]
    if count > len(kept):
        raise UnweaveError(
            f"{count} pairs were asked for, and {len(kept)} of {len(pool)} prompts have two different replies that "
            "ended: sample more prompts, or more replies to each"
        )
    generator = numpy_generator(seed, "dataset", mixture.name.removesuffix("-swapped"))
    replies = [text for _, texts in kept for text in texts]
    prompts = [question.turns[-1].content for question, texts in kept for _ in texts]
    utility = mixture.utility(replies, prompts, generator)
    borders = np.cumsum([0, *(len(texts) for _, texts in kept)])
    chosen_rows = sorted(int(row) for row in generator.permutation(len(kept))[:count])
    drafts = []
    for row in chosen_rows:
        question, texts = kept[row]
        liked = utility[borders[row] : borders[row + 1]]
        best, worst = texts[int(liked.argmax())], texts[int(liked.argmin())]
        drafts.append(Draft(question.topic, question.turns[-1].content, best, worst))
    drafts, planted = plant(drafts, mixture.fault, generator)
    drafts = _labelled(drafts, mixture, generator)
    pairs = tuple(_pair(draft) for draft in drafts)
    return MadeDataset(mixture.name, pairs, Key(mixture, seed, tuple(draft.topic for draft in drafts), planted))


def kept_dataset(folder: Path, pool: Sequence[Answered], mixture: Mixture, count: int, seed: int) -> MadeDataset:
    """The dataset in ``folder/<mixture>``, made and written there the first time."""
    place = folder / mixture.name
    if not (place / "key.json").exists():
        make_dataset(pool, mixture, count, seed).save(place)
    return MadeDataset.load(place)


def held_out_pairs(answers: Sequence[Answered], mixture: Mixture, seed: int) -> tuple[PreferencePair, ...]:
    """The rater's true choices on prompts that no pair was made of, for the accuracy of what was trained."""
    true = Mixture(mixture.name, mixture.behaviours, mixture.properties, noise=mixture.noise)
    usable = sum(len(_usable(answered)) >= 2 for answered in answers)
    return make_dataset(answers, true, usable, seed).pairs


def _usable(answered: Answered) -> list[str]:
    return list(dict.fromkeys(reply.text for reply in answered.replies if reply.ended and reply.text.strip()))


def _labelled(drafts: list[Draft], mixture: Mixture, generator: np.random.Generator) -> list[Draft]:
    if mixture.labels == "true":
        return drafts
    turned = np.ones(len(drafts), bool) if mixture.labels == "swapped" else generator.random(len(drafts)) < 0.5
    return [
        Draft(draft.topic, draft.prompt, draft.rejected, draft.chosen) if turn else draft
        for draft, turn in zip(drafts, turned, strict=True)
    ]


def _pair(draft: Draft) -> PreferencePair:
    name = hashlib.sha256("\x1f".join((draft.prompt, draft.chosen, draft.rejected)).encode()).hexdigest()[:12]
    return PreferencePair(name, (Turn("user", draft.prompt),), draft.chosen, draft.rejected)
