"""Steps per second, memory and time to quality of the whole-model method against a plain published step.

    python benchmarks/decompose.py [--sizes small,polyglot,large] [--repeats 3] [--steps 8] [--compiled]
                                   [--quality 1000] [--seeds 1] [--json]

Rates: same models (random weights, random tokens), sites, capacities and batch; one ascent step of the adversary for
the published step (``published_step.py``), the defaults for ours. Ways take turns in one process. Memory is the peak
of the process during the steps, less what it had before the way was set up (Linux only). Time to equal quality is
measured on trained models, see ``time_to_quality.py``.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from published_step import PublishedStep
from time_to_quality import time_to_quality
from timing import circumstances, printed
from transformers import ArceeConfig, ArceeForCausalLM

from unweave.base.device import compiler_works, prefer_fast_float32
from unweave.base.memory import keep_freed_memory
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.masked import MaskedTarget
from unweave.decompose.start import subcomponent_count
from unweave.decompose.whole_model import Training
from unweave.models.target import make_target

BATCH, LENGTH = 16, 64


@dataclass(frozen=True)
class Size:
    """A model to take apart."""

    width: int
    mlp: int
    layers: int
    heads: int
    vocabulary: int


SIZES = {
    "small": Size(64, 256, 2, 2, 512),
    "polyglot": Size(192, 768, 3, 4, 4096),
    "large": Size(384, 1536, 4, 6, 8192),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--repeats", type=int, default=3, help="rounds, each way once a round (3)")
    parser.add_argument("--steps", type=int, default=8, help="steps a round (8)")
    parser.add_argument("--compiled", action="store_true", help="also compile the published step (minutes a size)")
    parser.add_argument("--quality", type=int, metavar="STEPS", help="also train to equal quality, ours so many steps")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of --quality (1)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args()
    prefer_fast_float32()
    keep_freed_memory()
    if not compiler_works():
        print("no working C++ compiler: everything is measured eagerly", file=sys.stderr)
    found = [measure(name, SIZES[name], args) for name in args.sizes.split(",")]
    value = {
        "sizes": found,
        **circumstances(),
    }
    printed(value, args.json, found)


def measure(name: str, size: Size, args: argparse.Namespace) -> dict[str, object]:
    """Rates by turns, then each way's memory by itself."""
    print(f"{name}: {size}", file=sys.stderr)
    ways: dict[str, Callable[[], Callable[[int], object]]] = {
        "unweave": lambda: ours(size),
        "published, eager": lambda: published(size, compiled=False),
    }
    if args.compiled:
        ways["published, compiled"] = lambda: published(size, compiled=True)
    steps = {way: make() for way, make in ways.items()}
    for way, step in steps.items():
        started = time.perf_counter()
        for number in range(2):
            step(number)
        print(f"  {way}: first two steps {time.perf_counter() - started:.1f} s", file=sys.stderr)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(args.repeats):
        for way, step in steps.items():
            started = time.perf_counter()
            for number in range(args.steps):
                step(2 + repeat * args.steps + number)
            seconds[way].append((time.perf_counter() - started) / args.steps)
            print(f"  {way}: {seconds[way][-1]:.4f} s a step", file=sys.stderr)
    del steps, step
    memory = {way: peak_memory(make) for way, make in ways.items()}
    typical = {way: statistics.median(each) for way, each in seconds.items()}
    rows = [
        {
            "way": way,
            "steps_per_second": round(1 / typical[way], 3),
            "slowest": round(1 / max(seconds[way]), 3),
            "fastest": round(1 / min(seconds[way]), 3),
            "memory_mb": memory[way],
        }
        for way in ways
    ]
    result: dict[str, object] = {"name": name, "rows": rows}
    for way, suffix in (("published, eager", ""), ("published, compiled", "_compiled")):
        if way in ways:
            result[f"step_rate_ratio{suffix}"] = round(typical[way] / typical["unweave"], 3)
            mine, theirs = memory["unweave"], memory[way]
            result[f"memory_ratio{suffix}"] = round(mine / theirs, 3) if mine and theirs else None
    if args.quality:
        result |= time_to_quality(name, model(size), args.quality, args.seeds)
    return result


def model(size: Size) -> ArceeForCausalLM:
    torch.manual_seed(0)
    config = ArceeConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=size.mlp,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        hidden_act="gelu",
        tie_word_embeddings=True,
        max_position_embeddings=LENGTH,
        initializer_range=0.1,
        bos_token_id=0,
        eos_token_id=0,
    )
    return ArceeForCausalLM(config).eval().requires_grad_(False)


def tokens(size: Size, step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    return torch.randint(size.vocabulary, (BATCH, LENGTH), generator=generator)


def ours(size: Size) -> Callable[[int], object]:
    config = WholeModelConfig(steps=10_000, batch=BATCH, window_length=LENGTH, prune_at=(), faithfulness_steps=0)
    target = make_target(model(size), None, "benchmark", check=False)
    masked = MaskedTarget(target, target.sites("*"))
    attached = masked.attached()
    attached.__enter__()
    training = Training(masked, lambda step: tokens(size, step), config)
    training.begin()
    # Held by the closure: the hooks go when the step function does.
    return lambda step, attached=attached: training.step(step)


def published(size: Size, compiled: bool) -> Callable[[int], object]:
    module = copy.deepcopy(model(size))
    target = make_target(module, None, "benchmark", check=False)
    config = WholeModelConfig()
    counts = {site.name: subcomponent_count(config, site.d_in, site.d_out) for site in target.sites("*")}
    way = PublishedStep(module, counts, config.hidden, BATCH, LENGTH)
    if compiled:
        way.divergence = torch.compile(way.divergence, dynamic=False)  # type: ignore[method-assign]
        way.importances = torch.compile(way.importances, dynamic=False)  # type: ignore[method-assign]
    return lambda step: way.step(tokens(size, step))


def peak_memory(make: Callable[[], Callable[[int], object]]) -> float | None:
    """Megabytes at the peak of setting up and three steps, above what there was before; None where it is not known."""
    status, refs = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.exists():
        return None
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    try:
        refs.write_text("5")  # starts the peak anew
    except OSError:
        return None
    before = _kilobytes(status, "VmRSS")
    step = make()
    for number in range(3):
        step(number)
    return round((_kilobytes(status, "VmHWM") - before) / 1024, 1)


def _kilobytes(status: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name + ":"))


if __name__ == "__main__":
    main()
