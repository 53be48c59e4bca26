"""The tables of a steering study, from what every system, seed and layer gave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unweave.shapes.steering.energy import Cost
    from unweave.studies.steer_bench import Prepared, Steered
    from unweave.studies.steer_manifold import SteerManifold

Rows = list[dict[str, Any]]
DISTANCES = ("near", "far", "all")
COSTS = {
    "energy": "energy", "worst waypoint": "worst", "on-concept mass": "mass", "order score": "order",
    "visited": "visited", "jumps": "jumps",
}  # fmt: skip
"""Columns of the tables, and the fields of a ``Cost``."""


def steer_tables(config: SteerManifold, prepared: Sequence[Prepared], found: Sequence[Steered]) -> dict[str, Rows]:
    """All rows by table."""
    from unweave.studies.steer_drawing import drawing_tables

    energy = [row for each in found for row in _energy(each)]
    tests, ways = _tests(energy), _ways(energy)
    return {
        "gate": [_gate(each) for each in prepared],
        "scan": [row for each in prepared for row in _scan(each)],
        "manifolds": [_manifold(each) for each in found],
        "energy": energy,
        "means": _means(energy),
        "gains": _gains(config, energy),
        "ways": ways,
        "tests": tests,
        "orders": _orders(found, config.shuffles),
        "isometry": _isometry(config, found),
        **drawing_tables(config, found),
    }


def _gate(each: Prepared) -> dict[str, Any]:
    able = each.capability
    return {
        "task": each.name, "questions": able.accuracy.n, "accuracy": able.accuracy.mean, "low": able.accuracy.low,
        "high": able.accuracy.high, "chance": able.chance, "on-concept mass": able.mass, "passed": able.passed,
        "position": each.position if each.scan is not None else None,
        "layers": ", ".join(map(str, each.layers)) or None,
    }  # fmt: skip


def _scan(each: Prepared) -> Rows:
    if each.scan is None:
        return []
    return [
        {
            "task": each.name, "position": position, "layer": layer, "accuracy": share.mean, "low": share.low,
            "high": share.high, "interchanges": share.n,
            "chosen": position == each.position and layer in each.layers,
        }
        for position, shares in each.scan.accuracy.items()
        for layer, share in enumerate(shares)
    ]  # fmt: skip


def _manifold(each: Steered) -> dict[str, Any]:
    """How much the subspace holds, and whether the order round a circle, which is found, is the known one."""
    import numpy as np

    from unweave.shapes.manifolds.distances import circular, distance_correlation

    row = {
        "task": each.name, "seed": each.seed, "layer": each.layer, "values": len(each.values),
        "components": len(each.manifold.axes), "explained": each.manifold.explained,
    }  # fmt: skip
    if not each.known.period:
        return {**row, "ring r": None, "null 95 %": None, "p": None}
    knots = each.manifold.curve.knots
    order = np.argsort(np.argsort(knots)).astype(float)
    ring = distance_correlation(circular(order, len(order)), each.metric, seed=each.seed)
    return {**row, "ring r": ring.r, "null 95 %": ring.threshold, "p": ring.p}


def pair_name(values: Sequence[str], first: int, second: int) -> str:
    """How tables call a pair."""
    return f"{values[first]} to {values[second]}"


def _energy(each: Steered) -> Rows:
    """A row a pair and way; the shuffled curves' is their mean."""
    from unweave.shapes.steering.paths import MANIFOLD, SHUFFLED, WAYS

    rows = []
    for number, (first, second, distance) in enumerate(each.pairs):
        own = each.costs[MANIFOLD][number].energy
        for way in (*WAYS, SHUFFLED):
            costs = [found[number] for name, found in each.costs.items() if name.startswith(way) and (
                way == SHUFFLED or name == way)]  # fmt: skip
            mean = {column: _mean(costs, name) for column, name in COSTS.items()}
            rows.append(
                {
                    "task": each.name, "layer": each.layer, "seed": each.seed,
                    "pair": pair_name(each.values, first, second), "first": first, "second": second,
                    "distance": distance, "way": way, **mean,
                    "beats manifold": None if way == MANIFOLD else bool(mean["energy"] < own),  # type: ignore[operator]
                }
            )  # fmt: skip
    return rows


