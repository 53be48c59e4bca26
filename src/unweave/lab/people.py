"""People of a lab: names, roles, what each role may, and the record of who did what."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from unweave.base.errors import UnweaveError, nearest
from unweave.lab import deeds
from unweave.record.table import check_name

if TYPE_CHECKING:
    import sqlite3
    from builtins import list as List

    from unweave.lab.lab import Lab

Role = Literal["reader", "runner", "reviewer", "owner"]
SCOPES: dict[str, tuple[str, ...]] = {
    "reader": ("read",),
    "runner": ("read", "run"),
    "reviewer": ("read", "run", "review"),
    "owner": ("read", "run", "review", "own"),
}
AGENT = "agent"
"""The name under which the lab's own agent acts; no person has it."""
RESERVED = (AGENT, "critic")
"""Names under which the lab itself acts: its agent, and who objects to what the agent did."""
OWN_AGENT = ".mcp"
"""What the name of a person's own agent ends in, as which it acts over the Model Context Protocol."""
_LONGEST = 100 - len(OWN_AGENT)


class NotAllowed(UnweaveError):
    """Somebody asked for what their role does not allow."""


@dataclass(frozen=True)
class Person:
    """Who asks, and as what. An agent is a person of its own, with the role ``runner``."""

    name: str
    role: Role

    def may(self, scope: str) -> bool:
        """Whether this role allows ``scope``."""
        return scope in SCOPES[self.role]

    def must(self, scope: str) -> None:
        """Raises ``NotAllowed`` unless this role allows ``scope``."""
        if not self.may(scope):
            needed = next(role for role, scopes in SCOPES.items() if scope in scopes)
            kind = "an owner" if needed == "owner" else f"a {needed}"
            raise NotAllowed(f"{self.name!r} is a {self.role}, and this needs {kind}: ask an owner of the lab")


def person_behind(name: str) -> str:
    """Whose deed one under ``name`` is: what a person's own agent did is that person's."""
    return name.removesuffix(OWN_AGENT)


class People:
    """The accounts of one lab. A lab without any belongs to whoever can open its folder.

    Roles bind those who come over the network with a token. A person who can write to the lab's files can change them
    with any program, whatever their role; for them a role keeps only accidents away.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def list(self) -> List[Person]:
        """All accounts by name."""
        return [_person(row) for row in self.lab.database.read("SELECT name, role FROM people ORDER BY name")]

    def get(self, name: str) -> Person:
        """The account of that name, or ``UnweaveError`` with the nearest."""
        found = {person.name: person for person in self.list()}
        if name not in found:
            raise UnweaveError(f"there is no account {name!r}; {nearest(name, found)}")
        return found[name]

    def add(self, name: str, role: str) -> str:
        """Makes an account and returns its token, which is shown this once. The first one must be an owner's."""
        check_name(name, "person")
        role = _role(role)
        if name in RESERVED:
            raise UnweaveError(f"{name!r} is the name of the lab's own {name}: choose another")
        if name.endswith(OWN_AGENT):
            raise UnweaveError(f"{name!r} would be the agent of {person_behind(name)!r}: choose another name")
        if len(name) > _LONGEST:
            raise UnweaveError(f"{name!r} is longer than {_LONGEST} characters: choose a shorter name")
        token = secrets.token_urlsafe(32)
        with self.lab.database.write() as connection:
            if connection.execute("SELECT 1 FROM people WHERE name = ?", (name,)).fetchone():
                raise UnweaveError(f"there is an account {name!r} already: change its role, or choose another name")
            connection.execute("INSERT INTO people VALUES (?, ?, ?, ?)", (name, role, _hash(token), _now()))
            _keep_an_owner(connection)
        return token

    def remove(self, name: str) -> None:
        """Removes an account, and with it its token. What it did stays recorded."""
        with self.lab.database.write() as connection:
            self.get(name)
            connection.execute("DELETE FROM people WHERE name = ?", (name,))
            _keep_an_owner(connection)

    def set_role(self, name: str, role: str) -> Person:
        """Gives an account another role, from its next request on."""
        role = _role(role)
        with self.lab.database.write() as connection:
            self.get(name)
            connection.execute("UPDATE people SET role = ? WHERE name = ?", (role, name))
            _keep_an_owner(connection)
        return Person(name, role)

    def rotate_token(self, name: str) -> str:
        """Ends an account's token and returns a new one, which is shown this once."""
        token = secrets.token_urlsafe(32)
        with self.lab.database.write() as connection:
            self.get(name)
            connection.execute("UPDATE people SET token_hash = ? WHERE name = ?", (_hash(token), name))
        return token

    def by_token(self, token: str) -> Person | None:
        """Whose token this is, in a time that tells neither where it differs from another nor whose it is."""
        given, found = _hash(token), None
        for row in self.lab.database.read("SELECT name, role, token_hash FROM people ORDER BY name"):
            if hmac.compare_digest(row["token_hash"] or "", given):
                found = _person(row)
        return found

    def session_key(self, name: str) -> str | None:
        """What sessions of an account are made from: a hash of its token, so that another token ends them."""
        rows = self.lab.database.read("SELECT token_hash FROM people WHERE name = ?", (name,))
        return rows[0]["token_hash"] if rows else None

    def here(self) -> Person:
        """Who acts at this machine's command line: the account of the system's user name, if there is one.

        Without it an owner, where there are no accounts or where the lab's files are this user's own, who can do
        anything with them anyway; and a reader in somebody else's lab.
        """
        name = system_user()
        known = {person.name: person for person in self.list()}
        if name in known:
            return known[name]
        return Person(name, "owner" if not known or self._files_are_mine() else "reader")

    def record(self, person: Person, deed: str, request: Any = None, subject: str = "") -> None:
        """Adds to the record of who did what, with what was asked in short and without secrets."""
        deeds.add(self.lab.database, person.name, person.role, deed, request, subject)

    def deeds(
        self, limit: int = 100, after: int | None = None, person: str | None = None, subject: str | None = None
    ) -> List[deeds.Deed]:
        """Who did what, newest first; ``after`` is the number of the last one of the page before."""
        return deeds.read(self.lab.database, limit, after, person, subject)

    def _files_are_mine(self) -> bool:
        if not hasattr(os, "getuid"):
            return True
        try:
            return self.lab.home.stat().st_uid == os.getuid()
        except OSError:
            return False


def system_user() -> str:
    """The name under which the operating system knows who runs this process, in the characters of a name."""
    try:
        import pwd

        # Not from the environment, where anybody may write another name.
        name = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        name = os.environ.get("USERNAME", "") if os.name == "nt" else f"user-{os.getuid()}"
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).lstrip("._-")[:_LONGEST] or "user"


def _keep_an_owner(connection: sqlite3.Connection) -> None:
    roles = [row["role"] for row in connection.execute("SELECT role FROM people")]
    if roles and "owner" not in roles:
        raise UnweaveError("a lab with accounts needs an owner among them: make somebody an owner first")


def _role(role: str) -> Role:
    if role not in get_args(Role):
        raise UnweaveError(f"{role!r} is not a role; {nearest(role, SCOPES)}")
    return role  # type: ignore[return-value]


def _person(row: Any) -> Person:
    return Person(row["name"], row["role"])


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat()
