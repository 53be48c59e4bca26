"""Runs that are asked about live: found by what they hold, opened when finished, and asked nothing of another kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fuzzing import Asker

from unweave.base.errors import UnweaveError
from unweave.base.views import all_views
from unweave.read.opened_subject import subject_id
from unweave.record.run import Run
from unweave.server.run_subjects import open_runs, told_apart
from unweave.server.serve import prepare


@pytest.fixture
def runs(foreseen, tmp_path):
    """A lab's folder with a prediction, the same unfinished, with a link in it, and a run of something else."""
    root = tmp_path / "runs"
    for name in ("done", "going", "linked"):
        shutil.copytree(foreseen, root / name)
    state = json.loads((root / "going" / "run.json").read_text()) | {"status": "failed"}
    (root / "going" / "run.json").write_text(json.dumps(state))
    (root / "linked" / "survey" / "more.json").symlink_to("/etc/passwd")
    Run.create("demo", {}, root, "other").finish()
    return root


def test_runs_are_told_from_harvests_by_path_and_by_id(runs, tmp_path):
    others, found = told_apart([runs / "done", Path("going"), runs / "other", Path("x.harvest")], runs)
    assert found == [runs / "done", runs / "going"]
    assert others == [runs / "other", Path("x.harvest")]
    assert told_apart([Path("done")], None) == ([Path("done")], [])


def test_finished_runs_of_the_lab_are_opened_and_no_others(runs):
    found = open_runs([], runs)
    assert [subject.run.id for subject in found.values()] == ["done"]
    assert list(open_runs([runs / "done"], runs)) == list(found)
    assert open_runs([], None) == {}


def test_what_is_named_is_refused_with_its_reason(runs):
    with pytest.raises(UnweaveError, match="'going' is failed"):
        open_runs([runs / "going"], runs)
    with pytest.raises(UnweaveError, match=r"linked holds a symlink, 'survey/more\.json'"):
        open_runs([runs / "linked"], runs)


def test_a_run_can_be_served_alone_or_with_the_lab(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, root in (([runs / "done"], None), ([], runs)):
        service = prepare(given, port=0, runs=root, starts_jobs=False)
        service.socket.close()
        if service.lab is not None:
            service.lab.close()
        assert [subject.kind_of_subject for subject in service.subjects.values()] == ["preferences"]
    with pytest.raises(UnweaveError, match="other is not a harvest"):
        prepare([runs / "other"], port=0)


def test_a_run_that_finishes_later_is_listed_and_can_be_asked(runs, monkeypatch):
    found = open_runs([], runs)
    asked = Asker(all_views(), found)
    with asked.runner:
        listed = lambda: [one["id"] for one in json.loads(asked("GET", "/api/subjects", b"")[1])["subjects"]]  # noqa: E731
        assert listed() == [subject_id(runs / "done")]
        state = json.loads((runs / "going" / "run.json").read_text()) | {"status": "finished"}
        (runs / "going" / "run.json").write_text(json.dumps(state))
        # A page of it is opened by its address, before anything is listed.
        later = subject_id(runs / "going")
        status, body = asked("POST", f"/api/subjects/{later}/views/preferences-overview", b"{}")
        assert (status, json.loads(body)["pairs"]) == (200, 24)
        assert asked("POST", "/api/subjects/no-such/views/preferences-overview", b"{}")[0] == 404
        assert listed() == [subject_id(runs / "done"), later]
        opened = []
        monkeypatch.setattr("unweave.server.run_subjects.Run.open", opened.append)
        assert len(listed()) == 2
        assert opened == []


def test_the_address_of_a_run_that_finished_later_has_its_page(runs):
    asked = Asker(all_views(), open_runs([], runs))
    with asked.runner:
        later = subject_id(runs / "going")
        assert asked("GET", f"/d/{later}", b"")[0] == 404
        state = json.loads((runs / "going" / "run.json").read_text()) | {"status": "finished"}
        (runs / "going" / "run.json").write_text(json.dumps(state))
        assert asked("GET", f"/d/{later}", b"")[0] == 200
        assert asked("GET", "/d/no-such", b"")[0] == 404


def test_a_view_is_asked_of_subjects_of_its_own_kind_only(runs):
    (subject,) = open_runs([runs / "done"], None).values()
    asked = Asker(all_views(), {subject.id: subject})
    with asked.runner:
        listed = json.loads(asked("GET", "/api/subjects", b"")[1])["subjects"]
        assert [(one["id"], one["subject"], one["stands"]) for one in listed] == [(subject.id, "preferences", 2)]
        place = f"/api/subjects/{subject.id}/views"
        status, body = asked("POST", f"{place}/preferences-overview", b"{}")[:2]
        assert (status, json.loads(body)["pairs"]) == (200, 24)
        for name, body in (("overview", b"{}"), ("fires", b'{"text": "a"}'), ("undo-edit", b"{}")):
            status, said = asked("POST", f"{place}/{name}", body)[:2]
            assert status == 404
            assert "is of subjects of kind 'harvest', and this one is 'preferences'" in json.loads(said)["detail"]
