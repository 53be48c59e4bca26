from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import unweave
from unweave.base.errors import UnweaveError
from unweave.record import Run, Table
from unweave.record import environment as environment_module
from unweave.record.about import check_id
from unweave.record.environment import code_tree, environment

SHA = "ab" * 32


def state(run):
    return json.loads((run.path / "run.json").read_text(encoding="utf-8"))


def test_what_a_run_is_about_is_kept_and_what_is_none_is_left_out(tmp_path):
    about = {"plan": {"arms": 2}, "seeds": (0, 1), "thread": "t", "job": None, "parents": ["a"], "tags": ["x"]}
    found = state(Run.create("s", {}, root=tmp_path, about=about))
    assert (found["plan"], found["seeds"], found["thread"]) == ({"arms": 2}, [0, 1], "t")
    assert (found["parents"], found["tags"]) == (["a"], ["x"])
    assert "job" not in found


@pytest.mark.parametrize(
    ("about", "line"),
    [
        ({"seedz": [1]}, "'seedz' is not something a run records of itself; nearest: 'seeds'"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"seeds": []}, "different whole numbers"),
        ({"seeds": [True]}, "different whole numbers"),
        ({"seeds": 3}, "different whole numbers"),
        ({"tags": "x"}, "'tags' of a run is 'x': give a list of texts"),
        ({"thread": 3}, "'thread' of a run is 3: give its name as text"),
        ({"plan": {"a": object()}}, "'plan' of a run is not plain JSON"),
        ({"plan": float("nan")}, "'plan' of a run is not plain JSON"),
    ],
)
def test_what_no_run_is_about_is_refused_before_anything_is_written(tmp_path, about, line):
    with pytest.raises(UnweaveError, match=line):
        Run.create("s", {}, root=tmp_path, about=about)
    assert list(tmp_path.iterdir()) == []


def test_a_study_of_ones_own_is_copied_with_its_hash(tmp_path):
    source = tmp_path / "my_study.py"
    source.write_text("x = 1\n")
    run = Run.create("s", {}, root=tmp_path / "runs", about={"source": str(source)})
    assert state(run)["source"] == {"file": "code/my_study.py", "sha256": hashlib.sha256(b"x = 1\n").hexdigest()}
    source.write_text("x = 2\n")
    assert (run.path / "code" / "my_study.py").read_text() == "x = 1\n"


@pytest.mark.parametrize("name", ["folder.py", "none.py", "big.py", "no python.txt", "ünicode.py"])
def test_a_source_that_is_no_python_file_is_refused(tmp_path, name):
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "big.py").write_bytes(b"#" * 1_000_001)
    (tmp_path / "no python.txt").write_text("")
    with pytest.raises(UnweaveError, match="Python file"):
        Run.create("s", {}, root=tmp_path / "runs", about={"source": tmp_path / name})
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_refused_first_start_leaves_nothing_with_its_source_and_a_job_keeps_its_run(tmp_path):
    source = tmp_path / "my_study.py"
    source.write_text("")
    for about, kept in (({"source": source}, False), ({"job": "one"}, True)):
        run = Run.create("s", {}, root=tmp_path, about=about)
        with pytest.raises(UnweaveError, match="no such label"), run:
            raise UnweaveError("no such label")
        assert run.path.exists() is kept
    assert run.status == "failed"


def test_identities_are_kept_once_and_other_bytes_under_a_name_are_refused(tmp_path):
    run = Run.create("s", {}, root=tmp_path)
    run.identify("target", "tiny", SHA[:16], device="cpu")
    run.identify("data", "text", SHA, rows=3)
    run.identify("data", "text", SHA, rows=3)
    assert state(run)["identities"] == [
        {"kind": "target", "name": "tiny", "sha256": SHA[:16], "device": "cpu"},
        {"kind": "data", "name": "text", "sha256": SHA, "rows": 3},
    ]
    with pytest.raises(UnweaveError, match="was started with another data 'text': put that one back"):
        run.identify("data", "text", "cd" * 32)
    with pytest.raises(UnweaveError, match="nearest: 'held-out'"):
        run.identify("heldout", "text", SHA)
    with pytest.raises(UnweaveError, match="at least 16 hexadecimal digits"):
        run.identify("data", "other", "xyz")


