"""The direct readout: the target is asked for a rating from 0 to 10, and its whole distribution of answers is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import EMOTIONS
from unweave.corpora.windows import start_token
from unweave.models.target import Target
from unweave.shapes.stories.branches import Prompt, branch_log_probabilities
from unweave.shapes.stories.text import Text, continued
from unweave.shapes.stories.valence import valence_of

LARGEST = 10
QUESTION = (
    "\n\nThat is the story so far. On a scale from 0 (not at all) to 10 (as strongly as can be), how strongly does "
    "{name} feel {emotion} right now? Answer with one number."
)
ANSWER = "The number is"
"""Put into the target's mouth: of six beginnings the one with the most probability on numbers (.82, and .13 without),
tried on the bundled stories about cooking and school."""
_STORY = "\x02story\x03"


@dataclass(frozen=True)
class Scale:
    """How a tokenizer writes the answers 0 to 10: for each, its spellings as tokens, with and without a space."""

    spellings: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def prefixes(self) -> tuple[tuple[int, ...], ...]:
        """What stands before a token of some spelling; the empty one first."""
        found = {spelling[:length] for one in self.spellings for spelling in one for length in range(len(spelling))}
        return tuple(sorted(found, key=lambda prefix: (len(prefix), prefix)))

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(sorted({token for one in self.spellings for spelling in one for token in spelling}))

    def masses(self, next_token: Float64[np.ndarray, "n prefixes tokens"]) -> Float64[np.ndarray, "n 11"]:
        """Probability of each answer, from those of ``tokens`` after each of ``prefixes``.

        An answer that another one begins with, as 1 begins 10 where digits are single tokens, has its own probability
        only where it is not gone on with: p(10) = p(1) p(0 | 1), and that is taken off p(1).
        """
        place = {prefix: number for number, prefix in enumerate(self.prefixes)}
        column = {token: number for number, token in enumerate(self.tokens)}

        def probability(spelling: tuple[int, ...]) -> np.ndarray:
            steps = [next_token[:, place[spelling[:at]], column[token]] for at, token in enumerate(spelling)]
            return np.prod(steps, axis=0)

        every = {spelling for one in self.spellings for spelling in one}
        masses = np.zeros((len(next_token), len(self.spellings)))
        for answer, spellings in enumerate(self.spellings):
            for spelling in spellings:
                longer = [one for one in every if len(one) > len(spelling) and one[: len(spelling)] == spelling]
                masses[:, answer] += probability(spelling) - sum(map(probability, longer))
        return masses


def answer_scale(tokenizer: object) -> Scale:
    """The spellings of 0 to 10. Raises ``UnweaveError`` for a tokenizer that writes two of them the same."""
    spellings = []
    for number in range(LARGEST + 1):
        written = (
            tuple(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])  # type: ignore[operator]
            for text in (str(number), f" {number}")
        )
        spellings.append(tuple(dict.fromkeys(written)))
    every = [spelling for one in spellings for spelling in one]
    if len(set(every)) < len(every) or not all(every):
        raise UnweaveError("the tokenizer writes two of the numbers 0 to 10 alike: use the forced-choice readout")
    return Scale(tuple(spellings))


@dataclass(frozen=True)
class DirectReadout:
    """Ratings that a target gives when it is asked; a number is what it expects its answer to be, over 10."""

    scale: Scale
    head: tuple[int, ...]
    tail: tuple[int, ...]
    skipped: int
    """Tokens at the beginning of a passage that ``head`` has already."""

    def emotions(self, target: Target, text: Text) -> tuple[Float64[np.ndarray, "n 6"], dict[str, float]]:
        """y = sum of i p(i) / 10 over the 11 answers, for each sentence and emotion, and the mass of the answers.

        p is renormalised over the answers; ``digit mass`` says what they had together, on average.
        """
        questions = [
            (*continued(target.tokenizer, QUESTION.format(name=text.protagonist, emotion=name)), *self.tail)
            for name in EMOTIONS
        ]
        ratings, mass = [], []
        for passage in text.passages:
            prompts = [
                Prompt(len(self.head) + end - self.skipped, (*question, *prefix))
                for end in passage.ends
                for question in questions
                for prefix in self.scale.prefixes
            ]
            logs = branch_log_probabilities(
                target, (*self.head, *passage.tokens[self.skipped :]), prompts, self.scale.tokens
            )
            shape = (len(passage.ends) * len(EMOTIONS), len(self.scale.prefixes), len(self.scale.tokens))
            masses = self.scale.masses(np.exp(logs.astype(np.float64)).reshape(shape))
            mass.append(masses.sum(1))
            ratings.append((masses / masses.sum(1, keepdims=True) @ _ANSWERS).reshape(-1, len(EMOTIONS)))
        return np.concatenate(ratings), {"digit mass": float(np.concatenate(mass).mean())}

    def valence(self, emotions: Float64[np.ndarray, "n 6"]) -> Float64[np.ndarray, " n"]:
        """Happiness less the mean of anger, disgust, sadness and fear."""
        return valence_of(emotions)


_ANSWERS = np.arange(LARGEST + 1) / LARGEST


def direct_readout(target: Target) -> DirectReadout:
    """Asks through the tokenizer's chat template where it has one, and else after the plain text."""
    head, tail = _around(target)
    # The template puts the start token where it belongs, before everything.
    skipped = int(bool(head) and start_token(target.tokenizer) is not None)
    return DirectReadout(answer_scale(target.tokenizer), head, tail, skipped)


def _around(target: Target) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens before a text and those after the question."""
    tokenizer = target.tokenizer
    if not getattr(tokenizer, "chat_template", None):
        return (), tuple(continued(tokenizer, f"\n{ANSWER}"))
    whole = tokenizer.apply_chat_template(
        [{"role": "user", "content": _STORY}], tokenize=False, add_generation_prompt=True
    )
    before, found, after = whole.partition(_STORY)
    if not found:
        raise UnweaveError(
            f"the chat template of {target.name} changes what a user says: use the forced-choice readout"
        )
    head, tail = (tuple(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in (before, after + ANSWER))
    return head, tail
