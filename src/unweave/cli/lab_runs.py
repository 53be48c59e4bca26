"""The commands that look at the lab's runs: the list, one run's report, and its page where a server shows one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.arguments import count
from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output
from unweave.base.terminal import one_line
from unweave.cli.lab_shared import ask_in, columns, is_lab, open_lab, told
from unweave.cli.shared import Command, current_report, run_value

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.record import Run

PAGE = 1000
"""Runs that the lab gives at once."""
STATUSES = ("waiting", "running", "paused", "finished", "failed", "cancelled", "interrupted", "damaged")
SORTS = ("created", "finished", "seconds", "study", "status", "thread", "id")


def _runs_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", metavar="N", type=count, default=100, help="so many at most (default: 100)")
    parser.add_argument("--study", help="only runs of this study")
    parser.add_argument("--status", choices=STATUSES)
    parser.add_argument("--thread", metavar="THREAD", help="only runs of this thread")
    parser.add_argument("--text", help="words of an id, study, note, tag or config")
    parser.add_argument("--sort", choices=SORTS, default="created", help="what decides the order (default: created)")


def _runs(args: argparse.Namespace) -> Output:
    if args.runs.exists() and not args.runs.is_dir():
        raise UnweaveError(f"{args.runs} is a file, not a folder of runs: give --runs FOLDER")
    if not is_lab(args.runs):
        return Output({"runs": [], "total": 0, "next": None}, [f"There are no runs in {args.runs}."])
    chosen = {name: getattr(args, name) for name in ("study", "status", "thread", "text") if getattr(args, name)}
    listed, page = _pages(open_lab(args), args.limit, {**chosen, "sort": args.sort})
    rows = [{"run": row.id, **told(row)} for row in listed]
    cells = [
        {
            **row,
            "status": row["status"] if row["valid"] else f"{row['status']}, NOT VALID",
            "created": row["created"][:19],
            "note": row["note"] if row["valid"] else row["reason"],
        }
        for row in rows
    ]
    shown = columns(cells, ("run", "study", "status", "created", "note"))
    if page.next is not None:
        shown.append(f"{len(rows)} of {page.total}: --limit shows more")
    if not rows:
        shown = [f"No run in {args.runs} fits." if chosen else f"There are no runs in {args.runs}."]
    return Output({"runs": rows, "total": page.total, "next": page.next}, shown)


def _pages(lab: Lab, limit: int, chosen: dict[str, Any]) -> tuple[list[Any], Any]:
    """So many rows of the list, the newest last, next to where the person types; and the last page of them."""
    rows: list[Any] = []
    after = None
    while True:
        page = ask_in(lab, "runs", {**chosen, "limit": min(limit - len(rows), PAGE), "after": after})
        rows += page.rows
        after = page.next
        if after is None or len(rows) >= limit:
            return rows[::-1], page


def _open_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="its id, its path, or last")
    parser.add_argument("--browser", action="store_true", help="show the report in the browser")
    parser.add_argument(
        "--page",
        action="store_true",
        help="show the run on the page of a server that runs, else its report (the address, with the token, is then on "
        "a command line that other users of this machine can see)",
    )


def _open(args: argparse.Namespace) -> Output:
    from unweave.record import find_run

    run = find_run(args.run, args.runs)
    if args.page:
        from unweave.lab.serving import served_at

        served = served_at(Path(args.runs))
        if served is not None and run.path.resolve().parent == Path(args.runs).resolve():
            _show(served.page(f"/lab/runs/{run.id}"))
            return Output(run_value(run) | {"page": served.origin}, [f"{served.origin}/lab/runs/{run.id}"])
    shown = current_report(run)
    value = run_value(run)
    if shown is None and not (run.path.parent / ".lab").is_dir():
        # A run that lies alone: looking at it makes no lab around it.
        return Output(value, [one_line(f"{run.path} ({', '.join(run.tables()) or 'no tables'})")])
    if shown is None:
        shown = _copy(run)
        value |= {"copy": str(shown)}
    if args.browser or args.page:
        _show(shown.resolve().as_uri())
    return Output(value, [one_line(str(shown))])


def _copy(run: Run) -> Path:
    """What a run without a report holds, as a page written anew beside the runs: a finished run's folder is sealed."""
    from unweave.lab.lab import Lab
    from unweave.lab.static_copy import static_copy

    with Lab(run.path.parent) as lab:
        page = lab.home / "pages" / f"{run.id}.html"
        page.unlink(missing_ok=True)
        return static_copy(lab, run.id, page)


def _show(url: str) -> None:
    import webbrowser

    webbrowser.open(url)


COMMANDS = {
    "runs": Command(_runs, "list the runs, the newest last", _runs_options),
    "open": Command(_open, "print the path of a run's report or page, or show the run", _open_options),
}
