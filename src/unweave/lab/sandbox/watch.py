"""Running a command in the sandbox and watching it from outside until it ends or passes a limit."""

from __future__ import annotations

import functools
import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from unweave.lab.sandbox.limits import GIGABYTE, MEGABYTE, Limits, hold

LOOK_SECONDS = 0.05
COUNT_SECONDS = 0.25
"""Counting the files of a workspace takes longer than counting processes."""


@dataclass(frozen=True)
class Ended:
    """How a sandboxed command ended: its exit code, or the limit that ended it, and what it printed."""

    code: int
    reason: str | None
    output: bytes
    seconds: float
    cpu_seconds: float
    memory_gb: float
    """The most that its processes held together."""


class Sandboxed:
    """One running command. ``poll`` looks at it once and never waits; ``kill`` ends all of it at once."""

    def __init__(self, command: Sequence[str], workspace: Path, limits: Limits) -> None:
        self.limits = limits
        self.workspace = Path(workspace)
        self.began = time.monotonic()
        self.output = bytearray()
        self.printed = 0
        self.memory = self.cpu = 0.0
        self.reason: str | None = None
        self.counted = 0.0
        # Its own session, so that no signal of a terminal reaches one side only; and no descriptor but its output.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            close_fds=True,
            env={},
            start_new_session=True,
            preexec_fn=functools.partial(hold, limits),
        )
        assert self.process.stdout is not None  # noqa: S101  # for the type checker: a pipe was asked for
        self.pipe = self.process.stdout
        os.set_blocking(self.pipe.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.pipe, selectors.EVENT_READ)

    def poll(self) -> Ended | None:
        """How it ended, or None while it runs within its limits."""
        self._drain()
        if self.process.poll() is None:
            self.reason = self.reason or self._passed()
            if self.reason is None:
                return None
            self.kill()
        # Whatever held the pipe open is gone: the namespace ends with its first process.
        self._drain()
        self.selector.close()
        self.pipe.close()
        spent = time.monotonic() - self.began
        return Ended(self.process.wait(), self.reason, bytes(self.output), spent, self.cpu, self.memory)

    def kill(self, reason: str | None = None) -> None:
        """Ends every process of it: the kernel kills all that is left in the namespace with its first process."""
        self.reason = self.reason or reason
        tree = self._tree()
        for process in reversed(tree):
            with suppress(psutil.Error):
                process.kill()
        self.process.kill()
        self.process.wait()
        psutil.wait_procs(tree[1:], timeout=10)

    def _drain(self) -> None:
        kept = int(self.limits.output_mb * MEGABYTE)
        # A flood must not keep this loop from looking at the other limits.
        for _ in range(64):
            try:
                part = self.pipe.read(1 << 16)
            except (BlockingIOError, ValueError):
                return
            if not part:
                return
            self.printed += len(part)
            self.output += part[: max(0, kept - len(self.output))]

    def _tree(self) -> list[psutil.Process]:
        try:
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.Error:
            return []

    def _passed(self) -> str | None:
        limits = self.limits
        spent = time.monotonic() - self.began
        if spent > limits.seconds:
            return f"it ran for more than {limits.seconds:g} seconds"
        if self.printed > 10 * limits.output_mb * MEGABYTE:
            return f"it printed more than {10 * limits.output_mb:g} MB"
        tree, memory, cpu, running = self._tree(), 0.0, 0.0, 0
        if len(tree) > limits.processes:
            return f"it had {len(tree)} processes, and {limits.processes} is the most"
        for process in tree:
            try:
                with process.oneshot():
                    memory += process.memory_info().rss / GIGABYTE
                    times = process.cpu_times()
                    cpu += times.user + times.system
                    running += process.num_threads()
            except psutil.Error:
                continue
        self.memory, self.cpu = max(self.memory, memory), max(self.cpu, cpu)
        if memory > limits.memory_gb:
            return f"it used {memory:.2f} GB of memory, and {limits.memory_gb:g} GB is the most"
        if running > limits.processes + limits.threads:
            return f"it had {running} threads, and {limits.processes} is the most"
        if spent - self.counted > COUNT_SECONDS:
            self.counted = spent
            return self._filled()
        return None

    def _filled(self) -> str | None:
        size = count = 0
        stack = [str(self.workspace)]
        while stack:
            try:
                entries = list(os.scandir(stack.pop()))
            except OSError:
                continue
            for entry in entries:
                count += 1
                if count > self.limits.files:
                    return f"it made more than {self.limits.files:,} files"
                try:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    else:
                        facts = entry.stat(follow_symlinks=False)
                        # Blocks, not length: a sparse file takes no room. Its length counts when it is collected.
                        size += getattr(facts, "st_blocks", facts.st_size // 512 + 1) * 512
                except OSError:
                    continue
        if size > self.limits.disk_mb * MEGABYTE:
            return f"it wrote {size / MEGABYTE:.0f} MB, and {self.limits.disk_mb:g} MB is the most"
        return None
