"""What a doctor finds in a lab, and where it puts what it takes out of the way."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from unweave.base.errors import oserror_line


@dataclass(frozen=True)
class Finding:
    """Something wrong: where, what, whether it was repaired, and what was done or is left for a person to do."""

    where: str
    what: str
    repaired: bool
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {'done: ' if self.repaired else ''}{self.remedy}"


def set_aside(home: Path, path: Path, copy: bool = False) -> Path:
    """Moves (or copies) a file or a folder to ``lost`` in the lab's own folder, and returns where it is now.

    Nothing is ever removed: a person looks at it and throws it away.
    """
    lost = home / "lost"
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    kept = lost / f"{stamp}-{re.sub(r'[^A-Za-z0-9._-]+', '-', path.name).lstrip('.-')}"
    try:
        lost.mkdir(mode=0o700, parents=True, exist_ok=True)
        if copy:
            shutil.copyfile(path, kept)
            os.chmod(kept, 0o600)
        else:
            os.rename(path, kept)
    except OSError as error:
        raise oserror_line(error, path) from error
    return kept
