"""The commands round a decomposition: make it, reckon its cost, show it, measure it, check the method itself."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.arguments import count, names
from unweave.base.configs import parse_settings, plain_config, typed_config
from unweave.base.errors import UnweaveError
from unweave.base.memory import keep_freed_memory
from unweave.base.outcome import Output
from unweave.cli.shared import (
    Command,
    grid,
    new_run,
    open_corpus,
    open_target,
    run_value,
    set_option,
    target_options,
)
from unweave.corpora.text import PARTS

if TYPE_CHECKING:
    from unweave.decompose import Decomposition, SiteLocalConfig
    from unweave.models import Target
    from unweave.record import Table

# Site-local training took this long on two cores, compiled, per step, token, subcomponent and width of the site.
SECONDS_OF_WORK = 7.5e-11


def _decompose_options(parser: argparse.ArgumentParser) -> None:
    target_options(parser)
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
    set_option(parser)


def _decompose(args: argparse.Namespace) -> Output:
    from unweave.decompose.config import SiteLocalConfig, WholeModelConfig

    kind = SiteLocalConfig if args.method == "site-local" else WholeModelConfig
    config = typed_config(kind, {"sites": args.sites, **parse_settings(args.set)}, f"a {args.method} decomposition")
    if args.out.exists():
        raise UnweaveError(f"{args.out} already exists: choose another --out, or remove it first")
    from unweave.corpora import declaration
    from unweave.decompose import decompose

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
    with new_run(args, "decompose", settings) as run:
        args.kept.append(f"the same command goes on from what {args.out}.training and the cache hold")
        if isinstance(config, SiteLocalConfig):
            run.progress.say(_expected_time(target, config))

        def log(row: dict[str, float]) -> None:
            run.log(int(row.pop("step")), **row)

        made = decompose(target, corpus, config, labels=labels, out=args.out, progress=run.progress, log=log)
        run.save_table(_site_table(made))
    shown = _decomposition_output(args.out, made)
    return Output(run_value(run) | shown.value, shown.lines)


def _expected_time(target: Target, config: SiteLocalConfig) -> str:
    from unweave.decompose.site_local import subcomponent_count

    work = sum(subcomponent_count(config, s.d_in, s.d_out) * (s.d_in + s.d_out) for s in target.sites(config.sites))
    minutes = work * config.steps * config.batch * SECONDS_OF_WORK / 60
    return f"expected: about {max(1, round(minutes))} min on two cores, compiled"


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    target_options(parser)
    parser.add_argument("decomposition", metavar="DECOMPOSITION", help="its folder, or the name of a bundled one")
    parser.add_argument("--part", default="evaluation", choices=PARTS, help="part of the corpus (default: evaluation)")
    parser.add_argument("--labels", type=names, help="labels of the corpus to use: en,de (default: all)")
    parser.add_argument("--windows", type=count, default=16, help="windows of 64 tokens for each label (default: 16)")
    parser.add_argument("--seed", type=int, default=0)


def _evaluate(args: argparse.Namespace) -> Output:
    from unweave.decompose import evaluate
    from unweave.decompose.ladder_tables import attacks_table, rungs_table, sites_table

    made, corpus, target = _decomposition(args.decomposition), open_corpus(args), open_target(args)
    made.check_target(target.identity.digest)
    chosen = {"part": args.part, "labels": args.labels, "windows": args.windows, "seed": args.seed}
    where = {"target": args.target, "decomposition": args.decomposition, "corpus": corpus.name}
    with new_run(args, "evaluate", {**where, **chosen, "identity": target.identity.digest}) as run:
        ladder = evaluate(target, made, corpus, **chosen, progress=run.progress)
        tables = (rungs_table(ladder), sites_table(ladder), attacks_table(ladder))
        for table in tables:
            run.save_table(table)
    lines = [line for table in tables for line in (*grid(table), "")]
    return Output(run_value(run) | {"ladder": ladder.as_dict()}, [*lines, str(run.path / "tables")])


def _cost_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="what load_target takes; of a folder only its config is read")
    set_option(parser)


def _cost(args: argparse.Namespace) -> Output:
    from unweave.decompose.config import WholeModelConfig
    from unweave.decompose.cost import estimate_cost
    from unweave.models.skeleton import skeleton_target

    config = typed_config(WholeModelConfig, parse_settings(args.set), "a whole-model decomposition")
    cost = estimate_cost(skeleton_target(args.target), config)
    lines = [
        f"{cost.subcomponents:,} subcomponents of {cost.sites} sites: {cost.piece_parameters:,} numbers, and "
        f"{cost.importance_parameters:,} of the importance function, beside the target's {cost.target_parameters:,}",
        f"a step of {cost.rows:,} rows: {cost.flops / 1e9:,.1f} GFLOP; {config.steps:,} steps: "
        f"{cost.flops * config.steps:.2e} FLOP",
        f"memory: {cost.bytes / 1e9:,.2f} GB, {cost.bytes_fixed / 1e9:,.2f} GB of it whatever the batch",
    ]
    return Output({"target": args.target, "steps": config.steps, **cost.as_dict()}, lines)


def _validate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a model with a known answer: tms-5-2, planted-languages, ...")
    parser.add_argument("--seeds", type=count, default=5, help="how many seeds, from 0 on (default: 5)")
    set_option(parser)


def _validate(args: argparse.Namespace) -> Output:
    from unweave.decompose.toys import find_toy, validate

    toy = find_toy(args.name)
    config = typed_config(type(toy.config), asdict(toy.config) | parse_settings(args.set), args.name)
    keep_freed_memory()
    with new_run(args, "validate", {"name": toy.name, "seeds": args.seeds, "config": plain_config(config)}) as run:
        found = validate(toy, range(args.seeds), config, progress=run.progress)
        table = found.table()
        run.save_table(table)
    verdict = "passed" if found.passed else "failed"
    lines = [f"{toy.name}: {toy.summary}", *grid(table), f"{verdict}: {found.seeds_passed} of {args.seeds} seeds"]
    return Output(run_value(run) | found.as_dict(), lines, 0 if found.passed else 1)


def _inspect_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("decomposition", metavar="DECOMPOSITION", help="its folder, or the name of a bundled one")


def _inspect(args: argparse.Namespace) -> Output:
    return _decomposition_output(Path(args.decomposition), _decomposition(args.decomposition))


def _decomposition(name: str) -> Decomposition:
    from unweave.decompose import Decomposition, bundled

    return Decomposition.load(bundled(name) if name.isidentifier() and not Path(name).exists() else Path(name))


def _decomposition_output(folder: Path, made: Decomposition) -> Output:
    table = _site_table(made)
    facts = {"decomposition": str(folder), "target": made.target, "target_name": made.target_name}
    card = [f"{name}: {_in_words(value)}" for name, value in made.card.items() if name != "sites"]
    lines = [f"{folder}, of {made.target_name} ({made.target})", "", *grid(table), "", *card]
    return Output({**facts, "sites": table.records(), "card": dict(made.card)}, lines)


def _site_table(made: Decomposition) -> Table:
    from unweave.record import Table

    rows = []
    for name, site in made.sites.items():
        quality = made.card.get("sites", {}).get(name, {}).get("quality", {})
        measured = {key: quality.get(key) for key in ("alive", "l0", "relative_error", "passed")}
        rows.append({"site": name, "subcomponents": len(site), **measured})
    return Table.from_records("sites", rows)


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(inner)}" for name, inner in value.items())
    return ("; ".join(map(str, value)) or "none") if isinstance(value, (list, tuple)) else str(value)


COMMANDS = {
    "decompose": Command(_decompose, "take sites of a target apart into subcomponents", _decompose_options),
    "evaluate": Command(
        _evaluate, "measure a decomposition's quality, from gentle masks to an adversary", _evaluate_options
    ),
    "cost": Command(_cost, "reckon what a whole-model decomposition would take, before it starts", _cost_options),
    "validate": Command(_validate, "take a model apart whose answer is known, and compare", _validate_options),
    "inspect": Command(_inspect, "show a decomposition's sites, counts and card", _inspect_options),
}
