from __future__ import annotations

import subprocess
import sys

import pytest

from unweave.base import memory

TOUCHED = """
import resource, sys
from unweave.base.memory import keep_freed_memory
kept = sys.argv[1] == "1" and keep_freed_memory()
def touch():
    for _ in range(4):
        bytearray(100_000_000)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
touch()
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(asked):
    done = subprocess.run([sys.executable, "-c", TOUCHED, asked], capture_output=True, text=True, check=True)
    kept, count = map(int, done.stdout.split())
    return kept, count


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator is glibc's")
def test_large_blocks_are_reused_without_new_pages():
    kept, count = faults("1")
    if not kept:
        pytest.skip("not glibc")
    # 4 blocks of 100 MB are 98,000 pages when each is mapped anew.
    assert count < 1000
    assert faults("0")[1] > 10_000


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.keep_freed_memory() is False


def test_another_c_library_is_left_alone(monkeypatch):
    import ctypes

    monkeypatch.setattr(memory.sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert memory.keep_freed_memory() is False
