"""The zoo of 48 synthetic manifolds: families chosen by noise, what is found in noise alone, and discovery.

python benchmarks/manifolds.py choice|null|clusters|discovery [--noise 0.1] [--repeats 3] [--json]

``choice``: of each manifold's own labelled centroids (24 of a curve, 40 of a surface; 10 points each), whether the
right family is chosen. ``null``: Gaussian clouds with values at random. ``clusters``: clusters and
trees, of which only the latter should be named one. ``discovery``: groups of the latents of a
BatchTopK SAE trained on sparse sums of the manifolds, by restricted R^2 beside random groups. Repeats are seeds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from timing import circumstances, printed

from unweave.base.progress import usual_progress
from unweave.base.seeds import numpy_generator
from unweave.read.dictionaries.batch_topk import products
from unweave.read.dictionaries.fitting import fit_batch_topk
from unweave.read.dictionaries.training_config import SAEConfig
from unweave.shapes.manifolds.choice import choose
from unweave.shapes.manifolds.discovery import DiscoveryConfig, discover
from unweave.shapes.manifolds.zoo import KINDS, PER_KIND, labelled, restricted_r2, superposed, zoo
from unweave.stats import wilson_interval

CLOUDS = 40
TRAINED, COUPLED, SCORED = 40_000, 4_000, 16_000
"""Rows: sums that the SAE is trained on, that couplings are fitted to, that groups are scored on."""
LATENTS_KEPT = 12
EPOCHS = 10
HELD = 0.5


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
        seconds = round(time.process_time() - started)
        rows.append({"noise": noise, "seed": seed, "right of 48": right, "seconds": seconds})
        print(rows[-1], file=sys.stderr, flush=True)
    spread = statistics.stdev(shares) if len(shares) > 1 else None
    total = {"noise": noise, "seeds": seeds, "right, mean of 48": statistics.mean(shares), "sd over seeds": spread}
    kinds = {kind: f"{by_kind[kind]}/{PER_KIND * seeds}" for kind in KINDS}
    return [*rows, {**total, "by kind": kinds, "wrong": dict(wrong)}]


def null(seeds: int) -> list[dict[str, object]]:
    """What is found in Gaussian clouds of 12 and 24 points in 128 columns, with values in random order."""
    rows = []
    for count in (12, 24):
        named: Counter[str] = Counter()
        for cloud in range(CLOUDS * seeds):
            generator = numpy_generator(cloud, "null cloud", count)
            points = generator.standard_normal((count, 128))
            found = choose(points, generator.permutation(count).astype(float), seed=cloud)
            named[found.name] += 1
            named["any curved family better than PCA of its dimension"] += any(
                each.p is not None and each.p <= found.level for each in found.candidates if each.dimension
            )
        chosen = CLOUDS * seeds - named["none"]
        low_high = wilson_interval(chosen, CLOUDS * seeds)
        rows.append(
            {"values": count, "clouds": CLOUDS * seeds, "something chosen": chosen,
             "interval": [round(low_high.low, 3), round(low_high.high, 3)], "names": dict(named)}
        )  # fmt: skip
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def clusters(seeds: int) -> list[dict[str, object]]:
    """What plain clusters, clusters of clusters and trees are named, in 64 columns."""
    rows = []
    for name, make in CLUSTERED.items():
        named: Counter[str] = Counter()
        for seed in range(seeds):
            points = make(numpy_generator(seed, "clusters benchmark", name))
            named[choose(points, seed=seed).name] += 1
        rows.append({"points": name, "clouds": seeds, "named": dict(named)})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _around(centres: np.ndarray, each: int, spread: float, generator: np.random.Generator) -> np.ndarray:
    found = np.repeat(centres, each, 0)
    return found + spread * generator.standard_normal(found.shape) / np.sqrt(found.shape[1])


def _nodes(count: int, generator: np.random.Generator) -> np.ndarray:
    """All nodes of a tree that grows at a node drawn at random, each time in a direction of its own."""
    found = [np.zeros(64)]
    for _ in range(count - 1):
        found.append(_around(found[generator.integers(len(found))][None], 1, 1, generator)[0])
    return np.stack(found)


def _forks(depth: int, generator: np.random.Generator) -> np.ndarray:
    found = np.zeros((1, 64))
    for _ in range(depth):
        found = _around(found, 2, 1, generator)
    return found


CLUSTERED: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "3 clusters of 8": lambda draw: _around(np.eye(3, 64), 8, 0.4, draw),
    "6 clusters of 4": lambda draw: _around(np.eye(6, 64), 4, 0.4, draw),
    "8 clusters of 3": lambda draw: _around(np.eye(8, 64), 3, 0.4, draw),
    "12 clusters of 2": lambda draw: _around(np.eye(12, 64), 2, 0.4, draw),
    "3 clusters of 3 clusters of 3": lambda draw: _around(_around(np.eye(3, 64), 3, 0.6, draw), 3, 0.3, draw),
    "16 leaves of a tree that forks": lambda draw: _forks(4, draw),
    "24 nodes of a random tree": lambda draw: _nodes(24, draw),
}
"""Clusters' centres are all as far from one another."""


