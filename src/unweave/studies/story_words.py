"""Words of feeling beside the six emotions in ``story-arc``: what the readout says of each that people rated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from unweave.record.run import Run
    from unweave.shapes.stories.readings import StoryReadings
    from unweave.studies.story_arc import StoryArc
    from unweave.studies.story_reading import Read

CELLS = "word-scores"
FEWEST_WORDS = 8
"""With fewer there is little that the six emotions' distances do not say."""


def keep_words(run: Run, config: StoryArc, read: Read, tested: StoryReadings) -> None:
    """Keeps the scores of rated words after every sentence of the tested stories, where the first readout has them.

    They were asked for when the stories were read. A run that is gone on with asks again about the stories that were
    read before it stopped, unless it had come so far as to keep them here.
    """
    from unweave.shapes.stories.forced_choice import ForcedChoiceReadout
    from unweave.shapes.stories.text import read_story

    readout = read.readouts[config.readouts[0]]
    if not isinstance(readout, ForcedChoiceReadout):
        return
    if len(readout.words) < FEWEST_WORDS:
        run.progress.say(
            f"{len(readout.words)} of the words that people rated are single tokens of {read.target.name}, and "
            f"{FEWEST_WORDS} are needed: distances of words are left out"
        )
        return
    known = run.cells(CELLS)
    for story in tested.stories:
        if story.id not in known:
            run.stop_if_cancelled()
            scores = readout.word_scores(read.target, read_story(read.target, story, config.window))
            run.put_cell(CELLS, story.id, {"words": list(readout.words), "scores": scores.tolist()})


def kept_words(run: Run, tested: StoryReadings) -> tuple[list[str], np.ndarray] | None:
    """The words, and their scores [n, w] after every sentence of the tested stories; None where none were kept."""
    import numpy as np

    known: dict[str, dict[str, Any]] = run.cells(CELLS)
    if not known:
        return None
    rows = [known[story.id] for story in tested.stories]
    return list(rows[0]["words"]), np.concatenate([np.array(row["scores"], np.float64) for row in rows])
