"""The commands round threads: a question, what is expected, what was run, what follows, and what others say of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.outcome import Output
from unweave.base.terminal import one_line
from unweave.cli.lab_shared import PARTS, ask, ask_in, columns, indented, open_lab, told
from unweave.cli.shared import Command

SHOWN_HASH = 12


def _new_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument("--context", metavar="TEXT", default="", help="what a reader should know beside the question")
    parser.add_argument("--id", metavar="ID", help="the thread's id (default: made of the question)")


def _new(args: argparse.Namespace) -> Output:
    fields = {"question": args.question, "context": args.context, "name": args.id}
    made = ask(args, "start-thread", fields, make=True)
    return Output(told(made), [f"thread {made.thread}", f"unweave thread show {made.thread}"])


def _list(args: argparse.Namespace) -> Output:
    found = ask(args, "threads", {})
    rows = [
        {**told(row), "thread": row.id, "waits": "for approval" if row.waits else None, "changed": row.changed[:19]}
        for row in found.threads
    ]
    shown = columns(rows, ("thread", "state", "runs", "by", "changed", "verdict", "waits", "question"))
    broken = [one_line(f"{row.id} is damaged: {row.broken}") for row in found.threads if row.broken]
    return Output(told(found), [*shown, *broken] if rows else ["There are no threads: unweave thread new QUESTION"])


def _thread_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("thread", metavar="THREAD", help="its id, as `unweave thread list` shows it")


def _show(args: argparse.Namespace) -> Output:
    found = ask(args, "thread", {"thread": args.thread})
    return Output(told(found), list(_lines(found)))


def _lines(found: Any) -> Any:
    yield one_line(found.question)
    yield from indented(found.context)
    yield f"{found.state}, asked by {one_line(found.by)} on {found.created[:19]}"
    for one in found.hypotheses:
        yield ""
        yield one_line(f"expected{f' ({one.name})' if one.name else ''}: {one.text}")
        yield from indented(f"if it holds: {one.predicted}")
    for one in found.plans:
        approved = f"approved by {one.approved.by}" if one.approved else "not approved"
        yield ""
        yield one_line(f"plan {one.sha256[:SHOWN_HASH]} by {one.by}, {approved}{'' if one.current else ', replaced'}")
    if found.runs:
        yield ""
        rows = [{**told(one), "valid": None if one.valid is not False else "NOT VALID"} for one in found.runs]
        yield from columns(rows, ("run", "part", "study", "status", "hypothesis", "valid"))
    for one in found.tried:
        yield ""
        yield one_line(f"tried: {one.what}")
        yield from indented(f"why it failed: {one.why}")
    for one in found.conclusions:
        yield ""
        yield one_line(f"concluded by {one.by}: {one.text}")
        for cited in one.claims:
            yield from indented(f"{cited.verdict}: {cited.sentence or cited.reason} ({cited.run}, claim {cited.claim})")
    for one in found.notes:
        yield ""
        yield one_line(f"note by {one.by}, {one.at[:19]}")
        yield from indented(one.text)
    for one in found.reviews:
        yield ""
        yield one_line(f"review by {one.by}: {one.verdict}{'' if one.current else ' (of an earlier state)'}")
        yield from indented(one.text)
    for one in (*found.links, *found.linked_from):
        other = f"{one.relation} {one.to}" if hasattr(one, "to") else f"{one.thread} {one.relation} this"
        yield one_line(other)


def _note_options(parser: argparse.ArgumentParser) -> None:
    _thread_option(parser)
    parser.add_argument("text", metavar="TEXT", nargs="?", help="Markdown")
    parser.add_argument("--file", metavar="FILE", type=Path, help="a file of Markdown instead")


def _note(args: argparse.Namespace) -> Output:
    if (args.text is None) == (args.file is None):
        raise UnweaveError("give the note's TEXT, or --file FILE")
    text = args.text if args.text is not None else _read(args.file)
    return _added(args, "add-note", {"text": text}, "the note")


def _hypothesis_options(parser: argparse.ArgumentParser) -> None:
    _thread_option(parser)
    parser.add_argument("text", metavar="TEXT", help="what is expected")
    parser.add_argument("--predicted", metavar="TEXT", required=True, help="what would be seen if it held")
    parser.add_argument("--name", default="", help="a short name, by which runs refer to it")


def _hypothesis(args: argparse.Namespace) -> Output:
    fields = {"text": args.text, "predicted": args.predicted, "name": args.name}
    return _added(args, "add-hypothesis", fields, "the hypothesis")


def _plan_options(parser: argparse.ArgumentParser) -> None:
    _thread_option(parser)
    parser.add_argument("file", metavar="FILE", type=Path, help="the plan as a JSON object")


def _plan(args: argparse.Namespace) -> Output:
    try:
        plan = json.loads(_read(args.file))
    except ValueError as error:
        raise UnweaveError(f"{args.file} is not JSON ({error})") from error
    proposed = ask(args, "propose-plan", {"thread": args.thread, "plan": plan})
    line = f"unweave thread approve {args.thread} {proposed.sha256[:SHOWN_HASH]}"
    return Output(told(proposed), [f"plan {proposed.sha256}", line])


def _approve_options(parser: argparse.ArgumentParser) -> None:
    _thread_option(parser)
    parser.add_argument("plan", metavar="SHA256", help="the plan's hash, or its beginning")
    parser.add_argument("--note", default="")


def _approve(args: argparse.Namespace) -> Output:
    lab = open_lab(args)
    plans = {plan.sha256 for plan in ask_in(lab, "thread", {"thread": args.thread}).plans}
    meant = [sha256 for sha256 in plans if sha256.startswith(args.plan.lower())]
    if len(meant) != 1 or len(args.plan) < 8:
        raise UnweaveError(
            f"{args.plan!r} names {len(meant)} plans of {args.thread!r}: give 8 or more digits of its hash"
        )
    fields = {"thread": args.thread, "sha256": meant[0], "note": args.note}
    return Output(told(ask_in(lab, "approve-plan", fields)), [f"approved plan {meant[0]}"])


def _run_options(parser: argparse.ArgumentParser) -> None:
    _thread_option(parser)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--part", default="confirm", help=f"{', '.join(PARTS[:-1])} or {PARTS[-1]} (default: confirm)")
    parser.add_argument("--hypothesis", metavar="NAME", default="", help="the hypothesis that it tests")


def _run(args: argparse.Namespace) -> Output:
    fields = {"run": args.run, "part": args.part, "hypothesis": args.hypothesis}
    return _added(args, "add-run", fields, f"run {args.run}")


def _conclude_options(parser: argparse.ArgumentParser) -> None:
    _thread_option(parser)
    parser.add_argument("text", metavar="TEXT")
    parser.add_argument(
        "--claim", metavar="RUN:NUMBER", action="append", required=True,
        help="a claim that it rests on, counted from 0; repeat it for more",
    )  # fmt: skip


def _conclude(args: argparse.Namespace) -> Output:
    cited = []
    for each in args.claim:
        run, colon, number = each.rpartition(":")
        if not colon or not number.isdecimal():
            raise UnweaveError(f"--claim {each!r} is not of the form RUN:NUMBER")
        cited.append({"run": run, "claim": int(number)})
    return _added(args, "conclude", {"text": args.text, "claims": cited}, "the conclusion")


def _tried_options(parser: argparse.ArgumentParser) -> None:
    _thread_option(parser)
    parser.add_argument("tried", metavar="WHAT", help="what was tried")
    parser.add_argument("--why", required=True, help="why it failed")
    parser.add_argument("--run", metavar="RUN", action="append", default=[], help="a run that shows it")


def _tried(args: argparse.Namespace) -> Output:
    return _added(args, "add-tried", {"what": args.tried, "why": args.why, "runs": args.run}, "what was tried")


def _review_options(parser: argparse.ArgumentParser) -> None:
    _thread_option(parser)
    parser.add_argument("verdict", choices=("accept", "revise", "reject"))
    parser.add_argument("text", metavar="TEXT")


def _review(args: argparse.Namespace) -> Output:
    return _added(args, "review-thread", {"verdict": args.verdict, "text": args.text}, "the review")


def _link_options(parser: argparse.ArgumentParser) -> None:
    _thread_option(parser)
    parser.add_argument("relation", choices=("extends", "replicates", "contradicts"))
    parser.add_argument("to", metavar="OTHER", help="the other thread's id")
    parser.add_argument("--note", default="")


def _link(args: argparse.Namespace) -> Output:
    return _added(args, "link", {"relation": args.relation, "to": args.to, "note": args.note}, "the link")


def _state_options(parser: argparse.ArgumentParser) -> None:
    _thread_option(parser)
    parser.add_argument("state", choices=("open", "concluded", "stopped"))
    parser.add_argument("--why", default="")


def _state(args: argparse.Namespace) -> Output:
    return _added(args, "set-thread-state", {"state": args.state, "why": args.why}, f"that it is {args.state}")


def _code_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", metavar="SHA256", nargs="?", help="show this code: its hash, or the beginning of it")
    parser.add_argument("--allow", action="store_true", help="let exactly these bytes run, in the sandbox only")


def _code(args: argparse.Namespace) -> Output:
    lab = open_lab(args)
    listed = ask_in(lab, "proposals", {}).proposals
    if args.code is None:
        if args.allow:
            raise UnweaveError("--allow needs the code that you have read: unweave thread code SHA256 --allow")
        rows = [{**told(one), "code": one.sha256[:SHOWN_HASH]} for one in listed]
        names = ("code", "name", "proposed_by", "allowed_by", "why")
        value = {"proposals": [told(one) for one in listed]}
        return Output(value, columns(rows, names) if rows else ["No code was proposed in this lab."])
    meant = [one.sha256 for one in listed if one.sha256.startswith(args.code.lower())]
    if len(meant) != 1 or len(args.code) < 8:
        raise UnweaveError(f"{args.code!r} names {len(meant)} proposals: give 8 or more digits of its hash")
    if args.allow:
        allowed = ask_in(lab, "allow-code", {"sha256": meant[0]})
        return Output(told(allowed), [one_line(f"{allowed.name} ({meant[0][:SHOWN_HASH]}) may run in the sandbox")])
    found = ask_in(lab, "proposal", {"sha256": meant[0]})
    state = f"allowed by {found.allowed_by}" if found.allowed_by else "not allowed"
    head = one_line(f"{found.name}, proposed by {found.proposed_by}, {state}: {found.why}")
    return Output(told(found), [head, "", *indented(found.source)])


def _added(args: argparse.Namespace, name: str, fields: dict[str, Any], what: str) -> Output:
    added = ask(args, name, {"thread": args.thread, **fields})
    return Output(told(added), [one_line(f"thread {added.thread} holds {what} as event {added.seq}")])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnweaveError(f"{path} is not UTF-8 text") from error
    except OSError as error:
        raise oserror_line(error, path) from error


COMMANDS = {
    "thread": Command(
        None,
        "keep a line of research: question, hypotheses, plan, runs, conclusions, reviews",
        commands={
            "new": Command(_new, "open a thread with a question", _new_options),
            "list": Command(_list, "list the threads, the last changed first"),
            "show": Command(_show, "show all that a thread holds", _thread_option),
            "note": Command(_note, "add a note in Markdown", _note_options),
            "hypothesis": Command(_hypothesis, "add what is expected, before anything has run", _hypothesis_options),
            "plan": Command(_plan, "propose a plan", _plan_options),
            "approve": Command(_approve, "give leave to run exactly one plan", _approve_options),
            "run": Command(_run, "make a run part of the thread", _run_options),
            "conclude": Command(_conclude, "conclude from claims that hold", _conclude_options),
            "tried": Command(_tried, "add what was tried and failed", _tried_options),
            "review": Command(_review, "give a verdict on what others did", _review_options),
            "link": Command(_link, "say how it stands to another thread", _link_options),
            "code": Command(_code, "read code that an agent proposed, and let it run in the sandbox", _code_options),
            "state": Command(_state, "call it open, concluded or stopped", _state_options),
        },
    ),
}
