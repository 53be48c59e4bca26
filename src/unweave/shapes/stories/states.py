"""What a target holds in mind after every sentence: the residual stream at the sentence's last token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from unweave.base.progress import Progress
from unweave.models.target import Target
from unweave.read.stream import depths, stream_states
from unweave.shapes.stories.text import Text


def story_states(
    target: Target, texts: Sequence[Text], layers: Sequence[int] | None = None, progress: Progress | None = None
) -> Float32[np.ndarray, "n l d"]:
    """The stream at each sentence's last token at some depths (all by default), texts concatenated in order.

    No question is asked: the text is read once, and the state is that of a reader who has come so far. Raises
    ``UnweaveError`` for a depth that is not there.
    """
    passages = [passage for text in texts for passage in text.passages]
    return stream_states(
        target,
        [passage.tokens for passage in passages],
        [[end - 1 for end in passage.ends] for passage in passages],
        depths(target) if layers is None else layers,
        progress,
    )
