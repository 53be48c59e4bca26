from __future__ import annotations

import json
import os
import shutil
import signal

import pytest

from unweave.base.errors import UnweaveError
from unweave.base.files import file_hash, write_json
from unweave.record import Run, Table, bars, spool
from unweave.record import run as run_module
from unweave.record import seal as seal_module
from unweave.record.environment import this_process
from unweave.record.seal import SEAL, check_seal, read_seal, seal_run

TABLE = Table("effects", ("m", "change"), (("a", 1.0), ("b", 2.0)))


@pytest.fixture
def run(tmp_path):
    with Run.create("s", {"a": 1}, root=tmp_path, name="one") as run:
        run.log(loss=0.5)
        run.put_cell("cells", "a", {"x": 1})
        run.save_table(TABLE)
        run.draw("f", bars(TABLE, "m", "change"))
        run.claim("It changes by {value}.", "effects", {"m": "a"}, "change")
    return run


def edit(path, old, new):
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")


def test_a_finished_run_is_sealed_with_every_file_its_description_too(run):
    sealed = json.loads((run.path / SEAL).read_text())
    there = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    assert set(sealed["files"]) == there - {SEAL}
    for name, (digest, size) in sealed["files"].items():
        assert (digest, size) == (file_hash(run.path / name), (run.path / name).stat().st_size)
    assert read_seal(run.path) == sealed["digest"]
    assert check_seal(run.path) == check_seal(run.path, sealed["digest"]) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda path: edit(path / "tables" / "effects.csv", "1.0", "9.0"), ["tables/effects.csv was changed"]),
        (lambda path: edit(path / "run.json", '"a": 1', '"a": 2'), ["run.json was changed"]),
        (lambda path: edit(path / "metrics.jsonl", "0.5", "0.1"), ["metrics.jsonl was changed"]),
        (lambda path: edit(path / "cells" / "cells.jsonl", "1", "2"), ["cells/cells.jsonl was changed"]),
        (lambda path: (path / "claims.json").unlink(), ["claims.json is missing"]),
        (lambda path: (path / "tables" / "extra.csv").write_text("x"), ["tables/extra.csv was added"]),
        (lambda path: (path / "metrics.other-1.jsonl").write_text("{}\n"), ["metrics.other-1.jsonl was added"]),
        (lambda path: (path / "tables" / ".effects.csv").write_text("x"), ["tables/.effects.csv was added"]),
        (lambda path: (path / SEAL).unlink(), ["seal.json is missing"]),
        (lambda path: (path / SEAL).write_text("{}"), ["seal.json is not a seal: it was damaged"]),
        (lambda path: edit(path / SEAL, '"run.json"', '"ran.json"'), ["seal.json was edited", "ran.json is missing"]),
    ],
)
def test_f3_30_a_change_of_a_finished_run_is_found(run, change, found):
    change(run.path)
    wrong = check_seal(run.path)
    assert [line.replace(f"{run.path}{os.sep}", "") for line in wrong][: len(found)] == found


def test_f3_30_a_run_that_is_sealed_again_differs_from_the_seal_first_seen(run):
    first = read_seal(run.path)
    edit(run.path / "tables" / "effects.csv", "1.0", "9.0")
    seal_run(run)
    assert check_seal(run.path) == []
    assert check_seal(run.path, first) == ["seal.json is another one than when this run was first seen"]


def test_f3_30_a_link_in_the_place_of_a_file_is_found(run, tmp_path):
    shutil.copyfile(run.path / "claims.json", tmp_path / "outside.json")
    (run.path / "claims.json").unlink()
    (run.path / "claims.json").symlink_to(tmp_path / "outside.json")
    assert check_seal(run.path) == ["claims.json is a link", "claims.json is missing"]
    (run.path / SEAL).unlink()
    with pytest.raises(UnweaveError, match=r"claims\.json is a link, which cannot be sealed"):
        seal_run(run)


def test_logs_and_progress_may_go_on_after_the_end(run):
    (run.path / "log.txt").write_text("bye")
    write_json(run.path / "progress.json", {"done": 1})
    run.cancel()
    assert check_seal(run.path) == []


