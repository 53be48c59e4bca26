from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.decompose.decomposition import Decomposition, SiteSubcomponents
from unweave.decompose.stability import matched_cosine, piece_cosines

DOWN, QUERY = "model.layers.1.mlp.down_proj", "model.layers.2.self_attn.q_proj"


def site(V, U, name="a"):
    return SiteSubcomponents(name, torch.as_tensor(V).float(), torch.as_tensor(U).float(), lambda x: x)


def made(*sites, target="t"):
    return Decomposition({one.site: one for one in sites}, target, target)


def random_site(count, seed, d_in=6, d_out=5, name="a"):
    generator = torch.Generator().manual_seed(seed)
    return site(torch.randn(d_in, count, generator=generator), torch.randn(count, d_out, generator=generator), name)


def test_the_cosine_of_two_pieces_is_that_of_their_matrices_whatever_their_signs():
    a, b = random_site(3, 0), random_site(4, 1)
    found = piece_cosines(a, b)
    for i, j in [(0, 0), (2, 3)]:
        one, other = torch.outer(a.U[i], a.V[:, i]), torch.outer(b.U[j], b.V[:, j])
        wanted = abs(float((one * other).sum() / (one.norm() * other.norm())))
        assert float(found[i, j]) == pytest.approx(wanted, rel=1e-4)
    turned = site(-3 * b.V, 0.5 * b.U)
    torch.testing.assert_close(piece_cosines(a, turned), found)


def test_the_same_pieces_in_another_order_sign_and_scale_match_wholly():
    a = random_site(4, 0)
    order = torch.tensor([2, 0, 3, 1])
    b = site(-2 * a.V[:, order], 0.1 * a.U[order])
    found = matched_cosine(made(a), made(b))
    for value in (found.matched, found.weighted, found.nearest, found.nearest_back):
        assert value == pytest.approx(1, abs=1e-5)
    assert found.chance < 0.8
    assert (found.sites[0].pieces, found.sites[0].others) == (4, 4)


def test_the_matching_gives_no_piece_twice_where_the_nearest_may():
    """Both pieces of a are nearest to the first of b."""
    a = site([[1, 0.8], [0, 0.6]], [[1.0], [1.0]])
    b = site([[1, 0], [0, 1]], [[1.0], [1.0]])
    found = matched_cosine(made(a), made(b)).sites[0]
    assert found.nearest == pytest.approx((1 + 0.8) / 2)
    assert found.nearest_back == pytest.approx((1 + 0.6) / 2)
    assert found.matched == pytest.approx((1 + 0.6) / 2)


def test_the_matching_is_the_best_of_all_and_not_greedy():
    # Greedy would take 0.95 first and be left with 0.1.
    a = site(torch.eye(2), [[1.0], [1.0]])
    b = site([[0.95, 0.9], [0.1, 0.9]], [[1.0], [1.0]])
    V = torch.nn.functional.normalize(b.V, dim=0)
    wanted = max(V[0, 0] * 1 + V[1, 1], V[0, 1] + V[1, 0]) / 2
    assert matched_cosine(made(a), made(b)).matched == pytest.approx(float(wanted))


def test_weights_are_the_sizes_of_both_pieces():
    a = site([[3, 0], [0, 1]], [[1.0], [1.0]])
    b = site([[1, 0.8], [0, 0.6]], [[2.0], [1.0]])
    found = matched_cosine(made(a), made(b))
    assert found.matched == pytest.approx((1 + 0.6) / 2)
    assert found.weighted == pytest.approx((6 * 1 + 1 * 0.6) / 7)


def test_more_capacity_leaves_pieces_over_that_count_one_way_only():
    a, b = random_site(3, 0), random_site(3, 0)
    more = random_site(2, 7)
    b = site(torch.cat([b.V, more.V], 1), torch.cat([b.U, more.U]))
    found = matched_cosine(made(a), made(b))
    assert found.matched == found.nearest == pytest.approx(1)
    assert found.nearest_back == pytest.approx((3 + float(piece_cosines(a, more).max(0).values.sum())) / 5)


def test_only_alive_pieces_are_compared_and_zero_ones_never():
    a = random_site(4, 0)
    b = site(a.V.clone(), a.U.clone())
    b.U[1] = 0
    found = matched_cosine(made(a), made(b), {"a": [0, 1, 2]}, {"a": [1, 2]})
    assert (found.sites[0].pieces, found.sites[0].others) == (3, 1)
    assert found.matched == pytest.approx(1)
    assert matched_cosine(made(a), made(b)).sites[0].others == 3
    none = matched_cosine(made(a), made(b), {}, {"a": [2]})
    assert none.matched is None
    assert none.as_dict()["sites"][0]["pieces"] == 0


def test_means_over_sites_are_over_all_pairs():
    big, small = random_site(5, 0), random_site(1, 1, name="b")
    other = random_site(1, 2, name="b")
    found = matched_cosine(made(big, small), made(big, other))
    alone = float(piece_cosines(small, other))
    assert found.matched == found.nearest == found.nearest_back == pytest.approx((5 + alone) / 6, rel=1e-5)
    others = random_site(3, 2, name="b")
    found = matched_cosine(made(big, small), made(big, others))
    best = piece_cosines(small, others)
    assert found.matched == found.nearest == pytest.approx((5 + float(best.max())) / 6, rel=1e-5)
    assert found.nearest_back == pytest.approx((5 + float(best.sum())) / 8, rel=1e-5)


def test_sites_that_only_one_of_them_has_are_left_out():
    a, b = random_site(2, 0), random_site(2, 1, name="b")
    assert [one.site for one in matched_cosine(made(a, b), made(b)).sites] == ["b"]
    with pytest.raises(UnweaveError, match="no site in common: a, b"):
        matched_cosine(made(a), made(b))


def test_two_targets_are_not_compared():
    with pytest.raises(UnweaveError, match="belongs to target other"):
        matched_cosine(made(random_site(2, 0)), made(random_site(2, 0), target="other"))


def test_chance_is_that_of_random_directions_of_the_same_sizes(llama, decomposed):
    a, b = decomposed(llama, DOWN, QUERY, seed=0), decomposed(llama, DOWN, QUERY, seed=1)
    found = matched_cosine(a, b)
    # Both are random: what they have in common is chance.
    assert found.matched == pytest.approx(found.chance, abs=0.02)
    assert found.chance < 0.15
    again = matched_cosine(a, replace(b, card={"seed": 1}))
    assert again == found
    assert matched_cosine(a, b, seed=1).chance != found.chance
