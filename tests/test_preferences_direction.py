"""Directions, scores along them, tokens that carry a behaviour and the probe for them: planted ones are found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shaping_world import BEHAVIOUR, MOONS, answers, pairs, setting

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs.value import Turn
from unweave.preferences.behaviours import registry as behaviours
from unweave.preferences.encoding import encode_prompt, encode_reply
from unweave.preferences.shaping import (
    PairScores,
    behaviour_scores,
    find_direction,
    fit_token_probe,
    projection_scores,
)
from unweave.preferences.shaping.direction import _auroc
from unweave.preferences.shaping.states import reply_states
from unweave.preferences.shaping.token_labels import carrying_tokens
from unweave.preferences.truth.answers import Answered, Question
from unweave.preferences.truth.sampling import Reply

LAYER = 1


@pytest.fixture(autouse=True)
def moons(monkeypatch):
    monkeypatch.setattr(behaviours, "_BEHAVIOURS", {**behaviours.all_behaviours(), MOONS: BEHAVIOUR})


def moons_in(given):
    return np.array([reply.text.count("moon") for each in given for reply in each.replies], float)


def test_states_are_those_of_a_reply_alone(target):
    given = setting(target)
    prompts = [row.prompt for row in given.rows]
    replies = [row.chosen for row in given.rows]
    replies[2] = ()
    found = dict(reply_states(target, 3, prompts, replies, rows=4))
    assert sorted(found) == [0, 1, 3, 4, 5]
    for index, states in found.items():
        alone = target.hidden_before(3, torch.tensor([[*prompts[index], *replies[index]]]))[0, len(prompts[index]) :]
        np.testing.assert_allclose(states, alone.detach().numpy(), atol=1e-4)


def test_a_direction_tells_replies_of_other_prompts_apart_and_a_random_one_does_not(llama):
    given = answers(llama, prompts=60)
    found, control = find_direction(llama, 0, MOONS, given, moons_in(given))
    assert found.auroc > 0.9
    assert abs(control.auroc - 0.5) < 0.25
    for each in (found, control):
        assert np.linalg.norm(each.vector) == pytest.approx(1, abs=1e-5)
    assert found.stream == control.stream
    assert found.held_out == control.held_out
    turned, _ = find_direction(llama, 0, MOONS, given, -moons_in(given))
    np.testing.assert_allclose(turned.vector, -found.vector, atol=1e-6)


def test_a_direction_is_the_difference_of_means_within_prompts(llama):
    """Against a plain sum over the prompts that it is found on, which are those a held-out one is not among."""
    given = answers(llama, prompts=3)
    values = moons_in(given)
    found, _ = find_direction(llama, LAYER, MOONS, given, values)
    differences = []
    for number, each in enumerate(given):
        prompt = encode_prompt(llama, each.question.turns)
        means = []
        for reply in each.replies:
            hidden = llama.hidden_before(LAYER, torch.tensor([[*prompt, *reply.tokens]]))[0, len(prompt) :]
            means.append(hidden.mean(0).detach().numpy())
        mine = values[number * 6 : number * 6 + 6]
        high, low = mine > mine.mean(), mine < mine.mean()
        differences.append(np.mean(np.array(means)[high], 0) - np.mean(np.array(means)[low], 0))
    candidates = [sum(differences) - each for each in differences]
    cosines = [float(each @ found.vector / np.linalg.norm(each)) for each in candidates]
    assert max(cosines) == pytest.approx(1, abs=1e-4)
    assert sorted(cosines)[1] < 0.999


def test_the_auroc_knows_nothing_of_what_prompts_differ_by():
    prompt = np.repeat([0, 1], 4)
    side = np.array([1, 1, -1, -1, 1, -1, -1, -1])
    assert _auroc(np.array([3, 2, 1, 0, 103, 102, 101, 100.0]), side, prompt) == 1
    assert _auroc(np.array([0, 1, 2, 3, 100, 101, 102, 103.0]), side, prompt) == 0
    assert _auroc(np.zeros(8), side, prompt) == 0.5
    assert _auroc(np.array([3, 0, 1, 2, 0, 0, 0, 0.0]), side, prompt) == pytest.approx((2 + 1.5) / 7)


def test_directions_that_cannot_be_found_are_refused(llama):
    given = answers(llama, prompts=3)
    with pytest.raises(UnweaveError, match="0 of 3 prompts differ"):
        find_direction(llama, LAYER, MOONS, given, np.ones(18))
    with pytest.raises(UnweaveError, match="5 values"):
        find_direction(llama, LAYER, MOONS, given, np.ones(5))
    silent = [Answered(each.question, (*each.replies, Reply((), "", True))) for each in given]
    values = np.insert(moons_in(given), [6, 12, 18], 99)
    find_direction(llama, LAYER, MOONS, silent, values)


def test_scores_are_standard_over_both_sides(llama):
    given = pairs()
    scores = behaviour_scores(given, MOONS)
    counts = np.array([[pair.chosen.count("moon"), pair.rejected.count("moon")] for pair in given], float)
    wanted = (counts - counts.mean()) / counts.std()
    np.testing.assert_allclose(np.stack([scores.chosen, scores.rejected], 1), wanted, atol=1e-6)
    np.testing.assert_allclose(scores.shares(2.0), (counts[:, 0] - counts[:, 1]) / 2 / len(counts), atol=1e-6)
    with pytest.raises(UnweaveError, match="the same for all 12 replies"):
        PairScores.standardised("x", np.ones(6), np.ones(6))

    known = setting(llama)
    direction = known.direction
    found = projection_scores(llama, known.rows, direction)
    highest = []
    for row in known.rows:
        for reply in (row.chosen, row.rejected):
            hidden = llama.hidden_before(direction.layer, torch.tensor([[*row.prompt, *reply]]))
            highest.append((hidden[0, len(row.prompt) :].detach().numpy() @ direction.vector).max())
    highest = np.array(highest).reshape(-1, 2)
    wanted = (highest - highest.mean()) / highest.std()
    np.testing.assert_allclose(np.stack([found.chosen, found.rejected], 1), wanted, atol=1e-4)


def test_tokens_carry_what_falls_without_them(llama):
    texts = ["the moon on the mat", "moon moon", "the cat", ""]
    replies = [encode_reply(llama, text) for text in texts]
    found = carrying_tokens(llama, replies, [""] * 4, MOONS)
    for text, reply, carries in zip(texts, replies, found, strict=True):
        kept = [token for token, each in zip(reply, carries, strict=True) if each]
        assert set(llama.tokenizer.decode(kept)) <= set(" moon")
        assert carries.any() == ("moon" in text)
    assert not any(each[-1] for each in found)


def test_the_probe_finds_the_tokens_that_carry(llama):
    given = answers(llama, prompts=24)
    probe = fit_token_probe(llama, 0, MOONS, given)
    assert probe.f1 > 0.8
    assert probe.auroc > 0.95
    assert 0.1 < probe.carrying < 0.2
    other = answers(llama, prompts=25)[-1]
    prompt = encode_prompt(llama, other.question.turns)
    replies = [reply.tokens for reply in other.replies]
    labels = carrying_tokens(llama, replies, [""] * len(replies), MOONS)
    right = [
        (probe.read(states) >= 0) == labels[index]
        for index, states in reply_states(llama, 0, [prompt] * len(replies), replies)
    ]
    assert np.concatenate(right).mean() > 0.8
    again = fit_token_probe(llama, 0, MOONS, given)
    np.testing.assert_array_equal(again.weights, probe.weights)
    fewer = fit_token_probe(llama, 0, MOONS, given, most=probe.tokens // 2)
    assert fewer.tokens < probe.tokens


def test_a_probe_of_nothing_is_refused(llama):
    said = Reply(tuple(encode_reply(llama, "the mat", ended=False)), "the mat", True)
    silent = [Answered(Question("", (Turn("user", str(n)),)), (said,)) for n in range(5)]
    with pytest.raises(UnweaveError, match="replies to 0 of 5 prompts"):
        fit_token_probe(llama, LAYER, MOONS, silent)
