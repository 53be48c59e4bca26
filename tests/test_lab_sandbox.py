from __future__ import annotations

import ast
import hashlib
import os
import re
import socket
import time
from pathlib import Path

import psutil
import pytest
from sandboxed import ended, log_of, needs_sandbox, sandboxed, source_of, started

from unweave.base.errors import UnweaveError
from unweave.base.needs import Needs
from unweave.lab.people import NotAllowed, Person
from unweave.lab.sandbox import Approvals, Limits, SandboxedStudy, bubblewrap, limits_of
from unweave.lab.sandbox.collect import collect, collect_left, remove_orphaned
from unweave.lab.sandbox.study import SandboxResult

pytestmark = needs_sandbox
ANNE, BEN = Person("anne", "owner"), Person("ben", "runner")


def finished(result: SandboxResult) -> bool:
    return result.status == "finished"


def test_a_study_in_the_sandbox_writes_its_tables_metrics_and_cells_into_its_run(tmp_path):
    run, result = sandboxed(
        tmp_path,
        """
        run.log(step=1, loss=0.5)
        run.put_cell("cells", "a", {"x": 1})
        run.save_table(Table("summary", ("name", "value"), (("a", 0.25),)))
        run.claim("It is {value}.", "summary", {"name": "a"}, "value", digits=2)
        run.progress.update(1, 1)
        print("hello")
        """,
    )
    assert (result.status, result.note, result.left_out) == ("finished", None, ())
    assert run.load_table("summary").rows == (("a", 0.25),)
    assert run.metrics()[0]["loss"] == 0.5
    assert run.cells("cells") == {"a": {"x": 1}}
    assert run.claims()[0].sentence == "It is 0.25."
    assert "hello" in log_of(result)
    assert result.ended.seconds > 0
    assert not list((tmp_path / "lab" / ".lab" / "sandboxes").iterdir())


def test_the_description_of_the_run_stays_the_labs(tmp_path):
    run, result = sandboxed(tmp_path, '(run.path / \'run.json\').write_text(\'{"status": "finished", "seeds": []}\')')
    assert run.state()["study"] == "probe"
    assert "seeds" not in run.state() or run.state()["seeds"] != []
    assert result.status in ("finished", "failed")


def test_a_failing_study_says_its_error_and_a_refusal_its_line(tmp_path):
    _, result = sandboxed(tmp_path, "raise ValueError('three legs')")
    assert (result.status, result.note) == ("failed", "ValueError: three legs")
    _, result = sandboxed(tmp_path, "from unweave.base.errors import UnweaveError\nraise UnweaveError('no such word')")
    assert (result.status, result.note) == ("failed", "no such word")


