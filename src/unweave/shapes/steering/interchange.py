"""Where another question's state brings its answer: early at the token that is asked about, late at the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.base.seeds import numpy_generator
from unweave.models.target import Target
from unweave.read.patch import PatchedPrompt
from unweave.read.stream import depths, stream_states
from unweave.shapes.steering.target_system import Answers, Position, Tokenised
from unweave.stats.bootstrap import Interval
from unweave.stats.proportion import wilson_interval

POSITIONS: tuple[Position, ...] = ("entity", "last")
PLATEAU = 0.9
"""Of the best interchange accuracy inside: depths that have as much are where states are replaced."""


@dataclass(frozen=True)
class Scan:
    """Interchange accuracy by position and depth, over one and the same pairs of questions."""

    accuracy: dict[Position, tuple[Interval, ...]]

    def place(self, layers: int = 3, position: Position | None = None) -> tuple[Position, tuple[int, ...]]:
        """The position with the larger mean accuracy inside, and the first, middle ... last depth of its plateau.

        The mean is over all depths inside, and not over each position's best ones, on purpose. A token's state is all
        that is known of it where it has just come in, and all of the answer where that is about to be said: at its
        best depths either position reaches how often the model is right, so that a comparison there is of noise (in
        SmolLM2's days .78 and .83 over three depths, of 32 interchanges each) and may leave a single depth. Over all
        depths it is how long the value stays where it can be replaced, which tells them apart.

        Inside leaves out the embedding and the last depth, where an interchange is one of words or of whole answers
        and so must work. Depths of the plateau have ``PLATEAU`` of the best accuracy or more. A given position is taken
        as it is. Raises ``UnweaveError`` where no interchange works.
        """
        means: dict[Position, np.ndarray] = {
            at: np.array([each.mean for each in found[1:-1]]) for at, found in self.accuracy.items()
        }
        chosen: Position = position or max(means, key=lambda at: float(means[at].mean()))
        inside = means[chosen]
        if not inside.max() > 0:
            raise UnweaveError(
                f"no interchange at the {chosen} token changes the answer: nothing there is to be steered"
            )
        plateau = np.flatnonzero(inside >= PLATEAU * inside.max()) + 1
        picked = np.unique(np.round(np.linspace(0, len(plateau) - 1, layers)).astype(int))
        return chosen, tuple(int(plateau[each]) for each in picked)


def interchange_scan(
    target: Target,
    questions: Sequence[Tokenised],
    answers: Answers,
    bases: int = 8,
    sources: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> Scan:
    """How often a question is answered as another is whose state was put in its place, at each position and depth.

    ``bases`` questions are drawn, and for each ``sources`` others with other right answers; an interchange succeeds
    where the likeliest value is the right answer of the question that the state comes from. Questions should be used
    for nothing else. The Wilson interval takes interchanges as independent, which those of one base are not quite.
    Source: Geiger et al., "Causal abstractions of neural networks", 2021 (interchange intervention accuracy).
    """
    progress = progress or Silent()
    right = np.array([each.answer for each in questions])
    if len(set(right.tolist())) < 2:
        raise UnweaveError(f"{len(questions)} questions with one right answer: give two or more")
    generator = numpy_generator(seed, "interchange")
    known = list(depths(target))
    hits = {position: np.zeros(len(known), int) for position in POSITIONS}
    tokens = [each.tokens for each in questions]
    states = stream_states(target, tokens, [[each.at(position) for position in POSITIONS] for each in questions])
    states = states.reshape(len(questions), len(POSITIONS), *states.shape[1:])
    drawn = generator.permutation(len(questions))[:bases]
    for number, into in enumerate(drawn):
        others = generator.permutation(np.flatnonzero(right != right[into]))
        # Some questions have fewer others than that; one may then come twice.
        source = np.resize(others, sources)
        for offset, position in enumerate(POSITIONS):
            prompt = PatchedPrompt(target, tokens[into], questions[into].at(position))
            for place, depth in enumerate(known):
                found = prompt.log_probabilities(depth, states[source, offset, place], answers.tokens)
                said = answers.probabilities(found)[:, :-1].argmax(1)
                hits[position][place] += int((said == right[source]).sum())
        progress.update(number + 1, len(drawn), "questions interchanged")
    trials = len(drawn) * sources
    return Scan({at: tuple(wilson_interval(int(each), trials) for each in hits[at]) for at in POSITIONS})
