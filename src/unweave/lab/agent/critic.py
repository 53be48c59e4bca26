"""The critic: reads what a session left, plan, runs, tables and claims, and says what a careful reader would object to.

It shares nothing with the planner or the loop: what it knows, it reads from folders, and it reckons anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from unweave.base.errors import UnweaveError
from unweave.lab.agent.excused import excused
from unweave.lab.agent.plan import Plan
from unweave.record.aggregate import Aggregate
from unweave.stats.noise import noisy_mean

if TYPE_CHECKING:
    from unweave.lab.audit.finding import Audit
    from unweave.record.run import Run
    from unweave.studies.registry import Study

Severity = Literal["grave", "note"]
FEWEST = 3
"""Seeds below which nothing is called confirmed."""


@dataclass(frozen=True)
class Objection:
    """What is wrong with a session's findings. A ``grave`` one means that they should not be believed as they stand."""

    about: str
    what: str
    severity: Severity = "grave"


@dataclass(frozen=True)
class Remains:
    """What a session left: its own run, its last plan, the runs that it launched, and all that belong to its thread.

    ``audits`` are the auditor's, by run. ``registered`` is the study as it is registered now.
    """

    run: Run
    plan: Plan
    approved: frozenset[str] | None
    """Hashes of the plans that were approved; None where no approval was needed."""
    launched: Mapping[str, Mapping[str, Any]]
    """The plan's entry of each run, by the run's id."""
    of_thread: frozenset[str]
    audits: Mapping[str, Audit]
    registered: Study | None
    open_run: Callable[[str], Run]
    before: tuple[str, ...] = ()
    """Earlier sessions of the same question in the lab, and what they answered."""


def criticise(remains: Remains) -> list[Objection]:
    """Everything that there is to object to, the grave first."""
    found: list[Objection] = []
    for check in (
        _approval, _metric, _seeds, _fresh, _controls, _harms, _noise, _many, _reported, _audited, _before, _ending,
        _digits,
    ):  # fmt: skip
        try:
            found += check(remains)
        except UnweaveError as error:
            found.append(Objection("report", f"it could not be examined: {error}"))
    return sorted(dict.fromkeys(found), key=lambda one: one.severity != "grave")


def _approval(remains: Remains) -> Iterator[Objection]:
    hashes = {str(entry["sha256"]) for entry in remains.launched.values()}
    if remains.approved is not None:
        for sha256 in sorted(hashes - remains.approved):
            yield Objection("plan", f"runs were launched under plan {sha256[:12]}, which nobody approved")
    for sha256 in sorted(hashes - {remains.plan.sha256}):
        yield Objection("plan", f"some runs were launched under an earlier plan, {sha256[:12]}", "note")


def _metric(remains: Remains) -> Iterator[Objection]:
    """Whether the plan judges by what the study itself says that it answers with."""
    inquiry = remains.registered.inquiry if remains.registered else None
    if inquiry is None:
        yield Objection("metric", f"study {remains.plan.study!r} says nothing of how it may be judged", "note")
        return
    criterion = remains.plan.criterion
    if criterion.effect != inquiry.effect:
        yield Objection("metric", f"the plan judges by another effect than the study's {inquiry.effect.name!r}")
    missing = [harm.name for harm in inquiry.harms if harm not in criterion.harms]
    if missing:
        yield Objection("metric", f"the plan leaves out or changes what the study calls a harm: {', '.join(missing)}")


def _answered(remains: Remains) -> list[dict[str, Any]]:
    return remains.run.load_table("verdicts").records()


def _holding(remains: Remains) -> list[str]:
    return [str(row["what"]) for row in _answered(remains) if row["verdict"] == "holds"]


def _arms(remains: Remains) -> list[dict[str, Any]]:
    return remains.run.load_table("arms").records() if "arms" in remains.run.tables() else []


def _seeds(remains: Remains) -> Iterator[Objection]:
    for row in _arms(remains):
        if not row["on"] and row["role"] in ("candidate", "baseline") and int(row["seeds"]) < FEWEST:
            stated = row["arm"] in _holding(remains)
            what = f"{row['outcome']} of {row['arm']} rests on {row['seeds']} seed(s): {FEWEST} are the least"
            yield Objection("seeds", what, "grave" if stated else "note")


