"""Who a request comes from: the server's own token is of who started it, and the people of the lab have theirs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unweave.lab.people import Person
from unweave.server.token import cookie_of, same

if TYPE_CHECKING:
    from unweave.lab.people import People
    from unweave.server.settings import ServerSettings

_TOKEN = re.compile(rb"[A-Za-z0-9_-]{32,200}")
_SESSION = re.compile(rb"([a-z0-9][a-z0-9._-]{0,99})\.([0-9a-f]{64})")


class Accounts:
    """Signs requests in by a token, or by the cookie that a token was exchanged for.

    A cookie is a function of the token (of its hash, which is what the lab keeps of people's), so that another token
    ends every session of the old one. Roles are looked up with each request: a change holds at once.
    """

    def __init__(self, settings: ServerSettings, people: People | None = None) -> None:
        self.settings = settings
        self.people = people
        self.session = cookie_of(settings.token, settings.port)

    def of_token(self, given: bytes) -> Person | None:
        """Whose token this is; None for nobody's."""
        if same(given, self.settings.token):
            return self._here()
        if self.people is None or _TOKEN.fullmatch(given) is None:
            return None
        return self.people.by_token(given.decode("ascii"))

    def session_of(self, given: bytes) -> str | None:
        """The cookie's value for a token; None for nobody's."""
        if same(given, self.settings.token):
            return self.session
        person = self.of_token(given)
        return None if person is None else self._session(person.name)

    def of_session(self, given: bytes) -> Person | None:
        """Who is signed in by this value of the cookie; None for nobody."""
        if same(given, self.session):
            return self._here()
        match = _SESSION.fullmatch(given)
        if match is None or self.people is None:
            return None
        name = match[1].decode("ascii")
        wanted = self._session(name)
        return self.people.get(name) if wanted is not None and same(given, wanted) else None

    def _here(self) -> Person:
        """Who started the server, whose own token this is: with the role that they have in the lab now."""
        return self.people.here() if self.people is not None else Person("owner", "owner")

    def _session(self, name: str) -> str | None:
        key = self.people.session_key(name) if self.people is not None else None
        return None if key is None else f"{name}.{cookie_of(key, self.settings.port)}"
