from __future__ import annotations

import errno
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from unweave.base.errors import NothingFound, UnweaveError
from unweave.record import Run, RunCancelled, Table, bars
from unweave.record import environment as environment_module
from unweave.record import run as run_module
from unweave.record.seal import check_seal


@pytest.fixture
def run(tmp_path):
    return Run.create("remove-language", {"language": "de", "tokens": 4}, root=tmp_path / "runs")


def test_a_run_records_what_it_is_and_where_it_ran(run):
    state = json.loads((run.path / "run.json").read_text())
    assert re.fullmatch(r"remove-language-\d{8}-\d{6}-[0-9a-f]{4}", run.id)
    assert (state["study"], state["config"], state["status"]) == (run.study, run.config, "running")
    assert run.config == {"language": "de", "tokens": 4}
    assert state["environment"]["libraries"]["numpy"] == np.__version__
    assert state["environment"]["cpus"] == os.cpu_count()
    assert state["process"]["pid"] == os.getpid()
    assert run.status == "running"


def test_recording_a_run_loads_none_of_the_heavy_libraries(tmp_path):
    code = (
        "import sys; from pathlib import Path; import unweave.stats as s\n"
        "import unweave.record as r; [getattr(room, name) for room in (r, s) for name in room.__all__]\n"
        f"r.Run.create('s', {{}}, root=Path({str(tmp_path)!r})).log(a=1)\n"
        "print([name for name in ('torch', 'transformers', 'matplotlib', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_metrics_are_kept_line_by_line(run):
    run.log(step=1, loss=np.float32(0.5), name="a")
    run.log(loss=math.nan)
    first, second = run.metrics()
    assert (first["step"], first["loss"], first["name"]) == (1, 0.5, "a")
    assert second["loss"] is None
    assert "step" not in second
    assert "time" in second


def test_cells_are_kept_by_key_and_replaced_by_key(run):
    run.put_cell("effects", "factor/0", {"change": 0.1 + 0.2, "seeds": [1, 2], "bad": math.inf})
    run.put_cell("effects", "lora/0", {"change": np.float64(2.0)})
    run.put_cell("effects", "factor/0", {"change": 0.3})
    assert Run.open(run.path).cells("effects") == {"factor/0": {"change": 0.3}, "lora/0": {"change": 2.0}}
    assert run.cells("other") == {}


def test_a_torn_cell_is_computed_again_and_the_others_stay(run):
    run.put_cell("effects", "a", {"x": 1})
    with open(run.path / "cells" / "effects.jsonl", "ab") as file:
        file.write(b'{"key": "b", "row": {"x"')
    assert run.cells("effects") == {"a": {"x": 1}}
    run.put_cell("effects", "b", {"x": 2})
    assert run.cells("effects") == {"a": {"x": 1}, "b": {"x": 2}}


def test_a_killed_run_reads_as_interrupted_keeps_its_cells_and_can_be_resumed(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from unweave.record import Run\n"
        f"run = Run.create('s', {{'a': 1}}, root=Path({str(tmp_path)!r}), name='killed')\n"
        "run.put_cell('t', 'one', {'x': 0.5}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    run = Run.open(tmp_path / "killed")
    assert run.state()["status"] == "running"
    assert run.status == "interrupted"
    resumed = Run.resume(tmp_path / "killed")
    assert resumed.status == "running"
    assert resumed.cells("t") == {"one": {"x": 0.5}}
    assert len(resumed.state()["resumed"]) == 1


def test_a_process_id_given_to_a_newer_process_does_not_keep_a_run_alive(run, monkeypatch):
    state = run.state()
    state["process"]["started"] = "another boot/1"
    (run.path / "run.json").write_text(json.dumps(state))
    assert run.status == "interrupted"
    state["process"]["host"] = "another-host"
    (run.path / "run.json").write_text(json.dumps(state))
    assert run.status == "running"


def test_a_dead_process_is_gone_where_the_system_shows_no_start_times(monkeypatch):
    monkeypatch.setattr(environment_module, "_start_of", lambda pid: None)
    process = environment_module.this_process()
    assert not environment_module.is_gone(process)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    assert environment_module.is_gone({**process, "pid": dead.pid})


def test_on_windows_no_signal_is_sent(run, monkeypatch):
    monkeypatch.setattr(environment_module.sys, "platform", "win32")
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("os.kill would end the process on Windows"))
    assert run.status == "running"


@pytest.mark.parametrize(
    ("error", "status", "note"),
    [
        (None, "finished", None),
        (ValueError("two\nlines"), "failed", "two lines"),
        (KeyboardInterrupt(), "interrupted", "Ctrl-C"),
        (NothingFound("nothing above the null"), "finished", "nothing above the null"),
    ],
)
def test_the_end_of_the_block_is_recorded(run, error, status, note):
    with pytest.raises(type(error)) if error else nullcontext(), run:
        if error:
            raise error
    state = Run.open(run.path).state()
    assert (state["status"], state["note"]) == (status, note)
    assert state["finished"] is not None


def test_a_refusal_leaves_no_run_behind_unless_something_was_written(tmp_path):
    def refused(name, written=False, resumed=False):
        run = Run.create("scan", {}, tmp_path, name)
        if resumed:
            run.finish("interrupted")
            run = Run.resume(run.path)
        if written:
            run.log(loss=1.0)
        with pytest.raises(UnweaveError, match="no such language"), run:
            raise UnweaveError("no such language")
        return run.path.exists()

    assert not refused("first")
    assert refused("second", written=True)
    assert refused("third", resumed=True)
    with pytest.raises(NothingFound), Run.create("scan", {}, tmp_path, "fourth") as run:
        raise NothingFound("a negative result is a result")
    assert run.status == "finished"


def test_a_cancelled_run_stops_and_says_so(run):
    assert not run.cancelled()
    run.stop_if_cancelled()
    Run.open(run.path).cancel()
    assert run.cancelled()
    with pytest.raises(RunCancelled) as caught, run:
        run.stop_if_cancelled()
    assert caught.value.exit_code == 130
    assert run.status == "cancelled"
    assert not Run.resume(run.path).cancelled()


def test_one_of_several_processes_resumes_a_run(tmp_path, monkeypatch):
    run = Run.create("s", {}, root=tmp_path, name="one")
    run.finish("failed", "no")
    # All have looked at the run before the first one writes.
    looked, resumed, refused = threading.Barrier(4), [], []
    open_run = Run.open.__func__

    def opened(cls, path, progress=None):
        found = open_run(cls, path, progress)
        looked.wait(10)
        return found

    def resume():
        try:
            resumed.append(Run.resume(run.path))
        except UnweaveError as error:
            refused.append(str(error))

    real = run_module.write_json

    def slowly(*arguments):
        time.sleep(0.05)
        real(*arguments)

    monkeypatch.setattr(Run, "open", classmethod(opened))
    monkeypatch.setattr(run_module, "write_json", slowly)
    threads = [threading.Thread(target=resume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(resumed), len(refused)) == (1, 3), refused
    assert len(run.state()["resumed"]) == 1
    resumed[0].finish()
    assert check_seal(run.path) == []


def test_only_a_run_that_stopped_early_is_resumed(run):
    with pytest.raises(UnweaveError, match="is running"):
        Run.resume(run.path)
    run.finish()
    with pytest.raises(UnweaveError, match="is finished"):
        Run.resume(run.path)
    run.finish("failed", "an error")
    run.save_table(Table("effects", ("m", "change"), (("a", 1.0),)))
    run.claim("It changes by {value}.", "effects", {"m": "a"}, "change")
    assert Run.resume(run.path).status == "running"
    assert Run.open(run.path).claims() == []


def test_a_figure_is_drawn_only_from_the_table_as_it_was_saved(run):
    table = Table("effects", ("m", "change"), (("a", 1.0), ("b", 2.0)))
    with pytest.raises(UnweaveError, match="no table 'effects'"):
        run.draw("f", bars(table, "m", "change"))
    run.save_table(table)
    path = run.draw("f", bars(table, "m", "change"))
    assert path.read_text(encoding="utf-8").startswith("<svg")
    assert run.figures() == ["f"]
    changed = Table("effects", ("m", "change"), (("a", 1.0), ("b", 2.01)))
    with pytest.raises(UnweaveError, match="another version of table 'effects'"):
        run.draw("f", bars(changed, "m", "change"))


def test_a_name_is_taken_once(tmp_path):
    Run.create("s", {}, root=tmp_path, name="mine")
    with pytest.raises(UnweaveError, match="exists already"):
        Run.create("s", {}, root=tmp_path, name="mine")
    with pytest.raises(UnweaveError, match="'threads' is a folder of the lab's own"):
        Run.create("s", {}, root=tmp_path, name="threads")
    with pytest.raises(UnweaveError, match=r"run name '\.\./x'"):
        Run.create("s", {}, root=tmp_path, name="../x")


def test_a_config_that_is_not_json_is_refused_by_field(tmp_path):
    with pytest.raises(UnweaveError, match="field 'path' of the config of 's'"):
        Run.create("s", {"ok": 1, "path": Path("x")}, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_opening_what_is_not_a_run_is_one_line(tmp_path):
    with pytest.raises(UnweaveError, match=r"it has no run.json"):
        Run.open(tmp_path)
    for content in ("{}", "[]", "null", "{", '{"study": "s", "config": {}, "status": "running", "created": "x"}'):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(UnweaveError) as caught:
            Run.open(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_disk_that_refuses_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refuse)
        with pytest.raises(UnweaveError, match="no permission"):
            Run.create("s", {}, root=tmp_path)
    assert list(tmp_path.iterdir()) == []
    run = Run.create("s", {}, root=tmp_path)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UnweaveError, match="no permission"):
        run.save_table(Table("t", ("a",), ((1,),)))
    assert run.tables() == []


def test_an_unknown_ending_is_refused(run):
    with pytest.raises(UnweaveError, match="nearest: 'finished'"):
        run.finish("finishd")


def test_commit_is_read_only_from_this_projects_own_checkout(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(environment_module, "_git", lambda folder, *_: "abc")
    assert environment_module._commit(tmp_path / "src" / "unweave") == {"commit": "abc", "modified": True}
    assert environment_module._commit(tmp_path / "site-packages" / "unweave") == {"commit": None, "modified": None}
