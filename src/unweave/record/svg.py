"""A small SVG writer: text stays text, colours are CSS variables with a light and a dark value."""

from __future__ import annotations

import re
import unicodedata
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Blue, vermillion, green, purple, ochre, grey, brown, ink: told apart in the common kinds of colour blindness, each at
# least 3:1 against its paper (Okabe and Ito, "Color Universal Design", 2008, darkened on light and lightened on dark).
LIGHT = ("#0068a8", "#cf5700", "#00795c", "#a8478a", "#a87000", "#66717c", "#8a3a22", "#20262c")
DARK = ("#5fb2ee", "#f28f54", "#41c9a0", "#e39bcb", "#eabf55", "#a9b4bf", "#d69a86", "#f3f5f7")
SERIES = 16
# How much wider semi-bold text runs than the estimate of plain text.
BOLD = 1.12
FONT = 'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif'


def _variables(paper: str, ink: str, soft: str, grid: str, axis: str, series: tuple[str, ...]) -> str:
    numbered = "".join(f"--c{number}:{colour};" for number, colour in enumerate(series))
    return f".uw{{--paper:{paper};--ink:{ink};--soft:{soft};--grid:{grid};--axis:{axis};{numbered}}}"


STYLE = "".join(
    (
        _variables("#ffffff", "#1b2127", "#55606b", "#e4e8ec", "#8b959f", LIGHT),
        "@media (prefers-color-scheme:dark){",
        _variables("#14181c", "#e9ecef", "#a7b1bb", "#2c333a", "#77828d", DARK),
        "}@media print{",
        _variables("#ffffff", "#000000", "#444444", "#dddddd", "#777777", LIGHT),
        "}",
        f".uw{{max-width:100%;height:auto;font:12px {FONT};font-variant-numeric:tabular-nums}}",
        ".uw text{fill:var(--ink)}.uw .paper{fill:var(--paper)}",
        ".uw .title{font-size:15px;font-weight:600}.uw .category{font-size:12.5px}.uw .head{font-weight:600}",
        ".uw .tick-label,.uw .axis-label,.uw .interval,.uw .column,.uw .reference-label{fill:var(--soft)}",
        ".uw .interval,.uw .reference-label,.uw .column{font-size:11px}",
        ".uw .tick{stroke:var(--grid);stroke-width:1}.uw .zero{stroke:var(--axis);stroke-width:1.25}",
        ".uw .reference{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 3}",
        ".uw .halo{paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round}",
        "".join(f".uw .s{number}{{--c:var(--c{number % len(LIGHT)})}}" for number in range(SERIES)),
        ".uw .bar{stroke:var(--c);stroke-width:1}.uw .solid{fill:var(--c)}.uw .hollow{fill:var(--paper)}",
        ".uw .tint{fill:var(--c);fill-opacity:.16}.uw .hatch{stroke:var(--c);stroke-width:1.7;fill:none}",
        ".uw .dots{fill:var(--c)}.uw .under{stroke:var(--paper);stroke-opacity:.75;stroke-width:3.25;fill:none}",
        ".uw .whisker{stroke:var(--ink);stroke-width:1.25;fill:none}",
        ".uw .spread{stroke:var(--c);stroke-width:1.25;fill:none;stroke-opacity:.75}",
        ".uw .curve{stroke:var(--c);stroke-width:2;fill:none;stroke-linejoin:round}",
        ".uw .band{fill:var(--c);fill-opacity:.13;stroke:none}.uw .leader{stroke:var(--axis);stroke-width:.75}",
        ".uw .point{stroke:var(--c);stroke-width:1.75}",
    )
)

# Hatching by series, so that bars differ without colour; the first is solid, those from the ninth on are hollow too.
_HATCHES = (
    "",
    '<path class="hatch" d="M-1.5 1.5L1.5 -1.5M0 6L6 0M4.5 7.5L7.5 4.5"/>',
    '<circle class="dots" cx="1.7" cy="1.7" r="1.1"/><circle class="dots" cx="4.7" cy="4.7" r="1.1"/>',
    '<path class="hatch" d="M-1.5 4.5L1.5 7.5M0 0L6 6M4.5 -1.5L7.5 1.5"/>',
    '<path class="hatch" d="M0 1.5H6M0 4.5H6"/>',
    '<path class="hatch" d="M0 0L6 6M0 6L6 0"/>',
    '<path class="hatch" d="M1.5 0V6M4.5 0V6"/>',
    '<path class="hatch" d="M0 1.5H6M1.5 0V6"/>',
)

# What XML 1.0 cannot hold, and marks that reorder the text around them.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
_NARROW, _WIDE = "iljtfrI.,;:'|!()[] /-", "mwMWQO@%—+−"


