from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest
from lab_places import small_lab, small_run

from unweave.base.errors import UnweaveError
from unweave.base.files import write_json
from unweave.lab import Lab
from unweave.lab.people import Person
from unweave.lab.queue.keeper import Keeper
from unweave.lab.queue.worker_process import WorkerProcess
from unweave.lab.store.doctor import examine
from unweave.lab.store.folders import is_id
from unweave.lab.store.salvage import backup, restore
from unweave.record import Run, Table
from unweave.record.seal import check_seal, read_seal

ANN = Person("ann", "owner")


@pytest.fixture
def lab(tmp_path):
    with small_lab(tmp_path, one=0.9, two=0.8) as opened:
        opened.runs.sync()
        yield opened


def found(lab, repair=False):
    """What the doctor says, as ``where: what`` to whether it was repaired."""
    return {f"{one.where}: {one.what}": one.repaired for one in examine(lab, repair)}


def repaired(lab):
    """Everything is repaired by one look, and the next finds nothing."""
    said = found(lab, repair=True)
    assert said
    assert all(said.values()), said
    assert found(lab) == {}
    return said


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def abandoned(lab, name="gone", **state):
    """A run that says it works, and whose process does not exist."""
    run = Run.create("s", {}, root=lab.root, name=name)
    kept = run.state() | state
    kept["process"]["pid"] = dead_process()
    write_json(run.path / "run.json", kept)
    return run


def damage(path, pages):
    content = bytearray(path.read_bytes())
    for page in pages:
        content[page * 4096 : (page + 1) * 4096] = b"\xff" * 4096
    path.write_bytes(content)


def closed(lab):
    """The lab's file with nothing in the log beside it."""
    lab.close()
    assert not (lab.home / "lab.db-wal").exists()
    return lab.home / "lab.db"


def lost(lab):
    return sorted(path.name for path in (lab.home / "lost").iterdir())


def test_a_healthy_lab_has_nothing_wrong_and_is_copied(lab):
    assert found(lab) == {}
    assert not (lab.home / "backups").exists()
    assert found(lab, repair=True) == {}
    assert (lab.home / "backups" / "lab-latest.db").exists()
    assert found(lab, repair=True) == {}
    assert {path.name for path in (lab.home / "backups").iterdir()} == {"lab-latest.db", "lab-previous.db"}


