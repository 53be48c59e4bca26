"""The induction model: its text, what is asked of it, and a rule for its circuit that can fail."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unweave.decompose.decomposition import Decomposition
from unweave.decompose.toys import circuit, find_toy, induction
from unweave.decompose.toys.circuit import Circuit, circuit_members, find_circuit
from unweave.decompose.toys.validation import Recovered
from unweave.models.target import make_target


def test_the_special_token_stands_twice_in_the_odd_rows_and_the_same_word_follows_it():
    tokens = induction.sequences(4000, seed=1)(0)
    special = tokens == induction.SPECIAL
    assert special.sum(-1).tolist() == [0, 2] * 2000
    rows, places = special[1::2].nonzero(as_tuple=True)
    following = tokens[1::2][rows, places + 1].view(-1, 2)
    assert torch.equal(following[:, 0], following[:, 1])
    assert following.unique().tolist() == list(range(induction.WORDS))
    assert torch.equal(places.view(-1, 2).unique(dim=0), induction.PLACES)
    assert bool((induction.PLACES.diff() >= 2).all())

    found, second, answer = induction.asked(tokens)
    assert torch.equal(found, torch.arange(1, 4000, 2))
    assert torch.equal(second, places.view(-1, 2)[:, 1])
    assert torch.equal(answer, following[:, 0])


def test_without_repeats_another_word_follows_it_each_time():
    tokens = induction.sequences(2000, seed=1, repeats=False)(0)
    rows, places = (tokens[1::2] == induction.SPECIAL).nonzero(as_tuple=True)
    following = tokens[1::2][rows, places + 1].view(-1, 2)
    assert (following[:, 0] == following[:, 1]).float().mean() == pytest.approx(1 / induction.WORDS, abs=0.04)


def test_words_follow_tag_and_the_two_words_before():
    tokens = induction.sequences(40_000, seed=2)(0)[::2]
    truth = induction.transitions(2)
    tag, before, last, after = tokens[:, 0] - induction.WORDS, *tokens[:, 5:8].T
    found = torch.zeros_like(truth).index_put_((tag, before, last, after), torch.ones(len(tokens)), accumulate=True)
    seen = found.sum(-1, keepdim=True)
    within = (found / seen.clamp_min(1) - truth).abs() < 5 * (0.25 / seen.clamp_min(1)).sqrt()
    assert bool(within[seen[..., 0] > 20].all())
    assert (seen > 20).sum() > 100


def test_the_special_token_says_nothing_about_what_follows_the_word_after_it():
    truth = induction.transitions(2).log()
    of_the_last = truth[:, induction.WORDS] - truth[:, induction.WORDS, :1]
    of_the_tag = truth[:, induction.WORDS, induction.WORDS]
    torch.testing.assert_close(
        (of_the_last[0] - of_the_last[1]).diff(dim=-1).std(0), torch.zeros(induction.WORDS - 1), atol=1e-5, rtol=0
    )
    assert of_the_tag.std() > 0.5


def test_what_is_asked_for_is_the_next_word():
    s = induction.SPECIAL
    tokens = torch.tensor([[8, 1, s, 4, 7, s, 4, 2], [9, 1, 2, 3, 4, 5, 6, 7]])
    assert induction.wanted(tokens).tolist() == [[1, -1, 4, 7, -1, 4, 2, -1], [1, 2, 3, 4, 5, 6, 7, -1]]


def test_a_head_is_causal_and_the_more_it_looks_at_nothing_the_less_it_writes():
    network = induction.Induction(0)
    tokens = induction.sequences(4, seed=0)(0)
    changed = tokens.clone()
    changed[:, 10:] = 0
    torch.testing.assert_close(network(changed)[:, :10], network(tokens)[:, :10])
    head, x = network.layers[0], torch.randn(1, 3, induction.WIDTH, generator=torch.Generator().manual_seed(0))
    scores = head.q(x)[0] @ head.k(x)[0].T / induction.WIDTH**0.5
    weights = scores.exp().tril()
    for nothing in (-100.0, 0.0, 2.0):
        with torch.no_grad():
            head.nothing.fill_(nothing)
        pattern = weights / (weights.sum(-1, keepdim=True) + torch.tensor(nothing).exp())
        torch.testing.assert_close(head(x)[0], head.o(pattern @ head.v(x)[0]))


def test_a_subcomponent_is_the_circuits_when_it_fires_with_the_special_token_alone():
    with_s = torch.tensor([1.0, 0.5, 0.01, 1.0, 0.0])
    without = torch.tensor([0.0, 0.02, 0.0, 0.2, 0.0])
    assert circuit_members(with_s, without).tolist() == [True, True, False, False, False]


GOOD = Circuit(dict.fromkeys(circuit.OWN, 1), dict.fromkeys(circuit.OWN, 9), 1.0, 0.3, 0.99, 0.001)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answered": 0.4}, "does not do induction"),
        ({"answered_without": 0.5}, "stands without the circuit"),
        ({"disturbed": 0.1}, "other text changes"),
        ({"answered_without_others": 0.5}, "other subcomponents carry"),
        ({"pieces": {**GOOD.pieces, "layers.1.q": 0}}, r"in layers\.1\.q$"),
        ({"pieces": {**GOOD.pieces, "layers.0.v": 9}}, r"in layers\.0\.v$"),
    ],
)
def test_each_part_of_the_rule_can_fail(change, words):
    assert not GOOD.failures
    broken = replace(GOOD, **change).failures
    assert len(broken) == 1
    import re

    assert re.search(words, broken[0])
    assert not Recovered(0, {}, {}, None, None, 1.0, replace(GOOD, **change)).passed
    assert Recovered(0, {}, {}, None, None, 1.0, GOOD).passed
    assert not replace(GOOD, pieces={**GOOD.pieces, "layers.1.k": 5}).failures


def whole_matrices(network, gate):
    """Every matrix as the pieces of an SVD, all with importance ``gate``."""
    tensors = {}
    target = make_target(network, None, "induction", check=False)
    for name in (f"layers.{layer}.{matrix}" for layer in range(2) for matrix in "qkvo"):
        U, S, Vh = torch.linalg.svd(target.weight(target.site(name)))
        count = len(S)
        tensors |= {f"{name}/V": Vh.T * S, f"{name}/U": U.T.contiguous()}
        tensors |= {f"{name}/importance.A": torch.zeros(count, 2), f"{name}/importance.a": torch.zeros(2)}
        tensors |= {f"{name}/importance.B": torch.zeros(2, count), f"{name}/importance.b": torch.full((count,), gate)}
        tensors[f"{name}/importance.scale"] = torch.tensor(1.0)
    sites = sorted({name.split("/")[0] for name in tensors})
    return target, Decomposition.from_tensors(tensors, sites, "site-mlp", target.identity.digest)


def test_pieces_that_are_always_needed_are_no_circuit_and_an_untrained_model_does_no_induction():
    found = find_circuit(*whole_matrices(induction.Induction(0), 1.0), 0)
    assert set(found.pieces.values()) == {0}
    assert found.used == dict.fromkeys(circuit.OWN, induction.WIDTH)
    assert found.disturbed == pytest.approx(0.0, abs=1e-5)
    assert found.answered == found.answered_without < 0.4
    assert any("does not do induction" in words for words in found.failures)
    assert any("layers.1.q" in words for words in found.failures)


def test_the_control_is_the_same_model_trained_on_text_without_induction(monkeypatch):
    asked = []
    monkeypatch.setattr(induction, "sequences", lambda *arguments: asked.append(arguments) or (lambda step: TEXT))
    find_toy("induction-head").build(0, steps=1)
    find_toy("induction-head-control").build(0, steps=1)
    assert [repeats for *_, repeats in asked] == [True, False]


TEXT = induction.sequences(8, seed=0)(0)


def test_the_model_learns_the_text():
    network = induction.trained(0, steps=60)
    tokens = induction.sequences(256, seed=0, purpose="held out")(0)
    wanted = induction.wanted(tokens).flatten()
    loss = torch.nn.functional.cross_entropy(network(tokens).flatten(0, 1), wanted, ignore_index=-1)
    assert loss < 2.02 < torch.log(torch.tensor(float(induction.WORDS)))
