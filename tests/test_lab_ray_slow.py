"""Ray, with a real cluster of three processes that act as machines, on the loopback address."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from queued import agree, submit, until

from unweave.base.errors import UnweaveError
from unweave.base.needs import Needs
from unweave.lab.lab import Lab
from unweave.lab.queue.ray_cluster import connect
from unweave.lab.queue.ray_pool import RayPool
from unweave.lab.queue.scheduler import Scheduler
from unweave.record.run import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
]


@pytest.fixture
def cluster(monkeypatch):
    """A head, which is this machine to the scheduler, and two others; each on a loopback address of its own."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "180")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.cluster_utils import Cluster

    room = {"object_store_memory": 80_000_000}
    head = {"node_ip_address": "127.0.0.1", "num_cpus": 0, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={**head, **room})
    made.others = {
        node.node_id[:8]: node
        for node in [made.add_node(node_ip_address=f"127.0.0.{2 + each}", num_cpus=1, **room) for each in range(2)]
    }
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path / "runs")
    yield lab
    lab.close()


def schedule(lab, pool, *jobs, meanwhile=lambda: None):
    """Runs the jobs to their ends in this process, which gives none of its own threads."""
    Scheduler(lab, pool).run(lambda: meanwhile() or all(lab.queue.get(job.id).has_ended for job in jobs))
    return [lab.queue.get(job.id) for job in jobs]


def pool_of(lab, cluster, **options):
    return RayPool(lab.home, cluster.address, capacity=Needs(0.0, 0.0, 0.0, 0.0), **options)


@pytest.mark.parametrize("shared", [None, False])
def test_jobs_run_on_both_machines_with_and_without_a_shared_disk(lab, cluster, shared):
    pool = pool_of(lab, cluster, shared=shared)
    jobs = [submit(lab, "look_around", seconds=0.5, seed=seed) for seed in range(4)]
    failing, nothing = submit(lab, "fail"), submit(lab, "find_nothing")
    used, live = set(), []

    def look():
        for job in jobs:
            found = lab.queue.get(job.id)
            if found.state == "running":
                used.add(found.worker["node"])
                steps = Run.open(lab.root / job.run).cells("steps")
                live.append(0 < len(steps) < 50)

    done = schedule(lab, pool, *jobs, failing, nothing, meanwhile=look)
    assert [job.state for job in done] == ["finished"] * 4 + ["failed", "finished"]
    assert done[4].note == "no window has 64 tokens: use longer text"
    assert len(used) == 2
    assert any(live), "nothing could be seen of a run while it went on"
    for job in jobs:
        run = Run.open(lab.root / job.run)
        assert len(run.cells("steps")) == 50
        assert run.load_table("result").records()
        assert "doing look_around" in (run.path / "log.txt").read_text()
    agree(lab)
    assert not list(lab.home.glob("nonce-*"))


@pytest.mark.parametrize("shared", [None, False])
def test_a_machine_that_is_lost_loses_no_job(lab, cluster, shared):
    pool = pool_of(lab, cluster, shared=shared)
    jobs = [submit(lab, "look_around", seconds=3.0) for _ in range(2)]
    lost = []

    def lose():
        started = [lab.queue.get(job.id) for job in jobs]
        if not lost and all((lab.root / job.run / "cells").exists() for job in started):
            lost.append(started[0].id)
            cluster.remove_node(cluster.others[started[0].worker["node"][-8:]], allow_graceful=False)

    done = schedule(lab, pool, *jobs, meanwhile=lose)
    assert [job.state for job in done] == ["finished", "finished"]
    assert (done[0].attempt, done[0].losses) == (2, 1)
    agree(lab)


def test_a_running_job_is_cancelled_and_one_is_paused_on_another_machine(lab, cluster):
    pool = pool_of(lab, cluster, shared=False)
    first, second = submit(lab, "look_around", seconds=60), submit(lab, "look_around", seconds=1.0)
    seen = []

    def change():
        one, two = lab.queue.get(first.id), lab.queue.get(second.id)
        if one.state == "running" and (lab.root / one.run / "cells").exists():
            lab.queue.cancel(one.id)
        if not seen and two.state == "running" and (lab.root / two.run / "cells").exists():
            seen.append(lab.queue.pause(two.id))
        if two.state == "paused" and two.wish is None:
            seen.append(two)
            lab.queue.resume(two.id)

    done = schedule(lab, pool, first, second, meanwhile=change)
    assert [job.state for job in done] == ["cancelled", "finished"]
    assert len(seen) >= 2
    agree(lab)


KEEP = """
import sys
from unweave.base.needs import Needs
from unweave.lab.lab import Lab
from unweave.lab.queue.ray_pool import RayPool
from unweave.lab.queue.scheduler import Scheduler
lab = Lab(sys.argv[1])
Scheduler(lab, RayPool(lab.home, sys.argv[2], Needs(0.0, 0.0, 0.0, 0.0))).run()
"""


def test_f3_35_jobs_of_a_killed_scheduler_go_on_and_its_workers_elsewhere_end(lab, cluster):
    job = submit(lab, "look_around", seconds=5.0)
    keeper = subprocess.Popen([sys.executable, "-c", KEEP, str(lab.root), cluster.address])
    until(lambda: Run.open(lab.root / job.run).cells("steps"), 120)
    worker = psutil.Process(lab.queue.get(job.id).worker["pid"])
    keeper.send_signal(signal.SIGKILL)
    keeper.wait()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 60)
    (done,) = lab.queue.wait([job.id], seconds=120)
    assert (done.state, done.attempt) == ("finished", 2)
    lab.queue.close()
    agree(lab)


ALONE = """
import json, os, psutil
from unweave.lab.queue.ray_cluster import connect
before = set(psutil.pids())
ray = connect(None)
found = []
for pid in set(psutil.pids()) - before:
    try:
        process = psutil.Process(pid)
        found += [tuple(each.laddr) for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        continue
print(json.dumps([found, os.environ["RAY_AUTH_MODE"], len(os.environ["RAY_AUTH_TOKEN"])]))
ray.shutdown()
"""


def test_a_cluster_of_this_machine_alone_listens_on_no_other_address():
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    said = subprocess.run([sys.executable, "-c", ALONE], stdout=subprocess.PIPE, env=plain, check=True).stdout
    found, mode, length = json.loads(said.splitlines()[-1])
    assert (mode, length) == ("token", 64)
    assert found
    assert {address for address, _ in found} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    # The dashboard's process runs without its pages and its job API: it listens nowhere.
    assert 8265 not in [port for _, port in found]


@pytest.mark.parametrize("address", ["auto", "local", "ray://127.0.0.1:10001", "somewhere", "http://x:1"])
def test_only_a_plain_address_is_connected_to(address):
    with pytest.raises(UnweaveError, match="give HOST:PORT"):
        connect(address)
