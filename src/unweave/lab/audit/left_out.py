"""Runs that were launched for an arm, and that the evidence about it leaves out."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.base.files import read_json
from unweave.lab.audit.finding import Finding
from unweave.record.aggregate import listed
from unweave.record.evidence import evidence_tables
from unweave.record.run import Run

_EVER = "9999"


def left_out(run: Run, root: Path, invalid: Mapping[str, str]) -> Iterator[Finding]:
    """What was run for the arms that ``run``'s evidence is about, and is not cited in it.

    Runs are of one arm when they have the same thread, study, ``arm`` and ``stage`` of the plan, and config apart from
    its seeds. One that finished before the run with the evidence did must be cited; one that failed, was cancelled or
    was found invalid is told of, and so is one that the run's own table ``left-out`` gives a reason for, and one that
    another session started for another plan.
    """
    tables = evidence_tables(run)
    if not tables:
        return
    reasons = _reasons(run)
    states = _states(root)
    own = states.get(run.id) or run.state()
    arms: dict[str, list[str]] = {}
    for name, state in states.items():
        if name != run.id and (state.get("finished") or state["created"]) <= (own.get("finished") or _EVER):
            arms.setdefault(_arm(state), []).append(name)
    for table in tables:
        labels: dict[str, str] = {}
        for record in table.records():
            labels.setdefault(str(record["run"]), str(record.get("arm") or ""))
        cited = {name: _arm(states[name]) for name in labels if name in states}
        sessions = {_session(states[name]) for name in cited}
        for arm in dict.fromkeys(cited.values()):
            missing = [name for name in arms.get(arm, []) if name not in labels]
            label = next(labels[name] for name in cited if cited[name] == arm)
            apart = [name for name in missing if _apart(_session(states[name]), sessions)]
            for name in sorted(apart):
                told = f"run {name} of arm {label!r} is of another session's plan, and not reported"
                yield Finding("evidence", f"table {table.name}", told, grave=False)
            missing = [name for name in missing if name not in apart]
            yield from _findings(table.name, label, {name: states[name] for name in missing}, invalid, reasons)


def _findings(
    table: str,
    label: str,
    missing: Mapping[str, Mapping[str, Any]],
    invalid: Mapping[str, str],
    reasons: Mapping[str, str],
) -> Iterator[Finding]:
    of = f" of arm {label!r}" if label else ""
    done = {name: state for name, state in missing.items() if state["status"] == "finished" and name not in invalid}
    for name in sorted(set(done) & set(reasons)):
        told = f"run {name}{of} is left out; declared: {reasons[name]}"
        yield Finding("evidence", f"table {table}", told, grave=False)
    done = {name: state for name, state in done.items() if name not in reasons}
    if done:
        seeds = [seed for state in done.values() for seed in _seeds(state)]
        what = f"seeds {listed(seeds)}{of} were run" if seeds else f"{len(done)} runs{of} were made"
        yield Finding("evidence", f"table {table}", f"{what} and are not reported: {', '.join(sorted(done))}")
    for name, state in missing.items():
        if name not in done and name not in reasons:
            how = f"invalid ({invalid[name]})" if name in invalid else state["status"]
            yield Finding("evidence", f"table {table}", f"run {name}{of} is {how}, and not reported", grave=False)


def _reasons(run: Run) -> dict[str, str]:
    if "left-out" not in run.tables():
        return {}
    table = run.load_table("left-out")
    if not {"run", "reason"} <= set(table.columns):
        return {}
    return {str(record["run"]): str(record["reason"]) for record in table.records() if record["reason"]}


def _states(root: Path) -> dict[str, dict[str, Any]]:
    """The description of every run in ``root``, by id."""
    found = {}
    for path in Path(root).glob("[a-z0-9]*/run.json"):
        try:
            state = read_json(path)
        except UnweaveError:
            continue
        if isinstance(state, dict) and {"study", "config", "status", "created"} <= state.keys():
            found[path.parent.name] = state
    return found


def _arm(state: Mapping[str, Any]) -> str:
    plan, config = _mapping(state.get("plan")), _mapping(state["config"])
    settings = {name: value for name, value in config.items() if not _is_seed(name)}
    place = [state.get("thread"), state["study"], plan.get("arm"), plan.get("stage"), settings]
    return json.dumps(place, sort_keys=True)


def _session(state: Mapping[str, Any]) -> tuple[str, str] | None:
    """The plan's hash and the session that launched the run, of a run that was launched for a plan with one."""
    sha256, parents = _mapping(state.get("plan")).get("sha256"), state.get("parents")
    return (str(sha256), str(parents)) if sha256 and parents else None


def _apart(session: tuple[str, str] | None, cited: Collection[tuple[str, str] | None]) -> bool:
    """Whether both the plan and who launched it are others than of all that is cited."""
    known = [one for one in cited if one is not None]
    return (
        session is not None
        and len(known) == len(cited)
        and all(session[0] != one[0] and session[1] != one[1] for one in known)
    )


def _seeds(state: Mapping[str, Any]) -> list[Any]:
    if isinstance(state.get("seeds"), list):
        return state["seeds"]
    config = _mapping(state["config"])
    return [config["seed"]] if "seed" in config else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_seed(name: str) -> bool:
    return name in ("seed", "seeds", "first_seed") or name.endswith(("_seed", "_seeds"))
