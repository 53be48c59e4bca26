from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from serving import StandIn, until
from small_lab import write_study

from unweave.base.errors import UnweaveError
from unweave.base.views import all_views
from unweave.cli import main
from unweave.lab.lab import Lab
from unweave.lab.serving import served_at
from unweave.server import app, serve
from unweave.server.serve import bind, check_address, find_harvests, is_loopback, prepare
from unweave.server.token import new_token, token_from
from unweave.studies import registry

posix = pytest.mark.skipif(os.name != "posix", reason="modes, symlinks and signals as POSIX has them")


def harvest(folder, content="{}"):
    folder.mkdir(parents=True)
    (folder / "harvest.json").write_text(content)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, with stand-ins for what harvests are opened into."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        serve,
        "open_subjects",
        lambda folders: {folder.stem: StandIn(folder.name) for folder in folders},
    )
    monkeypatch.setattr(app, "all_views", dict)
    return tmp_path


# 7: other machines

EVERYWHERE = "0.0.0.0"  # noqa: S104

OPEN = [
    EVERYWHERE,
    "::",
    "192.168.1.7",
    "10.0.0.1",
    "example.org",
    "",
    "127.0.0.1.evil.com",
    "0",
    "127.1",
    "::ffff:10.0.0.1",
]


@pytest.mark.parametrize("host", OPEN)
def test_f3_07_an_address_that_others_reach_is_refused_before_binding(host, here, monkeypatch):
    harvest(here / "a.harvest")
    monkeypatch.setattr(serve, "bind", lambda *_: pytest.fail("it was bound"))
    monkeypatch.setattr(serve, "token_from", lambda *_: pytest.fail("a token was written"))
    token = here / "token"
    for trusted, file, named in (
        ((), None, "--trusted-host NAME and --token-file FILE"),
        (("lab.org",), None, "give --token-file FILE too"),
        ((), token, "give --trusted-host NAME too"),
    ):
        with pytest.raises(UnweaveError, match=named) as caught:
            prepare(host=host, port=0, trusted=trusted, token_file=file)
        assert f"--host {host!r}" in str(caught.value)


def test_f3_07_the_command_line_refuses_it_too_and_binds_nothing(here, monkeypatch, capsys):
    monkeypatch.setattr(socket.socket, "bind", lambda *_: pytest.fail("it was bound"))
    harvest(here / "a.harvest")
    assert main(["serve", "--host", EVERYWHERE]) == 2
    assert "--trusted-host NAME and --token-file FILE" in capsys.readouterr().err


def test_f3_07_with_both_flags_it_is_allowed_under_that_name(here):
    assert check_address(EVERYWHERE, ["lab.org"], Path("token")) == EVERYWHERE
    harvest(here / "a.harvest")
    service = prepare(host=EVERYWHERE, port=0, trusted=["lab.org"], token_file=here / "token")
    with service.socket:
        port = service.socket.getsockname()[1]
        assert service.url == f"http://lab.org:{port}/?token={(here / 'token').read_text().strip()}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_loopback_needs_no_flag(host):
    assert is_loopback(host)
    assert check_address(host, (), None) == ("127.0.0.1" if host == "localhost" else host)


def test_a_trusted_host_that_is_no_name_is_refused_before_binding():
    with pytest.raises(UnweaveError, match="--trusted-host 'a/b' is not a name"):
        check_address("127.0.0.1", ["a/b"], None)


# 15: modes


@posix
def test_f3_15_the_token_file_and_new_folders_are_the_owners_alone_under_umask_000(tmp_path):
    before = os.umask(0)
    try:
        token = token_from(tmp_path / "new" / "below" / "token")
        (tmp_path / "others").mkdir()
        token_from(tmp_path / "others" / "token")
    finally:
        os.umask(before)
    made = tmp_path / "new" / "below" / "token"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "others" / "token").stat().st_mode) == 0o600
    assert made.read_text() == f"{token}\n"
    assert token_from(made) == token


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o602, 0o601])
def test_f3_15_a_token_that_others_can_read_or_write_is_refused(tmp_path, mode):
    path = tmp_path / "token"
    path.write_text(new_token())
    path.chmod(mode)
    with pytest.raises(UnweaveError, match="chmod 600"):
        token_from(path)


