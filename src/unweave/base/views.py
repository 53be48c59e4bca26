"""Live views: typed questions about one loaded subject, registered by the rooms and mounted by the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import BaseModel

_ROOMS = ("unweave.read.views", "unweave.edit.views")
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


def view(
    name: str,
    summary: str,
    request: type[BaseModel],
    response: type[BaseModel],
    exclusive: bool = False,
    writes: bool = False,
) -> Callable[[Callable[[Any, Any], BaseModel]], Callable[[Any, Any], BaseModel]]:
    """Registers a function ``(subject, request) -> response`` as a live view."""

    def register(function: Callable[[Any, Any], BaseModel]) -> Callable[[Any, Any], BaseModel]:
        known = _VIEWS.get(name)
        if known is not None and known.function.__module__ != function.__module__:
            raise TypeError(f"view {name!r} is registered by {known.function.__module__} already")
        _VIEWS[name] = View(name, summary, request, response, function, exclusive, writes)
        return function

    return register


def all_views() -> dict[str, View]:
    """Every view of this package, by name."""
    for module in _ROOMS:
        import_module(module)
    return dict(sorted(_VIEWS.items()))
