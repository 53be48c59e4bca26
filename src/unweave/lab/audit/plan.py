"""A run's plan against what was launched: every difference is a deviation, declared by the run or not.

A plan is the object ``plan`` of ``run.json``. Of its keys these are compared, where they are there: ``study``;
``config``, which must name every setting; ``seeds``; ``data``, sha256 by the name of a data set, held out or not;
``identities``, sha256 by kind (``target``, ``data``, ``held-out``, ``decomposition``); ``code``, the hash of the
package or of the person's own study; and ``metric``, ``{"table": .., "column": ..}`` or the name of a logged metric.
``arm`` and ``stage`` tell runs of one plan apart; see ``unweave.lab.audit.left_out``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.lab.audit.finding import Finding
from unweave.record.aggregate import listed, seed_order
from unweave.record.metric import metric_rows
from unweave.record.run import Run
from unweave.record.seeds import logged_seeds


def complete_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """``plan`` with every setting that its config leaves out at the study's default, as a launch would have it."""
    from unweave.base.configs import plain_config
    from unweave.studies.registry import find_study

    study = find_study(str(plan.get("study")))
    return {**plan, "config": plain_config(study.configure(dict(plan.get("config") or {})))}


def deviations(run: Run) -> list[Finding]:
    """The differences between a run and its plan. One that the run does not declare is grave."""
    state = run.state()
    plan, declared = state.get("plan"), state.get("deviations") or {}
    if not isinstance(plan, Mapping) or not isinstance(declared, Mapping):
        return []
    found = []
    for where, what in _differences(run, state, plan):
        why = declared.get(where)
        told = f"{what}; declared: {why}" if why else f"{what}; not declared"
        kind = "data" if where.startswith(("data.", "identities.")) else "plan"
        found.append(Finding(kind, where, told, grave=not why))
    return found


def _differences(run: Run, state: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "study" in plan and plan["study"] != state["study"]:
        yield "study", f"planned {plan['study']!r}, launched {state['study']!r}"
    if isinstance(plan.get("config"), Mapping):
        yield from _config(plan["config"], state["config"])
    yield from _seeds(run, state, plan)
    yield from _data(state, plan)
    yield from _code(state, plan)
    if run.status == "finished":
        yield from _metric(run, plan)


def _config(planned: Mapping[str, Any], launched: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys((*planned, *launched)):
        if name not in launched:
            yield f"config.{name}", f"planned {planned[name]!r}, and the run has no such setting"
        elif name not in planned:
            yield f"config.{name}", f"is {launched[name]!r}, and the plan does not say so"
        elif planned[name] != launched[name]:
            yield f"config.{name}", f"planned {planned[name]!r}, launched {launched[name]!r}"


def _seeds(run: Run, state: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    planned = plan.get("seeds")
    if not isinstance(planned, list):
        return
    wanted = seed_order(map(str, planned))
    given = state.get("seeds")
    if isinstance(given, list) and seed_order(map(str, given)) != wanted:
        yield "seeds", f"planned seeds {listed(wanted)}, launched with {listed(given)}"
        return
    ran = logged_seeds(run)
    more, fewer = [seed for seed in ran if seed not in wanted], [seed for seed in wanted if seed not in ran]
    if state.get("unseeded"):
        more, fewer = [seed for seed in ran if seed not in wanted[:1]], []
    if more:
        yield "seeds", f"planned seeds {listed(wanted)}, and seeds {listed(more)} were run besides"
    if ran and fewer and run.status == "finished":
        yield "seeds", f"planned seeds {listed(wanted)}, and seeds {listed(fewer)} were not run"


def _data(state: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    launched = [one for one in state.get("identities") or [] if isinstance(one, Mapping)]
    read = {str(one.get("name")): one.get("sha256") for one in launched if one.get("kind") in ("data", "held-out")}
    planned = plan.get("data")
    if isinstance(planned, Mapping) and planned:
        for name in dict.fromkeys((*planned, *read)):
            if name not in read:
                yield f"data.{name}", "was planned, and the run recorded no such data"
            elif name not in planned:
                yield f"data.{name}", f"was read ({_short(read[name])}), and is not in the plan"
            elif planned[name] != read[name]:
                yield (
                    f"data.{name}",
                    f"is other data than planned: sha256 {_short(read[name])} instead of {_short(planned[name])}",
                )
    by_kind = plan.get("identities")
    for kind, wanted in by_kind.items() if isinstance(by_kind, Mapping) else ():
        hashes = [one.get("sha256") for one in launched if one.get("kind") == kind]
        if not hashes:
            yield f"identities.{kind}", "was planned, and the run recorded none"
        elif wanted not in hashes:
            yield (
                f"identities.{kind}",
                f"is another than planned: {', '.join(map(_short, hashes))}, not {_short(wanted)}",
            )


def _code(state: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    planned = plan.get("code")
    if not isinstance(planned, str):
        return
    source = state.get("source")
    ran = [source.get("sha256")] if isinstance(source, Mapping) else list(map(code_hash, environments(state)))
    for sha256 in dict.fromkeys(ran):
        if sha256 is None:
            yield "code", "was planned, and the run recorded no hash of its code"
        elif sha256 != planned:
            yield "code", f"is other code than planned: {_short(sha256)} instead of {_short(planned)}"


def _metric(run: Run, plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    metric = plan.get("metric")
    if isinstance(metric, str):
        try:
            logged = {name for row in metric_rows(run.path) for name in row}
        except UnweaveError:
            return
        columns = {column for table in _tables(run) for column in table.columns}
        if metric not in logged | columns:
            yield "metric", f"planned to be judged by {metric!r}, which was neither logged nor saved in a table"
    elif isinstance(metric, Mapping):
        table, column = metric.get("table"), metric.get("column")
        found = {one.name: one.columns for one in _tables(run)}
        if table not in found or column not in found[table]:
            yield "metric", f"planned to be judged by {column!r} of table {table!r}, which the run does not have"


def _tables(run: Run) -> Iterator[Any]:
    for name in run.tables():
        try:
            yield run.load_table(name)
        except UnweaveError:
            continue


def environments(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The environments that a run worked in: where it began, and where it was resumed."""
    resumed = [one.get("environment") for one in state.get("resumed") or [] if isinstance(one, Mapping)]
    return [one for one in (state.get("environment"), *resumed) if isinstance(one, Mapping)]


def code_hash(environment: Mapping[str, Any]) -> str | None:
    """The hash of the package's code that an environment records."""
    code = environment.get("code")
    return code.get("tree") if isinstance(code, Mapping) else None


def _short(sha256: Any) -> str:
    return str(sha256)[:12]
