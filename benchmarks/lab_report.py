"""Writes ``docs/results/lab-speed.md`` from what ``lab.py --json`` printed, of one run or of some that did parts of it.

python benchmarks/lab_report.py lab.json [more.json] > docs/results/lab-speed.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from loggers import INSTALL

BARS = {"call_us": 200, "list_ms": 200, "overhead_ms": 50}


def table(heads: list[str], rows: list[list[Any]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    return [*lines, *("| " + " | ".join("–" if cell is None else str(cell) for cell in row) + " |" for row in rows), ""]


def trackers(rows: list[dict[str, Any]]) -> list[str]:
    heads = [
        "",
        "a call, median",
        "99 of 100 within",
        "longest",
        "until all is stored",
        "to ours",
        "rows missing",
        "errors",
    ]
    return table(
        heads,
        [
            [
                one["tracker"],
                f"{one['call_median_us']:,.0f} µs",
                f"{one['call_p99_us']:,.0f} µs",
                f"{one['call_max_ms']:,.1f} ms",
                f"{one['until_stored_s']:,.2f} s",
                f"{one['times_ours']:,.1f}",
                one["missing"],
                one["errors"],
            ]
            for one in rows
        ],
    )


def report(found: dict[str, Any]) -> list[str]:
    lines = [
        "# Speed of the lab",
        "",
        f"`benchmarks/lab.py`, {found['date']}, commit {found['commit']}, Linux, {found['machine']}; "
        f"load of the machine {found['load']} while it was measured. Python {found['python']}"
        + "".join(f", {name} {version}" for name, version in found["versions"].items())
        + ". "
        "This page is written from its JSON by `benchmarks/lab_report.py`.",
        "",
    ]
    if "log" in found:
        calls = found["log"][0]["rows"] - 1
        lines += [
            f"## A log call: {calls:,} rows of three numbers from one process",
            "",
            f"The bar is {BARS['call_us']} µs in the run.",
            "",
            *trackers(found["log"]),
        ]
    if "log_in_memory" in found:
        lines += [
            "### The same where the disk costs nothing (`/dev/shm`)",
            "",
            *trackers(found["log_in_memory"]),
        ]
    if "processes" in found:
        ours = found["processes"][0]
        each = ours["rows"] // found["process_count"] - 1
        lines += [
            f"## {found['process_count']} processes at once, {each:,} rows each",
            "",
            "Each process has a run of its own in one project; *one run* is all of them in one. With more processes",
            "than cores a call also waits for its turn.",
            "",
            *trackers(found["processes"]),
            "MLflow's store commits every call to its SQLite file, so that a row outlives a power cut. A row of",
            "unweave is with the operating system when `log` returns: it outlives a killed process, and a power cut",
            "may take the last seconds. trackio's `log` hands the row to a thread; a killed process may lose some.",
            "The time until all is stored has the end of the run in it.",
            "",
        ]
        failed = [one for one in found["processes"] if one["errors"]]
        lines += [f"First error of {one['tracker']}: `{one['first_error']}`" for one in failed] + [""] * bool(failed)
    if "list" in found:
        lines += [
            f"## A list of {found['list']['runs']:,} runs",
            "",
            f"Over HTTP from the lab's own server, guard and all; the bar is {BARS['list_ms']} ms for a page.",
            "",
            *table(
                ["", "median", "longest of 15"],
                [
                    [row["request"], f"{row['median_ms']:,.1f} ms", row["max_ms"] and f"{row['max_ms']:,.1f} ms"]
                    for row in found["list"]["rows"]
                ],
            ),
        ]
    if "queue" in found:
        one = found["queue"]
        lines += [
            f"## {one['studies']} short studies through the warm queue",
            "",
            f"{one['finished']} finished, by {one['workers']} workers, in {one['wall_s']} s from the first submission",
            f"to the last end. The study takes {one['study_ms_each']} ms. What the lab adds is",
            f"**{one['overhead_ms_each']} ms each** of wall time (the bar is {BARS['overhead_ms']}), and",
            f"{one['worker_ms_each']} ms of a worker's. Submitting takes {one['submitting_ms_each']} ms, while others",
            f"run. A process of its own, `unweave run`, takes {one['alone_ms_each']:,.0f} ms a study:",
            f"{one['times_faster_than_alone']} times as long.",
            "",
        ]
    absent = found["not_installed"]
    lines += [f"Not installed, so not measured: {name} ({INSTALL[name]})" for name in absent]
    return lines


def main() -> None:
    found: dict[str, Any] = {}
    for path in sys.argv[1:]:
        found |= json.loads(Path(path).read_text(encoding="utf-8"))
    print("\n".join(report(found)).rstrip())


if __name__ == "__main__":
    main()
