from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base import files
from unweave.base.errors import UnweaveError
from unweave.base.files import (
    atomic_folder,
    atomic_path,
    file_hash,
    read_json,
    read_json_inside,
    remove_partial,
    sole_writer,
    write_json,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("content")
        assert not path.exists()
        assert temporary.parent.parent == path.parent, "only a rename inside one file system is atomic"
    assert path.read_text() == "content"
    assert listed(path.parent) == ["file.txt"]


def write_half(path, failure):
    path.write_text("half of the ne")
    raise failure


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_file_keeps_its_old_content_when_the_block_fails(tmp_path, failure):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(failure), atomic_path(path) as temporary:
        write_half(temporary, failure)
    assert path.read_text() == "old"
    assert listed(tmp_path) == ["file.txt"]


ERRORS = [
    (errno.ENOSPC, "the disk is full"),
    (errno.EDQUOT, "the disk quota is used up"),
    (errno.EACCES, "no permission"),
    (errno.EROFS, "the file system is read-only"),
    (errno.EIO, "Input/output error"),
]


@pytest.mark.parametrize(("code", "remedy"), ERRORS)
@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_a_disk_that_refuses_is_one_line_and_the_old_file_stays(tmp_path, monkeypatch, call, code, remedy):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, call, refuse)
    with pytest.raises(UnweaveError, match=rf"file\.txt: {remedy}") as caught, atomic_path(path) as temporary:
        temporary.write_text("new")
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert listed(tmp_path) == ["file.txt"]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    path = tmp_path / "x[1].st"
    (tmp_path / ".x[1].st.abcd_123.part").mkdir()
    (tmp_path / ".x[1].st.abcd_123.part" / "x[1].st").write_text("half")
    other = [".x[1].st.abcd_123.old", ".x[1].st.short.part", ".x1.st.abcd_123.part", "x[1].st", ".hidden"]
    for name in other:
        (tmp_path / name).mkdir()
    remove_partial(path)
    assert listed(tmp_path) == sorted(other)


def test_a_writer_with_temporary_files_of_its_own_leaves_none(tmp_path):
    with atomic_path(tmp_path / "x.st") as temporary:
        (temporary.parent / ".tmp123").write_text("half")
    assert listed(tmp_path) == ["x.st"]


