"""Uniform random numbers as a function of what they are for: seed, step, sample, position and column.

A counter-based generator keeps no state. A resumed run, a run on another device, and a run dealt over several processes
draw the same numbers for the same sample, and inside a compiled step the numbers are made where they are used.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.seeds import derive

_WORD = 0xFFFFFFFF


def key(seed: int, *purpose: object) -> Int[Tensor, ""]:
    """The 32-bit key of one purpose, such as the masks of one site at one step."""
    return torch.tensor(derive(seed, *purpose) & _WORD)


def mixed(word: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """A bijection of 32-bit words in which every input bit moves about half of the output bits.

    Two rounds of xor-shift and multiplication (the family of C. Wellons, "Prospecting for Hash Functions", 2018). Kept
    in 64 bits with multipliers below 2^31, so that nothing overflows and every device gives the same words.
    """
    word = (word ^ (word >> 16)) * 0x21F0AAAD & _WORD
    word = (word ^ (word >> 15)) * 0x735A2D97 & _WORD
    return word ^ (word >> 15)


def words(key: Int[Tensor, ""], *counters: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """A 32-bit word for each combination of counters, which broadcast against each other."""
    found = mixed(key)
    for place, counter in enumerate(counters):
        # A constant a place apart, so that (1, 2) and (2, 1) are other combinations.
        found = mixed(found ^ (counter * 2 + 1) * (0x2C1B3C6D + 2 * place) & _WORD)
    return found


def uniforms(key: Int[Tensor, ""], *counters: Int[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Numbers in [0, 1), multiples of 2^-24, one for each combination of counters."""
    return (words(key, *counters) >> 8).to(torch.float32) * 2.0**-24


def uniform_rows(
    key: Int[Tensor, ""], samples: Int[Tensor, " n"], inner: Sequence[int], columns: int
) -> Float[Tensor, "n *inner columns"]:
    """``columns`` numbers for every row: rows are samples, and positions within them when ``inner`` is not empty."""
    counters = [samples.view(-1, *[1] * len(inner), 1)]
    for place, size in enumerate(inner):
        after = len(inner) - place
        counters.append(torch.arange(size, device=samples.device).view(-1, *[1] * after))
    counters.append(torch.arange(columns, device=samples.device))
    return uniforms(key, *counters)
