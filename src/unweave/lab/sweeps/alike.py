"""Finished runs of the same configs that a comparison does not look at: told, so that nobody chooses runs by result."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.lab.sweeps.arms import study_of

if TYPE_CHECKING:
    from unweave.lab.lab import Lab


def runs_alike(
    lab: Lab, study: str, configs: Iterable[Mapping[str, Any]], without: Collection[str], seed_field: str | None = None
) -> list[str]:
    """Ids of the lab's finished and valid runs of ``study`` with one of ``configs``, whatever the seed."""
    seeding, resolved = study_of(study, seed_field)

    def key(config: Mapping[str, Any]) -> str:
        return json.dumps(seeding.without(resolved(config)), sort_keys=True)

    wanted = {key(config) for config in configs}
    found = []
    for run in _finished(lab, study):
        if run in without:
            continue
        try:
            config = lab.runs.open(run).config
        except UnweaveError:
            continue
        if key(config) in wanted:
            found.append(run)
    return found


def _finished(lab: Lab, study: str) -> Iterator[str]:
    lab.runs.sync()
    cursor: str | None = None
    while True:
        page = lab.runs.list(limit=1000, after=cursor, study=study, status="finished", sort="created", descending=False)
        yield from (row.id for row in page.rows if row.valid)
        cursor = page.next
        if cursor is None:
            return
