"""Bars with whiskers, lying or standing, one group of bars for each label."""

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
    draw_references,
    draw_x_axis,
    draw_y_axis,
    label,
    make_figure,
    number,
    series_names,
)
from unweave.record.svg import BOLD, Canvas, text_width, wrap
from unweave.record.table import Table, number_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Place = dict[str, dict[str, int]]


def bars(
    table: Table,
    label_column: str,
    value_column: str,
    low: str | None = None,
    high: str | None = None,
    group: str | None = None,
    *,
    title: str = "",
    caption: str | None = None,
    value_label: str | None = None,
    orientation: str = "horizontal",
    where: Mapping[str, Any] | None = None,
    digits: int | None = None,
    signed: bool = False,
    references: Sequence[tuple[str, float]] = (),
) -> Figure:
    """Bars from zero to ``value_column``, with whiskers from ``low`` to ``high``, one for each row.

    Labels and groups keep the table's order. ``where`` selects rows as ``Table.find`` does; ``references`` are dotted
    lines at named values; the caption is the table's unless another is given. A missing value is printed as ``–`` and
    draws no bar.
    Raises ``UnweaveError`` when two rows have the same label and group.
    """
    if orientation not in ("horizontal", "vertical"):
        raise UnweaveError(f"orientation {orientation!r}: bars are 'horizontal' or 'vertical'")
    shown = digits if digits is not None else table.digits.get(value_column)
    return make_figure(
        "bars",
        table,
        {"label": label_column, "value": value_column, "low": low, "high": high, "group": group},
        where,
        title,
        caption,
        {
            "orientation": orientation,
            "value_label": value_label,
            "digits": shown,
            "signed": signed,
            "references": [[text, float(value)] for text, value in references],
        },
        ("value", "low", "high"),
        _render,
    )


def printed(table: Table, spec: FigureSpec, row: int) -> str:
    """The value as it is printed at a bar."""
    value = number(table, spec, row, "value")
    if value is None:
        return "–"
    if table.kinds[table.index(spec.columns["value"])] == "integer":
        return f"{int(value):{'+' if spec.options['signed'] else ''},}".replace("-", "−")
    return number_text(value, spec.options["digits"], spec.options["signed"]).replace("-", "−")


def _render(table: Table, spec: FigureSpec, canvas: Canvas) -> str:
    names = series_names(table, spec)
    places: Place = {}
    for row in spec.rows:
        bars_of_label = places.setdefault(label(table, spec, row, "label"), {})
        name = label(table, spec, row, "group")
        if name in bars_of_label:
            raise UnweaveError(
                f"rows {bars_of_label[name]} and {row} of table {table.name!r} would draw one bar "
                f"({label(table, spec, row, 'label')!r}{', ' + repr(name) if name else ''}): give a group or use where"
            )
        bars_of_label[name] = row
    drawn = [number(table, spec, row, role) for row in spec.rows for role in ("value", "low", "high")]
    known = [value for value in drawn if value is not None] + [value for _, value in spec.options["references"]]
    if all(number(table, spec, row, "value") is None for row in spec.rows):
        known = []
    axis = make_axis(known, zero=True, count=4 if canvas.width == NARROW else 6)
    top = draw_head(canvas, spec, names, lambda series, x, y: canvas.bar(series, x, y - 5, 18, 10))
    draw = _horizontal if spec.options["orientation"] == "horizontal" else _vertical
    height = draw(table, spec, canvas, places, names, axis, top)
    roles = f"{spec.columns['value']} by {spec.columns['label']}"
    grouped = f", a bar for each {spec.columns['group']}" if "group" in spec.columns else ""
    return canvas.finish(height, spec.title or roles, describe(spec, f"Bars of {roles}{grouped}."), len(names))


