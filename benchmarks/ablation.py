"""What settings of the whole-model method do in a short run: KL on held-out windows, and pieces in use a token.

    python benchmarks/ablation.py [--try "learning_rate=1e-3,pool=16"] [--try ...] [--steps 400] [--seeds 1] [--json]

Without ``--try`` the defaults alone are measured. The target is that of ``time_to_quality.py``. No clock is read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from decompose import SIZES, model
from time_to_quality import BATCH, LENGTH, byte_target, known_target, reached, trained
from timing import circumstances, printed

from unweave.base.configs import parse_settings, typed_config
from unweave.base.device import prefer_fast_float32
from unweave.base.memory import keep_freed_memory
from unweave.decompose import WholeModelConfig
from unweave.decompose.batches import RowBatches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--try", dest="tries", action="append", default=[], help="settings, parted by commas")
    parser.add_argument("--size", default="small", choices=list(SIZES))
    parser.add_argument("--kept", type=Path, help="file that keeps the byte-level target (safetensors)")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args()
    prefer_fast_float32()
    keep_freed_memory()
    made = known_target() if args.size == "polyglot" else byte_target(model(SIZES[args.size]), args.kept)
    target, seen, held_out = made
    rows = []
    for text in args.tries or [""]:
        settings = parse_settings(text.split(",")) if text else {}
        for seed in range(args.seeds):
            fixed = {"steps": args.steps, "batch": BATCH, "window_length": LENGTH, "seed": seed}
            config = typed_config(WholeModelConfig, {**fixed, **settings}, f"--try {text!r}")
            found = reached(target, held_out, *trained(target, RowBatches(seen, config.batch, seed), config))
            row = {"settings": text, "seed": seed, "kl_stochastic": round(found.stochastic, 4)}
            row |= {"kl_adversarial_20": round(found.adversarial, 4), "l0": round(found.l0, 1)}
            row |= {"kl_unmasked": round(found.unmasked, 4)}
            rows.append(row)
            print(f"  {row}", file=sys.stderr)
    value = {
        "size": args.size,
        "steps": args.steps,
        "rows": rows,
        **circumstances(),
    }
    printed(value, args.json, rows)


if __name__ == "__main__":
    main()
