"""The target's own replies about the mean of their prompt: where a predictor learns what goes with what."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64

from unweave.preferences.evidence import Evidence
from unweave.preferences.predictors.prompts import Prompts


def no_prompt_twice(evidence: Evidence) -> str | None:
    """What is lacking where the target answered no prompt twice, so that nothing varies within one."""
    groups = evidence.reference_groups
    if len(np.unique(groups)) < len(groups):
        return None
    return (
        f"the target's {len(groups)} own replies answer as many prompts, so nothing varies within a prompt: sample "
        "each prompt 2 times or more"
    )


def differences(evidence: Evidence) -> Float32[np.ndarray, "n m"]:
    """Chosen less rejected, in units of the target's own spread."""
    found = evidence.chosen.values - evidence.rejected.values
    found /= evidence.spread
    return found


def own_variation(evidence: Evidence, prompts: Prompts) -> Float32[np.ndarray, "s m"]:
    """The target's own replies, each less the mean of its prompt, in units of the target's own spread."""
    return prompts.centred(evidence.reference.values) / evidence.spread


def slopes(
    products: Float64[np.ndarray, "... m"], squares: Float64[np.ndarray, "... m"]
) -> Float64[np.ndarray, "... m"]:
    """Least-squares slopes from sums of products and of squares; 0 where what they are slopes on does not vary."""
    return np.divide(products, squares, out=np.zeros_like(products), where=squares > 1e-12)
