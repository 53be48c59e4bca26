"""The zoo of 48 synthetic manifolds: families chosen by noise, what is found in noise alone, and discovery.

python benchmarks/manifolds.py choice|null|discovery [--noise 0.1] [--repeats 3] [--json]

``choice``: of each manifold's own labelled centroids (24 of a curve, 40 of a surface; 10 points each), whether the right
family is chosen. ``null``: Gaussian clouds with values at random. ``discovery``: groups of the latents of a BatchTopK SAE
trained on sparse sums of the manifolds, by restricted R^2 beside random groups. Repeats are seeds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter

import numpy as np
from timing import circumstances, printed

from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.choice import choose
from unweave.shapes.manifolds.zoo import KINDS, PER_KIND, labelled, zoo
from unweave.stats import wilson_interval

CLOUDS = 40


def choice(noise: float, seeds: int) -> list[dict[str, object]]:
    """Right choices of 48 by seed, and of each kind."""
    rows, shares, by_kind, wrong = [], [], Counter(), Counter()
    for seed in range(seeds):
        right = 0
        started = time.process_time()
        for specimen in zoo(seed):
            data = labelled(specimen, noise, seed)
            found = choose(data.centroids, data.values, seed=seed).name
            right += found == specimen.right
            by_kind[specimen.kind] += found == specimen.right
            if found != specimen.right:
                wrong[f"{specimen.kind}: {found}"] += 1
        shares.append(right)
        rows.append({"noise": noise, "seed": seed, "right of 48": right, "seconds": round(time.process_time() - started)})
        print(rows[-1], file=sys.stderr, flush=True)
    spread = statistics.stdev(shares) if len(shares) > 1 else None
    total = {"noise": noise, "seeds": seeds, "right, mean of 48": statistics.mean(shares), "sd over seeds": spread}
    kinds = {kind: f"{by_kind[kind]}/{PER_KIND * seeds}" for kind in KINDS}
    return [*rows, {**total, "by kind": kinds, "wrong": dict(wrong)}]


def null(seeds: int) -> list[dict[str, object]]:
    """How often something is found in Gaussian clouds of 12 and 24 points in 128 columns, with values in random order."""
    rows = []
    for count in (12, 24):
        named: Counter[str] = Counter()
        for cloud in range(CLOUDS * seeds):
            generator = numpy_generator(cloud, "null cloud", count)
            points = generator.standard_normal((count, 128))
            found = choose(points, generator.permutation(count).astype(float), seed=cloud)
            named[found.name] += 1
            named["any curved family better than PCA of its dimension"] += any(
                each.p is not None and each.p <= found.level for each in found.candidates
            )
        chosen = CLOUDS * seeds - named["none"]
        low_high = wilson_interval(chosen, CLOUDS * seeds)
        rows.append(
            {"values": count, "clouds": CLOUDS * seeds, "something chosen": chosen,
             "interval": [round(low_high.low, 3), round(low_high.high, 3)], "names": dict(named)}
        )  # fmt: skip
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["choice", "null"])
    parser.add_argument("--noise", type=float, default=0.1, help="deviation a column, the manifold's own being 1 (0.1)")
    parser.add_argument("--repeats", type=int, default=3, help="seeds (3)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args()
    rows = {"choice": lambda: choice(args.noise, args.repeats), "null": lambda: null(args.repeats)}[args.part]()
    printed({**circumstances(), "rows": rows}, args.json, [circumstances(), *rows])


if __name__ == "__main__":
    main()
