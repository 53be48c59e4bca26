"""The command that replicates papers: a thread, its runs, and a verdict by the auditor on every row."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from unweave.base.configs import parse_settings
from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output
from unweave.base.progress import Terminal
from unweave.base.terminal import one_line
from unweave.cli.lab_shared import ask, ask_in, columns, open_lab, told
from unweave.cli.shared import Command, set_option


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paper", metavar="PAPER", nargs="?", help="an id, or a .json file of your own (default: list what there is)"
    )
    parser.add_argument("--thread", metavar="THREAD", help="go on with this thread: only what it lacks is run")
    parser.add_argument("--queue", "--detach", action="store_true", help="submit the runs, and return")
    parser.add_argument("--judge", action="store_true", help="only judge the rows of --thread by the runs that ended")
    parser.add_argument("--show", action="store_true", help="only show the paper and its verdicts so far")
    set_option(parser)


def _replicate(args: argparse.Namespace) -> Output:
    if args.judge:
        if args.thread is None:
            raise UnweaveError("--judge needs the thread: --thread THREAD")
        return _shown(ask(args, "judge-replication", {"thread": args.thread}).papers[0])
    if args.paper is None:
        return _list(_papers(args))
    if args.show:
        return _shown(_known(args))
    settings = parse_settings(args.set)
    lab = open_lab(args, make=True)
    fields = {"paper": args.paper, "thread": args.thread, "settings": settings}
    if args.paper.endswith(".json"):
        started = _own(lab, Path(args.paper), args.thread, settings)
    else:
        started = ask_in(lab, "replicate", fields)
    args.kept.append(f"go on with `unweave replicate {args.paper} --thread {started.thread}`")
    jobs = list(started.jobs)
    if args.queue:
        later = f"unweave replicate {args.paper} --thread {started.thread} --judge"
        value = {"thread": started.thread, "jobs": jobs}
        return Output(value, [f"thread {started.thread}: {len(jobs)} runs wait in the queue", later])
    if jobs:
        lab.queue.wait(jobs, progress=Terminal("replicate"))
    return _shown(ask_in(lab, "judge-replication", {"thread": started.thread}).papers[0])


def _own(lab: Any, paper: Path, thread: str | None, settings: dict[str, str]) -> Any:
    """A paper in a file of one's own. No operation does this: over the network nobody names a file of this machine."""
    from unweave.lab.replication.starting import start_replication

    person = lab.people.here()
    started = start_replication(lab, paper, by=person, thread=thread, settings=settings)
    asked = {"file": paper.name, "thread": started.thread, "settings": settings}
    lab.people.record(person, "replicate", asked, started.thread)
    return started


def _papers(args: argparse.Namespace) -> list[Any]:
    """The papers that come with unweave, and those that are replicated in the lab, if there is one."""
    from unweave.lab.operations.replicating import paper_entry
    from unweave.lab.replication.paper import read_paper
    from unweave.studies.papers import papers

    if args.runs.is_dir():
        return ask(args, "replications", {}).papers
    return [paper_entry(read_paper(id), [], {}, shipped=True) for id in papers()]


def _known(args: argparse.Namespace) -> Any:
    from unweave.lab.operations.replicating import paper_entry
    from unweave.lab.replication.paper import read_paper

    read = read_paper(args.paper)
    found = [paper for paper in _papers(args) if paper.id == read.id]
    return found[0] if found else paper_entry(read, [], {}, shipped=False)


def _list(found: list[Any]) -> Output:
    rows = [
        {
            "paper": paper.id,
            "claims": len(paper.rows),
            "reproduced": sum(row.verdict == "reproduced" for row in paper.rows),
            "not": sum(row.verdict == "not reproduced" for row in paper.rows),
            "threads": ", ".join(paper.threads),
            "title": paper.title,
        }
        for paper in found
    ]
    value = {"papers": [told(paper) for paper in found]}
    return Output(value, columns(rows, ("paper", "claims", "reproduced", "not", "threads", "title")))


def _shown(paper: Any) -> Output:
    rows = [
        {
            "row": row.id,
            "reported": row.allowed and f"{row.allowed} {row.unit}".strip(),
            "ours": _ours(row.ours),
            "verdict": row.verdict,
            "why": row.unknowable or row.reason,
        }
        for row in paper.rows
    ]
    lines = [
        one_line(f"{paper.title} ({paper.source})"),
        "",
        *columns(rows, ("row", "reported", "ours", "verdict", "why")),
    ]
    lines += [one_line(f"corrected: {one.what} {one.effect}") for one in paper.corrections]
    return Output(told(paper), lines)


def _ours(ours: dict[str, Any]) -> str:
    value, digits = ours.get("value"), ours.get("digits")
    return f"{value:.{digits}f}" if isinstance(value, float) and isinstance(digits, int) else str(value or "")


COMMANDS = {"replicate": Command(_replicate, "test what a paper states, row by row, with your own runs", _options)}
