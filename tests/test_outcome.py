from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest

from unweave.base.errors import DecompositionFailed, NothingFound, UnweaveError
from unweave.base.outcome import Output, conclude


def raising(error):
    def command():
        raise error

    return command


def test_lines_are_for_a_person_and_the_value_for_a_program(capsys):
    output = Output({"a": 1}, ["first", "second"], 1)
    assert conclude(lambda: output) == 1
    assert capsys.readouterr().out == "first\nsecond\n"
    assert conclude(lambda: output, as_json=True) == 1
    assert json.loads(capsys.readouterr().out) == {"a": 1}


def test_with_json_what_a_library_prints_goes_to_standard_error(capsys):
    def command():
        print("downloading")
        return Output({"a": 1})

    assert conclude(command, as_json=True) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"a": 1}
    assert printed.err == "downloading\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UnweaveError("site 'a' is\nnot here"), 2, "site 'a' is not here"),
        (DecompositionFailed("no better than an SVD"), 1, "no better than an SVD"),
        (NothingFound("nothing"), 1, "nothing"),
        (KeyboardInterrupt(), 130, "interrupted; run r keeps what it wrote"),
        (OSError(errno.ENOSPC, "No space", "a/b"), 2, "a/b: the disk is full: free some space"),
        (PermissionError(errno.EACCES, "denied", "a/b"), 2, "a/b: no permission"),
        (OSError("org/name is not a model\nlong story"), 2, "org/name is not a model"),
        (MemoryError(), 2, "out of memory"),
        (ValueError("shapes differ\nmore"), 70, "internal error, ValueError: shapes differ (UNWEAVE_TRACEBACK=1"),
        (RuntimeError(), 70, "internal error, RuntimeError: RuntimeError"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_failure_is_one_line_and_its_exit_code(capsys, monkeypatch, error, code, line, as_json):
    monkeypatch.delenv("UNWEAVE_TRACEBACK", raising=False)
    assert conclude(raising(error), as_json, ["run r keeps what it wrote"]) == code
    printed = capsys.readouterr()
    assert printed.err.startswith(f"unweave: {line}")
    assert printed.err.count("\n") == 1
    if as_json:
        (only,) = printed.out.splitlines()
        assert json.loads(only) == {"error": printed.err.removeprefix("unweave: ").strip(), "exit_code": code}
    else:
        assert printed.out == ""


def test_what_is_kept_is_read_when_the_interruption_comes(capsys):
    kept = []

    def command():
        kept.append("go on with the same command")
        raise KeyboardInterrupt

    assert conclude(command, kept=kept) == 130
    assert capsys.readouterr().err == "unweave: interrupted; go on with the same command\n"


def test_the_traceback_is_shown_on_request_only(capsys, monkeypatch):
    monkeypatch.setenv("UNWEAVE_TRACEBACK", "1")
    assert conclude(raising(ValueError("shapes differ"))) == 70
    assert "Traceback" in capsys.readouterr().err


def in_a_process(body, **environment):
    code = f"import sys\nfrom unweave.base.outcome import Output, conclude\n{body}"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], env={**buffered, **environment}, **pipes)


def leave(process):
    """Closes the reader's end, lets the process go on, and gives what it said on standard error and its code."""
    process.stdout.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    err = process.stderr.read()
    process.stderr.close()
    return err, process.wait()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_reader_that_left_ends_the_program_quietly(as_json):
    body = f"input()\nsys.exit(conclude(lambda: Output({{'a': 1}}, ['a']), {as_json}))"
    assert leave(in_a_process(body)) == (b"", 141)


def test_a_failure_with_nobody_reading_keeps_its_exit_code():
    body = "def refuse(): raise ValueError('x')\ninput()\nsys.exit(conclude(refuse, True))"
    err, code = leave(in_a_process(body))
    assert (err.count(b"\n"), code) == (1, 70)


def test_a_terminal_without_the_character_shows_a_question_mark():
    process = in_a_process("sys.exit(conclude(lambda: Output({}, ['Matte – größer'])))", PYTHONIOENCODING="ascii")
    out, err = process.communicate()
    assert (out, err, process.returncode) == (b"Matte ? gr??er\n", b"", 0)
