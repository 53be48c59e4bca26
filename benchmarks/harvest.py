"""How fast a harvest reads, against the plain forward pass of the same windows, and how much memory many features take.

    python benchmarks/harvest.py                 # polyglot and SmolLM2, and 20,000 features of a small target
    python benchmarks/harvest.py --json

A round is a batch of 16 windows of 64 tokens, counted whole: forward, importances, activations, draws, tables, samples.
The samples fill while the first batches are read, so batches before ``--warm`` are not timed; those of a short text are
the slower ones. The memory row makes 20,000 random features of one site with an importance function whose outputs are
rarely above 0, touches every page of its tables as a long text would, keeps it, finds partners, writes the folder,
and says the process's peak.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from timing import circumstances, printed

from unweave.base.memory import keep_freed_memory
from unweave.corpora import load_corpus
from unweave.decompose import Decomposition, bundled
from unweave.decompose.decomposition import SiteSubcomponents
from unweave.decompose.importance import Importance, init_importance
from unweave.models import Target, load_target
from unweave.read.features import Dictionary, subcomponent_dictionary
from unweave.read.harvest.config import HarvestConfig
from unweave.read.harvest.run import Plan, _facts, _save, plan_harvest, read_batch
from unweave.read.harvest.store import write_harvest
from unweave.read.harvest.tally import Tally

MANY = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=12, help="batches timed of each target (12)")
    parser.add_argument("--warm", type=int, default=24, help="batches read before (24)")
    parser.add_argument("--targets", default="polyglot,smollm2", help="targets with a bundled decomposition")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args()
    keep_freed_memory()
    rows = []
    for name in args.targets.split(","):
        target = load_target(name)
        dictionary = subcomponent_dictionary(Decomposition.load(bundled(name)), target, name)
        warm = args.warm if name == "polyglot" else max(1, args.warm // 8)
        rows.append({"target": name, **_timed(target, dictionary, args.batches, warm)})
        print(rows[-1], file=sys.stderr)
    memory = _many(load_target("polyglot"))
    print(memory, file=sys.stderr)
    value = {"benchmark": "harvest", "against": "plain forward", "rows": rows, "memory": memory, **circumstances()}
    printed(value, args.json, [*rows, memory])


def _timed(
    target: Target, dictionary: Dictionary, batches: int, warm: int, after: Callable[[Plan, Tally], None] | None = None
) -> dict[str, Any]:
    """Tokens a second of the harvest and of the plain forward by turns, and the median of their ratios."""
    windows = -(-16 * (batches + warm) // 15)  # of three shards of text in each of five labels
    plan = plan_harvest(target, dictionary, load_corpus("parallel"), HarvestConfig(windows=windows))
    tally, places = Tally(plan.shape), {name: features.reads for name, features in dictionary.groups.items()}
    in_pool = np.full(len(plan.text), -1)
    in_pool[plan.pool] = np.arange(len(plan.pool))
    plain, whole = [], []
    for index in range(warm + batches):
        rows = np.arange(index * 16, index * 16 + 16)
        tokens = torch.as_tensor(plan.text.tokens[rows], dtype=torch.long)
        start = time.perf_counter()
        with torch.no_grad():
            target.logits(tokens)
        middle = time.perf_counter()
        read_batch(target, dictionary, places, plan, tally, index, rows, in_pool[rows])
        if index >= warm:
            plain.append(middle - start)
            whole.append(time.perf_counter() - middle)
    if after is not None:
        after(plan, tally)
    tokens_each = 16 * plan.text.length
    ratios = sorted(a / b for a, b in zip(plain, whole, strict=True))
    return {
        "features": plan.shape.features,
        "plain_tokens_per_s": round(tokens_each / statistics.median(plain)),
        "harvest_tokens_per_s": round(tokens_each / statistics.median(whole)),
        "share_of_plain": round(statistics.median(ratios), 3),
        "lowest": round(ratios[0], 3),
        "highest": round(ratios[-1], 3),
        "batches": batches,
    }


def _many(target: Target) -> dict[str, Any]:
    """Peak memory with many features, beside what the process holds before them."""
    import resource

    site = target.sites("*.0.mlp.up_proj")[0]
    generator = torch.Generator().manual_seed(0)
    tensors = init_importance(site.d_in, 32, MANY, generator)
    tensors["b"] = torch.full((MANY,), -1.5)
    V = torch.randn(site.d_in, MANY, generator=generator) / site.d_in
    U = torch.randn(MANY, site.d_out, generator=generator)
    pieces = SiteSubcomponents(site.name, V, U, Importance(torch.tensor(1.0), **tensors))
    made = Decomposition({site.name: pieces}, target.identity.digest, target.name)
    dictionary = subcomponent_dictionary(made, target, "random")
    unit = 1e9 if sys.platform == "darwin" else 1e6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

    def finish(plan: Plan, tally: Tally) -> None:
        for name in ("table_in", "table_out"):
            tally.sums[name][:, ::512] += 0  # zero pages take no memory before they are written to
        with TemporaryDirectory() as folder:
            _save(plan, tally, Path(folder) / "kept.safetensors")
            facts = _facts(target, dictionary, plan, ("", ""), 0.0, 0, tally)
            out = Path(folder) / "made.harvest"
            write_harvest(out, facts, plan.text, plan.columns, plan.pool, tally, target.tokenizer, 32, lambda _: None)

    found = _timed(target, dictionary, 4, 4, finish)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {"features": MANY, "peak_gb": round(peak, 2), "peak_before_gb": round(before, 2), **found}


if __name__ == "__main__":
    main()
