from __future__ import annotations

import errno
import os
import threading

import pytest

from unweave.base.errors import UnweaveError
from unweave.record import Run, Table
from unweave.record.pair import settle, write_pair
from unweave.record.table import Table as RecordTable

OLD = Table("t", ("a",), ((1.0,),), caption="old")
NEW = Table("t", ("a", "b"), ((1.0, "x"), (2.0, "y")), caption="new")


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs, not even what would clean up."""


def killed_at(monkeypatch, number):
    """Every system call that changes a name is one step; the process is gone before the step of that number."""
    steps = []

    def counted(name):
        honest = getattr(os, name)

        def step(*arguments, **options):
            steps.append(name)
            if len(steps) >= number:
                raise Killed
            return honest(*arguments, **options)

        return step

    for name in ("rename", "replace", "rmdir", "unlink", "mkdir"):
        monkeypatch.setattr(os, name, counted(name))
    return steps


def test_a_kill_between_any_two_steps_leaves_the_old_table_or_the_new_one(tmp_path):
    seen = set()
    for number in range(1, 20):
        folder = tmp_path / str(number)
        OLD.save(folder)
        with pytest.MonkeyPatch.context() as patch:
            steps = killed_at(patch, number)
            try:
                NEW.save(folder)
                finished = True
            except Killed:
                finished = False
        found = Table.load(folder, "t")
        assert found in (OLD, NEW)
        seen.add(found.caption)
        if finished:
            break
        NEW.save(folder)
        assert Table.load(folder, "t") == NEW
        assert {path.name for path in folder.iterdir() if ".part" not in path.name} == {"t.csv", "t.json"}
    assert finished
    assert len(steps) >= 4
    assert seen == {"old", "new"}


def test_what_a_killed_process_left_is_put_in_its_place_when_the_run_goes_on(tmp_path):
    run = Run.create("s", {}, root=tmp_path, name="one")
    run.save_table(OLD)
    for number in (3, 4):
        with pytest.MonkeyPatch.context() as patch:
            killed_at(patch, number)
            with pytest.raises(Killed):
                NEW.save(run.path / "tables")
    assert run.load_table("t") == NEW
    run.finish("interrupted")
    resumed = Run.resume(run.path)
    assert resumed.load_table("t") == NEW
    assert {path.name for path in (run.path / "tables").iterdir() if ".part" not in path.name} == {"t.csv", "t.json"}


@pytest.mark.parametrize("refused", [1, 2])
def test_a_refused_write_leaves_the_old_table_or_the_new_one(tmp_path, monkeypatch, refused):
    OLD.save(tmp_path)
    honest, calls = os.replace, []

    def full(*arguments):
        calls.append(arguments)
        if len(calls) == refused:
            raise OSError(errno.ENOSPC, "No space left on device")
        return honest(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(UnweaveError, match="the disk is full"):
            NEW.save(tmp_path)
    assert Table.load(tmp_path, "t") == (OLD if refused == 1 else NEW)
    settle(tmp_path)
    assert Table.load(tmp_path, "t") == (OLD if refused == 1 else NEW)


def test_a_full_disk_while_the_files_are_made_leaves_nothing(tmp_path, monkeypatch):
    OLD.save(tmp_path)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UnweaveError, match="the disk is full"):
            NEW.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.json"]
    assert Table.load(tmp_path, "t") == OLD


def test_somebody_who_reads_while_the_table_is_saved_gets_one_version(tmp_path):
    OLD.save(tmp_path)
    stop, found = threading.Event(), []

    def read():
        while not stop.is_set():
            try:
                found.append(RecordTable.load(tmp_path, "t").caption)
            except UnweaveError as error:
                found.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(150):
        (OLD if number % 2 else NEW).save(tmp_path)
    stop.set()
    reader.join()
    assert set(found) <= {"old", "new"}
    assert len(found) > 20


def test_a_description_that_is_gone_is_named(tmp_path):
    OLD.save(tmp_path)
    (tmp_path / "t.json").unlink()
    with pytest.raises(UnweaveError, match=r"t\.json: the table's description is missing: save it again"):
        Table.load(tmp_path, "t")


def test_names_with_dots_keep_apart(tmp_path):
    write_pair(tmp_path, "a", {"csv": b"1", "json": b"2"})
    write_pair(tmp_path, "a.csv", {"csv": b"3", "json": b"4"})
    assert (tmp_path / "a.csv").read_bytes() == b"1"
    assert (tmp_path / "a.csv.csv").read_bytes() == b"3"
