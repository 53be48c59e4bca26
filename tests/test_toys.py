"""The models with known answers: their networks are what they say, and the measures count what they should."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.toys import TOYS, find_toy, recovery, residual_mlp, tms, validate
from unweave.decompose.toys import planted_languages as planted
from unweave.decompose.toys.validation import Recovered, Validation, measure, probe_importances
from unweave.models.target import make_target


def test_one_subcomponent_a_feature_is_no_error_whatever_their_order():
    importance = torch.zeros(4, 7)
    importance[torch.arange(4), torch.tensor([5, 0, 3, 6])] = 1.0
    assert recovery.identity_error(importance) == 0
    assert recovery.matched_columns(importance).tolist() == [5, 0, 3, 6]


@pytest.mark.parametrize(
    ("row", "column", "value", "errors"),
    [(0, 0, 0.85, 1), (0, 1, 0.2, 1), (0, 5, 0.2, 1), (0, 5, 0.05, 0), (2, 2, 0.0, 1)],
)
def test_each_importance_that_is_not_as_it_should_be_is_one_error(row, column, value, errors):
    importance = torch.eye(4, 6)
    importance[row, column] = value
    assert recovery.identity_error(importance) == errors


def test_a_feature_that_no_subcomponent_is_left_for_is_an_error():
    assert recovery.identity_error(torch.eye(4)[:, :3]) == 1


def test_probes_of_one_feature_need_the_same_subcomponent():
    feature = torch.tensor([0, 0, 1, 1])
    importance = torch.zeros(4, 5)
    importance[[0, 1], 3] = 1.0
    importance[[2, 3], 1] = 1.0
    assert recovery.identity_error(importance, feature) == 0
    split = importance.clone()
    split[3] = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0])
    assert recovery.identity_error(split, feature) == 2  # its own is missing, and another is there


def test_a_dense_site_has_exactly_so_many_subcomponents_and_each_is_needed_often():
    importance = torch.zeros(6, 5)
    importance[:, 1] = 1.0
    importance[:3, 4] = 1.0
    assert recovery.dense_error(importance, 2) == 0
    assert recovery.dense_error(importance, 1) == 3  # the smaller one's three importances have no place
    assert recovery.dense_error(importance, 3) == 2  # a third is missing: two importances short
    importance[1:3, 4] = 0.0
    assert recovery.dense_error(importance, 2) == 1


def test_columns_that_are_found_exactly_have_cosine_and_ratio_1_and_half_a_column_has_ratio_a_half():
    weight = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    V, U = torch.eye(5), weight.T.clone()
    assert recovery.feature_recovery(V, U, weight, "in") == pytest.approx((1.0, 1.0))
    assert recovery.feature_recovery(-V, -U, weight, "in") == pytest.approx((1.0, 1.0))
    assert recovery.feature_recovery(V, U / 2, weight, "in") == pytest.approx((1.0, 0.5))
    assert recovery.feature_recovery(U.T, V, weight.T, "out") == pytest.approx((1.0, 1.0))


def test_planted_pieces_are_compared_as_whole_matrices():
    generator = torch.Generator().manual_seed(0)
    V, U = torch.randn(4, 3, generator=generator), torch.randn(3, 5, generator=generator)
    pieces = torch.einsum("ic,co->coi", V, U)
    assert recovery.planted_cosine(V, U, pieces) == pytest.approx((1.0, 1.0))
    turned = V.clone()
    turned[:, 0] = torch.tensor([-V[1, 0], V[0, 0], -V[3, 0], V[2, 0]])  # at a right angle
    found = recovery.planted_cosine(turned, U, pieces)[0]
    assert found == pytest.approx(2 / 3, abs=0.2)
    assert found < 0.9


def test_the_superposition_network_is_relu_of_w_transposed_w_x_plus_b():
    made = tms.trained(5, 2, True, batch=64, seed=0, steps=20)
    x = torch.rand(7, 5, generator=torch.Generator().manual_seed(0))
    W = made.linear1.weight
    torch.testing.assert_close(made(x), torch.relu(x @ W.T @ W + made.linear2.bias))
    assert torch.equal(made.linear2.weight, W.T)
    assert made.linear2.weight.untyped_storage().data_ptr() != W.untyped_storage().data_ptr()


def test_features_are_as_rare_and_as_large_as_published():
    x = tms.sparse_features(40, 5000, seed=0)(3)
    assert (x > 0).float().mean() == pytest.approx(0.05, abs=0.003)
    assert x[x > 0].mean() == pytest.approx(0.5, abs=0.01)
    signed = residual_mlp.signed_features(100, 5000, seed=0)(3)
    assert (signed != 0).float().mean() == pytest.approx(0.01, abs=0.001)
    assert signed[signed != 0].std() == pytest.approx(1 / 3**0.5, abs=0.02)
    assert not torch.equal(x, tms.sparse_features(40, 5000, seed=0)(4))
    assert torch.equal(x, tms.sparse_features(40, 5000, seed=0)(3))


def test_features_of_an_embedding_are_compared_along_its_directions():
    toy = find_toy("residual-mlp-1")
    network = residual_mlp.ResidualMLP(6, 32, 3, 1, seed=0)
    target = make_target(network, None, "residual", check=False)
    weight = network.layers[0].mlp_in.weight
    axes = torch.linalg.qr(network.embedding.T).Q.T  # six directions at right angles, so that the answer is exact
    network.embedding.copy_(axes)
    tensors = {"layers.0.mlp_in/V": axes.T.contiguous(), "layers.0.mlp_in/U": axes @ weight.detach().T}
    tensors |= {"layers.0.mlp_out/V": torch.eye(3), "layers.0.mlp_out/U": network.layers[0].mlp_out.weight.detach().T}
    for site, count, d_in in (("layers.0.mlp_in", 6, 32), ("layers.0.mlp_out", 3, 3)):
        shapes = {"A": (d_in, 4), "a": (4,), "B": (4, count), "b": (count,)}
        tensors |= {f"{site}/importance.{name}": torch.zeros(shape) for name, shape in shapes.items()}
        tensors[f"{site}/importance.scale"] = torch.tensor(1.0)
    made = Decomposition.from_tensors(tensors, ["layers.0.mlp_in", "layers.0.mlp_out"], "site-mlp", "x")
    found = measure(replace(toy, probes=torch.eye(6), dense={"layers.0.mlp_out": 3}), target, made, 0, 1.0)
    assert found.mmcs == pytest.approx(1.0, abs=1e-5)
    assert found.ml2r == pytest.approx(1.0, abs=1e-5)
    assert found.dense_errors == {"layers.0.mlp_out": 6}


def test_a_layer_computes_the_features_that_the_output_misses_without_it():
    network = residual_mlp.ResidualMLP(4, 4, 4, 2, seed=0)
    network.embedding.copy_(torch.eye(4))
    for layer, share in zip(network.layers, ([1.0, 0.0, 0.5, 0.3], [0.0, 1.0, 0.5, 0.9]), strict=True):
        layer.mlp_in.weight.data = torch.eye(4)
        layer.mlp_out.weight.data = torch.diag(torch.tensor(share))
    first, second = residual_mlp.computed_features(network, 0.75 * torch.eye(4))
    assert first.tolist() == [True, False, True, True]  # the second layer builds on the last
    assert second.tolist() == [False, True, True, True]
    network.layers[0].mlp_out.weight.data[3, 3] = 0.01
    assert residual_mlp.computed_features(network, 0.75 * torch.eye(4))[0].tolist() == [True, False, True, False]


def test_the_residual_mlp_learns_x_plus_relu_x():
    made = residual_mlp.trained(12, 64, 8, 2, seed=0, steps=300)
    x = residual_mlp.signed_features(12, 512, seed=0, purpose="held out")(0)
    wanted = x + torch.relu(x)
    error = (made(x) - wanted).square().mean()
    assert error < 0.3 * (residual_mlp.ResidualMLP(12, 64, 8, 2, 0)(x) - wanted).square().mean()
    assert torch.allclose(made.embedding.norm(dim=-1), torch.ones(12))


def test_the_planted_network_predicts_with_the_transition_probabilities_of_the_tagged_language():
    network = planted.PlantedLanguages(3)
    truth = planted.transitions(3)
    predicted = network(planted.probes())[:, 0].softmax(-1).reshape(planted.LANGUAGES, planted.WORDS, planted.WORDS)
    torch.testing.assert_close(predicted, truth / truth.sum(-1, keepdim=True), atol=1e-5, rtol=1e-4)


def test_the_planted_pieces_are_rank_one_and_add_up_to_the_weights():
    network = planted.PlantedLanguages(0)
    for site, pieces in planted.planted_pieces(0).items():
        torch.testing.assert_close(pieces.sum(0), network.get_submodule(site).weight)
        assert all(int(torch.linalg.matrix_rank(piece)) == 1 for piece in pieces)


def test_every_pair_of_word_and_language_is_equally_frequent_and_equally_hard_to_predict():
    truth = planted.transitions(5)
    torch.testing.assert_close(truth.sum(-1), torch.ones(planted.LANGUAGES, planted.WORDS))
    torch.testing.assert_close(truth.sum(1), torch.ones(planted.LANGUAGES, planted.WORDS))
    assert torch.equal(truth.sort(-1).values, truth[:1, :1].sort(-1).values.expand_as(truth))
    assert not torch.equal(truth[0], truth[1])


def test_without_its_piece_a_language_is_predicted_uniformly_and_no_other_changes():
    network, tokens = planted.PlantedLanguages(2), planted.sequences(64, seed=2)(0)
    before = network(tokens).log_softmax(-1)
    network.language.weight.data = planted.planted_pieces(2)["language"][[0, 2, 3]].sum(0)
    after = network(tokens).log_softmax(-1)
    removed = tokens[:, 0] == planted.WORDS + 1
    torch.testing.assert_close(after[removed], torch.full_like(after[removed], -math.log(planted.WORDS)))
    torch.testing.assert_close(after[~removed], before[~removed])


def test_planted_text_follows_its_language():
    tokens = planted.sequences(4000, seed=1)(0)
    tag = tokens[:, 0] - planted.WORDS
    assert tag.bincount().tolist() == [1000] * 4
    truth = planted.transitions(1)
    pairs = (tag * planted.WORDS + tokens[:, 5]) * planted.WORDS + tokens[:, 6]
    counts = pairs.bincount(minlength=planted.LANGUAGES * planted.WORDS**2).reshape(truth.shape).float()
    seen = counts.sum(-1, keepdim=True)
    assert ((counts / seen.clamp_min(1) - truth).abs() < 5 * (0.25 / seen.clamp_min(1)).sqrt())[seen[..., 0] > 20].all()


def exact_decomposition(seed=0):
    """The planted pieces themselves, each fully important on its own probe alone."""
    target = make_target(planted.PlantedLanguages(seed), None, "planted", check=False)
    tensors = {}
    for site, pieces in planted.planted_pieces(seed).items():
        U, S, Vh = torch.linalg.svd(pieces)
        count, d_in = len(pieces), pieces.shape[-1]
        tensors[f"{site}/V"] = (S[:, :1] * Vh[:, 0]).T.contiguous()
        tensors[f"{site}/U"] = U[:, :, 0].contiguous()
        tensors[f"{site}/importance.scale"] = torch.tensor(1.0)
        seen = torch.eye(d_in) if site == "down" else planted.embedding(seed)
        tensors[f"{site}/importance.A"] = 100 * seen.T.contiguous()
        tensors[f"{site}/importance.a"] = torch.zeros(d_in)
        tensors[f"{site}/importance.B"] = read_by(site)
        tensors[f"{site}/importance.b"] = torch.zeros(count)
    return target, Decomposition.from_tensors(tensors, ["language", "word", "down"], "site-mlp", target.identity.digest)


def read_by(site):
    """Which of 100 times the words, tags or neurons a piece's importance reads: its own, so that its logit is 2."""
    if site == "down":
        return torch.eye(planted.WORDS * planted.LANGUAGES) / 50
    tokens = torch.eye(planted.WORDS + planted.LANGUAGES) / 50
    return tokens[:, planted.WORDS :] if site == "language" else tokens[:, : planted.WORDS]


