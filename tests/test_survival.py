"""Runs that are killed with SIGKILL, or that the disk refuses, and go on: ``killable.py`` does it for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import killable
import planted
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked, so that torch is imported once")

KILLED = -signal.SIGKILL
FILES = {"whole-model": "whole-model.safetensors", "site-local": f"{planted.SITE}.safetensors"}


@pytest.fixture(scope="module", params=FILES)
def happened(request, tmp_path_factory, planted_target_folder, planted_corpus):
    """What each process left, by story."""
    folder = tmp_path_factory.mktemp("killed")
    script = [sys.executable, Path(killable.__file__), request.param, folder, planted_target_folder, planted_corpus]
    ran = subprocess.run(script, capture_output=True, text=True, timeout=250)
    assert ran.returncode == 0, ran.stderr
    stories = json.loads(ran.stdout)
    left = sorted(path.name for path in folder.iterdir() if path.name != "cache")
    return stories | {"folder": folder, "left": left, "file": FILES[request.param]}


def made(story):
    return [each["made"] for each in story]


def test_a_run_killed_anywhere_goes_on_to_the_weights_of_an_uninterrupted_one_bit_for_bit(happened):
    *kills, last = happened["random"]
    assert [each["code"] for each in kills] == [KILLED] * killable.KILLS
    steps = [each["steps"] or 0 for each in kills]
    assert all(later > before for later, before in zip(steps[1:], steps, strict=False))
    assert last["code"] == 0
    assert last["made"] == happened["whole"][0]["made"] is not None


def test_a_checkpoint_that_was_cut_off_leaves_the_one_before_it(happened):
    story = happened["writing"]
    assert [each["code"] for each in story] == [KILLED] * 3 + [0]
    assert [each["steps"] for each in story] == [None, 15, killable.STEPS - 1, None]
    assert made(story) == [None] * 3 + made(happened["whole"])


def test_what_was_cut_off_is_cleared_away_by_the_next_write(happened):
    cut = [each["partial"] for each in happened["writing"]]
    assert [len(names) for names in cut] == [1, 1, 1, 0]
    assert len({name for names in cut for name in names}) == 3
    assert all(name.startswith(f".{happened['file']}.") for names in cut for name in names)


def test_a_disk_that_refuses_a_checkpoint_names_the_last_good_one(happened):
    refused, _, again = happened["refused"]
    path = happened["folder"] / "refused.decomp.training" / happened["file"]
    assert (refused["code"], refused["steps"], refused["partial"]) == (2, 3, [])
    assert refused["said"] == (
        f"{path}: the file would be larger than this file system allows: choose another folder; the last good "
        f"checkpoint is {path}, after 3 steps, and the same call goes on from it"
    )
    assert (again["code"], again["made"]) == (0, happened["whole"][0]["made"])


def test_a_disk_that_refuses_the_result_loses_no_step(happened):
    refused = happened["refused"][1]
    out = happened["folder"] / "refused.decomp"
    assert (refused["code"], refused["partial"], refused["made"]) == (2, [], None)
    if happened["file"] == FILES["whole-model"]:
        assert refused["steps"] == killable.STEPS
    else:
        assert f"{planted.SITE}.decomp" in refused["kept"]  # the site is finished, and only read again
    assert refused["said"] == (
        f"{out}: the file would be larger than this file system allows: choose another folder; all steps are kept in "
        f"{out}.training, and the same call goes on from them"
    )


def test_a_full_disk_stops_the_run_and_a_larger_one_lets_it_go_on(happened):
    if not happened.get("disk"):
        pytest.skip("no disk of a chosen size can be mounted here, or the method asks for room first")
    full, again = happened["disk"]
    path = happened["folder"] / "disk" / "full.decomp.training" / happened["file"]
    kept = f"the last good checkpoint is {path}, after 1 step, and the same call goes on from it"
    assert (full["code"], full["steps"], full["partial"]) == (2, 1, [])
    assert full["said"].startswith(f"{path}: the disk is full: free some space")
    assert full["said"].endswith(f"; {kept}")
    assert (again["code"], again["made"]) == (0, happened["whole"][0]["made"])


def test_nothing_else_is_left(happened):
    assert happened["left"] == [f"{name}.decomp" for name in ("random", "refused", "whole", "writing")]
