"""What ``unweave cost`` reckons against what steps really take: products counted by torch, memory as the system counts.

python benchmarks/cost.py [--target polyglot] [--batch 16] [--length 64] [--json]

Each line is a setting, in a process of its own: one group of sites (the largest), its initial tensors and two steps.
Memory is the peak of the process less what it had with the target loaded, so it holds freed blocks and the compiler's
own (Linux only; UNWEAVE_COMPILE=0 compiles nothing).
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from timing import circumstances
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from unweave.decompose.config import WholeModelConfig
from unweave.decompose.cost import estimate_cost, estimate_room
from unweave.decompose.groups import site_groups
from unweave.decompose.masked import MaskedTarget
from unweave.decompose.whole_model import Training
from unweave.models.load import load_target
from unweave.models.target import Target

ONE = {"sites": "*.0.*q_proj"}
SETTINGS: dict[str, dict[str, Any]] = {
    "whole batch": {},
    "micro_batch=4": {"micro_batch": 4},
    "micro_batch=1": {"micro_batch": 1},
    "groups=3": {"groups": 3},
    "groups=6, micro_batch=4": {"groups": 6, "micro_batch": 4},
    "component-mlp, hidden=16": {"importance": "component-mlp", "hidden": 16},
    "component-mlp, hidden=16, micro_batch=4": {"importance": "component-mlp", "hidden": 16, "micro_batch": 4},
    "shared-mlp": {"importance": "shared-mlp"},
    "transformer": {"importance": "transformer"},
    "one q_proj": ONE,
    "one q_proj, component-mlp": {**ONE, "importance": "component-mlp"},
    "one q_proj, shared-mlp": {**ONE, "importance": "shared-mlp"},
    "one q_proj, transformer": {**ONE, "importance": "transformer"},
    "sources=batch": {"sources": "batch"},
    "start=inputs, micro_batch=1": {"start": "inputs", "micro_batch": 1},
    "start=independent, micro_batch=1": {"start": "independent", "micro_batch": 1},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="polyglot", help="what load_target takes (polyglot)")
    parser.add_argument("--batch", type=int, default=16, help="windows a step (16)")
    parser.add_argument("--length", type=int, default=64, help="tokens a window (64)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    base = WholeModelConfig(
        batch=arguments.batch, window_length=arguments.length, prune_at=(), faithfulness_steps=0, steps=100
    )
    rows = []
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as fresh:
        for name, changes in SETTINGS.items():
            rows.append(fresh.submit(row, name, arguments.target, replace(base, **changes)).result())
            print(rows[-1], file=sys.stderr)
    value = {"target": arguments.target, "rows": rows, **circumstances()}
    if arguments.json:
        json.dump(value, sys.stdout)
        return
    print(f"{value['target']}, {arguments.batch} x {arguments.length} tokens, {value['machine']}, {value['date']}")
    for each in rows:
        print("  " + ", ".join(f"{key} {found}" for key, found in each.items()))


def row(name: str, target_name: str, config: WholeModelConfig) -> dict[str, object]:
    target = load_target(target_name, device="cpu")
    config = largest_group(target, config)
    cost, reckoned = estimate_cost(target, config), estimate_room(target, config)[torch.device("cpu")].bytes
    flops, memory = measured(target, config)
    return {
        "setting": name,
        "gflop_reckoned": round(cost.flops / 1e9, 2),
        "gflop_counted": round(flops / 1e9, 2),
        "mb_reckoned": round(reckoned / 1e6),
        "mb_measured": None if memory is None else round(memory / 1e6),
        "measured_over_reckoned": None if memory is None else round(memory / reckoned, 2),
    }


def largest_group(target: Target, config: WholeModelConfig) -> WholeModelConfig:
    """The config of the group of sites that decides the memory, alone."""
    groups = [
        replace(config, sites=",".join(site.name for site in group), groups=1)
        for group in site_groups(target.sites(config.sites), config)
    ]
    return max(groups, key=lambda each: estimate_cost(target, each).bytes)


def measured(target: Target, config: WholeModelConfig) -> tuple[int, int | None]:
    """FLOPs of a step, and bytes at the peak of beginning and two steps."""

    def batches(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(step)
        return torch.randint(target.vocabulary, (config.batch, config.window_length), generator=generator)

    before = start_peak()
    with MaskedTarget(target, target.sites(config.sites)).attached() as model:
        training = Training(model, batches, config)
        training.begin()
        training.step(0)
        training.step(1)
        peak = None if before is None else status("VmHWM") - before
        with FlopCounterMode(display=False) as counter:
            training.step(2)
    return counter.get_total_flops(), peak


def start_peak() -> int | None:
    """Starts the peak of the process anew; bytes it has now, or None where the system does not say."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return None
    return status("VmRSS")


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


if __name__ == "__main__":
    main()
