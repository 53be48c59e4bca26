"""How stable a decomposition is: over three times its length, seeds and capacities, and against shuffled weights.

    python benchmarks/stability.py --out FOLDER [--steps 5000] [--longer 3] [--seeds 3] [--size small] [--json]

The target is a byte-level model trained here on the bundled text. Its decompositions of ``--longer`` times ``--steps``
steps, one a seed, give the curves (a spike, a late collapse) and the matched cosine between seeds; those of ``--steps``
steps have half, once and twice the capacity (though never fewer pieces at a site than its rank); one more takes apart
the target with every matrix's entries shuffled. All trainings are kept in FOLDER, and a call that was interrupted goes
on from there. No clock is read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

from decompose import SIZES, model
from time_to_quality import BATCH, LENGTH, byte_target
from timing import circumstances, printed
from torch import Tensor

from unweave.base.configs import plain_config
from unweave.base.device import prefer_fast_float32
from unweave.base.memory import keep_freed_memory
from unweave.decompose import Decomposition, WholeModelConfig, decompose
from unweave.decompose.ladder import Ladder, measure_ladder
from unweave.decompose.shuffled import shuffled_target
from unweave.decompose.stability import matched_cosine
from unweave.models import Target
from unweave.record.curves import lines
from unweave.record.table import Table

ATTACK_STEPS = 20
CURVES = {
    "reconstruction": "Error of the masked output, nats a token",
    "l0": "Subcomponents needed at a time (L0)",
    "faithfulness": "What the subcomponents leave of the matrices",
}
LOGARITHMIC = ("reconstruction", "faithfulness")
SMOOTHED = 9
"""Logged steps in the running median that spikes are judged by."""


@dataclass(frozen=True)
class Arm:
    """One training: its name, what is taken apart, and with which settings."""

    name: str
    target: Target
    config: WholeModelConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps trainings, curves and figure")
    parser.add_argument("--size", default="small", choices=list(SIZES))
    parser.add_argument(
        "--steps", type=int, default=WholeModelConfig().steps, help="of the shorter runs (the default length)"
    )
    parser.add_argument("--longer", type=int, default=3, help="how many times --steps the seeds' runs take (3)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", help="only arms whose names begin so, parted by commas (all)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args()
    prefer_fast_float32()
    keep_freed_memory()
    args.out.mkdir(parents=True, exist_ok=True)
    target, seen, held_out = byte_target(model(SIZES[args.size]), args.out / f"target-{args.size}.safetensors")
    wanted = tuple(args.arms.split(",")) if args.arms else ("",)
    arms = [arm for arm in every_arm(target, args) if arm.name.startswith(wanted)]
    made = {arm.name: trained(arm, seen, args.out) for arm in arms}
    ladders = {arm.name: ladder_of(arm, made[arm.name], held_out) for arm in arms}
    logs = {arm.name: logged(args.out / f"{arm.name}.jsonl") for arm in arms}
    draw({name: rows for name, rows in logs.items() if name.startswith("seed")}, args.out)
    value = {
        "target": f"bytes, {args.size}",
        "steps": args.steps,
        "longer": args.longer,
        "arms": [row(name, ladders[name], logs[name]) for name in made],
        "matched_cosine": [
            pair(one, two, made, ladders) for one, two in combinations([name for name in made if name != "shuffled"], 2)
        ],
        **circumstances(),
    }
    printed(value, args.json, [*value["arms"], *value["matched_cosine"]])


def every_arm(target: Target, args: argparse.Namespace) -> list[Arm]:
    """Seeds first, then capacities (each with a seed of its own, so that none starts as another does), then noise."""
    usual = WholeModelConfig().capacity

    def config(steps: int, seed: int, capacity: float = 1.0) -> WholeModelConfig:
        return WholeModelConfig(steps=steps, batch=BATCH, window_length=LENGTH, seed=seed, capacity=capacity * usual)

    arms = [Arm(f"seed-{seed}", target, config(args.longer * args.steps, seed)) for seed in range(args.seeds)]
    arms += [
        Arm(f"capacity-{factor:g}", target, config(args.steps, args.seeds + number, factor))
        for number, factor in enumerate((0.5, 1.0, 2.0))
    ]
    return [*arms, Arm("shuffled", shuffled_target(target), config(args.steps, 0))]


def trained(arm: Arm, seen: Tensor, folder: Path) -> Decomposition:
    """The arm's decomposition, from the folder where it is there."""
    out, log = folder / f"{arm.name}.decomp", folder / f"{arm.name}.jsonl"
    if out.exists():
        found = Decomposition.load(out)
        found.check_target(arm.target.identity.digest)
        if found.card["config"] != plain_config(arm.config.resolved()):
            raise SystemExit(f"{out} was made with other settings: give another --out, or remove it")
        return found
    print(f"  {arm.name}", file=sys.stderr)

    def write(values: dict[str, float]) -> None:
        with log.open("a") as file:
            print(json.dumps(values), file=file)

    return decompose(arm.target, seen, arm.config, out=out, log=write)


