from __future__ import annotations

import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import unweave
from unweave.base.errors import UnweaveError
from unweave.lab import mirrors, ranks, tracking
from unweave.lab.mirrors import About, Mirror, open_mirrors
from unweave.record import Run

ABOUT = About("run-1", "project", "name", {"lr": 0.1})


@pytest.fixture(autouse=True)
def _clean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "WANDB_MODE", ranks.RUN):
        monkeypatch.delenv(name, raising=False)
    yield
    tracking.finish()


class Kept:
    """A sink that keeps what it gets, and waits or fails where a test says so."""

    def __init__(self, gate=None, fails=None):
        self.rows, self.ended, self.thread, self.gate, self.fails = [], None, None, gate, fails

    def log(self, rows):
        self.thread = threading.current_thread()
        if self.gate is not None:
            self.gate.wait(10)
        if self.fails is not None:
            raise self.fails
        self.rows += rows

    def finish(self, finished):
        self.ended = finished


def test_rows_arrive_in_order_in_another_thread():
    sink, said = Kept(), []
    mirror = Mirror("kept", lambda: sink, said.append)
    for step in range(1000):
        mirror.log({"x": step}, step)
    mirror.finish(True)
    assert [(entry.row["x"], entry.step) for entry in sink.rows] == [(step, step) for step in range(1000)]
    assert (sink.ended, said) == (True, [])
    assert sink.thread is not threading.main_thread()


def test_a_slow_tracker_is_waited_for_only_so_long_and_never_by_log(monkeypatch):
    monkeypatch.setattr(mirrors, "WAITING_ROWS", 50)
    gate, said = threading.Event(), []
    sink = Kept(gate)
    mirror = Mirror("slow", lambda: sink, said.append)
    started = time.monotonic()
    for step in range(500):
        mirror.log({"x": step}, step)
    assert time.monotonic() - started < 1
    mirror.finish(True, seconds=0.2)
    assert time.monotonic() - started < 3
    assert len(said) == 1
    assert said[0].startswith("mirror slow did not finish in time")
    gate.set()


@pytest.mark.parametrize("when", ["start", "log"])
def test_a_tracker_that_fails_is_said_once_and_what_is_missing_is_counted(when):
    said = []

    def start():
        if when == "start":
            raise ConnectionError("no route\nto host")
        return Kept(fails=SystemExit("no route"))

    mirror = Mirror("bad", start, said.append)
    mirror.log({"x": 0}, 0)
    mirror._thread.join(5)
    for step in range(1, 10):
        mirror.log({"x": step}, step)
    mirror.finish(True)
    kind = "ConnectionError" if when == "start" else "SystemExit"
    assert said[0] == f"mirror bad stopped: {kind}: no route; the run itself goes on"
    assert len(said) == 2
    assert said[1].endswith("rows are missing there")


def test_a_mirror_of_an_unknown_or_absent_library_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(mirrors, "find_spec", lambda name: None)
    with pytest.raises(UnweaveError, match="there is no mirror 'wandbb'; nearest: 'wandb'"):
        open_mirrors("wandbb", ABOUT, print)
    with pytest.raises(UnweaveError, match="'mlflow' needs a library that is not installed: pip install mlflow-skinny"):
        open_mirrors(["mlflow"], ABOUT, print)


@pytest.mark.parametrize(
    ("name", "variable", "value", "refused"),
    [
        ("wandb", "WANDB_MODE", "online", True),
        ("mlflow", "MLFLOW_TRACKING_URI", "https://example.org", True),
        ("trackio", "TRACKIO_SPACE_ID", "me/space", True),
        ("wandb", "WANDB_MODE", "offline", False),
        ("mlflow", "MLFLOW_TRACKING_URI", "sqlite:///x.db", False),
        ("trackio", "TRACKIO_SPACE_ID", "", False),
    ],
)
def test_offline_refuses_the_mirrors_that_would_use_the_network(monkeypatch, name, variable, value, refused):
    monkeypatch.setenv("UNWEAVE_OFFLINE", "1")
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(mirrors, "find_spec", lambda name: object())
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    sink = Kept()
    module, package, network, _ = mirrors._MIRRORS[name]
    monkeypatch.setitem(mirrors._MIRRORS, name, (module, package, network, lambda about: sink))
    if refused:
        with pytest.raises(UnweaveError, match=f"mirror '{name}' needs the network, and offline is set"):
            unweave.init(mirror=name)
        assert not list(Path("runs").glob("*/run.json"))
    else:
        (opened,) = open_mirrors(name, ABOUT, print)
        opened.finish(True)
        assert sink.ended is True


