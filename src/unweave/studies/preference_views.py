"""The two views before training as tables: what topics prefer, and along what prompts push replies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError

if TYPE_CHECKING:
    from unweave.preferences.features.leans import Lean, LeanTable
    from unweave.record.table import Table
    from unweave.studies.preference_reading import PreferenceReading

MOST_PROMPT_VIEWED = 30_000
"""Rows up to which the prompt-conditioned view is made: it holds what fires in all prompts and replies at once."""
_LEAN = ("side", "rows", "features", "delta", "z", "d", "first half", "second half")
_VIEWS = ("topic", "words", "column", "meaning", *_LEAN)
_HYPOTHESES = ("prompts", "replies", *_LEAN)
_CHANCE = ("view", "shown", "by chance", "by the rules alone, by chance", "least z")


def view_tables(reading: PreferenceReading, left_out: dict[str, str]) -> list[Table]:
    """``views``, ``hypotheses`` and what flipped labels would show, ``chance``; reasons go to ``left_out``."""
    from unweave.record.table import Table

    views, chance = _feature_conditioned(reading)
    hypotheses, more = _prompt_conditioned(reading, left_out)
    return [
        Table.from_records(
            "views",
            views,
            _VIEWS,
            digits={"delta": 3, "z": 1, "d": 2},
            caption="Clusters of features that the pairs of a topic prefer in chosen or in rejected replies, beyond "
            "the other topics' pairs: difference of means, Welch's z, Cohen's d, and the difference in both halves.",
        ),
        Table.from_records(
            "hypotheses",
            hypotheses,
            _HYPOTHESES,
            digits={"delta": 3, "z": 1, "d": 2},
            caption="Prompts with some features push replies to or from some others. The words are those of the "
            "prompts, and of the replies in which the features fire. This view foresees less than the other.",
        ),
        Table.from_records(
            "chance",
            chance + more,
            _CHANCE,
            digits={"by chance": 2, "by the rules alone, by chance": 2, "least z": 2},
            caption="How many leans each view shows, and how many of a dataset with flipped labels: by all rules, and "
            "by those of size and halves alone.",
        ),
    ]


def _feature_conditioned(reading: PreferenceReading) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from unweave.preferences.features.conditioned import FIRES_ABOVE, feature_conditioned

    if reading.topics is None or reading.clusters is None:
        return [], []
    members, store = reading.clusters.members, reading.store
    signed = store.cluster_values("chosen", members, FIRES_ABOVE) - store.cluster_values(
        "rejected", members, FIRES_ABOVE
    )
    table = feature_conditioned(signed, reading.topics, reading.clusters, _units(reading))
    rows = [
        {
            "topic": lean.group,
            "words": reading.topic_name(lean.group),
            "column": f"cluster:{lean.column}",
            "meaning": reading.meanings[f"cluster:{lean.column}"],
            **_lean(lean),
        }
        for lean in table.leans()
    ]
    return rows, [_by_chance("feature-conditioned", table)]


def _prompt_conditioned(
    reading: PreferenceReading, left_out: dict[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    import numpy as np

    from unweave.preferences.features.prompt_conditioned import PromptConfig, prompt_conditioned
    from unweave.preferences.features.topics import distinguishing_words
    from unweave.studies.preference_reading import words_where

    store, skim = reading.store, reading.skim
    if not store.features:
        return [], []
    if store.rows > MOST_PROMPT_VIEWED:
        left_out["the prompt-conditioned view"] = (
            f"{store.rows} rows are more than the {MOST_PROMPT_VIEWED} whose prompts' features are held at once"
        )
        return [], []
    prompt, chosen, rejected = (store.frequency(span) for span in ("prompt", "chosen", "rejected"))
    try:
        found = prompt_conditioned(
            prompt, chosen, rejected, _units(reading), PromptConfig(seed=reading.survey.settings.seed)
        )
    except UnweaveError as refusal:
        left_out["the prompt-conditioned view"] = str(refusal)
        return [], []
    asked = distinguishing_words(skim.prompts, found.members)
    sampled = np.array(list(skim.sample))
    used = [store.cluster_values(side, found.response_clusters)[sampled] for side in store.SIDES]
    texts = [pair.chosen for pair in skim.sample.values()] + [pair.rejected for pair in skim.sample.values()]
    said = words_where(np.concatenate(used), texts)
    rows = [
        {
            "prompts": asked[lean.group].name or f"prompt cluster {lean.group}",
            "replies": said[lean.column],
            **_lean(lean),
        }
        for lean in found.table.leans()
    ]
    return rows, [_by_chance("prompt-conditioned", found.table)]


def _units(reading: PreferenceReading) -> list[str]:
    """Pairs of one prompt hang together."""
    return list(map(str, reading.store.groups.tolist()))


def _lean(lean: Lean) -> dict[str, Any]:
    return {
        "side": "chosen" if lean.delta > 0 else "rejected",
        "rows": lean.rows,
        "features": lean.features,
        "delta": lean.delta,
        "z": lean.z,
        "d": lean.d,
        "first half": lean.halves[0],
        "second half": lean.halves[1],
    }


def _by_chance(view: str, table: LeanTable) -> dict[str, Any]:
    return {
        "view": view,
        "shown": int(table.shown.sum()),
        "by chance": float(table.shown_by_chance),
        "by the rules alone, by chance": float(table.agreeing_by_chance),
        "least z": float(table.least_z),
    }
