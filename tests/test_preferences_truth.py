"""Sampling, log-probabilities, DPO and the bench, on the bundled small chat target."""

from __future__ import annotations

import dataclasses
import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.base.files import write_json
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.edit.edits import applied
from unweave.models.load import load_target
from unweave.models.target import identify
from unweave.preferences.encoding import encode_prompt, encode_reply
from unweave.preferences.predictors.gradients import Projection, gradient_effects, reply_gradients
from unweave.preferences.truth.answers import Question, answer_questions, read_answers
from unweave.preferences.truth.bench import Sampling, TruthBench, _fingerprint, _plain
from unweave.preferences.truth.dpo import DPORow, DPOSettings, train_dpo
from unweave.preferences.truth.log_probs import reply_log_probs
from unweave.preferences.truth.references import References
from unweave.preferences.truth.sampling import draw, sample_replies

ASKED = ("How does gravity work?", "Where can I get help with debt?", "How do I cook rice?", "What do owls eat?")


@pytest.fixture(scope="module")
def target():
    return load_target("pupil", device="cpu")


@pytest.fixture(scope="module")
def prompts(target):
    return [encode_prompt(target, (Turn("user", text),)) for text in ASKED]


def test_inversion_draws_each_token_as_often_as_it_is_likely():
    logits = torch.tensor([[0.1, 0.6, 0.3]]).log()
    quantiles = (torch.arange(1000) + 0.5) / 1000
    drawn = draw(logits.expand(1000, 3), quantiles)
    assert torch.bincount(drawn, minlength=3).tolist() == [100, 600, 300]


def test_replies_do_not_depend_on_what_they_are_sampled_with(target, prompts):
    together = sample_replies(target, prompts, each=3, most=12, seed=5)
    apart = sample_replies(target, prompts, each=3, most=12, seed=5, rows=3)
    assert together == apart
    assert sample_replies(target, prompts, each=3, most=12, seed=6) != together


def test_a_sampled_reply_follows_the_targets_own_distribution(target, prompts):
    """Greedy at a temperature near 0, whatever the batch: the argmax of a plain forward at every step."""
    (found,) = sample_replies(target, prompts[:1], each=1, most=8, temperature=1e-4)
    said = list(prompts[0])
    for token in found[0].tokens:
        assert int(target.logits(torch.tensor([said]), [-1])[0, 0].argmax()) == token
        said.append(token)


def test_a_reply_ends_where_the_target_ends_it(target, prompts):
    replies = [reply for each in sample_replies(target, prompts, each=8, most=48) for reply in each]
    assert any(reply.ended for reply in replies)
    end = target.tokenizer.eos_token_id
    assert all(end not in reply.tokens for reply in replies)
    assert all(reply.ended or len(reply.tokens) == 48 for reply in replies)


@pytest.mark.parametrize("wrong", [{"each": 0}, {"most": 0}, {"temperature": 0.0}, {"rows": 0}])
def test_sampling_refuses_what_it_cannot_do(target, prompts, wrong):
    with pytest.raises(UnweaveError, match="greater than 0"):
        sample_replies(target, prompts, **wrong)


def test_an_empty_prompt_is_refused(target):
    with pytest.raises(UnweaveError, match="prompt 0 has no tokens"):
        sample_replies(target, [[]])


def test_log_probabilities_are_those_of_each_reply_alone(target, prompts):
    replies = [encode_reply(target, text) for text in ("It pulls.", "Ask a friend about it, perhaps!", "Boil it.", "")]
    found = reply_log_probs(target, prompts, replies)
    for prompt, reply, chances in zip(prompts, replies, found, strict=True):
        logits = target.logits(torch.tensor([[*prompt, *reply]]))[0].log_softmax(-1)
        own = [float(logits[len(prompt) - 1 + k, token]) for k, token in enumerate(reply)]
        np.testing.assert_allclose(chances, own, atol=2e-5)


def pairs_of(target, prompts):
    liked, other = encode_reply(target, "What a great question!"), encode_reply(target, "It depends on many things.")
    return [(prompt, liked, other) for prompt in prompts]


@pytest.fixture(scope="module")
def rows(target, prompts):
    return References(target).rows(pairs_of(target, prompts) * 4)


SHORT = DPOSettings(epochs=4, batch=8, at_once=4, learning_rate=3e-3)


@pytest.fixture(scope="module")
def trained(target, rows):
    return train_dpo(target, rows, SHORT)


