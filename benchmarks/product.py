"""The float32 products behind every forward: oneDNN against torch's default, and positions handed over contiguous.

python benchmarks/product.py [--repeats 5] [--json]

The output embedding of SmolLM2's size on 16 windows of 64 tokens, all positions but the last. Random values: a product
takes as long on them as on real ones.
"""

from __future__ import annotations

import torch
from timing import arguments, by_turns, report

from unweave.base.device import prefer_fast_float32
from unweave.base.memory import keep_freed_memory


def main() -> None:
    args = arguments(__doc__, repeats=5)
    keep_freed_memory()
    hidden = torch.randn(16, 64, 576)
    embedding = torch.nn.Linear(576, 49152, bias=False).requires_grad_(False)  # frozen, as a target is
    backend = torch.backends.mkldnn.matmul
    default = backend.fp32_precision
    prefer_fast_float32()
    chosen = backend.fp32_precision

    def product(contiguous: bool, precision: str) -> None:
        backend.fp32_precision = precision
        picked = hidden[:, :-1].contiguous() if contiguous else hidden[:, :-1]
        with torch.no_grad():
            embedding(picked)

    ways = {
        "contiguous, as unweave chooses": lambda: product(True, chosen),
        "contiguous, torch's default": lambda: product(True, default),
        "a strided slice, as unweave chooses": lambda: product(False, chosen),
        "a strided slice, torch's default": lambda: product(False, default),
    }
    report("logits of 1,008 tokens", by_turns(ways, args.repeats), args.json)


if __name__ == "__main__":
    main()
