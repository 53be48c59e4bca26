"""The edits that were made of a subject's subcomponents: a list on disk, some of them active, undone and redone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError, nearest
from unweave.base.files import read_json_inside, sole_writer, write_json
from unweave.decompose.decomposition import Decomposition
from unweave.edit.edits import FactorEdit

FORMAT = 1


@dataclass(frozen=True)
class MadeEdit:
    """Factors by subcomponent, under a name. ``order`` counts when it was last applied or undone."""

    name: str
    factors: Mapping[str, float]
    active: bool
    made: str
    order: int

    def edit(self, decomposition: Decomposition) -> FactorEdit:
        return factor_edit(decomposition, self.factors, self.name)


def factor_edit(decomposition: Decomposition, factors: Mapping[str, float], name: str | None = None) -> FactorEdit:
    """Factors by ``site:index`` as an edit; raises ``UnweaveError`` for a subcomponent that is not here."""
    by_place = {}
    for piece, factor in factors.items():
        site, _, index = piece.rpartition(":")
        if site not in decomposition.sites or not (index.isascii() and index.isdigit()):
            known = [f"{each}:0" for each in decomposition.sites]
            raise UnweaveError(f"subcomponent {piece!r} is not in this decomposition; {nearest(piece, known)}")
        by_place[site, int(index)] = factor
    return FactorEdit.of(decomposition, by_place, name)


class EditBook:
    """All edits, oldest first, in the file ``path``, which other programs and threads may change as well.

    Every question reads it, and every change is made to what it holds at that moment, one writer at a time. Raises
    ``UnweaveError`` for a file that is damaged, that is a symlink, or whose edits belong to another dictionary.
    """

    def __init__(self, path: Path, decomposition: Decomposition, digest: str) -> None:
        self._path, self._decomposition, self._digest = path, decomposition, digest

    def all(self) -> list[MadeEdit]:
        return self._read()

    def active(self) -> list[MadeEdit]:
        """The stack: in the order they were applied."""
        return _stacked(self._read())

    def make(self, name: str, factors: Mapping[str, float]) -> MadeEdit:
        """Adds an edit and makes it active; refuses a name that is taken and what another active edit sets already."""
        name = name.strip()
        with self._changing() as edits:
            if not name or name in _names(edits):
                what = "is taken" if name else "is empty"
                raise UnweaveError(f"the name {name!r} {what}: give the edit another one")
            self._check_free(edits, name, factors)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            made = MadeEdit(name, dict(factors), True, now, _next(edits))
            edits.append(made)
        return made

    def undo(self, name: str | None = None) -> MadeEdit:
        """Makes an edit inactive: the one of that name, or the one that was applied last."""
        with self._changing() as edits:
            return _switch(edits, _chosen(edits, name, active=True), False)

    def redo(self, name: str | None = None) -> MadeEdit:
        """Makes an edit active again, as ``make`` does: the one of that name, or the one that was undone last."""
        with self._changing() as edits:
            chosen = _chosen(edits, name, active=False)
            self._check_free(edits, chosen.name, chosen.factors)
            return _switch(edits, chosen, True)

    def drop(self, name: str) -> None:
        """Forgets an edit that was undone."""
        with self._changing() as edits:
            edits.remove(_chosen(edits, name, active=False))

    @contextmanager
    def _changing(self) -> Iterator[list[MadeEdit]]:
        """The edits, to be changed in place; they are written when the block succeeds."""
        with sole_writer(self._path):
            edits = self._read()
            yield edits
            kept = {"format": FORMAT, "dictionary": self._digest, "edits": [asdict(each) for each in edits]}
            write_json(self._path, kept, private=True)

    def _check_free(self, edits: list[MadeEdit], name: str, factors: Mapping[str, float]) -> None:
        """Refuses what cannot be applied, and factors that would add to those of another active edit."""
        places = factor_edit(self._decomposition, factors, name).places()
        for other in _stacked(edits):
            for site, index in sorted(places & other.edit(self._decomposition).places()):
                raise UnweaveError(
                    f"subcomponent '{site}:{index}' has a factor in edit {other.name!r} already, which is active: undo "
                    "that one first"
                )

    def _read(self) -> list[MadeEdit]:
        if not os.path.lexists(self._path):
            return []
        described: Any = read_json_inside(self._path.parent, self._path.name)
        try:
            if described["format"] != FORMAT:
                raise UnweaveError(f"{self._path} has format {described['format']}, and this version reads {FORMAT}")
            if described["dictionary"] != self._digest:
                raise UnweaveError(
                    f"{self._path} holds edits of dictionary {described['dictionary']}, not of {self._digest}: move it "
                    "away, or bring that dictionary back"
                )
            edits = [MadeEdit(**each) for each in described["edits"]]
            for each in edits:
                factor_edit(self._decomposition, each.factors, each.name)
        except (KeyError, TypeError, AttributeError) as error:
            raise UnweaveError(f"{self._path} is damaged ({error}): move it away") from error
        return edits


def _stacked(edits: list[MadeEdit]) -> list[MadeEdit]:
    return sorted((each for each in edits if each.active), key=lambda each: each.order)


def _chosen(edits: list[MadeEdit], name: str | None, active: bool) -> MadeEdit:
    able = [each for each in edits if each.active == active]
    state, other = ("active", "undone") if active else ("undone", "active")
    if name is None:
        if not able:
            raise UnweaveError(f"no edit is {state}, so there is nothing to {'undo' if active else 'redo'}")
        return max(able, key=lambda each: each.order)
    if name not in _names(edits):
        raise UnweaveError(f"no edit is named {name!r}; {nearest(name, _names(edits))}")
    for each in able:
        if each.name == name:
            return each
    raise UnweaveError(f"edit {name!r} is {other}, not {state}")


def _switch(edits: list[MadeEdit], edit: MadeEdit, active: bool) -> MadeEdit:
    new = replace(edit, active=active, order=_next(edits))
    edits[edits.index(edit)] = new
    return new


def _names(edits: list[MadeEdit]) -> list[str]:
    return [each.name for each in edits]


def _next(edits: list[MadeEdit]) -> int:
    return 1 + max((each.order for each in edits), default=0)
