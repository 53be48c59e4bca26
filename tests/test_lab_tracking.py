from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import unweave
from unweave.base.errors import UnweaveError
from unweave.lab import ranks, tracking
from unweave.lab.tracked_run import TrackedRun
from unweave.record import Run
from unweave.record.seal import check_seal


@pytest.fixture(autouse=True)
def _clean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("UNWEAVE_MODE", "UNWEAVE_RUNS", "UNWEAVE_PROJECT", "UNWEAVE_MIRROR", ranks.RUN):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(TrackedRun, "_warned", set())
    yield
    tracking.finish()


def only_run(root="runs"):
    (found,) = [Run.open(path.parent) for path in Path(root).glob("*/run.json")]
    return found


def script(code, *arguments, check=True, **environment):
    """A training script in a process of its own, as its user starts it."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=check,
        env={**os.environ, **environment},
    )


def test_a_script_of_another_tracker_works_with_its_import_changed(capsys):
    import unweave as wandb

    run = wandb.init(project="Polyglot LoRA", config={"lr": 0.1}, name="first", tags=["x"], entity="me", save_code=True)
    wandb.config.update({"epochs": 2})
    wandb.config.lr = 0.2
    for epoch in range(wandb.config.epochs):
        wandb.log({"train": {"loss": 1.0 / (epoch + 1)}, "epoch": epoch})
    wandb.run.summary["best"] = 0.25
    assert wandb.run is run
    wandb.finish()
    assert wandb.run is None
    kept = only_run()
    assert kept.id == run.id
    assert kept.id.startswith("first-")
    assert kept.state()["tags"] == ["project:Polyglot LoRA", "name:first", "x"]
    assert (kept.study, kept.status, kept.config) == ("tracked", "finished", {"lr": 0.2, "epochs": 2})
    assert [(row["step"], row["train/loss"], row["epoch"]) for row in kept.metrics()] == [(0, 1.0, 0), (1, 0.5, 1)]
    assert kept.load_table("summary").records() == [
        {"metric": "train/loss", "value": 0.5},
        {"metric": "epoch", "value": 1.0},
        {"metric": "best", "value": 0.25},
    ]
    assert check_seal(kept.path) == []
    assert "init does not know entity, save_code: left out" in capsys.readouterr().err


def test_steps_are_counted_given_or_held():
    unweave.init()
    unweave.log({"a": 1})
    unweave.log({"a": 2}, commit=False)
    unweave.log({"b": 3})
    unweave.log({"a": 4}, step=10)
    unweave.log({"a": 5})
    unweave.log({"a": 6}, step=3, commit=False)
    unweave.log({"a": 7})
    unweave.finish()
    assert [row["step"] for row in only_run().metrics()] == [0, 1, 1, 10, 11, 3, 12]


def test_a_metric_called_time_does_not_disturb_the_order_of_rows():
    unweave.init()
    for value in (9.0, 1.0):
        unweave.log({"time": value, "self": 1, "step": 5})
    unweave.finish()
    assert [row["logged/time"] for row in only_run().metrics()] == [9.0, 1.0]
    assert [row["step"] for row in only_run().metrics()] == [0, 1]


def test_a_script_may_change_its_folder(tmp_path):
    unweave.init()
    unweave.log({"a": 1})
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    unweave.log({"a": 2})
    unweave.finish()
    assert len(only_run(tmp_path / "runs").metrics()) == 2


def test_logging_without_a_run_is_said_once_and_raises_nothing(capsys):
    for _ in range(3):
        unweave.log({"a": 1})
    assert capsys.readouterr().err.count("call unweave.init first") == 1
    unweave.finish()
    with pytest.raises(UnweaveError, match=r"call unweave\.init first"):
        _ = unweave.config.lr


def test_a_disabled_run_records_nothing(monkeypatch):
    monkeypatch.setenv("UNWEAVE_MODE", "disabled")
    with unweave.init(config={"lr": 1}) as run:
        unweave.log({"a": 1})
        assert unweave.config.lr == 1
    assert (run.id, run.path) == ("disabled", None)
    assert not Path("runs").exists()


def test_rows_that_cannot_be_written_are_counted_said_once_and_told_at_the_end(capsys, monkeypatch):
    run = unweave.init()
    unweave.log({"a": 1})

    def refuse(*_, **__):
        raise UnweaveError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Run, "log", refuse)
        for _ in range(5):
            unweave.log({"a": 2})
    unweave.log({"a": 3})
    unweave.finish()
    said = capsys.readouterr().err
    assert said.count("a row was not recorded: the disk is full") == 1
    assert "5 of 7 rows were not recorded (the disk is full)" in said
    assert run.lost == 5
    assert only_run().state()["note"] == "5 of 7 rows were not recorded (the disk is full)"
    assert [row["a"] for row in only_run().metrics()] == [1, 3]


@pytest.mark.parametrize("data", [None, 3, {"x": {}}, {"a": {"b": object()}}])
def test_what_is_no_row_raises_nothing(data):
    with unweave.init():
        unweave.log(data)
        unweave.log({"ok": 1}, step="seven")
        loop = {}
        loop["loop"] = loop
        unweave.log(loop)
        unweave.log({"good": 1})
    assert only_run().metrics()[-1]["good"] == 1


def test_a_removed_folder_ends_no_training(capsys):
    import shutil

    run = unweave.init()
    shutil.rmtree(run.path)
    unweave.log({"a": 1})
    unweave.config.lr = 3
    unweave.finish()
    said = capsys.readouterr().err
    assert "a row was not recorded" in said
    assert "the end of run" in said


@pytest.mark.parametrize(
    ("error", "status", "note"),
    [(None, "finished", None), (ValueError("bad\nvalue"), "failed", "bad"), (KeyboardInterrupt(), "interrupted", None)],
)
def test_the_end_of_a_block_is_recorded(error, status, note):
    try:
        with unweave.init() as run:
            run.log({"a": 1})
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    state = only_run().state()
    assert state["status"] == status
    assert note is None or state["note"] == note


@pytest.mark.parametrize(
    ("ending", "status", "note"),
    [
        ("", "finished", None),
        ("raise ValueError('out of luck')", "failed", "out of luck"),
        ("raise KeyboardInterrupt", "interrupted", "KeyboardInterrupt"),
        ("import sys; sys.exit(3)", "failed", "the program ended with exit code 3"),
        ("import sys; sys.exit(0)", "finished", None),
        ("import sys\ntry: sys.exit(3)\nexcept SystemExit: unweave.log({'b': 1})", "finished", None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "interrupted", None),
        ("unweave.finish(1)", "failed", "finished with exit code 1"),
    ],
)
def test_how_a_script_ended_is_recorded_without_a_word_from_it(ending, status, note):
    script(f"import unweave\nunweave.init(project='p')\nunweave.log({{'a': 1}})\n{ending}", check=False)
    run = only_run()
    assert (run.status, run.state()["note"]) == (status, note)
    assert run.metrics()[0]["a"] == 1


def test_importing_and_logging_load_no_torch():
    ran = script(
        "import sys, unweave\nunweave.init(); unweave.log({'a': 1}); unweave.finish()\n"
        "print(sorted({'torch', 'transformers', 'mlflow', 'numpy'} & set(sys.modules)))"
    )
    assert ran.stdout == "[]\n"


CHILDREN = """
import multiprocessing, os, sys
import unweave

