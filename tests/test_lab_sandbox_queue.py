from __future__ import annotations

import pytest
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
