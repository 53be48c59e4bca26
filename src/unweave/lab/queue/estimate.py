"""What a run will need, reckoned before it starts: by its study, else from earlier runs, else a stated default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

from unweave.base.needs import Needs

if TYPE_CHECKING:
    from unweave.lab.store.database import Database
    from unweave.studies.registry import Study

DEFAULT = Needs(threads=1.0, memory_gb=1.0, disk_gb=0.1)
EARLIER_RUNS = 20
SHARE = 1.5
"""What is set aside, as a share of what the median earlier run used."""


def estimate(database: Database, name: str, study: Study | None, config: Any) -> tuple[Needs, str]:
    """Needs and where they come from. ``seconds`` is how long it is expected to take, infinity if nobody knows."""
    if study is not None and study.needs is not None:
        return study.needs(config), f"reckoned by study {name!r} from its config"
    rows = database.read(
        "SELECT usage, spec FROM jobs WHERE study = ? AND state = 'finished' AND usage IS NOT NULL "
        "ORDER BY number DESC LIMIT ?",
        (name, EARLIER_RUNS),
    )
    used: list[Mapping[str, float]] = [json.loads(row["usage"]) for row in rows]
    used = [one for one in used if one.get("memory_gb")]
    if not used:
        return DEFAULT, f"the default: study {name!r} says nothing, and no run of it has finished in this lab"

    def typical(resource: str) -> float:
        return SHARE * median(one.get(resource, 0.0) for one in used)

    threads = json.loads(rows[0]["spec"])["needs"]["threads"]
    needs = Needs(
        threads, typical("memory_gb"), typical("gpu_gb"), max(typical("disk_gb"), 0.01), seconds=typical("seconds")
    )
    return needs, f"{SHARE} times the median of what {len(used)} finished run{'s' * (len(used) > 1)} of it used here"
