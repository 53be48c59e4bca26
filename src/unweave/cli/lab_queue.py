"""The commands round the queue: what waits and runs, and what becomes of it."""

from __future__ import annotations

import argparse
from typing import Any

from unweave.base.arguments import count
from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output
from unweave.base.progress import Terminal
from unweave.cli.lab_shared import ask_in, columns, open_lab, told
from unweave.cli.shared import Command

STATES = ("waiting", "running", "paused", "finished", "failed", "cancelled", "interrupted")
GOING = ("waiting", "running", "paused", "interrupted")


def _list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", choices=STATES, action="append", default=[], help="only these; repeat it for more")
    parser.add_argument("--all", action="store_true", help="also the jobs that have ended")
    parser.add_argument("--limit", metavar="N", type=count, default=100, help="so many at most (default: 100)")


def _list(args: argparse.Namespace) -> Output:
    states = args.state or ([] if args.all else list(GOING))
    lab = open_lab(args)
    found = ask_in(lab, "queue", {"states": states, "limit": args.limit})
    has = ask_in(lab, "resources", {})
    shown = columns(map(job_row, reversed(found.jobs)), JOB_COLUMNS) if found.jobs else ["Nothing waits or runs."]
    lines = [*shown, "", _in_use(has)]
    if not found.scheduler and found.by_state.get("waiting"):
        lines.append("Nothing starts these jobs: run `unweave queue work`, or `unweave serve`.")
    return Output(told(found) | {"resources": told(has)}, lines)


JOB_COLUMNS = ("run", "study", "state", "priority", "progress", "thread", "needs", "note")


def job_row(job: Any) -> dict[str, Any]:
    """A job as a line of the list."""
    said = job.progress
    done = "" if said is None else f"{said.done:g}" + (f"/{said.total:g}" if said.total else "")
    needs = f"{job.needs.threads:g} threads, {job.needs.memory_gb:.2g} GB"
    if job.needs.gpu_gb:
        needs += f", {job.needs.gpu_gb:.2g} GB of GPU"
    state = f"{job.state}, {job.wish} asked" if job.wish else job.state
    return {**told(job), "state": state, "progress": done or None, "needs": needs}


def _in_use(has: Any) -> str:
    used, total = has.used, has.capacity
    parts = [
        f"{used.threads:g} of {total.threads:g} threads",
        f"{used.memory_gb:.2g} of {total.memory_gb:.3g} GB of memory",
        f"{has.disk_free_gb:.3g} GB of disk free",
    ]
    if total.gpu_gb:
        parts.insert(2, f"{used.gpu_gb:.2g} of {total.gpu_gb:.3g} GB of GPU memory")
    return f"{has.running} running, {has.waiting} waiting; {', '.join(parts)}"


def _runs_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs_named", metavar="RUN", nargs="+", help="its id")


def _cancel(args: argparse.Namespace) -> Output:
    return _each(args, "cancel-run", {})


def _pause(args: argparse.Namespace) -> Output:
    return _each(args, "pause-run", {})


def _resume(args: argparse.Namespace) -> Output:
    return _each(args, "resume-run", {})


def _priority_options(parser: argparse.ArgumentParser) -> None:
    _runs_options(parser)
    parser.add_argument("--to", metavar="N", type=int, required=True, help="higher goes first")


def _priority(args: argparse.Namespace) -> Output:
    return _each(args, "prioritise-run", {"priority": args.to})


def _each(args: argparse.Namespace, name: str, fields: dict[str, Any]) -> Output:
    lab = open_lab(args)
    changed = [ask_in(lab, name, {"run": run, **fields}) for run in args.runs_named]
    return Output({"jobs": [told(job) for job in changed]}, columns(map(job_row, changed), JOB_COLUMNS))


def _work_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--until-empty", action="store_true", help="end when nothing waits or runs any more")
    parser.add_argument("--ray", metavar="HOST:PORT", help="run on this Ray cluster too (docs/lab-queue.md)")


def _work(args: argparse.Namespace) -> Output:
    lab = open_lab(args, make=True)
    person = lab.people.here()
    person.must("run")
    lab.people.record(person, "work-queue", {"until_empty": args.until_empty, "ray": args.ray})
    if args.ray:
        lab.queue.use_ray(args.ray)
    lines = ["Starting what waits. Ctrl-C ends it; what runs then goes on with the next scheduler."]
    return Output({"lab": str(args.runs)}, lines, then=lambda: work(lab, args.until_empty))


def work(lab: Any, until_empty: bool) -> int:
    """Starts the lab's jobs, or waits while another process does, until Ctrl-C or until none is left."""
    import time

    try:
        while True:
            lab.queue.wait(progress=Terminal("queue"))
            if until_empty:
                return 0
            lab.queue.background.keep()
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 0
    finally:
        lab.queue.close()


def _wait_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs_named", metavar="RUN", nargs="*", help="its id (default: all that have not ended)")
    parser.add_argument("--seconds", metavar="S", type=float, help="wait so long at most")


def _wait(args: argparse.Namespace) -> Output:
    from unweave.lab.operations.queueing import is_scheduled

    lab = open_lab(args)
    if not is_scheduled(lab):
        # This process would start what waits.
        lab.people.here().must("run")
    return waited(lab, args.runs_named or None, args.seconds)


def waited(lab: Any, runs: list[str] | None, seconds: float | None = None) -> Output:
    """Waits for runs in the queue, running them here if nobody else does, and says how they ended."""
    from unweave.lab.operations.queueing import job_entry

    if seconds is not None and seconds <= 0:
        raise UnweaveError(f"--seconds {seconds:g}: give a time above 0")
    jobs = [job_entry(lab, job) for job in lab.queue.wait(runs, seconds, Terminal("queue"))]
    lab.runs.sync()
    failed = [job for job in jobs if job.state != "finished"]
    shown = columns(map(job_row, jobs), JOB_COLUMNS) if jobs else ["Nothing waits or runs."]
    return Output({"jobs": [told(job) for job in jobs]}, shown, exit_code=1 if failed else 0)


COMMANDS = {
    "queue": Command(
        None,
        "look at the queue, and stop, order or start what is in it",
        commands={
            "list": Command(_list, "list what waits and runs, and what the machine has", _list_options),
            "cancel": Command(_cancel, "stop runs that wait or work", _runs_options),
            "pause": Command(_pause, "let runs rest until they are resumed", _runs_options),
            "resume": Command(_resume, "go on with runs that rest or stopped early", _runs_options),
            "priority": Command(_priority, "change the place of runs in the queue", _priority_options),
            "wait": Command(_wait, "wait until runs have ended, running them here if nobody does", _wait_options),
            "work": Command(_work, "start the jobs that wait, until Ctrl-C", _work_options),
        },
    ),
}
