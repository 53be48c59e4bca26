"""What a running job may use: an amount that was asked for is a limit, an estimate only once the machine runs short."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from unweave.lab.queue.executor import Node, Usage
from unweave.lab.queue.job import Job

SHORT_OF_MEMORY = 0.05
"""Share of the machine's memory: when less is left, the job that is furthest above its estimate is stopped."""
SHORT_OF_DISK_GB = 0.5


@dataclass(frozen=True, eq=False)
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
            return (
                f"stopped at its limit {name}={limit:g}: it used {amount:.3g} {unit}; give it more, or ask it for less"
            )
    return None


def furthest_above(running: Collection[Spent], node: Node) -> tuple[str, str] | None:
    """The job to stop when a machine runs short of memory or disk, with the note; None while it does not."""
    if node.memory_left_gb < SHORT_OF_MEMORY * node.total.memory_gb:
        name, what, left = "memory_gb", "memory", node.memory_left_gb
    elif node.total.disk_gb < SHORT_OF_DISK_GB:
        name, what, left = "disk_gb", "disk", node.total.disk_gb
    else:
        return None
    above = {one: getattr(one.usage, name) - getattr(one.job.needs, name) for one in running}
    worst = max(above, key=lambda one: above[one], default=None)
    if worst is None or above[worst] <= 0:
        return None
    used, needs = getattr(worst.usage, name), getattr(worst.job.needs, name)
    return worst.job.id, (
        f"stopped because the machine ran short of {what} ({left:.2g} GB left): it used {used:.3g} GB, and {needs:.3g} "
        f"GB were set aside for it; submit it with {name}={used * 1.5:.2g} or more, so that less runs beside it"
    )
