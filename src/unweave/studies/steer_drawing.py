"""The tables that the page draws from: centroids, the curve, and some ways with their answers step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from unweave.studies.steer_bench import Steered
    from unweave.studies.steer_manifold import SteerManifold

Rows = list[dict[str, Any]]
PER_SPAN = 12
"""Points of a drawn curve between two values."""
OTHER = "something else"


def drawing_tables(config: SteerManifold, found: Sequence[Steered]) -> dict[str, Rows]:
    """Of the first seed; places are scores on the first three principal axes of the centroids."""
    tables: dict[str, Rows] = {name: [] for name in ("centroids", "curve", "axes", "paths", "answers")}
    for each in found:
        if each.seed != config.first_seed:
            continue
        for name, rows in _drawn(config, each).items():
            tables[name].extend(rows)
    return tables


def _drawn(config: SteerManifold, each: Steered) -> dict[str, Rows]:
    import numpy as np

    from unweave.shapes.manifolds.family import principal

    manifold = each.manifold
    middle, axes, scores = principal(manifold.centroids, 3)
    total = ((manifold.centroids - middle) ** 2).sum()
    known = {"task": each.name, "layer": each.layer}

    def placed(points: np.ndarray) -> Rows:
        seen = (points - middle) @ axes.T
        seen = np.hstack([seen, np.zeros((len(seen), 3 - seen.shape[1]))])
        return [dict(zip("xyz", map(float, row), strict=True)) for row in seen]

    theta = manifold.curve.samples(PER_SPAN)
    paths, answers = _steps(config, each, placed)
    return {
        "centroids": [
            {**known, "number": number, "value": value, "theta": float(manifold.curve.knots[number]), **place}
            for number, (value, place) in enumerate(zip(each.values, placed(manifold.centroids), strict=True))
        ],
        "curve": [
            {**known, "step": step, "theta": float(theta[step]), **place}
            for step, place in enumerate(placed(manifold.mean + manifold.curve.at(theta) @ manifold.axes))
        ],
        "axes": [
            {**known, "axis": "xyz"[axis], "explained": float((scores[:, axis] ** 2).sum() / total)}
            for axis in range(scores.shape[1])
        ],
        "paths": paths,
        "answers": answers,
    }


def _steps(config: SteerManifold, each: Steered, placed: Callable[[np.ndarray], Rows]) -> tuple[Rows, Rows]:
    """Places and answers along every way of the pairs that are shown; of the shuffled curves, the first one's."""
    import numpy as np

    from unweave.shapes.steering.paths import SHUFFLED, WAYS, shuffled, waypoints
    from unweave.studies.steer_tables import pair_name

    shares = np.linspace(0, 1, config.waypoints)
    names = (*each.values, OTHER)
    paths: Rows = []
    answers: Rows = []
    for way in (*WAYS, SHUFFLED):
        own = way if way != SHUFFLED else shuffled(0)
        probabilities = each.answers(own)
        for number in shown_pairs(each.pairs, config.shown):
            first, second, distance = each.pairs[number]
            pair = {
                "task": each.name, "layer": each.layer, "pair": pair_name(each.values, first, second),
                "distance": distance, "way": way,
            }  # fmt: skip
            found = waypoints(
                each.manifold, each.gone(own, number), first, second, shares, each.bases[:1], config.first_seed
            )
            mean, deviation = probabilities[number].mean(0), probabilities[number].std(0)
            for step, place in enumerate(placed(found.plain)):
                here = {**pair, "step": step, "t": float(shares[step])}
                paths.append({**here, **place})
                answers.extend(
                    {**here, "answer": name, "probability": float(mean[step, at]), "sd": float(deviation[step, at])}
                    for at, name in enumerate(names)
                )
    return paths, answers


def shown_pairs(pairs: Sequence[tuple[int, int, str]], count: int) -> list[int]:
    """The numbers of at most ``count`` pairs: one near pair first, the others spread evenly over the far ones."""
    near = [number for number, pair in enumerate(pairs) if pair[2] == "near"]
    far = [number for number, pair in enumerate(pairs) if pair[2] == "far"]
    wanted = count - len(near[:1])
    step = max(len(far) / wanted, 1.0) if wanted else 1.0
    return [*near[:1], *[far[int(place * step)] for place in range(min(wanted, len(far)))]][:count]
