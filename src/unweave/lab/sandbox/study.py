"""One study in the sandbox, seen from outside: started, looked at, ended, and what it wrote taken into its run."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.base.files import folder_inside, open_inside
from unweave.base.progress import Progress, Silent
from unweave.base.terminal import printable
from unweave.lab.sandbox import child
from unweave.lab.sandbox.bubblewrap import package_parent, python_argv, unavailable, walls
from unweave.lab.sandbox.collect import SANDBOXES, NotTaken, collect, hand_in, remove
from unweave.lab.sandbox.limits import Limits
from unweave.lab.sandbox.watch import Ended, Sandboxed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from unweave.base.needs import Needs

_START = "import sys; sys.path.insert(0, sys.argv[1]); from unweave.lab.sandbox.child import main; sys.exit(main())"
MOST_SECONDS = 24 * 3600.0
_PROGRESS_BYTES = 4096
_MOST_STEPS = 1 << 53
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
    be seen from inside, the lab's folder; ``readable`` is shown read-only. What ``run`` holds already is handed in,
    and nothing is written into it before the study has ended. ``progress`` hears of the study's own.
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
        progress: Progress | None = None,
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
        self.progress: Progress = progress or Silent()
        self._told: tuple[int, int, str] | None = None
        folder = Path(home, SANDBOXES)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.workspace = Path(tempfile.mkdtemp(prefix=f"{self.run.name}.", dir=folder))
        try:
            (self.workspace / child.CODE).mkdir()
            (self.workspace / child.CODE / Path(source).name).write_bytes(content)
            hand_in(self.run, self.workspace / child.KEPT)
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
    def made(self) -> str:
        """The folder below ``workspace`` that the study writes its run in. It may have made a link of it."""
        return f"{child.MADE}/{self.run.name}"

    def poll(self) -> SandboxResult | None:
        """How it ended, with what it wrote taken over; None while it runs."""
        ended = self.inside.poll()
        if ended is None:
            self._relay()
            return None
        result = self._result(ended)
        # Not after a disk too full to take it: then the next attempt does.
        remove(self.workspace)
        return result

    def cancel(self) -> None:
        """Asks the study to stop at its next look."""
        # Made from the workspace down and only where nothing has the name: a link would be written through.
        with suppress(OSError), folder_inside(self.workspace, self.made) as folder:
            os.close(os.open("cancel", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder))

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
            left_out = collect(self.workspace, self.run, self.limits)
        except NotTaken as refusal:
            status, note = "failed", f"nothing that it wrote was taken: {refusal}"
        print(log, end="", flush=True)
        return SandboxResult(status, note, tuple(left_out), ended)

    def _relay(self) -> None:
        """Shows the study's progress, as far as it is one: numbers and a short text."""
        try:
            with open_inside(self.workspace, f"{self.made}/{child.PROGRESS}") as source:
                facts = json.loads(source.read(_PROGRESS_BYTES))
            done, total = int(facts["done"]), int(facts["total"])
            told = done, total, printable(str(facts["note"])[:200])
        except (OSError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
            return
        if told != self._told and min(done, total) >= 0 and max(done, total) <= _MOST_STEPS:
            self._told = told
            self.progress.update(*told)


def limits_of(needs: Needs, given: Collection[str]) -> Limits:
    """The sandbox's limits for a job: what is in ``given`` was asked for, and is one.

    An estimate is none, but makes the usual limit wider where it is more than that.
    """
    usual = Limits()

    def limit(name: str, usually: float, most: float = math.inf) -> float:
        amount = min(getattr(needs, name), most)
        if name in given and amount > 0:
            return amount
        return max(usually, amount) if math.isfinite(amount) else usually

    disk_mb = 1000 * limit("disk_gb", usual.disk_mb / 1000)
    return Limits(
        seconds=limit("seconds", usual.seconds, MOST_SECONDS),
        threads=max(1, round(needs.threads)),
        memory_gb=limit("memory_gb", usual.memory_gb),
        disk_mb=disk_mb,
        file_mb=min(usual.file_mb, disk_mb),
    )
