"""What this machine has for jobs: threads, memory, disk, and the memory of a GPU when there is one."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

from unweave.base.needs import Needs

GB = 1e9
KEPT_MEMORY = 0.9
"""Share of the memory that jobs may fill; the rest is the system's and the scheduler's."""


def machine(folder: Path, gpu_gb: float = 0.0) -> Needs:
    """What jobs may use of this machine altogether, with run folders on the disk of ``folder``."""
    return Needs(threads(), KEPT_MEMORY * memory() / GB, gpu_gb, shutil.disk_usage(folder).free / GB)


@cache
def threads() -> float:
    """CPU threads that this process may use, by affinity and by the quota of its container."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for group in _control_groups():
        quota, _, period = _setting(group, "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit():
            count = min(count, int(quota) / int(period))
    return max(count, 1.0)


@cache
def memory() -> float:
    """Bytes of memory that this process and its children may fill."""
    import psutil

    limits = [_setting(group, "memory.max") for group in _control_groups()]
    return min([float(psutil.virtual_memory().total), *(float(limit) for limit in limits if limit.isdigit())])


def memory_left() -> float:
    """Bytes of memory that can still be filled."""
    import psutil

    left = float(psutil.virtual_memory().available)
    for group in _control_groups():
        limit, used = _setting(group, "memory.max"), _setting(group, "memory.current")
        if limit.isdigit() and used.isdigit():
            # Files that were read count as used there, and are given up when memory runs short.
            rows = (row.split() for row in _setting(group, "memory.stat").splitlines())
            files = next((int(row[1]) for row in rows if row[0] == "file"), 0)
            left = min(left, float(limit) - float(used) + files)
    return left


def folder_bytes(folder: Path) -> int:
    """Bytes of the files below ``folder``; one that vanishes meanwhile counts nothing."""
    total = 0
    pending = [str(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total


@cache
def _control_groups() -> tuple[Path, ...]:
    """This process's control groups (version 2), the innermost first; each may limit what is in it."""
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:
        return ()
    inner = root / own
    return tuple(path for path in (inner, *inner.parents) if path.is_relative_to(root))


def _setting(group: Path, name: str) -> str:
    try:
        return (group / name).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
