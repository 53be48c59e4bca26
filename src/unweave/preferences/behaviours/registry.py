"""Behaviours: what can be counted in a reply, one small registered function each.

One of your own is a function in a file of your own, which ``load_behaviours`` reads::

    from unweave.preferences.behaviours.registry import behaviour

    @behaviour("mentions-tea", "Has the word tea.", "mine", "0 or 1")
    def mentions_tea(reply):
        return float("tea" in reply.vocabulary)

It gets a ``ReplyText`` and gives a finite number for every text, the empty one too. Where replies may be cut off,
measure a share or give 0 or 1: a plain count falls with the cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
from jaxtyping import Float32

from unweave.base.errors import UnweaveError, first_line, nearest
from unweave.preferences.behaviours.reply_text import ReplyText


@dataclass(frozen=True)
class Behaviour:
    """A name, what it measures in one line, its family and unit, and the function ``ReplyText -> float``."""

    name: str
    meaning: str
    family: str
    unit: str
    """``per reply``, ``share of words``, ``0 or 1`` and the like."""
    function: Callable[[ReplyText], float]


_BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(
    name: str, meaning: str, family: str, unit: str = "per reply"
) -> Callable[[Callable[[ReplyText], float]], Callable[[ReplyText], float]]:
    """Registers a function ``ReplyText -> float`` as a behaviour, of your own too."""

    def register(function: Callable[[ReplyText], float]) -> Callable[[ReplyText], float]:
        known = _BEHAVIOURS.get(name)
        if known is not None and known.function.__module__ != function.__module__:
            raise TypeError(f"behaviour {name!r} is registered by {known.function.__module__} already")
        _BEHAVIOURS[name] = Behaviour(name, meaning, family, unit, function)
        return function

    return register


def forget_behaviours(module: str) -> None:
    """Takes back what a module registered."""
    for name in [name for name, each in _BEHAVIOURS.items() if each.function.__module__ == module]:
        del _BEHAVIOURS[name]


def all_behaviours() -> dict[str, Behaviour]:
    """Every behaviour by name: those of this package's modules, and what else was registered."""
    import unweave.preferences.behaviours as room

    for module in iter_modules(room.__path__):
        import_module(f"{room.__name__}.{module.name}")
    return dict(sorted(_BEHAVIOURS.items()))


def find_behaviours(names: Sequence[str] | None = None) -> list[Behaviour]:
    """The behaviours of these names, all by default; raises ``UnweaveError`` with the nearest for an unknown one."""
    known = all_behaviours()
    for name in names or ():
        if name not in known:
            raise UnweaveError(f"behaviour {name!r} is not registered; {nearest(name, known)}")
    return [known[name] for name in names] if names is not None else list(known.values())


def score(
    replies: Sequence[str], prompts: Sequence[str] | None = None, names: Sequence[str] | None = None
) -> Float32[np.ndarray, "n m"]:
    """What each behaviour gives for each reply; ``prompts`` are the last user turns, in the same order.

    Raises ``UnweaveError`` naming the behaviour where one fails or gives what is not a finite number.
    """
    if prompts is not None and len(prompts) != len(replies):
        raise UnweaveError(f"{len(prompts)} prompts were given for {len(replies)} replies: give one for each")
    behaviours = find_behaviours(names)
    found = np.empty((len(replies), len(behaviours)), np.float32)
    with np.errstate(over="ignore"):
        for row, text in enumerate(replies):
            seen = ReplyText(text, prompts[row] if prompts is not None else "")
            for column, each in enumerate(behaviours):
                try:
                    found[row, column] = each.function(seen)
                except Exception as error:
                    raise UnweaveError(
                        f"behaviour {each.name!r} failed on the reply {text[:60]!r}: {first_line(error)} "
                        f"({type(error).__name__}); it must give a number for every text, the empty one too"
                    ) from error
    broken = np.argwhere(~np.isfinite(found))
    if len(broken):
        row, column = broken[0]
        raise UnweaveError(
            f"behaviour {behaviours[column].name!r} gave {found[row, column]} for the reply {replies[row][:60]!r}: it "
            "must give a finite number for every text, the empty one too"
        )
    return found
