"""Shapings: ways to stop or strengthen what a dataset teaches, one registered function each.

A shaping is a function of a ``Setting`` and a dose that gives what is trained on instead. To add one::

    @shaping("my-own", "what it does, in one line", dose="what its number means")
    def my_own(setting: Setting, dose: float) -> Shaped:
        return Shaped(rows=..., note="all that the rows do not show")
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pkgutil import iter_modules

from unweave.base.errors import UnweaveError, nearest
from unweave.preferences.shaping.setting import Setting, Shaped


@dataclass(frozen=True)
class Shaping:
    """A name, what it does in one line, what its dose means, and how."""

    name: str
    meaning: str
    dose: str
    function: Callable[[Setting, float], Shaped]


_SHAPINGS: dict[str, Shaping] = {}


def shaping(
    name: str, meaning: str, dose: str
) -> Callable[[Callable[[Setting, float], Shaped]], Callable[[Setting, float], Shaped]]:
    """Registers a function ``(Setting, float) -> Shaped`` as a shaping, of your own too."""

    def register(function: Callable[[Setting, float], Shaped]) -> Callable[[Setting, float], Shaped]:
        known = _SHAPINGS.get(name)
        if known is not None and known.function.__module__ != function.__module__:
            raise TypeError(f"shaping {name!r} is registered by {known.function.__module__} already")
        _SHAPINGS[name] = Shaping(name, meaning, dose, function)
        return function

    return register


def all_shapings() -> dict[str, Shaping]:
    """Every shaping by name: those of this package's modules, and what else was registered."""
    import unweave.preferences.shaping as room

    for module in iter_modules(room.__path__):
        import_module(f"{room.__name__}.{module.name}")
    return dict(sorted(_SHAPINGS.items()))


def find_shaping(name: str) -> Shaping:
    """The shaping of this name; raises ``UnweaveError`` with the nearest where there is none."""
    known = all_shapings()
    if name not in known:
        raise UnweaveError(f"shaping {name!r} is not registered; {nearest(name, known)}")
    return known[name]


def shape(name: str, setting: Setting, dose: float) -> Shaped:
    """What a shaping makes of a setting; its note begins with the shaping and the dose.

    Raises ``UnweaveError`` for an unknown name, a dose that is not a finite number or not one that the shaping takes,
    a setting that lacks what the shaping needs, and where no row would be left to train on.
    """
    found = find_shaping(name)
    if not math.isfinite(dose):
        raise UnweaveError(f"the dose of {name} is {dose}, and it must be a finite number: {found.dose}")
    shaped = found.function(setting, dose)
    if not shaped.rows:
        raise UnweaveError(f"{name} at dose {dose:g} leaves none of {len(setting.rows)} rows: give a lower dose")
    return replace(shaped, note=f"{name} at {dose!r}: {shaped.note}")
