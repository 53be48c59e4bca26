"""The command that reads text once and keeps what every subcomponent does on it."""

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
    decomposition_folder,
    grid,
    hardware_options,
    new_run,
    open_decomposition,
    open_target,
    run_value,
    set_option,
    usual_harvest,
)

if TYPE_CHECKING:
    from unweave.read.harvest import Harvest, HarvestConfig
    from unweave.record import Table


def _harvest_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="polyglot, smollm2, a folder, a hub id, or a .gguf file")
    parser.add_argument("decomposition", metavar="DECOMPOSITION", help="its folder, or the name of a bundled one")
    parser.add_argument(
        "--corpus",
        type=names,
        default=["parallel"],
        help="parallel, declaration, or the path of your own text; several parted by commas (default: parallel)",
    )
    parser.add_argument("--labels", type=names, help="labels to read: en,de (default: those of the first corpus)")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="new folder (default: DECOMPOSITION.harvest)")
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
    from unweave.corpora import load_corpus
    from unweave.read.features import subcomponent_dictionary
    from unweave.read.harvest import HarvestConfig, harvest, read_shard

    folder = decomposition_folder(args.decomposition)
    out = args.out or usual_harvest(args.decomposition)
    if out.exists():
        raise UnweaveError(f"{out} already exists: choose another --out, or remove it first")
    settings = parse_settings(args.set) | ({"labels": ",".join(args.labels)} if args.labels else {})
    config: HarvestConfig = typed_config(HarvestConfig, settings, "a harvest")
    shard = None if args.shard is None else _shard(args.shard)
    if shard is None and args.jobs > 1:
        _spread(args, out)
    corpora = [load_corpus(name) for name in args.corpus]
    decomposition, target = open_decomposition(args.decomposition), open_target(args)
    dictionary = subcomponent_dictionary(decomposition, target, folder.name)
    keep = {"out": out, "checkpoint_seconds": args.checkpoint_seconds}
    facts = {"target": args.target, "decomposition": args.decomposition, "corpus": args.corpus, "out": str(out)}
    args.kept.append(f"the same command goes on from what {out}.shards holds")
    if shard is not None:
        from unweave.base.progress import Terminal

        path = read_shard(target, dictionary, corpora, config, shard=shard, progress=Terminal("harvest"), **keep)
        return Output({**facts, "shard": args.shard, "path": str(path)}, [f"{path}: share {args.shard} of the text"])
    with new_run(args, "harvest", {**facts, "config": plain_config(config)}) as run:
        sources = (args.target, args.decomposition)
        made = harvest(target, dictionary, corpora, config, sources=sources, progress=run.progress, **keep)
        table = _groups_table(made)
        run.save_table(table)
    lines = [*grid(table), "", f"{out}: {made!r}", f"See it: unweave serve {out}"]
    value = {"harvest": str(out), "features": len(made), "alive": int(made.alive.sum()), "tokens": made.facts.tokens}
    return Output(run_value(run) | facts | value | {"groups": table.records()}, lines)


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
    again = [sys.executable, "-m", "unweave", "harvest", args.target, args.decomposition, "--out", str(out)]
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


COMMANDS = {
    "harvest": Command(
        _harvest, "read text once and keep what every subcomponent fires on and what the model says", _harvest_options
    ),
}
