from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.base.seeds import derive, numpy_generator, torch_generator
from unweave.base.settings import cache_folder, offline, refuse_when_offline, set_offline

SWITCHES = ("UNWEAVE_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def test_a_seed_is_the_same_everywhere():
    # Fixed values: a change of these would change every number that was ever recorded.
    assert derive(0) == 0x5FECEB66FFC86F38 >> 1
    assert derive(1, "masks", 7) == 7370263424741040510


def test_a_seed_does_not_depend_on_hash_randomisation():
    script = "from unweave.base.seeds import derive; print(derive(3, 'a', 'b'))"
    for randomisation in ("0", "1"):
        ran = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": randomisation},
        )
        assert int(ran.stdout) == derive(3, "a", "b")


PURPOSES = st.lists(st.text(st.characters(exclude_characters="\x1f", codec="utf-8"), max_size=4), max_size=3)


@given(one=st.tuples(st.integers(0, 50), PURPOSES), two=st.tuples(st.integers(0, 50), PURPOSES))
def test_another_seed_or_purpose_is_another_stream(one, two):
    first, second = derive(one[0], *one[1]), derive(two[0], *two[1])
    assert (first == second) == (one == two)
    assert 0 <= first < 2**63


def test_generators_repeat_and_differ_by_purpose():
    draws = [
        lambda *key: numpy_generator(*key).random(4),
        lambda *key: torch.rand(4, generator=torch_generator(*key)).numpy(),
    ]
    for draw in draws:
        assert np.array_equal(draw(5, "masks", 1), draw(5, "masks", 1))
        assert not np.array_equal(draw(5, "masks", 1), draw(5, "masks", 2))
        assert not np.array_equal(draw(5, "masks", 1), draw(6, "masks", 1))


@pytest.fixture
def plain_environment(monkeypatch):
    for name in (*SWITCHES, "UNWEAVE_CACHE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def test_the_cache_is_where_it_was_asked_for(plain_environment, tmp_path):
    plain_environment.setenv("UNWEAVE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder("gguf", "abc") == tmp_path / "gguf" / "abc"
    plain_environment.setenv("HOME", str(tmp_path))
    plain_environment.setenv("UNWEAVE_CACHE", "~/somewhere")
    assert cache_folder("x") == tmp_path / "somewhere" / "x"


def test_without_a_wish_the_cache_is_the_platforms_own(plain_environment):
    assert cache_folder().is_absolute()
    assert "unweave" in cache_folder().parts
    assert cache_folder("x") == cache_folder() / "x"
    assert isinstance(cache_folder(), Path)


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize(("value", "on"), [("1", True), ("true", True), ("0", False), ("no", False), (" Off ", False)])
def test_any_of_the_switches_forbids_the_network(plain_environment, name, value, on):
    assert not offline()
    plain_environment.setenv(name, value)
    assert offline() == on


def test_what_needs_the_network_is_refused_only_when_offline(plain_environment):
    refuse_when_offline("a hub id")
    set_offline()
    assert offline()
    with pytest.raises(UnweaveError, match="a hub id needs the network, and offline is set"):
        refuse_when_offline("a hub id")