def test_f3_39_a_damaged_page_costs_what_was_on_it_and_the_rest_is_kept(lab):
    token = lab.people.add("ann", "owner")
    for number in range(300):
        lab.people.record(ANN, f"deed-{number}", {"text": "x" * 150})
    path = closed(lab)
    damage(path, [path.read_bytes().index(b"deed-150") // 4096])
    before = path.read_bytes()
    (said,) = [what for what in found(lab) if what.startswith("lab.db")]
    assert "damaged" in said
    assert path.read_bytes() == before
    done = examine(lab, repair=True)
    (repair,) = [one for one in done if "damaged" in one.what]
    assert repair.repaired
    assert "rows kept: " in repair.remedy
    assert lab.people.by_token(token) == ANN
    assert 200 < len(lab.people.deeds(limit=1000)) < 300
    assert lab.runs.list().total == 2
    assert lab.runs.sealed("one") == read_seal(lab.root / "one")
    assert any(name.endswith("lab.db") for name in lost(lab))
    assert lab.database.problems() == []


@pytest.mark.parametrize("what", ["gone", "empty", "text", "header"])
def test_f3_39_a_database_that_does_not_open_is_made_anew_from_copy_and_folders(lab, what):
    token = lab.people.add("ann", "owner")
    found(lab, repair=True)
    small_run(lab.root, "three", 0.7)
    path = closed(lab)
    if what == "gone":
        path.unlink()
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "text":
        path.write_bytes(b"not a database " * 1000)
    else:
        damage(path, [0])
    with Lab(lab.root) as fresh:
        with pytest.raises(UnweaveError, match="unweave doctor --repair"):
            fresh.runs.sync()
        (said,) = found(fresh)
        assert said.startswith("lab.db: ")
        repaired(fresh)
        assert fresh.people.by_token(token) == ANN
        assert {row.id for row in fresh.runs.list().rows} == {"one", "two", "three"}


def test_f3_39_without_a_copy_the_runs_are_all_there_again(lab):
    path = closed(lab)
    damage(path, [0])
    repaired(lab)
    assert {row.id for row in lab.runs.list().rows} == {"one", "two"}
    assert lab.runs.sealed("one") == read_seal(lab.root / "one")


def test_a_removed_account_does_not_come_back_from_a_copy(lab):
    lab.people.add("ann", "owner")
    token = lab.people.add("bob", "owner")
    found(lab, repair=True)
    lab.people.remove("bob")
    with lab.database.write() as connection:
        connection.executemany("INSERT INTO seals VALUES (?, ?, '')", [(f"r-{n}", "d" * 200) for n in range(400)])
    path = closed(lab)
    damage(path, [path.stat().st_size // 4096 - 2])
    assert [one for one in examine(lab, repair=True) if "damaged" in one.what]
    assert lab.people.by_token(token) is None


def test_a_lab_that_others_have_open_is_not_replaced_under_them(lab):
    code = (
        "import sys; from unweave.lab import Lab\n"
        "lab = Lab(sys.argv[1]); lab.runs.counts(); print('open', flush=True); sys.stdin.read()"
    )
    with lab.database.write() as connection:
        connection.executemany("INSERT INTO seals VALUES (?, ?, '')", [(f"r-{n}", "d" * 200) for n in range(400)])
    path = closed(lab)
    damage(path, [path.stat().st_size // 4096 - 2])
    before = path.read_bytes()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    other = subprocess.Popen([sys.executable, "-c", code, str(lab.root)], **pipes)
    assert other.stdout.readline() == "open\n"
    (finding,) = [one for one in examine(lab, repair=True) if one.where == "lab.db"]
    other.communicate("")
    assert not finding.repaired
    assert "another process has the lab open" in finding.remedy
    assert path.read_bytes() == before
    assert [one.repaired for one in examine(lab, repair=True) if one.where == "lab.db"] == [True]


def test_f3_37_a_newer_database_is_left_alone(lab):
    path = closed(lab)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with Lab(lab.root) as fresh:
        (finding,) = examine(fresh, repair=True)
    assert (finding.where, finding.repaired, finding.remedy) == ("lab.db", False, "use a newer unweave")
    assert "schema 99" in finding.what


def test_f3_42_a_copy_is_put_back(lab, tmp_path):
    lab.people.add("ann", "owner")
    copy = backup(lab, tmp_path / "copy.db")
    assert copy.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UnweaveError, match="already exists"):
        backup(lab, copy)
    lab.people.add("bob", "reader")
    restore(lab, copy)
    assert lab.people.list() == [ANN]
    assert lab.runs.list().total == 2
    (tmp_path / "bad.db").write_bytes(copy.read_bytes()[:5000])
    with pytest.raises(UnweaveError, match="is not a sound copy"):
        restore(lab, tmp_path / "bad.db")
    with pytest.raises(UnweaveError, match="is not a file"):
        restore(lab, tmp_path / "none.db")
    assert lab.people.list() == [ANN]


def test_f3_39_a_half_written_line_is_cut_off_and_kept(lab):
    run = abandoned(lab)
    for file in ("metrics.jsonl", "metrics.h-1.jsonl", "cells/c.jsonl"):
        (run.path / file).parent.mkdir(exist_ok=True)
        (run.path / file).write_bytes(b'{"a": 1}\n{"a": 2}\n{"a"')
    said = repaired(lab)
    assert [what for what in said if "half-written (4 bytes)" in what] == [
        f"gone/{file}: its last line is half-written (4 bytes): its writer was killed"
        for file in ("cells/c.jsonl", "metrics.h-1.jsonl", "metrics.jsonl")
    ]
    assert (run.path / "metrics.jsonl").read_bytes() == b'{"a": 1}\n{"a": 2}\n'
    assert len([name for name in lost(lab) if name.endswith(".jsonl")]) == 3


def test_f3_39_a_damaged_line_is_left_out_and_the_file_as_it_was_is_kept(lab):
    run = abandoned(lab)
    run.log(a=1)
    with open(run.path / "metrics.jsonl", "ab") as file:
        file.write(b"garbage\n[1]\n")
    run.log(a=2)
    with pytest.raises(UnweaveError, match="line 2 is damaged"):
        run.metrics()
    before = (run.path / "metrics.jsonl").read_bytes()
    said = repaired(lab)
    assert any("2 damaged lines, the first is line 2" in what for what in said)
    assert [row["a"] for row in run.metrics()] == [1, 2]
    (kept,) = [name for name in lost(lab) if name.endswith("metrics.jsonl")]
    assert (lab.home / "lost" / kept).read_bytes() == before


def test_a_run_whose_process_is_gone_is_marked_and_can_go_on(lab):
    abandoned(lab)
    Run.create("s", {}, root=lab.root, name="alive")
    Run.create("s", {}, root=lab.root, name="unqueued", status="waiting")
    assert found(lab) == {
        "gone: its process is gone": False,
        "unqueued: waits for a worker, and is in no queue": False,
    }
    repaired(lab)
    assert Run.open(lab.root / "gone").state()["status"] == "interrupted"
    assert Run.resume(lab.root / "gone").status == "running"
    assert Run.resume(lab.root / "unqueued").status == "running"
    assert Run.open(lab.root / "alive").status == "running"


def test_f3_39_lost_files_of_a_finished_run_are_named_and_the_run_is_invalid(lab):
    (lab.root / "one" / "tables" / "seeds.csv").unlink()
    (lab.root / "one" / "figures" / "levels.svg").unlink()
    said = examine(lab, repair=True)
    assert {(one.where, one.what) for one in said} == {
        ("one", "tables/seeds.csv is missing after the run was sealed"),
        ("one", "figures/levels.svg is missing after the run was sealed"),
    }
    assert not any(one.repaired for one in said)
    assert [row.valid for row in lab.runs.list(sort="id", descending=False).rows] == [False, True]


def test_a_run_that_is_again_as_it_was_sealed_is_valid_again(lab):
    table = lab.root / "one" / "tables" / "seeds.csv"
    before = table.read_bytes()
    table.unlink()
    examine(lab, repair=True)
    assert not lab.runs.get("one").valid
    table.write_bytes(before)
    said = "one: was changed after it finished, and is again as it was sealed"
    assert found(lab) == {said: False}
    assert not lab.runs.get("one").valid
    assert repaired(lab) == {said: True}
    assert lab.runs.get("one").valid
    # What an audit found stays, whatever its files.
    lab.runs.invalidate("one", "its claim is not its table's")
    assert found(lab, repair=True) == {}
    assert not lab.runs.get("one").valid


def test_a_lab_at_work_has_nothing_wrong(lab):
    made = lab.home / "sandboxes" / "one-abcd" / "made"
    made.mkdir(0o700, parents=True)
    for folder in (made.parent, made.parent.parent):
        folder.chmod(0o700)
    (made / "result.txt").write_text("1")
    (made / "result.txt").chmod(0o644)
    (made / "link").symlink_to("result.txt")
    (made / ".half.abcdefgh.part").write_text("1")
    os.utime(made / ".half.abcdefgh.part", (1, 1))
    worker = WorkerProcess(1, lambda *_: None, lab.home, (sys.executable, "-c", "input()"))
    assert found(lab) == {}
    worker.dismiss()
    worker.process.wait()
    assert worker.diary.exists()
    keeper = Keeper(lab)
    keeper.take()
    keeper.give_back()
    assert not worker.diary.exists()
    worker.bury()


def test_f3_38_a_copy_that_cannot_be_written_costs_none_of_those_before(lab, monkeypatch):
    backup(lab)
    backup(lab)
    copies = lab.home / "backups"
    before = {path.name: path.read_bytes() for path in copies.iterdir()}

    def full(_):
        raise UnweaveError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(lab.database, "copy_to", full)
        with pytest.raises(UnweaveError, match="full"):
            backup(lab)
    assert {path.name: path.read_bytes() for path in copies.iterdir()} == before


def test_f3_39_lost_files_of_a_run_that_stopped_are_made_again_with_it(lab):
    run = abandoned(lab)
    run.save_table(Table("t", ("a",), ((1.0,),)))
    run.save_table(Table("kept", ("a",), ((1.0,),)))
    run.claim("It is {value}.", "t", {}, "a")
    (run.path / "tables" / "t.csv").unlink()
    (run.path / "figures").mkdir()
    (run.path / "figures" / "f.json").write_text("{}")
    what = {one.where: one for one in examine(lab, repair=True)}
    assert "there is no table 't'" in what["gone/tables/t"].what
    assert what["gone/figures/f"].what.endswith("f.narrow.svg is missing") or "f.svg" in what["gone/figures/f"].what
    assert what["gone/claims.json"].what == "claims from table 't', which is gone"
    assert "unweave run --resume gone" in what["gone/tables/t"].remedy
    assert "gone/tables/kept" not in what


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 50_000])
def test_f3_39_a_damaged_description_is_named_and_the_rest_is_looked_over(lab, content):
    (lab.root / "one" / "run.json").write_bytes(content)
    abandoned(lab)
    what = {one.where: one for one in examine(lab, repair=True)}
    assert "run.json" in what["one"].what
    assert not what["one"].repaired
    assert what["gone"].repaired
    assert lab.runs.get("two").valid


def test_a_finished_run_of_an_earlier_version_is_sealed_once(lab):
    (lab.root / "one" / "seal.json").unlink()
    with lab.database.write() as connection:
        connection.execute("DELETE FROM seals")
    assert found(lab) == {"one: finished under a version that did not seal": False}
    repaired(lab)
    assert check_seal(lab.root / "one") == []
    assert lab.runs.sealed("one") == read_seal(lab.root / "one")
    (lab.root / "one" / "seal.json").unlink()
    assert found(lab, repair=True) == {"one: seal.json is missing after the run was sealed": False}


def test_what_a_killed_process_left_half_made_is_moved_away_once_it_is_old(lab):
    run = abandoned(lab)
    run.finish("interrupted")
    left = [lab.root / ".new.abcdefgh.part", run.path / ".claims.json.abcdefgh.part", lab.root / ".x.12345678.old"]
    left.append(lab.home / ".repair.12345678.part")
    for folder in left:
        folder.mkdir(mode=0o700)
        (folder / "content").write_text("kept")
        (folder / "content").chmod(0o600)
    assert found(lab, repair=True) == {}
    old = time.time() - 3600
    for folder in left:
        os.utime(folder, (old, old))
    repaired(lab)
    assert not any(folder.exists() for folder in left)
    assert len(lost(lab)) == 4
    assert all((lab.home / "lost" / name / "content").read_text() == "kept" for name in lost(lab))


def test_f3_15_files_that_others_may_open_are_closed_to_them(lab):
    (lab.home / "note").write_text("x")
    (lab.home / "note").chmod(0o644)
    (lab.home / "lab.db").chmod(0o666)
    lab.home.chmod(0o777)
    said = repaired(lab)
    assert set(said) == {
        ".lab: others may open it (mode 777)",
        ".lab/lab.db: others may open it (mode 666)",
        ".lab/note: others may open it (mode 644)",
    }
    assert (lab.home / "lab.db").stat().st_mode & 0o777 == 0o600


def test_what_is_no_run_or_no_id_or_a_link_is_named(lab, tmp_path):
    shutil.copytree(lab.root / "one", lab.root / "Not An Id")
    (lab.root / "half" / "tables").mkdir(parents=True)
    (lab.root / "an-export").mkdir()
    (lab.root / "link").symlink_to(lab.root / "one")
    assert not is_id("Not An Id")
    assert set(found(lab, repair=True)) == {
        "Not An Id: is a run whose folder's name is no id",
        "half: has what a run writes, and no run.json",
        "link: is a link in the place of a run",
    }


def test_jobs_and_schedulers_that_are_gone_are_put_right(lab):
    from unweave.lab.queue.rows import change_job

    names = [lab.queue.submit("remove-language", {}, name=name).id for name in ("lost", "left", "fine")]
    shutil.rmtree(lab.root / "lost")
    gone = {"host": Run.open(lab.root / "left").state()["process"]["host"], "pid": dead_process(), "started": "x"}
    with lab.database.write() as connection:
        change_job(connection, "left", state="running", worker=gone)
    write_json(lab.home / "keeper.json", {**gone, "since": "2026-01-01T00:00:00"}, private=True)
    assert set(found(lab)) == {
        "lost: is in the queue, and its run's folder is gone",
        "left: is running in the queue, and its worker is gone",
        "keeper.json: names a scheduler that is gone",
    }
    repaired(lab)
    assert [lab.queue.get(name).state for name in names] == ["failed", "waiting", "waiting"]


def test_a_changed_thread_is_named(lab):
    from unweave.lab.threads.events import Note

    thread = lab.threads.create("Can it?", by=ANN)
    lab.threads.add(thread.id, Note("yes"), ANN)
    events = lab.root / "threads" / thread.id / "events.jsonl"
    events.write_text(events.read_text(encoding="utf-8").replace("Can it", "Can he"), encoding="utf-8")
    (finding,) = examine(lab, repair=True)
    assert (finding.where, finding.repaired) == (f"threads/{thread.id}", False)
    assert "line 2" in finding.what


def test_deeds_that_were_changed_are_named(lab):
    for number in range(3):
        lab.people.record(ANN, f"deed-{number}")
    with lab.database.write() as connection:
        connection.execute("DROP TRIGGER deeds_no_update")
        connection.execute("UPDATE deeds SET person = 'eve' WHERE number = 2")
    (finding,) = examine(lab, repair=True)
    assert "deed 2 or the one before it was changed or taken out" in finding.what


def test_f3_38_a_lab_in_a_read_only_folder_is_looked_over_and_left_as_it_is(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        small_run(disk / "runs", "one")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with Lab(disk / "runs") as lab:  # it never had a database
            lab.runs.sync()
            assert [row.id for row in lab.runs.list().rows] == ["one"]
            assert lab.runs.open("one").claims()
            assert examine(lab) == []
            with pytest.raises(UnweaveError, match="open to read only"):
                lab.people.add("ann", "owner")
            with pytest.raises(UnweaveError, match="read-only"):
                Run.create("s", {}, root=lab.root)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
