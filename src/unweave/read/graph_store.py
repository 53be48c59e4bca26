"""Prompt graphs that a person saved, as JSON files in a harvest's folder, by id."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from unweave.base.errors import UnweaveError, first_line, nearest
from unweave.base.files import atomic_path, read_json_inside, sole_writer
from unweave.read.view_models import GraphDocument, SavedGraph, SaveGraphRequest

if TYPE_CHECKING:
    from unweave.read.subject import Subject

FOLDER = "graphs"
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")


class GraphStore:
    """The graphs of one subject; other programs and threads may write them as well. No symlink is followed."""

    def __init__(self, subject: Subject) -> None:
        self._subject, self._folder = subject, subject.folder / FOLDER

    def ids(self) -> list[str]:
        if self._folder.is_symlink():
            return []
        found = [path for path in self._folder.glob("*.json") if _ID.fullmatch(path.stem)]
        return sorted(path.stem for path in found if not path.is_symlink())

    def save(self, request: SaveGraphRequest) -> GraphDocument:
        """Writes a graph under an id made of its title; a title that is taken gets a number."""
        from unweave.read.opened_subject import slug

        base = slug(request.title)[:70].strip("-") or "graph"
        with self._writing():
            # A link has its name too, though it is not listed.
            taken, number, name = {path.stem for path in self._folder.glob("*.json")}, 1, base
            while name in taken:
                number += 1
                name = f"{base}-{number}"
            saved = datetime.now(UTC).isoformat(timespec="seconds")
            document = GraphDocument(id=name, saved=saved, **dict(request))
            with atomic_path(self._path(name), private=True) as temporary:
                temporary.write_text(document.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return document

    def load(self, name: str) -> GraphDocument:
        """Raises ``UnweaveError`` for an id that is not here and for a damaged file."""
        if name not in self.ids():
            raise UnweaveError(f"graph {name!r} is not saved here; {nearest(name, self.ids())}")
        path = self._path(name)
        try:
            return GraphDocument.model_validate(read_json_inside(self._subject.folder, f"{FOLDER}/{path.name}"))
        except ValidationError as error:
            raise UnweaveError(f"graph {name!r} is damaged ({first_line(error)}): drop it and save it again") from error

    def drop(self, name: str) -> None:
        with self._writing():
            if name not in self.ids():
                raise UnweaveError(f"graph {name!r} is not saved here; {nearest(name, self.ids())}")
            self._path(name).unlink()

    def all(self) -> list[SavedGraph]:
        """Newest first; one that is damaged is left out."""
        found = []
        for name in self.ids():
            try:
                one = self.load(name)
            except UnweaveError:
                continue
            found.append(
                SavedGraph(
                    id=one.id, title=one.title, text=one.request.text, saved=one.saved, nodes=len(one.graph.nodes)
                )
            )
        return sorted(found, key=lambda one: one.saved, reverse=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with sole_writer(self._folder):
            if self._folder.is_symlink():
                raise UnweaveError(f"{self._folder} is a symlink, and links are not followed: remove it")
            yield

    def _path(self, name: str) -> Path:
        if not _ID.fullmatch(name):
            raise UnweaveError(f"{name!r} is not the id of a graph")
        return self._folder / f"{name}.json"
