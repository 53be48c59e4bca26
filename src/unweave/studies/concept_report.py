"""What ``concept-geometry`` writes: tables, figures drawn from them, claims and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from unweave.studies.concept_headlines import LEVEL, headlines
from unweave.studies.concept_tables import NULL, save_tables

if TYPE_CHECKING:
    from pathlib import Path

    from unweave.record.run import Run
    from unweave.shapes.concepts.concept import Concept
    from unweave.shapes.concepts.units import CarriedConcept
    from unweave.studies.concept_geometry import ConceptGeometry
    from unweave.studies.concept_reading import FoundShape

LINES_A_FIGURE = 6
LABELS_A_FIGURE = 45
FOUND, CHANCE, ALONE = "found", NULL, "last token alone"
DEALT = "A null run, of values dealt anew"


def write_concepts(
    run: Run,
    config: ConceptGeometry,
    concepts: Sequence[Concept],
    found: Sequence[FoundShape],
    carried: Sequence[CarriedConcept],
) -> Path:
    """Saves everything; returns the report's path."""
    from unweave.record.report import Section, write_report
    from unweave.shapes.concepts.shape import DISTANCE, MEANINGS, RING_R

    save_tables(run, concepts, found, carried)
    summary = run.load_table("summary").records()
    bars_drawn = [name for score in (DISTANCE, RING_R) if (name := _bars(run, summary, score))]
    by_layer = _by_layer(run)
    planes = _planes(run, concepts, found)
    _claim(run, summary, carried, config.dealt)
    few = " Fewer than three splits: no more than a look." if config.seeds < 3 else ""
    few += f" {DEALT}: what is known of them belongs to other labels in each split." if config.dealt else ""
    lead = (
        f"{len(concepts)} concepts in the residual stream of {config.target}, read at the last token of each label; "
        f"{config.seeds} splits of the templates into those that fit, choose the layer and test.{few}"
    )
    facts = [(name, meaning) for name, meaning in MEANINGS.items() if any(row["score"] == name for row in summary)]
    sections = [
        Section(
            "What was done",
            paragraphs=[
                "Of every template the mean over values is taken out, and a value's centroid is its mean over some "
                "templates. The layer is chosen on one third of the templates and tested on another; where a null "
                "deals the values anew it chooses the layer anew. Scores of the centroids alone are taken at the layer "
                "that the known distances chose, and their surrogates do not choose. Splits are of the same templates, "
                "so their spread is that of the split and no more."
            ],
            facts=facts,
            tables=["concepts"],
        ),
        Section("Distances and rings", paragraphs=order_alone(summary), figures=bars_drawn, tables=["summary"]),
        Section("By depth", figures=by_layer),
        Section("The planes", figures=planes),
        Section(
            "Families",
            paragraphs=chosen_families(found),
            tables=[name for name in ("families", "refused") if name in run.tables()],
        ),
    ]
    if carried:
        sections.append(Section("Units that fire together", tables=["carried", "discovery"]))
    title = f"The shapes of {len(concepts)} concepts in {config.target}"
    return write_report(run, title, lead, sections, headlines(summary))


def order_alone(summary: Sequence[dict[str, Any]]) -> list[str]:
    """Which concepts have the known order round the middle of two axes and yet are no ring there."""
    from unweave.shapes.concepts.shape import RING, RING_R

    p = {(row["score"], row["concept"]): row["adjusted p"] for row in summary}
    named = [
        f"{concept} ({p[RING, concept]:.2f})"
        for score, concept in p
        if score == RING_R and p[score, concept] <= LEVEL < p[RING, concept]
    ]
    if not named:
        return []
    return [
        f"The order, and not that it is a ring: {', '.join(named)}. The order round the middle of two axes follows the "
        "known one, but the values are not told from surrogates without a ring (in brackets: adjusted p of its score)."
    ]


def chosen_families(found: Sequence[FoundShape]) -> list[str]:
    """What was chosen for each concept, in how many splits, and what a flat and a tree do not say."""
    from unweave.shapes.manifolds.choice import MOST_FLAT

    chosen: dict[str, Counter[str]] = {}
    for each in found:
        if each.shape.chosen:
            chosen.setdefault(each.shape.concept, Counter())[each.shape.chosen] += 1
    if not chosen:
        return []
    told = "; ".join(
        f"{concept} {', '.join(f'{name} ({count})' for name, count in names.most_common())}"
        for concept, names in chosen.items()
    )
    return [
        f"Chosen, with the number of splits: {told}.",
        "Line, plane and flat are principal components: where one is chosen, no curve or surface is known to tell a "
        f"left-out value better. Flat {MOST_FLAT} is the largest that is tried and stands for all above. "
        "Clusters are centres of groups and nothing between them: no curve, surface or tree tells a left-out value "
        "better. None: the mean alone does as well.",
    ]


