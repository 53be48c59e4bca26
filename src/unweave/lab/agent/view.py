"""A lab as a planner sees it: what can be asked, what was run before, what may be spent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.lab.agent.fresh import used_seeds
from unweave.lab.agent.lab_hands import at_once
from unweave.lab.agent.planner import Earlier, LabView
from unweave.record.environment import environment

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

EARLIER = 1000
"""Finished runs that a planner is told of, the newest."""


def lab_view(
    lab: Lab,
    source: Path | None = None,
    left: Mapping[str, float] | None = None,
    thread: str | None = None,
    session: str | None = None,
) -> LabView:
    """A snapshot of the lab for a session of ``thread``; ``source`` is a Python file with studies of one's own.

    ``session`` is the session's own run, whose runs are not earlier ones when it goes on after being killed.
    """
    from unweave.studies.discover import load_source, source_hash
    from unweave.studies.registry import all_studies

    own = load_source(source) if source is not None else {}
    studies = {name: study for name, study in {**all_studies(), **own}.items() if study.inquiry is not None}
    code = environment().get("code") or {}
    first = next(iter(own or studies), None)
    return LabView(
        studies=studies,
        earlier=tuple(_earlier(lab, set(studies))),
        used={name: tuple(used_seeds(lab, study, session)) for name, study in studies.items()},
        left=dict(left or {}),
        at_once=at_once(lab, first, {}) if first is not None else 1,
        code=code.get("tree"),
        thread=thread,
        sources={name: source_hash(source) for name in own} if source is not None else {},
    )


def _earlier(lab: Lab, names: set[str]) -> list[Earlier]:
    lab.runs.sync()
    found = []
    for row in lab.runs.list(limit=EARLIER, status="finished").rows:
        if row.study not in names or not row.valid:
            continue
        try:
            state = lab.runs.open(row.id).state()
        except UnweaveError:
            continue
        kinds = [one["kind"] for one in state.get("identities", [])]
        identities = {
            one["kind"]: one["sha256"] for one in state.get("identities", []) if kinds.count(one["kind"]) == 1
        }
        found.append(Earlier(row.id, row.study, state["config"], identities, state.get("thread")))
    return found
