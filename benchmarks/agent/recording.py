"""Writes docs/results/agent.md from the kept answers.

python benchmarks/agent/recording.py ROWS [--out docs/results/agent.md]

``ROWS`` is the file that ``python benchmarks/agent --rows ROWS`` keeps.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from summing import summary, texts

from unweave.record.environment import environment

HEAD = """# How well the agent answers

{date}, commit {commit}, {machine}. `python benchmarks/agent --seeds {seeds}`: {questions} questions a seed on small
networks with planted answers ([how they are made](../../benchmarks/agent/planted.py)), 6 of them with nothing to
find. Seeds from 2000 on were kept aside: those below have been looked at while the planner was built.

Each run is a computation: an edit on a network of six matrices of eight rank-one pieces, measured on text drawn for
the run's seed. Questions are of 48 pieces, of 60 settings (six sites by ten factors), of seven ways of removing a
label with the same text to learn from, or of two of them. The answer is known from the network's construction and its
exact transition probabilities. `listed` tries candidates as they are listed, `random` in a random order; both
confirm, check null and control and are judged as `builtin` is, and stop as soon as the question allows. All have the
same budget, {budget} runs a question; runs counts screening, confirmation, null and control.

A false discovery is something found where there is nothing; a wrong claim is, where there is something, another thing
or the other direction.

Bars: right 80 %, false discoveries at most 1 of 6, fewer runs than both others.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results/agent.md"))
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.rows.read_text(encoding="utf-8").splitlines()]
    own, lab = [row for row in rows if not row["lab"]], [row for row in rows if row["lab"]]
    known = {(row["commit"], row["code"], row["budget"]) for row in rows}
    if len(known) != 1:
        sys.exit(f"{given.rows} mixes answers of {len(known)} kinds of code or budget: record those of one")
    ((commit, _, budget),) = known
    made = environment()
    seeds = sorted({row["seed"] for row in own})
    head = HEAD.format(
        date=f"{datetime.now(UTC):%-d %B %Y}",
        commit=commit[:7],
        machine=f"{platform.system()}, {platform.machine()}, {made['cpus']} cores beside other work",
        seeds=" ".join(map(str, seeds)),
        questions=len({row["number"] for row in own}),
        budget=budget,
    )
    parts = [head, _table([row for row in summary(own) if row["kind"] == "all"], "planner")]
    parts.append(f"Over {len(seeds)} seeds; in brackets the lowest and the highest seed.\n")
    parts.append("## By kind of question\n\n" + _kinds(summary(own)))
    parts.append("## What went wrong\n\n" + _wrong(own))
    if lab:
        parts.append("## Through the lab\n\n" + _through(lab, own))
    given.out.write_text("\n".join(parts), encoding="utf-8")


def _table(found: Sequence[dict[str, Any]], what: str) -> str:
    lines = [f"| {what} | right | false discoveries | wrong claims | runs a question |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {row[what]} | {' | '.join(texts(row))} |" for row in found]
    return "\n".join(lines) + "\n"


def _kinds(found: Sequence[dict[str, Any]]) -> str:
    planners = list(dict.fromkeys(row["planner"] for row in found))
    cells = {(row["kind"], row["planner"]): row for row in found if row["kind"] != "all"}
    lines = [
        "| question | number | " + " | ".join(f"{name}, right | runs" for name in planners) + " |",
        "|---|---:|" + "---:|---:|" * len(planners),
    ]
    for kind in dict.fromkeys(kind for kind, _ in cells):
        shown = [f"{cells[kind, name]['right']:.0%} | {cells[kind, name]['runs']:.1f}" for name in planners]
        lines.append(f"| {kind} | {cells[kind, planners[0]]['questions']} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def _wrong(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["| seed | question | planner | answer | truth |", "|---:|---|---|---|---|"]
    for row in rows:
        if not row["right"] and row["planner"] == "builtin":
            answer = row["answer"] + (f": `{row['arm']}`" if row["arm"] else "")
            lines.append(f"| {row['seed']} | {row['kind']} | {row['planner']} | {answer} | {row['truth']} |")
    return "\n".join(lines) + "\n"


def _through(lab: Sequence[dict[str, Any]], own: Sequence[dict[str, Any]]) -> str:
    known = {(row["seed"], row["number"], row["planner"]): row for row in own}
    same = 0
    for row in lab:
        other = known.get((row["seed"], row["number"], row["planner"]))
        same += other is not None and all(other[name] == row[name] for name in ("answer", "arm", "runs"))
    claims, held = sum(row["claims"] for row in lab), sum(row["held"] for row in lab)
    valid = sum(row["report"] == "valid" for row in lab)
    table = _table([row for row in summary(lab) if row["kind"] == "all"], "planner")
    return (
        f"The table above is of sessions in one process. Through the queue, the workers and the auditor of a real lab "
        f"(`--lab`), seeds {', '.join(map(str, sorted({row['seed'] for row in lab})))}:\n\n{table}\n"
        f"The same answer, arm and number of runs as in one process in {same} of {len(lab)} questions; {valid} of "
        f"{len(lab)} reports valid by their audit, {held} of {claims} claims held, "
        f"{sum(row['runs'] for row in lab):,} runs audited; the critic had grave objections to "
        f"{sum(row['objections'] > 0 for row in lab)}.\n"
    )


if __name__ == "__main__":
    main()
