"""Starting a lab's jobs from a server: in a thread, for as long as no other process does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

SECONDS = 1.0
"""Between two looks whether somebody starts jobs."""
_log = logging.getLogger("unweave.server")


@contextmanager
def scheduling(lab: Lab) -> Iterator[None]:
    """While it is entered, jobs of ``lab`` are started: here, unless another process does; then here once it ends."""
    ending = threading.Event()
    thread = threading.Thread(target=_keep_on, args=(lab, ending), name="scheduler", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def _keep_on(lab: Lab, ending: threading.Event) -> None:
    said = ""
    try:
        while not ending.is_set():
            try:
                lab.queue.background.keep()
            except UnweaveError as error:
                # A full disk or a damaged store: said once, and tried again, because a person may be repairing it.
                if str(error) != said:
                    said = str(error)
                    _log.error("the jobs that wait are not started: %s", said)
            except Exception:
                _log.exception("the scheduler failed, and is started again")
            ending.wait(SECONDS)
    finally:
        lab.queue.close()
