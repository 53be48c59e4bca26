"""The edit room's live views: a slider for factors, and edits that are made, stacked, undone and redone.

An edit that is made is written down; whatever runs the target applies those that are active, and puts them back after.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.base.views import view
from unweave.edit.edit_book import EditBook
from unweave.edit.edits import FactorEdit, applied
from unweave.edit.slider import Slider
from unweave.edit.view_models import (
    DropEditRequest,
    EditEntry,
    EditsAnswer,
    EditsRequest,
    FactorAnswer,
    FactorRequest,
    MakeEditRequest,
    RedoEditRequest,
    UndoEditRequest,
)
from unweave.read.subject import SUBCOMPONENTS, edited_by

if TYPE_CHECKING:
    from unweave.decompose.decomposition import Decomposition
    from unweave.read.subject import Subject


@view("factor", "what a factor on subcomponents changes, at once", FactorRequest, FactorAnswer, exclusive=True)
def factor(subject: Subject, request: FactorRequest) -> FactorAnswer:
    slider = subject.kept("slider", lambda: _slider(subject))
    with subject.lock:
        return slider.answer(request, _stack(subject) if request.with_edits else [])


@view("edits", "the edits that were made, active or undone", EditsRequest, EditsAnswer)
def edits(subject: Subject, _: EditsRequest) -> EditsAnswer:
    return _listed(subject)


@view(
    "make-edit", "makes an edit of factors, and adds it to the active ones", MakeEditRequest, EditsAnswer, writes=True
)
def make_edit(subject: Subject, request: MakeEditRequest) -> EditsAnswer:
    _book(subject).make(request.name, request.factors)
    return _listed(subject)


@view("undo-edit", "takes an edit away, the last one by default", UndoEditRequest, EditsAnswer, writes=True)
def undo_edit(subject: Subject, request: UndoEditRequest) -> EditsAnswer:
    _book(subject).undo(request.name)
    return _listed(subject)


@view("redo-edit", "brings back an edit, the one undone last by default", RedoEditRequest, EditsAnswer, writes=True)
def redo_edit(subject: Subject, request: RedoEditRequest) -> EditsAnswer:
    _book(subject).redo(request.name)
    return _listed(subject)


@view("drop-edit", "forgets an edit that was undone", DropEditRequest, EditsAnswer, writes=True)
def drop_edit(subject: Subject, request: DropEditRequest) -> EditsAnswer:
    _book(subject).drop(request.name)
    return _listed(subject)


def _listed(subject: Subject) -> EditsAnswer:
    return EditsAnswer(
        edits=[
            EditEntry(name=each.name, factors=dict(each.factors), active=each.active, made=each.made)
            for each in _book(subject).all()
        ]
    )


def _decomposition(subject: Subject) -> Decomposition:
    """The subject's decomposition; raises ``UnweaveError`` for features that are no pieces of weight."""
    kind = subject.facts.kind
    if kind != SUBCOMPONENTS:
        raise UnweaveError(
            f"{subject.title}: features of kind {kind} are no pieces of the target's weights, so there is nothing to "
            "edit; open a decomposition"
        )
    return subject.decomposition


def _book(subject: Subject) -> EditBook:
    return EditBook(subject.folder / "edits.json", _decomposition(subject), subject.facts.dictionary)


def _stack(subject: Subject) -> list[FactorEdit]:
    decomposition = _decomposition(subject)
    return [each.edit(decomposition) for each in _book(subject).active()]


def _slider(subject: Subject) -> Slider:
    return Slider(subject.target, _decomposition(subject), subject.harvest.pool, tuple(subject.facts.labels))


@contextmanager
def _edited(subject: Subject) -> Iterator[list[str]]:
    stack = _stack(subject)
    with applied(subject.target, *stack):
        yield [each.name for each in stack]


edited_by(_edited)