def clean(text: str) -> str:
    """``text`` with every character that XML cannot hold, or that reorders its surroundings, shown as a box."""
    return _FORBIDDEN.sub("\ufffd", text)


def coordinate(value: float) -> str:
    """A coordinate to a ten-thousandth of a unit."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def text_width(text: str, size: float = 12) -> float:
    """An estimate of a text's width in the widest of the common sans-serif fonts, so that it fits in all of them."""
    total = 0.0
    for character in text:
        if unicodedata.combining(character):
            continue
        if unicodedata.east_asian_width(character) in "WF":
            total += 1.0
        else:
            total += (
                0.38 if character in _NARROW else 0.95 if character in _WIDE else 0.71 if character.isupper() else 0.62
            )
    return total * size


def wrap(text: str, width: float, size: float = 12, most: int = 2) -> list[str]:
    """``text`` in at most ``most`` lines no wider than ``width``; what does not fit ends in ``…``."""
    lines: list[str] = [""]
    for word in " ".join(clean(text).split()).split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return [shorten(line, width, size) for line in lines]


def shorten(text: str, width: float, size: float = 12) -> str:
    """``text``, cut and ended with ``…`` where it is wider than ``width``."""
    text = clean(text)
    if text_width(text, size) <= width:
        return text
    used, kept = text_width("…", size), ""
    for character in text:
        used += text_width(character, size)
        if used > width:
            break
        kept += character
    return kept.rstrip() + "…"


class Canvas:
    """Collects elements top to bottom; ``finish`` puts them into a titled, described, scalable SVG."""

    def __init__(self, width: float, key: str) -> None:
        self.width = width
        self.key = key
        self._parts: list[str] = []

    def add(self, tag: str, class_: str = "", text: str | None = None, /, **attributes: float | str | None) -> None:
        """One element; numbers become coordinates, ``_`` in a name becomes ``-``, ``None`` leaves it out."""
        self._parts.append(_open(tag, class_, attributes) + (f">{escape(clean(text))}</{tag}>" if text else "/>"))

    def lines(
        self, class_: str, lines: list[str], x: float, y: float, step: float, **attributes: float | str | None
    ) -> None:
        """Text in several lines, the first with its baseline at ``y``."""
        spans = "".join(
            f'<tspan x="{coordinate(x)}" y="{coordinate(y + number * step)}">{escape(line)}</tspan>'
            for number, line in enumerate(lines)
        )
        self._parts.append(f"{_open('text', class_, attributes)}>{spans}</text>")

    @contextmanager
    def group(self, class_: str) -> Iterator[None]:
        """Elements added inside belong to one ``<g>``."""
        self._parts.append(f'<g class="{escape(class_)}">')
        yield
        self._parts.append("</g>")

    def bar(
        self, series: int, x: float, y: float, width: float, height: float, **attributes: float | str | None
    ) -> None:
        """A bar or a swatch in the series' colour and hatching."""
        fill = {"fill": f"url(#{self.key}-p{series})"} if series else {}
        class_ = f"bar s{series}" + ("" if series else " solid")
        self.add("rect", class_, x=x, y=y, width=width, height=height, **fill, **attributes)

    def finish(self, height: float, title: str, description: str, series: int) -> str:
        """The whole document, with the hatchings of ``series`` series."""
        key, width = self.key, coordinate(self.width)
        patterns = "".join(
            f'<pattern id="{key}-p{number}" width="6" height="6" patternUnits="userSpaceOnUse"><g class="s{number}">'
            f'<rect class="{"tint" if number < len(_HATCHES) else "hollow"}" width="6" height="6"/>'
            f"{_HATCHES[number % len(_HATCHES)]}</g></pattern>"
            for number in range(1, series)
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="uw" role="img" aria-labelledby="{key}-t {key}-d" '
            f'width="{width}" height="{coordinate(height)}" viewBox="0 0 {width} {coordinate(height)}">'
            f'<title id="{key}-t">{escape(clean(title))}</title><desc id="{key}-d">{escape(clean(description))}</desc>'
            f"<style>{STYLE}</style><defs>{patterns}</defs>"
            f'<rect class="paper" width="{width}" height="{coordinate(height)}"/>'
            f"{''.join(self._parts)}</svg>\n"
        )


def _open(tag: str, class_: str, attributes: dict[str, float | str | None]) -> str:
    written = [f' class="{escape(class_)}"'] if class_ else []
    for name, value in attributes.items():
        if value is not None:
            shown = value if isinstance(value, str) else coordinate(value)
            written.append(f' {name.replace("_", "-")}="{escape(clean(shown))}"')
    return f"<{tag}{''.join(written)}"