def _fresh(remains: Remains) -> Iterator[Objection]:
    """Whether what confirms was looked at before: seeds of screening, whatever arm they screened."""
    stages: dict[str, set[int]] = {"screen": set(), "confirm": set()}
    for entry in remains.launched.values():
        stages[str(entry["stage"])] |= set(entry["seeds"])
    both = stages["screen"] & stages["confirm"]
    if both:
        yield Objection("seeds", f"seeds {sorted(both)} were used to screen and to confirm: they are not fresh")


def _controls(remains: Remains) -> Iterator[Objection]:
    inquiry = remains.registered.inquiry if remains.registered else None
    if inquiry is None or not _says_yes(remains):
        return
    best = _holding(remains)
    for role, wanted in (("null", inquiry.null), ("control", inquiry.control)):
        if not wanted:
            yield Objection(
                role, f"the study has no {role}: nothing shows what would be seen if there were nothing", "note"
            )
            continue
        runs = [entry for entry in remains.launched.values() if entry["role"] == role]
        if not runs:
            yield Objection(role, f"an effect is stated, and no {role} was run")
            continue
        effect = remains.plan.criterion.effect
        rows = [row for row in _arms(remains) if row["role"] == role and row["outcome"] == effect.name]
        for row in rows:
            harmful = _out_of_bars(remains, row)
            if effect.bar is not None and effect.reached(float(row["mean"])) and not harmful and row["on"] in best:
                yield Objection(role, f"the {role} of {row['on']} reaches the bar of {effect.name} too")


def _out_of_bars(remains: Remains, row: Mapping[str, Any]) -> bool:
    harms = {harm.name: harm for harm in remains.plan.criterion.harms}
    same = [one for one in _arms(remains) if (one["arm"], one["on"]) == (row["arm"], row["on"])]
    return remains.plan.criterion.harmless and any(
        one["outcome"] in harms
        and harms[one["outcome"]].bar is not None
        and not harms[one["outcome"]].reached(one["mean"])
        for one in same
    )


def _harms(remains: Remains) -> Iterator[Objection]:
    for arm in _holding(remains):
        there = {row["outcome"] for row in _arms(remains) if row["arm"] == arm and not row["on"]}
        for harm in remains.plan.criterion.harms:
            if harm.name not in there:
                yield Objection("harms", f"{harm.name} of {arm} was not measured")


def _noise(remains: Remains) -> Iterator[Objection]:
    """Reckons what is stated anew from the evidence: bars reached by the mean, differences past their noise."""
    if "evidence" not in remains.run.tables():
        return
    evidence = remains.run.load_table("evidence")
    criterion = remains.plan.criterion
    bars = {one.name: one for one in (criterion.effect, *(criterion.harms if criterion.harmless else ()))}
    for arm in _holding(remains):
        for name, outcome in bars.items():
            if outcome.bar is None:
                continue
            where = {"arm": arm, "on": "", "stage": "confirm", "outcome": name}
            mean = Aggregate("evidence", "value", where, "mean").recompute(evidence)
            if not outcome.reached(float(mean)):
                yield Objection("noise", f"{arm} is said to hold, and its {name} is {mean:.3g} against {outcome.bar:g}")
    if "comparisons" in remains.run.tables():
        for row in remains.run.load_table("comparisons").records():
            if row["verdict"] in ("better", "worse"):
                yield from _difference(evidence, row)


def _difference(evidence: Any, row: Mapping[str, Any]) -> Iterator[Objection]:
    values = []
    for arm in (row["first"], row["second"]):
        where = {"arm": arm, "on": "", "stage": "confirm", "outcome": row["outcome"]}
        chosen = evidence.find(where)
        seed, value = evidence.index("seed"), evidence.index("value")
        values.append({evidence.rows[one][seed]: float(evidence.rows[one][value]) for one in chosen})
    shared = sorted(set(values[0]) & set(values[1]))
    if len(shared) < FEWEST:
        yield Objection("noise", f"{row['first']} and {row['second']} are compared on {len(shared)} seeds")
        return
    noisy = noisy_mean([values[0][one] - values[1][one] for one in shared])
    if noisy.low <= 0 <= noisy.high:
        yield Objection(
            "noise",
            f"{row['first']} is called {row['verdict']} than {row['second']} within the noise of {row['outcome']}",
        )


