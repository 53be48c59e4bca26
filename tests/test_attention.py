from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.decompose.attention import attend, rotated

calm = settings(max_examples=30, deadline=None)
HEADS, WIDTH, D = 3, 4, 10


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weights(seed=0):
    return normal(3, HEADS, D, WIDTH, seed=seed) / D**0.5, normal(HEADS, WIDTH, D, seed=seed + 1) / D**0.5


def turned(vector, position):
    """Pairs (i, i + half) turn by the position times 10000^(-i / half)."""
    half = len(vector) // 2
    found = [0.0] * len(vector)
    for pair in range(half):
        angle = position * 10_000 ** (-pair / half)
        first, second = vector[pair], vector[pair + half]
        found[pair] = first * math.cos(angle) - second * math.sin(angle)
        found[pair + half] = first * math.sin(angle) + second * math.cos(angle)
    return torch.tensor(found)


def slow(x, qkv, out):
    """Head by head and position by position."""
    found = torch.zeros_like(x)
    for sample in range(len(x)):
        for head in range(HEADS):
            q, k, v = (x[sample] @ qkv[part, head] for part in range(3))
            q, k = (torch.stack([turned(row.tolist(), place) for place, row in enumerate(rows)]) for rows in (q, k))
            for place in range(x.shape[1]):
                pattern = torch.stack([q[place] @ other for other in k]) / WIDTH**0.5
                found[sample, place] += (pattern.softmax(0) @ v) @ out[head]
    return found


def test_attention_is_its_formula_in_both_directions():
    x, (qkv, out) = normal(2, 5, D, seed=3), weights()
    torch.testing.assert_close(attend(x, qkv, out), slow(x, qkv, out), rtol=1e-4, atol=1e-5)


def test_every_position_sees_every_other_and_no_other_sample():
    x, (qkv, out) = normal(2, 5, D, seed=3).requires_grad_(), weights()
    found = attend(x, qkv, out)
    for seeing in range(5):
        (gradient,) = torch.autograd.grad(found[0, seeing].sum(), x, retain_graph=True)
        assert gradient[0].any(-1).all()
        assert not gradient[1].any()


def test_rows_without_positions_are_a_sequence_of_one_each():
    x, (qkv, out) = normal(6, D, seed=3), weights()
    found = attend(x, qkv, out)
    assert found.shape == (6, D)
    torch.testing.assert_close(found, attend(x[:, None], qkv, out)[:, 0])
    # Attending to nothing but itself, a row hands on its own value.
    torch.testing.assert_close(found, sum(x @ qkv[2, head] @ out[head] for head in range(HEADS)))


def test_the_first_position_is_not_turned_and_no_length_changes():
    x = normal(2, HEADS, 7, 6)
    found = rotated(x)
    assert torch.equal(found[..., 0, :], x[..., 0, :])
    torch.testing.assert_close(found.norm(dim=-1), x.norm(dim=-1))
    assert not torch.allclose(found[..., 1, :], x[..., 1, :])


@calm
@given(st.integers(0, 1000), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_what_two_positions_say_to_each_other_depends_on_their_distance_alone(seed, first, second, shift):
    q, k = normal(1, 1, 1, 8, seed=seed), normal(1, 1, 1, 8, seed=seed + 1)
    length = max(first, second) + shift + 1
    q, k = (rotated(x.expand(1, 1, length, 8))[0, 0] for x in (q, k))
    torch.testing.assert_close(q[first] @ k[second], q[first + shift] @ k[second + shift], rtol=1e-3, atol=1e-3)
