"""The command that measures a decomposition, beside others of the same target and of the shuffled one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.arguments import count, names
from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output
from unweave.cli.shared import (
    Command,
    decomposition_folder,
    grid,
    new_run,
    open_corpus,
    open_decomposition,
    open_target,
    run_value,
    target_options,
)
from unweave.corpora.text import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unweave.decompose import Decomposition
    from unweave.models import Target


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    target_options(parser)
    parser.add_argument("decomposition", metavar="DECOMPOSITION", help="its folder, or the name of a bundled one")
    parser.add_argument(
        "--base",
        metavar="TARGET",
        help="the earlier checkpoint, where the decomposition is of the difference from one (decompose's base=)",
    )
    parser.add_argument("--part", default="evaluation", choices=PARTS, help="part of the corpus (default: evaluation)")
    parser.add_argument("--labels", type=names, help="labels of the corpus to use: en,de (default: all)")
    parser.add_argument("--windows", type=count, default=16, help="windows of 64 tokens for each label (default: 16)")
    parser.add_argument(
        "--attack-windows",
        type=count,
        default=32,
        help="how many of all those windows the adversary reads, spread over them (default: 32)",
    )
    parser.add_argument(
        "--against",
        metavar="DECOMPOSITION",
        action="append",
        default=[],
        help="another decomposition of the same target (of another seed or capacity) to match pieces with, one by one; "
        "those whose first trainings had one seed are said to; or one of shuffled_target(target), to tell the numbers "
        "from those of noise; repeat it for more",
    )
    parser.add_argument("--seed", type=int, default=0)


def _evaluate(args: argparse.Namespace) -> Output:
    from unweave.decompose import evaluate
    from unweave.decompose.card import write_card
    from unweave.decompose.decomposition import is_bundled
    from unweave.decompose.ladder_report import save_ladder, write_ladder
    from unweave.decompose.ladder_tables import SHUFFLED
    from unweave.decompose.stability import Compared, matched_cosine

    made, corpus, target = open_decomposition(args.decomposition), open_corpus(args), open_target(args)
    base = None if args.base is None else open_target(args, args.base)
    others = {name: open_decomposition(name) for name in args.against}
    made.check_target(target.identity.digest)
    for one in (made, *others.values()):
        one.check_base(base)
    twins = _shuffled(target, others)
    titles = _titles([args.decomposition, *(name for name in others if name not in twins)])
    chosen = {
        "part": args.part,
        "labels": args.labels,
        "windows": args.windows,
        "attack_windows": args.attack_windows,
        "seed": args.seed,
    }
    where = {"target": args.target, "decomposition": args.decomposition, "corpus": corpus.name}
    if base is not None:
        where |= {"base": args.base, "base_identity": base.identity.digest}
    settings = {**where, **chosen, "against": list(others), "identity": target.identity.digest}
    with new_run(args, "evaluate", settings) as run:
        measured: dict[str, Any] = {**chosen, "base": base, "progress": run.progress}
        ladder = evaluate(target, made, corpus, **measured)
        compared = {}
        for name, other in others.items():
            run.progress.say(f"comparing with {name}")
            found = evaluate(twins.get(name, target), other, corpus, **measured, attack_steps=(20,), controls=())
            if name in twins:
                compared[SHUFFLED] = Compared(found, same_settings=_trained_alike(made, other))
            else:
                alike = matched_cosine(made, other, ladder.alive_pieces(), found.alive_pieces(), args.seed)
                compared[titles[name]] = Compared(found, alike, _began_alike(made, other))
        title = titles[args.decomposition]
        tables = save_ladder(run, title, ladder, compared)
        card = write_card(made, ladder, run.path, target=target, name=title, compared=compared)
        folder = decomposition_folder(args.decomposition)
        if not is_bundled(folder):
            try:
                card = write_card(made, ladder, folder, target=target, name=title, compared=compared)
            except UnweaveError as error:
                run.progress.say(f"the card is in the run's folder only: {error}")
        page = write_ladder(run, made, title, ladder, compared)
    lines = [line for table in tables for line in (*grid(table), "")]
    lines += [f"fails: {failure}" for failure in ladder.failures] or ["passes: better than its controls"]
    pieces = {
        name: {"ladder": one.ladder.as_dict(), **(one.stability.as_dict() if one.stability else {})}
        for name, one in compared.items()
    }
    value = {"ladder": ladder.as_dict(), "compared": pieces, "card": str(card)}
    return Output(run_value(run) | value, [*lines, str(card), str(page)])


def _shuffled(target: Target, others: Mapping[str, Decomposition]) -> dict[str, Target]:
    """The shuffled targets of those decompositions that are not of the target itself.

    Raises ``UnweaveError`` for a decomposition of neither, and for a second one of the shuffled target.
    """
    from unweave.decompose.shuffled import find_shuffled

    found: dict[str, Target] = {}
    for name, other in others.items():
        if other.target == target.identity.digest:
            continue
        twin = find_shuffled(target, other)
        if twin is None:
            other.check_target(target.identity.digest)
        elif found:
            raise UnweaveError(f"{next(iter(found))} and {name} are both of shuffled weights: give one of them")
        else:
            found[name] = twin
    return found


def _began_alike(made: Decomposition, other: Decomposition) -> bool:
    """Whether the first training of both had one seed, however many trainings followed with others."""
    from unweave.decompose.lineage import first_seed

    seeds = first_seed(made.card), first_seed(other.card)
    return seeds[0] is not None and seeds[0] == seeds[1]


def _trained_alike(made: Decomposition, other: Decomposition) -> bool:
    """Whether both were trained on the same sites with the same settings."""
    from unweave.decompose.lineage import same_settings

    return set(made.sites) == set(other.sites) and same_settings(made.card, other.card)


def _titles(names: list[str]) -> dict[str, str]:
    """What decompositions are called in tables: the last part of each path where that tells them apart."""
    short = {name: Path(name).name for name in names}
    return short if len(set(short.values())) == len(short) else {name: name for name in names}


COMMANDS = {
    "evaluate": Command(
        _evaluate, "measure a decomposition's quality, from gentle masks to an adversary", _evaluate_options
    ),
}
