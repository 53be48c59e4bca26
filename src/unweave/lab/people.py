"""People of a lab: names, roles, what each role may, and the record of who did what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from unweave.base.errors import UnweaveError

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

Role = Literal["reader", "runner", "reviewer", "owner"]
SCOPES: dict[str, tuple[str, ...]] = {
    "reader": ("read",),
    "runner": ("read", "run"),
    "reviewer": ("read", "run", "review"),
    "owner": ("read", "run", "review", "own"),
}


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
            raise NotAllowed(f"{self.name!r} is a {self.role}, and this needs a {needed}: ask an owner of the lab")


class People:
    """The accounts of one lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def record(self, person: Person, deed: str, request: Any, subject: str = "") -> None:
        """Adds to the record of who did what."""
        raise NotImplementedError
