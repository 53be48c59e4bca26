from __future__ import annotations

import errno
import json
import math
import multiprocessing
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.record import Run, spool
from unweave.record import run as run_module

FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None
forks = pytest.mark.skipif(FORK is None, reason="processes are forked")


@pytest.fixture
def run(tmp_path):
    return Run.create("s", {}, root=tmp_path, name="one")


def in_process(function, *arguments):
    process = FORK.Process(target=function, args=arguments)
    process.start()
    process.join(10)
    process.kill()
    return process.exitcode


def at(seconds):
    return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).isoformat()


@given(st.lists(st.lists(st.integers(0, 20), max_size=8), min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_f3_38_spools_merge_by_time_and_each_keeps_its_order_though_the_clock_jumps_back(tmp_path_factory, clocks):
    folder = tmp_path_factory.mktemp("run")
    for writer, clock in enumerate(clocks):
        name = spool.FIRST if writer == 0 else f"metrics.h-{writer}.jsonl"
        for number, second in enumerate(clock):
            spool.append(folder / name, {"time": at(second), "writer": writer, "number": number})
    spool.close(folder)
    rows = spool.read(folder)
    assert len(rows) == sum(map(len, clocks))
    for writer, clock in enumerate(clocks):
        assert [row["number"] for row in rows if row["writer"] == writer] == list(range(len(clock)))
    if all(clock == sorted(clock) for clock in clocks):
        assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


def test_a_log_call_keeps_its_handle_and_costs_microseconds(run, monkeypatch):
    run.log(step=0, loss=1.0)
    opened = []
    honest = os.open
    monkeypatch.setattr(os, "open", lambda *arguments: opened.append(arguments) or honest(*arguments))
    best = math.inf
    for attempt in range(5):
        started = time.perf_counter()
        for step in range(300):
            run.log(step=step, loss=0.5, accuracy=0.25, attempt=attempt)
        best = min(best, (time.perf_counter() - started) / 300)
    assert opened == []
    assert best < 200e-6
    assert len(run.metrics()) == 1501


def test_f3_38_numbers_that_are_not_finite_become_null(run):
    run.log(loss=math.nan, more=[math.inf, {"deep": -math.inf}])
    (row,) = run.metrics()
    assert (row["loss"], row["more"]) == (None, [None, {"deep": None}])


def test_a_torn_last_line_is_cut_off_before_the_next_one(run):
    run.log(a=1)
    run.log(a=2)
    spool.close(run.path)
    with open(run.path / spool.FIRST, "ab") as file:
        file.write(b'{"time": "2026", "a":')
    assert [row["a"] for row in run.metrics()] == [1, 2]
    run.log(a=3)
    assert [row["a"] for row in run.metrics()] == [1, 2, 3]


def test_what_another_program_leaves_in_the_file_never_joins_a_line(run):
    run.log(a=1)
    with open(run.path / spool.FIRST, "ab") as file:
        file.write(b"half a line")
    run.log(a=2)
    assert [row["a"] for row in run.metrics()] == [1, 2]


def test_a_file_that_was_replaced_is_opened_again(run):
    run.log(a=1)
    copy = run.path / "copy"
    copy.write_bytes((run.path / spool.FIRST).read_bytes())
    os.replace(copy, run.path / spool.FIRST)
    run.log(a=2)
    assert [row["a"] for row in run.metrics()] == [1, 2]


def test_a_folder_that_is_gone_is_said_and_not_made_again(run):
    run.log(a=1)
    os.rename(run.path, run.path.with_name("moved"))
    with pytest.raises(UnweaveError, match="the run's folder is gone: it was moved or removed"):
        run.log(a=2)
    assert not run.path.exists()


def test_a_link_in_the_place_of_the_file_is_not_written_through(run, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"")
    (run.path / spool.FIRST).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnweaveError, match=r"metrics\.jsonl"):
        run.log(a=1)
    assert (tmp_path / "elsewhere").read_bytes() == b""


@pytest.mark.parametrize("written", [0, 7])
def test_f3_38_a_full_disk_is_one_line_and_leaves_the_file_as_it_was(run, monkeypatch, written):
    run.log(a=1)
    before = (run.path / spool.FIRST).read_bytes()
    honest = os.write
    calls = []

    def full(descriptor, content):
        calls.append(len(content))
        if written and len(calls) == 1:
            return honest(descriptor, content[:written])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(UnweaveError, match=r"metrics\.jsonl: the disk is full: free some space"):
            run.log(a=2)
    assert (run.path / spool.FIRST).read_bytes() == before
    run.log(a=3)
    assert [row["a"] for row in run.metrics()] == [1, 3]


def test_f3_36_threads_of_one_process_do_not_mix_their_lines(run):
    def work(writer):
        for number in range(100):
            run.log(writer=writer, number=number, text="x" * 300)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sorted((row["writer"], row["number"]) for row in run.metrics())
    assert found == [(writer, number) for writer in range(8) for number in range(100)]


def test_two_handles_of_one_run_in_one_process_share_a_file(run):
    other = Run.join(run.path)
    for number in range(20):
        (run if number % 2 else other).log(number=number)
    assert [row["number"] for row in run.metrics()] == list(range(20))


@forks
def test_a_forked_process_logs_to_a_file_of_its_own(run):
    run.log(who="parent")
    assert in_process(lambda: run.log(who="child")) == 0
    run.log(who="parent")
    names = sorted(path.name for path in run.path.glob("metrics*"))
    assert len(names) == 2
    assert names[0] == spool.FIRST
    assert [row["who"] for row in run.metrics()] == ["parent", "child", "parent"]


@forks
def test_a_lock_that_another_thread_held_at_the_fork_stops_nothing(run):
    run.log(who="parent")
    with spool._LOCK:
        assert in_process(lambda: run.log(who="child")) == 0
    assert [row["who"] for row in run.metrics()] == ["parent", "child"]


@forks
def test_a_forked_process_keeps_no_handle_of_its_parents(run):
    run.log(a=1)
    (kept,) = [found for key, found in spool._OPEN.items() if key.startswith(str(run.path))]
    assert kept._descriptor is not None
    assert in_process(lambda: os._exit(0 if kept._descriptor is None and not spool._OPEN else 1)) == 0


def test_many_runs_in_one_process_do_not_use_up_its_handles(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_MOST_OPEN", 5)
    runs = [Run.create("s", {}, root=tmp_path, name=f"r-{number}") for number in range(9)]
    for _ in range(2):
        for run in runs:
            run.log(a=1)
    assert len(spool._OPEN) <= spool._MOST_OPEN
    assert all(len(run.metrics()) == 2 for run in runs)
    for run in runs:
        run.finish()
    assert not [key for key in spool._OPEN if key.startswith(str(tmp_path))]


def test_a_process_that_joins_names_its_host_and_itself(monkeypatch):
    monkeypatch.setattr(spool.platform, "node", lambda: "Some Host/..\\été")
    assert spool.own_name() == f"metrics.some-host-t-{os.getpid()}.jsonl"
    monkeypatch.setattr(spool.platform, "node", lambda: "")
    assert spool.own_name() == f"metrics.host-{os.getpid()}.jsonl"


def test_rows_are_stamped_with_the_time_at_which_they_were_logged(run, monkeypatch):
    times = iter((at(10), at(5), at(7)))
    monkeypatch.setattr(run_module, "now", lambda: next(times))
    for number in range(3):
        run.log(number=number)
    assert [row["number"] for row in run.metrics()] == [0, 1, 2]
    assert [row["time"] for row in run.metrics()] == [at(10), at(5), at(7)]
    assert json.loads((run.path / spool.FIRST).read_bytes().splitlines()[1])["time"] == at(5)


def test_a_damaged_line_names_its_file(run):
    (run.path / "metrics.elsewhere-1.jsonl").write_bytes(b"not json\n")
    with pytest.raises(UnweaveError, match=r"metrics\.elsewhere-1\.jsonl line 1 is damaged"):
        run.metrics()


def test_a_relative_run_that_lost_its_folder_by_a_change_of_place_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run.create("s", {}, root=Path("runs"), name="one")
    run.log(a=1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(UnweaveError, match="the run's folder is gone"):
        run.log(a=2)
    assert list((tmp_path / "elsewhere").iterdir()) == []
