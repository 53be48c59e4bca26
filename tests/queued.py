"""Labs whose queues run ``queue_study.py``, in this process and in others that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from unweave.lab.lab import Lab
from unweave.record.run import Run

SOURCE = Path(__file__).with_name("queue_study.py")
SMALL = {"memory_gb": 0.5, "disk_gb": 0.01}


def submit(lab, do="nothing", *, needs=SMALL, after=(), retries=1, name=None, priority=0, account=None, **config):
    return lab.queue.submit(
        "act",
        {"do": do, **config},
        needs=needs,
        after=after,
        retries=retries,
        name=name,
        priority=priority,
        account=account,
        source=SOURCE,
    )


def finish(lab, *jobs, seconds=60):
    """The jobs when they have ended; fails when they do not."""
    done = lab.queue.wait([job.id for job in jobs], seconds=seconds)
    assert all(job.has_ended for job in done), [(job.id, job.state, job.note) for job in done]
    return done[0] if len(done) == 1 else done


def until(condition, seconds=30.0):
    """Waits until ``condition`` is true, and returns what it returned."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{condition} did not come true in {seconds} s")


def agree(lab):
    """Every job is of one mind with its run, and the database is whole."""
    for job in lab.queue.list():
        run = Run.open(lab.root / job.run)
        assert run.status == job.state, (job.id, run.status, job.state, job.note, run.state()["note"])
        if job.has_ended:
            assert run.state()["note"] == job.note
    assert lab.database.read("PRAGMA integrity_check")[0][0] == "ok"


def elsewhere(code, root, *arguments, **options):
    """A process of its own that runs ``code`` with ``lab`` and ``argv``."""
    start = "import sys; from unweave.lab.lab import Lab; lab = Lab(sys.argv[1]); argv = sys.argv[2:]\n"
    return subprocess.Popen(
        [sys.executable, "-c", start + code, str(root), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        **options,
    )


def open_lab(root):
    return Lab(root)
