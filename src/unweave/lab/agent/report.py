"""The report of a session: tables, claims, a text in which every number is a claim, and the conclusion."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import atomic_path
from unweave.lab.agent.answer import answer_sentence, answer_word, digits_of, named
from unweave.lab.agent.judge import judge
from unweave.lab.agent.plan import Plan
from unweave.lab.agent.tables import (
    arms_table,
    comparisons_table,
    evidence_table,
    predictions_table,
    runs_table,
    tried_table,
    verdicts_table,
)
from unweave.lab.agent.verdicts import Judgement
from unweave.record.aggregate import Aggregate
from unweave.record.table import Table

if TYPE_CHECKING:
    from unweave.lab.agent.critic import Objection
    from unweave.lab.agent.planner import Results
    from unweave.record.run import Run

MARKDOWN = "report.md"


def keep_findings(run: Run, plan: Plan, results: Results, open_run: Callable[[str], Run]) -> Judgement:
    """Judges the results, saves every table and makes the claims. Nothing is written as text yet."""
    found = judge(plan, results)
    evidence = evidence_table(plan, results, open_run)
    tables: list[Table | None] = [
        evidence,
        runs_table(results),
        arms_table(plan, found) if found.tested else None,
        comparisons_table(plan, found) if found.compared else None,
        verdicts_table(plan, found),
        predictions_table(plan, found, results),
        tried_table(plan, found, results),
    ]
    for table in tables:
        if table is not None and table.rows:
            run.save_table(table)
    _claim(run, plan, found)
    return found


def _claim(run: Run, plan: Plan, found: Judgement) -> None:
    run.claim(f"The answer is: {{value}}. {answer_sentence(plan, found)}", "verdicts", {"what": "answer"}, "verdict")
    for standing in found.standings:
        # The numbers in an arm's name are no results, and a text knows them by this.
        run.claim(f"`{{value}}` {standing.verdict}.", "verdicts", {"what": standing.arm}, "what")
    bars = {outcome.name: outcome for outcome in plan.outcomes()}
    for one in found.tested:
        outcome = bars[one.outcome]
        if outcome in plan.criterion.equal:
            continue
        where = {"arm": one.arm, "on": one.on or "", "outcome": one.outcome}
        who = f"{named(one.arm)} of {named(one.on)}" if one.on else named(one.arm)
        verdict = f", {one.verdict}" if one.verdict != "no bar" else ""
        over = Aggregate("evidence", "value", {**where, "stage": "confirm"}, "mean")
        run.claim(
            f"{who}: {one.outcome} {{value}} {outcome.unit}".rstrip() + f" over {one.noisy.n} fresh seeds{verdict}.",
            "arms",
            where,
            "mean",
            digits=digits_of(one.noisy.error),
            over=over,
        )
    counted: set[int] = set()
    for one in found.tested:
        # So that a text may say on how many seeds a number rests, each count is a claim too.
        if one.noisy.n not in counted:
            counted.add(one.noisy.n)
            where = {"arm": one.arm, "on": one.on or "", "outcome": one.outcome}
            who = f"{named(one.arm)} of {named(one.on)}" if one.on else named(one.arm)
            run.claim(f"{who} was run on {{value}} fresh seeds.", "arms", where, "seeds")
    for one in found.compared:
        where = {"first": one.first, "second": one.second, "outcome": one.outcome}
        sides = [{"arm": arm, "on": "", "stage": "confirm", "outcome": one.outcome} for arm in (one.first, one.second)]
        same = _same_seeds(run.load_table("evidence"), sides)
        run.claim(
            f"{named(one.first)} less {named(one.second)}: {one.outcome} {{value:+}} {bars[one.outcome].unit}".rstrip()
            + f" over {one.noisy.n} shared seeds, {one.verdict}.",
            "comparisons",
            where,
            "difference",
            digits=digits_of(one.noisy.error),
            over=Aggregate("evidence", "value", sides[0], "mean", minus=sides[1]) if same else None,
        )


def _same_seeds(evidence: Table, sides: list[dict[str, Any]]) -> bool:
    seeds = [sorted(str(evidence.rows[row][evidence.index("seed")]) for row in evidence.find(side)) for side in sides]
    return seeds[0] == seeds[1]


def write_up(run: Run, plan: Plan, ended: str, objections: list[Objection]) -> None:
    """Writes the critic's objections as a table, ``report.md`` and ``report.html``."""
    from unweave.record.report import Section, write_report

    rows = [{"severity": one.severity, "about": one.about, "objection": one.what} for one in objections]
    run.save_table(Table.from_records("critic", rows, ("severity", "about", "objection"), caption=CRITIC))
    grave = sum(one.severity == "grave" for one in objections)
    claims = run.claims()
    said = [claims[0].sentence, *(_GRAVE if grave else [])]
    there = run.tables()
    sections = [
        Section(
            "What was found",
            paragraphs=said,
            tables=[name for name in ("verdicts", "arms", "comparisons") if name in there],
        ),
        Section("What was expected", paragraphs=[EXPECTED], tables=["predictions"]),
        Section(
            "What was tried",
            paragraphs=[f"How it ended: {ended}.", plan.stopping.text],
            tables=_there(there, "tried", "runs"),
        ),
        Section("What the critic says", paragraphs=[CRITIC], tables=["critic"]),
        Section("Evidence", tables=_there(there, "evidence")),
    ]
    _write_markdown(run, plan, ended, said)
    write_report(run, plan.question, f"Asked of `{plan.study}` by the planner `{plan.planner}`.", sections)


CRITIC = "What a reader should object to; the critic reads only what is on the disk, and does not plan or run"
EXPECTED = "Each prediction was written down before anything had run."
_GRAVE = ["**The critic objects to this: do not believe it as it stands.**"]


def _there(tables: list[str], *names: str) -> list[str]:
    return [name for name in names if name in tables]


def _write_markdown(run: Run, plan: Plan, ended: str, said: list[str]) -> None:
    """``report.md``: every number in it is one of the run's claims."""
    claims = run.claims()
    lines = [f"# {plan.question}", "", *said, ""]
    if len(claims) > 1:
        lines += ["What it rests on:", "", *(f"- {claim.sentence}" for claim in claims[1:]), ""]
    for name in ("predictions", "tried"):
        if name in run.tables():
            lines += [f"## {name.capitalize()}", "", f"See table `{name}`.", ""]
    with_path = run.path / MARKDOWN
    try:
        with atomic_path(with_path) as temporary:
            temporary.write_text("\n".join(lines), encoding="utf-8")
    except OSError as error:
        raise oserror_line(error, with_path) from error
    del ended


def conclusion(run: Run, plan: Plan, found: Judgement) -> tuple[str, tuple[tuple[str, int], ...]]:
    """The sentence for the thread, and the claims that it rests on: the answer and the arms that it names."""
    named = {found.best, *found.tied, *(name for one in found.contrasts for name in (one.first, one.second))}
    stood = {one.arm for one in found.standings}
    claims = run.claims()
    rests = [
        number
        for number, claim in enumerate(claims)
        if number == 0
        or (claim.column == "what" and claim.value in stood)
        or {claim.row.get("arm"), claim.row.get("first"), claim.row.get("second")} & (named - {None})
    ]
    if not claims:
        raise UnweaveError(f"run {run.id!r} makes no claim, so nothing can be concluded from it")
    text = f"{plan.question} {answer_word(plan, found).capitalize()}. {answer_sentence(plan, found)}"
    return text, tuple((run.id, number) for number in rests)