def test_the_true_pieces_pass_and_pieces_of_another_seed_do_not():
    toy = find_toy("planted-languages")
    target, made = exact_decomposition()
    importance = probe_importances(target, made, toy.probes)
    assert importance["down"].shape == (32, 32)
    found = measure(toy, target, made, 0, 1.0)
    assert found.passed
    assert found.mmcs == pytest.approx(1.0, abs=1e-4)
    assert found.ml2r == pytest.approx(1.0, abs=1e-4)
    assert found.identity_errors == {"language": 0, "word": 0, "down": 0}
    assert not measure(toy, target, made, 1, 1.0).passed


def test_four_seeds_of_five_must_pass():
    good = Recovered(0, {"a": 0}, {}, 0.995, 1.0, 2.0)
    bad = replace(good, identity_errors={"a": 1})
    assert good.passed
    assert not replace(good, mmcs=0.98).passed
    assert not replace(good, ml2r=1.05).passed
    assert not replace(good, dense_errors={"b": 2}).passed
    assert Validation("x", (good,) * 4 + (bad,)).passed
    assert not Validation("x", (good,) * 3 + (bad,) * 2).passed
    assert set(Validation("x", (good, bad)).as_dict()) >= {"name", "seeds", "passed", "mmcs", "ml2r", "seconds"}


