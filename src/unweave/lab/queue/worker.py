"""A worker: a process that runs one job after another, told by its scheduler over a pipe of its own.

    python -m unweave.lab.queue.worker HOME

``HOME`` is only for a person who lists processes: the folder of the lab, or of the pool, that it works for.
Standard input and output are that pipe, one JSON object a line, and nothing else sees them: a study reads an empty
input, and what it prints goes to its run's ``log.txt``.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO

IDLE_SECONDS = 2.0
"""Jobs that follow each other closely are not held up by an import that they may not need."""


class Line:
    """The pipe to the scheduler. Its end is the end of this process and of all that it started."""

    def __init__(self) -> None:
        self.incoming = os.fdopen(os.dup(0), "rb", buffering=0)
        self.outgoing: BinaryIO = os.fdopen(os.dup(1), "wb", buffering=0)
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)
        os.dup2(2, 1)
        self.orders: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.busy = False

    def say(self, **message: Any) -> None:
        """Tells the scheduler."""
        self.outgoing.write(json.dumps(message).encode() + b"\n")

    def listen(self) -> None:
        """Starts to listen: what interrupts is done at once, everything else waits its turn."""
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def _listen(self) -> None:
        rest = b""
        while block := self._read():
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                order = json.loads(line)
                if order["do"] == "interrupt":
                    if self.busy:
                        interrupt()
                else:
                    self.orders.put(order)
        from unweave.lab.queue.processes import children, end_family

        for child in children(os.getpid()):
            end_family(child)
        os._exit(3)

    def _read(self) -> bytes:
        try:
            return os.read(self.incoming.fileno(), 1 << 16)
        except OSError:
            return b""


def interrupt() -> None:
    """Raises ``KeyboardInterrupt`` in the main thread, out of a wait too."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        import _thread

        _thread.interrupt_main()


def serve(line: Line) -> None:
    """Does what is ordered until the pipe ends. While there is nothing to do, it imports what most jobs import."""
    from unweave.lab.queue.work import Surroundings, run_work
    from unweave.record.environment import environment, this_process

    surroundings = Surroundings(environment())
    line.say(**{"is": "ready", "process": this_process()})
    warming: threading.Thread | None = None
    while True:
        try:
            order = line.orders.get(timeout=None if warming else IDLE_SECONDS)
        except Empty:
            # In a thread, because the next job may not need it and should not wait.
            warming = threading.Thread(target=warm_up, name="warming", daemon=True)
            warming.start()
            continue
        if order["do"] == "gpu":
            line.say(**{"is": "gpu", "gb": gpu_gb()})
            continue
        line.busy = True
        ended = run_work(order, surroundings, lambda job=order["job"]: line.say(**{"is": "began", "job": job}))
        line.busy = False
        line.say(**{"is": "ended", "job": order["job"], **ended})


def warm_up() -> None:
    """Imports torch and the loading of targets, which takes seconds, while nobody waits for it."""
    import contextlib

    # Without them the study that needs them says so better.
    with contextlib.suppress(Exception):
        import unweave.models.load  # noqa: F401


def gpu_gb() -> float:
    """The memory, in gigabytes, of the GPU that a study gets unless it names another; 0 where there is none."""
    try:
        import torch

        if not torch.cuda.is_available():
            return 0.0
        return torch.cuda.mem_get_info()[1] / 1e9
    except Exception:
        return 0.0


def main() -> None:
    line = Line()
    line.listen()
    # What a person types is not for workers: they are in a session of their own, and are told to stop by their pipe.
    serve(line)


if __name__ == "__main__":
    main()
