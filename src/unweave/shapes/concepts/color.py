"""Colours as ``#rrggbb``: their hue, and their place in CIELAB, where distances are about what eyes see."""

from __future__ import annotations

import colorsys
import re

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.distances import linear, metric

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
"""D65, two-degree observer."""
_KNEE = 6 / 29


def is_hex(value: object) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def rgb(code: str) -> tuple[float, float, float]:
    """Shares of red, green and blue in [0, 1]; raises ``UnweaveError`` for anything but ``#rrggbb``."""
    if not is_hex(code):
        raise UnweaveError(f"{code!r} is no colour: give #rrggbb, such as #1e90ff")
    red, green, blue = (int(code[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def hue(code: str) -> float:
    """The hue of HSL in degrees, in [0, 360); 0 for a grey, which has none."""
    return colorsys.rgb_to_hls(*rgb(code))[0] * 360


def saturation(code: str) -> float:
    """The saturation of HSL, in [0, 1]."""
    return colorsys.rgb_to_hls(*rgb(code))[2]


def lightness(code: str) -> float:
    """The lightness of CIELAB, in [0, 100]."""
    return float(lab(code)[0])


def lab(code: str) -> Float64[np.ndarray, " 3"]:
    """L*, a* and b* of an sRGB colour. Source: IEC 61966-2-1 (sRGB); CIE 15:2004, section 8.2.1 (CIELAB)."""
    given = np.array(rgb(code))
    linear_light = np.where(given <= 0.04045, given / 12.92, ((given + 0.055) / 1.055) ** 2.4)
    ratio = _TO_XYZ @ linear_light / _WHITE
    x, y, z = np.where(ratio > _KNEE**3, np.cbrt(ratio), ratio / (3 * _KNEE**2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@metric("lab")
def lab_distance(colors: Float64[np.ndarray, "w 3"]) -> Float64[np.ndarray, "w w"]:
    """The difference of 1976: Euclid's distance in CIELAB."""
    return linear(colors)
