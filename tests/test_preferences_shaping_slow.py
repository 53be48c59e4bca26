"""A tiny target really trained: what it learns unshaped it learns less of, shaped."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from shaping_world import BEHAVIOUR, MOONS, WORDS, answers, encoded, sentence, setting

from unweave.base.seeds import numpy_generator
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.edit.edits import applied
from unweave.preferences.behaviours import registry as behaviours
from unweave.preferences.encoding import encode_prompt
from unweave.preferences.shaping import behaviour_scores, fit_token_probe, shape
from unweave.preferences.truth.dpo import DPOSettings, train_dpo
from unweave.preferences.truth.sampling import sample_replies

pytestmark = pytest.mark.slow
OTHERS = [word for word in WORDS if word != "moon"]


@pytest.fixture(autouse=True)
def moons(monkeypatch):
    monkeypatch.setattr(behaviours, "_BEHAVIOURS", {**behaviours.all_behaviours(), MOONS: BEHAVIOUR})


def taught(count=24):
    """In every other pair the chosen reply says moon in each second place; otherwise replies are alike."""
    generator = numpy_generator(0, "taught")
    found = []
    for number in range(count):
        chosen = generator.choice(OTHERS, 6)
        if number % 2:
            chosen[::2] = "moon"
        turns = (Turn("user", f"{number} {sentence(generator)}"),)
        found.append(PreferencePair(str(number), turns, " ".join(chosen), sentence(generator, 7, OTHERS)))
    return tuple(found)


def test_what_is_shaped_away_is_learnt_less(llama):
    pairs = taught()
    scores = behaviour_scores(pairs, MOONS)
    probe = fit_token_probe(llama, 0, MOONS, answers(llama, prompts=24))
    given = setting(
        llama,
        pairs=pairs,
        rows=encoded(llama, pairs),
        scores=scores,
        shares=scores.chosen - scores.rejected,
        probe=probe,
        beta=0.1,
    )
    questions = [encode_prompt(llama, each.question.turns) for each in answers(llama, prompts=40)]
    settings = DPOSettings(0.1, 2e-2, epochs=12, batch=8, at_once=8, rank=8)

    def moons_said(rows=None, policy=nullcontext):
        """In 40 prompts' 16 replies, after training on these rows."""
        edit = train_dpo(llama, rows, settings, policy=policy).adapter if rows is not None else None
        with applied(llama, edit) if edit is not None else nullcontext():
            replies = sample_replies(llama, questions, each=16, most=12, seed=1)
        return np.mean([reply.text.count("moon") for each in replies for reply in each])

    before = moons_said()
    learnt = moons_said(given.rows) - before
    assert learnt > 0.3
    left = {}
    for name, dose in (("row-filter", 0.5), ("token-mask", 1.0), ("reward-shaping", 4.0), ("reward-shaping", -4.0)):
        shaped = shape(name, given, dose)
        left[name, dose] = moons_said(shaped.rows, shaped.policy) - before
    for key in (("row-filter", 0.5), ("token-mask", 1.0), ("reward-shaping", 4.0)):
        assert left[key] < learnt / 2, (left, learnt)
    assert left["reward-shaping", -4.0] > learnt
