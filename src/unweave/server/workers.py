"""Threads that views run in: a few at once, a queue of bounded length, and exclusive ones one by one on a subject."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from unweave.server.problem import Refused
from unweave.server.settings import Limits

T = TypeVar("T")


class Workers:
    """Runs functions outside the event loop, so that a long one holds up no other request."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.pool = ThreadPoolExecutor(limits.running, thread_name_prefix="view")
        self.free = asyncio.Semaphore(limits.running)
        self.turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.waiting = 0

    async def run(
        self, work: Callable[[], T], gone: Callable[[], Coroutine[Any, Any, None]], alone_on: str | None = None
    ) -> T | None:
        """What ``work`` returns, or None when ``gone`` came true before its turn. Raises ``Refused`` (503) when full.

        ``gone`` is an awaitable function that returns once nobody waits for the answer. Work that has begun goes on to
        its end: a thread cannot be stopped.
        """
        if self.waiting >= self.limits.waiting:
            # One that was let in a moment ago may have a free place and not have begun yet.
            await asyncio.sleep(0)
        if self.waiting >= self.limits.waiting:
            raise Refused(503, "the server has too much to do: try again in a moment", retry_after="1")
        self.waiting += 1
        begun = asyncio.Event()
        asked = asyncio.ensure_future(self._in_turn(work, begun, alone_on))
        left = asyncio.ensure_future(gone())
        try:
            await asyncio.wait({asked, left}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done() and not begun.is_set():
                return None
            return await asyncio.shield(asked)
        finally:
            left.cancel()
            if not begun.is_set():
                self.waiting -= 1
                asked.cancel()

    async def _in_turn(self, work: Callable[[], T], begun: asyncio.Event, alone_on: str | None) -> T:
        async with AsyncExitStack() as turn:
            # The subject's turn comes first, so that work which waits for it holds up no other subject.
            if alone_on is not None:
                await turn.enter_async_context(self.turns[alone_on])
            await turn.enter_async_context(self.free)
            self.waiting -= 1
            begun.set()
            return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    def close(self) -> None:
        """Starts nothing more."""
        self.pool.shutdown(wait=False, cancel_futures=True)