def _bars(run: Run, summary: Sequence[dict[str, Any]], score: str) -> str | None:
    """A score of every concept beside what chance reaches."""
    from unweave.record.bar_chart import bars
    from unweave.record.table import Table
    from unweave.shapes.concepts.shape import DISTANCE, TOKENS

    rows = [row for row in summary if row["score"] == score]
    if not rows:
        return None
    name = score.replace(" ", "-")
    records = []
    alone = {row["concept"]: row["mean"] for row in summary if row["score"] == TOKENS} if score == DISTANCE else {}
    for row in rows:
        spread = {"low": row["lowest split"], "high": row["highest split"]}
        records.append({"concept": row["concept"], "what": FOUND, "value": row["mean"], **spread})
        records.append({"concept": row["concept"], "what": CHANCE, "value": row[NULL], "low": None, "high": None})
        if row["concept"] in alone:
            first = {"what": ALONE, "value": alone[row["concept"]], "low": None, "high": None}
            records.append({"concept": row["concept"], **first})
    table = Table.from_records(name, records, digits={"value": 3})
    run.save_table(table)
    run.draw(
        name,
        bars(
            table,
            "concept",
            "value",
            "low",
            "high",
            "what",
            title=f"{score}, on templates that were not chosen by",
            caption="Mean over splits of the templates, from the lowest to the highest.",
            value_label="Pearson's r",
        ),
    )
    return name


def _by_layer(run: Run) -> list[str]:
    """r by depth, a few concepts a figure."""
    from unweave.record.curves import lines
    from unweave.record.table import Table

    by_place: dict[tuple[str, int], list[float]] = {}
    for row in run.load_table("layers").records():
        if row["r"] is not None:
            by_place.setdefault((str(row["concept"]), int(row["layer"])), []).append(float(row["r"]))  # type: ignore[arg-type]
    if not by_place:
        return []
    table = Table.from_records(
        "r-by-depth",
        [
            {"concept": concept, "depth": layer, "r": fmean(values), "low": min(values), "high": max(values)}
            for (concept, layer), values in by_place.items()
        ],
        digits={"r": 3},
    )
    run.save_table(table)
    names = list(dict.fromkeys(concept for concept, _ in by_place))
    drawn = []
    for start in range(0, len(names), LINES_A_FIGURE):
        name = f"r-by-depth-{start // LINES_A_FIGURE + 1}"
        run.draw(
            name,
            lines(
                table,
                "depth",
                "r",
                "low",
                "high",
                "concept",
                title="How centroid distances follow the known ones, by depth",
                caption="Test templates; mean over splits, with the lowest and the highest.",
                x_label="depth: blocks that the stream has passed",
                y_label="Pearson's r",
                where={"concept": names[start : start + LINES_A_FIGURE]},
            ),
        )
        drawn.append(name)
    return drawn


def _planes(run: Run, concepts: Sequence[Concept], found: Sequence[FoundShape]) -> list[str]:
    """The first two principal axes of each concept that is small enough to read its labels."""
    from unweave.record.curves import scatter

    table, drawn = run.load_table("centroids"), []
    sizes = {each.name: len(each) for each in concepts}
    for each in found:
        shape = each.shape
        if not each.pictures or sizes[shape.concept] > LABELS_A_FIGURE:
            continue
        name = f"plane-{_slug(shape.concept)}"
        run.draw(
            name,
            scatter(
                table,
                "x",
                "y",
                "label",
                title=f"{shape.concept} at depth {shape.layer}",
                caption="Centroids in their first two principal axes.",
                x_label="first axis",
                y_label="second axis",
                where={"concept": shape.concept, "layer": shape.layer},
            ),
        )
        drawn.append(name)
    return drawn


def _claim(run: Run, summary: Sequence[dict[str, Any]], carried: Sequence[CarriedConcept], dealt: bool) -> None:
    from unweave.record.aggregate import Aggregate
    from unweave.shapes.concepts.shape import ADJACENCY, DISTANCE, RING_R, TOKENS

    sentences = {
        DISTANCE: "Distances between the centroids of {concept} follow the known ones with r = {{value}}, "
        "on templates that neither fitted nor chose the layer",
        TOKENS: "Distances between {concept} follow the known ones with r = {{value}} already where the last token "
        "enters the first block",
        RING_R: "The order of {concept} round the middle of two axes, found without labels of order, follows the known "
        "circle with r = {{value}}",
        ADJACENCY: "Of the known neighbours of {concept} a share of {{value}} are neighbours round that middle",
    }
    for row in summary:
        if row["score"] not in sentences:
            continue
        chosen = {"concept": row["concept"], "score": row["score"]}
        over = Aggregate(table="scores", column="value", where=chosen, how="mean", seed="seed")
        sentence = sentences[row["score"]].format(concept=row["concept"])
        run.claim(f"{DEALT}: {sentence}" if dealt else sentence, "summary", chosen, "mean", over=over)
    for concept in dict.fromkeys(each.concept for each in carried):
        over = Aggregate(table="discovery", column="R^2", where={"concept": concept}, how="mean", seed="seed")
        run.claim(
            f"The group of units that tells {concept} best tells its centroids with R^2 = " + "{value}",
            "carried",
            {"concept": concept},
            "R^2",
            over=over,
        )


def _slug(name: str) -> str:
    import re

    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "concept"
