"""Limits while a job runs, with real memory, disk and time."""

from __future__ import annotations

import psutil
import pytest
from queued import SMALL, SOURCE, agree, finish, submit, until

from unweave.lab.lab import Lab
from unweave.lab.queue import live, pool, work
from unweave.record.run import Run


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("limits") / "runs")
    yield lab
    agree(lab)
    lab.queue.close()
    lab.close()


def test_f3_27_memory_past_the_limit_ends_the_job_with_the_numbers(lab):
    job = submit(lab, "fill_memory", amount=2.0, seconds=30, needs={"memory_gb": 0.3})
    other = submit(lab, seconds=0.5)
    job, other = finish(lab, job, other)
    assert other.state == "finished"
    assert job.state == "failed"
    assert job.note.startswith("stopped at its limit memory_gb=0.3: it used 0.")
    assert 0.3 < job.usage["memory_gb"] < 2
    assert Run.open(lab.root / job.run).state()["usage"] == job.usage
    assert job.attempt == 1
    lab.queue.resume(job.id, needs={"memory_gb": 4})
    lab.queue.cancel(job.id)
    assert (lab.queue.get(job.id).needs.memory_gb, lab.queue.get(job.id).given) == (4, ("memory_gb",))


def test_f3_27_disk_past_the_limit_ends_the_job(lab):
    job = finish(lab, submit(lab, "fill_disk", amount=0.5, seconds=30, needs={**SMALL, "disk_gb": 0.05}))
    assert job.state == "failed"
    assert job.note.startswith("stopped at its limit disk_gb=0.05: it used 0.")


def test_seconds_past_the_limit_end_the_job_and_a_pause_is_not_counted(lab):
    job = submit(lab, "look_around", seconds=2.0, needs={**SMALL, "seconds": 1.5})
    lab.queue.background.keep()
    until(lambda: Run.open(lab.root / job.run).cells("steps"))
    lab.queue.pause(job.id)
    until(lambda: lab.queue.get(job.id).state == "paused")
    paused = until(lambda: psutil.Process(lab.queue.get(job.id).worker["pid"]).status() == psutil.STATUS_STOPPED)
    assert paused
    before = len(Run.open(lab.root / job.run).cells("steps"))
    finish(lab, submit(lab, seconds=1.0))
    assert lab.queue.get(job.id).state == "paused"
    lab.queue.resume(job.id)
    job = finish(lab, job)
    assert job.note.startswith("stopped at its limit seconds=1.5: it used 1.")
    # What it did before the pause is kept, and it went on after it.
    assert len(Run.open(lab.root / job.run).cells("steps")) > before


def test_what_was_only_estimated_ends_no_job_while_the_machine_has_room(lab):
    job = lab.queue.submit("act", {"do": "fill_memory", "amount": 0.2}, source=SOURCE)
    assert finish(lab, job).state == "finished"
    assert job.given == ()


def test_when_the_machine_runs_short_of_memory_the_job_above_its_estimate_is_stopped(lab, monkeypatch):
    job = lab.queue.submit("act", {"do": "fill_memory", "amount": 1.4, "seconds": 30}, source=SOURCE)
    lab.queue.background.keep()
    until(lambda: lab.queue.get(job.id).state == "running")
    pid = lab.queue.get(job.id).worker["pid"]
    needed = job.needs.memory_gb

    # This machine's real memory is left alone: what is free is reported as short once the job is above its estimate.
    def left():
        try:
            held = psutil.Process(pid).memory_info().rss / 1e9
        except psutil.NoSuchProcess:
            held = 0
        return 1e6 if held > needed else 1e12

    monkeypatch.setattr(pool, "memory_left", left)
    job = finish(lab, job)
    assert job.state == "failed"
    assert "the machine ran short of memory" in job.note


def test_f3_27_a_flood_of_output_is_cut_and_says_so(lab):
    amount = 3 * live.LOG_BYTES / 2000
    job = finish(lab, submit(lab, "flood", amount=amount, seconds=0.3, needs={"memory_gb": 0.5, "disk_gb": 1.0}))
    assert job.state == "finished"
    log = (lab.root / job.run / "log.txt").read_bytes()
    assert len(log) < live.LOG_BYTES + 100
    assert log.endswith(b"[the log was cut here, at 10,000,000 bytes]\n")
    assert b"child" in log[:10000]


def test_a_worker_whose_memory_has_grown_is_replaced(lab):
    def pid(job):
        return Run.open(lab.root / job.run).load_table("result").records()[0]["pid"]

    needs = {"memory_gb": 3, "threads": 2, "disk_gb": 0.01}
    modest = [finish(lab, submit(lab, "keep", amount=amount, needs=needs)) for amount in (0.0, 0.2)]
    greedy = finish(lab, submit(lab, "keep", amount=work.GROWTH_GB, needs=needs))
    fresh = finish(lab, submit(lab, needs=needs))
    assert pid(modest[0]) == pid(modest[1]) == pid(greedy) != pid(fresh)
