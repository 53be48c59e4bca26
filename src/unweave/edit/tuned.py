"""What was tuned for a target: descents, each label's on another label, and how the stopping rule reads entropies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.base.files import read_json
from unweave.edit.adapters import Descent

TUNED = Path(__file__).parent / "tuned.json"
HOME = "smollm2"


@dataclass(frozen=True)
class Tuning:
    """What was tuned, on which label, and the tokens it cost.

    ``descents`` is keyed by method and by budget; a budget that was not tuned takes the nearest below it, or the
    smallest.
    """

    label: str
    descents: Mapping[str, Mapping[int, Descent]]
    tokens: int
    entropy_carried: float = 0.0
    """See ``line_search.Reference``: a fact of the target, not of a label."""
    borrowed: tuple[str, ...] = ()
    """Methods with descents that were tuned on SmolLM2, not on this target."""

    def descent(self, method: str, budget: int) -> Descent:
        if method not in self.descents:
            raise UnweaveError(f"method {method!r} has no tuned learning rate: run recipes/tune.py for this target")
        known = self.descents[method]
        below = [size for size in known if size <= budget]
        return known[max(below) if below else min(known)]

    def as_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "tokens": self.tokens,
            "descents": {
                name: {str(budget): asdict(found) for budget, found in by_budget.items()}
                for name, by_budget in self.descents.items()
            },
        }


def tuning_from_dict(stored: Mapping[str, Any], entropy_carried: float = 0.0) -> Tuning:
    descents = {
        name: {int(budget): Descent(**found) for budget, found in by_budget.items()}
        for name, by_budget in stored["descents"].items()
    }
    return Tuning(stored["label"], descents, stored["tokens"], entropy_carried)


def tuning_label(label: str, labels: tuple[str, ...], retain: str) -> str:
    """The fixed mapping from a removed label to the one that settings are tuned on: the next in order, cyclically.

    The retained label is passed over, and the first of the order stands in for the last one's next.
    """
    order = [known for known in labels if known != retain]
    if label not in order or len(order) < 2:
        raise UnweaveError(f"no label is left to tune on for {label!r}: the corpus needs three labels or more")
    return order[(order.index(label) + 1) % len(order)]


def tuned_on(target: str) -> str:
    """The bundled target whose settings a target takes: its own where there are any, else SmolLM2's."""
    return target if target in read_json(TUNED) else HOME


def bundled_tuning(label: str, target: str = HOME) -> Tuning:
    """The settings tuned for a bundled target, for removing ``label``; else those of the label tuned first.

    Another target takes what was tuned for SmolLM2, and so do methods and budgets that were not tuned for this one.
    """
    stored = read_json(TUNED)

    def of(name: str) -> Tuning:
        found = stored[name]
        labels = found["labels"]
        chosen = labels.get(label) or labels.get("default") or next(iter(labels.values()))
        return tuning_from_dict(chosen, found["entropy_carried"])

    own, home = of(tuned_on(target)), of(HOME)
    methods = dict.fromkeys([*home.descents, *own.descents])
    merged = {name: {**home.descents.get(name, {}), **own.descents.get(name, {})} for name in methods}
    borrowed = tuple(name for name in merged if set(merged[name]) > set(own.descents.get(name, {})))
    return replace(own, descents=merged, borrowed=borrowed)
