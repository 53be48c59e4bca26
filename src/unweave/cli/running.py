"""The commands round studies: list them, run one, export what a run made."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.arguments import count
from unweave.base.configs import parse_settings, plain_config
from unweave.base.errors import UnweaveError
from unweave.base.memory import keep_freed_memory
from unweave.base.outcome import Output
from unweave.base.progress import Terminal
from unweave.cli.lab_queue import waited
from unweave.cli.lab_shared import PARTS, ask_in, chosen_study, is_lab, one_of, open_lab, told
from unweave.cli.shared import (
    Command,
    grid,
    hardware_options,
    new_run,
    report_path,
    run_value,
    set_option,
)

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.record import Run
    from unweave.studies.registry import Study


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study",
        metavar="STUDY",
        nargs="?",
        help="its name, as `unweave studies` lists it, or a .py file that registers one",
    )
    parser.add_argument("--study", metavar="NAME", dest="which", help="the study, where the file registers several")
    parser.add_argument("--name", help="name of the run's folder (default: study, date and time)")
    parser.add_argument("--resume", metavar="RUN", help="go on with a run that stopped early: its id, path, or last")
    parser.add_argument("--thread", metavar="THREAD", help="make the run part of this thread")
    parser.add_argument(
        "--part", metavar="PART", choices=PARTS, default="confirm", help=f"its part there: {', '.join(PARTS[:-1])} or "
        f"{PARTS[-1]} (default: confirm)",
    )  # fmt: skip
    hardware_options(parser)
    set_option(parser)
    queued = parser.add_argument_group("in the queue")
    queued.add_argument("--queue", "--detach", action="store_true", help="submit it to the lab's queue, and return")
    queued.add_argument("--wait", action="store_true", help="with --queue: wait for its end, and run it if nobody does")
    queued.add_argument("--priority", metavar="N", type=int, help="higher goes first (default: 0)")
    queued.add_argument(
        "--after", metavar="RUN", action="append", default=[], help="a run in the queue to finish first"
    )
    queued.add_argument(
        "--needs", metavar="NAME=AMOUNT", action="append", default=[],
        help="a limit on threads, memory_gb, gpu_gb, disk_gb or seconds (default: estimated)",
    )  # fmt: skip
    queued.add_argument("--sandbox", action="store_true", help="run the file's code without network and without files")
    queued.add_argument(
        "--force-unsandboxed", action="store_true", help="with --sandbox: run it as your own code all the same"
    )


def _run(args: argparse.Namespace) -> Output:
    if args.resume:
        return _resume(args)
    settings = parse_settings(args.set) | _hardware(args)
    if args.queue and args.sandbox and not args.force_unsandboxed:
        return _submit_to_sandbox(args, settings)
    study, source = chosen_study(args)
    if args.queue:
        return _submit(args, study, settings, source)
    given = [flag for flag, value in (("--wait", args.wait), ("--priority", args.priority), ("--after", args.after),
                                      ("--needs", args.needs), ("--sandbox", args.sandbox)) if value]  # fmt: skip
    if given:
        raise UnweaveError(f"{given[0]} is for runs in the queue: add --queue")
    config = study.configure(settings)
    lab = open_lab(args, make=True)
    person = lab.people.here()
    person.must("run")
    if args.thread is not None:
        ask_in(lab, "thread", {"thread": args.thread})
    about = {"thread": args.thread, "person": person.name, "source": source}
    run = new_run(args, study.name, plain_config(config), about)
    args.kept.append(f"go on with `unweave run --resume {run.id}`")
    lab.people.record(person, "run", {"run": run.id, "study": study.name, "settings": settings}, run.id)
    if args.thread is not None:
        ask_in(lab, "add-run", {"thread": args.thread, "run": run.id, "part": args.part})
    return _worked(lab, run, study, config)


def _resume(args: argparse.Namespace) -> Output:
    from unweave.lab.operations.finding import find_job
    from unweave.record import Run, find_run
    from unweave.studies.registry import all_studies, find_study

    found = find_run(args.resume, args.runs)
    if args.set or _hardware(args) or args.name or args.thread or args.study not in (None, found.study):
        raise UnweaveError(f"run {found.id!r} is resumed with its own study {found.study!r}, settings and name")
    lab = open_lab(args, make=True)
    here = found.path.resolve().parent == lab.root.resolve()
    if found.state().get("job") is not None or (here and find_job(lab, found.id) is not None):
        # Nothing of it is loaded here: the queue knows whether its code is for the sandbox.
        if not here:
            raise UnweaveError(f"run {found.id!r} came through the queue of another lab: give --runs, and its id")
        resumed = ask_in(lab, "resume-run", {"run": found.id})
        return Output({"jobs": [told(resumed)]}, [f"run {found.id} goes on in the queue", *_how_to_start(lab)])
    person = lab.people.here()
    person.must("run")
    _load_own_source(lab, found)
    if found.study not in all_studies():
        raise UnweaveError(
            f"run {found.id!r} is of `unweave {found.study}`, which is not resumed: give the same command again (a "
            "decomposition goes on from where it was)"
        )
    study = find_study(found.study)
    config = study.configure(found.config)
    run = Run.resume(found.path, Terminal(study.name))
    lab.people.record(person, "resume-run", {"run": run.id, "study": study.name}, run.id)
    args.kept += [f"run {run.id} keeps what it wrote", f"go on with `unweave run --resume {run.id}`"]
    return _worked(lab, run, study, config)


def _load_own_source(lab: Lab, run: Run) -> None:
    """Loads the copy of a person's own file that ``run`` was started with, as it was then, and no other file."""
    from unweave.base.files import read_inside
    from unweave.lab.sandbox.approval import Approvals
    from unweave.studies.discover import load_source

    source = run.state().get("source")
    if not source:
        return
    try:
        name, sha256 = str(source["file"]), str(source["sha256"])
        read_inside(run.path, name)
    except (OSError, TypeError, KeyError) as error:
        raise UnweaveError(f"run {run.id!r} holds no copy of the file of its study: run that file anew") from error
    if any(sha256 == proposed.sha256 for proposed in Approvals(lab.home).list()):
        raise UnweaveError(f"run {run.id!r} is of proposed code, which runs in the sandbox only: submit it anew")
    load_source(run.path / name, sha256)


