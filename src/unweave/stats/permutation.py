"""What chance alone produces: maxima under shuffling, and sign flips of paired differences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.stats.bootstrap import finite_vector, paired

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_BLOCK = 1 << 20


class NullTest(NamedTuple):
    """``p`` of an observation under the null, and whether it exceeds every null maximum."""

    p: float
    exceeds: bool


def exceeds_null(observed: float, null_maxima: ArrayLike) -> NullTest:
    """Compares ``observed`` with the maxima (n,) found in n shuffles, each over everything that was searched.

    ``p = (1 + number of maxima >= observed) / (1 + n)``, so it is never zero, and taking maxima corrects it for the
    search. Source: Phipson and Smyth, 2010; Westfall and Young, 1993.
    """
    maxima = finite_vector(null_maxima, "null maxima")
    if not math.isfinite(observed):
        raise UnweaveError(f"the observed value is {observed}: only a finite value can be compared with the null")
    reached = int((maxima >= observed).sum())
    return NullTest((1 + reached) / (1 + len(maxima)), reached == 0)


def max_null_threshold(null_maxima: ArrayLike, level: float = 0.95) -> float:
    """The value above which an observation has ``p <= 1 - level`` in ``exceeds_null``.

    Raises ``UnweaveError`` when there are too few shuffles for any observation to reach that: 19 are needed for 0.95.
    """
    maxima = np.sort(finite_vector(null_maxima, "null maxima"))[::-1]
    if not 0 < level < 1:
        raise UnweaveError(f"level {level} is not between 0 and 1: use 0.95")
    # The small addition undoes the rounding of 1 - level: 0.05 * 20 must count as 1.
    allowed = math.floor((1 - level) * (1 + len(maxima)) + 1e-9) - 1
    if allowed < 0:
        needed = math.ceil(1 / (1 - level) - 1e-9) - 1
        raise UnweaveError(f"{len(maxima)} shuffles cannot reach level {level}: run at least {needed}")
    return float(maxima[min(allowed, len(maxima) - 1)])


def sign_flip_test(before: ArrayLike, after: ArrayLike, seed: int = 0, flips: int = 9999) -> float:
    """Two-sided p that the mean of ``after - before`` (n,) is zero, by flipping the signs of the pairs at random.

    With at most 13 pairs all sign patterns are counted and the p is exact. Source: Fisher, 1935, section 21.
    """
    differences = paired(before, after)
    count = len(differences)
    target = abs(differences.sum()) * (1 - 1e-12)
    if count <= 13:
        patterns = (np.arange(1 << count)[:, None] >> np.arange(count)) & 1
        return float((np.abs((1 - 2 * patterns) @ differences) >= target).mean())
    generator = numpy_generator(seed, "sign_flip_test")
    reached = 0
    step = max(1, _BLOCK // count)
    for start in range(0, flips, step):
        signs = generator.integers(2, size=(min(step, flips - start), count)) * 2 - 1
        reached += int((np.abs(signs @ differences) >= target).sum())
    return (1 + reached) / (1 + flips)