def test_f3_23_nothing_of_the_home_folder_the_lab_the_token_or_other_processes_is_there_to_read(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_API_KEY", "sk-planted-in-the-environment")
    secret = tmp_path / "lab" / "threads" / "other" / "notes.md"
    secret.parent.mkdir(parents=True)
    secret.write_text("planted in another thread")
    token = tmp_path / "token"
    token.write_text("planted token")
    places = [str(secret), str(token), str(Path.home() / ".ssh"), str(Path.home() / ".bashrc"), "/etc/passwd"]
    _, result = sandboxed(
        tmp_path,
        f"""
        import os, glob
        from pathlib import Path
        for place in {places!r}:
            try:
                print("FOUND", place, os.listdir(place) if os.path.isdir(place) else open(place).read()[:50])
            except OSError as error:
                print("denied", type(error).__name__)
        print("variables", sorted(os.environ))
        for environ in glob.glob("/proc/[0-9]*/environ"):
            print("environ", open(environ, "rb").read())
        print("processes", len(glob.glob("/proc/[0-9]*")))
        """,
    )
    said = log_of(result)
    assert finished(result)
    assert "FOUND" not in said
    assert said.count("denied") == len(places)
    assert "planted" not in said
    listed = said.split("variables ")[1].split("]")[0]
    assert set(ast.literal_eval(listed + "]")) <= {
        *bubblewrap.FIXED,
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "PWD",
        "LC_CTYPE",
    }
    assert int(said.split("processes ")[1].split()[0]) <= 3


def test_f3_24_nothing_outside_the_workspace_can_be_written_and_nothing_inside_reaches_the_parent(tmp_path):
    package = Path(bubblewrap.__file__).resolve().parents[2]
    evaluator = package / "record" / "audit.py"
    before = evaluator.read_bytes()
    places = [
        str(evaluator),
        str(tmp_path / "lab" / ".lab" / "policy.json"),
        "/usr/lib/planted",
        "/etc/planted",
        "/planted",
        "/dev/planted",
    ]
    run, result = sandboxed(
        tmp_path,
        f"""
        import os
        from pathlib import Path
        for place in {places!r}:
            try:
                with open(place, "a") as file:
                    file.write("planted")
                print("WROTE", place)
            except OSError as error:
                print("denied", type(error).__name__)
        for name in ("sitecustomize.py", "conftest.py", "usercustomize.py", "evil.pth", "unweave.py", "json.py"):
            Path("/sandbox", name).write_text("raise SystemExit('planted')")
            (run.path / name).write_text("raise SystemExit('planted')")
        (run.path / ".git" / "hooks").mkdir(parents=True)
        (run.path / ".git" / "hooks" / "post-commit").write_text("planted")
        """,
    )
    assert finished(result)
    assert "WROTE" not in log_of(result)
    assert log_of(result).count("denied") == len(places)
    assert evaluator.read_bytes() == before
    kept = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    assert kept <= {"run.json", "progress.json"}
    assert any(line.startswith("conftest.py: no file of a run") for line in result.left_out)


def test_f3_25_a_symlink_a_hardlink_and_a_file_swapped_for_a_link_are_not_followed_when_its_files_are_taken(tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("planted")
    run, result = sandboxed(
        tmp_path,
        f"""
        import os
        tables = run.path / "tables"
        tables.mkdir()
        os.symlink("{secret}", tables / "linked.csv")
        os.symlink("/", run.path / "figures")
        (tables / "twice.csv").write_text("x")
        os.link(tables / "twice.csv", tables / "again.csv")
        os.mkfifo(tables / "pipe.csv")
        try:
            os.link("/usr/bin/env", tables / "env.csv")
        except OSError as error:
            print("denied", type(error).__name__)
        (tables / "good.csv").write_text("fine")
        """,
    )
    # Its own side cannot seal a folder with a link in it, and says so.
    assert "figures is a link" in str(result.note)
    assert [path.name for path in (run.path / "tables").iterdir()] == ["good.csv"]
    assert not (run.path / "figures").exists()
    said = "\n".join(result.left_out)
    for name in ("tables/linked.csv", "tables/twice.csv", "tables/again.csv", "tables/pipe.csv", "figures"):
        assert name in said


def test_f3_25_a_link_put_in_a_files_place_between_look_and_copy_is_left_out(tmp_path, monkeypatch):
    made, run, secret = tmp_path / "made" / "run", tmp_path / "run", tmp_path / "secret"
    (made / "tables").mkdir(parents=True)
    run.mkdir()
    secret.write_text("planted")
    (made / "tables" / "a.csv").write_text("fine")
    from unweave.lab.sandbox import collect as module

    true_read = module.read_inside

    def swapped(folder, name):
        (Path(folder) / name).unlink()
        (Path(folder) / name).symlink_to(secret)
        return true_read(folder, name)

    monkeypatch.setattr(module, "read_inside", swapped)
    assert collect(tmp_path, run, Limits()) == ["tables/a.csv: it changed while it was read"]
    assert not (run / "tables").exists()


def test_f3_26_no_network_no_names_no_proxy_and_no_socket_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    path = str(tmp_path / "server.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    inet = socket.create_server(("127.0.0.1", 0))
    try:
        _, result = sandboxed(
            tmp_path,
            f"""
            import os, socket, urllib.request
            def tried(name, work):
                try:
                    work()
                    print("REACHED", name)
                except Exception as error:
                    print("denied", name, type(error).__name__)
            tried("inet", lambda: socket.create_connection(("127.0.0.1", {inet.getsockname()[1]}), 2))
            tried("far", lambda: socket.create_connection(("1.1.1.1", 80), 2))
            tried("name", lambda: socket.getaddrinfo("pypi.org", 443))
            tried("http", lambda: urllib.request.urlopen("http://127.0.0.1:{inet.getsockname()[1]}/", timeout=2))
            tried("unix", lambda: socket.socket(socket.AF_UNIX).connect("{path}"))
            tried("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
            print("proxy", os.environ.get("HTTP_PROXY"))
            """,
        )
    finally:
        listener.close()
        inet.close()
    said = log_of(result)
    assert finished(result)
    assert "REACHED" not in said
    assert said.count("denied") == 6
    assert "proxy None" in said


LINKS = {
    "the run's folder": 'os.rename(run.path, "/sandbox/x")\nos.symlink({secret!r}, run.path)',
    "the folder of it": 'os.rename("/sandbox/made", "/sandbox/x")\nos.symlink({above!r}, "/sandbox/made")',
}


@pytest.mark.parametrize("what", LINKS)
def test_f3_25_a_link_in_the_place_of_a_folder_that_was_made_for_the_code_is_not_walked_into(tmp_path, what):
    secret = tmp_path / "lab" / "secret"
    for place in (secret, tmp_path / "lab" / "named"):
        (place / "tables").mkdir(parents=True)
        (place / "tables" / "planted.csv").write_text("planted")
        (place / "metrics.jsonl").write_text('{"planted": 1}\n')
    link = LINKS[what].format(secret=str(secret), above=str(tmp_path / "other"))
    (tmp_path / "other").symlink_to(tmp_path / "lab")
    run, result = sandboxed(tmp_path, f"import os\n{link}\nos._exit(0)")
    assert result.status == "failed"
    assert re.search("nothing that it wrote was taken: made/.* is no folder of its own", str(result.note))
    assert [path.name for path in run.path.iterdir()] == ["run.json"]


class Heard:
    def __init__(self):
        self.updates = []

    def update(self, done, total, note=""):
        self.updates.append((done, total, note))

    def say(self, line):
        raise AssertionError(line)


@pytest.mark.parametrize(
    "link",
    ['os.symlink({place!r} + "/cancel", run.path / "cancel")', LINKS["the run's folder"].replace("secret", "place")],
)
def test_f3_24_a_request_to_stop_and_the_progress_go_through_no_link(tmp_path, link):
    place = tmp_path / "lab" / "other"
    place.mkdir(parents=True)
    (place / "progress.json").write_text('{"done": 7, "total": 8, "note": "planted"}')
    heard = Heard()
    body = f"import os, time\n{link.format(place=str(place))}\nopen('/sandbox/ready', 'w')\ntime.sleep(60)"
    run, study = started(tmp_path, body, progress=heard)
    while not (study.workspace / "ready").exists():
        assert study.poll() is None
        time.sleep(0.01)
    assert study.poll() is None
    study.cancel()
    study.kill("enough")
    ended(study)
    assert [path.name for path in place.iterdir()] == ["progress.json"]
    assert heard.updates == []
    assert [path.name for path in run.path.iterdir()] == ["run.json"]


def test_the_progress_of_hostile_code_is_told_only_where_it_is_one_and_once(tmp_path):
    heard = Heard()
    body = r"""
    import time
    for text in ('{"done": Infinity, "total": 1, "note": ""}', '{"done": 1e999, "total": 1, "note": ""}',
                 '{"done": NaN, "total": 1, "note": ""}', '{"done": 1, "total": 1' + '0' * 3000 + ', "note": ""}',
                 '{"done": -1, "total": 1, "note": ""}', '[' * 4000, '{"done": 1, "total": 2, "note": "a\\u001b[2Jb"}'):
        (run.path / "progress.json").write_text(text)
        time.sleep(0.2)
    """
    _, study = started(tmp_path, body, progress=heard)
    assert finished(ended(study))
    assert heard.updates == [(1, 2, "a\\x1b[2Jb")]


def test_a_run_that_goes_on_finds_what_it_had_finished_and_loses_none_of_it(tmp_path):
    body = """
    run.save_table(Table(f"table{len(run.tables())}", ("found",), ((len(run.cells("cells")),),)))
    run.log(step=len(run.metrics()), loss=0.5)
    run.put_cell("cells", str(len(run.cells("cells"))), {"x": 1})
    raise ValueError("stopped early")
    """
    run, _ = sandboxed(tmp_path, body)
    for _ in range(2):
        sandboxed(tmp_path, body, run=run)
    assert [row["step"] for row in run.metrics()] == [0, 1, 2]
    assert list(run.cells("cells")) == ["0", "1", "2"]
    assert [run.load_table(name).rows for name in run.tables()] == [((0,),), ((1,),), ((2,),)]


def test_what_a_sandbox_wrote_whose_worker_was_killed_is_taken_later(tmp_path):
    body = 'import time\nrun.put_cell("cells", "a", {"x": 1})\nopen("/sandbox/ready", "w")\ntime.sleep(60)'
    run, study = started(tmp_path, body)
    while not (study.workspace / "ready").exists():
        assert study.poll() is None
        time.sleep(0.01)
    study.kill("as a worker that is killed takes it along")
    other = study.workspace.parent / "probe.abcdefgh"
    other.mkdir()
    assert collect_left(tmp_path / "lab" / ".lab", run.path, Limits()) == []
    assert run.cells("cells") == {"a": {"x": 1}}
    assert list(other.parent.iterdir()) == [other]
    study.poll()


def test_what_a_killed_worker_left_is_removed_where_it_is_too_much_to_take(tmp_path):
    home, run = tmp_path / ".lab", tmp_path / "probe"
    left = home / "sandboxes" / "probe.abcdefgh"
    (left / "made" / "probe" / "files").mkdir(parents=True)
    (left / "made" / "probe" / "files" / "large").write_bytes(bytes(20_000))
    run.mkdir()
    (said,) = collect_left(home, run, Limits(disk_mb=0.01))
    assert "all that an earlier attempt wrote: the code wrote 0 MB, and 0.01 MB is the most" in said
    assert not left.exists()
    assert not list(run.iterdir())


def test_sandboxes_of_runs_that_nobody_goes_on_with_are_removed(tmp_path):
    for name in ("goes.on", "finished", "gone"):
        (tmp_path / ".lab" / "sandboxes" / f"{name}.abcdefgh" / "made").mkdir(parents=True)
    for name, files in (("goes.on", ["run.json"]), ("finished", ["run.json", "seal.json"])):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).touch()
    remove_orphaned(tmp_path / ".lab", tmp_path)
    assert [path.name for path in (tmp_path / ".lab" / "sandboxes").iterdir()] == ["goes.on.abcdefgh"]


def test_what_was_taken_from_a_sandbox_is_not_taken_again_where_it_cannot_be_removed(tmp_path, monkeypatch):
    home, run = tmp_path / ".lab", tmp_path / "probe"
    made = home / "sandboxes" / "probe.abcdefgh" / "made" / "probe"
    made.mkdir(parents=True)
    (made / "metrics.jsonl").write_text('{"step": 0}\n')
    run.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        collect_left(home, run, Limits())
    (run / "metrics.jsonl").write_text('{"step": 0}\n{"step": 1}\n')
    collect_left(home, run, Limits())
    assert (run / "metrics.jsonl").read_text().count("\n") == 2
    remove_orphaned(home, tmp_path)
    assert not list((home / "sandboxes").iterdir())


SMALL = Limits(seconds=20, memory_gb=0.4, processes=30, file_mb=8, disk_mb=16, files=300, output_mb=0.1)
HARMFUL = {
    "fork bomb": (
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        "processes|ended",
    ),
    "memory": (
        "held = []\nwhile True:\n    held.append(b'x' * (32 << 20))",
        "memory|MemoryError",
    ),
    "one large file": (
        "with open('/sandbox/big', 'wb') as file:\n    while True:\n        file.write(bytes(1 << 20))",
        "File too large|MB",
    ),
    "many large files": (
        "n = 0\nwhile True:\n    n += 1\n    open(f'/sandbox/{n}', 'wb').write(bytes(1 << 20))",
        "it wrote .* MB|more than 300 files",
    ),
    "many files": ("n = 0\nwhile True:\n    n += 1\n    open(f'/sandbox/{n}', 'w').close()", "more than 300 files"),
    "memory that is a file": (
        "while True:\n    with open('/dev/shm/a', 'ab') as file:\n        file.write(bytes(1 << 20))",
        "No space left|File too large",
    ),
    "scratch files": (
        "n = 0\nwhile True:\n    n += 1\n    open(f'/tmp/{n}', 'wb').write(bytes(4 << 20))",
        "No space left",
    ),
    "flood": ("import os\nwhile True:\n    os.write(1, b'x' * 65536)", "it printed more than"),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_f3_27_what_takes_too_much_is_ended_by_its_limit_and_leaves_no_process(tmp_path, name):
    body, said = HARMFUL[name]
    began = time.monotonic()
    _, result = sandboxed(tmp_path, body, SMALL)
    assert result.status == "failed"
    assert result.note
    assert re.search(said, result.note), result.note
    assert time.monotonic() - began < 20
    assert _inside(tmp_path) == []
    assert len(result.ended.output) <= SMALL.output_mb * (1 << 20)


def test_f3_27_what_ignores_signals_and_daemons_is_ended_after_its_time(tmp_path):
    body = """
    import os, signal, time
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                time.sleep(3600)
        os._exit(0)
    time.sleep(3600)
    """
    _, result = sandboxed(tmp_path, body, Limits(seconds=2))
    assert (result.status, result.note) == ("failed", "ended by the sandbox: it ran for more than 2 seconds")
    time.sleep(0.1)
    assert _inside(tmp_path) == []


def test_f3_27_a_daemon_that_outlives_its_study_ends_with_it(tmp_path):
    body = """
    import os, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for descriptor in (0, 1, 2):
                os.close(descriptor)
            while True:
                time.sleep(3600)
        os._exit(0)
    """
    _, result = sandboxed(tmp_path, body)
    assert finished(result)
    time.sleep(0.1)
    assert _inside(tmp_path) == []


def _inside(folder):
    """Processes that live in a sandbox, their home folder is there, but for those of another test's at this moment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.environ().get("HOME") != bubblewrap.FIXED["HOME"]:
                continue
            walls = [one.cmdline() for one in process.parents() if one.name() == "bwrap"]
            if not walls or any(str(folder) in " ".join(each) for each in walls):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_f3_28_the_command_that_runs_is_the_true_one_and_its_text_cannot_hide_anything(tmp_path):
    approvals = Approvals(tmp_path)
    text = "x = 1  # \u202e evil \x1b[2K\x07\n"
    made = approvals.propose("mine.py", text, "agent", "why\nnot \x1b[31m")
    shown = approvals.shown(made.sha256)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\n" not in made.why


def test_f3_29_an_approval_is_of_bytes_and_a_changed_script_is_asked_about_again(tmp_path):
    approvals = Approvals(tmp_path / "home")
    made = approvals.propose("mine.py", source_of("pass"), "agent", "a control")
    path = approvals.path(made.sha256)
    with pytest.raises(UnweaveError, match="was not allowed to run"):
        approvals.allowed(path)
    approvals.allow(made.sha256, ANNE)
    assert approvals.allowed(path) == made.sha256
    other = tmp_path / "mine.py"
    other.write_text(source_of("print('changed after it was allowed')"))
    with pytest.raises(UnweaveError, match="was not allowed to run"):
        approvals.allowed(other)
    # Kept code that is edited on the disk is not what was allowed either, at any later step.
    os.chmod(path, 0o600)
    path.write_text(source_of("print('changed')"))
    with pytest.raises(UnweaveError, match="was not allowed to run"):
        approvals.allowed(path)
    with pytest.raises(UnweaveError, match="was changed: propose it again"):
        approvals.path(made.sha256)
    lab = tmp_path / "lab" / "run-1"
    lab.mkdir(parents=True)
    with pytest.raises(UnweaveError, match="has changed since it was allowed"):
        SandboxedStudy(lab, path, made.sha256, "probe", {}, Limits(), tmp_path / "home")


def test_only_a_reviewer_allows_code_and_nobody_their_own(tmp_path):
    approvals = Approvals(tmp_path)
    made = approvals.propose("mine.py", "x = 1\n", "anne", "")
    with pytest.raises(NotAllowed, match="'ben' is a runner, and this needs a reviewer"):
        approvals.allow(made.sha256, BEN)
    with pytest.raises(UnweaveError, match=r"'anne' proposed mine\.py: somebody else has to allow it"):
        approvals.allow(made.sha256, ANNE)
    assert approvals.list()[0].allowed_by is None


@pytest.mark.parametrize("name", ["../evil.py", "a/b.py", "mine.txt", "", "Mine.py", "x" * 80 + ".py"])
def test_a_proposal_needs_a_plain_name(tmp_path, name):
    with pytest.raises(UnweaveError, match="is not a name for a source file"):
        Approvals(tmp_path).propose(name, "x = 1", "agent", "")
    assert not list(tmp_path.rglob("*.py"))


def test_without_bubblewrap_code_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: None)
    assert "bubblewrap is not installed" in str(bubblewrap.unavailable())
    source = tmp_path / "mine.py"
    source.write_text(source_of("pass"))
    with pytest.raises(UnweaveError, match=r"only run in a sandbox, and there is none: bubblewrap is not installed"):
        SandboxedStudy(
            tmp_path, source, hashlib.sha256(source.read_bytes()).hexdigest(), "probe", {}, Limits(), tmp_path
        )


def test_a_lab_that_would_be_seen_from_inside_is_refused(tmp_path):
    with pytest.raises(UnweaveError, match="is shown to code in the sandbox: keep the lab elsewhere"):
        bubblewrap.walls(["true"], tmp_path, hidden=[tmp_path / "models" / "lab"], readable=[tmp_path / "models"])
    with pytest.raises(UnweaveError, match="is shown to code in the sandbox"):
        bubblewrap.walls(["true"], tmp_path, hidden=[tmp_path], readable=[tmp_path / "models"])


def test_cancelling_stops_a_study_at_its_next_look(tmp_path):
    lab = tmp_path / "lab"
    (lab / "run-1").mkdir(parents=True)
    source = tmp_path / "probe.py"
    source.write_text(source_of("import time\nwhile True:\n    run.stop_if_cancelled()\n    time.sleep(0.02)"))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    study = SandboxedStudy(lab / "run-1", source, digest, "probe", {}, Limits(seconds=20), lab / ".lab", hidden=[lab])
    while not (study.workspace / study.made / "run.json").exists():
        assert study.poll() is None
        time.sleep(0.02)
    study.cancel()
    while (result := study.poll()) is None:
        time.sleep(0.02)
    assert result.status == "cancelled"


def test_more_than_the_limits_is_not_taken_at_all(tmp_path):
    tables = tmp_path / "made" / "run" / "tables"
    tables.mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (tables / "a.csv").write_text("fine")
    with open(tables / "sparse.csv", "wb") as file:
        file.truncate(10_240_000_000)
    with pytest.raises(UnweaveError, match=r"tables/sparse\.csv is 10240 MB, and 512 MB is the most"):
        collect(tmp_path, tmp_path / "run", Limits())
    assert not list((tmp_path / "run").iterdir())


def test_limits_follow_what_a_job_said_that_it_needs():
    needs = Needs(threads=2, memory_gb=3, disk_gb=0.25, seconds=60)
    limits = limits_of(needs, ("memory_gb", "disk_gb", "seconds"))
    # In the queue's units, where a gigabyte is 1e9 bytes.
    assert (limits.seconds, limits.threads, limits.memory_gb, limits.disk_mb, limits.file_mb) == (60, 2, 3, 250, 250)
    assert limits_of(Needs(), ("seconds",)).seconds == 24 * 3600


def test_an_estimate_is_no_limit_of_the_sandbox_and_only_widens_the_usual_ones():
    usual = Limits()
    small = limits_of(Needs(memory_gb=0.03, disk_gb=0.01, seconds=1), ())
    assert (small.memory_gb, small.disk_mb, small.seconds) == (usual.memory_gb, usual.disk_mb, usual.seconds)
    assert small.file_mb == usual.file_mb
    large = limits_of(Needs(memory_gb=6, disk_gb=3, seconds=2000), ())
    assert (large.memory_gb, large.disk_mb, large.seconds) == (6, 3000, 2000)
    assert limits_of(Needs(memory_gb=0.03), ("threads",)).memory_gb == usual.memory_gb


def test_limits_are_numbers_above_0():
    with pytest.raises(UnweaveError, match="sandbox limit seconds is 0"):
        Limits(seconds=0)
