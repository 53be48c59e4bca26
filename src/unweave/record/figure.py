"""What every figure shares: its specification, the rows it draws, its title, legend and axes."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.record.svg import BOLD, SERIES, Canvas, clean, text_width, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from unweave.record.axis import Axis
    from unweave.record.table import Table

WIDE, NARROW = 760.0, 372.0
TITLE_STEP, LEGEND_STEP = 20.0, 20.0


@dataclass(frozen=True)
class FigureSpec:
    """What a figure shows: table and its hash, drawn row numbers, the column in each role, and how."""

    kind: str
    table: str
    sha256: str
    title: str
    caption: str
    columns: Mapping[str, str]
    rows: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The specification as plain JSON."""
        return {**asdict(self), "rows": list(self.rows)}

    @classmethod
    def from_json(cls, entry: Any) -> FigureSpec:
        """Reads what ``to_json`` wrote."""
        try:
            return cls(**{**entry, "rows": tuple(entry["rows"])})
        except (KeyError, TypeError) as error:
            raise UnweaveError(f"this is not a figure's specification ({error!r}): draw the figure again") from error


@dataclass(frozen=True)
class Figure:
    """A drawn figure at full width and for narrow pages, with the specification both were drawn from."""

    svg: str
    narrow: str
    spec: FigureSpec


def make_figure(
    kind: str,
    table: Table,
    columns: Mapping[str, str | None],
    where: Mapping[str, Any] | None,
    title: str,
    caption: str | None,
    options: Mapping[str, Any],
    numeric: Sequence[str],
    render: Callable[[Table, FigureSpec, Canvas], str],
) -> Figure:
    """Checks the roles' columns and rows, then renders both widths.

    Raises ``UnweaveError`` for an unknown column, a numeric role on text, no rows, more series than can be told apart,
    and half an interval.
    """
    roles = {role: column for role, column in columns.items() if column is not None}
    for role, column in roles.items():
        kind_of_column = table.kinds[table.index(column)]
        if role in numeric and kind_of_column not in ("integer", "number", "empty"):
            raise UnweaveError(
                f"column {column!r} of table {table.name!r} holds {kind_of_column}: {role} needs numbers"
            )
    for low in ("low", "x_low", "y_low"):
        high = low.replace("low", "high")
        if (low in roles) != (high in roles):
            raise UnweaveError(f"a figure of {table.name!r} has only one of {low} and {high}: give both columns")
    rows = table.find(where or {})
    if not rows:
        raise UnweaveError(f"no row of table {table.name!r} matches {dict(where or {})}: nothing to draw")
    caption = table.caption if caption is None else caption
    spec = FigureSpec(kind, table.name, table.sha256, title, caption, roles, tuple(rows), dict(options))
    if len(series_names(table, spec)) > SERIES:
        count = len(series_names(table, spec))
        raise UnweaveError(f"{count} series in column {roles['group']!r}: a figure can tell {SERIES} apart; use where")
    digest = hashlib.sha256(json.dumps(spec.to_json(), sort_keys=True).encode()).hexdigest()[:8]
    svg, narrow = (
        render(table, spec, Canvas(width, f"f{digest}{mark}")) for width, mark in ((WIDE, "w"), (NARROW, "n"))
    )
    return Figure(svg, narrow, spec)


def number(table: Table, spec: FigureSpec, row: int, role: str) -> float | None:
    """The number in a role's column, or ``None`` when it is missing or the figure has no such role."""
    column = spec.columns.get(role)
    value = table.rows[row][table.index(column)] if column else None
    return float(value) if isinstance(value, (int, float)) else None


def label(table: Table, spec: FigureSpec, row: int, role: str) -> str:
    """The text in a role's column, or nothing when the figure has no such role."""
    column = spec.columns.get(role)
    return table.shown(column, table.rows[row][table.index(column)]) if column else ""


def series_names(table: Table, spec: FigureSpec) -> list[str]:
    """The names of the series in order of first appearance; one empty name when rows are not grouped."""
    return list(dict.fromkeys(label(table, spec, row, "group") for row in spec.rows))


def axis_title(table: Table, spec: FigureSpec, role: str, given: str | None) -> str:
    """What an axis shows: the given words, else the column with its unit."""
    return given if given is not None else table.heading(spec.columns[role])


def draw_head(
    canvas: Canvas, spec: FigureSpec, names: Sequence[str], swatch: Callable[[int, float, float], None]
) -> float:
    """Title and legend; returns the height used. ``swatch(series, x, y)`` draws a key 18 wide, centred on ``y``."""
    top = 4.0
    if spec.title:
        lines = wrap(spec.title, canvas.width - 8, 15 * BOLD, most=3)
        canvas.lines("title", lines, 0, top + 14, TITLE_STEP)
        top += TITLE_STEP * len(lines) + 4
    if list(names) != [""]:
        x = 0.0
        for series, name in enumerate(names):
            shown = wrap(name, canvas.width - 40, most=1)[0]
            width = 24 + text_width(shown) + 16
            if x and x + width > canvas.width + 16:
                x, top = 0.0, top + LEGEND_STEP
            with canvas.group(f"key s{series}"):
                swatch(series, x, top + 9)
                canvas.add("text", "key-label", shown, x=x + 24, y=top + 13)
            x += width
        top += LEGEND_STEP + 4
    return top


