"""What a job uses, measured by the worker that does it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from unweave.lab.queue.processes import GONE, children, resident
from unweave.lab.queue.resources import GB, folder_bytes

if TYPE_CHECKING:
    from unweave.lab.queue.live import Log

BEAT = 0.1
FAMILY_EVERY = 5
"""Beats between two looks at the child processes."""
SIGN_EVERY = 50
"""Beats between two signs of life, which are the times of the run's log."""


class Meter:
    """Seconds, CPU seconds, and the most memory since ``start``.

    The most memory of this process is the system's own count where it can be started anew (Linux); of its children,
    and elsewhere, the largest of a few samples a second.
    """

    def __init__(self) -> None:
        self.own = psutil.Process()
        self.folder = Path()
        self.earlier: Mapping[str, float] = {}
        self._peak = 0.0
        self._started = 0.0
        self._cpu = 0.0
        self._begun = threading.Event()
        self._log: Log | None = None
        threading.Thread(target=self._beat, name="meter", daemon=True).start()

    def start(self, folder: Path, earlier: Mapping[str, float]) -> None:
        """Begins to measure a job whose files are in ``folder``, and whose ``earlier`` attempts used that."""
        self.folder, self.earlier = folder, earlier
        self._peak = 0.0
        self._started, self._cpu = time.monotonic(), self._cpu_seconds()
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        torch = loaded_torch()
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()

    def used(self) -> dict[str, float]:
        """What was used since ``start``, and by earlier attempts."""
        used = {
            "seconds": round(time.monotonic() - self._started, 3),
            "cpu_seconds": round(self._cpu_seconds() - self._cpu, 3),
            "memory_gb": round(max(self._peak, self._own_peak()), 4),
            "disk_gb": round(folder_bytes(self.folder) / GB, 6),
        }
        gpu = gpu_held()
        return together(self.earlier, used | {"gpu_gb": round(gpu, 4)} if gpu else used)

    def resident_gb(self) -> float:
        """Memory that this process holds now."""
        return self.own.memory_info().rss / GB

    @contextlib.contextmanager
    def watching(self, log: Log) -> Iterator[None]:
        """Holds ``log`` to its limit and samples memory, from a thread."""
        self._log = log
        self._begun.set()
        try:
            yield
        finally:
            self._begun.clear()
            self._log = None

    def _beat(self) -> None:
        count = 0
        while self._begun.wait():
            time.sleep(BEAT)
            log, count = self._log, count + 1
            if log is None:
                continue
            with contextlib.suppress(OSError):
                log.hold_to_limit()
            if count % FAMILY_EVERY == 0:
                self._sample()
            if count % SIGN_EVERY == 0:
                with contextlib.suppress(OSError):
                    os.utime(log.path)

    def _sample(self) -> None:
        with contextlib.suppress(*GONE):
            held = self.resident_gb()
            if children(os.getpid()):
                held += resident(self.own.children(recursive=True)) / GB
            self._peak = max(self._peak, held)

    def _own_peak(self) -> float:
        try:
            lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
            found = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
        except OSError:
            found = None
        return float(found) * 1024 / GB if found else self.resident_gb()

    @staticmethod
    def _cpu_seconds() -> float:
        spent = os.times()
        return spent.user + spent.system + spent.children_user + spent.children_system


def together(earlier: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """The usage of several attempts: times add up, the most of the rest counts."""
    summed = ("seconds", "cpu_seconds")
    return {
        name: round(earlier.get(name, 0.0) + now.get(name, 0.0), 4)
        if name in summed
        else max(earlier.get(name, 0.0), now.get(name, 0.0))
        for name in {**earlier, **now}
    }


def loaded_torch() -> Any:
    """torch where this process has imported it; None while it has not, or while a thread is at it."""
    torch = sys.modules.get("torch")
    return None if getattr(getattr(torch, "__spec__", None), "_initializing", False) else torch


def gpu_held() -> float:
    """The most GPU memory that torch held in this process, in gigabytes; 0 where it used none."""
    torch = loaded_torch()
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0.0
    return max(torch.cuda.max_memory_reserved(index) for index in range(torch.cuda.device_count())) / GB
