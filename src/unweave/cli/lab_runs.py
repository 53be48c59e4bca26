"""The commands that look at the lab's runs: the list, one run's report, and its page where a server shows one."""

from __future__ import annotations

import argparse
from pathlib import Path

from unweave.base.arguments import count
from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output
from unweave.base.terminal import one_line
from unweave.cli.lab_shared import columns, open_lab
from unweave.cli.shared import Command, current_report, run_value

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
    if not args.runs.is_dir():
        return Output({"runs": [], "total": 0}, [f"There are no runs in {args.runs}."])
    index = open_lab(args).runs
    index.sync()
    chosen = {name: getattr(args, name) for name in ("limit", "study", "status", "thread", "text", "sort")}
    page = index.list(**chosen)
    rows = [
        {
            "run": row.id,
            "study": row.study,
            "status": row.status if row.valid else f"{row.status}, NOT VALID",
            "created": row.created[:19],
            "note": row.note if row.valid else row.reason,
        }
        # The newest stands last, next to where the person types.
        for row in reversed(page.rows)
    ]
    shown = columns(rows, ("run", "study", "status", "created", "note"))
    if page.next is not None:
        shown.append(f"{len(rows)} of {page.total}: --limit shows more")
    return Output({"runs": rows, "total": page.total}, shown if rows else [f"There are no runs in {args.runs}."])


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
    report = current_report(run)
    if report is None:
        raise UnweaveError(f"run {run.id!r} is {run.status} and has no report; its tables are in {run.path / 'tables'}")
    if args.browser or args.page:
        _show(report.resolve().as_uri())
    return Output(run_value(run), [one_line(str(report))])


def _show(url: str) -> None:
    import webbrowser

    webbrowser.open(url)


COMMANDS = {
    "runs": Command(_runs, "list the runs, the newest last", _runs_options),
    "open": Command(_open, "print the path of a run's report, or show the run", _open_options),
}