def _mean(costs: Sequence[Cost], name: str) -> float | None:
    given = [float(getattr(each, name)) for each in costs if getattr(each, name) is not None]
    return sum(given) / len(given) if given else None


def _groups(energy: Rows) -> dict[tuple[str, int, str], Rows]:
    """Rows by system, layer and distance of the pair, ``all`` of them last; a kind without pairs is left out."""
    found: dict[tuple[str, int, str], Rows] = {}
    for task, layer in dict.fromkeys((row["task"], row["layer"]) for row in energy):
        for distance in DISTANCES:
            rows = [
                row
                for row in energy
                if (row["task"], row["layer"]) == (task, layer) and distance in (row["distance"], "all")
            ]
            if rows:
                found[task, layer, distance] = rows
    return found


def _pairs(rows: Rows) -> list[tuple[int, int]]:
    """The pair of each row: several seeds give it several times, and it then leaves with its values all at once."""
    return [(row["first"], row["second"]) for row in rows]


def _ways(energy: Rows) -> Rows:
    from unweave.shapes.steering.value_test import pairs_mean

    rows = []
    for (task, layer, distance), group in _groups(energy).items():
        for way in dict.fromkeys(row["way"] for row in group):
            here = [row for row in group if row["way"] == way]
            pairs = _pairs(here)
            mean = pairs_mean([row["energy"] for row in here], pairs)
            by_seed = [mean_of([row["energy"] for row in here if row["seed"] == seed]) for seed in _seeds(here)]
            rows.append(
                {
                    "task": task, "layer": layer, "distance": distance, "way": way, "pairs": len(set(pairs)),
                    "energy": mean.mean, "low": mean.low, "high": mean.high, "lowest seed": min(by_seed),
                    "highest seed": max(by_seed),
                    **{column: _column(here, column) for column in COSTS if column != "energy"},
                    "beats manifold": _column(here, "beats manifold"),
                }
            )  # fmt: skip
    return rows


def _means(energy: Rows) -> Rows:
    """The mean over pairs for each seed: what claims over seeds are made of."""
    rows = []
    for (task, layer, distance), group in _groups(energy).items():
        for way in dict.fromkeys(row["way"] for row in group):
            for seed in _seeds(group):
                here = [row for row in group if row["way"] == way and row["seed"] == seed]
                rows.append(
                    {
                        "task": task, "layer": layer, "distance": distance, "way": way, "seed": seed,
                        **{column: _column(here, column) for column in COSTS},
                    }
                )  # fmt: skip
    return rows


def _gains(config: SteerManifold, energy: Rows) -> Rows:
    """What the manifold saves over the line in its subspace, for each seed, mean over pairs and then over layers."""
    from unweave.shapes.steering.paths import IN_SUBSPACE, MANIFOLD

    rows: Rows = []
    for task in dict.fromkeys(row["task"] for row in energy):
        for distance in ("near", "far"):
            group = [row for row in energy if (row["task"], row["distance"]) == (task, distance)]
            for seed in _seeds(group):
                by_layer = []
                for layer in dict.fromkeys(row["layer"] for row in group):
                    here = [row for row in group if (row["seed"], row["layer"]) == (seed, layer)]
                    line, curve = (
                        mean_of([row["energy"] for row in here if row["way"] == way]) for way in (IN_SUBSPACE, MANIFOLD)
                    )
                    by_layer.append(line - curve)
                difference = mean_of(by_layer)
                rows.append(
                    {
                        "task": task, "distance": distance, "seed": seed, "layers": len(by_layer),
                        "difference": difference, "least layer": min(by_layer),
                        "saved": difference / config.waypoints,
                    }
                )  # fmt: skip
    return rows


