"""What a running job may use: what was asked for is a limit; what was estimated is one only when the machine runs short."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from unweave.lab.queue.executor import Usage
from unweave.lab.queue.job import Job

SHORT_OF_MEMORY = 0.05
"""Share of the machine's memory: when less is left, the job that is furthest above its estimate is stopped."""
SHORT_OF_DISK_GB = 0.5


@dataclass(frozen=True)
class Spent:
    """A running job with what it uses now and the seconds it has run, without those in which it was suspended."""

    job: Job
    usage: Usage
    seconds: float


def broken_limit(spent: Spent) -> str | None:
    """The note of a job that has passed a limit it was given; None while it keeps to them."""
    needs, used = spent.job.needs, spent.usage
    amounts = {
        "memory_gb": (used.memory_gb, "GB of memory"),
        "disk_gb": (used.disk_gb, "GB of disk"),
        "gpu_gb": (used.gpu_gb, "GB of GPU memory"),
        "seconds": (spent.seconds, "seconds"),
    }
    for name, (amount, unit) in amounts.items():
        limit = getattr(needs, name)
        if name in spent.job.given and amount > limit:
            return f"stopped at its limit {name}={limit:g}: it used {amount:.3g} {unit}; give it more, or ask it for less"
    return None


def furthest_above(running: Collection[Spent], memory_left: float, memory: float, disk_left_gb: float) -> tuple[str, str] | None:
    """The job to stop when the machine runs short of memory or disk, with the note; None while it does not."""
    if memory_left < SHORT_OF_MEMORY * memory:
        name, what, left = "memory_gb", "memory", f"{memory_left / 1e9:.2g} of {memory / 1e9:.3g} GB"
    elif disk_left_gb < SHORT_OF_DISK_GB:
        name, what, left = "disk_gb", "disk", f"{disk_left_gb:.2g} GB"
    else:
        return None
    above = {one.job.id: getattr(one.usage, name) - getattr(one.job.needs, name) for one in running}
    worst = max(above, key=lambda job: above[job], default=None)
    if worst is None or above[worst] <= 0:
        return None
    one = next(one for one in running if one.job.id == worst)
    used, needs = getattr(one.usage, name), getattr(one.job.needs, name)
    return worst, (
        f"stopped because the machine ran short of {what} ({left} left): it used {used:.3g} GB and {needs:.3g} GB were "
        f"set aside for it; ask for {name}={used * 1.5:.2g} or more"
    )
