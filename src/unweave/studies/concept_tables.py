"""The tables of ``concept-geometry``: what was read, what is known of it, and what is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unweave.record.run import Run
    from unweave.record.table import Table
    from unweave.shapes.concepts.concept import Concept, Value
    from unweave.shapes.concepts.units import CarriedConcept
    from unweave.studies.concept_reading import FoundShape

NULL = "null 95 %"
PAST = "past null"
"""How far a score is past what 5 % of its null reach."""


def save_tables(
    run: Run, concepts: Sequence[Concept], found: Sequence[FoundShape], carried: Sequence[CarriedConcept]
) -> None:
    """Saves all of them, those of scores too."""
    from unweave.studies.concept_scores import score_tables

    pictures = _pictures(concepts, [each for each in found if each.pictures])
    for table in (_concepts(concepts), _values(concepts), *pictures, *score_tables(found, carried)):
        if table is not None:
            run.save_table(table)


def table_of(
    name: str, rows: Iterator[dict[str, Any]] | list[dict[str, Any]], caption: str, **digits: int
) -> Table | None:
    """A table of some rows, or none of no rows; ``digits`` by column, three for a null's bound and past it."""
    from unweave.record.table import Table

    records = list(rows)
    if not records:
        return None
    shown = {column: count for column, count in digits.items() if column in records[0]}
    if NULL in records[0]:
        shown[NULL] = 3
    if PAST in records[0]:
        shown[PAST] = 3
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
    return table_of("concepts", rows, "What was read: every value in every template, at the label's last token.")


def _values(concepts: Sequence[Concept]) -> Table | None:
    rows = [
        {"concept": each.name, "value": index, "label": value.label, **_known(each, index, value)}
        for each in concepts
        for index, value in enumerate(each.values)
    ]
    return table_of(
        "values",
        rows,
        "Known: a place in the order or on the circle; latitude and longitude in degrees; L*, a* and b* of a colour, "
        "or its hue in degrees; a path from the root.",
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
    yield table_of(
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
    yield table_of(
        "axes",
        [
            {"concept": shape.concept, "layer": each.layer, "axis": axis, "explained": share}
            for shape, each in drawn
            for axis, share in enumerate(each.explained, start=1)
        ],
        "Share of the centroids' variance along each axis.",
        explained=3,
    )
    yield table_of(
        "curve",
        [
            {"concept": shape.concept, "layer": each.layer, "family": curve.family, "part": part, "step": step}
            | dict(zip("xyz", place, strict=True))
            for shape, each in drawn
            for curve in each.curves
            for step, (part, place) in enumerate(zip(curve.part, curve.places, strict=True))
        ],
        "Curves through the centroids, fitted in all columns and drawn in three axes, chosen or not; a tree's "
        " parts are its edges.",
        x=3, y=3, z=3,
    )  # fmt: skip
