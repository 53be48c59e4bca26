"""What ``steer-manifold`` writes: tables, figures, claims and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from unweave.record.run import Run
    from unweave.studies.steer_bench import Prepared
    from unweave.studies.steer_manifold import SteerManifold

TOLD_APART = 8
"""Answers that a figure can tell apart."""
ENERGY = "Bhattacharyya distance to the behaviour manifold, summed over waypoints"
NULL_RUN = "A null run, of exchanged names"
CAPTIONS = {
    "gate": "Share of questions whose likeliest value is the right one, with Wilson's interval; chance is the share of "
    "the commonest right answer. A task passes with half of them right, an interval above chance, and half of the "
    "probability on the values. The questions of modular-addition are those that it was trained on too.",
    "scan": "Share of interchanges after which the target answers as the question whose state was put in, on contexts "
    "used for nothing else. Chosen: the position with the larger mean inside, and depths of its plateau.",
    "manifolds": "Explained: share of the states' variance inside the subspace. Ring r: whether values are in their "
    "known order round the curve, which is not given; its null deals the values anew. Empty for lines, whose order is "
    "given. Here and below p is not adjusted for the number of rows where nothing else is said.",
    "energy": f"Energy: {ENERGY}, mean over base contexts. That manifold is fitted to answers of other contexts with "
    "nothing put in; the right values in a wrong order cost no energy where they are met. Order score: share of the "
    "waypoints in the longest run of answers that never turns back. Visited: share of the values between the two that "
    "are the answer somewhere. Jumps: steps at which the answer moves by more than neighbours are apart, and by more "
    "than an even walk must. Shuffled curve: mean over the orders.",
    "means": "Means over pairs, by seed.",
    "gains": "Energy of the chord in the subspace less the manifold's, by seed: mean over pairs, then over layers, of "
    "which none was chosen by it. Least layer: of the layer at which the manifold gains least. Saved: the difference "
    "over the number of waypoints, so that runs with more of them can be compared.",
    "ways": "Means over pairs and seeds; the interval is from leaving out values, not pairs. Beats manifold: share of "
    "pairs and seeds with less energy than the manifold's. Chord and chord renormed replace the whole state, the other "
    "ways keep what the base state has outside the subspace: the chord in subspace is the manifold's fair rival. All: "
    "the pairs that were drawn, among which near ones have more than their share where not all were.",
    "tests": "Difference: the way's energy less the manifold's, so that below 0 the manifold loses; its interval and p "
    "come from leaving out one value with all its pairs at a time. Holm: over near and far pairs, ways and layers of a "
    "system. Line wins: share of pairs and seeds in which the way has less energy than the manifold.",
    "orders": "The manifold's mean energy, and those of curves through the same centroids in other orders of the "
    "values, which are a permutation null; p cannot be below 1 over one more than their number.",
    "isometry": "Pearson's r, over all pairs, of a way's length through states with the distance along the behaviour "
    "manifold; interval: values drawn anew; null: values dealt anew. Shuffled curve: of its lengths' mean over the "
    "orders.",
    "centroids": "Of the first seed: scores on the principal axes of the centroids, and theta on the curve.",
    "curve": "The fitted curve of the first seed.",
    "axes": "Share of the centroids' variance on each axis.",
    "paths": "Some pairs of the first seed, step by step; t is the share of the way.",
    "answers": "Mean and deviation over base contexts at each step of the same pairs.",
}
DIGITS = {
    "energy": 3, "difference": 3, "low": 3, "high": 3, "accuracy": 3, "chance": 3, "on-concept mass": 3, "r": 3, "p": 4,
    "p (Holm)": 4, "ring r": 3, "null 95 %": 3, "order score": 2, "visited": 2, "jumps": 2, "beats manifold": 2,
    "line wins": 2, "explained": 3, "worst waypoint": 3, "lowest seed": 3, "highest seed": 3, "probability": 3, "sd": 3,
    "x": 3, "y": 3, "z": 3, "t": 2, "theta": 3, "saved": 4, "least layer": 3,
}  # fmt: skip


def write_steering(
    run: Run,
    config: SteerManifold,
    able: Sequence[Prepared],
    tables: Mapping[str, Sequence[dict[str, Any]]],
    refused: Mapping[str, str],
) -> Path:
    """Saves everything; returns the report's path."""
    from unweave.record.report import Headline, Section, write_report
    from unweave.record.table import Table

    for name, rows in tables.items():
        if rows:
            columns = dict.fromkeys(key for row in rows for key in row)
            digits = {column: DIGITS[column] for column in columns if column in DIGITS}
            run.save_table(Table.from_records(name, rows, digits=digits, caption=CAPTIONS[name]))
    figures = {each.name: _draw(run, each) for each in able}
    _claim(run, config, able)
    headlines = [
        Headline(
            f"{each.name}: straight in the subspace less manifold, {distance} pairs", "tests",
            {"task": each.name, "layer": _middle(each), "distance": distance, "against": "chord in subspace"},
            "difference", 2, signed=True, note=f"layer {_middle(each)}, energy",
        )
        for each in able
        for distance in ("far", "near")
        if run.load_table("tests").find(
            {"task": each.name, "layer": _middle(each), "distance": distance, "against": "chord in subspace"}
        )
    ]  # fmt: skip
    known = ["gate", *(["scan"] if "scan" in run.tables() else []), "manifolds"]
    cannot = [f"Refused: {reason}." for reason in refused.values()]
    few = " Fewer than three seeds: no more than a look." if config.seeds < 3 else ""
    if config.exchanged:
        few += (
            f" {NULL_RUN}: in half of the pairs the manifold and the straight line in its subspace go by each other's "
            "name, so that there is no difference to be found (lengths under isometry are of the ways as they are)."
        )
    sections = [
        Section("What can be steered, and where", paragraphs=cannot, figures=_scans(run, able), tables=known),
        *(Section(f"Ways: {each.name}", figures=figures[each.name]) for each in able),
        Section("Energy", tables=["ways", "tests", "gains", "orders"]),
        Section("Isometry", tables=["isometry"]),
    ]
    lead = (
        f"{', '.join(each.name for each in able)}: from one value to another in {config.waypoints} steps along the "
        f"manifold, along straight lines and along {config.shuffles} shuffled curves; {config.seeds} seeds.{few}"
    )
    return write_report(run, "Steering along a manifold and straight", lead, sections, headlines)


