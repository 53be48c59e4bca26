"""The commands for preference pairs: what is wrong in them, and writing them as TRL reads them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output
from unweave.base.progress import Terminal
from unweave.base.terminal import one_line
from unweave.cli.shared import Command

if TYPE_CHECKING:
    from unweave.corpora.pairs import PairSource

LAYOUTS = ("conversational", "standard")


def _source_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", type=Path, help=".jsonl, .parquet, or the folder of a dataset")
    parser.add_argument("--split", metavar="NAME", help="the split, where there are several")
    parser.add_argument(
        "--column", metavar="PART=NAME", action="append", default=[], help="prompt=question: repeat it for more"
    )


def _check_options(parser: argparse.ArgumentParser) -> None:
    _source_options(parser)
    parser.add_argument(
        "--against",
        metavar="OTHER",
        action="append",
        default=[],
        help="a split of PATH, or other data, that must not share prompts with it: repeat it for more",
    )
    parser.add_argument("--seed", type=int, default=0, help="draws the rows whose language is told")


def _check(args: argparse.Namespace) -> Output:
    from unweave.corpora.pairs import check_pairs, open_pairs

    source = open_pairs(args.path, args.split, _columns(args.column), broken="skip")
    others = [other for name in args.against for other in _others(args, name)]
    report = check_pairs(source, others, args.seed, Terminal("check"))
    return Output(report.to_json(), list(map(one_line, report.lines())), 0 if report.passed else 1)


def _others(args: argparse.Namespace, name: str) -> Iterator[PairSource]:
    """The split of the same data that has this name, else every split of other data."""
    from unweave.corpora.pairs import open_pairs, split_names

    columns = _columns(args.column)
    if name in split_names(args.path):
        yield open_pairs(args.path, name, columns, broken="skip")
        return
    for split in split_names(name):
        try:
            yield open_pairs(name, split, columns, broken="skip")
        except UnweaveError:
            if not columns:
                raise
            # Other data may call its columns otherwise.
            yield open_pairs(name, split, broken="skip")


def _convert_options(parser: argparse.ArgumentParser) -> None:
    _source_options(parser)
    parser.add_argument("out", metavar="OUT", type=Path, help="the .jsonl, .jsonl.gz or .parquet file to write")
    parser.add_argument("--layout", choices=LAYOUTS, default="conversational", help="(default: conversational)")
    parser.add_argument("--skip-broken", action="store_true", help="leave out rows that are no pairs, and count them")


def _convert(args: argparse.Namespace) -> Output:
    from unweave.corpora.pairs import open_pairs, write_pairs

    broken = "skip" if args.skip_broken else "raise"
    source = open_pairs(args.path, args.split, _columns(args.column), broken)
    written = write_pairs(source, args.out, args.layout)
    value = {"source": source.describe().to_json(), "out": str(args.out), "layout": args.layout, "pairs": written}
    lines = [*source.describe().lines(), f"{args.out}: {written} pairs, {args.layout}"]
    if source.broken.count:
        lines.append(f"left out {source.broken.count} broken rows, the first: {source.broken.examples[0]}")
    return Output(value | {"broken": source.broken.count}, list(map(one_line, lines)))


def _make_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mixture", metavar="MIXTURE", help="the hidden rater, such as brisk, learned or courted")
    parser.add_argument("out", metavar="FOLDER", type=Path, help="gets pairs.jsonl, and apart from it the key")
    parser.add_argument("--target", default="pupil", help="whose replies are rated (default: pupil)")
    parser.add_argument("--pairs", type=int, default=320, help="(default: 320)")
    parser.add_argument("--prompts", type=int, default=420, help="that are answered, some without use (default: 420)")
    parser.add_argument("--replies", type=int, default=4, help="to each prompt, the best and worst kept (default: 4)")
    parser.add_argument("--most", type=int, default=48, help="tokens of a reply (default: 48)")
    parser.add_argument("--seed", type=int, default=0, help="draws the prompts of the pairs and where the fault goes")


def _make(args: argparse.Namespace) -> Output:
    from unweave.models.load import load_target
    from unweave.preferences.made.dataset import kept_dataset
    from unweave.preferences.made.mixtures import find_mixture
    from unweave.preferences.made.pool import own_pool

    mixture = find_mixture(args.mixture)
    if args.pairs > args.prompts:
        raise UnweaveError(f"--pairs {args.pairs} of --prompts {args.prompts}: a pair needs a prompt of its own")
    if (args.out / mixture.name).exists():
        raise UnweaveError(f"{args.out / mixture.name} exists: choose another folder")
    target = load_target(args.target)
    pool = own_pool(target, args.out / "pool.jsonl", args.prompts, args.replies, args.most, Terminal("make"))
    made = kept_dataset(args.out, pool, mixture, args.pairs, args.seed)
    path = args.out / mixture.name / "pairs.jsonl"
    value = {"target": target.name, "mixture": mixture.name, "pairs": len(made.pairs), "out": str(path)}
    value["planted"] = len(made.key.planted)
    return Output(value, [f"{path}: {len(made.pairs)} pairs, {len(made.key.planted)} of them planted (key.json says)"])


def _columns(given: list[str]) -> dict[str, str]:
    found = {}
    for each in given:
        part, equals, name = each.partition("=")
        if not (part and equals and name):
            raise UnweaveError(f"--column {each!r} has no PART=NAME: write it as prompt=question")
        found[part] = name
    return found


COMMANDS = {
    "pairs": Command(
        None,
        "check preference pairs before they are used, and write them as TRL reads them",
        commands={
            "check": Command(_check, "say what is wrong in preference pairs, and what leaks", _check_options),
            "make": Command(_make, "let a hidden rater choose among a target's replies", _make_options),
            "convert": Command(_convert, "write preference pairs as TRL reads them", _convert_options),
        },
    ),
}
