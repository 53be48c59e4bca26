"""The tables of ``concept-geometry`` that hold scores: by split, over splits, by depth, of families and of units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from unweave.studies.concept_tables import NULL, PAST, table_of

if TYPE_CHECKING:
    from unweave.record.table import Table
    from unweave.shapes.concepts.units import CarriedConcept
    from unweave.studies.concept_reading import FoundShape


def score_tables(found: Sequence[FoundShape], carried: Sequence[CarriedConcept]) -> Iterator[Table | None]:
    """Each table, or none where it would have no row."""
    yield _scores(found)
    yield _summary(found)
    yield _layers(found)
    yield _families(found)
    yield _refused(found)
    yield _discovery(carried)
    yield _carried(carried)


def _scores(found: Sequence[FoundShape]) -> Table | None:
    rows = [
        {
            "concept": each.shape.concept,
            "seed": each.shape.seed,
            "score": score.name,
            "layer": score.layer,
            "value": score.value,
            NULL: score.null,
            PAST: None if score.null is None else score.value - score.null,
            "p": score.p,
        }
        for each in found
        for score in each.shape.scores
    ]
    caption = "A row a split of the templates. What 5 % of the null reach is its bound, and past it is what is left."
    return table_of("scores", rows, caption, value=3, p=4)


def _summary(found: Sequence[FoundShape]) -> Table | None:
    from unweave.stats import holm

    by_score: dict[str, dict[str, list[Any]]] = {}
    for each in found:
        for score in each.shape.scores:
            by_score.setdefault(score.name, {}).setdefault(each.shape.concept, []).append(score)
    rows = []
    for name, by_concept in by_score.items():
        # Splits share templates and values, so that only the largest p of them is claimed.
        adjusted = holm([max(score.p for score in scores) for scores in by_concept.values()])
        for (concept, scores), p in zip(by_concept.items(), adjusted, strict=True):
            values, nulls = [score.value for score in scores], [score.null for score in scores]
            rows.append(
                {
                    "concept": concept,
                    "score": name,
                    "splits": len(scores),
                    "mean": fmean(values),
                    "lowest split": min(values),
                    "highest split": max(values),
                    NULL: None if None in nulls else fmean(nulls),
                    "largest p": max(score.p for score in scores),
                    "adjusted p": float(p),
                    "depths": ", ".join(str(score.layer) for score in scores),
                }
            )
    caption = "Over the splits of the templates. Adjusted: Holm over the concepts, from the largest p of the splits."
    return table_of("summary", rows, caption, mean=3)


def _layers(found: Sequence[FoundShape]) -> Table | None:
    rows = [
        {
            "concept": each.shape.concept,
            "seed": each.shape.seed,
            "layer": layer.layer,
            "r that chooses": layer.chosen_by,
            "r": layer.r,
            "ring score": layer.ring,
        }
        for each in found
        for layer in each.shape.layers
    ]
    return table_of("layers", rows, "At every depth; r and the ring score are of the test templates.", r=3)


def _families(found: Sequence[FoundShape]) -> Table | None:
    rows = [
        {
            "concept": each.shape.concept,
            "seed": each.shape.seed,
            "layer": each.shape.layer,
            "family": family.family,
            "dimension": family.dimension,
            "error": family.error,
            "p": family.p,
            "chosen": family.chosen,
        }
        for each in found
        for family in each.shape.families
    ]
    caption = (
        "Held-out error of a value that was left out, as a share of its squared distance to the others' mean. p: that "
        "a curve or surface is no better than the flat of its dimension, Holm over the families tried; that clusters "
        "are no better than the mean, for the numbers of them tried."
    )
    return table_of("families", rows, caption, error=3, p=4)


def _refused(found: Sequence[FoundShape]) -> Table | None:
    rows = [
        {
            "concept": each.shape.concept,
            "seed": each.shape.seed,
            "what": why.partition(": ")[0],
            "why": why.partition(": ")[2],
        }
        for each in found
        for why in each.shape.refused
    ]
    return table_of("refused", rows, "Scores and families that could not be had.")


def _discovery(carried: Sequence[CarriedConcept]) -> Table | None:
    rows = [
        {
            "concept": each.concept,
            "seed": each.seed,
            "group": each.group,
            "units": each.units,
            "kind": each.kind,
            "R^2": each.r2,
            NULL: each.null,
            "p": each.p,
            "members": ", ".join(each.members),
        }
        for each in carried
    ]
    caption = (
        "The group of units, of those found by firing together, from which a concept's centroids are best told on test "
        "templates. The null draws as many groups of the same sizes at random and takes the best of them."
    )
    return table_of("discovery", rows, caption, p=4)


def _carried(carried: Sequence[CarriedConcept]) -> Table | None:
    from unweave.stats import holm

    by_concept: dict[str, list[CarriedConcept]] = {}
    for each in carried:
        by_concept.setdefault(each.concept, []).append(each)
    if not by_concept:
        return None
    adjusted = holm([max(each.p for each in group) for group in by_concept.values()])
    rows = [
        {
            "concept": concept,
            "splits": len(group),
            "R^2": fmean(each.r2 for each in group),
            NULL: fmean(each.null for each in group),
            "largest p": max(each.p for each in group),
            "adjusted p": float(p),
        }
        for (concept, group), p in zip(by_concept.items(), adjusted, strict=True)
    ]
    return table_of(
        "carried", rows, "Over the splits; adjusted: Holm over the concepts, from the largest p of the splits."
    )