def _tests(energy: Rows) -> Rows:
    """Every way's energy less the manifold's, pair by pair; p adjusted over all rows of a system."""
    from unweave.shapes.steering.paths import MANIFOLD
    from unweave.shapes.steering.value_test import pairs_mean
    from unweave.stats.comparisons import holm

    rows: Rows = []
    for (task, layer, distance), group in _groups(energy).items():
        ours = [row for row in group if row["way"] == MANIFOLD]
        pairs = _pairs(ours)
        for way in dict.fromkeys(row["way"] for row in group if row["way"] != MANIFOLD):
            # Rows of every way come in one order: by seed, then pair.
            theirs = [row for row in group if row["way"] == way]
            differences = [other["energy"] - own["energy"] for other, own in zip(theirs, ours, strict=True)]
            mean = pairs_mean(differences, pairs)
            rows.append(
                {
                    "task": task, "layer": layer, "distance": distance, "against": way, "pairs": len(set(pairs)),
                    "values": mean.values, "difference": mean.mean, "low": mean.low, "high": mean.high, "p": mean.p,
                    "line wins": sum(each < 0 for each in differences) / len(differences),
                }
            )  # fmt: skip
    for task in dict.fromkeys(row["task"] for row in rows):
        # "all" is made of the other two: counting it as a test of its own would only make the others weaker.
        tested = [row for row in rows if row["task"] == task and row["distance"] != "all" and not math.isnan(row["p"])]
        if tested:
            for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
                row["p (Holm)"] = float(p)
    return rows


def _orders(found: Sequence[Steered], shuffles: int) -> Rows:
    """The manifold's mean energy among those of curves through the same centroids in other orders of the values."""
    from unweave.shapes.steering.paths import MANIFOLD, shuffled
    from unweave.stats.permutation import exceeds_null

    rows = []
    for task, layer in dict.fromkeys((each.name, each.layer) for each in found):
        here = [each for each in found if (each.name, each.layer) == (task, layer)]

        def mean(way: str, here: Sequence[Steered] = here) -> float:
            return sum(each.energy for one in here for each in one.costs[way]) / sum(len(one.pairs) for one in here)

        others = [mean(shuffled(number)) for number in range(shuffles)]
        own = mean(MANIFOLD)
        rows.append(
            {
                "task": task, "layer": layer, "energy": own, "shuffled, least": min(others),
                "shuffled, mean": sum(others) / len(others), "orders": len(others),
                "p": exceeds_null(-own, [-each for each in others]).p,
            }
        )  # fmt: skip
    return rows


def _isometry(config: SteerManifold, found: Sequence[Steered]) -> Rows:
    """Lengths of each way and distances along the behaviour manifold, over all pairs."""
    import numpy as np

    from unweave.shapes.steering.energy import isometry
    from unweave.shapes.steering.paths import SHUFFLED, WAYS, shuffled, way_lengths

    rows = []
    for each in found:
        distances = each.behaviour.distances()
        for way in (*WAYS, SHUFFLED):
            names = [way] if way != SHUFFLED else [shuffled(number) for number in range(config.shuffles)]
            mean = np.mean([way_lengths(each.manifold, name, config.first_seed) for name in names], 0)
            r, low, high, p, threshold = isometry(mean, distances, config.first_seed)
            rows.append(
                {
                    "task": each.name,
                    "layer": each.layer,
                    "seed": each.seed,
                    "way": way,
                    "r": r,
                    "low": low,
                    "high": high,
                    "null 95 %": threshold,
                    "p": p,
                }
            )
    return rows


def _seeds(rows: Rows) -> list[int]:
    return list(dict.fromkeys(row["seed"] for row in rows))


def _column(rows: Rows, column: str) -> float | None:
    given = [float(row[column]) for row in rows if row[column] is not None]
    return mean_of(given) if given else None


def mean_of(numbers: Sequence[float]) -> float:
    """Their mean; the sum is exact, so that the order of rows does not matter."""
    return math.fsum(numbers) / len(numbers)
