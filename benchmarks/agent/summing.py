"""What the answers come to: by planner and kind of question, with the spread over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each planner, and one for each of its kinds of questions."""
    found = []
    for planner in dict.fromkeys(row["planner"] for row in rows):
        mine = [row for row in rows if row["planner"] == planner]
        for kind in ("all", *sorted({row["kind"] for row in mine})):
            these = [row for row in mine if kind in ("all", row["kind"])]
            by_seed = [[row for row in these if row["seed"] == seed] for seed in sorted({row["seed"] for row in these})]
            shares = [statistics.mean(row["right"] for row in group) for group in by_seed]
            runs = [statistics.mean(row["runs"] for row in group) for group in by_seed]
            false = [sum(row["false discovery"] for row in group) for group in by_seed]
            found.append(
                {
                    "planner": planner,
                    "kind": kind,
                    "seeds": len(by_seed),
                    "questions": len(these),
                    "right": statistics.mean(row["right"] for row in these),
                    "lowest seed": min(shares),
                    "highest seed": max(shares),
                    "false discoveries": sum(false),
                    "most in a seed": max(false),
                    "of": sum(not row["effect"] for row in these),
                    "runs": statistics.mean(row["runs"] for row in these),
                    "fewest": min(runs),
                    "most": max(runs),
                }
            )
    return found


def told(found: Sequence[dict[str, Any]]) -> str:
    """The summary as lines of text."""
    lines = [f"{'planner':10} {'kind':16} {'right':>22} {'false discoveries':>26} {'runs a question':>24}"]
    for row in found:
        share, false, runs = texts(row)
        lines.append(f"{row['planner']:10} {row['kind']:16} {share:>22} {false:>26} {runs:>24}")
    return "\n".join(lines)


def texts(row: dict[str, Any]) -> tuple[str, str, str]:
    """Share right, false discoveries and runs of a row, each with its range over seeds."""
    several = row["seeds"] > 1
    share = f"{row['right']:.0%}" + (f" ({row['lowest seed']:.0%} to {row['highest seed']:.0%})" if several else "")
    worst = f", at most {row['most in a seed']} a seed" if several else ""
    false = f"{row['false discoveries']} of {row['of']}{worst}" if row["of"] else ""
    runs = f"{row['runs']:.1f}" + (f" ({row['fewest']:.1f} to {row['most']:.1f})" if several else "")
    return share, false, runs
