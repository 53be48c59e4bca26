"""Which tokens of a reply carry a behaviour: those without which it has less of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from unweave.base.errors import UnweaveError
from unweave.models.target import Target
from unweave.preferences.behaviours.registry import score

Tokens = Sequence[int]


def carrying_tokens(
    target: Target, replies: Sequence[Tokens], prompts: Sequence[str], behaviour: str
) -> list[Bool[np.ndarray, " t"]]:
    """Of every token, whether the behaviour's value falls where the token is left out of its reply's text.

    ``prompts`` are the texts of the last user turns. One token is left out at a time: of a behaviour that is 0 or 1 and
    carried twice, nothing is found, and of a mean (the length of words) all tokens that lie above it are.
    """
    if target.tokenizer is None:
        raise UnweaveError(f"{target.name} has no tokenizer, and tokens have to become text: make the target with one")
    found = []
    for reply, prompt in zip(replies, prompts, strict=True):
        tokens = list(reply)
        shortened = [tokens, *(tokens[:at] + tokens[at + 1 :] for at in range(len(tokens)))]
        texts = [target.tokenizer.decode(each, skip_special_tokens=True) for each in shortened]
        values = score(texts, [prompt] * len(texts), [behaviour])[:, 0]
        found.append(values[1:] < values[0] - 1e-6 * max(1.0, abs(float(values[0]))))
    return found