def discovery(noise: float, seeds: int) -> list[dict[str, object]]:
    """Restricted R^2 of the manifold that each found group holds best, and of the best for random groups as large."""
    rows = []
    for seed in range(seeds):
        started = time.perf_counter()
        specimens = zoo(seed)
        trained = superposed(specimens, TRAINED, noise, seed)
        config = SAEConfig(expansion=4, k=LATENTS_KEPT, epochs=EPOCHS, learning_rate=2e-3, dead_after=10_000)
        sae = fit_batch_topk(torch.as_tensor(trained.points), torch.arange(TRAINED), config, seed)
        print(f"trained after {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        held = superposed(specimens, COUPLED + SCORED, noise, seed + 1000)
        found = products(sae.weights, torch.as_tensor(held.points))
        codes = torch.where(found > sae.threshold, found, 0).numpy()
        directions = sae.weights.decoder.numpy()
        written = codes @ directions + sae.weights.bias.numpy()
        explained = 1 - ((held.points - written) ** 2).sum() / ((held.points - held.points.mean(0)) ** 2).sum()
        groups = discover(codes[:COUPLED], directions, DiscoveryConfig(seed=seed), usual_progress())
        codes, parts = codes[COUPLED:], held.parts[:, COUPLED:]
        generator = numpy_generator(seed, "manifolds benchmark", "random groups")

        def scores(units: np.ndarray, codes: np.ndarray = codes, parts: np.ndarray = parts) -> list[float]:
            return [restricted_r2(codes[:, units], part) for part in parts]

        keeps = np.array([each.kept for each in groups.groups], bool)
        ours = np.array([scores(np.array(each.units)) for each in groups.groups])
        random = np.array(
            [scores(generator.choice(groups.considered, len(each.units), replace=False)) for each in groups.groups]
        )
        score, chance = ours.max(1), random.max(1)
        well, by_chance = (each[keeps] >= HELD for each in (ours, random))
        rows.append(
            {"noise": noise, "seed": seed, "sae variance explained": round(float(explained), 3),
             "units considered": len(groups.considered), "couplings": groups.ising.edges if groups.ising else 0,
             "groups": len(score), "kept": int(keeps.sum()),
             "units a group": _rounded([len(g.units) for g in groups.groups]),
             "R2 of groups": _rounded(score), "R2 of kept": _rounded(score[keeps]), "R2 of random": _rounded(chance),
             "R2 of random, of kept sizes": _rounded(chance[keeps]),
             f"manifolds with R2 >= {HELD} in a kept group": int(well.any(0).sum()),
             "in a random one": int(by_chance.any(0).sum()),
             "such manifolds a kept group": dict(Counter(well.sum(1).tolist())),
             "kinds of groups": dict(Counter(each.kind for each in groups.groups)),
             "seconds": round(time.perf_counter() - started)}
        )  # fmt: skip
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _rounded(values: Sequence[float] | np.ndarray) -> float | None:
    """The mean to three places; none of nothing."""
    return round(float(np.mean(values)), 3) if len(values) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["choice", "null", "clusters", "discovery"])
    parser.add_argument("--noise", type=float, default=0.1, help="deviation a column, the manifold's own being 1 (0.1)")
    parser.add_argument("--repeats", type=int, default=3, help="seeds (3)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = UNNOISED[args.part](args.repeats) if args.part in UNNOISED else PARTS[args.part](args.noise, args.repeats)
    printed({**circumstances(), "rows": rows}, args.json, [circumstances(), *rows])


PARTS = {"choice": choice, "discovery": discovery}
UNNOISED = {"null": null, "clusters": clusters}

if __name__ == "__main__":
    main()
