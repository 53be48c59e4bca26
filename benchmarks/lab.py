"""The lab's own costs: a log call, many processes at once, a long list of runs, short studies through the queue.

python benchmarks/lab.py [--only log,processes,list,queue] [--json]

Beside MLflow's SQLite store and trackio, which do the same work in the same run where they are installed:
pip install mlflow-skinny sqlalchemy alembic sqlparse trackio
Everything is written below a temporary folder (``--folder`` for another disk).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from lab_list import runs_list, said, timed
from loggers import LOGGERS, absent
from timing import circumstances, printed

from unweave.lab.lab import Lab
from unweave.record import Run

HERE = Path(__file__).parent
MEMORY = Path("/dev/shm")  # noqa: S108 - a temporary folder is made in it
PACKAGES = {"mlflow": "mlflow-skinny", "trackio": "trackio"}
PARTS = ("log", "processes", "list", "queue")


def children(name: str, folder: Path, processes: int, calls: int) -> tuple[float, list[dict[str, Any]]]:
    """Wall seconds from the start of all loops until every process has ended its run, and what each one says."""
    command = [sys.executable, str(HERE / "loggers.py"), name, str(folder), str(calls)]
    with open(folder.with_suffix(".txt"), "wb") as errors:
        started = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
            for _ in range(processes)
        ]
        for process in started:
            if heard(process) != "ready\n":
                raise SystemExit(f"{name}: {folder.with_suffix('.txt').read_text()[-2000:]}")
        begun = time.perf_counter()
        for process in started:
            if process.stdin is not None:
                process.stdin.write("\n")
                process.stdin.flush()
        found = []
        for process in started:
            line = heard(process)
            if not line:
                raise SystemExit(f"{name}: {folder.with_suffix('.txt').read_text()[-2000:]}")
            found.append(json.loads(line))
        wall = time.perf_counter() - begun
        for process in started:
            process.communicate()
    return wall, found


def heard(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline() if process.stdout is not None else ""


def logging_side_by_side(folder: Path, processes: int, calls: int) -> list[dict[str, Any]]:
    """``calls`` rows from each of ``processes`` at once, by every tracker that is installed."""
    rows = []
    for name, kind in LOGGERS.items():
        if name in absent() or (processes == 1 and name == "unweave, one run"):
            continue
        place = folder / f"{name.replace(', ', '-').replace(' ', '-')}-{processes}"
        logger = kind(place)
        with_output_aside(logger.prepare)
        wall, found = children(name, place, processes, calls)
        # One more row a process, before the clock started.
        expected, stored = processes * (calls + 1), logger.stored()
        rows.append(
            {
                "tracker": name,
                "call_median_us": round(statistics.median(one["median_us"] for one in found), 1),
                "call_p99_us": round(max(one["p99_us"] for one in found), 1),
                "call_max_ms": round(max(one["max_us"] for one in found) / 1000, 2),
                "until_stored_s": round(wall, 3),
                "rows_per_s": round(processes * calls / wall),
                "rows": expected,
                "missing": expected - stored,
                "errors": sum(one["errors"] for one in found),
                "first_error": next((one["first_error"] for one in found if one["first_error"]), None),
            }
        )
        said(f"{processes} x {calls} rows: {rows[-1]}")
    ours = rows[0]["until_stored_s"]
    return [{**one, "times_ours": round(one["until_stored_s"] / ours, 2)} for one in rows]


def with_output_aside(function: Callable[[], Any]) -> Any:
    from contextlib import redirect_stdout

    with redirect_stdout(sys.stderr):
        return function()


def short_studies(folder: Path, count: int, cold: int) -> dict[str, Any]:
    """``count`` runs of a study that does next to nothing, through the warm queue, and ``cold`` of them without it."""
    from unweave.lab.queue.resources import machine

    file = HERE / "short_study.py"
    lab = Lab(folder / "queue")
    needs = {"threads": 1.0, "memory_gb": 0.5, "disk_gb": 0.01}
    warm = [submitted(lab, file, needs, -1 - number) for number in range(8)]
    lab.queue.wait(warm)
    begun = time.perf_counter()
    jobs = [submitted(lab, file, needs, number) for number in range(count)]
    submitting = time.perf_counter() - begun
    ended = lab.queue.wait(jobs)
    wall = time.perf_counter() - begun
    took = [float(str(Run.open(lab.root / job).load_table("took").rows[0][0])) for job in jobs]
    workers = int(machine(lab.root).threads)
    lab.queue.close()
    lab.close()
    # Workers work side by side, so each study's own time is shared among them.
    added = (wall - sum(took) / workers) / count
    alone = [timed(lambda number=number: run_alone(folder / "cold", file, number)) for number in range(cold)]
    return {
        "studies": count,
        "finished": sum(job.state == "finished" for job in ended),
        "workers": workers,
        "wall_s": round(wall, 2),
        "submitting_ms_each": round(1e3 * submitting / count, 2),
        "study_ms_each": round(1e3 * statistics.mean(took), 2),
        "overhead_ms_each": round(1e3 * added, 2),
        "worker_ms_each": round(1e3 * (wall * workers - sum(took)) / count, 2),
        "alone_ms_each": round(1e3 * statistics.median(alone), 1),
        "times_faster_than_alone": round(statistics.median(alone) / (wall / count), 1),
    }


def submitted(lab: Lab, file: Path, needs: dict[str, float], number: int) -> str:
    return lab.queue.submit("short", {"number": number}, needs=needs, source=file).id


def run_alone(root: Path, file: Path, number: int) -> None:
    command = [sys.executable, "-m", "unweave", "run", str(file), "--set", f"number={number}", "--runs", str(root)]
    subprocess.run(command, check=True, capture_output=True)


def surroundings() -> dict[str, Any]:
    """The day, the machine, the versions of everything that is measured."""
    from unweave.record.environment import environment

    versions = {name: metadata.version(package) for name, package in PACKAGES.items() if name not in absent()}
    facts = environment()
    commit = f"{str(facts['commit'])[:7]}{' with changes' if facts['modified'] else ''}"
    python = {"python": facts["python"], "versions": versions, "commit": commit}
    return {"not_installed": absent(), **circumstances(), **python}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--cold", type=int, default=5, help="studies run in a process of their own, to compare with")
    args = parser.parse_args()
    parts = args.only.split(",")
    folder = Path(tempfile.mkdtemp(prefix="lab-", dir=args.folder))
    os.chdir(folder)
    load = f"{os.getloadavg()[0]:.1f}"
    try:
        value: dict[str, Any] = {"benchmark": "lab", **surroundings(), "process_count": args.processes}
        if "log" in parts:
            value["log"] = logging_side_by_side(folder, 1, 5 * args.calls)
            if MEMORY.is_dir():
                with tempfile.TemporaryDirectory(prefix="lab-", dir=MEMORY) as memory:
                    value["log_in_memory"] = logging_side_by_side(Path(memory), 1, 5 * args.calls)
        if "processes" in parts:
            value["processes"] = logging_side_by_side(folder, args.processes, args.calls)
        if "list" in parts:
            value["list"] = runs_list(folder, args.runs)
        if "queue" in parts:
            value["queue"] = short_studies(folder, args.studies, args.cold)
        value["load"] = f"{load} to {os.getloadavg()[0]:.1f}"
    finally:
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)
    printed(value, args.json, [{key: part} for key, part in value.items()])


if __name__ == "__main__":
    main()