def _many(remains: Remains) -> Iterator[Objection]:
    """How much was looked at before something was stated."""
    screened = {entry["arm"] for entry in remains.launched.values() if entry["stage"] == "screen"}
    confirmed = {
        entry["arm"]
        for entry in remains.launched.values()
        if entry["stage"] == "confirm" and entry["role"] in ("candidate", "baseline")
    }
    if screened and _says_yes(remains) and not confirmed:
        yield Objection("selection", f"the best of {len(screened)} is stated, and nothing was confirmed on fresh seeds")
    planned = remains.plan.stopping.finalists + len(remains.plan.of_role("baseline"))
    if len(confirmed) > planned and remains.plan.kind != "compare":
        yield Objection("selection", f"{len(confirmed)} arms were confirmed, and the plan allows {planned}")
    for arm in _holding(remains):
        if arm not in confirmed:
            yield Objection("selection", f"{arm} is said to hold, and was never run on fresh seeds")


def _reported(remains: Remains) -> Iterator[Objection]:
    listed = set(map(str, remains.run.load_table("runs").column("run")))
    for name in sorted((remains.of_thread | set(remains.launched)) - listed - {remains.run.id}):
        yield Objection("runs", f"run {name} belongs to the thread, and the report does not list it")
    used = set()
    if "evidence" in remains.run.tables():
        used = set(map(str, remains.run.load_table("evidence").column("run")))
    for name, entry in remains.launched.items():
        result = [row for row in remains.run.load_table("runs").records() if row["run"] == name]
        if result and result[0]["result"] == "measured" and name not in used:
            yield Objection(
                "runs", f"run {name} of {entry['arm']} was measured, and none of its values is in the evidence"
            )


def _audited(remains: Remains) -> Iterator[Objection]:
    for name, audit in remains.audits.items():
        for finding in audit.findings:
            if finding.grave:
                yield Objection(f"run {name}", str(finding), "note" if _unused(remains, name) else "grave")
        for excuse in excused(remains.open_run(name), audit):
            told = f"departs from its plan and excuses itself: {excuse}"
            yield Objection(f"run {name}", told, "note" if _unused(remains, name) else "grave")
    for name in remains.launched:
        if name not in remains.audits and not _unused(remains, name):
            yield Objection(f"run {name}", "its numbers are used, and it was not audited")


def _before(remains: Remains) -> Iterator[Objection]:
    """Whoever asks until the answer is yes finds what is not there: a reader must know of every time."""
    if remains.before:
        times = (
            f"{len(remains.before)} time(s) before in this lab, and the level is of one: {'; '.join(remains.before)}"
        )
        yield Objection("question", f"it was asked {times}", "note")


def _unused(remains: Remains, name: str) -> bool:
    if "evidence" not in remains.run.tables():
        return True
    return name not in set(map(str, remains.run.load_table("evidence").column("run")))


def _ending(remains: Remains) -> Iterator[Objection]:
    ended = [row for row in remains.run.cells("journal").values() if row["kind"] == "ended"]
    for row in ended:
        why = str(row["why"])
        if "before its own stopping rule was met" in why or why.startswith(
            ("stopped from outside", "the budget", "after ")
        ):
            yield Objection("ending", why, "note")
    for row in _answered(remains):
        if row["what"] == "answer" and row["verdict"] == "undecided":
            yield Objection("ending", "the question is not decided", "note")


def _digits(remains: Remains) -> Iterator[Objection]:
    """Whether a claim shows digits that its noise does not carry."""
    errors = {}
    if "arms" in remains.run.tables():
        errors = {(row["arm"], row["on"], row["outcome"]): row["error"] for row in _arms(remains)}
    for claim in remains.run.claims():
        if claim.table != "arms" or claim.column != "mean" or not isinstance(claim.value, float):
            continue
        error = errors.get((claim.row.get("arm"), claim.row.get("on"), claim.row.get("outcome")))
        if error and 10.0**-claim.digits < float(error) / 100:
            carried = max(0, 1 - math.floor(math.log10(float(error))))
            yield Objection(
                "digits", f"{claim.sentence!r} shows {claim.digits} decimals, and the noise carries {carried}", "note"
            )


def _says_yes(remains: Remains) -> bool:
    return any(row["what"] == "answer" and row["verdict"] == "yes" for row in _answered(remains))


def told(objections: list[Objection]) -> str:
    """The objections as Markdown."""
    if not objections:
        return "Nothing to object to."
    lines = []
    for severity, group in groupby(objections, key=lambda one: one.severity):
        lines.append("Not to be believed as it stands:" if severity == "grave" else "Notes:")
        lines += [f"- {one.about}: {one.what}" for one in group]
    return "\n".join(lines)
