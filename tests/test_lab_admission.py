"""Which jobs may start: never more than the machine has, nobody starves, nobody waits without need."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.needs import Needs
from unweave.lab.queue.admission import PATIENCE, Running, admit, lacks_disk, unfit
from unweave.lab.queue.executor import Node, Usage
from unweave.lab.queue.job import Job
from unweave.lab.queue.limits import Spent, broken_limit, furthest_above

ONE = (Node("here", Needs(4, 8, 0, 100)),)
NAMES = ("threads", "memory_gb", "gpu_gb", "disk_gb")


def job(name, threads=1.0, memory=1.0, gpu=0.0, seconds=math.inf, given=()):
    return Job(name, "study", name, "act", {}, Needs(threads, memory, gpu, 0.1, seconds=seconds), given=given)


def started(waiting, running=(), nodes=ONE, now=0.0, since=None):
    decision = admit(waiting, running, nodes, now, since or {})
    return [each.id for each, _ in decision.starts], decision.blocked


def test_jobs_start_in_order_while_they_fit():
    assert started([job(name, 2) for name in "abc"]) == (["a", "b"], "c")
    assert started([job("a", 1, 7), job("b", 1, 2), job("c", 1, 1)]) == (["a", "c"], "b")
    assert started([job(name, 0.5) for name in "abcdefghi"]) == (list("abcdefgh"), "i")
    assert started([]) == ([], None)


def test_a_job_that_needs_no_thread_starts_beside_a_full_machine():
    assert started([job("agent", 0)], [Running("a", "here", Needs(4, 1))]) == (["agent"], None)


def test_what_no_machine_has_room_for_is_told_from_what_waits_for_a_disk():
    nodes = (Node("cpu", Needs(4, 8, 0, 9)), Node("away", Needs(2, 4, 80, 9), plain_only=True))
    assert unfit(job("fits", 4), nodes) is None
    assert "threads=16, and the machine has 4" in unfit(job("big", 16), nodes)
    assert unfit(replace(job("disk"), needs=Needs(1, 1, 0, 99)), nodes) is None
    assert lacks_disk(replace(job("disk"), needs=Needs(1, 1, 0, 99)), nodes)
    assert not lacks_disk(job("fits", 4), nodes)
    assert not lacks_disk(job("big", 16), nodes)
    gpu = replace(job("gpu"), needs=Needs(1, 1, 60))
    assert unfit(gpu, nodes) is None
    assert "gpu_gb=60, and the machine has 0" in unfit(replace(gpu, sandboxed=True), nodes)


def test_others_pass_a_job_that_does_not_fit_only_where_they_cannot_delay_it():
    running = [Running("a", "here", Needs(2, 1), until=100.0)]
    big, short, long, thin = job("big", 4), job("short", 1, seconds=50), job("long", 1, seconds=500), job("thin", 0, 1)
    # big can start at 100; one that ends by then may pass, one that does not may not; thin leaves it what it needs.
    assert started([big, short, long], running) == (["short"], "big")
    assert started([big, long, thin], running) == (["thin"], "big")


def test_where_nobody_knows_when_it_fits_others_pass_it_for_a_while():
    running = [Running("a", "here", Needs(2, 1))]
    waiting = [job("big", 4), job("small", 1)]
    assert started(waiting, running, now=10.0, since={"big": 10.0}) == (["small"], "big")
    assert started(waiting, running, now=10.0 + PATIENCE, since={"big": 10.0}) == ([], "big")
    # One that has run longer than expected may end at any time.
    overdue = [Running("a", "here", Needs(2, 1), until=5.0)]
    assert started(waiting, overdue, now=10.0 + PATIENCE, since={"big": 10.0}) == ([], "big")


def test_a_reservation_holds_one_node_and_the_others_go_on():
    nodes = (Node("large", Needs(4, 8, 0, 9)), Node("small", Needs(2, 4, 0, 9)))
    running = [Running("a", "large", Needs(1, 1)), Running("b", "small", Needs(1, 1))]
    decision = admit([job("big", 4), job("one"), job("two")], running, nodes, 100.0, {"big": 0.0})
    assert ([(each.id, node) for each, node in decision.starts], decision.blocked) == ([("one", "small")], "big")


def simulate(jobs, lengths, capacity=4.0):
    """When each job starts, in a world where they end after their lengths and nobody knows those before."""
    node = (Node("here", Needs(capacity, 1e6, 0, 1e6)),)
    waiting, running, began, blocked, now = list(jobs), {}, {}, {}, 0.0
    arrivals = {each.id: index * 0.5 for index, each in enumerate(jobs)}
    while waiting or running:
        here = sorted(
            (each for each in waiting if arrivals[each.id] <= now), key=lambda one: (-one.priority, one.number)
        )
        held = [Running(name, "here", each.needs) for name, (each, _) in running.items()]
        decision = admit(here, held, node, now, blocked)
        blocked = {decision.blocked: blocked.get(decision.blocked, now)} if decision.blocked else {}
        for each, _ in decision.starts:
            began[each.id] = now
            running[each.id] = (each, now + lengths[each.id])
            waiting.remove(each)
        assert sum(each.needs.threads for each, _ in running.values()) <= capacity
        now += 0.25
        running = {name: (each, end) for name, (each, end) in running.items() if end > now}
    return began


@pytest.mark.parametrize("seed", range(3))
def test_a_large_job_among_a_stream_of_small_ones_starts_soon_after_the_patience(seed):
    chance = random.Random(seed)
    jobs = [replace(job(f"small-{index}"), number=index) for index in range(400)]
    jobs[20] = replace(job("large", 4), number=20)
    lengths = {each.id: chance.uniform(1, 3) for each in jobs}
    began = simulate(jobs, lengths)
    submitted = 20 * 0.5
    assert began["large"] - submitted <= PATIENCE + 3.5
    assert sum(start > began["large"] for start in began.values()) > 100  # it did pass most of the stream


amounts = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 9.0])
needs = st.builds(
    lambda t, m, s: Needs(t, m, 0.0, 0.1, seconds=s), amounts, amounts, st.sampled_from([5.0, 50.0, math.inf])
)


@settings(max_examples=200, deadline=None)
@given(st.lists(needs, max_size=12), st.lists(needs, max_size=4), st.floats(0, 100))
def test_no_node_ever_holds_more_than_it_has(waiting, running, since):
    nodes = (Node("x", Needs(4, 8, 0, 9)), Node("y", Needs(2, 16, 0, 9)))
    held = []
    for index, each in enumerate(running):
        # What runs fits, as it was admitted before.
        if not each.lacking(nodes[0].total) and not _over(nodes[0], [*held, Running(str(index), "x", each)]):
            held.append(Running(str(index), "x", each, 10.0))
    jobs = [Job(f"job-{index}", "study", "r", "act", {}, each) for index, each in enumerate(waiting)]
    jobs = [each for each in jobs if unfit(each, nodes) is None]
    decision = admit(jobs, held, nodes, 100.0, {each.id: since for each in jobs})
    for node in nodes:
        here = [one for one in held if one.node == node.name]
        fresh = [Running(each.id, name, each.needs) for each, name in decision.starts if name == node.name]
        assert not _over(node, here + fresh)
    names = [each.id for each, _ in decision.starts]
    assert len(set(names)) == len(names)
    assert decision.blocked not in names
    if decision.blocked is None:
        assert len(names) == len(jobs)


def _over(node, held):
    return any(sum(getattr(one.holds, name) for one in held) > getattr(node.total, name) + 1e-9 for name in NAMES)


def spent(name, given=(), memory=1.0, disk=0.0, seconds=1.0, limit=math.inf):
    return Spent(job(name, memory=1.0, seconds=limit, given=given), Usage(memory, disk), seconds)


def test_what_was_asked_for_is_a_limit_and_what_was_estimated_is_not():
    assert broken_limit(spent("a", memory=1.5)) is None
    note = broken_limit(spent("a", given=("memory_gb",), memory=1.5))
    assert note == "stopped at its limit memory_gb=1: it used 1.5 GB of memory; give it more, or ask it for less"
    assert broken_limit(spent("a", given=("memory_gb",), memory=0.9)) is None
    assert "seconds=10: it used 10.5 seconds" in broken_limit(spent("a", ("seconds",), seconds=10.5, limit=10.0))
    assert "disk_gb=0.1" in broken_limit(spent("a", ("disk_gb",), disk=0.2))


def test_when_the_machine_runs_short_the_job_furthest_above_its_estimate_is_stopped():
    running = [spent("a", memory=1.2), spent("b", memory=3.0), spent("c", memory=0.5)]
    total = Needs(4, 8, 0, 100)
    assert furthest_above(running, Node("here", total, 2.0)) is None
    name, note = furthest_above(running, Node("here", total, 0.3))
    assert name == "b"
    assert "short of memory (0.3 GB left): it used 3 GB, and 1 GB were set aside" in note
    assert furthest_above([spent("c", memory=0.5)], Node("here", total, 0.3)) is None
    name, note = furthest_above([spent("a", disk=2.0)], Node("here", Needs(4, 8, 0, 0.1), 8.0))
    assert "short of disk" in note
