"""kill -9 of scheduler, worker and submitter, at chosen and at random moments: no job is lost, none is run twice."""

from __future__ import annotations

import json
import random
import signal
import time

import psutil
import pytest
from queued import SMALL, agree, elsewhere, submit, until

from unweave.lab.lab import Lab
from unweave.lab.queue import agreement, queue
from unweave.lab.queue.agreement import end_job, finish_submissions
from unweave.lab.queue.keeper import keeper_of
from unweave.lab.queue.rows import change_job
from unweave.record.environment import is_gone, this_process
from unweave.record.run import Run

KEEP = "from unweave.lab.queue.scheduler import Scheduler\n{before}\nScheduler(lab).run()"
DIE = "import os, signal\ndef die(*arguments, **options): os.kill(os.getpid(), signal.SIGKILL)\n"
SUBMIT = """
import json
from queued import SMALL, SOURCE
for index, each in enumerate(json.loads(argv[1])):
    needs = SMALL | {"threads": 1 + index % 2}
    job = lab.queue.submit("act", {**each, "mark": argv[0]}, source=SOURCE, needs=needs, retries=20, priority=index % 3)
    print(job.id, flush=True)
print("done", flush=True)
"""


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path / "runs")
    yield lab
    lab.queue.close()
    lab.close()


def ended(lab, *jobs, seconds=60):
    """The jobs, run by this process once nobody else does."""
    names = [getattr(job, "id", job) for job in jobs]
    done = lab.queue.wait(names, seconds=seconds)
    assert all(job.has_ended for job in done), [(job.id, job.state, job.note) for job in done]
    return done


def executions(mark):
    """Run ids by execution."""
    return [line.split() for line in mark.read_text().splitlines()] if mark.exists() else []


POINTS = {
    "before the claim": "import unweave.lab.queue.pool as room\nroom.LocalPool.claim = die",
    "after the claim": "import unweave.lab.queue.scheduler as room\nroom.change_job = die",
    "before the order": "import unweave.lab.queue.pool as room\nroom.LocalPool.start = die",
    "after the order": "import unweave.lab.queue.pool as room\nstart = room.LocalPool.start\n"
    "room.LocalPool.start = lambda *a: (start(*a), die())",
    "when it begins": "import unweave.lab.queue.live_job as room\nroom.LiveJob.begin = die",
    "before it ends": "import unweave.lab.queue.scheduler as room\nroom.end_job = die",
    "in the middle of the end": "import unweave.lab.queue.agreement as room\nroom.change_job = die",
    "after it has ended": "import unweave.lab.queue.scheduler as room\nend = room.Scheduler._ended\n"
    "room.Scheduler._ended = lambda *a: (end(*a), die())",
}


@pytest.mark.parametrize("point", POINTS)
def test_f3_35_a_scheduler_killed_at_a_hand_over_loses_no_job_and_runs_none_twice(lab, tmp_path, point):
    mark = tmp_path / "mark"
    job = submit(lab, "look_around", seconds=0.2, mark=str(mark))
    keeper = elsewhere(KEEP.format(before=DIE + POINTS[point]), lab.root)
    assert keeper.wait(30) == -signal.SIGKILL
    keeper.stdout.close()
    (done,) = ended(lab, job)
    agree(lab)
    assert done.state == "finished"
    # What it had finished before the kill is not done again.
    ran = len(executions(mark))
    assert ran <= done.attempt <= 2
    assert ran == (1 if "end" in point or ("order" not in point and "begins" not in point) else ran)
    cells = Run.open(lab.root / job.run).cells("steps")
    assert len(cells) == 20


SUBMISSION = {
    "before its row": ("import unweave.lab.queue.queue as room\nroom.add_job = die", None),
    "before its folder": ("import unweave.lab.queue.queue as room\nroom.make_folder = die", "finished"),
    "in the folder": ("import unweave.record.life as room\nroom.write_json = die", "finished"),
    "before it is ready": ("import unweave.lab.queue.queue as room\nroom.change_job = die", "finished"),
}


@pytest.mark.parametrize("point", SUBMISSION)
def test_f3_35_a_submitter_killed_on_the_way_leaves_a_job_or_nothing(lab, tmp_path, point):
    before, state = SUBMISSION[point]
    code = "from queued import submit\n" + DIE + before + "\nsubmit(lab, name='one', mark=argv[0])"
    submitter = elsewhere(code, lab.root, tmp_path / "mark")
    assert submitter.wait(30) == -signal.SIGKILL
    submitter.stdout.close()
    other = submit(lab)
    ended(lab, other)
    if state is None:
        assert [job.id for job in lab.queue.list()] == [other.id]
        assert not (lab.root / "one").exists()
    else:
        until(lambda: lab.queue.get("one").has_ended)
        assert lab.queue.get("one").state == state
        assert len(executions(tmp_path / "mark")) == 1
    agree(lab)


