"""How far four loss tokens scatter: the level that the one-number search reaches over many draws of its text.

    python recipes/scatter.py --target smollm2 --label de [--decomposition FOLDER] [--draws 10] [--json]

The search is run as the study runs it, on windows of the training part that no study's seed draws first, once with the
tokens that the study takes and once with evenly spaced ones. The realised level of each factor is read off the label's
curve on 24 windows of the decomposition part, its broadest text. The evaluation part is not read.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from unweave.base.memory import keep_freed_memory
from unweave.base.progress import Terminal
from unweave.corpora.bundled import parallel
from unweave.corpora.windows import token_windows, windows_by_label
from unweave.decompose.decomposition import Decomposition, bundled
from unweave.edit.edits import FactorEdit, applied
from unweave.edit.line_search import tune_factor
from unweave.edit.measure import make_yardstick
from unweave.edit.objective import loss_text
from unweave.edit.setting import Setting
from unweave.edit.site_trial import choose_piece
from unweave.edit.tuned import bundled_tuning
from unweave.models.load import load_target
from unweave.read.selection import label_statistics

BUDGET, WINDOWS, FIRST_SEED = 4, 24, 100
STRENGTHS = (0, 2, 3, 4, 5, 6, 7, 8, 10, 14)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="smollm2", help="a bundled target (smollm2)")
    parser.add_argument("--label", default="de")
    parser.add_argument("--decomposition", type=Path)
    parser.add_argument("--draws", type=int, default=10, help="seeds, each a window of its own (10)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_freed_memory()
    progress, label = Terminal("scatter"), arguments.label
    target, corpus = load_target(arguments.target, progress=progress), parallel()
    decomposition = Decomposition.load(arguments.decomposition or bundled(arguments.target))
    selection = windows_by_label(target.tokenizer, corpus, "selection", None, 64, 24, 0)
    every = [label_statistics(target, pieces, selection) for pieces in decomposition.sites.values()]
    chosen, _ = choose_piece(target, decomposition, every, label, selection, progress)
    setting = Setting(
        target,
        corpus,
        label,
        "en",
        decomposition.site(chosen.site),
        chosen.index,
        selection,
        entropy_carried=bundled_tuning(label, target.name).entropy_carried,
    )
    piece = setting.piece()
    edit = FactorEdit.on_pieces([(piece, 1.0)], target.identity.digest)
    held_out = torch.as_tensor(token_windows(target.tokenizer, corpus, "decomposition", label, 64, WINDOWS, seed=5))
    yardstick = make_yardstick(target, {label: held_out}, setting.layer)
    curve = []
    for strength in STRENGTHS:
        with applied(target, edit.with_factor(1.0 - strength)):
            curve.append(yardstick.measure(target)[label].mean()[0] / setting.ceiling)
        progress.update(len(curve), len(STRENGTHS), "the label's curve")
    spaced = range(15, 64, 16)
    levels: dict[str, list[float]] = {"the study's tokens": [], "evenly spaced tokens": []}
    for seed in range(arguments.draws):
        drawn = setting.objective(BUDGET, FIRST_SEED + seed)
        text = loss_text(target, drawn.removed.prefix.tokens, spaced, setting.layer)
        for name, objective in zip(levels, (drawn, replace(drawn, removed=text)), strict=True):
            tuned = tune_factor(target, edit, objective, setting.reference(piece))
            levels[name].append(float(np.interp(-tuned.strength, STRENGTHS, curve)))
        progress.update(seed + 1, arguments.draws, "draws")
    rows = [
        {
            "tokens": name,
            "median": round(float(np.median(found)), 3),
            "standard deviation": round(float(np.std(found)), 3),
            "lowest": round(min(found), 3),
            "highest": round(max(found), 3),
        }
        for name, found in levels.items()
    ]
    if arguments.json:
        json.dump({"label": label, "site": piece.site, "draws": arguments.draws, "rows": rows}, sys.stdout)
        return
    print(f"{label}, {piece.name}, {arguments.draws} draws of {BUDGET} tokens; realised level in ln V")
    for row in rows:
        print("  " + ", ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
