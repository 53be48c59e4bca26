"""A concept: values with labels, what is known of how far apart they are, and texts that end in a label."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import numpy_generator
from unweave.shapes.concepts.color import hue, is_hex, lab
from unweave.shapes.manifolds.distances import METRICS, value_distances
from unweave.shapes.manifolds.family import Values, families

Known = float | str | tuple[float, ...] | tuple[str, ...] | None
"""A place in an order or on a circle, ``#rrggbb``, several numbers such as latitude and longitude, or a path."""

PLACE = "{}"
LEAST_VALUES = 4
LEAST_TEMPLATES = 8
_ROUND = {"circular": None, "hue": 360.0}


@dataclass(frozen=True)
class Value:
    """One value: the text that stands for it, and what is known of it."""

    label: str
    known: Known = None


@dataclass(frozen=True)
class Concept:
    """Values that differ in one thing, such as weekdays, and templates whose ``{}`` at the end is the label's place.

    A label is read at its last token, which in a causal model has seen nothing of what would follow it. Raises
    ``UnweaveError`` for fewer than 4 values or 8 templates, for doubled ones, for a template that does not end in its
    only ``{}``, for a metric or family that is not registered, and for values that the metric cannot compare.
    """

    name: str
    values: tuple[Value, ...]
    templates: tuple[str, ...]
    metric: str | None = None
    """Of ``manifolds.distances``, such as circular, linear, great-circle, hue, lab or tree path; none if not known."""
    options: Mapping[str, float] = field(default_factory=dict)
    """Of the metric, such as the period of a circle."""
    families: tuple[str, ...] = ()
    """Of ``manifolds.family``; all where none is named."""

    def __post_init__(self) -> None:
        if not self.name or not self.name.strip():
            raise UnweaveError(f"a concept's name is {self.name!r}: give it one, such as 'weekdays'")
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))
        self._check_labels()
        check_templates(self.templates, self.name)
        for name in self.families:
            if name not in families():
                raise UnweaveError(f"concept {self.name!r}: no family is named {name!r}; {nearest(name, families())}")
        if self.metric is None:
            if self.options:
                raise UnweaveError(f"concept {self.name!r} has options of a metric, and no metric: name one")
            return
        if self.metric not in METRICS:
            raise UnweaveError(
                f"concept {self.name!r}: no metric is named {self.metric!r}; {nearest(self.metric, METRICS)}"
            )
        for value in self.values:
            if value.known is None:
                raise UnweaveError(
                    f"concept {self.name!r}: {value.label!r} has no known place, which the metric {self.metric!r} "
                    "needs of every value: give it one, or no metric"
                )
        try:
            self.distances()
        except (UnweaveError, TypeError, ValueError) as error:
            raise UnweaveError(
                f"concept {self.name!r}: the metric {self.metric!r} cannot compare its values ({error})"
            ) from error

    def __len__(self) -> int:
        return len(self.values)

    @property
    def digest(self) -> str:
        """sha256 of all that it holds."""
        held = [self.name, [[each.label, each.known] for each in self.values], self.templates, self.metric]
        text = json.dumps([*held, sorted(self.options.items()), self.families])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(each.label for each in self.values)

    def texts(self, template: str) -> list[str]:
        """The template with each label in its place."""
        return [template.replace(PLACE, each.label) for each in self.values]

    def coordinates(self) -> Values:
        """What is known of the values as ``manifolds`` takes it: numbers [w] or [w, k], paths, or nothing.

        A colour is its hue in degrees under the metric ``hue``, and else CIELAB.
        """
        known = [each.known for each in self.values]
        if any(each is None for each in known):
            return None
        if all(is_hex(each) for each in known):
            turn = hue if self.metric == "hue" else lab
            return np.array([turn(str(each)) for each in known])
        if all(isinstance(each, tuple) and all(isinstance(step, str) for step in each) for each in known):
            return [tuple(each) for each in known]  # type: ignore[arg-type]  # just looked at
        try:
            return np.array(known, np.float64)
        except (TypeError, ValueError):
            raise UnweaveError(
                "values are of different kinds: give each a number, as many numbers, or a path"
            ) from None

    def distances(self) -> Float64[np.ndarray, "w w"] | None:
        """How far apart values are known to be, or none."""
        given = self.coordinates()
        if self.metric is None or given is None:
            return None
        return value_distances(self.metric, given, **self.options)

    def angles(self) -> Float64[np.ndarray, " w"] | None:
        """Places on the known circle in radians, or none where what is known is no circle."""
        given = self.coordinates()
        if self.metric not in _ROUND or not isinstance(given, np.ndarray):
            return None
        period = _ROUND[self.metric] or self.options["period"]
        return np.mod(given / period, 1.0) * 2 * math.pi

    def dealt(self, seed: int) -> Concept:
        """The same labels, with what is known of the values dealt to them anew: an order that means nothing.

        Raises ``UnweaveError`` where nothing is known of them.
        """
        if self.coordinates() is None:
            raise UnweaveError(
                f"nothing is known of the values of {self.name!r}, so they cannot be dealt anew: leave the concept out"
            )
        order = numpy_generator(seed, "dealt values", self.name).permutation(len(self))
        known = [self.values[int(place)].known for place in order]
        return replace(self, values=tuple(map(Value, self.labels, known)))

    def _check_labels(self) -> None:
        if len(self.values) < LEAST_VALUES:
            raise UnweaveError(
                f"concept {self.name!r} has {len(self.values)} values: {LEAST_VALUES} or more are needed"
            )
        labels = [each.label for each in self.values]
        for label in labels:
            if not label.strip() or label != label.strip():
                raise UnweaveError(f"concept {self.name!r}: a label is {label!r}: give text without spaces around it")
        doubled = [label for label in labels if labels.count(label) > 1]
        if doubled:
            raise UnweaveError(f"concept {self.name!r} has the value {doubled[0]!r} twice: keep one of them")


def check_templates(templates: Sequence[str], owner: str) -> None:
    """Refuses templates that are too few, doubled, or do not end in their only ``{}``."""
    if len(templates) < LEAST_TEMPLATES:
        raise UnweaveError(
            f"concept {owner!r} has {len(templates)} templates: {LEAST_TEMPLATES} or more are needed, which are parted "
            "into those to fit on, to choose by and to test on"
        )
    for template in templates:
        if template.count(PLACE) != 1 or not template.endswith(PLACE):
            raise UnweaveError(
                f"concept {owner!r}: the template {template!r} must end in its only {PLACE}, the label's place: the "
                "label is read at its last token, which has not seen what follows"
            )
    doubled = [each for each in templates if list(templates).count(each) > 1]
    if doubled:
        raise UnweaveError(f"concept {owner!r} has the template {doubled[0]!r} twice: keep one of them")
