"""How often the index looks at all the folders, for processes that are asked for it many times a second."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unweave.lab.store.index import RunIndex

REST = 2.0


class Freshness:
    """Looks again at once in a small lab; in a large one it rests ``REST`` times as long as the last look took."""

    def __init__(self, index: RunIndex) -> None:
        self.index = index
        self._lock = threading.Lock()
        self._rested = 0.0

    def ensure(self) -> None:
        """Brings the index up to date, unless that was done just now. Who asks meanwhile waits for the same look."""
        with self._lock:
            began = time.monotonic()
            if began < self._rested:
                return
            self.index.sync()
            ended = time.monotonic()
            self._rested = ended + REST * (ended - began)
