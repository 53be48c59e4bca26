"""Reading a drawn figure back: its elements, and the values that its axes give to coordinates."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import combinations
from statistics import mean
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from unweave.base.errors import UnweaveError
from unweave.record.svg import STYLE, clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# A share of the axis: it passes the rounding of coordinates and sees 0.01 on every axis shorter than 100.
TOLERANCE = 1e-4

_NAMESPACE = "{http://www.w3.org/2000/svg}"
_ATTRIBUTES = {
    "svg": {"class", "role", "aria-labelledby", "width", "height", "viewBox"},
    "title": {"id"},
    "desc": {"id"},
    "style": set(),
    "g": {"class"},
    "text": {"class", "x", "y", "text-anchor", "data-row"},
    "tspan": {"x", "y"},
    "line": {"class", "x1", "x2", "y1", "y2", "stroke-dasharray", "data-row"},
    "rect": {"class", "x", "y", "width", "height", "fill", "data-row"},
    "circle": {"class", "cx", "cy", "r", "data-row"},
    "path": {"class", "d", "stroke-dasharray", "data-row"},
}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Element:
    """One drawn element: its classes, those of the group around it, its text, and its geometry."""

    tag: str
    classes: frozenset[str]
    group: frozenset[str]
    text: str
    attributes: dict[str, str]

    @property
    def row(self) -> int | None:
        """The table row that the element says it belongs to; only ever used to look the row up."""
        found = self.attributes.get("data-row", "")
        return int(found) if found.isdigit() else None

    @property
    def series(self) -> int | None:
        """The series whose colour and shape the element has."""
        numbers = [int(name[1:]) for name in self.classes if re.fullmatch(r"s\d+", name)]
        return numbers[0] if len(numbers) == 1 else None

    def get(self, name: str) -> float:
        """A coordinate; absent ones are 0, as SVG has it."""
        return float(self.attributes.get(name, "0"))

    def points(self) -> list[tuple[float, float]]:
        """The corners of a path, the ends of a line, or a text's line starts."""
        if self.tag == "line":
            return [(self.get("x1"), self.get("y1")), (self.get("x2"), self.get("y2"))]
        numbers = [float(text) for text in _NUMBER.findall(self.attributes.get("d", ""))]
        return list(zip(numbers[::2], numbers[1::2], strict=False))

    def center(self) -> tuple[float, float]:
        """The middle of a circle, a marker's path, a rectangle or a text's lines."""
        if self.tag == "circle":
            return self.get("cx"), self.get("cy")
        if self.tag == "rect":
            return self.get("x") + self.get("width") / 2, self.get("y") + self.get("height") / 2
        if self.tag == "text":
            return self.get("x"), self.get("y")
        corners = self.points()
        return mean(x for x, _ in corners), mean(y for _, y in corners)


@dataclass(frozen=True)
class DrawnAxis:
    """A scale recovered from tick lines and tick texts, linear or logarithmic."""

    log: bool
    slope: float
    intercept: float
    span: float

    def read(self, coordinate: float) -> float:
        """The value at a coordinate, as log10 on a logarithmic axis."""
        return self.slope * coordinate + self.intercept

    def shows(self, coordinate: float, value: float) -> bool:
        """True when the coordinate lies where the axis has ``value``."""
        if self.log and value <= 0:
            return False
        return abs(self.read(coordinate) - (math.log10(value) if self.log else value)) <= TOLERANCE * self.span

    def value(self, coordinate: float) -> str:
        """The value at a coordinate in words for a discrepancy."""
        return f"{10 ** self.read(coordinate) if self.log else self.read(coordinate):.6g}"


def read_svg(svg: str) -> list[Element]:
    """All drawn elements of a figure.

    Raises ``UnweaveError`` for anything that this project's writer does not write and that could move, hide or restyle
    a mark: transforms, styles, nested documents, unknown elements.
    """
    if "<!" in svg or "<?" in svg:
        raise UnweaveError("the SVG holds a declaration that the figure writer does not write")
    try:
        root = ElementTree.fromstring(svg)  # noqa: S314 - declarations, and with them entities, are refused above
    except ElementTree.ParseError as error:
        raise UnweaveError(f"the SVG cannot be read ({error})") from error
    if root.get("viewBox") != f"0 0 {root.get('width')} {root.get('height')}":
        raise UnweaveError("the SVG's viewBox is not its width and height")
    found = []
    for element, group in _walk(root, frozenset()):
        tag = element.tag.removeprefix(_NAMESPACE)
        unknown = set(element.attrib) - _ATTRIBUTES.get(tag, set()) if tag in _ATTRIBUTES else {"element"}
        if unknown:
            raise UnweaveError(f"the SVG has {sorted(unknown)[0]!r} at <{tag}>, which the figure writer does not write")
        if tag == "style" and element.text != STYLE:
            raise UnweaveError("the SVG's style is not the figure writer's")
        classes = frozenset(element.get("class", "").split())
        if tag in ("text", "line", "rect", "circle", "path"):
            found.append(_element(tag, classes, group, element))
    return found


