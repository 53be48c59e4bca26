"""A hundred training steps of a site-local decomposition, compiled and eager, on a matrix of SmolLM2's size.

python benchmarks/site_local.py [--repeats 3] [--json]

Random inputs and weights: a step takes as long on them as on real ones. Compilation is done before the clock starts.
"""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import torch
from timing import arguments, by_turns, report

from unweave.base.device import prefer_fast_float32
from unweave.base.memory import keep_freed_memory
from unweave.decompose import site_local
from unweave.decompose.config import SiteLocalConfig

STEPS = 100


def main() -> None:
    args = arguments(__doc__, repeats=3)
    prefer_fast_float32()
    keep_freed_memory()
    generator = np.random.default_rng(0)
    inputs = site_local.Inputs(generator.standard_normal((600, 64, 1536), np.float32).astype(np.float16), 1.0)
    weight = torch.as_tensor(generator.standard_normal((576, 1536), np.float32)) / 1536**0.5

    def train(compiled: bool, steps: int = STEPS) -> None:
        with patch.object(site_local, "compiler_works", lambda: compiled):
            site_local.train_site("site", weight, inputs, SiteLocalConfig(steps=steps))

    if not site_local.compiler_works():
        raise SystemExit("there is no working C++ compiler, so there is nothing to compare")
    train(True, steps=2)
    seconds = by_turns({"compiled": lambda: train(True), "eager": lambda: train(False)}, args.repeats)
    report(f"{STEPS} steps of a 576 x 1536 matrix", seconds, args.json)


if __name__ == "__main__":
    main()
