"""Budgets: nobody overspends, whoever else is spending, and what the dead had reserved is not spent twice."""

from __future__ import annotations

import math

import pytest
from queued import SMALL, SOURCE, elsewhere, finish, submit

from unweave.base.errors import UnweaveError
from unweave.base.needs import Needs
from unweave.lab.lab import Lab
from unweave.lab.queue.budget import Budget, BudgetExhausted

SPENDERS = 6
SPEND = """
import random
from unweave.lab.queue.budget import Budget, BudgetExhausted
budget, chance, took = Budget(lab, "agent:one"), random.Random(argv[0]), 0
print("ready", flush=True)
sys.stdin.readline()
budget.settle(budget.reserve("tokens", 3), 3)
took += 3
print("took", flush=True)
sys.stdin.readline()
while True:
    bound = chance.randint(1, 9)
    try:
        made = budget.reserve("tokens", bound)
    except BudgetExhausted:
        if bound == 1:
            break
        continue
    spent = chance.randint(0, bound)
    budget.settle(made, spent)
    took += spent
print(took)
"""


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path / "runs")
    yield lab
    lab.queue.close()
    lab.close()


def test_what_is_reserved_is_settled_with_what_was_spent(lab):
    budget = Budget(lab, "thread:german")
    assert budget.left("tokens") is None
    budget.grant(tokens=100)
    made = budget.reserve("tokens", 60)
    assert budget.left("tokens") == 40
    with pytest.raises(BudgetExhausted, match=r"60 tokens asked for, 40 left of 100 \(0 spent, 60 set aside"):
        budget.reserve("tokens", 60)
    budget.settle(made, 25)
    budget.settle(made, 25)
    assert (budget.lines()["tokens"].spent, budget.left("tokens")) == (25, 75)
    with budget.spending("tokens", 50) as used:
        used["spent"] = 10
    assert budget.lines()["tokens"].spent == 35
    with pytest.raises(KeyError), budget.spending("tokens", 50):
        raise KeyError  # nobody knows how much of it was spent
    assert budget.lines()["tokens"].spent == 85
    budget.grant(tokens=None)
    assert budget.left("tokens") is None
    assert Budget(lab, "thread:other").lines() == {}


@pytest.mark.parametrize("amount", [-1, math.inf, math.nan])
def test_amounts_are_finite_and_not_negative(lab, amount):
    with pytest.raises(UnweaveError, match="finite"):
        Budget(lab, "a").reserve("tokens", amount)
    with pytest.raises(UnweaveError, match="'seconds'"):
        Budget(lab, "a").grant(second=1)


def test_f3_33_parallel_spenders_never_pass_the_grant(lab):
    budget = Budget(lab, "agent:one")
    budget.grant(tokens=200)
    spenders = [elsewhere(SPEND, lab.root, seed, stdin=-1) for seed in range(SPENDERS)]
    for word in ("ready\n", "took\n"):
        for spender in spenders:
            assert spender.stdout.readline() == word
        for spender in spenders:
            spender.stdin.write("go\n")
            spender.stdin.flush()
    took = [int(spender.communicate(timeout=60)[0]) for spender in spenders]
    line = budget.lines()["tokens"]
    assert (line.spent, line.reserved, line.left) == (sum(took), 0, 0)
    assert sum(took) == 200


def test_f3_33_what_a_killed_spender_had_reserved_counts_as_spent(lab):
    budget = Budget(lab, "agent:one")
    budget.grant(dollars=10)
    spender = elsewhere(
        "from unweave.lab.queue.budget import Budget\n"
        "Budget(lab, 'agent:one').reserve('dollars', 4)\nprint('reserved', flush=True)\nsys.stdin.read()",
        lab.root,
        stdin=-1,
    )
    assert spender.stdout.readline() == "reserved\n"
    spender.kill()
    spender.communicate()
    assert budget.lines()["dollars"].reserved == 4
    with pytest.raises(BudgetExhausted):
        budget.reserve("dollars", 7)
    made = budget.reserve("dollars", 6)
    assert (budget.lines()["dollars"].spent, budget.lines()["dollars"].reserved) == (4, 6)
    budget.settle(made, 6)
    assert budget.left("dollars") == 0


def test_f3_33_the_queue_refuses_runs_that_nobody_pays_for(lab):
    budget = Budget(lab, "thread:german")
    budget.grant(runs=2)

    def ask():
        return lab.queue.submit("act", {}, source=SOURCE, needs=SMALL, thread="german")

    first, second = ask(), ask()
    with pytest.raises(BudgetExhausted, match=r"1 runs asked for, 0 left of 2"):
        ask()
    assert len(list(lab.root.glob("act-*"))) == 2
    lab.queue.cancel(second.id)
    third = ask()  # one that never started has cost nothing
    finish(lab, first, third)
    line = budget.lines()["runs"]
    assert (line.spent, line.reserved) == (2, 0)


