from __future__ import annotations

import os
import signal
import threading

import pytest
from queued import until
from sandboxed import needs_sandbox, source_of

from unweave.base.needs import Needs
from unweave.lab import Lab
from unweave.lab.people import Person
from unweave.lab.sandbox import Approvals

pytestmark = needs_sandbox
NEEDS = Needs(threads=1, memory_gb=0.5, disk_gb=0.05, seconds=20)


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "lab")


def done(lab, source, **options):
    job = lab.queue.submit("probe", {}, source=source, sandboxed=True, needs=NEEDS, retries=0, **options)
    return lab.queue.wait([job.id], 60)[0]


def test_a_study_runs_in_the_sandbox_through_the_queue_and_its_run_is_whole(lab, tmp_path):
    source = tmp_path / "mine.py"
    body = """
    import os
    run.save_table(Table("summary", ("name", "value"), (("files", len(os.listdir("/"))),)))
    print("from inside", os.environ.get("HOME"))
    """
    source.write_text(source_of(body))
    job = done(lab, source)
    run = lab.runs.open(job.run)
    assert (job.state, run.status) == ("finished", "finished"), job.note
    assert run.load_table("summary").rows[0][0] == "files"
    assert "from inside /sandbox/home" in (run.path / "log.txt").read_text()
    assert (run.path / "seal.json").exists()


def test_f3_27_the_queue_says_which_limit_of_the_sandbox_was_passed(lab, tmp_path):
    source = tmp_path / "mine.py"
    source.write_text(source_of("held = []\nwhile True:\n    held.append(b'x' * (32 << 20))"))
    job = done(lab, source)
    assert job.state == "failed"
    assert "memory" in str(job.note).lower()


@pytest.mark.parametrize("ending", ["os._exit(4)", "raise RunCancelled('enough')"])
def test_a_cancellation_that_nobody_asked_for_is_no_result(lab, tmp_path, ending):
    source = tmp_path / "mine.py"
    source.write_text(source_of(f"import os\nfrom unweave.record.run import RunCancelled\n{ending}"))
    job = done(lab, source)
    run = lab.runs.open(job.run)
    assert (job.state, run.status) == ("cancelled", "cancelled")
    assert "nobody had asked it to" in str(job.note)
    assert not (run.path / "seal.json").exists()


def test_an_estimate_stops_nothing_in_the_sandbox(lab, tmp_path, monkeypatch):
    estimate = Needs(threads=1, memory_gb=0.03, disk_gb=0.001, seconds=0.1)
    monkeypatch.setattr("unweave.lab.queue.submission.estimate", lambda *_: (estimate, "from small runs"))
    source = tmp_path / "mine.py"
    source.write_text(source_of("held = b'x' * (200 << 20)\n(run.path / 'files').mkdir()\n"
                                "(run.path / 'files' / 'a.bin').write_bytes(bytes(4_000_000))"))  # fmt: skip
    job = lab.queue.submit("probe", {}, source=source, sandboxed=True, retries=0)
    (job,) = lab.queue.wait([job.id], 60)
    assert job.state == "finished", job.note
    assert (lab.root / job.run / "files" / "a.bin").stat().st_size == 4_000_000


def lose_its_worker(lab, job):
    """Kills the worker of a job once its study, in the sandbox, has said that it is ready."""
    until(lambda: list((lab.home / "sandboxes").glob(f"{job.id}.*/ready")), 60)
    os.kill(lab.queue.get(job.id).worker["pid"], signal.SIGKILL)


@pytest.mark.parametrize("retries", [0, 1])
def test_f3_30_rows_that_a_study_in_the_sandbox_had_acknowledged_outlive_its_worker(lab, tmp_path, retries):
    source = tmp_path / "mine.py"
    body = """
    import time
    run.log(step=len(run.metrics()))
    if not run.cells("steps"):
        run.put_cell("steps", "0", {"x": 1})
        open("/sandbox/ready", "w")
        time.sleep(60)
    run.put_cell("steps", "1", {"x": 2})
    """
    source.write_text(source_of(body))
    job = lab.queue.submit("probe", {}, source=source, sandboxed=True, needs=NEEDS, retries=retries)
    killing = threading.Thread(target=lose_its_worker, args=(lab, job))
    killing.start()
    (job,) = lab.queue.wait([job.id], 90)
    killing.join()
    run = lab.runs.open(job.run)
    assert job.state == ("finished" if retries else "failed"), job.note
    assert list(run.cells("steps")) == ["0", "1"][: retries + 1]
    assert [row["step"] for row in run.metrics()] == [0, 1][: retries + 1]
    assert not list((lab.home / "sandboxes").iterdir())


def test_f3_29_proposed_code_runs_only_once_a_person_allowed_exactly_it(lab, tmp_path):
    approvals = Approvals(lab.home)
    made = approvals.propose("mine.py", source_of("run.log(x=1)"), "agent", "a control")
    job = done(lab, approvals.path(made.sha256))
    assert job.state == "failed"
    assert "was proposed by 'agent' and not allowed to run" in str(job.note)
    approvals.allow(made.sha256, Person("anne", "owner"))
    job = done(lab, approvals.path(made.sha256))
    assert job.state == "finished", job.note
    assert lab.runs.open(job.run).metrics()[0]["x"] == 1
