"""A worker as its pool sees it: a process, the pipe to it, and the job it has."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import psutil

from unweave.lab.queue.executor import Work
from unweave.lab.queue.processes import GONE, MARK, end_family, end_marked, family, how_it_ended
from unweave.record.environment import this_process

COMMAND = (sys.executable, "-P", "-m", "unweave.lab.queue.worker")
_THREADS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)  # fmt: skip


class WorkerProcess:
    """Starts a worker. ``heard`` is called with its messages from a thread, and with None when its pipe has ended."""

    def __init__(
        self,
        threads: int,
        heard: Callable[[WorkerProcess, dict[str, Any] | None], None],
        home: Path,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.threads = threads
        self.source: str | None = None
        """The content of the user's file that it has loaded, as a hash; it serves no other file after that."""
        self.work: Work | None = None
        self.began = self.worn = False
        self.cpu_before = 0.0
        self.idle_since = time.monotonic()
        self.token = secrets.token_hex(8)
        self.diary = home / "workers" / f"{self.token}.txt"
        self.diary.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What a library says at its start may hold what is no other user's.
        with open(os.open(self.diary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as said:
            self.process = subprocess.Popen(
                [*command, str(home.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=self._environment(),
                # Ctrl-C in a terminal is for the scheduler, which tells its workers.
                start_new_session=True,
            )
        self._orders, self._messages = cast(IO[bytes], self.process.stdin), cast(IO[bytes], self.process.stdout)
        self.identity: Mapping[str, Any] = {**this_process(self.process.pid), "token": self.token}
        threading.Thread(target=self._listen, args=(heard,), name=f"worker {self.process.pid}", daemon=True).start()

    def order(self, **order: Any) -> None:
        """Sends an order; to a dead worker it is lost, as the end of its pipe will say."""
        with contextlib.suppress(OSError, ValueError):
            self._orders.write(json.dumps(order).encode() + b"\n")
            self._orders.flush()

    def begin(self, work: Work) -> None:
        """Orders the work that it was claimed for."""
        self.order(
            do="run",
            job=work.job,
            folder=str(work.folder),
            kind=work.kind,
            threads=work.threads,
            source=work.source,
            start_in=work.start_in,
            used=dict(work.used),
            gpu_gb=work.needs.gpu_gb if "gpu_gb" in work.given else 0.0,
            lab=str(work.lab) if work.lab else None,
            sandboxed=work.sandboxed,
            needs=work.needs.to_json(),
            given=work.given,
        )

    def alive(self) -> bool:
        """Whether its process runs, whatever its pipe says."""
        return self.process.poll() is None

    def family(self) -> list[psutil.Process]:
        """Its process and everything below it."""
        return family(self.process.pid)

    def suspend(self) -> None:
        """Stops all its processes; repeated until no new one appears."""
        stopped: set[int] = set()
        while fresh := [process for process in self.family() if process.pid not in stopped]:
            for process in fresh:
                stopped.add(process.pid)
                with contextlib.suppress(*GONE):
                    process.suspend()

    def unsuspend(self) -> None:
        """Lets all its processes go on, the children first."""
        for process in reversed(self.family()):
            with contextlib.suppress(*GONE):
                process.resume()

    def kill(self) -> None:
        """Ends all its processes; returns when they are gone."""
        end_family(self.process.pid, self.token)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)

    def dismiss(self) -> None:
        """Closes the pipe of a worker that has nothing to do, which ends it."""
        with contextlib.suppress(OSError):
            self._orders.close()

    def bury(self) -> str:
        """After its death: ends what it left behind, and says how it died."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        end_marked(self.token)
        for pipe in (self._orders, self._messages):
            with contextlib.suppress(OSError):
                pipe.close()
        how = how_it_ended(self.process.returncode)
        with contextlib.suppress(OSError):
            said = self.diary.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if said and not self.began:
                how += f": {said[-1]}"
            self.diary.unlink()
        return how

    def _listen(self, heard: Callable[[WorkerProcess, dict[str, Any] | None], None]) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._messages:
                with contextlib.suppress(ValueError):
                    heard(self, json.loads(line))
        heard(self, None)

    def _environment(self) -> dict[str, str]:
        variables = dict(os.environ) | dict.fromkeys(_THREADS, str(self.threads)) | {MARK: self.token}
        package = str(Path(__file__).resolve().parents[3])
        paths = [path for path in variables.get("PYTHONPATH", "").split(os.pathsep) if path and path != package]
        variables["PYTHONPATH"] = os.pathsep.join([package, *paths])
        variables["PYTHONUNBUFFERED"] = "1"
        return variables
