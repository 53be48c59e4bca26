"""The audit of one figure: what its marks show, compared with the saved table it was drawn from."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.record.bar_chart import interval, printed
from unweave.record.curves import drawn_rows, marked_rows
from unweave.record.drawn import DrawnAxis, Element, read_axis, read_svg, same_text
from unweave.record.figure import FigureSpec, axis_title, label, number, series_names
from unweave.record.svg import text_width

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from unweave.record.table import Table

_NEAR = 0.01
_LABEL_REACH = 60.0


def audit_figure(svg: str, table: Table, spec: FigureSpec) -> list[str]:
    """Recovers the values that a figure shows from its geometry, and returns how they differ from the table.

    Values come from the coordinates of marks, read against the axis, and that comes from the positions of tick lines
    and the numbers in tick texts. No attribute is trusted with a value: ``data-row`` only says which row to compare.
    """
    if spec.sha256 != table.sha256:
        return [f"was drawn from another version of table {table.name!r}"]
    try:
        elements = read_svg(svg)
        check = _bars if spec.kind == "bars" else _plane
        return list(dict.fromkeys([*_words(elements, table, spec), *check(elements, table, spec)]))
    except UnweaveError as error:
        return [str(error)]
    except (ValueError, LookupError, TypeError) as error:
        return [f"cannot be read back ({error!r})"]


def _words(elements: list[Element], table: Table, spec: FigureSpec) -> Iterator[str]:
    titles = [element.text for element in elements if "title" in element.classes]
    if titles != [spec.title] and not (
        len(titles) == bool(spec.title) and all(same_text(t, spec.title) for t in titles)
    ):
        yield f"is titled {titles} instead of {spec.title!r}"
    roles = ("value",) if spec.kind == "bars" else ("x", "y")
    wanted = [axis_title(table, spec, role, spec.options[f"{role}_label"]) for role in roles]
    written = [element.text for element in elements if "axis-label" in element.classes]
    for text in written:
        if not any(same_text(text, full) for full in wanted):
            yield f"has an axis labelled {text!r}, not {' or '.join(map(repr, wanted))}"
    names = series_names(table, spec)
    keys = {element.group: element.text for element in elements if "key-label" in element.classes}
    swatches = [element for element in elements if "key" in element.group and element.tag != "text"]
    for element in swatches:
        if element.group != {"key", f"s{element.series}"}:
            yield f"has a legend entry {keys.get(element.group)!r} in the colour of another series"
    wanted_keys = {frozenset({"key", f"s{series}"}): name for series, name in enumerate(names)} if names != [""] else {}
    if keys.keys() != wanted_keys.keys() or not all(same_text(keys[key], name) for key, name in wanted_keys.items()):
        yield f"has the legend {list(keys.values())} instead of {names}"


def _by_row(elements: list[Element], mark: str, expected: list[int], found: list[str]) -> dict[int, Element]:
    marks: dict[int, Element] = {}
    for element in elements:
        if mark in element.classes and "key" not in element.group:
            row = element.row
            if row is None or row in marks or row not in expected:
                found.append(f"has a {mark} that no row of the table asks for ({row})")
            else:
                marks[row] = element
    missing = [row for row in expected if row not in marks]
    if missing:
        found.append(f"lacks the {mark} of row {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""))
    return marks


def _bars(elements: list[Element], table: Table, spec: FigureSpec) -> list[str]:
    lying = spec.options["orientation"] == "horizontal"
    axis, found = read_axis(elements, "x" if lying else "y")
    if found:
        return found
    along, across = (0, 1) if lying else (1, 0)
    names = series_names(table, spec)
    present = [row for row in spec.rows if number(table, spec, row, "value") is not None]
    marks = _by_row(elements, "bar", present, found)
    categories = [element for element in elements if "category" in element.classes]
    for row, mark in marks.items():
        value = number(table, spec, row, "value")
        start, size = (mark.get("x"), mark.get("width")) if lying else (mark.get("y"), mark.get("height"))
        ends = sorted((start, start + size), key=lambda end: axis.read(end))
        if value is None or not (axis.shows(ends[0], min(0.0, value)) and axis.shows(ends[1], max(0.0, value))):
            found.append(f"draws {axis.value(ends[0])} to {axis.value(ends[1])} where row {row} has 0 to {value!r}")
        if mark.series is None or names[mark.series] != label(table, spec, row, "group"):
            found.append(f"draws row {row} in the colour of another series")
        if mark.attributes.get("fill", "-p0)").rpartition("-")[2] != f"p{mark.series})":
            found.append(f"draws row {row} with the hatching of another series")
        beside = _category(categories, mark, lying)
        if beside is None or not same_text(beside.text, label(table, spec, row, "label")):
            found.append(f"draws row {row} at the label {beside.text if beside else None!r}")
    with_ends = [
        row for row in present if None not in (number(table, spec, row, "low"), number(table, spec, row, "high"))
    ]
    for mark_class in ("under", "whisker"):
        for row, mark in _by_row(elements, mark_class, with_ends, found).items():
            found += _whisker(mark, marks.get(row), axis, table, spec, row, along, across)
    texts = {element.row for element in elements if "value" in element.classes}
    for row, text in _by_row(elements, "value", list(spec.rows) if texts else [], found).items():
        if text.text != printed(table, spec, row):
            found.append(f"prints {text.text!r} for row {row}, which has {printed(table, spec, row)!r}")
        if row in marks and abs(text.center()[across] - marks[row].center()[across] - (4 if lying else 0)) > _NEAR:
            found.append(f"prints the value of row {row} at another bar")
    for element in elements:
        if "interval" in element.classes:
            row = element.row
            if row not in marks or element.text != interval(table, spec, row):
                found.append(f"prints the interval {element.text!r} for row {row}")
            elif abs(element.center()[1] - marks[row].center()[1] - 4) > _NEAR:
                found.append(f"prints the interval of row {row} at another bar")
        if "zero" in element.classes and not all(axis.shows(point[along], 0.0) for point in element.points()):
            found.append(f"draws the zero line at {axis.value(element.points()[0][along])}")
    return [*found, *_references(elements, spec.options["references"], axis, along)]


def _category(categories: list[Element], mark: Element, lying: bool) -> Element | None:
    x, y = mark.center()
    if not lying:
        return min(categories, key=lambda text: abs(text.center()[0] - x), default=None)
    above = [text for text in categories if text.attributes.get("text-anchor") == "start" and text.center()[1] < y]
    if above:
        return max(above, key=lambda text: text.center()[1])
    return min(categories, key=lambda text: abs(text.center()[1] - 4.5 - y), default=None)


def _whisker(
    mark: Element,
    bar: Element | None,
    axis: DrawnAxis,
    table: Table,
    spec: FigureSpec,
    row: int,
    along: int,
    across: int,
) -> Iterator[str]:
    low, high = number(table, spec, row, "low"), number(table, spec, row, "high")
    points = mark.points()
    if low is None or high is None or len(points) != 6:
        yield f"draws the interval of row {row} in a shape of its own"
        return
    ends = (low, high, low, low, high, high)
    if not all(axis.shows(point[along], value) for point, value in zip(points, ends, strict=True)):
        drawn = " to ".join(axis.value(point[along]) for point in points[:2])
        yield f"draws the interval {drawn} where row {row} has {low!r} to {high!r}"
    if bar is not None and any(abs(point[across] - bar.center()[across]) > _NEAR for point in points[:2]):
        yield f"draws the interval of row {row} at another bar"


def _plane(elements: list[Element], table: Table, spec: FigureSpec) -> list[str]:
    x_axis, found = read_axis(elements, "x")
    y_axis, more = read_axis(elements, "y")
    found += more
    if found:
        return found
    names = series_names(table, spec)
    rows_of = [drawn_rows(table, spec, name) for name in names]
    drawn = [row for rows in rows_of for row in rows]

    def compare(place: tuple[float, float], row: int, x: str = "x", y: str = "y") -> Iterator[str]:
        for axis, at, role in ((x_axis, place[0], x), (y_axis, place[1], y)):
            value = number(table, spec, row, role)
            if value is None or not axis.shows(at, value):
                yield f"draws {spec.columns[role]} {axis.value(at)} where row {row} has {value!r}"

    marks = _by_row(elements, "point", [row for rows in rows_of for row in marked_rows(spec, rows)], found)
    for row, mark in marks.items():
        found += compare(mark.center(), row)
        if mark.series is None or mark.series >= len(names) or row not in rows_of[mark.series]:
            found.append(f"draws row {row} with the marker of another series")
    for kind, needed in (("curve", 2 if spec.options["connect"] else len(drawn) + 1), ("band", 1)):
        paths = {
            element.series: element for element in elements if kind in element.classes and "key" not in element.group
        }
        for series, rows in enumerate(rows_of):
            known = rows if kind == "curve" else [row for row in rows if _both(table, spec, row, "low", "high")]
            points = paths.pop(series).points() if series in paths else []
            roles = [(row, "y") for row in known]
            if kind == "band":
                roles = [(row, "high") for row in known] + [(row, "low") for row in reversed(known)]
            if len(known) < needed:
                roles = []
            if len(points) != len(roles):
                found.append(f"draws a {kind} of {len(points)} points for {names[series]!r}, which has {len(roles)}")
            else:
                for place, (row, role) in zip(points, roles, strict=True):
                    found += compare(place, row, y=role)
        found += [f"draws a {kind} that no series asks for" for _ in paths]
    for mark_class, low, high in (("across", "x_low", "x_high"), ("along", "y_low", "y_high")):
        rows = [row for row in drawn if _both(table, spec, row, low, high)]
        for row, mark in _by_row(elements, mark_class, rows, found).items():
            for place, end in zip(mark.points(), (low, high), strict=True):
                found += compare(place, row, x=end) if mark_class == "across" else compare(place, row, y=end)
    if "label" in spec.columns:
        found += _labels(elements, table, spec, drawn, marks)
    found += _references(elements, spec.options["x_references"], x_axis, 0)
    return [*found, *_references(elements, spec.options["y_references"], y_axis, 1)]


def _labels(
    elements: list[Element], table: Table, spec: FigureSpec, drawn: list[int], marks: Mapping[int, Element]
) -> list[str]:
    found: list[str] = []
    for row, text in _by_row(elements, "label", drawn, found).items():
        if not same_text(text.text, label(table, spec, row, "label")):
            found.append(f"labels row {row} {text.text!r} instead of {label(table, spec, row, 'label')!r}")
        if row in marks and _apart(text, marks[row].center()) > _LABEL_REACH:
            found.append(f"writes the label of row {row} far from its point")
    return found


def _apart(text: Element, point: tuple[float, float]) -> float:
    left, baseline = text.center()
    sideways = max(left - point[0], point[0] - left - text_width(text.text), 0.0)
    return max(sideways, abs(baseline - 4 - point[1]))


def _both(table: Table, spec: FigureSpec, row: int, low: str, high: str) -> bool:
    return None not in (number(table, spec, row, low), number(table, spec, row, high))


def _references(elements: list[Element], references: list[list], axis: DrawnAxis, along: int) -> Iterator[str]:
    drawn = []
    for line, text in itertools.pairwise(elements):
        if "reference" in line.classes and line.points()[0][along] == line.points()[1][along]:
            drawn.append((line.points()[0][along], text.text))
    if len(drawn) != len(references):
        yield f"has {len(drawn)} reference lines instead of {len(references)}"
        return
    for (at, text), (name, value) in zip(drawn, references, strict=True):
        if not axis.shows(at, value) or not same_text(text, str(name)):
            yield f"draws the reference {text!r} at {axis.value(at)} instead of {name!r} at {value!r}"