def read_axis(elements: Sequence[Element], name: str) -> tuple[DrawnAxis, list[str]]:
    """Recovers axis ``x`` or ``y`` from where its tick lines stand and what its tick texts say.

    Returns the axis and what is wrong with it. Raises ``UnweaveError`` when fewer than three ticks can be read.
    """
    inside = [element for element in elements if element.group == {"axis", name}]
    ticks = [element for element in inside if "tick" in element.classes]
    texts = [element for element in inside if "tick-label" in element.classes]
    if len(ticks) != len(texts) or len(ticks) < 3:
        raise UnweaveError(f"the {name} axis has {len(ticks)} tick lines and {len(texts)} tick labels")
    found: list[str] = []
    pairs: list[tuple[float, float, str]] = []
    side = 0 if name == "x" else 1
    offsets = []
    for tick, text in zip(ticks, texts, strict=True):
        ends = [point[side] for point in tick.points()]
        number = _number(text.text)
        if abs(ends[0] - ends[1]) > 1e-3 or number is None:
            raise UnweaveError(f"the {name} axis has a tick that cannot be read, labelled {text.text!r}")
        offsets.append(text.center()[side] - ends[0])
        pairs.append((ends[0], number, text.text))
    if max(offsets) - min(offsets) > 1e-2:
        found.append(f"tick labels of the {name} axis do not stand at their ticks")
    scales = (False, True) if all(value > 0 for _, value, _ in pairs) else (False,)
    fits = [fit for log in scales for fit in _fits(pairs, log)]
    if not fits:
        raise UnweaveError(f"the ticks of the {name} axis all stand at one place")
    axis, off = min(
        fits, key=lambda fit: (sum(one > TOLERANCE * fit[0].span for one in fit[1]), sum(fit[1]) / fit[0].span)
    )
    for (position, _, text), distance in zip(pairs, off, strict=True):
        if distance > TOLERANCE * axis.span:
            found.append(f"tick {text!r} of the {name} axis stands where the other ticks have {axis.value(position)}")
    return axis, found


def same_text(drawn: str, full: str) -> bool:
    """True when ``drawn`` is ``full``, up to line breaks and what ``…`` stands for."""
    pattern = ".*".join(re.escape(part) for part in " ".join(drawn.split()).split("…"))
    return re.fullmatch(pattern, " ".join(clean(full).split()), re.DOTALL) is not None


def _walk(element: ElementTree.Element, group: frozenset[str]) -> Iterator[tuple[ElementTree.Element, frozenset[str]]]:
    yield element, group
    for child in element:
        # Hatchings lie outside the drawing's coordinates and are told by their series class.
        if child.tag == f"{_NAMESPACE}defs":
            continue
        yield from _walk(child, frozenset(element.get("class", "").split()) if element.tag.endswith("}g") else group)


def _element(tag: str, classes: frozenset[str], group: frozenset[str], element: ElementTree.Element) -> Element:
    attributes = dict(element.attrib)
    spans = list(element)
    if tag == "text" and spans:
        attributes["x"] = str(mean(float(span.get("x", "nan")) for span in spans))
        attributes["y"] = str(mean(float(span.get("y", "nan")) for span in spans))
    return Element(tag, classes, group, " ".join(text for text in element.itertext() if text), attributes)


def _number(text: str) -> float | None:
    try:
        return float(text.replace("−", "-").replace(",", ""))
    except ValueError:
        return None


def _fits(pairs: Sequence[tuple[float, float, str]], log: bool) -> Iterator[tuple[DrawnAxis, list[float]]]:
    # A line through each two ticks: the one that most ticks agree with names those that do not.
    points = [(position, math.log10(value) if log else value) for position, value, _ in pairs]
    span = max(value for _, value in points) - min(value for _, value in points) or 1.0
    for (a, start), (b, end) in combinations(points, 2):
        if a != b:
            slope = (end - start) / (b - a)
            axis = DrawnAxis(log, slope, start - slope * a, span)
            yield axis, [abs(axis.read(position) - value) for position, value in points]
