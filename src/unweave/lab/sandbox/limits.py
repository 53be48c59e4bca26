"""What code in the sandbox may use, and the limits that the system itself holds it to."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from unweave.base.errors import UnweaveError

# As in the queue, whose needs these limits come from.
GIGABYTE = 1_000_000_000
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Limits of one sandbox. All are of its whole process tree, except ``file_mb``."""

    seconds: float = 600.0
    """Wall time."""
    threads: int = 1
    memory_gb: float = 2.0
    processes: int = 64
    """Processes and threads together."""
    file_mb: float = 512.0
    """Largest single file."""
    disk_mb: float = 1024.0
    """All files of the workspace."""
    files: int = 10_000
    output_mb: float = 4.0
    """What it prints; the rest is dropped, and ten times as much ends it."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise UnweaveError(f"sandbox limit {field.name} is {value!r}: give a finite number above 0")


def hold(limits: Limits) -> None:
    """Holds the calling process, and all that it starts, to what the system can hold it to (POSIX).

    Called between fork and exec. Resident memory, the size of the workspace and the number of its files have no such
    limit and are watched from outside; so are processes where the sandbox is started by root, whom the system exempts.
    """
    import resource

    def both(which: int, value: float) -> None:
        wanted = int(value)
        hard = resource.getrlimit(which)[1]
        wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (wanted, wanted))

    both(resource.RLIMIT_CORE, 0)
    both(resource.RLIMIT_FSIZE, limits.file_mb * MEGABYTE)
    both(resource.RLIMIT_CPU, math.ceil(limits.seconds * max(1, limits.threads)) + 1)
    both(resource.RLIMIT_NOFILE, 1024)
    # Libraries reserve address space that they never touch, so private writable memory is what is limited.
    both(resource.RLIMIT_DATA, limits.memory_gb * GIGABYTE + 512 * MEGABYTE)
