"""The forced-choice readout: which words of feeling a target expects where a sentence would name one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import EMOTIONS
from unweave.models.target import Target
from unweave.shapes.stories.branches import Prompt, branch_log_probabilities
from unweave.shapes.stories.human import VALENCE_AROUSAL
from unweave.shapes.stories.text import Text, continued
from unweave.shapes.stories.valence import valence_of

FRAMES = (
    " {name} was filled with",
    " {name}'s eyes were full of",
    " {name}'s heart was full of",
    " {name} could not help but feel",
)
"""What a sentence goes on with. Chosen, as the words were, on the bundled stories about cooking and school."""
WORDS: dict[str, tuple[str, ...]] = {
    "surprise": (
        "surprise", "amazement", "astonishment", "wonder", "shock", "surprised", "amazed", "shocked", "stunned",
        "puzzled", "curious",
    ),
    "disgust": (
        "disgust", "disgusted", "sick", "nauseous", "repulsed", "revolted", "ill", "horrified", "filthy", "foul",
        "rotten",
    ),
    "anger": (
        "anger", "rage", "fury", "hate", "resentment", "angry", "furious", "mad", "annoyed", "irritated", "upset",
        "bitter",
    ),
    "happiness": (
        "joy", "happiness", "pride", "hope", "gratitude", "relief", "delight", "excitement", "love", "happy", "glad",
        "proud", "cheerful", "pleased",
    ),
    "sadness": (
        "sadness", "grief", "sorrow", "despair", "tears", "loneliness", "regret", "sad", "lonely", "miserable",
        "unhappy", "hopeless",
    ),
    "fear": (
        "fear", "terror", "dread", "panic", "anxiety", "worry", "scared", "afraid", "frightened", "terrified",
        "nervous", "worried",
    ),
}  # fmt: skip
MOST_KEPT = 1024
"""Texts whose scores of single words are kept; the oldest go first, since a server reads texts without end."""


def emotion_tokens(tokenizer: Any, words: Mapping[str, Sequence[str]] = WORDS) -> dict[str, tuple[int, ...]]:
    """The first token of each emotion's words, as they follow a word; one that two emotions share is nobody's.

    Raises ``UnweaveError`` for an emotion that is left without a token.
    """
    firsts = {
        name: {piece[0] for piece in (continued(tokenizer, f" {word}") for word in words[name]) if piece}
        for name in EMOTIONS
    }
    found = {}
    for name in EMOTIONS:
        own = firsts[name].difference(*(firsts[other] for other in EMOTIONS if other != name))
        if not own:
            raise UnweaveError(
                f"the tokenizer begins every word for {name} like one for another emotion: give it other words"
            )
        found[name] = tuple(sorted(own))
    return found


def rated_tokens(tokenizer: Any) -> dict[str, int]:
    """The words whose valence and arousal people rated and that the tokenizer writes, after a word, as one token.

    Of a word that it splits, the first token begins too many others to stand for it.
    """
    written = {word: continued(tokenizer, f" {word}") for word in VALENCE_AROUSAL}
    return {word: pieces[0] for word, pieces in written.items() if len(pieces) == 1}


@dataclass(frozen=True)
class ForcedChoiceReadout:
    """How much likelier a target finds each emotion's words after a sentence than after one in which nobody feels.

    A word is known by its first token, which other words may begin with too.
    Source of the calibration: Zhao et al., "Calibrate before use", 2021, here with neutral sentences for content-free
    text and as a difference of logs.
    """

    tokens: dict[str, tuple[int, ...]]
    neutral: Float64[np.ndarray, "frames tokens"]
    """Mean log-probability of each token after each frame in neutral texts: of the emotions', then of ``words``."""
    words: dict[str, int]
    """Words on their own (``rated_tokens``), which are asked for beside the emotions' in the same forward."""
    _first: dict[Text, Float64[np.ndarray, "n words"]] = field(default_factory=dict, repr=False, compare=False)

    def emotions(self, target: Target, text: Text) -> tuple[Float64[np.ndarray, "n 6"], dict[str, float]]:
        """Mean calibrated log-probability of each emotion's words less the mean over emotions, in nats.

        ``word mass`` says what probability all words had together, on average.
        """
        every = _every(self.tokens)
        found = _asked(target, text, [*every, *self.words.values()])
        calibrated = (found - self.neutral).mean(1)
        self._first.setdefault(text, _centred(calibrated[:, len(every) :]))
        if len(self._first) > MOST_KEPT:
            del self._first[next(iter(self._first))]
        column = {token: number for number, token in enumerate(every)}
        scores = np.stack(
            [calibrated[:, [column[token] for token in self.tokens[name]]].mean(1) for name in EMOTIONS], axis=1
        )
        return _centred(scores), {"word mass": float(np.exp(found[:, :, : len(every)]).sum(2).mean())}

    def word_scores(self, target: Target, text: Text) -> Float64[np.ndarray, "n words"]:
        """Calibrated log-probability of each of ``words`` less the mean over words, in nats.

        Of the first time that ``emotions`` read the text, so that it costs no forward; a text that was never read is
        read now. Steer only after this was asked: what was added to the target at that first time is in it.
        """
        if text not in self._first:
            self.emotions(target, text)
        return self._first[text]

    def valence(self, emotions: Float64[np.ndarray, "n 6"]) -> Float64[np.ndarray, " n"]:
        """Happiness less the mean of anger, disgust, sadness and fear, in nats."""
        return valence_of(emotions)


def forced_choice_readout(target: Target, neutral: Sequence[Text]) -> ForcedChoiceReadout:
    """The readout with its baseline from some texts in which nothing is felt. Raises ``UnweaveError`` for none."""
    if not neutral:
        raise UnweaveError("the forced-choice readout is calibrated on neutral texts: give one or more")
    tokens, words = emotion_tokens(target.tokenizer), rated_tokens(target.tokenizer)
    found = np.concatenate([_asked(target, text, [*_every(tokens), *words.values()]) for text in neutral])
    return ForcedChoiceReadout(tokens, found.mean(0, dtype=np.float64), words)


def _centred(scores: Float64[np.ndarray, "n w"]) -> Float64[np.ndarray, "n w"]:
    return scores - scores.mean(1, keepdims=True) if scores.shape[1] else scores


def _every(tokens: Mapping[str, Sequence[int]]) -> list[int]:
    return [token for name in EMOTIONS for token in tokens[name]]


def _asked(target: Target, text: Text, tokens: Sequence[int]) -> Float32[np.ndarray, "n frames tokens"]:
    frames = [tuple(continued(target.tokenizer, frame.format(name=text.protagonist))) for frame in FRAMES]
    return np.concatenate(
        [
            branch_log_probabilities(
                target, passage.tokens, [Prompt(end, frame) for end in passage.ends for frame in frames], tokens
            ).reshape(len(passage.ends), len(frames), -1)
            for passage in text.passages
        ]
    )