@pytest.mark.parametrize(
    ("what", "write"),
    [
        ("metrics", lambda run: run.log(loss=0.1)),
        ("cells", lambda run: run.put_cell("cells", "b", {"x": 2})),
        ("tables", lambda run: run.save_table(TABLE)),
        ("figures", lambda run: run.draw("f", bars(TABLE, "m", "change"))),
        ("claims", lambda run: run.claim("{value}", "effects", {"m": "b"}, "change")),
        ("identities", lambda run: run.identify("data", "d", "0" * 64)),
        ("seeds", lambda run: run.use_seeds([1])),
    ],
)
def test_a_finished_run_takes_no_more_and_stays_sealed(run, what, write):
    for handle in (run, Run.open(run.path)):
        with pytest.raises(UnweaveError, match=f"run 'one' is finished and sealed.*{what}"):
            write(handle)
    assert check_seal(run.path) == []


def test_only_a_finished_run_is_sealed_and_resuming_is_as_before(tmp_path):
    run = Run.create("s", {}, root=tmp_path, name="one")
    run.finish("failed", "no")
    assert not (run.path / SEAL).exists()
    with Run.resume(run.path) as run:
        run.log(a=1)
    assert check_seal(run.path) == []


def test_a_run_called_finished_has_its_seal_whatever_happens_between(tmp_path, monkeypatch):
    run = Run.create("s", {}, root=tmp_path, name="one")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            run.finish()
    assert run.state()["status"] == "running"
    # A seal without an end seals nothing: the run goes on.
    run.finish("interrupted")
    with Run.resume(run.path) as run:
        run.log(a=1)
    assert check_seal(run.path) == []


def test_whoever_logs_while_a_run_is_sealed_is_refused_or_sealed(tmp_path, monkeypatch):
    run = Run.create("s", {}, root=tmp_path, name="one")
    run.log(a=1)
    other, refused = Run.join(run.path), []

    def hashed(path):
        found = file_hash(path)
        with pytest.raises(UnweaveError, match="is finished and sealed"):
            other.log(a=2)
        if not refused:
            # As by a process that had looked for the seal just before.
            spool.append(run.path / "metrics.other-1.jsonl", {"a": 3})
            spool.append(run.path / "metrics.jsonl", {"a": 4})
        refused.append(path.name)
        return found

    monkeypatch.setattr(seal_module, "file_hash", hashed)
    run.finish()
    monkeypatch.undo()
    assert check_seal(run.path) == []
    assert sorted(row["a"] for row in run.metrics()) == [1, 3, 4]
    assert sorted(refused) == ["metrics.jsonl", "metrics.jsonl", "metrics.other-1.jsonl", "run.json"]


def test_a_run_that_somebody_goes_on_writing_is_not_sealed(tmp_path, monkeypatch):
    run = Run.create("s", {}, root=tmp_path, name="one")

    def hashed(path):
        with open(run.path / "out.bin", "ab") as file:
            file.write(b"x")
        return file_hash(path)

    monkeypatch.setattr(seal_module, "file_hash", hashed)
    with pytest.raises(UnweaveError, match="another program goes on writing"):
        run.finish()
    monkeypatch.undo()
    assert not (run.path / SEAL).exists()
    run.log(a=1)
    run.finish()
    assert check_seal(run.path) == []


def test_a_run_that_was_killed_while_it_was_sealed_goes_on(tmp_path):
    run = Run.create("s", {}, root=tmp_path, name="one")
    process = os.fork()
    if process == 0:
        try:
            run._set(process=this_process())
            seal_module.file_hash = lambda _: os.kill(os.getpid(), signal.SIGKILL)
            run.finish()
        finally:
            os._exit(1)
    os.waitpid(process, 0)
    assert (run.path / SEAL).exists()
    assert read_seal(run.path) is None
    assert Run.open(run.path).status == "interrupted"
    with Run.resume(run.path) as resumed:
        resumed.log(a=1)
    assert check_seal(run.path) == []


def test_what_a_killed_process_left_half_written_is_not_sealed(tmp_path):
    run = Run.create("s", {}, root=tmp_path, name="one")
    left = run.path / ".claims.json.abcdefgh.part"
    left.mkdir()
    (left / "claims.json").write_text("[")
    run.finish()
    assert list(json.loads((run.path / SEAL).read_text())["files"]) == ["run.json"]
