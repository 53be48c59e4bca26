"""Sets learning rates, steps and stopping levels for the bundled decomposition, each label's on another label.

    python recipes/smollm2/tune.py --label de --label fr ...      # updates src/unweave/edit/tuned.json

Everything is read from the tuning part of the corpus and counted: the removed label's own tuning text is never used
for it. Learning rates of LoRA and of the 16 factors are tried on a grid and judged by distance to ln V plus the worst
change elsewhere; the stopping level of the one-number methods is the one at which the other label's realised
cross-entropy is ln V.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from unweave.base.files import read_json, write_json
from unweave.base.progress import Terminal
from unweave.corpora.bundled import parallel
from unweave.corpora.windows import windows_by_label
from unweave.decompose.decomposition import Decomposition, bundled
from unweave.edit.adapters import Descent
from unweave.edit.methods import find_method
from unweave.edit.setting import Setting
from unweave.edit.tuned import Tuning, tuning_from_dict, tuning_label
from unweave.edit.tuning import calibrate_stop, try_rates, tuning_yardstick
from unweave.models.load import load_target
from unweave.read.selection import harvest, select

TUNED = Path(__file__).resolve().parents[2] / "src" / "unweave" / "edit" / "tuned.json"
RETAIN = "en"
GRIDS: dict[str, tuple[tuple[float, ...], int]] = {
    "lora-1-here": ((3e-3, 1e-2, 3e-2, 1e-1), 40),
    "lora-1": ((1e-3, 3e-3, 1e-2), 30),
    "lora-4": ((1e-3, 3e-3, 1e-2), 30),
    "factors-16": ((0.3, 1.0, 3.0), 40),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label", action="append", help="label to be removed later; its settings come from another")
    parser.add_argument("--rates", action="store_true", help="also try learning rates (minutes a method and budget)")
    parser.add_argument("--budget", action="append", type=int, help="budgets to try learning rates at; 4 and 64")
    parser.add_argument("--method", action="append", choices=list(GRIDS), help="methods to try; all by default")
    parser.add_argument("--decomposition", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    progress = Terminal()
    target, corpus = load_target("smollm2", progress=progress), parallel()
    decomposition = Decomposition.load(arguments.decomposition or bundled("smollm2"))
    decomposition.check_target(target.identity.digest)
    (pieces,) = decomposition.sites.values()
    selection = windows_by_label(target.tokenizer, corpus, "selection", None, 64, 24, 0)
    statistics = harvest(target, pieces, selection)
    stored = read_json(TUNED)
    for label in arguments.label or ["de", "fr", "es", "it"]:
        other = tuning_label(label, corpus.labels("tuning"), RETAIN)
        chosen = select([statistics], other).index
        setting = Setting(target, corpus, other, RETAIN, pieces, chosen, selection, part="tuning")
        stop, tokens = calibrate_stop(setting, progress=progress)
        before = tuning_from_dict(stored.get(label) or stored["default"])
        descents = {name: dict(by_budget) for name, by_budget in before.descents.items()}
        trials = []
        if arguments.rates:
            yardstick = tuning_yardstick(setting, corpus.labels("tuning"))
            tokens += sum(prefix.tokens.numel() for prefix in yardstick.prefixes.values())
            for name in arguments.method or GRIDS:
                rates, steps = GRIDS[name]
                for budget in arguments.budget or [4, 64]:
                    tried = try_rates(setting, statistics, find_method(name), budget, rates, steps, yardstick, progress)
                    best = min(tried, key=lambda trial: trial.score)
                    descents.setdefault(name, {})[budget] = Descent(best.learning_rate, steps)
                    objective = setting.objective(budget, 0, whole=not find_method(name).local)
                    tokens += objective.removed.tokens_seen + objective.retained.tokens_seen
                    trials += tried
                    for trial in tried:
                        progress.say(f"{trial}, score {trial.score:.3f}")
            descents["lora-1-here-kl-all"] = dict(descents["lora-1-here"])
        # Without --rates the learning rates of an earlier call stay, and so do the tokens that they cost.
        tokens = tokens if arguments.rates or before.label != other else max(tokens, before.tokens)
        tuning = Tuning(other, stop, descents, tokens)
        stored[label] = tuning.as_dict()
        if label == "de":
            stored["default"] = tuning.as_dict()
        write_json(TUNED, stored)
        progress.say(f"{label}: stopping level {stop:.3f} ln V, set on {other}, {tokens} tokens")
    if arguments.json:
        json.dump(stored, sys.stdout)


if __name__ == "__main__":
    main()
