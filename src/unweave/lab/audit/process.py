"""The audit of a run in a process of its own, which shares nothing with the one that made the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError, first_line
from unweave.base.secrets import scrubbed
from unweave.lab.audit.finding import Audit, Ledger
from unweave.record.evidence import cited_runs

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT")
"""The environment variables that the auditor gets; none of them holds a key."""
_SECONDS = 600
# The package is found where this one lies, whatever the caller's search path: -I leaves out the working folder, the
# environment and the user's own packages, none of which the maker of a run may use to put code into the auditor.
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); import unweave.lab.audit; del sys.path[0]; "
    "from unweave.lab.audit.__main__ import main; sys.exit(main())"
)


def audit(lab: Lab, run_id: str) -> Audit:
    """Audits a run of the lab, and marks a finished one that is invalid in the index.

    The auditor is given what the lab keeps outside the run's folder: the digests of seals as they were first seen, so
    that one that was written anew is noticed; the runs found invalid; and the study and config that were queued.
    Raises ``UnweaveError`` where there is no such run, and where the auditor could not do its work.
    """
    return audit_several(lab, [run_id])[0]


def audit_several(lab: Lab, run_ids: Sequence[str]) -> list[Audit]:
    """Audits several runs in one process, as ``audit`` does each."""
    if not run_ids:
        return []
    for run_id in run_ids:
        lab.runs.update(run_id)
    runs = [lab.runs.open(run_id) for run_id in run_ids]
    found = _audits([run.path for run in runs], lab.root, [_ledger(lab, run_id) for run_id in run_ids])
    for run, one in zip(runs, found, strict=True):
        if one.verdict == "invalid" and run.status == "finished":
            lab.runs.invalidate(run.id, "; ".join(one.reasons)[:2000])
    return found


def audit_process(folder: Path, root: Path, ledger: Ledger | None = None) -> Audit:
    """The audit of one folder by a process with an allow-list of environment variables."""
    return _audits([folder], root, [ledger or Ledger()])[0]


def _audits(folders: Sequence[Path], root: Path, ledgers: Sequence[Ledger]) -> list[Audit]:
    package = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-I", "-B", "-c", _START, str(package), *(str(folder.resolve()) for folder in folders)]
    command += ["--root", str(Path(root).resolve()), "--json", "--ledger"]
    names = ", ".join(folder.name for folder in folders)
    try:
        done = subprocess.run(
            command,
            input=json.dumps([ledger.to_json() for ledger in ledgers]),
            capture_output=True,
            encoding="utf-8",
            env=auditor_environment(),
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise UnweaveError(f"the audit of {names} did not end within {_SECONDS} s: look at the run's size") from error
    except OSError as error:
        raise UnweaveError(f"the auditor could not be started: {error.strerror}") from error
    try:
        # The auditor knows what keys look like; this process knows those of its own environment too.
        told = json.loads(scrubbed(done.stdout))
        return [Audit.from_json(one) for one in (told if isinstance(told, list) else [told])]
    except (ValueError, KeyError, TypeError) as error:
        last = scrubbed(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else first_line(error))
        raise UnweaveError(f"the auditor of {names} failed ({last}): run `python -m unweave.lab.audit`") from error


def auditor_environment() -> dict[str, str]:
    """The part of this process's environment that the auditor gets."""
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}


def _ledger(lab: Lab, run_id: str) -> Ledger:
    digests = {name: lab.runs.sealed(name) for name in (run_id, *cited_runs(lab.runs.open(run_id)))}
    invalid = lab.database.read("SELECT run, reason FROM invalid WHERE run != ?", (run_id,))
    return Ledger(
        {name: digest for name, digest in digests.items() if digest},
        {row["run"]: row["reason"] for row in invalid},
        _submitted(lab, run_id),
    )


def _submitted(lab: Lab, run_id: str) -> dict[str, object]:
    """What the run was queued with, from the queue's own record of it."""
    rows = lab.database.read("SELECT study, spec FROM jobs WHERE id = ?", (run_id,))
    if not rows:
        return {}
    spec = json.loads(rows[0]["spec"])
    about = {key: value for key, value in spec.get("about", {}).items() if key in ("plan", "seeds", "thread")}
    return {"study": rows[0]["study"], "config": spec["config"], **about}
