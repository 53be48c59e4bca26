"""Feelings found in states and pushed into a target."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import EMOTIONS, Sentence, Story
from unweave.read.stream import stream_states
from unweave.shapes.stories.readings import StoryReadings
from unweave.shapes.stories.steering import (
    fit_steering,
    perplexity,
    random_steering,
    similarity,
    steered_answers,
)
from unweave.shapes.stories.text import encode_text

WIDTH = 32


def planted(noise: float = 0.1) -> tuple[StoryReadings, np.ndarray]:
    """States in which fear moves one way, happiness another, and a topic a third that says nothing of either."""
    generator = np.random.default_rng(0)
    axes = np.linalg.qr(generator.standard_normal((WIDTH, 3)))[0].T
    stories, states = [], []
    for number in range(8):
        topic = ("sea", "farm")[number % 2]
        told = []
        for at in range(6):
            level = 1.0 if (at + number) % 2 else 0.0
            told.append(Sentence("x.", 1 - 2 * level, {"fear": level, "happiness": 1 - level}))
            state = level * axes[0] + (1 - level) * axes[1] + 9 * (number % 2) * axes[2]
            states.append(state + noise * generator.standard_normal(WIDTH))
        stories.append(Story(str(number), "", None, topic, "arc", None, tuple(told), "Mia"))
    block = np.stack(states).astype(np.float32)[:, None].repeat(2, 1)
    return StoryReadings(tuple(stories), block, (1, 2), {}, {}), axes


@pytest.mark.parametrize(("way", "least"), [("difference", 0.99), ("probe", 0.5)])
def test_the_direction_of_a_feeling_is_found_and_a_topic_is_none(way, least):
    readings, axes = planted(0.03)
    found = fit_steering(readings, "fear", (1, 2), way)
    expected = (axes[0] - axes[1]) / np.sqrt(2)
    for vector in found.vectors.values():
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        assert vector @ expected > least
        assert abs(vector @ axes[2]) < 0.1
    opposite = fit_steering(readings, "valence", (1, 2), way)
    alike = similarity({"fear": found, "valence": opposite})
    assert alike[0, 0] == pytest.approx(1, abs=1e-6)
    assert alike[0, 1] < -0.9


def test_a_dose_is_a_share_of_the_states_norm():
    readings, _ = planted()
    found = fit_steering(readings, "fear", (2,))
    norm = np.linalg.norm(readings.at(2), axis=1).mean()
    assert float(found.dosed(-2, 0.1)[2].norm()) == pytest.approx(0.2 * norm, rel=1e-5)
    chance = random_steering(found, 3)
    assert float(chance.dosed(2, 0.1)[2].norm()) == pytest.approx(0.2 * norm, rel=1e-5)
    assert abs(chance.vectors[2] @ found.vectors[2]) < 0.6
    assert (random_steering(found, 3).vectors[2] == chance.vectors[2]).all()
    assert not (random_steering(found, 4).vectors[2] == chance.vectors[2]).all()


def test_feelings_that_cannot_be_found_are_refused():
    readings, _ = planted()
    with pytest.raises(UnweaveError, match="no feeling is named 'feer'"):
        fit_steering(readings, "feer", (1,))
    with pytest.raises(UnweaveError, match="0 sentences with anger"):
        fit_steering(readings, "anger", (1,))


class Seen:
    """A readout that reads a state: what is added below the last block shows in it."""

    def emotions(self, target, text):
        tokens = text.passages[0].tokens
        places: Sequence[int] = [end - 1 for end in text.passages[0].ends]
        return stream_states(target, [tokens], [places], [3])[:, 0, : len(EMOTIONS)].astype(np.float64), {}

    def valence(self, emotions):
        return emotions[:, 0]


def test_a_dose_changes_what_is_read_and_none_changes_nothing(llama):
    texts = [encode_text(llama, ["Mia sat.", "Mia ran."]), encode_text(llama, ["Mia fell."], "Mia")]
    readings, _ = planted()
    steering = fit_steering(readings, "fear", (1, 2))
    plain = steered_answers(llama, Seen(), texts, texts, steering, 0.0, 0.1)
    again, pushed = (steered_answers(llama, Seen(), texts, texts, steering, dose, 0.1) for dose in (0.0, 2.0))
    assert plain.emotions.shape == (2, 6)
    assert plain.valence.shape == (2,)
    np.testing.assert_array_equal(plain.emotions, again.emotions)
    assert np.abs(pushed.emotions - plain.emotions).max() > 0.01
    assert pushed.perplexity != plain.perplexity
    assert plain.emotions[0] == pytest.approx(Seen().emotions(llama, texts[0])[0].mean(0))


def test_perplexity_is_of_every_token_but_the_first(llama):
    text = encode_text(llama, ["Mia sat.", "Mia ran."])
    tokens = torch.tensor([text.passages[0].tokens])
    loss = torch.nn.functional.cross_entropy(llama.logits(tokens)[0, :-1], tokens[0, 1:])
    assert perplexity(llama, [text]) == pytest.approx(float(loss.exp()), rel=1e-4)