def _middle(each: Prepared) -> int:
    return each.layers[len(each.layers) // 2]


def _scans(run: Run, able: Sequence[Prepared]) -> list[str]:
    from unweave.record.curves import lines

    names = []
    for each in able:
        if each.scan is None:
            continue
        name = f"scan-{each.name}"
        figure = lines(
            run.load_table("scan"), "layer", "accuracy", "low", "high", "position", where={"task": each.name},
            title=f"{each.name}: where another question's state brings its answer", y_label="interchange accuracy",
        )  # fmt: skip
        run.draw(name, figure)
        names.append(name)
    return names


def _draw(run: Run, each: Prepared) -> list[str]:
    """The energies of each layer, and the answers along one far way at the middle layer where they are few enough."""
    from unweave.record.bar_chart import bars
    from unweave.record.curves import lines

    names = []
    for layer in each.layers:
        name = f"energy-{each.name}-{layer}"
        figure = bars(
            run.load_table("ways"), "way", "energy", "low", "high", "distance",
            where={"task": each.name, "layer": layer, "distance": ["near", "far"]},
            title=f"{each.name}, layer {layer}: how far answers stray", value_label=ENERGY,
        )  # fmt: skip
        run.draw(name, figure)
        names.append(name)
    answers = run.load_table("answers")
    here = [row for row in answers.records() if row["task"] == each.name and row["layer"] == _middle(each)]
    if len({row["answer"] for row in here}) <= TOLD_APART:
        pair = next((row["pair"] for row in reversed(here) if row["distance"] == "far"), None)
        for way in ("manifold", "chord in subspace") if pair is not None else ():
            name = f"answers-{each.name}-{way.replace(' ', '-')}"
            figure = lines(
                answers, "t", "probability", group="answer",
                where={"task": each.name, "layer": _middle(each), "pair": pair, "way": way},
                title=f"{each.name}, layer {_middle(each)}: {pair} by the {way}", x_label="share of the way",
            )  # fmt: skip
            run.draw(name, figure)
            names.append(name)
    return names


def _claim(run: Run, config: SteerManifold, able: Sequence[Prepared]) -> None:
    from unweave.record.aggregate import Aggregate

    tests = run.load_table("tests")
    for each in able:
        for layer in each.layers:
            for distance in ("near", "far"):
                for way in ("chord", "chord in subspace"):
                    where = {"task": each.name, "layer": layer, "distance": distance}
                    if not tests.find({**where, "against": way}):
                        continue
                    over = Aggregate(
                        table="means", column="energy", where={**where, "way": way}, how="mean", seed="seed",
                        minus={**where, "way": "manifold"},
                    )  # fmt: skip
                    null = f"{NULL_RUN}: in" if config.exchanged else "In"
                    run.claim(
                        f"{null} {each.name} at layer {layer} the {way} has {{value:+}} more energy than the manifold "
                        f"over {distance} pairs",
                        "tests",
                        {**where, "against": way},
                        "difference",
                        over=over,
                    )