def test_a_name_that_is_not_there_names_the_nearest():
    with pytest.raises(UnweaveError, match=r"named 'tms-5-3'; nearest: 'tms-5-2'"):
        find_toy("tms-5-3")
    assert {name for name in TOYS if name.startswith("tms")} == {
        "tms-5-2", "tms-5-2-identity", "tms-40-10", "tms-40-10-identity",
    }  # fmt: skip


def test_validation_trains_measures_and_counts(monkeypatch):
    toy = find_toy("planted-languages")
    found = validate(toy, [0], replace(toy.config, steps=3))
    assert not found.passed
    assert found.table().records()[0]["IdentityCIError, word"] > 0
    errors = found.as_dict()["identity_ci_error"]
    assert isinstance(errors, list)
    assert len(errors) == 1
    assert errors[0] > 0
    assert found.as_dict()["dense_ci_error"] is None


def test_what_the_start_already_holds_is_told_apart_from_what_was_found():
    toy = find_toy("planted-languages")
    (along,) = validate(toy, [0], replace(toy.config, steps=1)).recovered
    (anywhere,) = validate(toy, [0], replace(toy.config, steps=1, start="random")).recovered
    assert along.start_mmcs == pytest.approx(1, abs=1e-3)
    assert anywhere.start_mmcs is not None
    assert anywhere.start_mmcs < 0.9
    assert Validation("x", (along,)).as_dict()["mmcs_start"] == pytest.approx(along.start_mmcs, abs=1e-4)


def test_the_answers_that_were_never_found_are_named():
    unsolved = {name for name, toy in TOYS.items() if not toy.solved}
    assert unsolved == {"tms-5-2-identity", "tms-40-10-identity", "residual-mlp-2", "residual-mlp-3"}