def logged(path: Path) -> list[dict[str, float]]:
    """What training logged, in the order of steps; what was logged twice round an interruption counts once."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for _, row in sorted({row["step"]: row for row in rows}.items())]


def ladder_of(arm: Arm, made: Decomposition, held_out: Tensor) -> Ladder:
    return measure_ladder(arm.target, made, held_out, attack_steps=(ATTACK_STEPS,), controls=("svd",))


def smooth(values: Sequence[float]) -> list[float]:
    """The running median."""
    half = SMOOTHED // 2
    return [median(values[max(0, place - half) : place + half + 1]) for place in range(len(values))]


def row(name: str, ladder: Ladder, log: Sequence[dict[str, float]]) -> dict[str, Any]:
    """What an arm ends with, and how steadily it got there: 1 is no spike, and no collapse at the end."""
    error = [each["reconstruction"] for each in log]
    level = smooth(error)
    half = len(level) // 2
    zero = ladder.rung("zero").kl
    return {
        "arm": name,
        "steps": int(log[-1]["step"]),
        "kl_unmasked": round(ladder.rung("unmasked").kl, 4),
        "kl_stochastic": round(ladder.rung("stochastic").kl, 4),
        "kl_importance": round(ladder.rung("importance").kl, 4),
        f"kl_adversarial_{ATTACK_STEPS}": round(ladder.attacks[ATTACK_STEPS], 4),
        "kl_zero": round(zero, 3),
        "importance_of_zero": round(ladder.rung("importance").kl / zero, 4),
        "svd_kl_importance": round(ladder.controls[0].rung("importance").kl, 4),
        "l0": round(ladder.l0, 1),
        "subcomponents": sum(site.subcomponents for site in ladder.sites),
        "alive": ladder.alive,
        "used": sum(site.alive_fires for site in ladder.sites),
        # Each logged step (about 200 of them; what happens between is not seen) against the median round it, and the
        # end against the best median of the second half.
        "largest_spike": round(max(value / line for value, line in zip(error, level, strict=True)), 2),
        "spike_at": int(log[max(range(len(error)), key=lambda place: error[place] / level[place])]["step"]),
        "end_over_best": round(level[-1] / min(level[half:]), 3),
    }


def pair(one: str, two: str, made: dict[str, Decomposition], ladders: dict[str, Ladder]) -> dict[str, Any]:
    """How alike the alive pieces of two decompositions are."""
    match = matched_cosine(made[one], made[two], ladders[one].alive_pieces(), ladders[two].alive_pieces())
    values = {name: getattr(match, name) for name in ("matched", "weighted", "nearest", "nearest_back", "chance")}
    return {"pair": [one, two], **{name: None if v is None else round(v, 3) for name, v in values.items()}}


def draw(logs: dict[str, list[dict[str, float]]], folder: Path) -> None:
    """The curves of the seeds' runs, a figure a quantity, and the table that they are drawn from."""
    rows = [
        {"run": name, **{key: each[key] for key in ("step", *CURVES)}} for name, found in logs.items() for each in found
    ]
    if not rows:
        return
    table = Table.from_records("stability-curves", rows, caption="Training by step.")
    table.save(folder)
    for name, title in CURVES.items():
        logarithmic = name in LOGARITHMIC and all(each[name] > 0 for each in rows)
        figure = lines(table, "step", name, group="run", title=title, y_log=logarithmic, y_label=name)
        (folder / f"curve-{name}.svg").write_text(figure.svg, encoding="utf-8")


if __name__ == "__main__":
    main()
