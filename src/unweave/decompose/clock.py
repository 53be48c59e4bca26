"""How long a training took, over all the calls that went on from one another."""

from __future__ import annotations

import time


class Clock:
    """Runs from when it is made; what earlier calls spent on the state that this one goes on from is added to it."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.before = 0.0
        """Seconds of earlier calls, as far as the checkpoint holds what they did."""

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self._started