def _worked(lab: Lab, run: Run, study: Study, config: Any) -> Output:
    """Works on a run in this process, and says what came of it."""
    from unweave.record.audit import audit_run

    keep_freed_memory()
    try:
        with run:
            study.function(config, run=run)
    finally:
        if run.path.is_dir():
            lab.runs.update(run.id)
        lab.close()
    wrong = audit_run(run)
    report = report_path(run)
    lines = [*grid(run.load_table("summary")), ""] if "summary" in run.tables() else []
    lines += [claim.sentence for claim in run.claims()]
    lines += [f"run {run.id}: {', '.join(run.tables()) or 'no tables'}", str(report or run.path)]
    lines += [f"the audit found a difference: {one.where}: {one.what}" for one in wrong]
    return Output(run_value(run) | {"audit": [asdict(one) for one in wrong]}, lines, exit_code=1 if wrong else 0)


def _submit(args: argparse.Namespace, study: Study, settings: dict[str, Any], source: Path | None) -> Output:
    study.configure(settings)
    fields = _fields(args, settings)
    lab = open_lab(args, make=True)
    if source is None:
        job = ask_in(lab, "start-run", {"study": study.name, **fields}).jobs[0]
    else:
        job = _submit_file(lab, study.name, source, fields, sandboxed=False)
    return _submitted(args, lab, job)