def draw_x_axis(canvas: Canvas, axis: Axis, top: float, bottom: float, title: str) -> float:
    """Grid lines, tick labels and title of a horizontal axis under the plot; returns the height below ``bottom``."""
    with canvas.group("axis x"):
        for tick, text in zip(axis.ticks, axis.labels, strict=True):
            x = axis.place(tick)
            canvas.add("line", "tick", x1=x, x2=x, y1=top, y2=bottom + 5)
            canvas.add("text", "tick-label", text, x=x, y=bottom + 18, text_anchor="middle")
    if not title:
        return 26.0
    width = abs(axis.end - axis.start)
    lines = wrap(title, min(canvas.width, width + 2 * min(axis.start, canvas.width - axis.end)), most=2)
    canvas.lines("axis-label", lines, (axis.start + axis.end) / 2, bottom + 36, 15, text_anchor="middle")
    return 42.0 + 15 * (len(lines) - 1)


def draw_y_axis(canvas: Canvas, axis: Axis, left: float, right: float, title: str, top: float) -> None:
    """Grid lines and tick labels of a vertical axis; its title stands level above the plot, so nobody tilts a head."""
    with canvas.group("axis y"):
        for tick, text in zip(axis.ticks, axis.labels, strict=True):
            y = axis.place(tick)
            canvas.add("line", "tick", x1=left - 5, x2=right, y1=y, y2=y)
            canvas.add("text", "tick-label", text, x=left - 9, y=y + 4, text_anchor="end")
    if title:
        canvas.lines("axis-label", wrap(title, canvas.width - 4, most=1), 0, top, 15)


def draw_references(canvas: Canvas, references: Sequence[Sequence[Any]], axis: Axis, upright: bool, box: Box) -> None:
    """Dotted lines at named values: vertical ones with ``upright``."""
    for text, value in references:
        at = axis.place(value)
        shown = wrap(str(text), box.right - box.left, 11, most=1)[0]
        if upright:
            canvas.add("line", "reference", x1=at, x2=at, y1=box.top, y2=box.bottom)
            flip = at + 4 + text_width(shown, 11) > box.right + 20
            anchor = "end" if flip else "start"
            canvas.add("text", "reference-label", shown, x=at + (-4 if flip else 4), y=box.top - 4, text_anchor=anchor)
        else:
            canvas.add("line", "reference", x1=box.left, x2=box.right, y1=at, y2=at)
            canvas.add("text", "reference-label halo", shown, x=box.right - 4, y=at - 4, text_anchor="end")


@dataclass(frozen=True)
class Box:
    """The plot's rectangle."""

    left: float
    right: float
    top: float
    bottom: float


def marker_path(series: int, x: float, y: float, radius: float) -> str:
    """The outline of a series' marker around ``(x, y)``, the mean of its corners; the circle is drawn apart."""
    corners = {1: (4, 0.5), 2: (3, 0.5), 3: (4, 0.0), 4: (3, 0.0), 5: (5, 0.5)}.get(series % 8)
    if corners:
        count, turn = corners
        size = radius * (1.35 if count == 3 else 1.22)
        angles = [2 * math.pi * (k + turn) / count + (math.pi / 2 if count != 4 else 0) for k in range(count)]
        points = [(x + size * math.cos(angle), y + size * math.sin(angle)) for angle in angles]
    else:
        arm, thin = radius * 1.25, radius * 0.45
        plus = [(-thin, -arm), (thin, -arm), (thin, -thin), (arm, -thin), (arm, thin), (thin, thin)]
        plus += [(-a, -b) for a, b in plus]
        turn = math.pi / 4 if series % 8 == 7 else 0.0
        points = [
            (x + a * math.cos(turn) - b * math.sin(turn), y + a * math.sin(turn) + b * math.cos(turn)) for a, b in plus
        ]
    return "M" + "L".join(f"{a:.4f} {b:.4f}" for a, b in points) + "Z"


def draw_marker(
    canvas: Canvas, series: int, x: float, y: float, class_: str, radius: float = 4.2, **attributes: Any
) -> None:
    """A series' marker: shape by series, hollow from the ninth on."""
    classes = f"{class_} s{series} {'solid' if series < 8 else 'hollow'}"
    if series % 8 == 0:
        canvas.add("circle", classes, cx=x, cy=y, r=radius, **attributes)
    else:
        canvas.add("path", classes, d=marker_path(series, x, y, radius), **attributes)


def describe(spec: FigureSpec, what: str) -> str:
    """The text alternative of a figure."""
    return clean(f"{what} {len(spec.rows)} rows of table {spec.table}, which holds every value drawn here.")