def work(number):
    if sys.argv[1] == "init":
        unweave.init(project="another")
    for step in range(50):
        unweave.log({"child": number, "x": step})
    unweave.finish()

if __name__ == "__main__":
    unweave.init(project="p")
    context = multiprocessing.get_context(sys.argv[2])
    processes = [context.Process(target=work, args=(number,)) for number in range(3)]
    for process in processes: process.start()
    for step in range(50): unweave.log({"parent": 1, "x": step})
    for process in processes: process.join()
    assert all(process.exitcode == 0 for process in processes)
"""


@pytest.mark.parametrize("initiates", ["init", "plain"])
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_processes_that_a_script_starts_log_to_its_run(tmp_path, start, initiates):
    path = tmp_path / "script.py"
    path.write_text(CHILDREN)
    subprocess.run([sys.executable, str(path), initiates, start], check=True, capture_output=True)
    run = only_run()
    rows = run.metrics()
    assert run.status == "finished"
    assert [row["x"] for row in rows if "parent" in row] == list(range(50))
    for number in range(3):
        assert [row["x"] for row in rows if row.get("child") == number] == list(range(50))
    assert len(list(run.path.glob("metrics.*.jsonl"))) == 3
    assert check_seal(run.path) == []
    assert list(Path("runs/.lab/ranks").iterdir()) == []


@pytest.mark.parametrize("logs", [True, False])
def test_a_forked_process_that_ends_does_not_end_the_run(logs):
    script(
        "import os, sys, unweave\nunweave.init()\nunweave.log({'a': 1})\n"
        "child = os.fork()\n"
        f"if not child:\n    {logs} and unweave.log({{'a': 2}}); sys.exit(5)\n"
        "os.waitpid(child, 0)\nfrom pathlib import Path; from unweave.record import Run\n"
        "assert Run.open(Path(unweave.run.path)).status == 'running'\nunweave.log({'a': 3})"
    )
    assert only_run().status == "finished"
    assert sorted(row["a"] for row in only_run().metrics()) == ([1, 2, 3] if logs else [1, 3])


RANK = """
import os, time, unweave
from pathlib import Path
rank, launch = int(os.environ["RANK"]), os.environ["LAUNCH"]

def reached(name):
    Path(f"{name}-{launch}").touch()

def wait_for(*names):
    while not all(Path(f"{name}-{launch}").exists() for name in names):
        time.sleep(0.01)

if rank == 0:
    time.sleep(0.4)
unweave.init(project="ranks")
for step in range(20):
    unweave.log({"rank": rank, "x": step})
reached(f"logged-{rank}")
wait_for("logged-0", "logged-1", "logged-2")
if rank == 0:
    reached("finishing")
else:
    wait_for("finishing")
    time.sleep(0.3 * rank)
