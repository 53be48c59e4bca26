"""Site-local and whole-model decomposition of the same sites, and the two joined: local first, the whole model after.

python benchmarks/local_and_whole.py [--target polyglot] [--sites GLOBS] [--sizes quick,short] [--seed 0] [--json]

All three have the same sites, capacity, importance function and text. Held-out windows are of the corpus's selection
part. The whole-model runs are measured along the way with the clock stopped, so that the join's time to the quality
that the whole-model method ends with can be read off: KL under stochastic masks plus KL after a fresh adversary's 20
steps, with all sites masked at once, at no more than 1.1 times its L0.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from timing import circumstances, printed
from torch import Tensor

from unweave.base.device import prefer_fast_float32
from unweave.base.memory import keep_freed_memory
from unweave.corpora import load_corpus
from unweave.corpora.text import Corpus
from unweave.corpora.windows import windows_by_label
from unweave.decompose import Decomposition, SiteLocalConfig, WholeModelConfig, decompose
from unweave.decompose.batches import RowBatches, balanced_rows, text_windows
from unweave.decompose.ladder import Ladder, measure_ladder
from unweave.decompose.masked import MaskedTarget
from unweave.decompose.site_local import subcomponent_count
from unweave.decompose.stability import matched_cosine
from unweave.decompose.whole_model import Training
from unweave.edit.site_trial import choose_piece, try_piece
from unweave.models import Target, load_target
from unweave.read.selection import label_statistics

LENGTH, ATTACK_STEPS, EDIT_WINDOWS = 64, 20, 24
SITES = "*.o_proj,*.down_proj"
REFINED_FROM = 0.3
"""Where the width of the smooth L0 starts in the refinement: the local pieces are sparse already."""


@dataclass(frozen=True)
class Size:
    """Lengths of the three trainings, and how many held-out windows a label they are measured on."""

    local: int
    whole: int
    refined: int
    held_out: int
    windows: int = 600


SIZES = {
    "tiny": Size(local=20, whole=20, refined=10, held_out=1, windows=20),
    "quick": Size(local=600, whole=1000, refined=500, held_out=4),
    "short": Size(local=1500, whole=3000, refined=1500, held_out=8),
    "long": Size(local=3000, whole=9000, refined=4500, held_out=16),
}


@dataclass(frozen=True)
class Point:
    """What a way has reached after so many seconds of training."""

    seconds: float
    cpu_seconds: float
    """Of all threads: with one thread what a machine without other work takes."""
    step: int
    kl_stochastic: float
    kl_adversarial: float
    kl_importance: float
    l0: float

    @property
    def quality(self) -> float:
        return self.kl_stochastic + self.kl_adversarial


class Clock:
    """Adds up wall and processor time spent inside its blocks."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Clock:
        self._started = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        wall, cpu = self._started
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="polyglot")
    parser.add_argument("--corpus", default="parallel")
    parser.add_argument("--sites", default=SITES, help=f"sites by name, with * and ?, parted by commas ({SITES})")
    parser.add_argument("--sizes", default="quick", help=f"of {', '.join(SIZES)} (quick)")
    parser.add_argument("--points", type=int, default=5, help="measurements along a whole-model run (5)")
    parser.add_argument("--edit", default="", help="labels that each way's best piece removes, parted by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args()
    prefer_fast_float32()
    keep_freed_memory()
    target, corpus = load_target(args.target), load_corpus(args.corpus)
    value = {
        "target": args.target,
        "sites": [site.name for site in target.sites(args.sites)],
        "sizes": [measure(target, corpus, name, args) for name in args.sizes.split(",")],
        **circumstances(),
    }
    printed(value, args.json, value["sizes"])


def measure(target: Target, corpus: Corpus, name: str, args: argparse.Namespace) -> dict[str, Any]:
    """One size: the three ways, what each pair has in common, and what the join saves."""
    size = SIZES[name]
    common = {"sites": args.sites, "hidden": 192, "windows": size.windows, "window_length": LENGTH, "seed": args.seed}
    local_config = SiteLocalConfig(**common, steps=size.local)
    counts = {subcomponent_count(local_config, site.d_in, site.d_out) for site in target.sites(args.sites)}
    if len(counts) > 1:
        raise SystemExit(f"the sites differ in rank ({sorted(counts)} subcomponents): name sites of one rank")
    whole_config = WholeModelConfig(**common, subcomponents=counts.pop(), steps=size.whole, prune_at=())
    held_out = windows(target, corpus, "selection", size.held_out)
    clock = Clock()
    with clock:
        local = decompose(target, corpus, local_config, check=False)
    found = {"local": (local, ladder_of(target, local, held_out))}
    curves = {"local": [point(clock, size.local, found["local"][1])]}
    whole, curves["whole"] = train(target, corpus, whole_config, held_out, args.points, Clock())
    refinement = replace(whole_config, steps=size.refined, anneal_from=REFINED_FROM)
    # The clock goes on from the local decomposition.
    joined, curves["joined"] = train(target, corpus, refinement, held_out, args.points, clock, known=local)
    found |= {way: (made, ladder_of(target, made, held_out)) for way, made in (("whole", whole), ("joined", joined))}
    return {
        "name": name,
        "lengths": asdict(size),
        "rows": [row(way, curves[way][-1], ladder) for way, (_, ladder) in found.items()],
        "matched_cosine": [pair(one, two, found) for one, two in combinations(found, 2)],
        "edits": [
            edit(way, label, target, corpus, made)
            for label in filter(None, args.edit.split(","))
            for way, (made, _) in found.items()
        ],
        "curves": {way: [asdict(each) for each in points] for way, points in curves.items()},
        "join": joined_against(curves["whole"], curves["joined"]),
    }


def windows(target: Target, corpus: Corpus, part: str, most: int) -> Tensor:
    return torch.as_tensor(np.concatenate(list(text_windows(target, corpus, part, most, LENGTH).values())))


def train(
    target: Target,
    corpus: Corpus,
    config: WholeModelConfig,
    held_out: Tensor,
    points: int,
    clock: Clock,
    known: Decomposition | None = None,
) -> tuple[Decomposition, list[Point]]:
    """A whole-model run in stretches, measured after each with the clock stopped."""
    text = text_windows(target, corpus, "decomposition", config.windows, LENGTH)
    rows = torch.as_tensor(np.concatenate(list(text.values())))
    batches = RowBatches(rows, config.batch, config.seed, balanced_rows([len(part) for part in text.values()]))
    model = MaskedTarget(target, target.sites(config.sites))
    training, curve = Training(model, batches, config), []
    ends = sorted({round(config.steps * (number + 1) / points) for number in range(points)})
    for start, end in zip([0, *ends], ends, strict=False):
        with clock, model.attached():
            if start == 0:
                training.begin(known)
            for step in range(start, end):
                training.prune_if_due(step)
                training.step(step)
        made = Decomposition.from_tensors(
            training.result(), [site.name for site in model.sites], config.importance, target.identity.digest
        )
        curve.append(point(clock, end, ladder_of(target, made, held_out)))
        print(f"  {'joined' if known else 'whole'}: {curve[-1]}", file=sys.stderr)
    return made, curve


def ladder_of(target: Target, made: Decomposition, held_out: Tensor) -> Ladder:
    return measure_ladder(target, made, held_out, attack_steps=(ATTACK_STEPS,), controls=())


def point(clock: Clock, step: int, ladder: Ladder) -> Point:
    return Point(
        round(clock.wall, 1),
        round(clock.cpu, 1),
        step,
        ladder.rung("stochastic").kl,
        ladder.attacks[ATTACK_STEPS],
        ladder.rung("importance").kl,
        ladder.l0,
    )


def row(way: str, last: Point, ladder: Ladder) -> dict[str, Any]:
    kl = {
        masks: round(ladder.rung(masks).kl, 4) for masks in ("unmasked", "importance", "stochastic", "random", "zero")
    }
    return {
        "way": way,
        "seconds": last.seconds,
        "cpu_seconds": last.cpu_seconds,
        "l0": round(ladder.l0, 2),
        "alive": ladder.alive,
        **{f"kl_{masks}": value for masks, value in kl.items()},
        f"kl_adversarial_{ATTACK_STEPS}": round(ladder.attacks[ATTACK_STEPS], 4),
        "hidden_error": round(sum(site.hidden_error for site in ladder.sites) / len(ladder.sites), 4),
    }


def edit(way: str, label: str, target: Target, corpus: Corpus, made: Decomposition) -> dict[str, Any]:
    """The piece that removes a label with the least harm, chosen on the selection part, tried on the tuning part."""
    read = windows_by_label(target.tokenizer, corpus, "selection", None, LENGTH, EDIT_WINDOWS)
    held_out = windows_by_label(target.tokenizer, corpus, "tuning", None, LENGTH, EDIT_WINDOWS)
    statistics = [label_statistics(target, site, read) for site in made.sites.values()]
    chosen, _ = choose_piece(target, made, statistics, label, read)
    piece = made.subcomponent(chosen.site, chosen.index)
    trial = try_piece(target, piece, label, {name: torch.as_tensor(tokens) for name, tokens in held_out.items()})
    print(f"  {way}, {label}: {trial}", file=sys.stderr)
    return {
        "way": way,
        "label": label,
        "site": chosen.site,
        "found": chosen.found,
        "reached": trial.reached,
        "level": round(trial.level, 3),
        "worst_other": round(trial.worst, 4),
    }


def pair(one: str, two: str, found: dict[str, tuple[Decomposition, Ladder]]) -> dict[str, Any]:
    """How alike the alive pieces of two ways are."""
    (a, ladder_a), (b, ladder_b) = found[one], found[two]
    match = matched_cosine(a, b, ladder_a.alive_pieces(), ladder_b.alive_pieces())
    values = {"matched": match.matched, "weighted": match.weighted, "chance": match.chance}
    return {"pair": f"{one}, {two}", **{name: round(v, 4) if v is not None else None for name, v in values.items()}}


def joined_against(whole: Sequence[Point], joined: Sequence[Point]) -> dict[str, Any]:
    """When the join first is as good as the whole-model run at its end, and the other way round, in CPU seconds."""

    def first(points: Sequence[Point], wanted: Point) -> float | None:
        good = [each for each in points if each.quality <= wanted.quality and each.l0 <= 1.1 * wanted.l0]
        return good[0].cpu_seconds if good else None

    reached, back = first(joined, whole[-1]), first(whole, joined[-1])
    return {
        "whole_cpu_seconds": whole[-1].cpu_seconds,
        "joined_cpu_seconds_to_equal": reached,
        "time_ratio": None if reached is None else round(reached / whole[-1].cpu_seconds, 3),
        "joined_cpu_seconds": joined[-1].cpu_seconds,
        "whole_cpu_seconds_to_equal": back,
    }


if __name__ == "__main__":
    main()