@posix
def test_f3_15_a_token_file_that_is_no_token_is_refused(tmp_path):
    path = tmp_path / "token"
    for content in ("", "short", "with space " * 5, "x" * 300, "ü" * 40, "a" * 31, f"{'a' * 40}\n{'b' * 40}"):
        path.write_text(content, encoding="utf-8")
        path.chmod(0o600)
        with pytest.raises(UnweaveError, match="holds no token"):
            token_from(path)
    real = tmp_path / "real"
    real.write_text(new_token())
    real.chmod(0o600)
    (tmp_path / "link").symlink_to(real)
    with pytest.raises(UnweaveError, match="is a symlink"):
        token_from(tmp_path / "link")
    with pytest.raises(UnweaveError):
        token_from(tmp_path)
    with pytest.raises(UnweaveError):
        token_from(real / "below")


def test_tokens_are_long_and_never_the_same():
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(len(token) >= 43 for token in made)


# Addresses and harvests


def test_a_taken_port_is_a_line_that_names_the_flag(here):
    harvest(here / "a.harvest")
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnweaveError, match=f"port {port} on 127.0.0.1 is taken: .* --port"):
            prepare(port=port)


def test_the_port_is_taken_before_anything_is_loaded(here, monkeypatch):
    harvest(here / "a.harvest")
    seen = []

    def load(folders):
        with pytest.raises(UnweaveError, match="is taken"):
            bind("127.0.0.1", 18765)
        seen.append(folders)
        raise UnweaveError("it is damaged")

    monkeypatch.setattr(serve, "open_subjects", load)
    with pytest.raises(UnweaveError, match="it is damaged"):
        prepare(port=18765)
    assert len(seen) == 1
    bind("127.0.0.1", 18765).close()


def test_an_address_of_another_machine_cannot_be_taken():
    with pytest.raises(UnweaveError, match=r"cannot take port 1 on 192\.0\.2\.1 .*--port and --host"):
        bind("192.0.2.1", 1)


@posix
def test_harvests_are_found_here_and_one_folder_down_and_symlinks_are_not(here):
    assert find_harvests([]) == []
    harvest(here / "a.harvest")
    harvest(here / "sub" / "b.harvest")
    harvest(here / "sub" / "deep" / "c.harvest")
    (here / "link.harvest").symlink_to(here / "sub" / "deep" / "c.harvest")
    (here / "empty.harvest").mkdir()
    assert find_harvests([]) == [Path("a.harvest"), Path("sub/b.harvest")]
    assert find_harvests([here / "sub" / "deep" / "c.harvest"]) == [here / "sub" / "deep" / "c.harvest"]


def test_what_is_no_harvest_is_refused(here):
    (here / "x").mkdir()
    with pytest.raises(UnweaveError, match=r"x is not a harvest: it has no harvest\.json"):
        find_harvests([Path("x")])
    with pytest.raises(UnweaveError, match="y is not a harvest: there is no such folder"):
        find_harvests([Path("y")])


@posix
def test_f3_11_a_harvest_that_holds_a_symlink_is_refused(here):
    folder = harvest(here / "a.harvest")
    (folder / "features.parquet").symlink_to("/etc/passwd")
    with pytest.raises(UnweaveError, match=r"holds a symlink, 'features\.parquet'"):
        find_harvests([])


def test_a_harvest_given_twice_is_refused(here, monkeypatch):
    monkeypatch.undo()
    fake = SimpleNamespace(open_subject=lambda folder: SimpleNamespace(id="same"))
    monkeypatch.setitem(sys.modules, "unweave.read.subject", fake)
    with pytest.raises(UnweaveError, match="b is given twice"):
        serve.open_subjects([Path("a"), Path("b")])


def test_views_of_all_rooms_can_be_mounted():
    """The registry's own views, where the rooms that hold them are there."""
    pytest.importorskip("unweave.read.views")
    pytest.importorskip("unweave.edit.views")
    from serving import stand_in_app

    views = all_views()
    schema = stand_in_app(views=views).app.openapi()
    assert {f"/api/subjects/{{subject}}/views/{name}" for name in views} < set(schema["paths"])


