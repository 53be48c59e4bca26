from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.decompose import draws

calm = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 10_000)
inners = st.lists(st.integers(1, 4), max_size=2)


def rows(samples, inner=(5,), columns=7, key=None):
    return draws.uniform_rows(draws.key(0) if key is None else key, torch.as_tensor(samples), inner, columns)


def plain_mixed(word):
    """The same bijection in Python's own integers, which do not overflow."""
    word = (word ^ (word >> 16)) * 0x21F0AAAD % 2**32
    word = (word ^ (word >> 15)) * 0x735A2D97 % 2**32
    return word ^ (word >> 15)


def correlation(first, second):
    return float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])


@calm
@given(seeds, st.permutations(range(9)), inners, st.integers(1, 5))
def test_a_samples_numbers_are_the_same_whatever_it_is_batched_with(seed, order, inner, columns):
    key = draws.key(seed, "masks")
    whole = rows(range(9), inner, columns, key)
    assert whole.shape == (9, *inner, columns)
    assert torch.equal(rows(list(order), inner, columns, key), whole[list(order)])
    assert torch.equal(torch.cat([rows(range(4), inner, columns, key), rows(range(4, 9), inner, columns, key)]), whole)


def test_samples_8_to_15_are_those_of_a_batch_of_sixteen():
    assert torch.equal(rows(range(8, 16)), rows(range(16))[8:])


def test_shorter_windows_and_fewer_columns_are_the_beginning_of_longer_and_more():
    """A pruned site keeps the numbers of the columns that it still has."""
    whole = rows(range(4), (6,), 9)
    assert torch.equal(rows(range(4), (3,), 4), whole[:, :3, :4])


@pytest.mark.parametrize("other", [(1, "masks", 3), (0, "routes", 3), (0, "masks", 4), (0, "masks")])
def test_another_seed_purpose_or_step_gives_other_numbers(other):
    first = rows(range(50), key=draws.key(0, "masks", 3))
    second = rows(range(50), key=draws.key(*other))
    assert torch.equal(first, rows(range(50), key=draws.key(0, "masks", 3)))
    assert not (first == second).any()
    assert abs(correlation(first, second)) < 0.1


def test_keys_of_neighbouring_steps_and_purposes_are_all_different():
    keys = {int(draws.key(seed, name, step)) for seed in range(5) for name in ("a", "b") for step in range(200)}
    assert len(keys) == 2000
    assert all(0 <= key < 2**32 for key in keys)


def test_the_order_of_the_counters_matters():
    key, one, two = draws.key(0), torch.tensor([1, 7, 3]), torch.tensor([2, 3, 7])
    assert not (draws.words(key, one, two) == draws.words(key, two, one)).any()


@calm
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3))
def test_words_are_those_of_whole_numbers_that_do_not_overflow(key, counters):
    """So every device gives the same ones, and a checkpoint of today goes on with the same masks tomorrow."""
    expected = plain_mixed(key)
    for place, counter in enumerate(counters):
        expected = plain_mixed(expected ^ ((counter * 2 + 1) * (0x2C1B3C6D + 2 * place) % 2**32))
    assert int(draws.words(torch.tensor(key), *map(torch.tensor, counters))) == expected


def test_no_two_words_are_mixed_into_one():
    """Half a million words drawn at random would meet about thirty times; those of a bijection never do."""
    count = 2**19
    spread = torch.arange(count) * 8191 % 2**32
    top = 2**32 - 1 - torch.arange(count)
    for words in (torch.arange(count), spread, top):
        mixed = draws.mixed(words)
        assert len(mixed.unique()) == count
        assert int(mixed.min()) >= 0
        assert int(mixed.max()) < 2**32


def test_every_bit_that_flips_moves_about_half_of_the_bits_that_come_out():
    words = torch.randint(2**32, (4000,), generator=torch.Generator().manual_seed(0))
    places = torch.arange(32)
    flipped = draws.mixed(words[:, None] ^ (1 << places)) ^ draws.mixed(words)[:, None]
    moved = ((flipped[..., None] >> places) & 1).float().mean(0)  # input bit by output bit
    assert moved.mean() == pytest.approx(0.5, abs=0.005)
    assert (moved.mean(1) - 0.5).abs().max() < 0.05
    assert moved.min() > 0.3
    assert moved.max() < 0.7


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_are_uniform(seed):
    found = rows(range(64), (32,), 128, draws.key(seed, "uniform")).flatten()  # a quarter of a million
    assert float(found.min()) >= 0
    assert float(found.max()) < 1
    assert torch.equal(found * 2**24, (found * 2**24).round())
    assert float(found.mean()) == pytest.approx(0.5, abs=4 * 12**-0.5 / len(found) ** 0.5)
    assert float(found.var()) == pytest.approx(1 / 12, rel=0.01)
    counts = torch.histc(found, 32, 0, 1)
    expected = len(found) / 32
    # Chi-square of 31 degrees of freedom: above 70 in one case of ten thousand.
    assert float(((counts - expected).square() / expected).sum()) < 70


def test_neighbours_in_every_direction_know_nothing_of_each_other():
    found = rows(range(64), (32,), 128)
    pairs = {
        "columns": (found[..., 1:], found[..., :-1]),
        "positions": (found[:, 1:], found[:, :-1]),
        "samples": (found[1:], found[:-1]),
        "columns of neighbouring positions": (found[:, 1:, 1:], found[:, :-1, :-1]),
        "steps": (found, rows(range(64), (32,), 128, draws.key(1))),
    }
    for name, (first, second) in pairs.items():
        assert abs(correlation(first, second)) < 4 / first.numel() ** 0.5, name
        # Nor is one large where the other is in the middle.
        assert abs(correlation((first - 0.5).abs(), (second - 0.5).abs())) < 4 / first.numel() ** 0.5, name


def test_drawing_leaves_torchs_own_generator_alone():
    before = torch.get_rng_state()
    rows(range(3))
    assert torch.equal(torch.get_rng_state(), before)
