"""The six shapes of a story's valence (Reagan, Mitchell, Kiley, Danforth and Dodds 2016), and which one a path has."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from unweave.base.errors import UnweaveError, nearest

Arc = Literal["rise", "fall", "fall-rise", "rise-fall", "rise-fall-rise", "fall-rise-fall"]
ARCS: tuple[Arc, ...] = get_args(Arc)
_TURNS = {"rise": 1, "fall": 1, "fall-rise": 2, "rise-fall": 2, "rise-fall-rise": 3, "fall-rise-fall": 3}
LEAST_SENTENCES = 4


def arc_curve(arc: str, sentences: int) -> Float[np.ndarray, " sentences"]:
    """The template of an arc at equal steps from a story's first sentence to its last, in [-1, 1].

    A half, one or one and a half periods of a cosine, which begins low for the arcs that rise first. Reagan et al. got
    their six from a singular value decomposition of novels; its first three modes and their negatives have these
    shapes, and cosines have them in closed form. Raises ``UnweaveError`` for an unknown arc and for fewer than four
    sentences, on which the shapes cannot be told apart.
    """
    if arc not in ARCS:
        raise UnweaveError(f"arc {arc!r} is not one of the six; {nearest(str(arc), ARCS)}")
    if sentences < LEAST_SENTENCES:
        raise UnweaveError(f"{sentences} sentences have no arc: give at least {LEAST_SENTENCES}")
    sign = -1.0 if arc.startswith("rise") else 1.0
    return sign * np.cos(np.pi * _TURNS[arc] * np.linspace(0.0, 1.0, sentences))


def arc_fits(path: Float[np.ndarray, " sentences"]) -> dict[Arc, float]:
    """Pearson's correlation of a path with each arc's template; all 0 for a path that does not move.

    Raises ``UnweaveError`` for values that are not finite and for a path that is too short.
    """
    path = np.asarray(path, np.float64)
    if path.ndim != 1 or not np.isfinite(path).all():
        raise UnweaveError(f"a path of shape {path.shape} is not a row of finite numbers: give one value a sentence")
    curves: dict[Arc, np.ndarray] = {arc: arc_curve(arc, len(path)) for arc in ARCS}
    if np.ptp(path) == 0:
        return dict.fromkeys(ARCS, 0.0)
    return {arc: float(np.corrcoef(path, curve)[0, 1]) for arc, curve in curves.items()}


def nearest_arc(path: Float[np.ndarray, " sentences"]) -> Arc | None:
    """The arc whose template a path correlates with best; None for a path that does not move."""
    fits = arc_fits(path)
    return max(fits, key=lambda arc: fits[arc]) if any(fits.values()) else None
