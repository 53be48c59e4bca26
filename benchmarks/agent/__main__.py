"""How well a planner answers questions whose answers are known, and how many runs it needs.

python benchmarks/agent [--seeds 2000 2001] [--planner builtin listed random] [--lab] [--json] [--rows FILE]

Twenty questions a seed, six of them with nothing to find. Every planner has the same budget of runs for each question,
the same confirming seeds, the same null and control, and the same rule of judging; only the order in which candidates
are tried, and when that is given up, differs. ``listed`` tries them as listed, ``random`` in a random order.
``--lab`` sends every run through the queue and the auditor of a real lab; without it the same sessions run in this
process. Seeds below 2000 have been looked at while the planner was built; those from 2000 on are for the record alone.
``--rows`` keeps each answer with the commit and the budget that made it, and refuses to mix several.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unweave.lab.lab import Lab

KEPT_ASIDE = (2000, 2001, 2002, 2003, 2004)
BUDGET = 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(KEPT_ASIDE), help="seeds of the questions")
    parser.add_argument("--planner", nargs="+", default=["builtin", "listed", "random"])
    parser.add_argument("--kinds", nargs="*", help="only questions of these kinds")
    parser.add_argument("--budget", type=int, default=BUDGET, help="runs for each question")
    parser.add_argument("--lab", action="store_true", help="through the queue and the auditor of a lab")
    parser.add_argument("--rows", type=Path, help="a file that keeps each answer; what it has is not asked again")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="a line for each question")
    given = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    from answering import answer_directly, answer_in_lab
    from questions import questions
    from summing import made_by, summary, told

    made = {**made_by(), "budget": given.budget}
    rows = _kept(given.rows, made)
    done = {(row["seed"], row["number"], row["planner"], row["lab"]) for row in rows}
    with _lab(given.lab) as lab:
        for seed in given.seeds:
            for question in questions(seed):
                if given.kinds and question.kind not in given.kinds:
                    continue
                for name in given.planner:
                    if (seed, question.number, name, given.lab) in done:
                        continue
                    started = time.monotonic()
                    if lab is None:
                        row = answer_directly(question, name, given.budget)
                    else:
                        row = answer_in_lab(question, name, given.budget, lab)
                    row |= made | {"seed": seed, "number": question.number, "planner": name, "lab": given.lab}
                    row["seconds"] = round(time.monotonic() - started, 2)
                    rows.append(row)
                    if given.rows:
                        with given.rows.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(row) + "\n")
                    if given.verbose:
                        print(_line(row), file=sys.stderr, flush=True)
    found = summary([row for row in rows if row["lab"] == given.lab and row["seed"] in given.seeds])
    print(json.dumps({"summary": found, "rows": rows}) if given.json else told(found))


def _kept(path: Path | None, made: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers that are there: of this code and this budget, or none of them says how well it answers."""
    if path is None or not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        for name, value in made.items():
            if row.get(name) != value:
                sys.exit(f"{path} has answers of {name} {row.get(name)}, and these would be of {value}: use a new file")
    return rows


@contextmanager
def _lab(wanted: bool) -> Iterator[Lab | None]:
    if not wanted:
        yield None
        return
    from unweave.lab.lab import Lab

    # The runs are made from copies of the file of studies, which finds its neighbours by this.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder) / "runs")
        try:
            yield lab
        finally:
            lab.queue.close()
            lab.close()


def _line(row: dict[str, Any]) -> str:
    verdict = "right" if row["right"] else "WRONG"
    return (
        f"{row['seed']} {row['kind']:15} {row['planner']:8} {verdict:5} {row['runs']:3} runs {row['answer']} "
        f"{row['arm']} (truth: {row['truth']}); {row['ended']}"
    )


if __name__ == "__main__":
    main()
