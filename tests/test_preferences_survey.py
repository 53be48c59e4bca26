from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from preference_world import evidence, random_world

from unweave.base.files import save_tensors
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.preferences import survey
from unweave.preferences.predictors.registry import predict
from unweave.preferences.truth.answers import Answered, Question
from unweave.preferences.truth.sampling import Reply

PROMPTS, SAMPLES, PAIRS, TAKEN = 5, 3, 6, 2


def test_the_unit_of_a_predicted_gradient_is_one_spread_of_each_column(tmp_path, monkeypatch):
    known = evidence(random_world(0, 4), PAIRS, 1, prompts=PROMPTS, samples=SAMPLES)
    # A column of large numbers and one of small ones: what is divided by the spread twice, or never, shows.
    scaled = {
        side: replace(getattr(known, side), values=getattr(known, side).values * np.float32([100, 1, 1, 0.01]))
        for side in ("chosen", "rejected", "reference")
    }
    known = replace(known, **scaled)
    generator = np.random.default_rng(2)
    own = generator.normal(size=(PROMPTS * TAKEN, 7)).astype(np.float32)
    both = generator.normal(size=(2 * PAIRS, 7)).astype(np.float32)
    (tmp_path / "gradients").mkdir()
    for name, held in (("own", own), ("pairs-digest", both)):
        save_tensors({"gradients": torch.from_numpy(held)}, tmp_path / "gradients" / f"{name}.safetensors")
    for name in ("encode_prompt", "encode_reply"):
        monkeypatch.setattr(survey, name, lambda *_: [])
    monkeypatch.setattr(survey, "reply_tokens", lambda *_: [])
    turns = (Turn("user", "why"),)
    answers = [Answered(Question("", turns), (Reply((1,), "so", True),) * SAMPLES)] * PROMPTS
    settings = survey.SurveySettings(gradient=True, own_gradients=TAKEN)
    read = survey.Survey(SimpleNamespace(depth=2), tmp_path, answers, settings)
    store = SimpleNamespace(evidence=lambda reference, clusters: known, digest="digest")
    pairs = [PreferencePair(str(number), turns, "yes", "no") for number in range(PAIRS)]
    found = predict(read.evidence(store, SimpleNamespace(rows=PROMPTS * SAMPLES), None, pairs), ["gradient"])[0]

    values = (known.reference.values / known.spread).reshape(PROMPTS, SAMPLES, -1)[:, :TAKEN]
    above = (values - values.mean(1, keepdims=True)).reshape(PROMPTS * TAKEN, -1)
    step = (both[0::2] - both[1::2]).mean(0)
    expected = step / np.linalg.norm(step) @ own.T @ above / len(own)
    assert found.change == pytest.approx(expected, rel=1e-4)