def test_a_disk_that_fills_up_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    # In a process of its own: a limit on the size of files is the nearest to a full disk that needs no rights.
    script = f"""
        import resource
        from pathlib import Path
        from unweave.base.errors import UnweaveError
        from unweave.base.files import write_json
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_json(Path({str(path)!r}), ["word"] * 10_000)
        except UnweaveError as error:
            print(error)
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert ran.stdout == f"{path}: the file would be larger than this file system allows: choose another folder\n"
    assert path.read_text() == "old"
    assert listed(tmp_path) == ["file.txt"]


def test_a_parent_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for inside in (tmp_path / "file" / "x", tmp_path / "file" / "y" / "x"):
        for writing in (atomic_path, atomic_folder):
            with pytest.raises(UnweaveError, match=f"^{inside}: "), writing(inside):
                pass
    assert listed(tmp_path) == ["file"]


def test_files_and_folders_get_the_permissions_that_others_expect(tmp_path):
    before = os.umask(0o022)
    try:
        write_json(tmp_path / "file.json", {})
        with atomic_folder(tmp_path / "folder"):
            pass
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.json").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o755


@pytest.mark.parametrize(("mask", "file", "folder"), [(0, 0o666, 0o777), (0o027, 0o640, 0o750), (0o077, 0o600, 0o700)])
def test_permissions_are_found_without_setting_the_umask(tmp_path, monkeypatch, mask, file, folder):
    before = os.umask(mask)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda _: pytest.fail("for a moment other threads write with this umask"))
            write_json(tmp_path / "file.json", {})
            with atomic_folder(tmp_path / "folder") as temporary:
                assert listed(temporary) == []
                (temporary / "inside.txt").touch(0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.json").stat().st_mode) == file
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == folder
    assert stat.S_IMODE((tmp_path / "folder" / "inside.txt").stat().st_mode) == file


def test_f3_15_private_files_are_the_owners_alone_under_umask_000(tmp_path):
    before = os.umask(0)
    try:
        write_json(tmp_path / "new" / "file.json", {}, private=True)
        with sole_writer(tmp_path / "file.json"):
            assert stat.S_IMODE((tmp_path / "file.json.lock").stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "file.json").stat().st_mode) == 0o600


def test_one_writer_at_a_time_in_all_threads_and_processes(tmp_path):
    path = tmp_path / "count.json"
    write_json(path, 0)

    def count():
        for _ in range(4):
            with sole_writer(path):
                known = read_json(path)
                time.sleep(0.005)
                write_json(path, known + 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_json(path) == 16
    script = f"""
        from pathlib import Path
        from unweave.base.errors import UnweaveError
        from unweave.base.files import sole_writer
        try:
            with sole_writer(Path({str(path)!r}), 0.1):
                print("in")
        except UnweaveError as error:
            print(error)
    """
    with sole_writer(path):
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
        )
    assert ran.stdout == f"{path}: another program is writing it: try again, or stop that one\n"


def test_a_lock_where_nothing_can_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnweaveError, match=f"^{tmp_path}/file/x: "), sole_writer(tmp_path / "file" / "x"):
        pass


def test_f3_11_json_inside_a_folder_is_read_through_no_link(tmp_path):
    write_json(tmp_path / "outside" / "file.json", "secret")
    write_json(tmp_path / "folder" / "below" / "file.json", "own")
    (tmp_path / "folder" / "linked").symlink_to(tmp_path / "outside")
    (tmp_path / "folder" / "linked.json").symlink_to(tmp_path / "outside" / "file.json")
    assert read_json_inside(tmp_path / "folder", "below/file.json") == "own"
    for name in ("linked/file.json", "linked.json", "../outside/file.json"):
        with pytest.raises(UnweaveError, match="no file of its own, and links are not followed"):
            read_json_inside(tmp_path / "folder", name)
    with pytest.raises(UnweaveError, match=r"none\.json: it does not exist"):
        read_json_inside(tmp_path / "folder", "none.json")


def write_folder(path, text, failure=None, **options):
    with atomic_folder(path, **options) as temporary:
        (temporary / "inside").mkdir()
        (temporary / "inside" / "file.txt").write_text(text)
        if failure:
            raise failure


def test_a_folder_appears_whole(tmp_path):
    path = tmp_path / "new" / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "file.txt").write_text("content")
        assert not path.exists()
    assert listed(path) == ["file.txt"]
    assert listed(path.parent) == ["folder"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError()])
def test_nothing_is_left_of_a_folder_that_failed(tmp_path, failure):
    with pytest.raises(type(failure)):
        write_folder(tmp_path / "folder", "half", failure)
    assert listed(tmp_path) == []


def test_an_existing_folder_is_refused_unless_it_may_be_replaced(tmp_path):
    path = tmp_path / "folder"
    write_folder(path, "old")
    (path / "other.txt").write_text("of the old one")
    with pytest.raises(UnweaveError, match="already exists"):
        write_folder(path, "new")
    assert (path / "inside" / "file.txt").read_text() == "old"
    write_folder(path, "new", replace=True)
    assert (path / "inside" / "file.txt").read_text() == "new"
    assert listed(path) == ["inside"]
    assert listed(tmp_path) == ["folder"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_a_replaced_folder_keeps_its_old_content_when_the_new_one_fails(tmp_path, failure):
    write_folder(tmp_path / "folder", "old")
    with pytest.raises((KeyboardInterrupt, UnweaveError)):
        write_folder(tmp_path / "folder", "new", failure, replace=True)
    assert (tmp_path / "folder" / "inside" / "file.txt").read_text() == "old"
    assert listed(tmp_path) == ["folder"]


@settings(max_examples=40, deadline=None)  # each example waits for the disk
@given(value=JSON)
def test_json_comes_back_as_it_was(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object()])
def test_what_json_cannot_say_is_refused_and_the_old_file_stays(tmp_path, bad):
    path = tmp_path / "file.json"
    write_json(path, "old")
    with suppress(ValueError, TypeError):
        write_json(path, {"value": bad})
        pytest.fail("it was written")
    assert read_json(path) == "old"
    assert listed(tmp_path) == ["file.json"]


def test_json_is_written_to_be_read_by_people(tmp_path):
    write_json(tmp_path / "file.json", {"b": "Füße", "a": 1})
    assert (tmp_path / "file.json").read_text(encoding="utf-8") == '{\n "b": "Füße",\n "a": 1\n}\n'


@pytest.mark.parametrize("content", [b'{"half": ', b"", b"\xff\xfe\x00", b"PK\x03\x04"])
def test_a_damaged_json_file_is_named(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(UnweaveError, match=r"file\.json is not valid JSON"):
        read_json(path)


def test_a_json_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UnweaveError, match=r"none\.json: it does not exist"):
        read_json(tmp_path / "none.json")


def test_a_files_hash_is_the_sha256_of_its_bytes(tmp_path):
    content = bytes(range(256)) * (3 << 14)  # longer than one block of reading
    (tmp_path / "file").write_bytes(content)
    assert file_hash(tmp_path / "file") == hashlib.sha256(content).hexdigest()
