"""The end of a session: findings judged and kept, criticised by another, written up, and concluded in the thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.lab.agent.critic import Remains, criticise, told
from unweave.lab.agent.report import conclusion, keep_findings, write_up
from unweave.lab.agent.tables import open_in
from unweave.lab.audit.process import audit, audit_several
from unweave.lab.people import AGENT, Person
from unweave.lab.threads.events import Conclusion, Note, StateChange, Tried

if TYPE_CHECKING:
    from unweave.lab.agent.critic import Objection
    from unweave.lab.agent.plan import Plan
    from unweave.lab.agent.planner import Results
    from unweave.lab.agent.session import Session
    from unweave.lab.agent.verdicts import Judgement
    from unweave.lab.lab import Lab
    from unweave.record.run import Run

CRITIC = Person("critic", "reviewer")
MOST_TRIED = 20


def close(lab: Lab, run: Run, session: Session, thread: str, agent: Person, approvals: bool) -> Judgement | None:
    """Writes the report and tells the thread. A session without a plan has nothing to report and says why."""
    state = session.state()
    if state.plan is None:
        return None
    results = session.results(state, state.plan)
    found = keep_findings(run, state.plan, results, open_in(lab.root))
    objections = _criticised(lab, run, session, state.plan, thread, approvals)
    write_up(run, state.plan, state.ended or "", objections)
    _tell(lab, run, results, objections, thread, agent)
    # A conclusion rests on a run that is finished, sealed and audited, and so comes last.
    run.finish()
    reasons = audit(lab, run.id).reasons
    if reasons:
        _refuse(lab, run, reasons, thread)
    else:
        believed = not any(one.severity == "grave" for one in objections)
        _conclude(lab, run, state.plan, found, thread, agent, believed)
    return found


def _criticised(lab: Lab, run: Run, session: Session, plan: Plan, thread: str, approvals: bool) -> list[Objection]:
    """The critic's objections, from what is on the disk now."""
    state = session.state()
    finished = [name for name in state.runs if lab.queue.get(name).state == "finished"]
    audits: dict[str, object] = {}
    for start in range(0, len(finished), 40):
        some = finished[start : start + 40]
        audits |= dict(zip(some, audit_several(lab, some), strict=True))
    kept = lab.threads.get(thread)
    own = {
        job.run for job in lab.queue.list(thread=thread) if job.kind == "study" and _of_session(lab, job.run, run.id)
    }
    remains = Remains(
        run=run,
        plan=plan,
        approved=frozenset(one.sha256 for one in kept.approvals_here) if approvals else None,
        launched=state.runs,
        of_thread=frozenset(own),
        audits=audits,  # type: ignore[arg-type]
        registered=session.view.studies.get(plan.study),
        open_run=open_in(lab.root),
        before=tuple(asked_before(lab, run, plan.question)),
    )
    return criticise(remains)


def asked_before(lab: Lab, run: Run, question: str) -> Iterator[str]:
    """Each other session of this question in the lab, whatever its thread, and what it answered: oldest first."""
    after = None
    while True:
        page = lab.runs.list(limit=1000, after=after, study=AGENT, descending=False)
        for row in page.rows:
            try:
                other = lab.runs.open(row.id)
                same = _plain(str(other.config.get("question"))) == _plain(question)
                if row.id != run.id and same and other.state()["created"] <= run.state()["created"]:
                    claims = other.claims()
                    answer = f"answered {str(claims[0].value)!r}" if claims else f"is {row.status} without an answer"
                    yield f"run {row.id} of thread {row.thread} {answer}"
            except UnweaveError:
                continue
        if page.next is None:
            return
        after = page.next


def _plain(question: str) -> str:
    return " ".join(question.casefold().split()).rstrip("?. ")


def _of_session(lab: Lab, name: str, session: str) -> bool:
    try:
        return session in (lab.runs.open(name).state().get("parents") or [])
    except UnweaveError:
        return False


def _tell(lab: Lab, run: Run, results: Results, objections: list[Objection], thread: str, agent: Person) -> None:
    """What the thread should hold of it; an event that is there already, from before a kill, is not told again."""
    kept = lab.threads.get(thread)
    known = {one.what for one in kept.tried}
    for what, why, runs in _tried(run, results):
        if what not in known:
            lab.threads.add(thread, Tried(what, why, runs), by=agent)
    note = f"The critic on run {run.id}:\n\n{told(objections)}"
    if note not in {one.text for one in kept.notes}:
        lab.threads.add(thread, Note(note), by=CRITIC)


def _refuse(lab: Lab, run: Run, reasons: Sequence[str], thread: str) -> None:
    """No conclusion can rest on an invalid run, so the thread is told why there is none, and stays open."""
    why = "\n".join(f"- {reason}" for reason in reasons)
    note = f"Not to be believed: the auditor calls the session's own run {run.id} invalid.\n\n{why}"
    lab.threads.add(thread, Note(note), by=CRITIC)


def _conclude(lab: Lab, run: Run, plan: Plan, found: Judgement, thread: str, agent: Person, believed: bool) -> None:
    """What was found; the thread stays open where the critic's objections say that it should not be believed."""
    kept = lab.threads.get(thread)
    lab.runs.update(run.id)
    text, claims = conclusion(run, plan, found)
    if not believed:
        text = f"Not to be believed: the critic objects gravely to what the session found. {text}"
    lab.threads.add(thread, Conclusion(text, claims), by=agent)  # type: ignore[arg-type]
    if believed and kept.state == "open":
        lab.threads.add(thread, StateChange("concluded", f"by run {run.id}"), by=agent)


def _tried(run: Run, results: Results) -> list[tuple[str, str, tuple[str, ...]]]:
    """What was run and is not the answer: one entry for each reason, with the arms that share it."""
    if "tried" not in run.tables():
        return []
    shared: dict[str, list[str]] = {}
    for row in run.load_table("tried").records():
        if row["runs"]:
            shared.setdefault(str(row["result"]), []).append(str(row["arm"]))
    found = []
    for why, arms in list(shared.items())[:MOST_TRIED]:
        runs = tuple(one.run for one in results.measured if one.arm in arms and one.fault is None)
        what = ", ".join(arms[:12]) + (f" and {len(arms) - 12} more" if len(arms) > 12 else "")
        found.append((what, why, runs))
    return found
