"""Inside the sandbox: loads one file's study, runs it in the workspace, and says how it ended by its exit code."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from unweave.base.errors import NothingFound, UnweaveError, first_line

JOB = "job.json"
MADE = "made"
CODE = "code"
KEPT = "kept"
"""What earlier attempts of the run finished."""
PROGRESS = "progress.json"
FINISHED, FAILED, NOTHING, CANCELLED, REFUSED = 0, 1, 3, 4, 2


def main(workspace: Path = Path("/sandbox")) -> int:
    """Runs the job that ``workspace/job.json`` describes; the run is written to ``workspace/made/<its id>``."""
    from unweave.record.run import Run, RunCancelled
    from unweave.studies.discover import load_source

    job = json.loads((workspace / JOB).read_text(encoding="utf-8"))
    _hold(job["processes"])
    (workspace / "home").mkdir(exist_ok=True)
    try:
        study = load_source(workspace / CODE / job["source"])[job["study"]]
        config = study.configure(job["config"])
        made = workspace / MADE
        run = Run.create(job["study"], job["config"], made, job["run"], _Told(made / job["run"] / PROGRESS))
        # A run that goes on after a stop finds what it had finished.
        for kept in (workspace / KEPT).iterdir():
            kept.rename(run.path / kept.name)
        with run:
            study.function(config, run=run)
    except NothingFound as nothing:
        print(nothing)
        return NOTHING
    except RunCancelled:
        return CANCELLED
    except UnweaveError as refusal:
        print(refusal)
        return REFUSED
    except Exception as error:
        import traceback

        traceback.print_exc()
        print(f"{type(error).__name__}: {first_line(error)}")
        return FAILED
    return FINISHED


def _hold(processes: int) -> None:
    """Set in here, the system counts this namespace's processes only, and not all that the user runs outside."""
    import resource

    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


class _Told:
    """Progress as a small file that the outside looks at."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told = 0.0

    def update(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if now - self.told < 0.5 and done < total:
            return
        self.told = now
        facts: dict[str, Any] = {"done": done, "total": total, "note": note}
        self.path.write_text(json.dumps(facts), encoding="utf-8")

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