@pytest.mark.parametrize("resumed", [False, True])
def test_f3_35_a_job_cancelled_while_its_folder_is_made_leaves_no_run_that_waits(lab, monkeypatch, resumed):
    make_folder = queue.make_folder
    if resumed:
        lab.queue.cancel(submit(lab, name="one").id)

    def cancelled_first(lab, job):
        lab.queue.cancel(job.id)
        make_folder(lab, job)

    monkeypatch.setattr(queue, "make_folder", cancelled_first)
    lab.queue.resume("one") if resumed else submit(lab, name="one")
    assert lab.queue.get("one").state == "cancelled"
    agree(lab)


def test_f3_35_a_job_cancelled_after_its_submitter_died_leaves_no_run_that_waits(lab):
    job = submit(lab)
    dead = {"maker": {**this_process(), "started": "long ago"}, "ready": 0}
    with lab.database.write() as connection:
        end_job(connection, job, "cancelled", None, {})
        change_job(connection, job.id, **dead)
    finish_submissions(lab)
    agree(lab)


KEY = "sk-abcdefghijklmnop1234"
TELLS = f"""
import os, signal
from dataclasses import dataclass
from unweave.record import Table
from unweave.studies.registry import study

@dataclass(frozen=True)
class Config:
    seed: int = 0

@study("tells-NUMBER", "Is what it prints kept?", Config)
def tells(config, run=None):
    if run.cells("told"):
        run.save_table(Table("found", ("key",), ((int({KEY!r} in (run.path / "log.txt").read_text()),),)))
        return
    run.put_cell("told", "once", {{"x": 1}})
    print("it is {KEY}", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("retries", [0, 1])
def test_f3_44_a_key_that_a_killed_worker_printed_does_not_stay_in_the_log(lab, tmp_path, retries):
    source = tmp_path / "tells.py"
    source.write_text(TELLS.replace("NUMBER", str(retries)))
    job = lab.queue.submit(f"tells-{retries}", {}, needs=SMALL, source=source, retries=retries)
    ended(lab, job)
    run = Run.open(lab.root / job.run)
    assert run.status == ("finished" if retries else "failed")
    assert "it is ***" in (run.path / "log.txt").read_text()
    assert KEY not in (run.path / "log.txt").read_text()
    assert not retries or run.load_table("found").rows == ((0,),)


@pytest.mark.parametrize(
    "point", ["unweave.lab.queue.queue as room\nroom.make_folder", "unweave.record.run as room\nroom.write_json"]
)
def test_f3_35_a_resumption_killed_on_the_way_is_carried_out(lab, point):
    job = submit(lab)
    lab.queue.cancel(job.id)
    code = f"{DIE}import {point} = die\nlab.queue.resume(argv[0])"
    person = elsewhere(code, lab.root, job.id)
    assert person.wait(30) == -signal.SIGKILL
    person.stdout.close()
    ended(lab, submit(lab))
    until(lambda: lab.queue.get(job.id).has_ended)
    assert lab.queue.get(job.id).state == "finished"
    agree(lab)


def test_f3_35_a_cancellation_killed_on_the_way_leaves_both_of_one_mind(lab):
    job = submit(lab)
    code = DIE + "import unweave.lab.queue.queue as room\nroom.end_job = die\nlab.queue.cancel(argv[0])"
    person = elsewhere(code, lab.root, job.id)
    assert person.wait(30) == -signal.SIGKILL
    person.stdout.close()
    assert (lab.queue.get(job.id).state, Run.open(lab.root / job.run).status) == ("waiting", "cancelled")
    (done,) = ended(lab, job)
    assert done.state == "cancelled"
    agree(lab)


@pytest.mark.parametrize("wish", ["cancel", "pause", "resume"])
def test_what_was_asked_of_a_job_whose_worker_was_just_lost_is_done(lab, wish):
    job = submit(lab)
    with lab.database.write() as connection:
        change_job(connection, job.id, wish=wish)  # when it was running; then its worker was lost, and it waits again
    other = submit(lab)
    ended(lab, other)
    if wish == "pause":
        until(lambda: lab.queue.get(job.id).state == "paused")
        lab.queue.resume(job.id)
    (done,) = ended(lab, job)
    assert done.state == ("cancelled" if wish == "cancel" else "finished")
    agree(lab)


def test_a_job_that_brings_every_scheduler_down_is_not_tried_for_ever(lab):
    job = submit(lab, retries=0)
    with lab.database.write() as connection:
        change_job(connection, job.id, state="running", attempt=agreement.MOST_STARTS)
    (done,) = ended(lab, job)
    assert done.state == "failed"
    assert "was started 10 times, and each time" in done.note
    agree(lab)
    lab.queue.resume(job.id)
    assert ended(lab, job)[0].state == "finished"


@pytest.mark.parametrize("state", ["running", "paused"])
def test_f3_35_the_workers_of_a_killed_scheduler_end_with_it(lab, state):
    job = submit(lab, "look_around", seconds=20)
    keeper = elsewhere(KEEP.format(before=""), lab.root)
    until(lambda: Run.open(lab.root / job.run).cells("steps"))
    worker = psutil.Process(lab.queue.get(job.id).worker["pid"])
    if state == "paused":
        lab.queue.pause(job.id)
        until(lambda: worker.status() == psutil.STATUS_STOPPED)
    keeper.kill()
    keeper.communicate()
    if state == "running":
        until(lambda: not alive(worker), 5)
        assert Run.open(lab.root / job.run).status == "interrupted"
        lab.queue.cancel(job.id)
    # A stopped process cannot notice; the next scheduler ends it.
    ended(lab, submit(lab))
    assert not alive(worker)
    assert lab.queue.get(job.id).state == ("paused" if state == "paused" else "cancelled")
    lab.queue.cancel(job.id)
    agree(lab)


def alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def rounds(root, count, first_seed=0):
    """Rounds of killing at random, in one lab."""
    lab = Lab(root / "runs")
    mark, known = root / "mark", []
    for seed in range(first_seed, first_seed + count):
        chance = random.Random(seed)
        acts = [
            {
                "do": chance.choice(["look_around", "look_around", "nothing", "die_once"]),
                "seconds": chance.choice([0.02, 0.1, 0.3]),
            }
            for _ in range(chance.randint(2, 5))
        ]
        keeper = elsewhere(KEEP.format(before=""), lab.root)
        submitter = elsewhere(SUBMIT, lab.root, mark, json.dumps(acts))
        until(lambda: keeper_of(lab.home))
        for victim in chance.sample(["scheduler", "worker", "submitter"], chance.choice([1, 1, 2])):
            time.sleep(chance.uniform(0, 0.6))
            if victim == "scheduler":
                keeper.kill()
            elif victim == "submitter":
                submitter.kill()
            else:
                for job in lab.queue.list(states=("running",)):
                    if job.worker and not is_gone(dict(job.worker)):
                        psutil.Process(job.worker["pid"]).kill()
                        break
        said = submitter.communicate(timeout=60)[0].split()
        acknowledged = [each for each in said if each.startswith("act-")]
        known += acknowledged
        if chance.random() < 0.7 or keeper.poll() is not None:
            keeper.kill()
        # Somebody else takes over, as soon as nobody keeps the lab.
        everything = [job.id for job in lab.queue.list()]
        assert set(known) <= set(everything), f"seed {seed}: an acknowledged job was lost"
        done = lab.queue.wait(everything, seconds=90)
        assert all(job.state == "finished" for job in done), (seed, [(job.id, job.state, job.note) for job in done])
        keeper.kill()
        keeper.communicate()
        lab.queue.close()
        agree(lab)
        ran = executions(mark)
        assert ["twice"] not in [each[2:] for each in ran], f"seed {seed}: a run had two processes at once"
        for job in lab.queue.list():
            begun = sum(1 for each in ran if each[0] == job.id)
            assert 1 <= begun <= job.attempt, (seed, job.id, begun, job.attempt)
        until(lambda: not [process for process in psutil.process_iter(["cmdline"]) if works_for(process, lab)], 10)
    lab.close()
    return len(lab.queue.list())


def works_for(process, lab):
    command = process.info["cmdline"] or []
    return "unweave.lab.queue.worker" in command and command[-1] == str(lab.home.resolve())


def test_f3_35_random_kills_lose_nothing(tmp_path):
    assert rounds(tmp_path, 5) >= 5


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_f3_35_a_hundred_random_kills_lose_nothing(tmp_path):
    assert rounds(tmp_path, 100, first_seed=1000) >= 100
