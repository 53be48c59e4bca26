"""A job in the sandbox: what a worker does in the place of calling the study itself."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import NothingFound, UnweaveError
from unweave.lab.sandbox.approval import Approvals
from unweave.lab.sandbox.study import SandboxedStudy, SandboxResult, limits_of
from unweave.lab.sandbox.watch import LOOK_SECONDS
from unweave.record.run import RunCancelled

if TYPE_CHECKING:
    from collections.abc import Collection

    from unweave.base.needs import Needs
    from unweave.record.run import Run

GRACE_SECONDS = 5.0


def run_sandboxed(run: Run, source: Path, needs: Needs, given: Collection[str], home: Path) -> None:
    """Runs the study of ``source`` for ``run`` behind walls, and ends as the study itself would: by what it raises.

    ``given`` are the names among ``needs`` that are limits. ``home`` is the lab's own folder. The bytes that run are
    those recorded when the run was made; where somebody proposed them, a person must have allowed them.
    """
    source, home = Path(source), Path(home)
    sha256 = str((run.state().get("source") or {}).get("sha256"))
    Approvals(home).check(sha256)
    study = SandboxedStudy(
        run.path,
        source,
        sha256,
        run.study,
        run.config,
        limits_of(needs, given),
        home,
        hidden=(run.path.parent, home),
        progress=run.progress,
    )
    asked: float | None = None
    try:
        while (result := study.poll()) is None:
            if asked is None and run.cancelled():
                asked = time.monotonic()
                study.cancel()
            elif asked is not None and time.monotonic() - asked > GRACE_SECONDS:
                study.kill("cancelled")
            study.inside.selector.select(LOOK_SECONDS)
    except BaseException:
        study.kill("stopped")
        with suppress(UnweaveError):
            study.poll()
        raise
    _conclude(run, result)


def _conclude(run: Run, result: SandboxResult) -> None:
    for line in result.left_out:
        print(f"left out: {line}")
    run.stop_if_cancelled()
    if result.status == "cancelled":
        raise RunCancelled(f"run {run.id!r} stopped as if it had been cancelled, and nobody had asked it to")
    if result.status == "failed":
        raise UnweaveError(result.note or "the study failed in the sandbox")
    if result.note is not None:
        raise NothingFound(result.note)
