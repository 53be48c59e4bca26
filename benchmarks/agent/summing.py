"""What the answers come to: by planner and kind of question, with the spread over seeds."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unweave.record.environment import environment


def made_by() -> dict[str, str]:
    """The code that asks and answers: the commit, and a hash of package and questions, for what is in no commit."""
    made = environment()
    asked = hashlib.sha256(str(made["code"]["tree"]).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        asked.update(path.read_bytes())
    return {"commit": str(made.get("commit")), "code": asked.hexdigest()}


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
            wrong = [sum(row["wrong claim"] for row in group) for group in by_seed]
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
                    "wrong claims": sum(wrong),
                    "most wrong in a seed": max(wrong),
                    "of effects": sum(row["effect"] for row in these),
                    "runs": statistics.mean(row["runs"] for row in these),
                    "fewest": min(runs),
                    "most": max(runs),
                }
            )
    return found


def told(found: Sequence[dict[str, Any]]) -> str:
    """The summary as lines of text."""
    head = ("right", "false discoveries", "wrong claims", "runs a question")
    lines = [f"{'planner':9} {'kind':15} " + " ".join(f"{name:>24}" for name in head)]
    for row in found:
        lines.append(f"{row['planner']:9} {row['kind']:15} " + " ".join(f"{text:>24}" for text in texts(row)))
    return "\n".join(lines)


def texts(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """Share right, false discoveries, wrong claims and runs of a row, each with its range over seeds.

    A false discovery is something found where there is nothing; a wrong claim, where there is something, is another
    thing or the other direction.
    """
    several = row["seeds"] > 1
    share = f"{row['right']:.0%}" + (f" ({row['lowest seed']:.0%} to {row['highest seed']:.0%})" if several else "")
    worst = [f", at most {row[name]} a seed" * several for name in ("most in a seed", "most wrong in a seed")]
    false = f"{row['false discoveries']} of {row['of']}{worst[0]}" if row["of"] else ""
    wrong = f"{row['wrong claims']} of {row['of effects']}{worst[1]}" if row["of effects"] else ""
    runs = f"{row['runs']:.1f}" + (f" ({row['fewest']:.1f} to {row['most']:.1f})" if several else "")
    return share, false, wrong, runs
