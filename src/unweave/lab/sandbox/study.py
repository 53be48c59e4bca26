"""One study in the sandbox, seen from outside: started, looked at, ended, and what it wrote taken into its run."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.base.files import read_inside, write_json
from unweave.lab.sandbox import child
from unweave.lab.sandbox.bubblewrap import package_parent, python_argv, unavailable, walls
from unweave.lab.sandbox.collect import collect
from unweave.lab.sandbox.limits import Limits
from unweave.lab.sandbox.watch import Ended, Sandboxed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unweave.base.needs import Needs

_START = "import sys; sys.path.insert(0, sys.argv[1]); from unweave.lab.sandbox.child import main; sys.exit(main())"
_STATUS = {child.FINISHED: "finished", child.NOTHING: "finished", child.CANCELLED: "cancelled"}


@dataclass(frozen=True)
class SandboxResult:
    """How a sandboxed study ended: the run's status, one line on why, and the files of it that were left out.

    What it printed is printed on, as if it had been called here: a worker's output is its run's log.
    """

    status: str
    note: str | None
    left_out: tuple[str, ...]
    ended: Ended


class SandboxedStudy:
    """Starts one registered study of ``source`` for the run folder ``run``; raises ``UnweaveError`` without a sandbox.

    ``sha256`` is the hash that was allowed: the bytes that run are those that were hashed. ``hidden`` is what must not
    be seen from inside, the lab's folder; ``readable`` is shown read-only. Nothing is written into ``run`` before the
    study has ended, but its progress.
    """

    def __init__(
        self,
        run: Path,
        source: Path,
        sha256: str,
        study: str,
        config: Mapping[str, Any],
        limits: Limits,
        home: Path,
        hidden: Sequence[Path] = (),
        readable: Sequence[Path] = (),
    ) -> None:
        reason = unavailable()
        if reason is not None:
            raise UnweaveError(
                f"this code may only run in a sandbox, and there is none: {reason}. Read the code, and run it as your "
                "own with --force-unsandboxed if you trust it"
            )
        content = Path(source).read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise UnweaveError(
                f"{Path(source).name} has changed since it was allowed (now {found[:12]}, allowed {sha256[:12]}): read "
                "it again, and allow it anew"
            )
        self.run = Path(run)
        self.limits = limits
        folder = Path(home, "sandboxes")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.workspace = Path(tempfile.mkdtemp(prefix=f"{self.run.name}.", dir=folder))
        try:
            (self.workspace / child.CODE).mkdir()
            (self.workspace / child.CODE / Path(source).name).write_bytes(content)
            job: dict[str, Any] = {"run": self.run.name, "study": study, "config": dict(config)}
            job |= {"source": Path(source).name, "processes": limits.processes}
            (self.workspace / child.JOB).write_text(json.dumps(job), encoding="utf-8")
            self.argv = walls(
                python_argv("-c", _START, str(package_parent())), self.workspace, hidden, readable, limits.threads
            )
            self.inside = Sandboxed(self.argv, self.workspace, limits)
        except BaseException:
            shutil.rmtree(self.workspace, ignore_errors=True)
            raise

    @property
    def made(self) -> Path:
        """What the study has written so far, not yet looked at."""
        return self.workspace / child.MADE / self.run.name

    def poll(self) -> SandboxResult | None:
        """How it ended, with what it wrote taken over; None while it runs."""
        ended = self.inside.poll()
        if ended is None:
            self._relay()
            return None
        try:
            return self._result(ended)
        finally:
            shutil.rmtree(self.workspace, ignore_errors=True)

    def cancel(self) -> None:
        """Asks the study to stop at its next look."""
        with suppress(OSError):
            (self.made / "cancel").touch()

    def kill(self, reason: str) -> None:
        """Ends it at once; the next ``poll`` says how."""
        self.inside.kill(reason)

    def _result(self, ended: Ended) -> SandboxResult:
        log = ended.output.decode("utf-8", "replace")
        lines = [line for line in log.splitlines() if line.strip()]
        left_out: list[str] = []
        status, note = _STATUS.get(ended.code, "failed"), lines[-1][:300] if lines else f"exit code {ended.code}"
        if ended.reason is not None:
            status, note = "failed", f"ended by the sandbox: {ended.reason}"
        elif ended.code == child.FINISHED:
            note = None
        try:
            # What it finished before it was ended is kept too.
            left_out = collect(self.made, self.run, self.limits) if self.made.is_dir() else []
        except UnweaveError as refusal:
            status, note = "failed", f"nothing that it wrote was taken: {refusal}"
        print(log, end="", flush=True)
        return SandboxResult(status, note, tuple(left_out), ended)

    def _relay(self) -> None:
        """Shows the study's progress, as far as it is one: numbers and a short text."""
        try:
            facts = json.loads(read_inside(self.made, child.PROGRESS)[:4096])
            done, total = int(facts["done"]), int(facts["total"])
            write_json(self.run / child.PROGRESS, {"done": done, "total": total, "note": str(facts["note"])[:200]})
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return


def limits_of(needs: Needs) -> Limits:
    """The sandbox's limits for what a job said that it needs."""
    usual = Limits()
    return Limits(
        seconds=min(needs.seconds, 24 * 3600.0) if needs.seconds > 0 else usual.seconds,
        threads=max(1, round(needs.threads)),
        memory_gb=needs.memory_gb or usual.memory_gb,
        disk_mb=1024 * needs.disk_gb or usual.disk_mb,
        file_mb=min(usual.file_mb, 1024 * needs.disk_gb or usual.file_mb),
    )
