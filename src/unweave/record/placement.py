"""Labels beside points, moved until they cover neither each other nor a point."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from unweave.record.svg import Canvas, shorten, text_width

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unweave.record.figure import Box

Rectangle = tuple[float, float, float, float]

_SIZE = 12.0
_RINGS = (9.0, 18.0, 30.0, 44.0)
_TURNS = (0.0, 180.0, 90.0, 270.0, 45.0, 315.0, 135.0, 225.0)


def place_labels(canvas: Canvas, points: Mapping[int, tuple[float, float]], texts: Mapping[int, str], box: Box) -> None:
    """Writes each point's label at the nearest free place, with a thin leader where that is not beside the point."""
    taken: list[Rectangle] = [(x - 6, y - 6, x + 6, y + 6) for x, y in points.values()]
    chosen: list[tuple[int, str, Rectangle, float]] = []
    # The most crowded points have the fewest free places, so they choose first.
    for row in sorted(points, key=lambda one: -_crowding(points[one], points.values())):
        text = shorten(texts[row], 190, _SIZE)
        candidates = [
            (_overlap(rectangle, taken, box) + ring * 0.2 + preference * 0.01, ring, rectangle)
            for ring in _RINGS
            for preference, turn in enumerate(_TURNS)
            for rectangle in [_beside(points[row], text_width(text, _SIZE), ring, turn)]
        ]
        _, ring, rectangle = min(candidates, key=lambda candidate: candidate[0])
        taken.append(rectangle)
        chosen.append((row, text, rectangle, ring))
    for row, _, (left, top, right, bottom), ring in chosen:
        if ring > _RINGS[0]:
            x, y = points[row]
            near_x, near_y = min(max(x, left), right), min(max(y, top), bottom)
            reach = math.hypot(near_x - x, near_y - y) or 1.0
            start = (x + (near_x - x) / reach * 6, y + (near_y - y) / reach * 6)
            canvas.add("line", "leader", x1=start[0], y1=start[1], x2=near_x, y2=near_y)
    for row, text, (left, top, _, _), _ in chosen:
        canvas.add("text", "label halo", text, x=left, y=top + 11, data_row=str(row))


def _beside(point: tuple[float, float], width: float, ring: float, turn: float) -> Rectangle:
    across, up = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    x, y = point[0] + across * ring, point[1] - up * ring
    left = x if across > 0.1 else x - width if across < -0.1 else x - width / 2
    top = y - 14 if up > 0.1 else y if up < -0.1 else y - 7
    return left, top, left + width, top + 14


def _crowding(point: tuple[float, float], others: object) -> float:
    return sum(1 / (20 + math.dist(point, other)) for other in others)  # type: ignore[attr-defined]


def _overlap(rectangle: Rectangle, taken: list[Rectangle], box: Box) -> float:
    left, top, right, bottom = rectangle
    covered = sum(
        max(0.0, min(right, other[2]) - max(left, other[0])) * max(0.0, min(bottom, other[3]) - max(top, other[1]))
        for other in taken
    )
    outside = max(0.0, box.left - left) + max(0.0, right - box.right - 20) + max(0.0, box.top - top - 8)
    return covered + 40 * (outside + max(0.0, bottom - box.bottom))
