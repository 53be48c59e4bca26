"""Feelings pushed into a target: vectors added to its stream over several depths, and what it then says is felt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import numpy_generator
from unweave.corpora.stories import EMOTIONS
from unweave.models.target import Target
from unweave.read.stream import added
from unweave.shapes.stories.readings import StoryReadings
from unweave.shapes.stories.readouts import Readout
from unweave.shapes.stories.text import Text

VALENCE = "valence"
FEELINGS = (VALENCE, *EMOTIONS)
Way = Literal["difference", "probe"]
STRONG, WEAK = 0.5, 0.1
"""Gold from which an emotion is there, and up to which it is not; for valence, from STRONG up and from -STRONG down."""
FEWEST = 3
"""Sentences on either side."""


@dataclass(frozen=True)
class Steering:
    """A unit vector for each of some depths, and the mean norm of the states there."""

    name: str
    vectors: Mapping[int, Float32[np.ndarray, " d"]]
    norms: Mapping[int, float]

    def dosed(self, dose: float, strength: float) -> dict[int, Float[Tensor, " d"]]:
        """What is added at each depth: ``dose`` times ``strength`` times the mean norm there."""
        return {
            layer: torch.from_numpy(np.float32(dose * strength * self.norms[layer]) * vector)
            for layer, vector in self.vectors.items()
        }


@dataclass(frozen=True)
class SteeredAnswers:
    """What is read of some texts under one dose. Means over each text's sentences, in the readout's own unit."""

    emotions: Float64[np.ndarray, "s 6"]
    valence: Float64[np.ndarray, " s"]
    perplexity: float
    """Of texts that have nothing to do with it."""


def fit_steering(readings: StoryReadings, feeling: str, layers: Sequence[int], way: Way = "difference") -> Steering:
    """The direction of a feeling at each depth, from states whose gold has it and those whose gold has it not.

    ``difference`` is the difference of their means; ``probe`` the weights of a ridge regression of the gold on all
    states, its penalty chosen by leaving sentences out. States are taken less their topic's mean first. Raises
    ``UnweaveError`` for an unknown feeling, and for fewer than three sentences on either side.
    """
    if feeling not in FEELINGS:
        raise UnweaveError(f"no feeling is named {feeling!r}; {nearest(feeling, FEELINGS)}")
    is_valence = feeling == VALENCE
    gold = readings.gold_valence if is_valence else readings.gold_emotions[:, EMOTIONS.index(feeling)]  # type: ignore[arg-type]
    with_it, without = gold >= STRONG, gold <= (-STRONG if is_valence else WEAK)
    if min(with_it.sum(), without.sum()) < FEWEST:
        raise UnweaveError(
            f"{int(with_it.sum())} sentences with {feeling} and {int(without.sum())} without: a direction "
            f"needs {FEWEST} of each"
        )
    vectors, norms = {}, {}
    for layer in layers:
        states = readings.at(layer).astype(np.float64)
        norms[layer] = float(np.linalg.norm(states, axis=1).mean())
        for topic in np.unique(readings.topic):
            states[readings.topic == topic] -= states[readings.topic == topic].mean(0)
        found = _ridge(states, gold) if way == "probe" else states[with_it].mean(0) - states[without].mean(0)
        vectors[layer] = (found / np.linalg.norm(found)).astype(np.float32)
    return Steering(feeling, vectors, norms)


def random_steering(like: Steering, seed: int) -> Steering:
    """One random unit vector at all the depths of another steering, with its norms: what any push of that size does."""
    width = len(next(iter(like.vectors.values())))
    vector = numpy_generator(seed, "random steering").standard_normal(width)
    vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return Steering(f"random {seed}", dict.fromkeys(like.vectors, vector), like.norms)


def steered_answers(
    target: Target,
    readout: Readout,
    texts: Sequence[Text],
    neutral: Sequence[Text],
    steering: Steering,
    dose: float,
    strength: float,
) -> SteeredAnswers:
    """Reads texts while a dose is added at every position; at dose 0 nothing is added."""
    with added(target, steering.dosed(dose, strength) if dose else {}):
        emotions = [readout.emotions(target, text)[0] for text in texts]
        surprise = perplexity(target, neutral)
    return SteeredAnswers(
        np.stack([each.mean(0) for each in emotions]),
        np.array([readout.valence(each).mean() for each in emotions]),
        surprise,
    )


def perplexity(target: Target, texts: Sequence[Text]) -> float:
    """exp of the mean negative log-likelihood of a token, each text's first left out."""
    total, count = 0.0, 0
    for text in texts:
        for passage in text.passages:
            tokens = torch.tensor([passage.tokens])
            with torch.no_grad():
                logs = target.logits(tokens)[0, :-1].float().log_softmax(1)
            own = logs.gather(1, tokens[0, 1:, None].to(logs.device))
            total, count = total - float(own.sum()), count + len(own)
    return float(np.exp(total / count))


def similarity(steerings: Mapping[str, Steering]) -> Float64[np.ndarray, "c c"]:
    """Mean cosine over depths of every two of some directions."""
    stacked = np.stack([np.stack(list(each.vectors.values())) for each in steerings.values()]).astype(np.float64)
    return np.einsum("cld,eld->ce", stacked, stacked) / stacked.shape[1]


def _ridge(states: Float64[np.ndarray, "n d"], gold: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " d"]:
    from sklearn.linear_model import RidgeCV

    size = float((states**2).sum(1).mean())
    return np.asarray(RidgeCV(alphas=size * np.logspace(-2, 2, 9)).fit(states, gold).coef_)
