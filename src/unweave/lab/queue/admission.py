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
    A job that is larger than every node starts on the largest when that is empty.
    """
    held = list(running)
    starts: list[tuple[Job, str]] = []
    blocked: Job | None = None
    place, at, spare = "", math.inf, Needs(0, 0, 0, 0)
    unfit: set[tuple[Needs, bool]] = set()
    for job in waiting:
        alike = (job.needs, job.kind == "study" and not job.sandboxed)
        if alike in unfit:
            continue
        able = [node for node in nodes if not node.plain_only or (job.kind == "study" and not job.sandboxed)]
        fitting = [node for node in able if not job.needs.lacking(_free(node, held))]
        if not fitting and not any(not job.needs.lacking(node.total) for node in able):
            fitting = [node for node in _largest(able, job) if all(one.node != node.name for one in held)]
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
            unfit.add(alike)
            if blocked is None:
                blocked = job
                place, at, spare = _reservation(job, held, able, now)
    return Decision(tuple(starts), blocked.id if blocked else None)


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


def _largest(nodes: Sequence[Node], job: Job) -> list[Node]:
    return sorted(nodes, key=lambda node: len(job.needs.lacking(node.total)))[:1]


def _less(free: Needs, taken: Needs) -> Needs:
    return Needs(**{name: max(0.0, getattr(free, name) - getattr(taken, name)) for name in HELD})


def _more(free: Needs, given: Needs) -> Needs:
    return Needs(**{name: getattr(free, name) + getattr(given, name) for name in HELD})
