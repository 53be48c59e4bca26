"""Times named ways of doing one thing by turns, in one run, and prints them as ratios to the last one."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import torch


def arguments(description: str | None, repeats: int) -> argparse.Namespace:
    """``--json`` and ``--repeats``, the same for every benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats, help=f"rounds, each way once a round ({repeats})")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser.parse_args()


def circumstances() -> dict[str, str]:
    """Of any benchmark's result: the day, and the machine with the threads that torch may take of it."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return {"date": datetime.now(UTC).date().isoformat(), "machine": machine}


def printed(value: dict[str, Any], as_json: bool, lines: list[dict[str, Any]]) -> None:
    """One JSON object, or else a line of JSON for each of its parts."""
    if as_json:
        json.dump(value, sys.stdout)
        return
    for line in lines:
        print(json.dumps(line))


def by_turns(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every way, round by round, so that a slow spell of the machine falls on all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
            print(f"{name}: {seconds[name][-1]:.3f} s", file=sys.stderr)
    return seconds


def report(benchmark: str, seconds: dict[str, list[float]], as_json: bool) -> None:
    """Minimum, median and maximum of each way, and how many times faster than the last one its median is."""
    alternative = list(seconds)[-1]
    slow = statistics.median(seconds[alternative])
    rows = [
        {
            "way": name,
            "min_s": round(min(found), 4),
            "median_s": round(statistics.median(found), 4),
            "max_s": round(max(found), 4),
            "times_faster": round(slow / statistics.median(found), 2),
        }
        for name, found in seconds.items()
    ]
    value = {
        "benchmark": benchmark,
        "against": alternative,
        "rows": rows,
        **circumstances(),
    }
    if as_json:
        json.dump(value, sys.stdout)
        return
    print(f"{benchmark}, {value['machine']}, {value['date']}")
    for row in rows:
        print(
            f"  {row['way']:40} {row['median_s']:8.3f} s  ({row['min_s']:.3f} to {row['max_s']:.3f})  "
            f"{row['times_faster']:.2f} times as fast as {alternative}"
        )