unweave.log({"rank": rank, "x": 20})
unweave.finish()
"""


def launched(number, ranks=3):
    """The ranks of a launch, as torchrun starts them."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "WORLD_SIZE": str(ranks), "LAUNCH": str(number)}
    return [
        subprocess.Popen(
            [sys.executable, "-c", RANK],
            env={**os.environ, **place, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]


def test_ranks_of_one_launch_share_the_first_ones_run_and_a_second_launch_has_its_own():
    for number in range(2):
        # Rank 0 begins last and ends first: the others wait for it, and it for them.
        ends = [(process.communicate(timeout=90)[1], process.returncode) for process in launched(number)]
        assert ends == [("", 0)] * 3
    runs = [Run.open(path.parent) for path in Path("runs").glob("*/run.json")]
    assert len(runs) == 2
    for run in runs:
        assert sorted({row["rank"] for row in run.metrics()}) == [0, 1, 2]
        assert len(run.metrics()) == 63
        assert check_seal(run.path) == []


def test_a_rank_without_a_first_rank_goes_on_unrecorded(monkeypatch, capsys):
    for name, value in {"MASTER_ADDR": "x", "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ranks, "JOIN_SECONDS", 0.1)
    unweave.init()
    unweave.log({"a": 1})
    assert "rank 1 found no run of rank 0" in capsys.readouterr().err
    assert not list(Path("runs").glob("*/run.json"))


def test_a_run_waits_only_so_long_for_processes_that_still_log(monkeypatch, capsys):
    monkeypatch.setattr(ranks, "LEAVE_SECONDS", 0.2)
    run = unweave.init()
    presence = ranks.Presence(Run.open(Path(run.path)))
    started = time.monotonic()
    unweave.finish()
    assert 0.2 <= time.monotonic() - started < 5
    assert "1 processes of run" in capsys.readouterr().err
    presence.end()
    assert only_run().status == "finished"


def test_threads_log_side_by_side():
    unweave.init()

    def work(number):
        for step in range(100):
            unweave.log({"thread": number, "x": step})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    unweave.finish()
    rows = only_run().metrics()
    assert sorted(row["step"] for row in rows) == list(range(400))
    for number in range(4):
        assert [row["x"] for row in rows if row["thread"] == number] == list(range(100))


def test_a_second_run_ends_the_first():
    first = unweave.init(project="a")
    second = unweave.init(project="b")
    unweave.log({"x": 1})
    unweave.finish()
    assert [Run.open(Path(run).parent).status for run in sorted(Path("runs").glob("*/run.json"))] == ["finished"] * 2
    assert first.id != second.id
    assert [row["x"] for row in Run.open(Path("runs") / second.id).metrics()] == [1]


def test_a_run_that_stopped_early_goes_on(tmp_path):
    script(
        "import unweave, os\nunweave.init(project='p', id='mine', config={'lr': 1})\n"
        "unweave.log({'a': 1}); os._exit(1)",
        check=False,
    )
    assert only_run().status == "interrupted"
    with pytest.raises(UnweaveError, match="run 'mine' exists already"):
        unweave.init(project="p", id="mine")
    run = unweave.init(project="p", id="mine", resume="allow", config={"more": 2})
    assert dict(run.config) == {"lr": 1, "more": 2}
    unweave.log({"a": 2})
    unweave.finish()
    assert [(row["step"], row["a"]) for row in only_run().metrics()] == [(0, 1), (1, 2)]
    assert only_run().config == {"lr": 1, "more": 2}
    with pytest.raises(UnweaveError, match="only a run that stopped early can be resumed"):
        unweave.init(project="p", id="mine", resume="must")


def test_the_projects_last_unfinished_run_goes_on_by_itself():
    for project in ("p", "q"):
        script(
            f"import unweave, os\nunweave.init(project='{project}'); unweave.log({{'a': 1}}); os._exit(1)", check=False
        )
    run = unweave.init(project="p", resume=True)
    assert run.id.startswith("p-")
    assert len(list(Path("runs").glob("*/run.json"))) == 2


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"mode": "of"}, "mode is 'of'; nearest: 'offline'"),
        ({"resume": "maybe"}, "resume is 'maybe'"),
        ({"resume": "must"}, "resume='must' needs an id"),
        ({"resume": "must", "id": "nothing"}, "there is no run 'nothing'"),
        ({"id": "../x"}, r"run name '\.\./x'"),
        ({"mirror": "mlflo"}, "there is no mirror 'mlflo'; nearest: 'mlflow'"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused_and_leave_no_run(settings, line):
    with pytest.raises(UnweaveError, match=line):
        unweave.init(**settings)
    assert not list(Path("runs").glob("*/run.json"))


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnweaveError, match="file"):
        unweave.init(dir=tmp_path / "file")


def test_a_call_takes_less_than_200_microseconds():
    unweave.init()
    seconds = []
    for step in range(1000):
        started = time.perf_counter()
        unweave.log({"loss": 0.5, "accuracy": {"top1": 0.1, "top5": 0.2}}, step=step)
        seconds.append(time.perf_counter() - started)
    # The median, because other programs may have the processor in between.
    assert sorted(seconds)[500] < 200e-6
