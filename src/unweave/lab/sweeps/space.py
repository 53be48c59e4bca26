"""A space of configs: values and ranges for some fields of a study, as text or as values, and the configs in it."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unweave.base.configs import parse_settings, plain_config
from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import numpy_generator

if TYPE_CHECKING:
    import numpy as np

    from unweave.studies.registry import Study

_RANGE = re.compile(r"([a-z]+):([^:]+):([^:]+)")
_KINDS = ("float", "log", "int", "logint")
_TRIES = 200


@dataclass(frozen=True)
class Choices:
    """Some values, each as likely as another."""

    values: tuple[Any, ...]

    def draw(self, generator: np.random.Generator) -> Any:
        """One of the values."""
        return self.values[int(generator.integers(len(self.values)))]

    def to_json(self) -> Any:
        """The values as a list."""
        return list(self.values)


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included: evenly (``float``, ``int``) or evenly in their logarithm.

    Numbers that are not whole are drawn with four digits, so that a config reads as it was drawn.
    """

    kind: str
    low: float
    high: float

    def __post_init__(self) -> None:
        text = self.to_json()
        if self.kind not in _KINDS:
            raise UnweaveError(f"{text!r} is not a range; {nearest(self.kind, _KINDS)}, as in log:1e-4:1e-1")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UnweaveError(f"the range {text!r} must go from a lower number to a higher one")
        if "log" in self.kind and self.low <= 0:
            raise UnweaveError(f"the range {text!r} begins at {self.low:g}, and a logarithm needs more than 0")
        if "int" in self.kind and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise UnweaveError(f"the range {text!r} is of whole numbers: give whole ends")

    def draw(self, generator: np.random.Generator) -> int | float:
        """A number of the range."""
        if self.kind == "int":
            return int(generator.integers(int(self.low), int(self.high) + 1))
        if self.kind == "logint":
            # Half a step on both sides, so that the ends are as likely as their neighbours.
            ends = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return min(max(round(math.exp(generator.uniform(*ends))), int(self.low)), int(self.high))
        if self.kind == "log":
            value = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = generator.uniform(self.low, self.high)
        return min(max(float(f"{value:.4g}"), self.low), self.high)

    def to_json(self) -> str:
        """The range as its text."""
        return f"{self.kind}:{self.low:g}:{self.high:g}"


Axis = Choices | Range


def parse_axis(value: Any) -> Axis:
    """An axis from values in Python, or from text: ``log:1e-4:1e-1``, ``float:0:1``, ``int:1:8``, ``logint:1:64``, or
    values parted by commas; by semicolons where a value itself has commas (``4,16;64`` are two values).
    """
    if isinstance(value, (Choices, Range)):
        return value
    if isinstance(value, str):
        found = _RANGE.fullmatch(value.strip())
        ends = [_number(found[2]), _number(found[3])] if found else []
        if found and None not in ends:
            return Range(found[1], *ends)  # type: ignore[arg-type]  # None is excluded above
        parted = value.split(";" if ";" in value else ",")
        values: tuple[Any, ...] = tuple(item.strip() for item in parted if item.strip())
    else:
        values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not values:
        raise UnweaveError(f"{value!r} names no values: give some, parted by commas, or a range such as log:1e-4:1e-1")
    return Choices(values)


@dataclass(frozen=True)
class Space:
    """Every combination of the ``grid``, each with ``draws`` draws of the ``random`` axes, on top of ``fixed``.

    The same draws are made beside every point of the grid, so that points are compared at equal draws. ``seed`` is of
    the draws alone; the runs have seeds of their own.
    """

    grid: Mapping[str, Any] = field(default_factory=dict)
    random: Mapping[str, Any] = field(default_factory=dict)
    draws: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        parts = {"grid": self.grid, "random": self.random, "fixed": self.fixed}
        named = [(name, where) for where, fields in parts.items() for name in fields]
        for name, where in named:
            other = next((before for known, before in named if known == name and before != where), None)
            if other:
                raise UnweaveError(f"field {name!r} is both in {where} and in {other}: leave out one")
        grid = {name: parse_axis(value) for name, value in self.grid.items()}
        for name, axis in grid.items():
            if isinstance(axis, Range):
                raise UnweaveError(f"{name}={axis.to_json()} is a range, and a grid needs values: use random for it")
        if self.random and self.draws < 1:
            raise UnweaveError(f"{', '.join(self.random)} are drawn at random: say how many times, 1 or more")
        if self.draws and not self.random:
            raise UnweaveError(f"{self.draws} draws of nothing: give an axis to draw, such as rate=log:1e-4:1e-1")
        object.__setattr__(self, "grid", grid)
        object.__setattr__(self, "random", {name: parse_axis(value) for name, value in self.random.items()})
        object.__setattr__(self, "fixed", dict(self.fixed))

    @classmethod
    def from_text(
        cls,
        grid: Iterable[str] = (),
        random: Iterable[str] = (),
        draws: int = 0,
        fixed: Iterable[str] = (),
        seed: int = 0,
    ) -> Space:
        """A space from ``field=values`` texts, as on a command line."""
        return cls(parse_settings(grid), parse_settings(random), draws, parse_settings(fixed), seed)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Space:
        """The space back from ``to_json``."""
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """The space as plain JSON."""
        axes = {
            part: {name: axis.to_json() for name, axis in getattr(self, part).items()} for part in ("grid", "random")
        }
        return {**axes, "draws": self.draws, "fixed": dict(self.fixed), "seed": self.seed}

    def fields(self) -> list[str]:
        """The fields that vary."""
        return [*self.grid, *self.random]

    def configs(self, study: Study) -> list[dict[str, Any]]:
        """Every config of the space as plain JSON, in order, checked by the study, no two of them the same.

        Raises ``UnweaveError`` for a config that the study refuses, for grid values that mean the same, and for more
        draws than the random axes have configs.
        """
        points = list(self._points())
        if not self.random:
            made = [self._config(study, point) for point in points]
            for number, config in enumerate(made):
                if config in made[:number]:
                    raise UnweaveError(f"the grid holds {_short(points[number])} twice: leave out one of them")
            return made
        found: dict[str, dict[str, Any]] = {}
        accepted = 0
        for attempt in itertools.count():
            if accepted == self.draws:
                break
            if attempt - accepted > _TRIES * self.draws:
                raise UnweaveError(
                    f"{self.draws} draws of {', '.join(self.random)} are more than they have configs: {accepted} were "
                    f"found; ask for {accepted}, or widen a range"
                )
            drawn = {
                name: axis.draw(numpy_generator(self.seed, "space", name, attempt))
                for name, axis in self.random.items()
            }
            made = [self._config(study, point | drawn) for point in points]
            keys = [json.dumps(config, sort_keys=True) for config in made]
            if len(set(keys)) < len(keys):
                raise UnweaveError("the grid holds the same config twice: leave out one of its values")
            if not set(keys) & set(found):
                found |= dict(zip(keys, made, strict=True))
                accepted += 1
        # In the order of the grid, the draws of a point side by side.
        every = list(found.values())
        return [every[draw * len(points) + point] for point in range(len(points)) for draw in range(self.draws)]

    def _points(self) -> Iterator[dict[str, Any]]:
        values: Sequence[tuple[Any, ...]] = [axis.values for axis in self.grid.values()]
        for chosen in itertools.product(*values):
            yield dict(zip(self.grid, chosen, strict=True))

    def _config(self, study: Study, settings: Mapping[str, Any]) -> dict[str, Any]:
        return plain_config(study.configure({**self.fixed, **settings}))


def _short(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
