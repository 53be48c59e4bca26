"""How many threads compute where more than one would wait longer than they work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block BLAS and OpenMP compute on one thread, in all of the process; afterwards on as many as before.

    For many short steps: at the end of each, threads wait for one another, and where other programs have the cores too,
    for the scheduler. A t-SNE of 320 points, 1.2 seconds of one core, took minutes with two threads on two busy ones.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
