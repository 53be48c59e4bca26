from __future__ import annotations

import subprocess
import sys

import pytest
from pair_files import write_large

from unweave.corpora.pairs import open_pairs

MEASURED = """
import re, sys
from itertools import islice
import pyarrow.parquet
from unweave.corpora.pairs import open_pairs, write_pairs

def used():  # unlike ru_maxrss it forgets the process that this one was forked from
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024

small, path, out = sys.argv[1:]
sum(1 for _ in open_pairs(small))  # what is imported and set aside on first use
before = used()
read = sum(1 for _ in open_pairs(path))
reading = used() - before
written = write_pairs(open_pairs(path), out)
writing = used() - before
held = list(islice(open_pairs(path), 20_000))
print(read, reading, written, writing, used() - before)
"""


def measured(folder, ending, rows):
    """Pairs read, MiB that reading took at most, pairs written, MiB that both took, and with 20,000 rows held."""
    small, path = write_large(folder / f"small.{ending}", 2000), write_large(folder / f"large.{ending}", rows)
    arguments = [sys.executable, "-c", MEASURED, str(small), str(path), str(folder / f"out.{ending}")]
    ran = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return tuple(map(int, ran.stdout.split()))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.parametrize(
    ("rows", "reading", "writing"),
    [(20_000, 30, 150), pytest.param(260_000, 30, 150, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_reading_and_writing_hold_few_rows_whatever_their_number(tmp_path, ending, rows, reading, writing):
    read, took, written, took_in_all, holding = measured(tmp_path, ending, rows)
    assert read == written == rows
    assert took < reading
    assert took_in_all < writing
    assert holding > took + 30  # the measure sees what it should
    last = list(open_pairs(tmp_path / f"out.{ending}"))[-1] if rows < 100_000 else None
    assert last is None or last.id == f"row-{rows - 1}"
