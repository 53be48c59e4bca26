"""Whether a name belonged to a run that was sealed before, as the ledger of the lab around a folder of runs says."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path


def was_sealed(root: Path, name: str) -> bool:
    """Whether the lab in ``root`` keeps the seal of a run of that name; False where there is no lab.

    Only looks: a ledger that cannot be read is the doctor's to find, and stops no run.
    """
    ledger = Path(root) / ".lab" / "lab.db"
    if not ledger.is_file():
        return False
    import sqlite3

    try:
        # Not read only: such a connection would leave the log of a file that nobody else has open.
        with closing(sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=rw", uri=True, timeout=1)) as connection:
            return connection.execute("SELECT 1 FROM seals WHERE run = ?", (name,)).fetchone() is not None
    except sqlite3.Error:
        return False
