"""The two models whose answer is known: how well they are trained, what shape they have, and where steering goes.

python benchmarks/worlds.py car|addition [--repeats 3] [--modulus 59] [--json]

``car``: the world model of Mountain Car, its next pictures beside baselines, the family of its positions (trained,
untrained, and with the positions dealt at random), and where the car is along curves and chords. ``addition``: the
network that adds modulo a prime, its frequencies beside an untrained one's, and the answers once round its circle.
Repeats are seeds of training. Networks are kept in the cache folder.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace

import torch
from timing import circumstances, printed

from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.choice import Choice, choose
from unweave.shapes.worlds import AdditionConfig, AdditionSystem, CarSystem, WorldConfig, modular_addition, mountain_car
from unweave.shapes.worlds.addition import AdditionNetwork, held_out_accuracy
from unweave.shapes.worlds.answers_round import ORDERS, answers_round
from unweave.shapes.worlds.decoded_paths import MEASURES, WAYS, decoded_paths, difference
from unweave.shapes.worlds.frame_model import FrameModel, held_out_error
from unweave.shapes.worlds.states import centroids

Rows = list[dict[str, object]]


def car(seeds: int, modulus: int) -> Rows:
    del modulus
    rows: Rows = []
    for seed in range(seeds):
        config = replace(WorldConfig(), seed=seed)
        started = time.process_time()
        system = mountain_car(config)
        seconds = round(time.process_time() - started)
        error = {name: _short(value) for name, value in held_out_error(system.model, config)._asdict().items()}
        _add(rows, {"seed": seed, "seconds to train or load": seconds, "squared error of a picture": error})
        untrained = CarSystem(FrameModel(config), config)
        for layer in system.layers:
            means = centroids(system.states(layer), len(system.values))
            dealt = numpy_generator(seed, "worlds benchmark", "dealt").permutation(system.positions)
            before = centroids(untrained.states(layer), len(system.values))
            ways = {way: decoded_paths(system, layer, way) for way in WAYS}
            _add(
                rows,
                {
                    "seed": seed, "layer": layer, "family": _named(choose(means, system.positions)),
                    "untrained": _named(choose(before, system.positions)),
                    "positions dealt": _named(choose(means, dealt)),
                    "paths": {
                        way: {
                            f"{name}, {'near' if near else 'far'}": _short(
                                found.measure(name)[found.near == near].mean()
                            )
                            for name in MEASURES for near in (True, False)
                        }
                        for way, found in ways.items()
                    },
                    "chord less manifold": {
                        f"{name}, {'near' if near else 'far'}": [
                            _short(each) for each in difference(ways["chord"], ways["manifold"], name, near)[:3]
                        ]
                        for name in MEASURES for near in (True, False)
                    },
                },
            )  # fmt: skip
    return rows


def addition(seeds: int, modulus: int) -> Rows:
    rows: Rows = []
    for seed in range(seeds):
        config = AdditionConfig(modulus=modulus, seed=seed)
        started = time.process_time()
        system = modular_addition(config)
        seconds = round(time.process_time() - started)
        untrained = AdditionSystem(AdditionNetwork(config), config)
        _add(
            rows,
            {"seed": seed, "modulus": modulus, "seconds to train or load": seconds,
             "held-out accuracy": held_out_accuracy(system.network, config),
             "untrained": _short(held_out_accuracy(untrained.network, config))},
        )  # fmt: skip
        for layer in system.layers:
            row: dict[str, object] = {"seed": seed, "layer": layer}
            for name, each in (("trained", system), ("untrained", untrained)):
                spectrum = each.spectrum(layer)
                row[name] = {
                    "frequencies that hold 0.9": len(spectrum.key_frequencies()),
                    "strongest": {key: _short(spectrum.power[key - 1]) for key in spectrum.strongest[:4]},
                    "family": _named(choose(each.centroids(layer), names=["circle", "closed spline"], most_flat=12)),
                }
            for order in ORDERS:
                found = answers_round(system, layer, order)
                row[f"round, {order}"] = {
                    part: _short(getattr(found, part)) for part in ("reached", "in_order", "neighbours")
                }
            _add(rows, row)
    return rows


def _named(found: Choice) -> str:
    candidate = found.candidate(found.name)
    return f"{candidate.name} ({_short(candidate.error)})"


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _add(rows: Rows, row: dict[str, object]) -> None:
    rows.append(row)
    print(row, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--repeats", type=int, default=3, help="seeds (3)")
    parser.add_argument("--modulus", type=int, default=59, help="of the addition, a prime (59)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = PARTS[args.part](args.repeats, args.modulus)
    printed({**circumstances(), "rows": rows}, args.json, [circumstances(), *rows])


PARTS = {"car": car, "addition": addition}

if __name__ == "__main__":
    main()
