"""The lab's store under SIGKILL and under many processes: ``lab_killable.py`` does it for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import lab_killable
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked, so that all is imported once")

KILLED = -signal.SIGKILL
ROUNDS = [5, pytest.param(100, marks=pytest.mark.slow)]


def happened(story, folder, rounds):
    script = [sys.executable, Path(lab_killable.__file__), story, folder, str(rounds)]
    ran = subprocess.run(script, capture_output=True, text=True, timeout=280)
    assert (ran.returncode, ran.stderr) == (0, "")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def nothing_lost(found, rounds):
    assert len(found) == rounds
    assert [one for one in found if "refused" in one] == []
    assert {one["code"] for one in found} == {KILLED}
    assert sum(one["said"] for one in found) >= rounds
    assert [one["lost"] for one in found] == [0] * rounds
    assert all(one["after"] for one in found)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_f3_35_a_kill_while_logging_loses_no_row_that_was_acknowledged(tmp_path, rounds):
    found = happened("log", tmp_path, rounds)
    nothing_lost(found, rounds)
    assert all(one["in_order"] for one in found)
    assert {one["extra"] for one in found} <= {0, 1}  # written, and killed before it could be said
    assert {one["status"] for one in found} == {"interrupted"}
    assert [one["torn"] for one in found][::3] == [True] * len(found[::3])  # every third is killed in half a line


@pytest.mark.parametrize("rounds", ROUNDS)
def test_f3_35_a_kill_while_artefacts_are_written_leaves_the_last_that_was_acknowledged(tmp_path, rounds):
    found = happened("artefact", tmp_path, rounds)
    nothing_lost(found, rounds)
    assert {one["status"] for one in found} == {"interrupted"}


@pytest.mark.parametrize("rounds", ROUNDS)
def test_f3_35_a_kill_in_a_migration_is_gone_on_from(tmp_path, rounds):
    found = happened("migration", tmp_path, rounds)
    nothing_lost(found, rounds)
    assert max(one["waited"] for one in found) < 5


@pytest.mark.parametrize("rounds", ROUNDS)
def test_f3_35_a_kill_while_the_index_is_written_loses_no_transaction(tmp_path, rounds):
    found = happened("index", tmp_path, rounds)
    nothing_lost(found, rounds)
    assert max(one["waited"] for one in found) < 5


@pytest.mark.parametrize("rows", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_f3_36_sixteen_processes_log_at_once_and_every_row_is_there(tmp_path, rows):
    (found,) = happened("together", tmp_path, rows)
    assert found["codes"] == [0] * 16
    assert found["rows"] == 16 * rows
    assert found["own"] == [rows] * 16
    assert found["in_order"]
    assert (found["finished"], found["invalid"]) == ({"finished": 17}, 0)
