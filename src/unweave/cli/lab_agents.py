"""The command that gives the lab's agent a question and a budget."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unweave.base.arguments import count
from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output
from unweave.base.progress import Terminal
from unweave.base.terminal import one_line
from unweave.cli.lab_shared import ask, ask_in, checked_request, indented, open_lab, told
from unweave.cli.shared import Command

PLANNERS = ("built-in", "language-model")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", metavar="QUESTION", nargs="?", help="a question that the studies can answer")
    parser.add_argument("--stop", metavar="THREAD", help="end the session of this thread, with what it has")
    parser.add_argument("--planner", choices=PLANNERS, default="built-in", help="who plans (default: built-in)")
    budget = parser.add_argument_group("budget")
    budget.add_argument("--runs-at-most", metavar="N", type=count, default=60, help="runs it may start (default: 60)")
    budget.add_argument("--seconds", metavar="S", type=float, help="seconds of its runs, summed (default: no limit)")
    budget.add_argument("--tokens", metavar="N", type=float, help="tokens of a language model")
    budget.add_argument("--dollars", metavar="D", type=float, help="of a language model, by the prices given")
    model = parser.add_argument_group("language model")
    model.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible address, up to /v1")
    model.add_argument("--model", metavar="NAME", help="the model's name there")
    model.add_argument("--key-env", metavar="VARIABLE", help="environment variable that holds the endpoint's key")
    model.add_argument("--price-in", metavar="D", type=float, help="dollars for a million tokens that it is sent")
    model.add_argument("--price-out", metavar="D", type=float, help="dollars for a million tokens that it writes")
    parser.add_argument("--wait-for-approval", action="store_true", help="run nothing before the plan is approved")
    parser.add_argument("--thread", metavar="THREAD", help="a thread of the same question (default: a new one)")
    parser.add_argument("--source", metavar="FILE", type=Path, help="a .py file whose studies it may ask too")
    parser.add_argument("--name", help="id of the session's own run")
    parser.add_argument("--queue", "--detach", action="store_true", help="submit it to the lab's queue, and return")


def _agent(args: argparse.Namespace) -> Output:
    if args.stop is not None:
        if args.question is not None:
            raise UnweaveError("--stop ends a session, and a question begins one: give one of them")
        stopped = ask(args, "stop-agent", {"thread": args.stop})
        return Output(told(stopped), [one_line(f"the session of thread {stopped.thread} ends with what it has")])
    if args.question is None:
        raise UnweaveError("what is the question? unweave agent QUESTION")
    lab = open_lab(args, make=True)
    thread, job = _start(args, lab)
    args.kept.append(f"go on with `unweave queue wait {job}`, or end it with `unweave agent --stop {thread}`")
    head = [f"thread {thread}", f"run {job}"]
    if args.queue:
        return Output({"thread": thread, "run": job}, [*head, f"unweave queue wait {job}"])
    return _followed(lab, thread, job, args.wait_for_approval, head)


def _start(args: argparse.Namespace, lab: Any) -> tuple[str, str]:
    from unweave.lab.agent.job import start_agent
    from unweave.lab.operations.agent_models import StartAgentRequest
    from unweave.lab.operations.agents import PLANNERS as NAMES
    from unweave.lab.operations.agents import budget_of, language_model

    fields = {
        "question": args.question, "runs": args.runs_at_most, "seconds": args.seconds, "tokens": args.tokens,
        "dollars": args.dollars, "planner": args.planner, "wait_for_approval": args.wait_for_approval,
        "thread": args.thread, "name": args.name, "price_in": args.price_in, "price_out": args.price_out,
    }  # fmt: skip
    flags = {"--endpoint": args.endpoint, "--model": args.model, "--key-env": args.key_env}
    given = [flag for flag, value in flags.items() if value is not None]
    if given and args.planner != "language-model":
        raise UnweaveError(f"{given[0]} is for --planner language-model: the built-in planner asks no model")
    if args.source is None and not given:
        started = ask_in(lab, "start-agent", fields)
        return started.thread, started.job.run
    # No operation does this: over the network nobody names a file or an address for this machine to open.
    request = checked_request(StartAgentRequest, fields)
    person = lab.people.here()
    person.must("run")
    asked: dict[str, Any] = {}
    if args.planner == "language-model":
        asked = language_model(args.endpoint, args.model, args.key_env)
    thread, job = start_agent(
        lab, request.question, planner=NAMES[request.planner], budget=budget_of(request),
        wait_for_approval=request.wait_for_approval, thread=request.thread, person=person,
        source=args.source.resolve() if args.source else None, name=request.name,
        price_in=request.price_in, price_out=request.price_out, **asked,
    )  # fmt: skip
    # An address may hold a name and a password before its host.
    where = {"endpoint": (asked.get("endpoint") or "").rpartition("@")[2] or None, "model": asked.get("model")}
    lab.people.record(
        person, "start-agent", {**fields, **where, "source": args.source.name if args.source else None}, thread
    )
    return thread, job.run


def _followed(lab: Any, thread: str, job: str, approval: bool, head: list[str]) -> Output:
    """Works the queue until the session has ended; where its plan has to be approved first, says how and stops."""
    terminal = Terminal("agent")
    if approval:
        while not (lab.queue.get(job).has_ended or lab.threads.get(thread).plan is not None):
            lab.queue.wait([job], 0.5, terminal)
        plan = lab.threads.get(thread).plan
        if plan is not None and not lab.threads.get(thread).approved(plan.sha256) and not lab.queue.get(job).has_ended:
            lines = [
                *head,
                *_plan(plan),
                f"unweave thread approve {thread} {plan.sha256[:12]}",
                f"unweave queue wait {job}",
            ]
            return Output({"thread": thread, "run": job, "plan": plan.sha256, "waits": True}, lines)
    (ended,) = lab.queue.wait([job], progress=terminal)
    lab.runs.sync()
    shown = ask_in(lab, "thread", {"thread": thread})
    report = lab.root / job / "report.md"
    lines = [*head, ""]
    for one in shown.conclusions:
        lines += [
            one_line(one.text),
            *(line for cited in one.claims for line in indented(f"{cited.verdict}: {cited.sentence}")),
        ]
    failed = [one for one in lab.queue.list(thread=thread) if one.state == "failed"]
    lines += [one_line(f"failed: {one.run}: {one.note}") for one in failed]
    note = f", {one_line(ended.note)}" if ended.note else ""
    lines += ["", f"{ended.state}{note}", *([str(report)] if report.is_file() else [])]
    value = {
        "thread": thread,
        "run": job,
        "state": ended.state,
        "note": ended.note,
        "conclusions": [told(one) for one in shown.conclusions],
        "report": str(report) if report.is_file() else None,
    }
    return Output(value, lines, exit_code=0 if ended.state == "finished" else 1)


def _plan(plan: Any) -> Iterator[str]:
    """The beginning of a plan for the eye; `unweave thread show` and the page have all of it."""
    content = plan.content
    yield one_line(f"plan {plan.sha256[:12]}: study {content.get('study')}")
    for arm in content.get("arms") or []:
        yield from indented(f"{arm.get('role')} {arm.get('name')}: {arm.get('settings')}")


COMMANDS = {"agent": Command(_agent, "let the agent plan and run experiments on a question, within a budget", _options)}
