"""Rebuilds the bundled decomposition of SmolLM2-135M-Instruct, seeded: about 12 minutes on two cores.

    python recipes/smollm2/decompose.py            # into src/unweave/decompose/bundled/smollm2
    python recipes/smollm2/decompose.py --out X    # somewhere else, to compare

The settings are the defaults of ``SiteLocalConfig``; the text is the decomposition part of the bundled parallel corpus.
An interrupted run continues where it stopped. Stored in half precision, 4.4 MB.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from unweave.base.progress import Terminal
from unweave.corpora.bundled import parallel
from unweave.decompose.config import SiteLocalConfig
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.run import decompose
from unweave.models.load import load_target

SITE = "model.layers.24.mlp.down_proj"
BUNDLED = Path(__file__).resolve().parents[2] / "src" / "unweave" / "decompose" / "bundled" / "smollm2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=BUNDLED)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    progress = Terminal("decompose")
    target = load_target("smollm2", progress=progress)
    working = arguments.out.with_name(arguments.out.name + ".full")
    if not working.exists():
        decompose(target, parallel(), SiteLocalConfig(sites=SITE), out=working, progress=progress)
    decomposition = Decomposition.load(working)
    decomposition.save(arguments.out, replace=True, half=True)
    shutil.rmtree(working)
    if arguments.json:
        json.dump(dict(decomposition.card), sys.stdout)
    else:
        print(f"wrote {arguments.out.name}: {decomposition}")


if __name__ == "__main__":
    main()
