"""What cards say of all the trainings behind a decomposition: each may have gone on from the one before it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Card = Mapping[str, Any]


def with_ancestors(card: Card, known: Card) -> dict[str, Any]:
    """The card of a training, which went on from a decomposition, for what both took together.

    ``training_seconds`` and ``tokens_seen`` become sums, as far as the card of ``known`` says what it took, and
    ``stages`` the settings of all trainings in their order.
    """
    found = {**card, "stages": [*stages(known), card["config"]]}
    found["training_seconds"] = round(card["training_seconds"] + seconds(known), 1)
    if "tokens_seen" in card:
        found["tokens_seen"] = card["tokens_seen"] + tokens_seen(known)
    return found


def stages(card: Card) -> list[dict[str, Any]]:
    """The settings of each training, the first one first; no settings where a card has none."""
    return list(card.get("stages") or [card.get("config") or {}])


def first_seed(card: Card) -> int | None:
    """The seed that the subcomponents started from, which is the first training's; None where the card has none."""
    return stages(card)[0].get("seed")


def same_settings(card: Card, other: Card) -> bool:
    """Whether two trainings had the same settings, apart from their seeds and from the globs that name their sites."""
    free = ("seed", "sites", "micro_batch", "precompute")
    bound = [
        [{name: value for name, value in config.items() if name not in free} for config in stages(each)]
        for each in (card, other)
    ]
    # Of settings that were read from a file the tuples are lists.
    return json.dumps(bound[0], sort_keys=True) == json.dumps(bound[1], sort_keys=True)


def seconds(card: Card) -> float:
    """Seconds of training; those of a site-local decomposition are its sites'."""
    own = card.get("training_seconds")
    return own if own is not None else sum(site.get("training_seconds", 0) for site in card.get("sites", {}).values())


def tokens_seen(card: Card) -> int:
    """Tokens that training has seen, a token as often as it came up; 0 where the card does not say.

    A site-local card gives them by its settings, for each of its sites.
    """
    if "tokens_seen" in card:
        return int(card["tokens_seen"])
    config = card.get("config") or {}
    if card.get("method") != "site-local":
        return 0
    return int(config["steps"]) * int(config["batch"]) * len(card["sites"])
