"""The commands round a decomposition: make it, reckon its cost, show it, check the method itself."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.arguments import count, names, whole
from unweave.base.configs import parse_settings, plain_config, typed_config
from unweave.base.errors import DecompositionFailed, UnweaveError
from unweave.base.memory import keep_freed_memory
from unweave.base.outcome import Output
from unweave.base.progress import Terminal
from unweave.base.settings import launched_process
from unweave.cli.shared import (
    Command,
    grid,
    new_run,
    open_corpus,
    open_decomposition,
    open_target,
    run_value,
    set_option,
    target_options,
)

if TYPE_CHECKING:
    from unweave.decompose import Decomposition
    from unweave.record import Run, Table


def _decompose_options(parser: argparse.ArgumentParser) -> None:
    target_options(parser)
    parser.add_argument("--device-map", metavar="MAP", help="whole-model: the target over several devices: auto, ...")
    parser.add_argument("--sites", metavar="GLOB", required=True, help="sites by name, with * and ?, parted by commas")
    parser.add_argument(
        "--method",
        choices=("site-local", "whole-model"),
        default="site-local",
        help="each site by itself, or all of them together at the model's output (default: site-local)",
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="new folder for the decomposition")
    parser.add_argument("--labels", type=names, help="labels of the corpus to use: en,de (default: all)")
    parser.add_argument("--also", type=names, default=[], help="labels of the declaration corpus to add: nl,sv")
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=count,
        default=1,
        help="site-local: sites trained at once, each in a process of its own (default: 1)",
    )
    parser.add_argument(
        "--checkpoint-seconds",
        metavar="N",
        type=whole,
        default=60,
        help="keep the state of training so often, for a run that is killed; 0: after every step (default: 60)",
    )
    set_option(parser)


def _decompose(args: argparse.Namespace) -> Output:
    from unweave.decompose.config import SiteLocalConfig, WholeModelConfig

    kind = SiteLocalConfig if args.method == "site-local" else WholeModelConfig
    config = typed_config(kind, {"sites": args.sites, **parse_settings(args.set)}, f"a {args.method} decomposition")
    # A run states numbers, so that it is the same one when the defaults behind them are others.
    config = config.resolved() if kind is WholeModelConfig else config
    if args.out.exists():
        raise UnweaveError(f"{args.out} already exists: choose another --out, or remove it first")
    from unweave.corpora import declaration
    from unweave.decompose import decompose
    from unweave.decompose.training_report import write_training_report

    corpus = open_corpus(args)
    if args.also:
        corpus = corpus.with_labels(declaration(), args.also)
    labels = [*args.labels, *args.also] if args.labels else None
    target = open_target(args)
    where = {
        "target": args.target,
        "method": args.method,
        "out": str(args.out),
        "corpus": corpus.name,
        "labels": labels,
    }
    settings = {**where, "identity": target.identity.digest, "config": plain_config(config)}
    keep = {"labels": labels, "out": args.out, "jobs": args.jobs, "checkpoint_seconds": args.checkpoint_seconds}
    if launched_process()[0] > 0:
        # torchrun's first process has the run and prints; the others do their share of the steps.
        decompose(target, corpus, config, **keep)
        return Output({})
    with _same_run(args, settings) or new_run(args, "decompose", settings) as run:
        args.kept.append(f"the same command goes on from what {args.out}.training and the cache hold")

        def log(row: dict[str, float]) -> None:
            run.log(int(row.pop("step")), **row)

        try:
            made = decompose(target, corpus, config, **keep, progress=run.progress, log=log)
        except DecompositionFailed as failed:
            made = _several_kept(args.out)
            if made is None:
                raise
            run.progress.say(str(failed))
        run.save_table(_site_table(made))
        report = write_training_report(run, ended=True)
        run.finish()
    shown = _decomposition_output(args.out, made)
    lines = [*shown.lines, "", str(report or run.path)]
    return Output(
        run_value(run) | shown.value, lines, DecompositionFailed.exit_code if made.card.get("failures") else 0
    )


def _several_kept(folder: Path) -> Decomposition | None:
    """What is kept of several sites when some of them failed their check: the others are worth showing."""
    made = open_decomposition(str(folder)) if folder.exists() else None
    return made if made is not None and len(made.sites) > 1 else None


def _same_run(args: argparse.Namespace, settings: dict[str, Any]) -> Run | None:
    """The run of this very command that was interrupted, to go on with, where its training has been kept."""
    from unweave.record import Run, list_runs

    wanted = json.loads(json.dumps(settings))
    for run in reversed(list_runs(args.runs) if Path(f"{args.out}.training").exists() else []):
        if run.study == "decompose" and run.config == wanted and run.status not in ("running", "finished"):
            args.kept.append(f"run {run.id} keeps what it wrote")
            return Run.resume(run.path, Terminal("decompose"))
    return None


def _cost_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="what load_target takes; of a folder only its config is read")
    parser.add_argument("--devices", type=count, default=1, help="devices that share each step's samples (default: 1)")
    parser.add_argument("--dtype", default="float32", help="of the target: float32, bfloat16 or float16")
    parser.add_argument(
        "--flops-per-second", type=float, metavar="RATE", help="what a device really reaches, for hours: 2e14"
    )
    set_option(parser)


def _cost(args: argparse.Namespace) -> Output:
    from unweave.decompose.config import WholeModelConfig
    from unweave.decompose.cost import estimate_cost
    from unweave.models.skeleton import skeleton_target

    config = typed_config(WholeModelConfig, parse_settings(args.set), "a whole-model decomposition")
    rate = args.flops_per_second
    if rate is not None and not rate > 0:
        raise UnweaveError(f"--flops-per-second is {rate:g}, and it must be above 0")
    cost = estimate_cost(skeleton_target(args.target, args.dtype), config, devices=args.devices)
    each = " on each device" if cost.devices > 1 else ""
    lines = [
        f"{cost.subcomponents:,} subcomponents of {cost.sites} sites: {cost.piece_parameters:,} numbers, and "
        f"{cost.importance_parameters:,} of the importance function, beside the target's {cost.target_parameters:,}",
        f"a step of {cost.rows:,} rows: {cost.flops / 1e9:,.1f} GFLOP{each}; {cost.steps:,} steps: "
        f"{cost.flops * cost.steps:.2e} FLOP",
        f"memory{each}: {cost.bytes / 1e9:,.2f} GB, {cost.bytes_fixed / 1e9:,.2f} GB of it whatever the batch, with "
        f"{cost.part_rows:,} rows at once",
        f"data: {cost.rows * config.steps:,} rows; result on disk: {cost.bytes_result / 1e9:,.2f} GB",
    ]
    if cost.bytes_start:
        lines.append(f"pieces are placed by the sites' inputs first, in {cost.bytes_start / 1e9:,.2f} GB on the CPU")
    if cost.groups > 1:
        lines.append(f"{cost.groups} groups of sites, one after the other; memory is that of the largest")
    if cost.devices > 1:
        lines.append(f"{cost.devices} devices, each sends {cost.bytes_exchanged / 1e9:,.2f} GB a step")
    hours = None if rate is None else cost.hours(rate)
    if hours is not None:
        lines.append(f"{hours:,.1f} hours at {rate:.3g} FLOP a second{each}")
    return Output({"target": args.target, **cost.as_dict(), "hours": hours}, lines)


def _validate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a model with a known answer: tms-5-2, planted-languages, ...")
    parser.add_argument("--seeds", type=count, default=5, help="how many seeds, from 0 on (default: 5)")
    set_option(parser)


def _validate(args: argparse.Namespace) -> Output:
    from unweave.decompose.toys import find_toy, validate

    toy = find_toy(args.name)
    config = typed_config(type(toy.config), asdict(toy.config) | parse_settings(args.set), args.name).resolved()
    keep_freed_memory()
    with new_run(args, "validate", {"name": toy.name, "seeds": args.seeds, "config": plain_config(config)}) as run:
        found = validate(toy, range(args.seeds), config, progress=run.progress)
        table = found.table()
        run.save_table(table)
    verdict = "passed" if found.passed else "failed"
    lines = [f"{toy.name}: {toy.summary}", *grid(table), f"{verdict}: {found.seeds_passed} of {args.seeds} seeds"]
    if not toy.solved:
        lines.append("no settings have found this answer yet (docs/results/known-answers.md)")
    return Output(run_value(run) | found.as_dict(), lines, 0 if found.passed else 1)


def _inspect_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("decomposition", metavar="DECOMPOSITION", help="its folder, or the name of a bundled one")


def _inspect(args: argparse.Namespace) -> Output:
    return _decomposition_output(Path(args.decomposition), open_decomposition(args.decomposition))


def _decomposition_output(folder: Path, made: Decomposition) -> Output:
    table = _site_table(made)
    facts = {"decomposition": str(folder), "target": made.target, "target_name": made.target_name}
    card = [f"{name}: {_in_words(value)}" for name, value in made.card.items() if name not in ("sites", "together")]
    together = _together_lines(made.card["together"]) if "together" in made.card else []
    lines = [f"{folder}, of {made.target_name} ({made.target})", "", *grid(table), "", *together, *card]
    return Output({**facts, "sites": table.records(), "card": dict(made.card)}, lines)


def _together_lines(ladder: dict[str, Any]) -> list[str]:
    """The ladder of all sites masked at once, as a site-local decomposition keeps it in its card."""
    from unweave.record import Table

    digits = {"cross_entropy": 3, "kl": 4, "unrecovered": 3}
    rungs = Table.from_records("together", ladder["rungs"], digits=digits)
    attacks = [f"adversary of {steps} steps: KL {kl:.3f}" for steps, kl in ladder["attacks"].items()]
    return [f"all {len(ladder['sites'])} sites masked at once:", *grid(rungs), *attacks, ""]


def _site_table(made: Decomposition) -> Table:
    from unweave.record import Table

    rows = []
    for name, site in made.sites.items():
        quality = made.card.get("sites", {}).get(name, {}).get("quality", {})
        # Only the site-local method checks site by site: without that there are no such columns.
        measured = {key: quality[key] for key in ("alive", "l0", "relative_error", "passed") if key in quality}
        rows.append({"site": name, "subcomponents": len(site), **measured})
    return Table.from_records("sites", rows)


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(inner)}" for name, inner in value.items())
    return ("; ".join(map(str, value)) or "none") if isinstance(value, (list, tuple)) else str(value)


COMMANDS = {
    "decompose": Command(_decompose, "take sites of a target apart into subcomponents", _decompose_options),
    "cost": Command(_cost, "reckon what a whole-model decomposition would take, before it starts", _cost_options),
    "validate": Command(_validate, "take a model apart whose answer is known, and compare", _validate_options),
    "inspect": Command(_inspect, "show a decomposition's sites, counts and card", _inspect_options),
}
