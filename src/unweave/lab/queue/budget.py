"""Budgets: what an account may spend of runs, seconds, tokens and dollars, never overspent by parallel spenders."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError, nearest
from unweave.lab.queue.rows import now
from unweave.record.environment import is_gone, this_process

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

RESOURCES = ("runs", "seconds", "tokens", "dollars")


class BudgetExhausted(UnweaveError):
    """An account has too little left for what was asked."""


@dataclass(frozen=True)
class Line:
    """One resource of an account. ``granted`` None is no limit; ``reserved`` is set aside for what goes on now."""

    resource: str
    granted: float | None
    reserved: float
    spent: float

    @property
    def left(self) -> float | None:
        """What can still be reserved; None where there is no limit."""
        if self.granted is None:
            return None
        left = self.granted - self.reserved - self.spent
        return left if left > 1e-9 else 0.0  # sums of tenths miss by their rounding


@dataclass(frozen=True)
class Reservation:
    """An amount set aside, by its upper bound, before it is spent."""

    id: str
    resource: str
    amount: float


class Budget:
    """The budget of one account, such as ``thread:ID`` or ``agent:ID``.

    Every spender reserves an upper bound first and settles what it was afterwards; a reservation that would pass the
    grant raises ``BudgetExhausted`` with the numbers, whoever else is reserving at that moment. What a process that
    died had reserved counts as spent, since nobody knows how much of it was.
    """

    def __init__(self, lab: Lab, account: str) -> None:
        self.lab = lab
        self.account = account

    def grant(self, **amounts: float | None) -> None:
        """Sets how much may be spent altogether of each resource named; None is no limit."""
        for resource, amount in amounts.items():
            _check(resource, 0.0 if amount is None else amount)
        with self.lab.database.write() as connection:
            for resource, amount in amounts.items():
                connection.execute(
                    "INSERT INTO spending (account, resource, granted) VALUES (?, ?, ?) "
                    "ON CONFLICT (account, resource) DO UPDATE SET granted = excluded.granted",
                    (self.account, resource, amount),
                )

    def lines(self) -> dict[str, Line]:
        """Every resource that was granted, reserved or spent."""
        query = "SELECT resource, granted, reserved, spent FROM spending WHERE account = ? ORDER BY resource"
        return {row["resource"]: Line(*row) for row in self.lab.database.read(query, (self.account,))}

    def left(self, resource: str) -> float | None:
        """What is left of one resource; None where there is no limit."""
        line = self.lines().get(resource)
        return None if line is None else line.left

    def reserve(self, resource: str, amount: float) -> Reservation:
        """Sets an amount aside. It must be settled, by this process."""
        _check(resource, amount)
        made = Reservation(secrets.token_hex(8), resource, float(amount))
        with self.lab.database.write() as connection:
            count_the_dead_as_spent(connection)
            set_aside(connection, self.account, {resource: amount})
            connection.execute(
                "INSERT INTO reservations (id, account, resource, amount, process, made) VALUES (?, ?, ?, ?, ?, ?)",
                (made.id, self.account, resource, made.amount, json.dumps(this_process()), now()),
            )
        return made

    def settle(self, reservation: Reservation, spent: float) -> None:
        """Replaces what was reserved by what was spent. A second time changes nothing."""
        _check(reservation.resource, spent)
        with self.lab.database.write() as connection:
            gone = connection.execute("DELETE FROM reservations WHERE id = ?", (reservation.id,)).rowcount
            if gone:
                amount = {reservation.resource: reservation.amount}
                spend(connection, self.account, amount, {reservation.resource: spent})

    @contextmanager
    def spending(self, resource: str, at_most: float) -> Iterator[dict[str, float]]:
        """Reserves for the block, which puts what it spent under ``"spent"``; unless it does, all of it counts."""
        made = self.reserve(resource, at_most)
        used: dict[str, float] = {}
        try:
            yield used
        finally:
            self.settle(made, used.get("spent", at_most))


def set_aside(connection: sqlite3.Connection, account: str, amounts: Mapping[str, float]) -> None:
    """Reserves amounts inside a transaction; raises ``BudgetExhausted`` when one of them is more than what is left."""
    for resource, amount in amounts.items():
        connection.execute(
            "INSERT OR IGNORE INTO spending (account, resource, granted) VALUES (?, ?, NULL)", (account, resource)
        )
        row = connection.execute(
            "SELECT resource, granted, reserved, spent FROM spending WHERE account = ? AND resource = ?",
            (account, resource),
        ).fetchone()
        line = Line(*row)
        if line.left is not None and amount > line.left + 1e-9:
            raise BudgetExhausted(
                f"budget of {account!r}: {amount:g} {resource} asked for, {line.left:g} left of {line.granted:g} "
                f"({line.spent:g} spent, {line.reserved:g} set aside for what runs now): grant more, or ask for less"
            )
        connection.execute(
            "UPDATE spending SET reserved = reserved + ? WHERE account = ? AND resource = ?",
            (amount, account, resource),
        )


def spend(
    connection: sqlite3.Connection, account: str, reserved: Mapping[str, float], spent: Mapping[str, float]
) -> None:
    """Inside a transaction: gives back what was reserved and counts what was spent."""
    for resource in {*reserved, *spent}:
        connection.execute(
            "INSERT OR IGNORE INTO spending (account, resource, granted) VALUES (?, ?, NULL)", (account, resource)
        )
        connection.execute(
            "UPDATE spending SET reserved = MAX(0, reserved - ?), spent = spent + ? WHERE account = ? AND resource = ?",
            (reserved.get(resource, 0.0), spent.get(resource, 0.0), account, resource),
        )


def count_the_dead_as_spent(connection: sqlite3.Connection) -> None:
    """Inside a transaction: what processes that are gone had reserved is spent."""
    for row in connection.execute("SELECT id, account, resource, amount, process FROM reservations").fetchall():
        if is_gone(json.loads(row["process"])):
            connection.execute("DELETE FROM reservations WHERE id = ?", (row["id"],))
            amount = {row["resource"]: row["amount"]}
            spend(connection, row["account"], amount, amount)


def _check(resource: str, amount: float) -> None:
    if resource not in RESOURCES:
        raise UnweaveError(f"{resource!r} is nothing that a budget holds; {nearest(resource, RESOURCES)}")
    if not 0 <= amount < float("inf"):
        raise UnweaveError(f"{amount!r} {resource}: give a finite number that is not negative")
