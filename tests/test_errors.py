from __future__ import annotations

import errno

import pytest

from unweave.base.errors import DecompositionFailed, NothingFound, UnweaveError, nearest, oserror_line


def test_exit_codes_tell_a_refusal_from_a_result():
    assert UnweaveError.exit_code == 2
    assert DecompositionFailed.exit_code == 1
    assert NothingFound.exit_code == 1
    assert issubclass(DecompositionFailed, UnweaveError)
    assert issubclass(NothingFound, UnweaveError)


def test_the_nearest_names_come_first_and_at_most_three():
    names = [f"model.layers.{layer}.mlp.{part}_proj" for layer in range(4) for part in ("up", "gate", "down")]
    line = nearest("model.layers.2.mlp.down", names)
    assert line.startswith("nearest: 'model.layers.2.mlp.down_proj', ")
    assert line.count("'") == 6
    assert nearest("germn", ["french", "german", "italian"]).startswith("nearest: 'german'")


def test_a_name_like_none_of_them_still_shows_what_there_is():
    assert nearest("zzz", ["aa", "bb", "cc", "dd"]) == "nearest: 'aa', 'bb', 'cc'"
    assert nearest("zzz", iter(["aa"])) == "nearest: 'aa'"
    assert nearest("zzz", []) == "there are none"


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EACCES, "no permission: choose a folder"),
        (errno.EPERM, "not permitted: choose a folder"),
        (errno.EROFS, "read-only: choose another folder"),
        (errno.ENOENT, "it does not exist: check the path"),
        (errno.ENOTDIR, "a file, not a folder: check the path"),
        (errno.EISDIR, "a folder, and a file was expected: check the path"),
        (errno.EMFILE, "Too many open files"),
    ],
)
def test_what_the_system_refused_is_one_line_with_path_and_remedy(code, remedy):
    line = oserror_line(OSError(code, "Too many open files"), "some/path")
    assert isinstance(line, UnweaveError)
    assert str(line).startswith("some/path: ")
    assert remedy in str(line)
    assert "\n" not in str(line)


def test_an_error_without_a_code_is_still_a_line():
    assert str(oserror_line(OSError("odd"), "p")) == "p: the operating system refused"
