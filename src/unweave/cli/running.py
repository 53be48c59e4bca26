"""The commands round studies: list them, run one, export what a run made."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from unweave.base.arguments import count
from unweave.base.configs import parse_settings, plain_config
from unweave.base.errors import UnweaveError, nearest
from unweave.base.memory import keep_freed_memory
from unweave.base.outcome import Output
from unweave.base.progress import Terminal
from unweave.cli.shared import (
    Command,
    grid,
    hardware_options,
    new_run,
    report_path,
    run_value,
    set_option,
)


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", nargs="?", help="its name, as `unweave studies` lists it")
    parser.add_argument("--name", help="name of the run's folder (default: study, date and time)")
    parser.add_argument("--resume", metavar="RUN", help="go on with a run that stopped early: its id, path, or last")
    hardware_options(parser)
    set_option(parser)


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
        run = new_run(args, study.name, plain_config(config))
    args.kept.append(f"go on with `unweave run --resume {run.id}`")
    keep_freed_memory()
    with run:
        study.function(config, run=run)
    wrong = audit_run(run)
    report = report_path(run)
    lines = [*grid(run.load_table("summary")), ""] if "summary" in run.tables() else []
    lines += [claim.sentence for claim in run.claims()]
    lines += [f"run {run.id}: {', '.join(run.tables()) or 'no tables'}", str(report or run.path)]
    lines += [f"the audit found a difference: {one.where}: {one.what}" for one in wrong]
    return Output(run_value(run) | {"audit": [asdict(one) for one in wrong]}, lines, exit_code=1 if wrong else 0)


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


COMMANDS = {
    "run": Command(_run, "run a study, or go on with one that stopped", _run_options),
    "studies": Command(_studies, "list the studies, or show the fields of one", _studies_options),
    "export": Command(_export, "write a run's edit as a PEFT adapter or a merged model", _export_options),
}