# The command, in a process of its own

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from serving import StandIn, VIEWS
from unweave.server import app, serve
serve.open_subjects = lambda folders: {{folder.stem: StandIn(folder.name) for folder in folders}}
app.all_views = lambda: VIEWS
from unweave.cli import main
sys.exit(main({arguments!r}))
"""


def start(folder, *arguments):
    code = textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent), arguments=["serve", *arguments])
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def ask(url):
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(url, timeout=20) as reply:
        assert reply.status == 200
    base = url.partition("?")[0]
    with opener.open(f"{base}api/subjects", timeout=20) as reply:
        return json.load(reply)


@posix
def test_serve_prints_its_url_once_and_ctrl_c_ends_it(tmp_path):
    harvest(tmp_path / "mine.harvest")
    process = start(tmp_path, "--port", "0", "--log")
    try:
        lines = [process.stdout.readline() for _ in range(5)]
        url = lines[3].strip()
        assert lines[:2] == ["mine: mine.harvest\n", "the lab in runs\n"]
        assert url.startswith("http://127.0.0.1:")
        assert ask(url)["subjects"][0]["id"] == "mine"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    token = url.partition("token=")[2]
    assert process.returncode == 0
    assert out == ""
    assert "GET / 303" in err
    assert "GET /api/subjects 200" in err
    assert token not in err
    assert "Traceback" not in err


@posix
def test_serve_as_json_is_one_object_when_it_is_ready(tmp_path):
    harvest(tmp_path / "mine.harvest")
    process = start(tmp_path, "--port", "0", "--json", "--token-file", "secret/token")
    try:
        said = json.loads(process.stdout.readline())
        assert said["subjects"] == [{"id": "mine", "title": "mine.harvest"}]
        assert said["lab"] == "runs"
        assert said["url"].endswith((tmp_path / "secret" / "token").read_text().strip())
        assert ask(said["url"])["subjects"][0]["features"] == 3
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (0, "", "")


def test_without_a_harvest_the_lab_is_served_and_without_both_it_is_refused(here):
    service = prepare(port=0, runs=here / "runs")
    with service.socket:
        assert (service.subjects, service.lab.root) == ({}, here / "runs")
        assert (here / "runs" / ".lab").is_dir()
    with pytest.raises(
        UnweaveError, match="there is no harvest here, and no lab: make a harvest with `unweave harvest`"
    ):
        prepare(port=0)
    (here / "file").write_text("")
    with pytest.raises(UnweaveError, match=r"and no lab \(.*file.*\): make a harvest"):
        prepare(port=0, runs=here / "file")
    harvest(here / "a.harvest")
    service = prepare(port=0, runs=here / "file")
    with service.socket:
        assert service.lab is None
        assert "file" in service.without_lab


@posix
def test_a_server_starts_the_jobs_of_its_lab_and_is_found_by_other_commands(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_STUDIES", {})
    write_study(tmp_path)
    process = start(tmp_path, "--port", "0", "--json")
    try:
        said = json.loads(process.stdout.readline())
        lab = Lab(tmp_path / "runs")
        until(lambda: served_at(lab.root) is not None, 30)
        served = served_at(lab.root)
        assert said["url"].startswith(served.origin)
        lab.queue.submit("push", {}, name="submitted", source=tmp_path / "push.py")
        until(lambda: lab.queue.get("submitted").has_ended, 60)
        assert lab.queue.get("submitted").state == "finished"
        assert lab.runs.open("submitted").claims()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, err) == (0, "")
    assert served_at(lab.root) is None
    lab.close()


@posix
def test_a_server_goes_on_with_a_job_whose_scheduler_was_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_STUDIES", {})
    write_study(tmp_path)
    lab = Lab(tmp_path / "runs")
    lab.queue.submit("push", {"sleep": 0.3}, name="long", source=tmp_path / "push.py")
    for last in (False, True):
        process = start(tmp_path, "--port", "0", "--json")
        try:
            json.loads(process.stdout.readline())
            until(lambda: lab.queue.get("long").state == "running", 60)
            if last:
                until(lambda: lab.queue.get("long").has_ended, 60)
        finally:
            process.kill()
            process.communicate()
    assert (lab.queue.get("long").state, lab.queue.get("long").attempt) == ("finished", 2)
    lab.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "65536"], "'65536' is not a port"),
        (["--port", "-1"], "is not a port"),
        (["--port", "x"], "is not a port"),
        (["none.harvest"], "there is no such folder"),
    ],
)
def test_refusals_of_the_command_are_one_line(here, capsys, arguments, words):
    assert main(["serve", *arguments]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1


def test_help_loads_no_server():
    code = (
        "import sys\nfrom unweave.cli import main\ntry: main(['serve', '--help'])\nexcept SystemExit: pass\n"
        "print('loaded', [name for name in ('fastapi', 'uvicorn', 'pydantic', 'torch') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("loaded []\n")
    assert "--trusted-host" in ran.stdout


def test_the_server_itself_loads_no_torch():
    code = "import sys, unweave.server.serve; print(sorted({'torch', 'transformers', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
