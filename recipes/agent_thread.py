"""Writes agents' threads to docs/results: plan, runs, verdicts and claims, each claim with the auditor's verdict.

python recipes/agent_thread.py --runs runs THREAD ... --out docs/results/agent-spanish.md
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unweave.lab import Lab
from unweave.lab.audit import audit
from unweave.lab.threads.thread import Thread
from unweave.record.run import Run
from unweave.record.table import Table

TABLES = ("predictions", "arms", "verdicts", "comparisons", "tried", "critic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("threads", nargs="+", help="sessions on one question, in the order in which it was asked")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with Lab(arguments.runs) as lab:
        lines = [f"# {lab.threads.get(arguments.threads[0]).question}\n"]
        for number, name in enumerate(arguments.threads, 1):
            lines += _lines(lab, lab.threads.get(name), number)
        arguments.out.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(arguments.out)


def _lines(lab: Lab, thread: Thread, number: int) -> Iterator[str]:
    (report,) = (lab.runs.open(job.run) for job in lab.queue.list(thread=thread.id) if job.kind == "agent")
    made = report.state()["environment"]
    changed = ", with local changes" if made.get("modified") else ""
    machine = f"{str(made.get('platform')).split('-')[0]}, {made.get('cpus')} CPUs"
    yield f"## Session {number}\n"
    when, commit = report.state()["created"][:10], f"{str(made['commit'])[:7]}{changed}"
    yield f"Asked of `unweave agent`, {when}, commit {commit}, {machine}.\n"
    for conclusion in thread.conclusions:
        yield f"**{conclusion.text}**\n"
    found = audit(lab, report.id)
    yield f"Thread {thread.state}; the auditor calls its report {found.verdict}.\n"
    yield "### Runs\n\n" + Table.from_records("runs", list(_runs(lab, thread, report))).to_markdown()
    for name in TABLES:
        if name in report.tables() and (table := report.load_table(name)).rows:
            yield f"### {name.capitalize()}\n\n{table.to_markdown()}"
    claims = [{"claim": one.claim.sentence, "audit": one.verdict} for one in found.claims]
    yield "### Claims, recomputed by the auditor\n\n" + Table.from_records("claims", claims).to_markdown()


def _runs(lab: Lab, thread: Thread, report: Run) -> Iterator[dict[str, Any]]:
    for event in thread.runs:
        run = lab.runs.open(event.run)
        if run.id == report.id:
            continue
        state, plan = run.state(), run.state().get("plan") or {}
        yield {
            "run": run.id.removeprefix(f"{report.id}."),
            "arm": plan.get("arm"),
            "role": plan.get("role"),
            "stage": plan.get("stage"),
            "seeds": ", ".join(map(str, plan.get("seeds", []))),
            "started": (state.get("started") or state["created"])[11:19],
            "ended": str(state.get("finished"))[11:19],
            "status": run.status,
            "audit": audit(lab, run.id).verdict,
        }


if __name__ == "__main__":
    main()