def test_f3_33_seconds_end_a_run_at_what_was_set_aside_for_it(lab):
    budget = Budget(lab, "agent:one")
    budget.grant(seconds=100)
    jobs = [submit(lab, "nothing", needs={**SMALL, "seconds": 1}, account="agent:one", seconds=60) for _ in range(2)]
    assert budget.left("seconds") == 98
    with pytest.raises(BudgetExhausted, match="99 seconds asked for, 98 left"):
        submit(lab, "nothing", needs={**SMALL, "seconds": 99}, account="agent:one")
    done = finish(lab, *jobs)
    assert {job.state for job in done} == {"failed"}
    assert "stopped at its limit seconds=1" in done[0].note
    line = budget.lines()["seconds"]
    assert line.reserved == 0
    assert 2 <= line.spent < 4
    # A job that names no limit gets one: what is left, if nobody knows how long it takes.
    job = submit(lab, account="agent:one")
    assert job.needs.seconds == pytest.approx(100 - line.spent)
    assert "seconds" in job.given
    with pytest.raises(BudgetExhausted, match=r"0 seconds left of 100 .* too few for another run"):
        submit(lab, account="agent:one")
    finish(lab, job)
    assert budget.lines()["seconds"].spent < line.spent + 2


def test_f3_33_runs_of_unknown_length_share_the_seconds_and_all_of_them_end(lab):
    Budget(lab, "agent:one").grant(runs=4, seconds=400)
    jobs = [submit(lab, seed=seed, account="agent:one") for seed in range(4)]
    assert [job.needs.seconds for job in jobs] == pytest.approx([100] * 4)
    assert {job.state for job in finish(lab, *jobs)} == {"finished"}


def test_seconds_for_a_run_are_between_what_it_should_take_and_three_times_that(lab, monkeypatch):
    monkeypatch.setattr(
        "unweave.lab.queue.submission.estimate", lambda *_: (Needs(memory_gb=0.5, seconds=60), "as it was before")
    )
    for runs, shares in ((2, [180, 180]), (4, [100, 100, 100, 100]), (10, [60] * 6)):
        budget = Budget(lab, f"agent:{runs}")
        budget.grant(runs=runs, seconds=400)
        jobs = [submit(lab, needs={"disk_gb": 0.01}, account=budget.account) for _ in shares]
        assert [job.needs.seconds for job in jobs] == pytest.approx(shares)
    # One that would be cut short waits for what those that run may give back.
    with pytest.raises(BudgetExhausted, match=r"40 seconds left of 400 \(0 spent, 360 set aside for what runs now\)"):
        submit(lab, needs={"disk_gb": 0.01}, account="agent:10")
    for job in lab.queue.list():
        lab.queue.cancel(job.id)
    budget.grant(seconds=40)
    assert submit(lab, needs={"disk_gb": 0.01}, account="agent:10").needs.seconds == 40


def test_a_job_that_submits_others_leaves_the_seconds_to_them(lab):
    budget = Budget(lab, "thread:german")
    budget.grant(runs=4, seconds=400)
    lab.queue.submit("agent", {}, kind="agent", needs={"threads": 0.0}, account="thread:german")
    assert budget.lines()["seconds"].reserved == 0
    assert submit(lab, account="thread:german").needs.seconds == pytest.approx(400 / 3)


@pytest.mark.parametrize("name", ["tokens", "dollars"])
def test_what_no_study_can_spend_is_refused_as_a_limit(lab, name):
    with pytest.raises(UnweaveError, match=rf"{name}=500 is no limit of a job: .* Budget\.grant"):
        submit(lab, needs={**SMALL, name: 500})
    assert lab.queue.list() == []
    job = submit(lab, needs={**SMALL, name: 0.0})
    lab.queue.cancel(job.id)
    with pytest.raises(UnweaveError, match=f"{name}=500 is no limit"):
        lab.queue.resume(job.id, {name: 500})
    assert lab.queue.get(job.id).state == "cancelled"


def test_two_who_resume_one_job_pay_for_it_once(lab, monkeypatch):
    budget = Budget(lab, "agent:one")
    budget.grant(runs=5)
    job = submit(lab, account="agent:one")
    stale, real = lab.queue.cancel(job.id), lab.queue.get
    lab.queue.resume(job.id)
    seen = [stale]
    monkeypatch.setattr(lab.queue, "get", lambda name: seen.pop() if seen else real(name))
    assert lab.queue.resume(job.id).state == "waiting"
    assert budget.lines()["runs"].reserved == 1
    finish(lab, job)
    assert budget.left("runs") == 4