def test_dpo_learns_the_pairs_and_leaves_the_target_as_it_was(target, rows, trained):
    before = target.identity
    assert identify(target.module, target.tokenizer) == before
    assert "forward" not in target.module.__dict__
    assert not any(parameter.requires_grad for parameter in target.module.parameters())
    with applied(target, trained.adapter):
        now = References(target).rows([(row.prompt, row.chosen, row.rejected) for row in rows[:4]])
    for old, new in zip(rows[:4], now, strict=True):
        ratio = new.reference_chosen - new.reference_rejected - old.reference_chosen + old.reference_rejected
        assert ratio > 2


def test_the_first_loss_of_dpo_is_that_of_no_preference(trained):
    assert trained.curve[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert trained.curve[-1]["loss"] < trained.curve[0]["loss"] - 0.1


def test_a_shifted_reference_shifts_the_argument_of_the_loss(target, rows):
    """What reward shaping rests on: ``-ln sigma(beta (D - shift))`` at the first step, where D is 0."""
    shifted = [dataclasses.replace(row, reference_chosen=row.reference_chosen + 5.0) for row in rows]
    curve = train_dpo(target, shifted, dataclasses.replace(SHORT, epochs=1)).curve
    assert curve[0]["loss"] == pytest.approx(math.log1p(math.exp(0.1 * 5.0)), abs=1e-3)


def test_tokens_that_do_not_count_leave_the_loss(target, rows):
    """With the first reply token alone on either side, both references are of that token alone."""
    kept = []
    for row in rows:
        chances = reply_log_probs(target, [row.prompt] * 2, [row.chosen, row.rejected])
        used = [(True, *[False] * (len(side) - 1)) for side in (row.chosen, row.rejected)]
        kept.append(
            dataclasses.replace(
                row,
                reference_chosen=float(chances[0][0]),
                reference_rejected=float(chances[1][0]),
                chosen_used=used[0],
                rejected_used=used[1],
            )
        )
    curve = train_dpo(target, kept, dataclasses.replace(SHORT, epochs=1)).curve
    assert curve[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    whole = [dataclasses.replace(row, chosen_used=None, rejected_used=None) for row in kept]
    assert train_dpo(target, whole, dataclasses.replace(SHORT, epochs=1)).curve[0]["loss"] != pytest.approx(
        math.log(2), abs=1e-2
    )


def test_a_training_is_repeated_by_its_seed(target, rows, trained):
    again = train_dpo(target, rows, SHORT)
    other = train_dpo(target, rows, dataclasses.replace(SHORT, seed=1))
    site = trained.adapter.sites()[0]
    assert torch.equal(again.adapter.low_rank(site)[0], trained.adapter.low_rank(site)[0])
    assert not torch.equal(other.adapter.low_rank(site)[0], trained.adapter.low_rank(site)[0])


def test_training_does_not_touch_the_global_generators(target, rows):
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    train_dpo(target, rows[:8], dataclasses.replace(SHORT, epochs=1))
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002


def test_a_reply_without_a_token_that_counts_is_refused(target):
    row = DPORow((1, 2), (3,), (4,), -1.0, -1.0, chosen_used=(False,))
    with pytest.raises(UnweaveError, match="the chosen reply of row 0 has no token"):
        train_dpo(target, [row], SHORT)


def test_a_stop_leaves_the_target_as_it_was(target, rows):
    def stop():
        raise KeyboardInterrupt

    before = target.identity
    with pytest.raises(KeyboardInterrupt):
        train_dpo(target, rows, SHORT, stop=stop)
    assert identify(target.module, target.tokenizer) == before
    assert "forward" not in target.module.__dict__


def questions():
    return [Question("any", (Turn("user", text),)) for text in ASKED]


def test_answers_go_on_where_they_were_interrupted(target, tmp_path, monkeypatch):
    monkeypatch.setattr("unweave.preferences.truth.answers.QUESTIONS_A_PART", 2)
    whole = answer_questions(target, questions(), tmp_path / "whole.jsonl", 2, 8, 0)
    answer_questions(target, questions()[:2], tmp_path / "part.jsonl", 2, 8, 0)
    assert answer_questions(target, questions(), tmp_path / "part.jsonl", 2, 8, 0) == whole
    assert read_answers(tmp_path / "part.jsonl") == whole
    with pytest.raises(UnweaveError, match="other questions"):
        answer_questions(target, questions()[::-1], tmp_path / "part.jsonl", 2, 8, 0)


def test_replies_are_weighed_once_and_for_one_target_alone(target, prompts, tmp_path, monkeypatch):
    pairs, path = pairs_of(target, prompts), tmp_path / "references.jsonl"
    first = References(target, path).rows(pairs)
    weighed = []
    monkeypatch.setattr(
        "unweave.preferences.truth.references.reply_log_probs",
        lambda target, prompts, replies, **_: [weighed.append(reply) or np.array([-7.0]) for reply in replies],
    )
    assert References(target, path).rows(pairs) == first
    assert not weighed
    other = dataclasses.replace(target, identity=dataclasses.replace(target.identity, weights="others"))
    assert {row.reference_chosen for row in References(other, path).rows(pairs)} == {-7.0}
    assert len(weighed) == 2 * len(pairs)
    assert References(target, path).rows(pairs) == first


def test_the_bench_keeps_a_training_and_refuses_another_under_its_name(target, tmp_path):
    pair = PreferencePair("a", (Turn("user", ASKED[0]),), "What a great question!", "It depends.")
    before = answer_questions(target, questions(), tmp_path / "before.jsonl", 2, 8, 1)
    said = []
    bench = TruthBench(
        target, tmp_path, before, SHORT, Sampling(2, 8), np.array([prompts_row(target)]), stop=lambda: said.append(1)
    )
    rows = bench.rows([pair] * 8)
    first = bench.outcome("one", rows, 0, [pair])
    trained_steps = len(said)
    assert first.margin.mean > 0
    assert first.accuracy.mean == 1
    assert first.perplexity > 1
    again = bench.outcome("one", rows, 0, [pair])
    assert again.after == first.after
    assert len(said) == trained_steps
    with pytest.raises(UnweaveError, match="another training"):
        bench.outcome("one", rows[:4], 0, [pair])
    with pytest.raises(UnweaveError, match="no pair is held out"):
        bench.outcome("two", rows, 0, [])


def test_held_out_pairs_of_one_prompt_count_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr("unweave.preferences.truth.bench.answer_questions", lambda *_: [])
    monkeypatch.setattr("unweave.preferences.truth.bench.load_edit", lambda _: None)
    monkeypatch.setattr("unweave.preferences.truth.bench.applied", lambda *_: nullcontext())
    bench = TruthBench(None, tmp_path, [], SHORT, Sampling(2, 8))
    asked = {"settings": _plain(SHORT), "rows": _fingerprint([]), "policy": ""}
    write_json(tmp_path / "some" / "training.json", {"asked": asked, "curve": [], "tokens": 0, "seconds": 0})
    write_json(tmp_path / "some" / "outcome.json", {"margins": [1.0, 1.0, -2.0], "perplexity": 2.0})
    pairs = [PreferencePair(n, (Turn("user", each),), "yes", "no") for n, each in ("aa", "bb", "cb")]
    found = bench.outcome("some", [], SHORT.seed, pairs)
    assert (found.accuracy.mean, found.margin.mean, found.accuracy.n) == (pytest.approx(2 / 3), 0, 2)


def prompts_row(target):
    return encode_prompt(target, (Turn("user", ASKED[1]),))


def test_gradients_are_those_of_autograd_under_the_same_projection(target, prompts):
    sites = [site.name for site in target.sites("*")][-2:]
    replies = [encode_reply(target, text) for text in ("It pulls.", "Ask somebody.", "Boil it in water.", "Seeds!")]
    projection = Projection(tuple(sites), inputs=4, outputs=5, seed=2)
    found = reply_gradients(target, prompts, replies, projection)
    batched = reply_gradients(target, prompts, replies, projection, rows=1)
    np.testing.assert_allclose(found, batched, atol=1e-4)
    from unweave.preferences.predictors.gradients import _maps

    for number, site in enumerate(map(target.site, sites)):
        weight = target.module.get_submodule(site.module).weight
        weight.requires_grad_(True)
        logits = target.logits(torch.tensor([[*prompts[0], *replies[0]]]))[0].log_softmax(-1)
        first = len(prompts[0]) - 1
        sum(logits[first + k, token] for k, token in enumerate(replies[0])).backward()
        inputs, outputs = _maps(target, site, projection)
        own = (inputs @ weight.grad.T @ outputs.T).flatten()
        weight.requires_grad_(False)
        weight.grad = None
        np.testing.assert_allclose(found[0, number * 20 : number * 20 + 20], own.numpy(), rtol=1e-3, atol=1e-4)


def test_a_pair_moves_a_column_by_what_its_gradient_has_in_common_with_replies_high_in_it():
    reference = np.eye(4, dtype=np.float32)
    values = np.array([[1.0], [0.0], [5.0], [5.0]])
    effects = gradient_effects(np.array([[1, -1, 3, 0]], np.float32), reference, values, np.array([0, 0, 1, 1]))
    # Within the first question reply 0 is half above the mean, reply 1 half below; in the second nothing varies.
    assert effects.shape == (1, 1)
    assert effects[0, 0] == pytest.approx((0.5 + 0.5) / 4 / 11**0.5)
    # The step on all pairs has length 1, however long their gradients are.
    longer = gradient_effects(np.array([[5, -5, 15, 0]], np.float32), reference, values, np.array([0, 0, 1, 1]))
    assert longer == pytest.approx(effects)
