"""Writes threads that replicate a paper to docs/results, with date, commit and machine.

python recipes/replication.py --runs runs THREAD ...
"""

from __future__ import annotations

import argparse
from pathlib import Path

from unweave.lab import Lab
from unweave.lab.replication import replication_markdown
from unweave.lab.replication.starting import thread_paper

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("threads", nargs="+", help="threads of the same paper, one a target")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, help="the file (default: docs/results/replication-PAPER.md)")
    arguments = parser.parse_args()
    with Lab(arguments.runs) as lab:
        threads = [lab.threads.get(thread) for thread in arguments.threads]
        paper, _ = thread_paper(threads[0])
        lines = [
            f"# Replication: {paper.title}",
            "",
            f"{paper.authors}, {paper.published}. {' · '.join(paper.sources)}",
            "",
            paper.known,
            "",
            paper.question,
            "",
        ]
        for thread in threads:
            read, settings = thread_paper(thread)
            if read.id != paper.id:
                raise SystemExit(f"thread {thread.id} replicates {read.id}, not {paper.id}")
            told = ", ".join(f"{name}={value}" for name, value in {**read.settings, **settings}.items())
            lines += [f"## {told}", "", f"Thread `{thread.id}`, {thread.changed[:10]}.", ""]
            lines.append(replication_markdown(lab, thread.id).replace("## ", "### "))
    out = arguments.out or RESULTS / f"replication-{paper.id}.md"
    out.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(out)


if __name__ == "__main__":
    main()
