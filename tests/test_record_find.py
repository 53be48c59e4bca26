from __future__ import annotations

import json

import pytest

from unweave.base.errors import UnweaveError
from unweave.record import Run, find_run, list_runs

CREATED = {
    "b-run": "2026-01-04",
    "a-run": "2026-01-06",
    "d-run": "2026-01-02",
    "c-run": "2026-01-01",
    "e-run": "2026-01-05",
}


@pytest.fixture
def root(tmp_path):
    for name, created in CREATED.items():
        run = Run.create("s", {}, root=tmp_path, name=name)
        (run.path / "run.json").write_text(json.dumps({**run.state(), "created": created}))
    return tmp_path


def test_a_run_is_found_by_id_by_path_and_as_the_last(root, monkeypatch):
    assert find_run("b-run", root).path == root / "b-run"
    assert find_run(str(root / "c-run"), root).id == "c-run"
    assert find_run(root / "c-run" / "run.json", root).id == "c-run"
    assert find_run("last", root).id == "a-run"
    monkeypatch.chdir(root / "b-run")
    assert find_run(".", root).id == "b-run"


def test_runs_are_listed_oldest_first_without_what_cannot_be_read(root):
    (root / "broken").mkdir()
    (root / "broken" / "run.json").write_text("{")
    (root / ".half.part").mkdir()
    (root / ".half.part" / "run.json").write_text((root / "a-run" / "run.json").read_text())
    oldest_first = sorted(CREATED, key=lambda name: CREATED[name])
    assert [run.id for run in list_runs(root)] == oldest_first
    # The other way round too, since a file system may happen to list them in order.
    for name, created in CREATED.items():
        run = Run.open(root / name)
        (run.path / "run.json").write_text(json.dumps({**run.state(), "created": f"{3000 - int(created[-2:])}"}))
    assert [run.id for run in list_runs(root)] == oldest_first[::-1]


def test_an_unknown_run_names_the_nearest(root):
    with pytest.raises(UnweaveError, match=r"no run 'a-rnu' in .*; nearest: 'a-run'"):
        find_run("a-rnu", root)
    with pytest.raises(UnweaveError, match=r"it has no run.json"):
        find_run(root, root)


def test_no_runs_at_all(tmp_path):
    with pytest.raises(UnweaveError, match="there are no runs"):
        find_run("last", tmp_path / "none")
    with pytest.raises(UnweaveError, match="there are none"):
        find_run("x", tmp_path / "none")
