"""The commands round the people of a lab: accounts, roles, tokens, and who did what."""

from __future__ import annotations

import argparse
import json
from typing import Any

from unweave.base.arguments import count
from unweave.base.outcome import Output
from unweave.cli.lab_shared import ask, columns, told
from unweave.cli.shared import Command

ROLES = ("reader", "runner", "reviewer", "owner")


def _list(args: argparse.Namespace) -> Output:
    found = ask(args, "people", {})
    rows = [told(one) for one in found.people]
    here = f"You are {found.here.name} here, and {found.here.role}."
    return Output(told(found), [*(columns(rows, ("name", "role")) if rows else ["There are no accounts."]), "", here])


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")


def _role_options(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("role", choices=ROLES)


def _add(args: argparse.Namespace) -> Output:
    made = ask(args, "add-person", {"name": args.name, "role": args.role}, make=True)
    return _token(made)


def _role(args: argparse.Namespace) -> Output:
    changed = ask(args, "set-role", {"name": args.name, "role": args.role})
    return Output(told(changed), [f"{changed.name} is now {changed.role}"])


def _remove(args: argparse.Namespace) -> Output:
    removed = ask(args, "remove-person", {"name": args.name})
    return Output(told(removed), [f"{removed.name} has no account any more, and is signed out everywhere"])


def _rotate(args: argparse.Namespace) -> Output:
    return _token(ask(args, "rotate-token", {"name": args.name}))


def _token(made: Any) -> Output:
    lines = [f"{made.name}, {made.role}: the token is shown this once.", made.token]
    return Output(told(made), [*lines, "They open the server's address with ?token=TOKEN, or send it as a header."])


def _deeds_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", metavar="N", type=count, default=50, help="so many at most (default: 50)")
    parser.add_argument("--person", metavar="NAME", help="only what this person did")
    parser.add_argument("--subject", metavar="ID", help="only what was done to this run, thread, job or account")


def _deeds(args: argparse.Namespace) -> Output:
    found = ask(args, "deeds", {"limit": args.limit, "person": args.person, "subject": args.subject})
    rows = [
        {**told(one), "at": one.at[:19], "asked": json.dumps(one.detail, ensure_ascii=False)[:80]}
        for one in reversed(found.deeds)
    ]
    names = ("number", "at", "person", "role", "deed", "subject", "asked")
    return Output(told(found), columns(rows, names) if rows else ["Nothing was done in this lab yet."])


COMMANDS = {
    "people": Command(
        None,
        "keep accounts of the lab: roles, tokens, and who did what",
        commands={
            "list": Command(_list, "list the accounts"),
            "add": Command(_add, "make an account, and show its token this once", _role_options),
            "role": Command(_role, "give an account another role", _role_options),
            "remove": Command(_remove, "remove an account, and end its sessions", _name),
            "token": Command(_rotate, "give an account another token, and end its sessions", _name),
            "deeds": Command(_deeds, "show who did what", _deeds_options),
        },
    ),
}