def _submit_to_sandbox(args: argparse.Namespace, settings: dict[str, Any]) -> Output:
    """A run of a file that is not loaded here, not even to learn what it registers: its config is checked inside."""
    from unweave.studies.discover import named_in

    if not (args.study or "").endswith(".py"):
        raise UnweaveError(f"--sandbox is for a Python file, not for the study {args.study!r}")
    source = Path(args.study)
    # A name that is given is checked inside: the file may compute it.
    name = args.which or one_of(source, named_in(source), None)
    fields = _fields(args, settings)
    lab = open_lab(args, make=True)
    return _submitted(args, lab, _submit_file(lab, name, source, fields, sandboxed=True))


def _fields(args: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    needs = {name: _amount(name, text) for name, text in parse_settings(args.needs).items()}
    about = {"settings": settings, "needs": needs or None, "priority": args.priority or 0, "after": args.after}
    return about | {"thread": args.thread, "name": args.name}


def _submitted(args: argparse.Namespace, lab: Lab, job: Any) -> Output:
    if args.thread is not None:
        ask_in(lab, "add-run", {"thread": args.thread, "run": job.run, "part": args.part})
    if args.wait:
        return waited(lab, [job.id])
    lines = [f"run {job.run} waits in the queue", *_how_to_start(lab)]
    return Output({"jobs": [told(job)]}, lines)


def _submit_file(lab: Lab, study: str, source: Path, fields: dict[str, Any], sandboxed: bool) -> Any:
    """A run of a file's study. No operation does this: over the network nobody names a file of this machine."""
    from unweave.lab.operations.finding import open_thread
    from unweave.lab.operations.queueing import job_entry

    person = lab.people.here()
    person.must("run")
    if fields["thread"] is not None:
        open_thread(lab, fields["thread"])
    job = lab.queue.submit(
        study, fields["settings"], needs=fields["needs"], priority=fields["priority"], after=fields["after"],
        thread=fields["thread"], person=person.name, name=fields["name"], source=source, sandboxed=sandboxed,
    )  # fmt: skip
    lab.people.record(person, "start-run", {"run": job.run, "study": study, "file": source.name}, job.run)
    return job_entry(lab, job)


def _how_to_start(lab: Lab) -> list[str]:
    from unweave.lab.operations.queueing import is_scheduled

    return [] if is_scheduled(lab) else ["Nothing starts it yet: run `unweave queue work`, or `unweave serve`."]


def _hardware(args: argparse.Namespace) -> dict[str, str]:
    return {name: getattr(args, name) for name in ("device", "dtype") if getattr(args, name)}


def _amount(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UnweaveError(f"--needs {name}={text!r}: give a number") from error


def _studies_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", nargs="?", help="show this study's fields")


def _studies(args: argparse.Namespace) -> Output:
    from unweave.studies.registry import all_studies, find_study

    if args.json:
        name, fields = ("studies", {}) if args.study is None else ("study", {"name": args.study})
        return Output(_answered(args, name, fields), [])
    if args.study is None:
        found = all_studies()
        width = max(map(len, found), default=0)
        lines = [f"{name:{width}}  {study.question}" for name, study in found.items()]
        return Output({}, lines)
    study = find_study(args.study)
    fields = study.fields()
    lines = [f"{study.name}: {study.question}", ""]
    for each in fields:
        lines.append(f"{each.name}: {each.type}" + ("" if each.required else f" = {each.default!r}"))
        lines += [f"    {each.meaning}"] if each.meaning else []
    return Output({}, [*lines, "", f"unweave run {study.name} --set FIELD=VALUE"])


def _answered(args: argparse.Namespace, name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The lab's answer on studies, which needs no lab to be there: an empty one has no runs to reckon from."""
    import tempfile

    from unweave.lab.lab import Lab

    if is_lab(args.runs):
        return told(ask_in(open_lab(args), name, fields))
    with tempfile.TemporaryDirectory() as empty, Lab(empty) as lab:
        return told(ask_in(lab, name, fields))


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
