"""A finished run of concepts and of steering: the studies' tables, written by hand, and a system to move."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unweave.record.run import Run
from unweave.record.table import Table
from unweave.shapes.steering.paths import fit_manifold
from unweave.shapes.steering.system import Labelled, layout

LAYER = 2
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TASK = "days-successor"
COLOURS = {"red": "#d01010", "green": "#10a010", "blue": "#1010d0", "<b>odd</b>": "#808080"}
WAYS = ("manifold", "chord", "chord in subspace", "shuffled curve")
STEPS, PAIRS = 9, ("Monday to Tuesday", "Monday to Thursday")


def _ring(share: float) -> dict[str, float]:
    angle = 2 * math.pi * share
    return {"x": 3 * math.cos(angle), "y": 3 * math.sin(angle), "z": 0.5 * math.sin(2 * angle)}


def values_rows() -> list[dict]:
    days = [{"concept": "weekdays", "value": at, "label": day, "color": None} for at, day in enumerate(DAYS)]
    colours = [
        {"concept": "colours", "value": at, "label": name, "color": code}
        for at, (name, code) in enumerate(COLOURS.items())
    ]
    return [*days, *colours]


def concept_tables() -> list[Table]:
    centroids = [
        {"concept": row["concept"], "layer": layer, "value": row["value"], "label": row["label"]}
        | _ring(row["value"] / (7 if row["concept"] == "weekdays" else 4))
        for layer in (5, LAYER)
        for row in values_rows()
    ]
    curve = [
        {"concept": "weekdays", "layer": layer, "family": family, "part": 0, "step": step} | _ring(step / last)
        for layer in (LAYER, 5)
        for family, last in (("natural spline", 28), ("closed spline", 20))
        for step in range(21)
    ]
    scores = [
        {"concept": "weekdays", "seed": seed, "score": name, "layer": LAYER, "value": 0.7 + seed / 10, "null 95 %": 0.3}
        | {"p": 0.01}
        for seed in range(2)
        for name in ("distance correlation", "ring")
    ]
    families = [
        {"concept": "weekdays", "seed": 0, "layer": LAYER, "family": family, "dimension": 1, "error": error, "p": 0.02}
        | {"chosen": family == "closed spline"}
        for family, error in (("closed spline", 0.2), ("natural spline", 0.6))
    ]
    axes = [
        {"concept": "weekdays", "layer": layer, "axis": axis, "explained": 0.5 / axis}
        for layer in (LAYER, 5)
        for axis in (1, 2, 3)
    ]
    return [
        Table.from_records("values", values_rows()),
        Table.from_records("centroids", centroids),
        Table.from_records("curve", curve),
        Table.from_records("scores", scores, caption="A row a split of the templates.", digits={"value": 3}),
        Table.from_records("families", families),
        Table.from_records("axes", axes),
    ]


def answer_rows() -> list[dict]:
    rows = []
    for pair in PAIRS:
        last = DAYS.index(pair.split(" to ")[1])
        for way in WAYS:
            for step in range(STEPS):
                t = step / (STEPS - 1)
                weight = np.exp(-((np.arange(7) - t * last) ** 2))
                for at, answer in enumerate((*DAYS, "something else")):
                    other = 0.1 if way == "manifold" else 0.4
                    share = other if at == 7 else (1 - other) * weight[at] / weight.sum()
                    row = {"task": TASK, "layer": LAYER, "pair": pair, "distance": "far", "way": way, "step": step}
                    rows.append({**row, "t": t, "answer": answer, "probability": float(share), "sd": 0.05})
    return rows


def steer_tables() -> list[Table]:
    known = {"task": TASK, "layer": LAYER}
    curve_of = fit_manifold(DaySystem().states(LAYER), layout(DaySystem.metric), 2).curve
    thetas = curve_of.samples(12)

    def placed(theta: float) -> dict[str, float]:
        return {**dict(zip("xy", map(float, curve_of.at(np.array([theta]))[0]), strict=True)), "z": 0.0}

    knots = [float(knot) for knot in curve_of.knots]
    centroids = [
        {**known, "number": at, "value": day, "theta": knots[at], **placed(knots[at])} for at, day in enumerate(DAYS)
    ]
    curve = [{**known, "step": step, "theta": float(theta), **placed(theta)} for step, theta in enumerate(thetas)]
    axes = [{**known, "axis": axis, "explained": 0.3} for axis in "xyz"]
    paths = []
    for pair in PAIRS:
        last = DAYS.index(pair.split(" to ")[1])
        for way in WAYS:
            for step in range(STEPS):
                t = step / (STEPS - 1)
                here = placed(float(curve_of.between(0, last, np.array([t]))[0]))
                if way != "manifold":
                    ends = placed(knots[0]), placed(knots[last])
                    here = {axis: (1 - t) * ends[0][axis] + t * ends[1][axis] for axis in "xyz"}
                row = {**known, "pair": pair, "distance": "far", "way": way, "step": step, "t": t}
                paths.append({**row, **here})
    energy = [
        {**known, "seed": 0, "pair": pair, "distance": "far", "way": way, "energy": 0.3 + at, "beats manifold": False}
        for pair in PAIRS
        for at, way in enumerate(WAYS)
    ]
    isometry = [{**known, "way": way, "r": 0.9, "low": 0.8, "high": 0.95, "p": 0.01} for way in WAYS]
    return [
        Table.from_records("centroids", centroids),
        Table.from_records("curve", curve),
        Table.from_records("axes", axes),
        Table.from_records("paths", paths),
        Table.from_records("answers", answer_rows()),
        Table.from_records("energy", energy),
        Table.from_records("isometry", isometry),
    ]


def mirrored(table: Table) -> Table:
    """A table whose places on the curve run the other way, from elsewhere."""
    rows = [{**row, "theta": 1.0 - row["theta"]} if "theta" in row else row for row in table.records()]
    return Table.from_records(table.name, rows)


def make_run(root: Path, study: str, name: str, change: Callable[[Table], Table] = lambda table: table) -> Run:
    """A finished run of ``concept-geometry`` or ``steer-manifold`` below ``root``; ``change`` is done to its tables."""
    run = Run.create(study, {"target": "polyglot", "components": 2, "first_seed": 0}, root, name)
    for table in concept_tables() if study == "concept-geometry" else steer_tables():
        run.save_table(change(table))
    run.finish()
    return run


class DaySystem:
    """Days on a circle of the plane; the answer is the day whose place is nearest, softly."""

    name, values, layers = TASK, DAYS, (LAYER,)
    angles = 2 * np.pi * np.arange(7) / 7
    metric = (
        np.minimum(np.abs(np.arange(7)[:, None] - np.arange(7)), 7 - np.abs(np.arange(7)[:, None] - np.arange(7))) * 1.0
    )

    def __init__(self) -> None:
        self.places = np.stack([np.cos(self.angles), np.sin(self.angles), 0 * self.angles], 1)

    def states(self, layer: int) -> Labelled:
        return Labelled(np.concatenate([self.places * size for size in (0.9, 1.1)]), np.tile(np.arange(7), 2))

    def natural(self, layer: int) -> np.ndarray:
        raise NotImplementedError

    def bases(self, layer: int) -> np.ndarray:
        return np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0]])

    def answers(self, layer: int, states: np.ndarray) -> np.ndarray:
        far = np.linalg.norm(states[..., None, :2] - self.places[:, :2], axis=-1)
        other = 0.1 * states[..., 2:]
        soft = np.exp(-8 * far)
        return np.concatenate([(1 - other) * soft / soft.sum(-1, keepdims=True), other], -1)
