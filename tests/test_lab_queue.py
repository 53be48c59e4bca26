"""The queue with real workers: what is submitted runs, and ends as its folder says."""

from __future__ import annotations

import _thread
import itertools
import threading
import time
from dataclasses import replace

import psutil
import pytest
from queued import SMALL, SOURCE, agree, elsewhere, finish, submit, until

from unweave.base.errors import UnweaveError
from unweave.base.needs import Needs
from unweave.lab.lab import Lab
from unweave.lab.queue import live_job, scheduler
from unweave.lab.queue.background import Background
from unweave.lab.queue.keeper import KeptAlready, keeper_of
from unweave.lab.queue.pool import LocalPool
from unweave.lab.queue.scheduler import Scheduler
from unweave.record.run import Run


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path / "runs")
    yield lab
    lab.queue.close()
    lab.close()


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A lab for tests that do not mind what ran in it before."""
    lab = Lab(tmp_path_factory.mktemp("warm") / "runs")
    yield lab
    lab.queue.close()
    lab.close()


def run_of(lab, job):
    return Run.open(lab.root / job.run)


def test_a_submitted_run_has_its_folder_at_once_and_is_finished_by_a_worker(warm):
    job = submit(warm, seed=3)
    run = run_of(warm, job)
    assert (job.state, run.status, run.state()["job"]) == ("waiting", "waiting", job.id)
    assert run.state()["environment"] == {}
    done = finish(warm, job)
    state = run.state()
    assert (done.state, state["status"], done.note) == ("finished", "finished", None)
    assert run.load_table("result").records()[0]["seed"] == 3
    assert state["process"]["pid"] == run.load_table("result").records()[0]["pid"]
    assert state["environment"]["libraries"]["torch"]
    assert done.usage == state["usage"]
    assert 0.01 < done.usage["memory_gb"] < 2
    assert "doing nothing" in (run.path / "log.txt").read_text()
    assert warm.queue.get(job.id) == done


def test_a_study_that_is_refused_fails_with_its_line_and_keeps_its_folder(warm):
    job = finish(warm, submit(warm, "fail"))
    assert (job.state, job.note) == ("failed", "no window has 64 tokens: use longer text")
    assert "Traceback" in (warm.root / job.run / "log.txt").read_text()
    assert job.attempt == 1


def test_finding_nothing_is_a_result(warm):
    job = finish(warm, submit(warm, "find_nothing"))
    assert (job.state, job.note) == ("finished", "nothing beats the null")


def test_nothing_is_written_for_a_config_that_does_not_fit_its_study(lab):
    with pytest.raises(UnweaveError, match="no field 'sed'"):
        submit(lab, sed=1)
    with pytest.raises(UnweaveError, match="not registered"):
        lab.queue.submit("akt", {})
    assert lab.queue.list() == []
    assert [path.name for path in lab.root.iterdir()] == [".lab"]


def test_a_job_larger_than_the_machine_is_refused_with_the_number(lab):
    with pytest.raises(UnweaveError, match=r"threads=999, and the machine has"):
        submit(lab, needs={**SMALL, "threads": 999})


def test_a_job_that_turns_out_larger_than_the_machine_fails_with_the_number(lab, monkeypatch):
    monkeypatch.setattr(scheduler, "JOINING_SECONDS", 0.2)
    # Where no scheduler runs, the memory of a GPU is not known yet.
    large = submit(lab, needs={**SMALL, "gpu_gb": 999})
    job = finish(lab, large)
    assert job.state == "failed"
    assert "gpu_gb=999, and the machine has" in job.note
    assert finish(lab, submit(lab)).state == "finished"


def test_a_job_that_lacks_disk_waits_and_holds_up_nobody(lab, monkeypatch):
    large = submit(lab, needs={**SMALL, "disk_gb": 5}, priority=9)
    room = [1.0]
    own = LocalPool.nodes
    monkeypatch.setattr(
        LocalPool,
        "nodes",
        lambda pool: [replace(node, total=replace(node.total, disk_gb=room[0])) for node in own(pool)],
    )
    assert finish(lab, submit(lab)).state == "finished"
    assert (lab.queue.get(large.id).state, lab.queue.get(large.id).note) == ("waiting", "waits for 5 GB of free disk")
    room[0] = 9.0
    assert finish(lab, large).state == "finished"


def test_a_lost_worker_is_replaced_and_the_run_goes_on(warm):
    job = finish(warm, submit(warm, "die_once"))
    assert (job.state, job.attempt, job.losses) == ("finished", 2, 1)
    assert len(run_of(warm, job).state()["resumed"]) == 1


def test_a_worker_lost_too_often_fails_the_job_and_says_how(warm):
    job = finish(warm, submit(warm, "die", retries=2))
    assert (job.state, job.attempt) == ("failed", 3)
    assert job.note == "its worker was lost 3 times: exit code 7"
    assert run_of(warm, job).state()["note"] == job.note


def test_jobs_go_by_priority_and_then_by_number(lab, tmp_path):
    mark = tmp_path / "order"
    order = {"needs": {**SMALL, "threads": 2}, "mark": str(mark)}
    jobs = [submit(lab, name=f"job-{index}", priority=index % 2, **order) for index in range(4)]
    lab.queue.prioritise("job-2", 5)
    finish(lab, *jobs)
    assert [line.split()[0] for line in mark.read_text().splitlines()] == ["job-2", "job-1", "job-3", "job-0"]


def test_a_job_waits_for_those_before_it_and_is_cancelled_when_one_is_not_finished(warm):
    first = submit(warm, seconds=0.2)
    second = submit(warm, after=[first.id])
    bad = submit(warm, "fail", after=[second.id])
    never = submit(warm, after=[bad.id, first.id])
    first, second, bad, never = finish(warm, first, second, bad, never)
    assert second.started > first.ended
    assert (never.state, never.attempt) == ("cancelled", 0)
    assert never.note == f"{bad.id!r}, which it waits for, was not finished but failed"
    with pytest.raises(UnweaveError, match="would wait for it for ever"):
        submit(warm, after=[bad.id])
    with pytest.raises(UnweaveError, match="there is no job 'nothing-like-it'"):
        submit(warm, after=["nothing-like-it"])


def test_a_waiting_job_is_cancelled_paused_and_resumed(lab):
    job, other = submit(lab), submit(lab)
    assert lab.queue.pause(job.id).state == "paused"
    assert lab.queue.cancel(other.id).state == "cancelled"
    assert run_of(lab, other).status == "cancelled"
    held = submit(lab)
    assert finish(lab, held).state == "finished"
    assert lab.queue.get(job.id).state == "paused"
    assert lab.queue.resume(job.id).state == "waiting"
    assert finish(lab, job).state == "finished"
    assert lab.queue.resume(other.id).state == "waiting"
    assert finish(lab, other).state == "finished"
    with pytest.raises(UnweaveError, match="is finished"):
        lab.queue.resume(other.id)


def running(lab, job):
    """Once the study itself is at work."""
    lab.queue.background.keep()
    until(
        lambda: (lab.root / job.run / "log.txt").is_file() and "doing" in (lab.root / job.run / "log.txt").read_text()
    )
    return lab.queue.get(job.id)


def test_a_running_job_is_cancelled_politely_and_can_be_resumed(warm):
    job = submit(warm, "look_around", seconds=1.0)
    running(warm, job)
    warm.queue.cancel(job.id)
    done = finish(warm, job)
    assert done.state == "cancelled"
    assert "it can be resumed" in done.note
    steps = len(run_of(warm, job).cells("steps"))
    assert steps < 100
    resumed = time.monotonic()
    warm.queue.resume(job.id)
    done = finish(warm, job)
    assert done.state == "finished"
    cells = run_of(warm, job).cells("steps")
    assert len(cells) == 100
    # What it used before it was cancelled is not counted again.
    assert done.usage["seconds"] < time.monotonic() - resumed


def test_f3_27_a_study_that_ignores_every_request_to_stop_is_killed(warm, monkeypatch):
    monkeypatch.setattr(live_job, "CANCEL_SECONDS", 0.3)
    monkeypatch.setattr(live_job, "TERMINATE_SECONDS", 0.3)
    job = submit(warm, "deaf", seconds=60)
    pid = running(warm, job).worker["pid"]
    began = time.monotonic()
    warm.queue.cancel(job.id)
    done = finish(warm, job)
    assert (done.state, done.note) == ("cancelled", "cancelled, and ended when it did not stop by itself")
    assert time.monotonic() - began < 10
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("how", ["ends", "is cancelled", "dies"])
def test_f3_27_what_a_study_started_does_not_outlive_it(warm, how, monkeypatch):
    monkeypatch.setattr(live_job, "CANCEL_SECONDS", 0.1)
    job = submit(warm, "have_children", seconds=0.2 if how == "ends" else 60, retries=0)
    file = warm.root / job.run / "children.txt"
    warm.queue.background.keep()
    children = [int(each) for each in until(lambda: file.is_file() and file.read_text()).split()]
    assert len(children) == 3
    if how == "is cancelled":
        warm.queue.cancel(job.id)
    elif how == "dies":
        psutil.Process(warm.queue.get(job.id).worker["pid"]).kill()
    done = finish(warm, job)
    assert done.state == {"ends": "finished", "is cancelled": "cancelled", "dies": "failed"}[how]
    assert [pid for pid in children if alive(pid)] == []
    if how == "ends":
        assert "left 3 processes running" in (warm.root / job.run / "log.txt").read_text()
    if how == "dies":
        assert done.note == "its worker was lost: signal 9 (SIGKILL)"


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_paused_job_stands_still_and_goes_on(warm):
    job = submit(warm, "look_around", seconds=1.0)
    running(warm, job)
    warm.queue.pause(job.id)
    until(lambda: warm.queue.get(job.id).state == "paused")
    time.sleep(0.05)
    steps = len(run_of(warm, job).cells("steps"))
    time.sleep(0.5)
    assert len(run_of(warm, job).cells("steps")) == steps
    # Its thread is free for others meanwhile.
    other = submit(warm, needs={**SMALL, "threads": 2})
    assert finish(warm, other).state == "finished"
    warm.queue.resume(job.id)
    done = finish(warm, job)
    assert (done.state, done.attempt) == ("finished", 1)
    assert len(run_of(warm, job).cells("steps")) == 100


def test_one_scheduler_keeps_a_lab_and_the_other_says_who(lab):
    job = submit(lab, seconds=0.2)
    lab.queue.background.keep()
    with pytest.raises(KeptAlready, match=r"kept by process \d+ on"):
        Scheduler(lab).run()
    other = elsewhere(
        "from unweave.lab.queue.scheduler import Scheduler\n"
        "try: Scheduler(lab).run()\nexcept Exception as error: print(error)",
        lab.root,
    )
    said = other.communicate(timeout=60)[0]
    assert f"kept by process {keeper_of(lab.home)['pid']}" in said
    assert finish(lab, job).state == "finished"


def test_a_lab_that_another_process_keeps_runs_what_is_submitted_here(lab):
    keeper = elsewhere(
        "from unweave.lab.queue.scheduler import Scheduler\n"
        "import threading, sys\nstop = threading.Event()\n"
        "threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()\n"
        "print('up', flush=True)\nScheduler(lab).run(stop.is_set)",
        lab.root,
        stdin=-1,
    )
    until(lambda: keeper_of(lab.home))
    job = finish(lab, submit(lab))
    assert job.state == "finished"
    assert lab.queue.background._thread is None
    # It ends in good order while a job runs: the job is interrupted, and this process takes over.
    job = submit(lab, "look_around", seconds=1.0)
    until(lambda: run_of(lab, job).cells("steps"))
    keeper.stdin.close()
    keeper.wait(20)
    assert lab.queue.get(job.id).state == run_of(lab, job).status == "interrupted"
    done = finish(lab, job)
    assert (done.state, done.attempt, done.losses) == ("finished", 2, 0)
    keeper.stdout.close()


def test_ctrl_c_while_waiting_interrupts_the_jobs_which_go_on_next_time(lab):
    job = submit(lab, "look_around", seconds=2.0)
    threading.Thread(target=lambda: (until(lambda: run_of(lab, job).cells("steps")), _thread.interrupt_main())).start()
    with pytest.raises(KeyboardInterrupt):
        lab.queue.wait([job.id], seconds=60)
    done = lab.queue.get(job.id)
    assert (done.state, done.note) == ("interrupted", "the queue was stopped: it goes on with the next one")
    agree(lab)
    steps = len(run_of(lab, job).cells("steps"))
    assert 0 < steps < 200
    lab.queue.cancel(job.id)
    assert lab.queue.get(job.id).state == run_of(lab, job).status == "cancelled"


def test_waiting_ends_after_the_seconds_and_the_job_goes_on(warm):
    job = submit(warm, seconds=0.6)
    assert not warm.queue.wait([job.id], seconds=0.2)[0].has_ended
    quick = submit(warm)
    done = warm.queue.wait([job.id, quick.id], any_of=True)
    assert any(each.has_ended for each in done)
    assert finish(warm, job).attempt == 1


def test_a_worker_serves_many_jobs_and_each_finds_the_same_surroundings(warm):
    jobs = [submit(warm, "surroundings", seed=seed, needs={**SMALL, "threads": 2}) for seed in range(3)]
    finish(warm, *jobs)
    runs = [run_of(warm, job) for job in jobs]
    assert len({run.load_table("result").records()[0]["pid"] for run in runs}) == 1
    found = [tuple(run.load_table("found").records()[0].values()) for run in runs]
    assert found[0] == found[1] == found[2]
    assert found[0][1] == ""


def test_a_worker_has_as_many_threads_as_its_job_needs(warm):
    jobs = [submit(warm, "threads", needs={**SMALL, "memory_gb": 1, "threads": count}) for count in (1, 2)]
    finish(warm, *jobs)
    assert [tuple(run_of(warm, job).load_table("threads").records()[0].values()) for job in jobs] == [(1, 1), (2, 2)]


def test_a_study_reads_an_empty_input(warm):
    job = finish(warm, submit(warm, "read_input"))
    assert run_of(warm, job).load_table("input").records() == [{"read": ""}]


def test_two_jobs_never_hold_more_threads_than_there_are(lab):
    lab.queue.background = Background(lab)
    jobs = [submit(lab, seconds=0.3, needs={**SMALL, "threads": 2}) for _ in range(3)]
    done = finish(lab, *jobs)
    spans = sorted((job.started, job.ended) for job in done)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


def test_estimates_say_where_they_come_from(warm):
    needs, why = warm.queue.estimate("act", {"do": "nothing"})
    assert "median" in why or "default" in why
    done = finish(warm, submit(warm))
    needs, why = warm.queue.estimate("act", {})
    assert "the median of what" in why
    assert needs.memory_gb < 2 * 1.5 * done.usage["memory_gb"] + 1
    assert isinstance(needs, Needs)


def test_the_list_is_by_state_and_thread(warm):
    job = warm.queue.submit("act", {}, source=SOURCE, thread="german", needs=SMALL)
    assert [each.id for each in warm.queue.list(thread="german")] == [job.id]
    assert job.id in [each.id for each in warm.queue.list(states=("waiting",))]
    finish(warm, job)
    assert warm.queue.list(states=("waiting", "running")) == []
    assert len(warm.queue.list(limit=2)) == 2
    agree(warm)
