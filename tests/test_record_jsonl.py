from __future__ import annotations

import errno
import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.record import jsonl

records = st.lists(st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False)), max_size=5)


@given(records, st.binary(max_size=20).filter(lambda torn: b"\n" not in torn), records)
@settings(max_examples=60, deadline=None)
def test_a_torn_last_line_is_dropped_and_never_joins_the_next(tmp_path_factory, before, torn, after):
    path = tmp_path_factory.mktemp("j") / "log.jsonl"
    for record in before:
        jsonl.append(path, record)
    with open(path, "ab") as file:
        file.write(torn)
    assert jsonl.read(path) == before
    for record in after:
        jsonl.append(path, record)
    assert jsonl.read(path) == before + after


def test_a_whole_record_without_its_newline_was_never_acknowledged(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}')
    assert jsonl.read(path) == [{"a": 1}]
    jsonl.append(path, {"a": 3})
    assert jsonl.read(path) == [{"a": 1}, {"a": 3}]


def test_a_long_torn_line_is_cut_off(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n' + b"x" * 200_000)
    jsonl.append(path, {"a": 2})
    assert path.read_bytes() == b'{"a": 1}\n{"a": 2}\n'


@pytest.mark.parametrize("line", [b"not json", b"[1]", b"\xff\xfe"])
def test_damage_in_the_middle_names_the_line(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 2}\n')
    with pytest.raises(UnweaveError, match="line 2 is damaged"):
        jsonl.read(path)


def test_a_full_disk_is_one_line_and_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    jsonl.append(path, {"a": 1}, durable=True)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnweaveError, match="the disk is full") as caught:
        jsonl.append(path, {"a": 2}, durable=True)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b'{"a": 1}\n'


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnweaveError, match=r"log\.jsonl"):
        jsonl.append(tmp_path / "file" / "log.jsonl", {})


def test_a_missing_file_is_empty_and_an_unreadable_one_is_refused(tmp_path):
    assert jsonl.read(tmp_path / "none.jsonl") == []
    with pytest.raises(UnweaveError, match="it is a folder"):
        jsonl.read(tmp_path)


@pytest.mark.skipif(jsonl.fcntl is None, reason="this system has no such locks")
def test_a_writer_waits_for_the_one_of_another_process(tmp_path):
    path = tmp_path / "log.jsonl"
    jsonl.append(path, {"a": 1})
    with open(path, "ab") as other:  # a lock belongs to an opened file, so this one counts as another process's
        jsonl.fcntl.flock(other, jsonl.fcntl.LOCK_EX)
        waiting = threading.Thread(target=jsonl.append, args=(path, {"a": 2}))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert jsonl.read(path) == [{"a": 1}]
    waiting.join(10)
    assert jsonl.read(path) == [{"a": 1}, {"a": 2}]


def test_threads_do_not_mix_their_lines(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    honest = jsonl.cut_torn_line

    def slow(file):
        end = honest(file)
        time.sleep(0.0005)
        return end

    monkeypatch.setattr(jsonl, "cut_torn_line", slow)
    work = [
        threading.Thread(target=lambda k=k: [jsonl.append(path, {"k": k, "i": i}) for i in range(40)]) for k in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert sorted((one["k"], one["i"]) for one in jsonl.read(path)) == [(k, i) for k in range(4) for i in range(40)]