def _horizontal(
    table: Table, spec: FigureSpec, canvas: Canvas, places: Place, names: list[str], axis: Axis, top: float
) -> float:
    narrow = canvas.width == NARROW
    thick, gap = (17.0, 9.0) if len(names) == 1 else (14.0, 3.0)
    between = 0.0 if len(names) == 1 and not narrow else 14.0
    values = [printed(table, spec, row) for row in spec.rows]
    intervals = [interval(table, spec, row) if not narrow else "" for row in spec.rows]
    value_width = max(map(text_width, values))
    interval_width = max(text_width(text, 11) for text in intervals)
    right = canvas.width - value_width - 14 - (interval_width + 10 if interval_width else 0)
    half_tick = text_width(axis.labels[0]) / 2
    label_width = min(max(text_width(name, 12.5) for name in places), 210.0)
    axis = axis.between(half_tick + 2 if narrow else label_width + max(12.0, half_tick), right - half_tick)
    value_x = right + 14 + value_width
    top += 16 if spec.options["references"] else 4
    box = Box(axis.start, axis.end, top, top)
    y = top + 5
    slots: list[tuple[float, int, int]] = []
    labels: list[tuple[str, float]] = []
    for name, rows in places.items():
        if narrow:
            labels.append((name, y + 11))
            y += 18
        else:
            count = len([series for series in names if series in rows])
            labels.append((name, y + (count * (thick + gap) - gap) / 2 + 4.5))
        for series, group in enumerate(names):
            if group in rows:
                slots.append((y, series, rows[group]))
                y += thick + gap
        y += between
    bottom = y - between - gap + 6
    box = Box(axis.start, axis.end, top, bottom)
    below = draw_x_axis(canvas, axis, top, bottom, axis_title(table, spec, "value", spec.options["value_label"]))
    canvas.add("line", "zero", x1=axis.place(0), x2=axis.place(0), y1=top, y2=bottom)
    for name, baseline in labels:
        size, most = (12.5 * BOLD, 1) if narrow else (12.5, 2)
        lines = wrap(name, canvas.width if narrow else label_width + 2, size, most)
        first = baseline - 7.5 * (len(lines) - 1)
        anchor, x = ("start", 0.0) if narrow else ("end", label_width)
        canvas.lines("category halo" + (" head" if narrow else ""), lines, x, first, 15, text_anchor=anchor)
    for y, series, row in slots:
        value, middle = number(table, spec, row, "value"), y + thick / 2
        if value is not None:
            start, end = sorted((axis.place(0), axis.place(value)))
            canvas.bar(series, start, y, end - start, thick, data_row=str(row))
            low, high = number(table, spec, row, "low"), number(table, spec, row, "high")
            if low is not None and high is not None:
                a, b = axis.place(low), axis.place(high)
                path = "".join(f"M{x:.4f} {middle - 3.5:.4f}L{x:.4f} {middle + 3.5:.4f}" for x in (a, b))
                for class_ in ("under", "whisker"):
                    canvas.add("path", class_, d=f"M{a:.4f} {middle:.4f}L{b:.4f} {middle:.4f}{path}", data_row=str(row))
        text = printed(table, spec, row)
        canvas.add("text", "value", text, x=value_x, y=middle + 4, text_anchor="end", data_row=str(row))
        if not narrow and interval(table, spec, row):
            text = interval(table, spec, row)
            canvas.add("text", "interval", text, x=canvas.width, y=middle + 4, text_anchor="end", data_row=str(row))
    draw_references(canvas, spec.options["references"], axis, True, box)
    return bottom + below


def _vertical(
    table: Table, spec: FigureSpec, canvas: Canvas, places: Place, names: list[str], axis: Axis, top: float
) -> float:
    left = max(map(text_width, axis.labels)) + 12
    top += 14
    box = Box(left, canvas.width, top + 12, top + (240 if canvas.width == NARROW else 300))
    axis = axis.between(box.bottom, box.top)
    title = axis_title(table, spec, "value", spec.options["value_label"])
    draw_y_axis(canvas, axis, box.left, box.right, title, top - 2)
    canvas.add("line", "zero", x1=box.left, x2=box.right, y1=axis.place(0), y2=axis.place(0))
    band = (box.right - box.left) / len(places)
    slot = min(band * 0.82 / len(names), 46.0)
    roomy = all(text_width(printed(table, spec, row), 11) <= slot + 2 for row in spec.rows)
    most_lines = 1
    for index, (name, rows) in enumerate(places.items()):
        middle = box.left + band * (index + 0.5)
        lines = wrap(name, band - 6, 12.5, most=3)
        most_lines = max(most_lines, len(lines))
        canvas.lines("category", lines, middle, box.bottom + 20, 15, text_anchor="middle")
        first = middle - slot * len(names) / 2
        for series, group in enumerate(names):
            if group in rows:
                _standing(table, spec, canvas, axis, series, rows[group], first + slot * series, slot, roomy)
    draw_references(canvas, spec.options["references"], axis, False, box)
    return box.bottom + 28 + 15 * (most_lines - 1)


def _standing(
    table: Table,
    spec: FigureSpec,
    canvas: Canvas,
    axis: Axis,
    series: int,
    row: int,
    x: float,
    slot: float,
    roomy: bool,
) -> None:
    value, middle, text = number(table, spec, row, "value"), x + slot / 2, printed(table, spec, row)
    ends = [number(table, spec, row, role) for role in ("low", "high")]
    reach = [axis.place(end) for end in (0.0, value, *ends) if end is not None]
    if value is not None:
        high, low = sorted((axis.place(0), axis.place(value)))
        canvas.bar(series, x + slot * 0.06, high, slot * 0.88, low - high, data_row=str(row))
        if None not in ends:
            a, b = (axis.place(end) for end in ends if end is not None)
            caps = "".join(f"M{middle - 3.5:.4f} {y:.4f}L{middle + 3.5:.4f} {y:.4f}" for y in (a, b))
            for class_ in ("under", "whisker"):
                canvas.add("path", class_, d=f"M{middle:.4f} {a:.4f}L{middle:.4f} {b:.4f}{caps}", data_row=str(row))
    if roomy:
        y = max(reach) + 14 if value is not None and value < 0 else min(reach) - 5
        canvas.add("text", "value halo", text, x=middle, y=y, text_anchor="middle", data_row=str(row))


def interval(table: Table, spec: FigureSpec, row: int) -> str:
    """The interval as it is printed at a bar, or nothing."""
    ends = [number(table, spec, row, role) for role in ("low", "high")]
    if None in ends:
        return ""
    digits, signed = spec.options["digits"], spec.options["signed"]
    return " to ".join(number_text(end, digits, signed) for end in ends if end is not None).replace("-", "−")
