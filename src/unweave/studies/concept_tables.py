"""The tables of ``concept-geometry``: values, centroids, curves, scores by split and over splits, families, units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unweave.record.run import Run
    from unweave.record.table import Table
    from unweave.shapes.concepts.concept import Concept, Value
    from unweave.shapes.concepts.units import CarriedConcept
    from unweave.studies.concept_geometry import ConceptGeometry
    from unweave.studies.concept_reading import FoundShape

NULL = "null 95 %"


def save_tables(
    run: Run,
    config: ConceptGeometry,
    concepts: Sequence[Concept],
    found: Sequence[FoundShape],
    carried: Sequence[CarriedConcept],
) -> None:
    """Saves all of them."""
    for table in (
        _concepts(concepts),
        _values(concepts),
        *_pictures(concepts, [each for each in found if each.pictures]),
        _scores(found),
        _summary(found),
        _layers(found),
        _families(found),
        _refused(found),
        _discovery(carried),
        _carried(carried),
    ):
        if table is not None:
            run.save_table(table)


def _table(
    name: str, rows: Iterator[dict[str, Any]] | list[dict[str, Any]], caption: str, **digits: int
) -> Table | None:
    from unweave.record.table import Table

    records = list(rows)
    if not records:
        return None
    shown = {column: count for column, count in digits.items() if column in records[0]}
    if NULL in records[0]:
        shown[NULL] = 3
    return Table.from_records(name, records, caption=caption, digits=shown)


def _concepts(concepts: Sequence[Concept]) -> Table | None:
    rows = [
        {
            "concept": each.name,
            "values": len(each),
            "templates": len(each.templates),
            "metric": each.metric or "not known",
            "period": each.options.get("period"),
        }
        for each in concepts
    ]
    return _table("concepts", rows, "What was read: every value in every template, at the label's last token.")


def _values(concepts: Sequence[Concept]) -> Table | None:
    rows = [
        {"concept": each.name, "value": index, "label": value.label, **_known(each, index, value)}
        for each in concepts
        for index, value in enumerate(each.values)
    ]
    return _table(
        "values",
        rows,
        "Known: a place in the order or on the circle; latitude and longitude in degrees; L*, a* and b* of a colour, or "
        "its hue in degrees; a path from the root.",
    )


def _known(concept: Concept, index: int, value: Value) -> dict[str, Any]:
    import numpy as np

    from unweave.shapes.concepts.color import is_hex

    columns: dict[str, Any] = {"known 1": None, "known 2": None, "known 3": None, "path": None, "color": None}
    given = concept.coordinates()
    if isinstance(given, np.ndarray):
        for number, coordinate in enumerate(np.atleast_1d(given[index])[:3], start=1):
            columns[f"known {number}"] = float(coordinate)
    elif given is not None:
        columns["path"] = " > ".join(given[index])
    if is_hex(value.known):
        columns["color"] = value.known
    return columns


def _pictures(concepts: Sequence[Concept], found: Sequence[FoundShape]) -> Iterator[Table | None]:
    labels = {each.name: each.labels for each in concepts}
    drawn = [(each.shape, picture) for each in found for picture in each.pictures]
    caption = (
        "Centroids over the templates that did not choose the layer, less their mean, in their first three principal "
        f"axes; split {found[0].shape.seed}."
    )
    yield _table(
        "centroids",
        [
            {"concept": shape.concept, "layer": each.layer, "value": value, "label": labels[shape.concept][value]}
            | dict(zip("xyz", place, strict=True))
            for shape, each in drawn
            for value, place in enumerate(each.centroids)
        ],
        caption,
        x=3, y=3, z=3,
    )  # fmt: skip
    yield _table(
        "axes",
        [
            {"concept": shape.concept, "layer": each.layer, "axis": axis, "explained": share}
            for shape, each in drawn
            for axis, share in enumerate(each.explained, start=1)
        ],
        "Share of the centroids' variance along each axis.",
        explained=3,
    )
    yield _table(
        "curve",
        [
            {"concept": shape.concept, "layer": each.layer, "family": curve.family, "part": part, "step": step}
            | dict(zip("xyz", place, strict=True))
            for shape, each in drawn
            for curve in each.curves
            for step, (part, place) in enumerate(zip(curve.part, curve.places, strict=True))
        ],
        "Curves through the centroids, fitted in all columns and drawn in three axes; a tree's parts are its edges.",
        x=3, y=3, z=3,
    )  # fmt: skip


def _scores(found: Sequence[FoundShape]) -> Table | None:
    rows = [
        {
            "concept": each.shape.concept,
            "seed": each.shape.seed,
            "score": score.name,
            "layer": score.layer,
            "value": score.value,
            NULL: score.null,
            "p": score.p,
        }
        for each in found
        for score in each.shape.scores
    ]
    return _table(
        "scores", rows, "A row a split of the templates. What 5 % of the null reach is its bound.", value=3, p=4
    )


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
    table = _table("summary", rows, caption, mean=3)
    return table


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
    return _table("layers", rows, "At every depth; r and the ring score are of the test templates.", r=3)


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
        "a curve or surface is no better than the flat of its dimension, Holm over the families tried."
    )
    return _table("families", rows, caption, error=3, p=4)


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
    return _table("refused", rows, "Scores and families that could not be had.")


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
        }
        for each in carried
    ]
    caption = (
        "The group of units, of those found by firing together, from which a concept's centroids are best told on test "
        "templates. The null draws as many groups of the same sizes at random and takes the best of them."
    )
    return _table("discovery", rows, caption, p=4)


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
    return _table(
        "carried", rows, "Over the splits; adjusted: Holm over the concepts, from the largest p of the splits."
    )
