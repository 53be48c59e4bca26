"""The commands that read features on text: what each one does, and how dictionaries compare."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.arguments import count, names, whole
from unweave.base.configs import parse_settings, plain_config, typed_config
from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output
from unweave.cli.shared import (
    Command,
    grid,
    hardware_options,
    new_run,
    open_corpus,
    open_target,
    run_value,
    set_option,
    usual_harvest,
)
from unweave.corpora.text import PARTS

if TYPE_CHECKING:
    from unweave.read.harvest import Harvest, HarvestConfig
    from unweave.record import Run, Table


TARGET_HELP = "polyglot, pupil, smollm2, a folder, a hub id or a .gguf file"
DICTIONARY_HELP = "a decomposition's folder or bundled name, or a folder of SAELens, sparsify or probes"


def _harvest_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help=TARGET_HELP)
    parser.add_argument("dictionary", metavar="DICTIONARY", help=DICTIONARY_HELP)
    parser.add_argument(
        "--corpus",
        type=names,
        default=["parallel"],
        help="parallel, declaration, or the path of your own text; several parted by commas (default: parallel)",
    )
    parser.add_argument("--labels", type=names, help="labels to read: en,de (default: those of the first corpus)")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="new folder (default: DICTIONARY.harvest)")
    parser.add_argument("--no-labels", action="store_true", help="leave out the statistical labels (`unweave label`)")
    parser.add_argument("--jobs", metavar="N", type=count, default=1, help="processes that share the text (default: 1)")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="read only this share of the text, 0/N to N-1/N, on as many machines as you like; the same command "
        "without it merges what all have left in OUT.shards",
    )
    parser.add_argument(
        "--checkpoint-seconds", metavar="N", type=whole, default=120, help="keep what was counted so often (120)"
    )
    hardware_options(parser)
    set_option(parser)


def _harvest(args: argparse.Namespace) -> Output:
    from unweave.base.progress import Terminal
    from unweave.corpora import load_corpus
    from unweave.decompose.decomposition import bundled_names
    from unweave.models.named import KNOWN
    from unweave.read.dictionaries import load_dictionary
    from unweave.read.harvest import HarvestConfig, harvest, read_shard
    from unweave.read.harvest.store import relative_source

    out = args.out or usual_harvest(args.dictionary)
    if out.exists():
        raise UnweaveError(f"{out} already exists: choose another --out, or remove it first")
    settings = parse_settings(args.set) | ({"labels": ",".join(args.labels)} if args.labels else {})
    config: HarvestConfig = typed_config(HarvestConfig, settings, "a harvest")
    shard = None if args.shard is None else _shard(args.shard)
    if shard is None and args.jobs > 1:
        _spread(args, out)
    corpora = [load_corpus(name) for name in args.corpus]
    target = open_target(args)
    dictionary = load_dictionary(args.dictionary, target, Terminal("harvest"))
    keep = {"out": out, "checkpoint_seconds": args.checkpoint_seconds}
    facts = {"target": args.target, "dictionary": args.dictionary, "corpus": args.corpus, "out": str(out)}
    args.kept.append(f"the same command goes on from what {out}.shards holds")
    if shard is not None:
        path = read_shard(target, dictionary, corpora, config, shard=shard, progress=Terminal("harvest"), **keep)
        return Output({**facts, "shard": args.shard, "path": str(path)}, [f"{path}: share {args.shard} of the text"])
    with new_run(args, "harvest", {**facts, "config": plain_config(config)}) as run:
        known = (*KNOWN, *bundled_names())
        target_source, source = (
            one if one in known else relative_source(one, out) for one in (args.target, args.dictionary)
        )
        made = harvest(
            target, dictionary, corpora, config, sources=(target_source, source), progress=run.progress, **keep
        )
        table = _groups_table(made)
        run.save_table(table)
        labelled = [] if args.no_labels else _labelled(made, run)
    lines = [*grid(table), "", *labelled, f"{out}: {made!r}", f"See it: unweave serve {out}"]
    value = {"harvest": str(out), "features": len(made), "alive": int(made.alive.sum()), "tokens": made.facts.tokens}
    return Output(run_value(run) | facts | value | {"groups": table.records()}, lines)


def _labelled(made: Harvest, run: Run) -> list[str]:
    """Labels every feature offline; what a person reads of their scores."""
    from unweave.cli.labelling import NO_SCORES, scores_table
    from unweave.read.labels import find_labeler, label_harvest

    args = {"out": made.folder, "progress": run.progress}
    scores = scores_table(label_harvest(made, find_labeler("statistical")(), **args))
    if scores is None:
        return [NO_SCORES, ""]
    run.save_table(scores)
    return [*grid(scores), ""]


def _groups_table(made: Harvest) -> Table:
    from unweave.record import Table

    rows = []
    for name, features in made.groups:
        mine = slice(made.rows(name).start, made.rows(name).stop)
        alive = made.alive[mine]
        rows.append(
            {
                "site": name,
                "features": features,
                "alive": int(alive.sum()),
                "fire on a token": float(made.density[mine].sum()),
                "importance where any": float(made.importance_mean[mine][alive].mean()) if alive.any() else None,
            }
        )
    caption = f"What fires on {made.facts.tokens} tokens of {made.facts.corpus}"
    return Table.from_records("groups", rows, caption=caption)


def _shard(text: str) -> tuple[int, int]:
    number, _, shards = text.partition("/")
    if not (number.isdigit() and shards.isdigit()):
        raise UnweaveError(f"--shard is {text!r}, and it is a number and how many there are: 0/4")
    return int(number), int(shards)


def _spread(args: argparse.Namespace, out: Path) -> None:
    """Reads the text in processes of their own, each a share of it. An error of one is said and ends the command."""
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    again = [sys.executable, "-m", "unweave", "harvest", args.target, args.dictionary, "--out", str(out)]
    again += ["--corpus", ",".join(args.corpus), "--checkpoint-seconds", str(args.checkpoint_seconds)]
    for name in ("labels", "device", "dtype"):
        value = getattr(args, name)
        again += [f"--{name}", ",".join(value) if isinstance(value, list) else value] if value else []
    again += [part for each in args.set for part in ("--set", each)]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for index in range(args.jobs):
            command = [*again, "--shard", f"{index}/{args.jobs}"]
            running.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
        failed = [code for code in [one.wait() for one in running] if code]
    finally:
        for one in running:
            one.terminate()
    if failed:
        raise UnweaveError(f"{len(failed)} of {args.jobs} processes failed; what the others read is in {out}.shards")


def _dictionaries_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help=TARGET_HELP)
    parser.add_argument("dictionaries", metavar="DICTIONARY", nargs="+", help=DICTIONARY_HELP)
    parser.add_argument("--corpus", default="parallel", help="parallel, declaration, or the path of your own text")
    parser.add_argument("--part", default="evaluation", choices=PARTS, help="part of the corpus (default: evaluation)")
    parser.add_argument("--labels", type=names, help="labels of the corpus to use: en,de (default: all)")
    parser.add_argument("--windows", type=count, default=16, help="windows of 64 tokens for each label (default: 16)")
    hardware_options(parser)


def _dictionaries(args: argparse.Namespace) -> Output:
    import numpy as np

    from unweave.base.progress import Terminal
    from unweave.corpora.windows import windows_by_label
    from unweave.read.dictionaries import compare_dictionaries, load_dictionary

    corpus, target = open_corpus(args), open_target(args)
    found = windows_by_label(target.tokenizer, corpus, args.part, args.labels, 64, args.windows)
    windows = np.concatenate(list(found.values()))
    given = {name: load_dictionary(name, target, Terminal("read")) for name in args.dictionaries}
    settings = {"target": args.target, "dictionaries": args.dictionaries, "corpus": corpus.name, "part": args.part}
    settings |= {"labels": list(found), "windows": args.windows, "identity": target.identity.digest}
    with new_run(args, "dictionaries", settings) as run:
        table = compare_dictionaries(target, given, windows, progress=run.progress)
        run.save_table(table)
    return Output(run_value(run) | {"dictionaries": table.records()}, [*grid(table), "", table.caption or ""])


COMMANDS = {
    "harvest": Command(
        _harvest, "read text once and keep what every subcomponent fires on and what the model says", _harvest_options
    ),
    "dictionaries": Command(
        _dictionaries,
        "set decompositions and sparse coders of one target side by side on the same text",
        _dictionaries_options,
    ),
}
