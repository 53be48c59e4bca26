"""Which waiting jobs may start now: pure functions of what waits, what runs and what the machines have."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from unweave.base.needs import Needs
from unweave.lab.queue.executor import Node
from unweave.lab.queue.job import Job

HELD = ("threads", "memory_gb", "gpu_gb", "disk_gb")
PATIENCE = 20.0
"""Seconds for which others may pass a job that does not fit, where nobody knows when it will."""


@dataclass(frozen=True)
class Running:
    """What a started job holds of its node, and when it is expected to give it back (infinity: nobody knows)."""

    job: str
    node: str
    holds: Needs
    until: float = math.inf


@dataclass(frozen=True)
class Decision:
    """Jobs to start, each with its node; and the first one that should have started and did not fit."""

    starts: tuple[tuple[Job, str], ...]
    blocked: str | None = None


def admit(
    waiting: Sequence[Job],
    running: Collection[Running],
    nodes: Sequence[Node],
    now: float,
    blocked_since: Mapping[str, float],
) -> Decision:
    """Goes through ``waiting``, best first, and starts what fits.

    The first job that does not fit holds a reservation: a later one starts only where it cannot delay it, because it
    is expected to end before, or leaves enough. Where nobody knows when the reserved job will fit, others may pass it
    for ``PATIENCE`` seconds after ``blocked_since``; then nothing starts on that node until it has.
    Each job fits one of the nodes when that is empty, see ``unfit`` and ``lacks_disk``.
    """
    held = list(running)
    starts: list[tuple[Job, str]] = []
    blocked: Job | None = None
    place, at, spare = "", math.inf, Needs(0, 0, 0, 0)
    refused: set[tuple[Needs, bool]] = set()
    for job in waiting:
        alike = (job.needs, job.kind == "study" and not job.sandboxed)
        if alike in refused:
            continue
        able = _able(job, nodes)
        fitting = [node for node in able if not job.needs.lacking(_free(node, held))]
        until = now + job.needs.seconds
        if blocked is not None:
            impatient = now - blocked_since.get(blocked.id, now) >= PATIENCE
            fitting = [
                node
                for node in fitting
                if node.name != place
                or until <= at < math.inf
                or (at < math.inf and not job.needs.lacking(spare))
                or (at == math.inf and not impatient)
            ]
        if fitting:
            node = fitting[0]
            starts.append((job, node.name))
            held.append(Running(job.id, node.name, job.needs, until))
            if blocked is not None and node.name == place and until > at:
                spare = _less(spare, job.needs)
        else:
            # What did not fit fits no better after others have started: most jobs of a sweep need the same.
            refused.add(alike)
            if blocked is None:
                blocked = job
                place, at, spare = _reservation(job, held, able, now)
    return Decision(tuple(starts), blocked.id if blocked else None)


def unfit(job: Job, nodes: Sequence[Node]) -> str | None:
    """What every node has too little of for ``job``, in words; None where one has enough but perhaps of disk."""
    lasting = ("threads", "memory_gb", "gpu_gb")
    totals = [node.total for node in _able(job, nodes)]
    lacking = min((job.needs.lacking(total, lasting) for total in totals), key=len, default=[])
    if not lacking:
        return None
    name = lacking[0]
    return too_large(job.study, name, getattr(job.needs, name), max(getattr(total, name) for total in totals))


def lacks_disk(job: Job, nodes: Sequence[Node]) -> bool:
    """Whether no node would have room for ``job`` if it were empty, though some would if more of its disk were free."""
    return all(job.needs.lacking(node.total) for node in _able(job, nodes)) and unfit(job, nodes) is None


def too_large(study: str, name: str, needed: float, most: float) -> str:
    """The line on a job that no machine has room for."""
    return (
        f"a run of {study!r} needs {name}={needed:.3g}, and the machine has {most:.3g}: ask for less of it in the "
        f"study's settings, or with --needs {name}=AMOUNT"
    )


def _able(job: Job, nodes: Sequence[Node]) -> list[Node]:
    return [node for node in nodes if not node.plain_only or (job.kind == "study" and not job.sandboxed)]


def _free(node: Node, held: Collection[Running]) -> Needs:
    free = node.total
    for one in held:
        if one.node == node.name:
            free = _less(free, one.holds)
    return free


def _reservation(job: Job, held: Sequence[Running], nodes: Sequence[Node], now: float) -> tuple[str, float, Needs]:
    """The node on which ``job`` will fit first, when that is, and what is spare there beside it at that time."""
    best = ("", math.inf, Needs(0, 0, 0, 0))
    for node in nodes:
        # One that has run for longer than was expected may end at any time: nobody knows when.
        here = sorted((one for one in held if one.node == node.name), key=lambda one: _expected(one, now))
        free = _free(node, held)
        for one in here:
            free = _more(free, one.holds)
            if not job.needs.lacking(free) or one is here[-1]:
                at = _expected(one, now)
                if at < best[1] or not best[0]:
                    best = (node.name, at, _less(free, job.needs))
                break
    return best


def _expected(one: Running, now: float) -> float:
    return one.until if one.until > now else math.inf


def _less(free: Needs, taken: Needs) -> Needs:
    return Needs(**{name: max(0.0, getattr(free, name) - getattr(taken, name)) for name in HELD})


def _more(free: Needs, given: Needs) -> Needs:
    return Needs(**{name: getattr(free, name) + getattr(given, name) for name in HELD})
