from __future__ import annotations

import os
from pathlib import Path

import pytest
from serving import serving

from unweave.base.files import read_inside
from unweave.server import static
from unweave.server.static import bundled_static, list_static

posix = pytest.mark.skipif(os.name != "posix", reason="symlinks and pipes as POSIX has them")
SECRET = b"SECRET-OF-ANOTHER-FOLDER"


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    """A page's folder with what may be in it, beside a secret."""
    made = tmp_path / "page"
    (made / "parts").mkdir(parents=True)
    (made / "index.html").write_text("<!doctype html>")
    (made / "parts" / "table.js").write_text("export {};")
    (made / ".hidden.js").write_text("hidden")
    (made / "notes.md").write_text("not of a page")
    (tmp_path / "secret.js").write_bytes(SECRET)
    return made


def test_the_page_and_its_files_are_served_with_a_tag_and_nothing_else_is(server):
    page = server.ask("GET", "/")
    assert page.one("content-type") == "text/html; charset=utf-8"
    assert page.body == bundled_static()["index.html"].content
    assert server.ask("GET", "/d/stand-in").body == page.body
    assert server.ask("GET", "/d/stand-in/f/h.0.mlp%3A12?sort=density").body == page.body
    tag = page.one("etag")
    assert server.ask("GET", "/", ("If-None-Match", tag)).status == 304
    assert server.ask("GET", "/", ("If-None-Match", '"other"')).status == 200
    script = server.ask("GET", "/static/app.js")
    assert (script.one("content-type"), script.one("cache-control")) == (
        "text/javascript; charset=utf-8",
        "private, no-cache",
    )


def test_the_page_of_a_subject_that_is_not_there_is_404(server):
    reply = server.ask("GET", "/d/nobody/text")
    assert reply.status == 404
    assert reply.body == bundled_static()["index.html"].content


def test_the_bundled_page_asks_for_nothing_that_is_inline_or_elsewhere():
    for name, file in bundled_static().items():
        if name.endswith(".html"):
            text = file.content.decode()
            assert "<style" not in text
            assert " style=" not in text
            assert "//" not in text
            assert text.count("<script") == text.count("<script src=") + text.count('<script type="module" src=')


ATTACKS = [
    "../server.py",
    "..%2fserver.py",
    "%2e%2e%2fserver.py",
    "%2e%2e/server.py",
    "..\\server.py",
    "..%5cserver.py",
    "%252e%252e%252fserver.py",
    "%252e",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "C:\\Windows\\win.ini",
    "C:/Windows/win.ini",
    "C%3A%5Cwin.ini",
    "\\\\server\\share",
    "//server/share",
    "%5c%5cserver%5cshare",
    "app.js%00",
    "app.js%00.html",
    "%00",
    "a" * 5000,
    "app.js/",
    "app.js/.",
    "./app.js",
    "x/../app.js",
    "app.js%20",
    "app.js.",
    "CON",
    "NUL",
    "aux.js",
    "COM1",
    "app.js::$DATA",
    "%e2%80%a4%e2%80%a4/server.py",
    "%ef%bc%8e%ef%bc%8e/server.py",
    "%c0%ae%c0%ae/server.py",
    "%uff0e",
    "..;/server.py",
    "~root",
    "%ff",
    "%",
    "%2",
    "app%2ejs%2f",
    "...",
    "....//server.py",
    "App.js",
    "app.js%0d%0aX:1",
    "",
    ".",
    "..",
    "%E2%80%AEsj.ppa",
    "file:///etc/passwd",
    "index.html/../../app.py",
    "app.py",
    "__init__.py",
    "../../../../../../etc/passwd",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("before", ["/static/", "/api/subjects/", "/"])
def test_f3_11_paths_that_are_no_ids_are_refused(server, before, attack):
    if before == "/" and attack in ("", "/etc/passwd", "//server/share"):
        attack = f"x{attack}"
    path = before + attack
    if " " in path:
        return
    for method in ("GET", "DELETE"):
        reply = server.ask(method, path)
        assert reply.status in ((400, 404) if method == "GET" else (400, 404, 405)), path
        assert b"root:" not in reply.body
        assert b"import" not in reply.body


@pytest.mark.parametrize("attack", ATTACKS)
def test_f3_11_a_subjects_id_is_looked_up_and_never_opened(server, attack, monkeypatch):
    opened = []
    monkeypatch.setattr(os, "open", lambda *given, **more: opened.append(given))
    assert server.post("echo", {}, subject=attack or "x").status in (400, 404)
    assert server.ask("GET", f"/d/{attack}").status in (400, 404)
    assert opened == []


def test_f3_11_a_path_under_a_subject_that_climbs_is_refused(server):
    for attack in ("..", "%2e%2e/x", "a/../b", "a%2fb", "a//b", "a/", "a\\b", "a%5cb", "a%00", "%25", "a/."):
        assert server.ask("GET", f"/d/stand-in/{attack}").status in (400, 404), attack


@posix
def test_f3_11_a_symlink_in_the_page_to_the_outside_is_not_listed(folder):
    (folder / "linked.js").symlink_to(folder.parent / "secret.js")
    (folder / "inside.js").symlink_to(folder / "parts" / "table.js")
    (folder / "outside").symlink_to(folder.parent)
    listed = list_static(folder)
    assert sorted(listed) == ["index.html", "parts/table.js"]


# 12: a symlink that takes a file's place between the look and the opening


@posix
def test_f3_12_a_file_swapped_for_a_symlink_after_the_check_is_not_followed(folder, monkeypatch):
    target = folder / "parts" / "table.js"
    real = static.read_inside

    def swap(root, name):
        if name == "parts/table.js":
            target.unlink()
            target.symlink_to(folder.parent / "secret.js")
        return real(root, name)

    monkeypatch.setattr(static, "read_inside", swap)
    with pytest.raises(OSError, match=r"table\.js"):
        list_static(folder)


@posix
def test_f3_12_a_folder_swapped_for_a_symlink_is_not_followed(folder):
    assert read_inside(folder, "parts/table.js") == b"export {};"
    (folder.parent / "elsewhere").mkdir()
    (folder.parent / "elsewhere" / "table.js").write_bytes(SECRET)
    (folder / "parts" / "table.js").unlink()
    (folder / "parts").rmdir()
    (folder / "parts").symlink_to(folder.parent / "elsewhere")
    with pytest.raises(OSError, match="parts"):
        read_inside(folder, "parts/table.js")


@posix
def test_f3_12_only_regular_files_below_the_folder_are_read(folder):
    os.mkfifo(folder / "pipe.js")
    for name in (
        "pipe.js",
        "parts",
        "",
        ".",
        "..",
        "../secret.js",
        "/etc/passwd",
        "parts/../index.html",
        "a\\b",
        "C:",
        "a\0b",
        "none",
    ):
        with pytest.raises(OSError):
            read_inside(folder, name)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(20):
        with pytest.raises(OSError, match="none"):
            read_inside(folder, "parts/none")
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before


@posix
def test_where_folders_cannot_be_opened_from_one_another_paths_are_compared(folder, monkeypatch):
    monkeypatch.setattr(os, "supports_dir_fd", set())
    assert read_inside(folder, "parts/table.js") == b"export {};"
    (folder / "linked.js").symlink_to(folder.parent / "secret.js")
    for name in ("linked.js", "parts", "none.js"):
        with pytest.raises(FileNotFoundError):
            read_inside(folder, name)
