"""Sets learning rates and stopping levels of the methods that descend, each label's on another label.

    python recipes/tune.py --target smollm2 --label de --label fr ...      # updates src/unweave/edit/tuned.json

Everything is read from the tuning part of the corpus and counted: the removed label's own tuning text is never used
for it. First learning rate and steps are chosen with the floor of the objective at ln V, then lower floors are tried
with them; both by the distance to ln V plus the worst change elsewhere. One number is searched and needs none of this.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from unweave.base.files import read_json, write_json
from unweave.base.progress import Terminal
from unweave.corpora.bundled import parallel
from unweave.corpora.windows import windows_by_label
from unweave.decompose.decomposition import Decomposition, bundled
from unweave.edit.adapters import Descent
from unweave.edit.methods import find_method
from unweave.edit.setting import Setting
from unweave.edit.site_trial import choose_piece
from unweave.edit.tuned import TUNED, Tuning, tuning_from_dict, tuning_label
from unweave.edit.tuning import try_descents, tuning_yardstick
from unweave.models.load import load_target
from unweave.read.selection import label_statistics

RETAIN = "en"
FEW = [Descent(1e-2, 60), Descent(2e-2, 40), Descent(3e-2, 40)]
# rates, steps, lower floors tried at the best of these, seeds
GRIDS: dict[str, tuple[tuple[float, ...], tuple[int, ...], tuple[float, ...], int]] = {
    "lora-1-here": ((1e-2, 2e-2, 3e-2), (40, 60, 120), (0.9, 0.8), 2),
    "factors-16": ((0.1, 0.3, 1.0), (40,), (0.9, 0.8), 2),
    "lora-1": ((1e-3, 2e-3, 3e-3, 1e-2), (30,), (0.8,), 1),
    "lora-4": ((1e-3, 2e-3, 3e-3, 1e-2), (30,), (0.8,), 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="smollm2", help="a bundled target (smollm2)")
    parser.add_argument("--label", action="append", help="label to be removed later; its settings come from another")
    parser.add_argument("--budget", action="append", type=int, help="budgets to tune at; 4 and 64")
    parser.add_argument("--method", action="append", choices=list(GRIDS), help="methods to try; all by default")
    parser.add_argument("--decomposition", type=Path)
    parser.add_argument("--few", action="store_true", help="lora-1-here only: the three ways that ever won, one seed")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    progress = Terminal()
    target, corpus = load_target(arguments.target, progress=progress), parallel()
    decomposition = Decomposition.load(arguments.decomposition or bundled(arguments.target))
    decomposition.check_target(target.identity.digest)
    selection = windows_by_label(target.tokenizer, corpus, "selection", None, 64, 24, 0)
    every = [label_statistics(target, pieces, selection) for pieces in decomposition.sites.values()]
    stored = read_json(TUNED)
    mine = stored.setdefault(target.name, {"entropy_carried": 0.0, "labels": {}})["labels"]
    for label in arguments.label or ["de", "fr", "es", "it"]:
        other = tuning_label(label, corpus.labels("tuning"), RETAIN)
        chosen, _ = choose_piece(target, decomposition, every, other, selection, progress)
        pieces, statistics = decomposition.site(chosen.site), chosen.statistics
        setting = Setting(target, corpus, other, RETAIN, pieces, chosen.index, selection, part="tuning")
        # Settings of another mapping are not taken over: they may come from this label's own text.
        before = tuning_from_dict(mine[label]) if label in mine else Tuning(other, {}, 0)
        descents = {name: dict(by_budget) for name, by_budget in before.descents.items() if before.label == other}
        yardstick = tuning_yardstick(setting, corpus.labels("tuning"))
        tokens = sum(prefix.tokens.numel() for prefix in yardstick.prefixes.values())
        for name in ["lora-1-here"] if arguments.few else arguments.method or GRIDS:
            rates, steps, stops, seeds = GRIDS[name]
            method = find_method(name)
            for budget in arguments.budget or [4, 64]:
                tries = 1 if arguments.few or budget >= 64 else seeds  # 64 tokens scatter little
                tried = []
                for wave in ("rate",) if arguments.few else ("rate", "stop"):
                    ways = FEW if arguments.few else [Descent(rate, count) for rate in rates for count in steps]
                    if wave == "stop":
                        best = min(tried, key=lambda trial: trial.score).descent
                        ways = [replace(best, stop=stop) for stop in stops]
                    for trial in try_descents(setting, statistics, method, budget, ways, yardstick, tries, progress):
                        tried.append(trial)
                        progress.say(f"{label} on {other}, by {wave}: {trial}, score {trial.score:.3f}")
                descents.setdefault(name, {})[budget] = min(tried, key=lambda trial: trial.score).descent
                for seed in range(tries):
                    objective = setting.objective(budget, seed, whole=not method.local)
                    tokens += objective.removed.tokens_seen + objective.retained.tokens_seen
                if name == "lora-1-here":
                    descents["lora-1-here-kl-all"] = dict(descents[name])
                # Kept as it goes, so that what an interrupted call found is not lost; the tokens add up over calls.
                known = before.tokens if before.label == other and (arguments.method or arguments.few) else 0
                tuning = Tuning(other, descents, known + tokens)
                mine[label] = tuning.as_dict()
                if label == "de":
                    mine["default"] = tuning.as_dict()
                write_json(TUNED, stored)
        progress.say(f"{label}: tuned on {other}, {tokens} tokens")
    if arguments.json:
        json.dump(stored, sys.stdout)


if __name__ == "__main__":
    main()
