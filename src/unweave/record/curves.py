"""Points in the plane: scatter and frontier with labels, and lines over a sweep with bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.record.axis import Axis, make_axis
from unweave.record.figure import (
    NARROW,
    Box,
    Figure,
    FigureSpec,
    axis_title,
    describe,
    draw_head,
    draw_marker,
    draw_references,
    draw_x_axis,
    draw_y_axis,
    label,
    make_figure,
    number,
    series_names,
)
from unweave.record.placement import place_labels
from unweave.record.svg import Canvas, clean, text_width

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unweave.record.table import Table

_ROLES = ("x", "y", "low", "high", "x_low", "x_high", "y_low", "y_high")
_DASHES = (None, "7 4", "2 3", "10 3 2 3", "5 2", "1 4", "12 4", "4 2 1 2 1 2")
_MARKERS_PER_LINE = 12


def scatter(
    table: Table,
    x: str,
    y: str,
    label_column: str | None = None,
    group: str | None = None,
    *,
    x_low: str | None = None,
    x_high: str | None = None,
    y_low: str | None = None,
    y_high: str | None = None,
    x_log: bool = False,
    y_log: bool = False,
    connect: bool = False,
    title: str = "",
    caption: str | None = None,
    x_label: str | None = None,
    y_label: str | None = None,
    where: Mapping[str, Any] | None = None,
    x_references: Sequence[tuple[str, float]] = (),
    y_references: Sequence[tuple[str, float]] = (),
) -> Figure:
    """A point for each row at (``x``, ``y``), with its label beside it and its group as marker and colour.

    ``connect`` joins the points of a group in the table's order, as a frontier is traced by a sweep; the ``_low`` and
    ``_high`` columns draw intervals. Rows that lack x or y are left out of the drawing.
    """
    options = {
        **_axis_options(x_log, y_log, x_label, y_label, x_references, y_references),
        "connect": connect,
        "markers": "all",
    }
    columns = {"x": x, "y": y, "label": label_column, "group": group}
    intervals = {"x_low": x_low, "x_high": x_high, "y_low": y_low, "y_high": y_high}
    return make_figure("scatter", table, {**columns, **intervals}, where, title, caption, options, _ROLES, _render)


def lines(
    table: Table,
    x: str,
    y: str,
    low: str | None = None,
    high: str | None = None,
    group: str | None = None,
    *,
    x_log: bool = False,
    y_log: bool = False,
    title: str = "",
    caption: str | None = None,
    x_label: str | None = None,
    y_label: str | None = None,
    where: Mapping[str, Any] | None = None,
    x_references: Sequence[tuple[str, float]] = (),
    y_references: Sequence[tuple[str, float]] = (),
) -> Figure:
    """A line through the rows of each group in order of ``x``, with a band from ``low`` to ``high``.

    Each line has its own dashes and markers beside its colour. Rows that lack x or y are left out of the drawing.
    """
    options = {
        **_axis_options(x_log, y_log, x_label, y_label, x_references, y_references),
        "connect": True,
        "markers": "some",
    }
    columns = {"x": x, "y": y, "low": low, "high": high, "group": group}
    return make_figure("lines", table, columns, where, title, caption, options, _ROLES, _render)


def drawn_rows(table: Table, spec: FigureSpec, name: str) -> list[int]:
    """The rows of one series in drawing order: those with x and y, by x for lines."""
    rows = [row for row in spec.rows if label(table, spec, row, "group") == name]
    rows = [row for row in rows if None not in (number(table, spec, row, "x"), number(table, spec, row, "y"))]
    return sorted(rows, key=lambda row: number(table, spec, row, "x") or 0.0) if spec.kind == "lines" else rows


def marked_rows(spec: FigureSpec, rows: Sequence[int]) -> list[int]:
    """The rows of one series that carry a marker: all points, or a dozen spread along a long line."""
    if spec.options["markers"] == "all" or len(rows) <= _MARKERS_PER_LINE:
        return list(rows)
    last = len(rows) - 1
    return [rows[round(step * last / (_MARKERS_PER_LINE - 1))] for step in range(_MARKERS_PER_LINE)]


def _axis_options(
    x_log: bool,
    y_log: bool,
    x_label: str | None,
    y_label: str | None,
    x_references: Sequence[tuple[str, float]],
    y_references: Sequence[tuple[str, float]],
) -> dict[str, Any]:
    return {
        "x_log": x_log,
        "y_log": y_log,
        "x_label": x_label,
        "y_label": y_label,
        "x_references": [[text, float(value)] for text, value in x_references],
        "y_references": [[text, float(value)] for text, value in y_references],
    }


def _render(table: Table, spec: FigureSpec, canvas: Canvas) -> str:
    names = series_names(table, spec)
    narrow = canvas.width == NARROW
    series_rows = [drawn_rows(table, spec, name) for name in names]
    drawn = [row for rows in series_rows for row in rows]
    x_axis = _axis(table, spec, drawn, "x", ("x_low", "x_high"), 4 if narrow else 6)
    y_axis = _axis(table, spec, drawn, "y", ("y_low", "y_high", "low", "high"), 5)
    top = draw_head(canvas, spec, names, lambda series, x, y: _key(canvas, spec, series, x, y)) + 14
    left = max(map(text_width, y_axis.labels)) + 12
    right = canvas.width - text_width(x_axis.labels[-1]) / 2 - 2
    box = Box(left, right, top + 12, top + (270 if narrow else 360))
    x_axis = x_axis.between(box.left, box.right)
    y_axis = y_axis.between(box.bottom, box.top)
    title = axis_title(table, spec, "y", spec.options["y_label"])
    draw_y_axis(canvas, y_axis, box.left, box.right, title, top - 2)
    below = draw_x_axis(canvas, x_axis, box.top, box.bottom, axis_title(table, spec, "x", spec.options["x_label"]))
    draw_references(canvas, spec.options["x_references"], x_axis, True, box)
    draw_references(canvas, spec.options["y_references"], y_axis, False, box)
    for series, rows in enumerate(series_rows):
        _draw_series(table, spec, canvas, series, rows, x_axis, y_axis)
    for series, rows in enumerate(series_rows):
        for row in marked_rows(spec, rows):
            x, y = _at(table, spec, row, x_axis, y_axis)
            draw_marker(canvas, series, x, y, "point", 3.4 if spec.kind == "lines" else 4.6, data_row=str(row))
    if "label" in spec.columns:
        points = {row: _at(table, spec, row, x_axis, y_axis) for row in drawn}
        place_labels(canvas, points, {row: clean(label(table, spec, row, "label")) for row in drawn}, box)
    what = f"{spec.columns['y']} against {spec.columns['x']}"
    grouped = f", by {spec.columns['group']}" if "group" in spec.columns else ""
    form = "Lines" if spec.kind == "lines" else "Points"
    return canvas.finish(
        box.bottom + below, spec.title or what, describe(spec, f"{form} of {what}{grouped}."), len(names)
    )


def _axis(table: Table, spec: FigureSpec, rows: Sequence[int], role: str, ends: Sequence[str], count: int) -> Axis:
    values = [number(table, spec, row, name) for row in rows for name in (role, *ends)]
    references = [value for _, value in spec.options[f"{role}_references"]]
    known = [value for value in values if value is not None]
    return make_axis([*known, *references] if known else [], log=spec.options[f"{role}_log"], count=count)


def _at(table: Table, spec: FigureSpec, row: int, x_axis: Axis, y_axis: Axis) -> tuple[float, float]:
    x, y = number(table, spec, row, "x"), number(table, spec, row, "y")
    if x is None or y is None:
        raise UnweaveError(f"row {row} of table {table.name!r} has no place: x or y is missing")
    return x_axis.place(x), y_axis.place(y)


def _key(canvas: Canvas, spec: FigureSpec, series: int, x: float, y: float) -> None:
    if spec.options["connect"]:
        canvas.add("line", f"curve s{series}", x1=x, x2=x + 18, y1=y, y2=y, stroke_dasharray=_DASHES[series % 8])
    draw_marker(canvas, series, x + 9, y, "swatch", 4.2)


def _draw_series(
    table: Table, spec: FigureSpec, canvas: Canvas, series: int, rows: Sequence[int], x_axis: Axis, y_axis: Axis
) -> None:
    def ends(row: int, low: str, high: str) -> tuple[float, float] | None:
        a, b = number(table, spec, row, low), number(table, spec, row, high)
        return None if a is None or b is None else (a, b)

    spread = [(row, pair) for row in rows if (pair := ends(row, "low", "high"))]
    if spread:
        xs = [_at(table, spec, row, x_axis, y_axis)[0] for row, _ in spread]
        upper = [(x, y_axis.place(pair[1])) for x, (_, pair) in zip(xs, spread, strict=True)]
        lower = [(x, y_axis.place(pair[0])) for x, (_, pair) in zip(xs, spread, strict=True)]
        canvas.add("path", f"band s{series}", d=_path([*upper, *reversed(lower)]) + "Z")
    if spec.options["connect"] and len(rows) > 1:
        points = [_at(table, spec, row, x_axis, y_axis) for row in rows]
        canvas.add("path", f"curve s{series}", d=_path(points), stroke_dasharray=_DASHES[series % 8])
    for row in rows:
        x, y = _at(table, spec, row, x_axis, y_axis)
        across, along = ends(row, "x_low", "x_high"), ends(row, "y_low", "y_high")
        if across:
            a, b = (x_axis.place(end) for end in across)
            canvas.add("line", f"spread across s{series}", x1=a, x2=b, y1=y, y2=y, data_row=str(row))
        if along:
            a, b = (y_axis.place(end) for end in along)
            canvas.add("line", f"spread along s{series}", x1=x, x2=x, y1=a, y2=b, data_row=str(row))


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.4f} {y:.4f}" for x, y in points)
