"""How well a planner answers questions whose answers are known, and how many runs it needs.

python benchmarks/agent [--seeds 1000 1001 1002] [--planner builtin listed random] [--direct] [--json]

Twenty questions a seed, six of them with nothing to find. Every planner has the same budget of runs for each question,
the same confirming seeds, the same null and control, and the same rule of judging; only the order in which candidates
are tried, and when it is given up, differs. ``listed`` tries them as listed, ``random`` in a random order.
Development seeds are below 1000; the planner was never tried on those from 1000 on before they were recorded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

KEPT_ASIDE = (1000, 1001, 1002, 1003, 1004)
BUDGET = 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(KEPT_ASIDE), help="seeds of the questions")
    parser.add_argument("--planner", nargs="+", default=["builtin", "listed", "random"])
    parser.add_argument("--kinds", nargs="*", help="only questions of these kinds")
    parser.add_argument("--budget", type=int, default=BUDGET, help="runs for each question")
    parser.add_argument("--direct", action="store_true", help="in this process, without queue and auditor")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="a line for each question")
    given = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    from answering import answer_directly
    from questions import questions

    rows: list[dict[str, Any]] = []
    for seed in given.seeds:
        for question in questions(seed):
            if given.kinds and question.kind not in given.kinds:
                continue
            for name in given.planner:
                started = time.monotonic()
                row = answer_directly(question, name, given.budget)
                row |= {"seed": seed, "planner": name, "seconds": round(time.monotonic() - started, 2)}
                rows.append(row)
                if given.verbose:
                    print(
                        f"{seed} {question.kind:15} {name:8} {'right' if row['right'] else 'WRONG':5} "
                        f"{row['runs']:3} runs {row['answer']} {row['arm']} (truth: {question.truth}); {row['ended']}",
                        file=sys.stderr,
                        flush=True,
                    )
    found = summary(rows)
    print(json.dumps({"summary": found, "rows": rows}) if given.json else told(found))


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a planner, and one for each kind of question."""
    found = []
    for planner in dict.fromkeys(row["planner"] for row in rows):
        mine = [row for row in rows if row["planner"] == planner]
        for kind in ("all", *sorted({row["kind"] for row in mine})):
            these = [row for row in mine if kind in ("all", row["kind"])]
            seeds = sorted({row["seed"] for row in these})
            by_seed = [[row for row in these if row["seed"] == seed] for seed in seeds]
            shares = [statistics.mean(row["right"] for row in group) for group in by_seed]
            runs = [statistics.mean(row["runs"] for row in group) for group in by_seed]
            empty = [row for row in these if not row["effect"]]
            found.append(
                {
                    "planner": planner,
                    "kind": kind,
                    "questions": len(these),
                    "right": statistics.mean(row["right"] for row in these),
                    "lowest seed": min(shares),
                    "highest seed": max(shares),
                    "false discoveries": sum(row["false discovery"] for row in empty),
                    "of": len(empty),
                    "runs": statistics.mean(row["runs"] for row in these),
                    "fewest": min(runs),
                    "most": max(runs),
                }
            )
    return found


def told(found: list[dict[str, Any]]) -> str:
    lines = [f"{'planner':10} {'kind':16} {'right':>22} {'false discoveries':>18} {'runs a question':>24}"]
    for row in found:
        share = f"{row['right']:.0%} ({row['lowest seed']:.0%} to {row['highest seed']:.0%})"
        false = f"{row['false discoveries']} of {row['of']}" if row["of"] else ""
        runs = f"{row['runs']:.1f} ({row['fewest']:.1f} to {row['most']:.1f})"
        lines.append(f"{row['planner']:10} {row['kind']:16} {share:>22} {false:>18} {runs:>24}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