def test_a_tracked_run_is_mirrored_and_is_whole_whatever_the_mirror_does(monkeypatch, capsys):
    good, bad = Kept(), Kept(fails=OSError("gone"))
    monkeypatch.setattr(mirrors, "find_spec", lambda name: object())
    for name, sink in (("trackio", good), ("mlflow", bad)):
        module, package, network, _ = mirrors._MIRRORS[name]
        monkeypatch.setitem(mirrors._MIRRORS, name, (module, package, network, lambda about, sink=sink: sink))
    run = unweave.init(project="p", config={"lr": 1}, mirror=["trackio", "mlflow"])
    for step in range(20):
        unweave.log({"a": {"b": step}})
    unweave.finish()
    assert [entry.row for entry in good.rows] == [{"a/b": step} for step in range(20)]
    assert capsys.readouterr().err.count("mirror mlflow stopped: OSError: gone") == 1
    kept = Run.open(Path("runs") / run.id)
    assert (kept.status, len(kept.metrics())) == ("finished", 20)


def test_weights_and_biases_is_called_as_its_users_call_it(monkeypatch):
    calls = []
    wandb = ModuleType("wandb")
    theirs = SimpleNamespace(
        log=lambda row, step: calls.append(("log", row, step)),
        finish=lambda exit_code: calls.append(("finish", exit_code)),
    )
    wandb.init = lambda **settings: calls.append(("init", settings)) or theirs
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    sink = mirrors._WeightsAndBiases(ABOUT)
    sink.log([mirrors.Logged({"x": 1}, 3)])
    sink.finish(False)
    assert calls == [
        ("init", {"project": "project", "name": "name", "id": "run-1", "config": {"lr": 0.1}}),
        ("log", {"x": 1}, 3),
        ("finish", 1),
    ]


@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed")
@pytest.mark.filterwarnings("ignore")
def test_mlflow_holds_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setattr(mirrors, "FINISH_SECONDS", 120.0)
    with unweave.init(project="p", name="n", config={"lr": 0.1, "sizes": [1, 2]}, mirror="mlflow") as run:
        for step in range(300):
            unweave.log({"loss": 1 / (step + 1), "a b": {"c[0]": step}, "text": "x"}, step=2 * step)
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name("p").experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params == {"lr": "0.1", "sizes": "[1, 2]"}
    assert found.data.tags["unweave.run"] == run.id
    history = client.get_metric_history(found.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(2 * step, 1 / (step + 1)) for step in range(300)]
    assert len(client.get_metric_history(found.info.run_id, "a b/c_0_")) == 300


@pytest.mark.skipif(find_spec("trackio") is None, reason="trackio is not installed")
@pytest.mark.filterwarnings("ignore")
def test_trackio_holds_the_same_numbers(tmp_path, monkeypatch):
    import trackio.sqlite_storage
    import trackio.utils

    for module in (trackio.sqlite_storage, trackio.utils):
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio", raising=False)
    monkeypatch.setattr(mirrors, "FINISH_SECONDS", 120.0)
    with unweave.init(project="p", config={"lr": 0.1}, mirror="trackio") as run:
        for step in range(30):
            unweave.log({"loss": 1 / (step + 1), "a": {"b": step}}, step=2 * step)
    rows = trackio.sqlite_storage.SQLiteStorage.get_logs("p", run.id)
    assert [(row["step"], row["loss"], row["a/b"]) for row in rows] == [
        (2 * step, 1 / (step + 1), step) for step in range(30)
    ]
