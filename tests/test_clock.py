"""A card says what the whole training took, however often it was interrupted. A step takes ten seconds here."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import planted
import pytest
import tiny

from unweave.decompose import clock, run, site_local, site_local_run, whole_model
from unweave.decompose.clock import Clock
from unweave.decompose.run import decompose

CONFIG = replace(tiny.CONFIG, steps=4)


@pytest.fixture
def stopped_at(monkeypatch):
    """Counts the steps of both methods by that clock, and stops before the one of a number, from 0, of all of them."""
    stop, done = [None], [0]
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: 1000.0 + 10 * done[0]))

    def counted(step):
        def counting(self, number):
            if done[0] == stop[0]:
                raise KeyboardInterrupt
            done[0] += 1
            return step(self, number)

        return counting

    for kind in (whole_model.Training, site_local._Adam):
        monkeypatch.setattr(kind, "step", counted(kind.step))
    return lambda number: stop.__setitem__(0, number)


def twice(call, stopped_at, number):
    stopped_at(number)
    with pytest.raises(KeyboardInterrupt):
        call()
    stopped_at(None)
    return call()


def test_a_clock_counts_on_from_what_was_spent_before(stopped_at):
    here = Clock()
    here.before = 12.5
    assert here.seconds == 12.5


@pytest.mark.parametrize(("groups", "number"), [(1, 1), (1, 3), (2, 3), (2, 4), (2, 6)])
def test_a_resumed_whole_model_training_took_what_all_its_calls_took(tmp_path, stopped_at, groups, number):
    config, logged = replace(CONFIG, groups=groups), []

    def call():
        out = tmp_path / "made"
        return decompose(tiny.words(), tiny.sentences(), config, out=out, checkpoint_seconds=0, log=logged.append)

    assert twice(call, stopped_at, number).card["training_seconds"] == 40 * groups
    assert [row["seconds"] for row in logged] == [10.0 * (step + 1) for step in range(4 * groups)]


def test_steps_that_were_lost_are_not_counted_twice(tmp_path, stopped_at):
    def call():
        return decompose(tiny.words(), tiny.sentences(), CONFIG, out=tmp_path / "made")

    assert twice(call, stopped_at, 3).card["training_seconds"] == 40


def test_a_result_that_could_not_be_saved_keeps_its_seconds(tmp_path, stopped_at, monkeypatch):
    def call():
        return decompose(tiny.words(), tiny.sentences(), CONFIG, out=tmp_path / "made")

    with monkeypatch.context() as patch:
        patch.setattr(run, "save_finished", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            call()
    assert call().card["training_seconds"] == 40


def test_a_resumed_site_took_what_all_its_calls_took(planted_target, planted_text, tmp_path, stopped_at, monkeypatch):
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(site_local, "compiler_works", lambda: False)
    config, logged = replace(planted.CONFIG, steps=6, windows=10, batch=64), []

    def call():
        return site_local_run.decompose_site_local(
            planted_target,
            planted_text,
            config,
            out=tmp_path / "made",
            check=False,
            checkpoint_seconds=0,
            log=logged.append,
        )

    made = twice(call, stopped_at, 4)
    assert made.card["sites"][planted.SITE]["training_seconds"] == 60
    assert [row["seconds"] for row in logged] == [10.0 * (step + 1) for step in range(6)]
