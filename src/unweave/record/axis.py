"""Axes: where a value lies on the page, and ticks at round values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic scale from values ``low..high`` to coordinates ``start..end``, with its ticks."""

    low: float
    high: float
    start: float
    end: float
    log: bool
    ticks: tuple[float, ...]
    labels: tuple[str, ...]

    def place(self, value: float) -> float:
        """The coordinate of ``value``."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        share = ((math.log10(value) if self.log else value) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def between(self, start: float, end: float) -> Axis:
        """The same scale on other coordinates."""
        return Axis(self.low, self.high, start, end, self.log, self.ticks, self.labels)


def make_axis(values: Iterable[float], log: bool = False, zero: bool = False, count: int = 6) -> Axis:
    """An axis over ``values`` with about ``count`` ticks; with ``zero`` it includes 0.

    A linear axis has at least four ticks and a logarithmic one three. Raises ``UnweaveError`` for no values, and for
    values at or below zero on a logarithmic one.
    """
    known = sorted(values)
    if not known:
        raise UnweaveError("there is no value to draw: every cell of the chosen rows is missing")
    low, high = known[0], known[-1]
    if max(-low, high) > 1e300 or (log and 0 < low < 1e-300):
        raise UnweaveError(f"values from {low:g} to {high:g} are outside what an axis can show: leave them out")
    if log:
        if low <= 0:
            raise UnweaveError(f"a logarithmic axis cannot show {low:g}: leave such rows out, or use a linear axis")
        return _log_axis(low, high, count)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, 1e-300):
        # One value, or values that print alike: room on both sides, and away from zero for bars.
        room = abs(high) / 2 if size > 1e-300 else 1.0
        low, high = low - room * (not zero), high + room
    room = (high - low) * 0.04
    low, high = low - room * (not zero or low < 0), high + room * (not zero or high > 0)
    ticks, decimals = _round_ticks(low, high, count)
    return Axis(low, high, 0.0, 1.0, False, ticks, tuple(_tick_text(tick, decimals) for tick in ticks))


def _round_ticks(low: float, high: float, count: int) -> tuple[tuple[float, ...], int]:
    # With three ticks it cannot be told which one is wrong: the fourth makes the axis checkable.
    for wanted in range(count, count + 8):
        step = _round_step((high - low) / wanted)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first >= 3:
            break
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return tuple(round(number * step, decimals) for number in range(first, last + 1)), decimals


def _log_axis(low: float, high: float, count: int) -> Axis:
    room = max((math.log10(high) - math.log10(low)) * 0.06, 0.05)
    low, high = 10 ** (math.log10(low) - room), 10 ** (math.log10(high) + room)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = max(1, math.ceil(len(decades) / (count + 1)))
    for mantissas in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        ticks = [
            float(f"{mantissa}e{power}")
            for power in decades
            if power % every == 0
            for mantissa in mantissas
            if low <= float(f"{mantissa}e{power}") <= high
        ]
        if len(ticks) >= 3:
            break
    else:
        ticks = list(_round_ticks(low, high, max(count, 4))[0])
    return Axis(low, high, 0.0, 1.0, True, tuple(ticks), tuple(_tick_text(tick, None) for tick in ticks))


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    mantissa = next(m for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    return float(f"{mantissa}e{round(math.log10(power))}")


def _tick_text(tick: float, decimals: int | None) -> str:
    if abs(tick) >= 1e7 or (decimals or 0) > 5 or (decimals is None and tick < 1e-5):
        text = f"{tick:.12g}"
    elif decimals is None:
        text = f"{tick:,.12f}".rstrip("0").rstrip(".")
    else:
        text = f"{tick:,.{decimals}f}"
    return text.replace("-", "−")
