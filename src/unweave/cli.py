"""The command line: parses, calls, prints. Whatever loads torch is imported inside the command that needs it."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import unweave
from unweave.base.arguments import Parser, count, names, whole
from unweave.base.configs import parse_settings, plain_config, typed_config
from unweave.base.errors import NothingFound, UnweaveError, nearest
from unweave.base.memory import keep_freed_memory
from unweave.base.outcome import Output, conclude
from unweave.base.progress import Terminal
from unweave.base.settings import set_offline
from unweave.corpora.text import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unweave.corpora import Corpus
    from unweave.decompose import Decomposition, SiteLocalConfig
    from unweave.models import Target
    from unweave.record import Run, Table

SHOWN_ROWS = 10
# Training took this long on two cores, compiled, per step, token, subcomponent and width of the site.
SECONDS_OF_WORK = 7.5e-11


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 1 a negative result, 2 a refusal, 130 interrupted."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    kept: list[str] = []

    def command() -> Output:
        args = _parse(arguments)
        args.kept = kept
        return args.function(args)

    return conclude(command, "--json" in arguments, kept)


def _parse(arguments: list[str]) -> argparse.Namespace:
    common = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--json", action="store_true", help="print exactly one JSON object on standard output")
    common.add_argument("--offline", action="store_true", help="never open a network connection")
    common.add_argument("--cache", metavar="FOLDER", help="folder for converted models and captured activations")
    common.add_argument("--runs", metavar="FOLDER", type=Path, help="folder of the runs (default: runs)")
    parser = Parser("unweave", parents=[common], description=unweave.__doc__)
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    for name, command in _COMMANDS.items():
        added = commands.add_parser(name, parents=[common], help=command.summary, description=command.summary)
        added.set_defaults(function=command.function)
        command.options(added)
    defaults = argparse.Namespace(json=False, offline=False, cache=None, runs=Path("runs"))
    args = parser.parse_args(arguments, defaults)
    if args.version:
        version = unweave.__version__
        args.function = lambda _: Output({"version": version}, [f"unweave {version}"])
    elif args.command is None:
        parser.error(f"give a command: {', '.join(_COMMANDS)}")
    if args.offline:
        set_offline()
    if args.cache is not None:
        os.environ["UNWEAVE_CACHE"] = args.cache
    return args


def _demo(args: argparse.Namespace) -> Output:
    from unweave.studies.demo import run_demo

    keep_freed_memory()
    result = dict(run_demo(Terminal("demo"), args.runs))
    return Output(result, result.pop("text").splitlines())


def _scan_options(parser: argparse.ArgumentParser) -> None:
    _target_options(parser)
    parser.add_argument("--contrast", metavar="KEY=LABEL", required=True, help="the label to tell apart: language=fr")
    parser.add_argument("--sites", metavar="GLOB", default="*", help="sites by name, with * and ? (default: all)")
    parser.add_argument("--windows", type=count, default=16, help="windows of text for each label (default: 16)")
    parser.add_argument(
        "--try", metavar="N", type=whole, default=4, help="try a closed-form edit at the N best sites (default: 4)"
    )
    parser.add_argument("--seed", type=int, default=0)


def _scan(args: argparse.Namespace) -> Output:
    from unweave.edit.site_trial import trials_table, try_sites
    from unweave.read import scan

    label = args.contrast.rpartition("=")[2]
    corpus, target = _corpus(args), _target(args)
    chosen = {"sites": args.sites, "windows": args.windows, "seed": args.seed}
    tried = getattr(args, "try")
    config = {"target": args.target, "contrast": args.contrast, "corpus": args.corpus, "try": tried, **chosen}
    with _new_run(args, "scan", {**config, "identity": target.identity.digest}) as run:
        result = scan(target, corpus, label, **chosen, progress=run.progress)
        table = result.table()
        run.save_table(table)
        best = [score.site for score in result.sites[:tried]] if result.found else []
        trials = []
        try:
            trials = try_sites(target, corpus, label, best, windows=args.windows, progress=run.progress)
        except UnweaveError as error:  # too little text for a trial is no reason to withhold the ranking
            run.progress.say(f"no trials: {error}")
        if trials:
            run.save_table(trials_table(trials, label))
    lines = [*_grid(table, SHOWN_ROWS), "", f"{len(table.rows)} sites in {run.path / 'tables' / 'scan.csv'}"]
    if trials:
        shown = trials_table(trials, label)
        lines += ["", f"{shown.caption}:", *_grid(shown), ""]
    if result.found:
        site = trials[0].site.name if trials else table.records()[0]["site"]
        if trials and not trials[0].reached:
            lines.append(f"At none of these does one direction bring {label!r} to ln V.")
        lines.append(f"Take the best apart: unweave decompose {args.target} --sites {site} --out {label}.decomp")
    else:
        lines.append(f"Nothing found: no site exceeds the largest score of {label!r} under shuffled windows.")
    value = {"label": label, "found": result.found, "p_value": result.p_value, "sites": table.records()}
    value["trials"] = trials_table(trials, label).records() if trials else []
    return Output(_run_value(run) | value, lines, 0 if result.found else NothingFound.exit_code)


def _decompose_options(parser: argparse.ArgumentParser) -> None:
    _target_options(parser)
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
    _set_option(parser)


def _decompose(args: argparse.Namespace) -> Output:
    from unweave.decompose.config import SiteLocalConfig, WholeModelConfig

    kind = SiteLocalConfig if args.method == "site-local" else WholeModelConfig
    config = typed_config(kind, {"sites": args.sites, **parse_settings(args.set)}, f"a {args.method} decomposition")
    if args.out.exists():
        raise UnweaveError(f"{args.out} already exists: choose another --out, or remove it first")
    from unweave.corpora import declaration
    from unweave.decompose import decompose

    corpus = _corpus(args)
    if args.also:
        corpus = corpus.with_labels(declaration(), args.also)
    labels = [*args.labels, *args.also] if args.labels else None
    target = _target(args)
    where = {
        "target": args.target,
        "method": args.method,
        "out": str(args.out),
        "corpus": corpus.name,
        "labels": labels,
    }
    settings = {**where, "identity": target.identity.digest, "config": plain_config(config)}
    with _new_run(args, "decompose", settings) as run:
        args.kept.append(f"the same command goes on from what {args.out}.training and the cache hold")
        if isinstance(config, SiteLocalConfig):
            run.progress.say(_expected_time(target, config))
        options = {"labels": labels, "out": args.out, "progress": run.progress}
        made = decompose(target, corpus, config, **options, log=lambda row: run.log(None, **row))
        run.save_table(_site_table(made))
    shown = _decomposition_output(args.out, made)
    return Output(_run_value(run) | shown.value, shown.lines)


def _expected_time(target: Target, config: SiteLocalConfig) -> str:
    from unweave.decompose.site_local import subcomponent_count

    work = sum(subcomponent_count(config, s.d_in, s.d_out) * (s.d_in + s.d_out) for s in target.sites(config.sites))
    minutes = work * config.steps * config.batch * SECONDS_OF_WORK / 60
    return f"expected: about {max(1, round(minutes))} min on two cores, compiled"


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    _target_options(parser)
    parser.add_argument("decomposition", metavar="DECOMPOSITION", help="its folder, or the name of a bundled one")
    parser.add_argument("--part", default="evaluation", choices=PARTS, help="part of the corpus (default: evaluation)")
    parser.add_argument("--labels", type=names, help="labels of the corpus to use: en,de (default: all)")
    parser.add_argument("--windows", type=count, default=16, help="windows of 64 tokens for each label (default: 16)")
    parser.add_argument("--seed", type=int, default=0)


def _evaluate(args: argparse.Namespace) -> Output:
    from unweave.decompose import evaluate
    from unweave.decompose.ladder_tables import attacks_table, rungs_table, sites_table

    made, corpus, target = _decomposition(args.decomposition), _corpus(args), _target(args)
    made.check_target(target.identity.digest)
    chosen = {"part": args.part, "labels": args.labels, "windows": args.windows, "seed": args.seed}
    where = {"target": args.target, "decomposition": args.decomposition, "corpus": corpus.name}
    with _new_run(args, "evaluate", {**where, **chosen, "identity": target.identity.digest}) as run:
        ladder = evaluate(target, made, corpus, **chosen, progress=run.progress)
        tables = (rungs_table(ladder), sites_table(ladder), attacks_table(ladder))
        for table in tables:
            run.save_table(table)
    lines = [line for table in tables for line in (*_grid(table), "")]
    return Output(_run_value(run) | {"ladder": ladder.as_dict()}, [*lines, str(run.path / "tables")])


def _cost_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="what load_target takes; of a folder only its config is read")
    _set_option(parser)


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
    _set_option(parser)


def _validate(args: argparse.Namespace) -> Output:
    from unweave.decompose.toys import find_toy, validate

    toy = find_toy(args.name)
    config = typed_config(type(toy.config), asdict(toy.config) | parse_settings(args.set), args.name)
    keep_freed_memory()
    with _new_run(args, "validate", {"name": toy.name, "seeds": args.seeds, "config": plain_config(config)}) as run:
        found = validate(toy, range(args.seeds), config, progress=run.progress)
        table = found.table()
        run.save_table(table)
    verdict = "passed" if found.passed else "failed"
    lines = [f"{toy.name}: {toy.summary}", *_grid(table), f"{verdict}: {found.seeds_passed} of {args.seeds} seeds"]
    return Output(_run_value(run) | found.as_dict(), lines, 0 if found.passed else 1)


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", nargs="?", help="its name, as `unweave studies` lists it")
    parser.add_argument("--name", help="name of the run's folder (default: study, date and time)")
    parser.add_argument("--resume", metavar="RUN", help="go on with a run that stopped early: its id, path, or last")
    _hardware_options(parser)
    _set_option(parser)


def _run(args: argparse.Namespace) -> Output:
    from unweave.record import Run, find_run
    from unweave.record.audit import audit_run
    from unweave.studies.registry import all_studies, find_study

    hardware = {name: getattr(args, name) for name in ("device", "dtype") if getattr(args, name)}
    if args.resume:
        found = find_run(args.resume, args.runs)
        if args.set or hardware or args.name or args.study not in (None, found.study):
            raise UnweaveError(f"run {found.id!r} is resumed with its own study {found.study!r}, settings and name")
        if found.study not in all_studies():
            raise UnweaveError(
                f"run {found.id!r} is of `unweave {found.study}`, which is not resumed: give the same command again (a "
                "decomposition goes on from where it was)"
            )
        study = find_study(found.study)
        config = study.configure(found.config)
        run = Run.resume(found.path, Terminal(study.name))
    else:
        if args.study is None:
            raise UnweaveError(f"which study? {nearest('', all_studies())}")
        study = find_study(args.study)
        config = study.configure(parse_settings(args.set) | hardware)
        run = _new_run(args, study.name, plain_config(config))
    args.kept.append(f"go on with `unweave run --resume {run.id}`")
    keep_freed_memory()
    with run:
        study.function(config, run=run)
    wrong = audit_run(run)
    report = _report(run)
    lines = [*_grid(run.load_table("summary")), ""] if "summary" in run.tables() else []
    lines += [claim.sentence for claim in run.claims()]
    lines += [f"run {run.id}: {', '.join(run.tables()) or 'no tables'}", str(report or run.path)]
    lines += [f"the audit found a difference: {one.where}: {one.what}" for one in wrong]
    return Output(_run_value(run) | {"audit": [asdict(one) for one in wrong]}, lines, exit_code=1 if wrong else 0)


def _studies_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", nargs="?", help="show this study's fields")


def _studies(args: argparse.Namespace) -> Output:
    from unweave.studies.registry import all_studies, find_study

    if args.study is None:
        found = all_studies()
        width = max(map(len, found), default=0)
        lines = [f"{name:{width}}  {study.question}" for name, study in found.items()]
        return Output({"studies": [{"name": name, "question": one.question} for name, one in found.items()]}, lines)
    study = find_study(args.study)
    fields = study.fields()
    lines = [f"{study.name}: {study.question}", ""]
    for each in fields:
        lines.append(f"{each.name}: {each.type}" + ("" if each.required else f" = {each.default!r}"))
        lines += [f"    {each.meaning}"] if each.meaning else []
    value = {"name": study.name, "question": study.question, "fields": [asdict(each) for each in fields]}
    return Output(value, [*lines, "", f"unweave run {study.name} --set FIELD=VALUE"])


def _runs(args: argparse.Namespace) -> Output:
    from unweave.record import Table, list_runs

    columns = ("run", "study", "status", "created", "note")
    found = [(run, run.state()) for run in list_runs(args.runs)]
    rows = [(run.id, state["study"], run.status, state["created"][:19], state.get("note")) for run, state in found]
    table = Table("runs", columns, tuple(rows))
    return Output({"runs": table.records()}, _grid(table) if rows else [f"There are no runs in {args.runs}."])


def _open_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="its id, its path, or last")
    parser.add_argument("--browser", action="store_true", help="show the report in the browser")


def _open(args: argparse.Namespace) -> Output:
    from unweave.record import find_run

    run = find_run(args.run, args.runs)
    report = _report(run)
    if report is None:
        raise UnweaveError(f"run {run.id!r} is {run.status} and has no report; its tables are in {run.path / 'tables'}")
    if args.browser:
        import webbrowser

        webbrowser.open(report.resolve().as_uri())
    return Output(_run_value(run), [str(report)])


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="its id, its path, or last")
    parser.add_argument("--format", required=True, choices=("peft", "merged"), help="an adapter or a whole model")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="new folder to write (default: RUN-FORMAT)")
    parser.add_argument("--with-base", action="store_true", help="peft: write the unedited model beside the adapter")
    parser.add_argument("--method", help="the edit that this method made (default: the study's own method)")
    parser.add_argument("--budget", metavar="TOKENS", type=count, help="made from this many tokens (default: fewest)")


def _export(args: argparse.Namespace) -> Output:
    from unweave.record import find_run
    from unweave.studies.registry import find_study

    if args.with_base and args.format == "merged":
        raise UnweaveError("--with-base is for --format peft: a merged model holds its base")
    run = find_run(args.run, args.runs)
    out = args.out or Path(f"{run.id}-{args.format}")
    if out.exists():
        raise UnweaveError(f"{out} already exists: choose another --out, or remove it first")
    edits_of = getattr(sys.modules[find_study(run.study).function.__module__], "edits_of", None)
    if edits_of is None:
        raise UnweaveError(f"run {run.id!r} is of study {run.study!r}, which makes no edit that could be exported")
    from unweave.edit import export_merged, export_peft

    keep_freed_memory()
    which = {name: getattr(args, name) for name in ("method", "budget") if getattr(args, name) is not None}
    target, edits, tokens = edits_of(run, **which)
    if args.format == "peft":
        report = export_peft(target, edits, out, with_base=args.with_base, tokens=tokens)
    else:
        report = export_merged(target, edits, out, tokens=tokens)
    names = [edit.name for edit in edits]
    line = f"{report.path}: {', '.join(names)}, logits within {report.max_logit_difference:.1e} of the edit's"
    return Output({"run": run.id, "edits": names, **asdict(report)}, [line])


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
    lines = [f"{folder}, of {made.target_name} ({made.target})", "", *_grid(table), "", *card]
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


def _grid(table: Table, limit: int | None = None) -> list[str]:
    right = [kind in ("integer", "number") for kind in table.kinds]
    cells = [[table.heading(column) for column in table.columns]]
    cells += [[table.shown(c, v) for c, v in zip(table.columns, row, strict=True)] for row in table.rows[:limit]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = [f">{width}" if numeric else f"<{width}" for width, numeric in zip(widths, right, strict=True)]
    return ["  ".join(format(cell, side) for cell, side in zip(row, sides, strict=True)).rstrip() for row in cells]


def _new_run(args: argparse.Namespace, study: str, config: dict[str, Any]) -> Run:
    from unweave.record import Run

    run = Run.create(study, config, args.runs, getattr(args, "name", None), Terminal(study))
    args.kept.append(f"run {run.id} keeps what it wrote")
    return run


def _run_value(run: Run) -> dict[str, Any]:
    facts = {"run": run.id, "study": run.study, "status": run.status, "path": str(run.path)}
    report = _report(run)
    written = {"report": str(report) if report else None, "tables": run.tables(), "figures": run.figures()}
    return {**facts, **written, "claims": [claim.to_json() for claim in run.claims()]}


def _report(run: Run) -> Path | None:
    path = run.path / "report.html"
    return path if path.is_file() else None


def _target_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="polyglot, smollm2, a folder, a hub id, or a .gguf file")
    parser.add_argument("--corpus", default="parallel", help="parallel, declaration, or the path of your own text")
    _hardware_options(parser)


def _hardware_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="cpu, cuda, cuda:1 or mps (default: the best there is)")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16 (default: float32)")


def _target(args: argparse.Namespace) -> Target:
    from unweave.models import load_target

    keep_freed_memory()
    return load_target(args.target, device=args.device, dtype=args.dtype or "float32", progress=Terminal("load"))


def _corpus(args: argparse.Namespace) -> Corpus:
    from unweave.corpora import load_corpus

    return load_corpus(args.corpus)


def _set_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", metavar="FIELD=VALUE", action="append", default=[], help="set one field; repeat it for more"
    )


@dataclass(frozen=True)
class Command:
    """A command's function, its one-line summary, and what adds its options to a parser."""

    function: Callable[[argparse.Namespace], Output]
    summary: str
    options: Callable[[argparse.ArgumentParser], None] = lambda _: None


_COMMANDS = {
    "demo": Command(_demo, "remove a language from a small real model with one number, and show what changed"),
    "scan": Command(_scan, "rank a target's sites by how strongly they carry a label", _scan_options),
    "decompose": Command(_decompose, "take sites of a target apart into subcomponents", _decompose_options),
    "evaluate": Command(
        _evaluate, "measure a decomposition's quality, from gentle masks to an adversary", _evaluate_options
    ),
    "cost": Command(_cost, "reckon what a whole-model decomposition would take, before it starts", _cost_options),
    "validate": Command(_validate, "take a model apart whose answer is known, and compare", _validate_options),
    "run": Command(_run, "run a study, or go on with one that stopped", _run_options),
    "studies": Command(_studies, "list the studies, or show the fields of one", _studies_options),
    "runs": Command(_runs, "list the runs, oldest first"),
    "open": Command(_open, "print the path of a run's report", _open_options),
    "export": Command(_export, "write a run's edit as a PEFT adapter or a merged model", _export_options),
    "inspect": Command(_inspect, "show a decomposition's sites, counts and card", _inspect_options),
}

if __name__ == "__main__":
    sys.exit(main())
