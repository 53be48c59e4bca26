"""Live views: typed questions about one loaded subject, registered by the rooms and mounted by the server.

Subjects are of kinds: a harvest, or what a run of some study left. A view is of one kind, and asked of no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

HARVEST = "harvest"
_ROOMS = ("unweave.read.views", "unweave.edit.views", "unweave.preferences.views", "unweave.shapes.views")
_VIEWS: dict[str, View] = {}


@dataclass(frozen=True)
class View:
    """A registered view: ``function(subject, request)`` gives a ``response``; both models are pydantic's.

    An ``exclusive`` view is alone on its subject while it runs, because it changes the target (an edit does). One that
    ``writes`` keeps something in the subject's folder, which who may only read must not do.
    """

    name: str
    summary: str
    request: type[BaseModel]
    response: type[BaseModel]
    function: Callable[[Any, Any], BaseModel]
    exclusive: bool = False
    writes: bool = False
    subject: str = HARVEST


@dataclass(frozen=True)
class RunKind:
    """Runs that can be asked about live. ``marker`` is a file that such a run's folder holds, as a pattern; ``opener``
    is ``module:function``, imported for the first of them."""

    name: str
    marker: str
    opener: str

    def holds(self, folder: Path) -> bool:
        """Whether a folder is a run of this kind, by its marker alone."""
        return any(folder.glob(self.marker))

    def open(self, folder: Path) -> Any:
        """The subject in a folder; raises ``UnweaveError`` for a run that is not finished, or damaged."""
        module, _, function = self.opener.partition(":")
        return getattr(import_module(module), function)(folder)


RUN_KINDS = (
    RunKind("preferences", "survey/pairs/*/features.json", "unweave.preferences.subject:open_preferences"),
    RunKind("stories", "tables/sentences.csv", "unweave.shapes.stories.subject:open_stories"),
    RunKind("concepts", "tables/centroids.csv", "unweave.shapes.concept_runs.subject:open_concepts"),
)


def subject_kind(subject: Any) -> str:
    """Which views a subject has: those of the kind that it says it is, else those of a harvest."""
    return getattr(subject, "kind_of_subject", HARVEST)


def view(
    name: str,
    summary: str,
    request: type[BaseModel],
    response: type[BaseModel],
    exclusive: bool = False,
    writes: bool = False,
    subject: str = HARVEST,
) -> Callable[[Callable[[Any, Any], BaseModel]], Callable[[Any, Any], BaseModel]]:
    """Registers a function ``(subject, request) -> response`` as a live view of subjects of one kind."""

    def register(function: Callable[[Any, Any], BaseModel]) -> Callable[[Any, Any], BaseModel]:
        known = _VIEWS.get(name)
        if known is not None and known.function.__module__ != function.__module__:
            raise TypeError(f"view {name!r} is registered by {known.function.__module__} already")
        _VIEWS[name] = View(name, summary, request, response, function, exclusive, writes, subject)
        return function

    return register


def all_views() -> dict[str, View]:
    """Every view of this package, by name."""
    for module in _ROOMS:
        import_module(module)
    return dict(sorted(_VIEWS.items()))