def test_f3_31_a_study_that_would_use_other_seeds_than_planned_is_refused(tmp_path):
    planned = Run.create("s", {}, root=tmp_path, about={"seeds": [3, 1, 2]})
    planned.use_seeds(range(1, 4))
    assert state(planned)["seeds"] == [3, 1, 2]
    with pytest.raises(UnweaveError, match=r"was planned with seeds \[3, 1, 2\], and its config gives \[1\]"):
        planned.use_seeds([1])
    free = Run.create("s", {}, root=tmp_path)
    free.use_seeds([7])
    assert state(free)["seeds"] == [7]


def test_a_waiting_run_begins_in_the_process_that_works_on_it(tmp_path):
    run = Run.create("s", {}, root=tmp_path, name="one", status="waiting")
    assert (run.status, state(run)["environment"]) == ("waiting", {})
    with pytest.raises(UnweaveError, match="is waiting: only a run that stopped early can be resumed"):
        Run.resume(run.path)
    with pytest.raises(UnweaveError, match="is waiting: only a run at work can be joined"):
        Run.join(run.path)
    worker = Run.open(run.path)
    worker.begin()
    worker.log(a=1)
    assert (run.status, state(run)["resumed"]) == ("running", [])
    assert (run.path / "metrics.jsonl").exists()
    with pytest.raises(UnweaveError, match="is running: there is nothing to begin"):
        Run.open(run.path).begin()
    worker.finish("interrupted")
    worker.wait("its worker was lost")
    worker.begin()
    assert len(state(run)["resumed"]) == 1
    worker.measure = lambda: {"seconds": 1.5}
    worker.finish()
    assert state(run)["usage"] == {"seconds": 1.5}
    with pytest.raises(UnweaveError, match="is finished: it cannot wait"):
        worker.wait()


def test_several_processes_log_to_one_run_and_keep_cells_of_it(tmp_path):
    run = Run.create("s", {}, root=tmp_path, name="one")
    run.log(who=-1)
    code = (
        "import sys; from pathlib import Path; from unweave.record import Run\n"
        "run = Run.join(Path(sys.argv[1]))\n"
        "for n in range(20): run.log(who=int(sys.argv[2])); run.put_cell('c', f'{sys.argv[2]}/{n}', {'n': n})"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(run.path), str(who)]) for who in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert sorted(row["who"] for row in run.metrics()) == sorted([-1, *[who for who in range(3) for _ in range(20)]])
    assert set(run.cells("c")) == {f"{who}/{n}" for who in range(3) for n in range(20)}
    assert len(list(run.path.glob("metrics*.jsonl"))) == 4


def test_the_code_is_hashed_and_any_other_byte_of_it_is_another_hash(tmp_path):
    package = Path(unweave.__file__).parent
    assert environment()["code"] == {"tree": code_tree(package)}
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.py").write_bytes(b"x = 1")
    (tmp_path / "two.py").write_bytes(b"")
    (tmp_path / "data.txt").write_bytes(b"1")
    before = code_tree(tmp_path)
    (tmp_path / "data.txt").write_bytes(b"2")
    assert code_tree(tmp_path) == before
    (tmp_path / "a" / "one.py").write_bytes(b"x = 2")
    changed = code_tree(tmp_path)
    os.rename(tmp_path / "two.py", tmp_path / "three.py")
    assert len({before, changed, code_tree(tmp_path)}) == 3


def test_f3_44_no_environment_variable_is_recorded(tmp_path, monkeypatch):
    planted = "sk-planted-0123456789abcdef"
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "WANDB_API_KEY", "HOME_SECRET"):
        monkeypatch.setenv(name, planted)
    environment_module._read_once.cache_clear()
    with Run.create("s", {}, root=tmp_path) as run:
        run.log(a=1)
        run.save_table(Table("t", ("a",), ((1.0,),)))
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert planted.encode() not in written
    assert b"API_KEY" not in written


def test_f3_15_a_folder_for_runs_that_is_made_is_its_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        Run.create("s", {}, root=tmp_path / "runs")
    finally:
        os.umask(before)
    assert (tmp_path / "runs").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\\b", ".hidden", "A", "x" * 101, "a\0b", "a b", "ü"])
def test_f3_11_what_is_no_id_is_refused(name):
    with pytest.raises(UnweaveError, match="run name"):
        check_id(name)
    assert check_id("a.b_c-1") == "a.b_c-1"
