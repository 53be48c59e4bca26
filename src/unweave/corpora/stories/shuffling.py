"""A story's sentences in another order."""

from __future__ import annotations

from dataclasses import replace

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.corpora.stories.value import Story


def shuffled(story: Story, seed: int = 0) -> Story:
    """The story with its sentences in a random order that is not its own; kind ``shuffled`` and no arc.

    Every order but the story's is as likely as any other. Each sentence keeps the gold that it had in its place: that
    is what the arc of a reader who takes sentences one by one would follow, and not what a person would feel who reads
    them in this order. Raises ``UnweaveError`` for a story of which there is only one order.
    """
    if len({sentence.text for sentence in story.sentences}) < 2:
        raise UnweaveError(f"story {story.id!r} has one sentence, which has no other order: give a longer story")
    generator = numpy_generator(seed, "shuffled story", story.id)
    order = story.sentences
    while [sentence.text for sentence in order] == [sentence.text for sentence in story.sentences]:
        order = tuple(story.sentences[index] for index in generator.permutation(len(story.sentences)))
    return replace(
        story, id=f"{story.id}-shuffled-{seed}", arc=None, kind="shuffled", source_id=story.id, sentences=order
    )
