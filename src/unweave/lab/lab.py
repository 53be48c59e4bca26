"""A lab: a folder of runs with an index, a queue, threads and people, opened as one thing."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import oserror_line
from unweave.lab.store.database import Database

if TYPE_CHECKING:
    from unweave.lab.people import People
    from unweave.lab.queue.queue import Queue
    from unweave.lab.store.curves import Curves
    from unweave.lab.store.freshness import Freshness
    from unweave.lab.store.index import RunIndex
    from unweave.lab.threads.store import Threads


class Lab:
    """The lab in ``root``, the folder that ``unweave run`` writes its runs to; what else it keeps is in ``root/.lab``.

    Opening makes what is missing. Several processes may have the same lab open. Where ``root`` cannot be written to,
    the lab is there to be read.
    """

    def __init__(self, root: Path | str = "runs") -> None:
        self.root = Path(root)
        self.home = self.root / ".lab"
        try:
            if not self.root.exists():
                self.root.mkdir(mode=0o700, parents=True)
            if not self.home.exists() and os.access(self.root, os.W_OK):
                self.home.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise oserror_line(error, self.home) from error

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def database(self) -> Database:
        """The lab's SQLite file, opened when first needed, so that a doctor can look at a lab whose file is damaged."""
        return Database(self.home / "lab.db")

    @cached_property
    def runs(self) -> RunIndex:
        """The index of runs."""
        from unweave.lab.store.index import RunIndex

        return RunIndex(self.root, self.database)

    @cached_property
    def freshness(self) -> Freshness:
        """Keeps the index of runs up to date for whoever asks often."""
        from unweave.lab.store.freshness import Freshness

        return Freshness(self.runs)

    @cached_property
    def queue(self) -> Queue:
        """The queue of jobs."""
        from unweave.lab.queue.queue import Queue

        return Queue(self)

    @cached_property
    def threads(self) -> Threads:
        """The threads of research."""
        from unweave.lab.threads.store import Threads

        return Threads(self)

    @cached_property
    def people(self) -> People:
        """Accounts, roles, and who did what."""
        from unweave.lab.people import People

        return People(self)

    @cached_property
    def curves(self) -> Curves:
        """What its runs logged, as curves."""
        from unweave.lab.store.curves import Curves

        return Curves()

    def _repr_html_(self) -> str:
        from unweave.lab.notebook import lab_html

        return lab_html(self)

    def close(self) -> None:
        """Closes the connections to the database."""
        if "database" in self.__dict__:
            self.database.close()
