from __future__ import annotations

import math
from dataclasses import replace

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.decompose import draws, numerics, reconstruction
from unweave.decompose.adversary import start_sources
from unweave.decompose.config import RECONSTRUCTIONS, WholeModelConfig
from unweave.decompose.importance import lower_leaky
from unweave.decompose.masked import MaskedTarget, Pieces
from unweave.decompose.objective import Batch, Objective
from unweave.decompose.start import initial_tensors

calm = settings(max_examples=25, deadline=None)
SCHEDULE = {"anneal": torch.tensor(0.4), "adversarial": torch.tensor(0.5), "sparsity": torch.tensor(0.02)}


@pytest.fixture(scope="module")
def target():
    return tiny.words()


@pytest.fixture
def model(target):
    with MaskedTarget(target, target.sites()).attached() as model:
        yield model


def batch_of(model, values, seed=0):
    with torch.no_grad():
        clean, inputs = model.clean(values)
    return Batch(values, clean, inputs, torch.arange(len(values)), draws.key(seed))


@pytest.fixture
def batch(model):
    return batch_of(model, tiny.sentences(4)(0))


def started(model, batch, config):
    """An objective, tensors that are trained, and sources."""
    state = {
        name: tensor.clone().requires_grad_(not name.endswith("scale"))
        for name, tensor in initial_tensors(model.sites, model.weights, batch.inputs, config).items()
    }
    counts = dict.fromkeys(model.weights, config.subcomponents)
    sources = start_sources(config.sources, (4, tiny.LENGTH), config.pool, counts, 0, "sources")
    return Objective(model, config), state, {name: source.requires_grad_() for name, source in sources.items()}


def plain_penalty(z, config, anneal):
    """Sums over sites, subcomponents and rows, in Python."""
    total = 0.0
    for logits in z.values():
        rows = logits.double().flatten(0, -2).tolist()
        for column in range(logits.shape[-1]):
            psi = []
            for row in rows:
                value = row[column]
                g = 1 + 0.01 * (value - 1) if value > 1 else max(0.0, value)
                if config.penalty == "lp":
                    psi.append((g + 1e-12) ** anneal)
                else:
                    psi.append(g * g * (1 + anneal**2) / (g * g + anneal**2))
            rate = sum(psi) / len(rows)
            total += rate + config.frequency * rate * math.log2(1 + config.frequency_reference * rate)
    return total


@calm
@given(
    st.integers(0, 1000),
    st.sampled_from(["smooth-l0", "lp"]),
    st.floats(0.05, 2),
    st.sampled_from([0.0, 0.5, 3.0]),
    st.sampled_from([1, 100]),
)
def test_the_penalty_is_its_formula(seed, penalty, anneal, frequency, reference):
    config = WholeModelConfig(penalty=penalty, frequency=frequency, frequency_reference=reference)
    generator = torch.Generator().manual_seed(seed)
    z = {"a": torch.randn(3, 2, 4, generator=generator), "b": 2 * torch.randn(3, 2, 5, generator=generator)}
    found = Objective(None, config).penalty(z, torch.tensor(anneal))
    assert float(found) == pytest.approx(plain_penalty(z, config, anneal), rel=1e-4)


@pytest.mark.parametrize("penalty", ["smooth-l0", "lp"])
def test_a_batch_twice_over_has_the_same_penalty(penalty):
    config = WholeModelConfig(penalty=penalty, frequency=2.0)
    z = {"a": torch.randn(6, 3, 5, generator=torch.Generator().manual_seed(0))}
    once, twice, feature_rows = (
        Objective(None, config).penalty(logits, torch.tensor(0.3))
        for logits in (z, {"a": z["a"].repeat(2, 1, 1)}, {"a": z["a"].flatten(0, 1)})
    )
    torch.testing.assert_close(once, twice)
    torch.testing.assert_close(once, feature_rows)


def test_importances_that_take_turns_cost_less_than_as_many_that_are_always_there():
    objective = Objective(None, WholeModelConfig(frequency=1.0))
    always = torch.tensor([[1.0, -1.0]]).repeat(8, 1)
    by_turns = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 1)
    plain = Objective(None, WholeModelConfig(frequency=0.0))
    narrow = torch.tensor(0.05)
    assert objective.penalty({"a": by_turns}, narrow) < objective.penalty({"a": always}, narrow)
    assert float(plain.penalty({"a": by_turns}, narrow)) == float(plain.penalty({"a": always}, narrow)) == 1


def test_faithfulness_is_0_for_exact_pieces_and_the_mean_over_sites_of_what_the_deltas_are(model):
    objective = Objective(model, tiny.CONFIG)
    pieces = {name: Pieces(*tiny.singular_pieces(weight)) for name, weight in model.weights.items()}
    assert float(objective.faithfulness(pieces)) < 1e-9
    factors = {"up": 0.5, "down": 0.0}
    scaled = {name: Pieces(V, factors[name] * U) for name, (V, U) in pieces.items()}
    assert float(objective.faithfulness(scaled)) == pytest.approx((0.25 + 1) / 2, rel=1e-4)


def test_pieces_are_at_the_scale_of_the_matrix_whatever_that_is(model, batch):
    objective, state, _ = started(model, batch, tiny.CONFIG)
    for name, (V, U) in objective.pieces(state).items():
        assert torch.equal(V, state[f"{name}/V"])
        torch.testing.assert_close(U, state[f"{name}/U"] * model.weights[name].norm() / len(model.weights[name]) ** 0.5)


WEIGHTS = dict(zip(RECONSTRUCTIONS, (1.0, 0.5, 0.25, 2.0, 0.125, 3.0), strict=True))


def test_the_loss_is_the_weighted_sum_of_its_parts(model, batch):
    config = replace(tiny.CONFIG, **WEIGHTS)
    objective, state, sources = started(model, batch, config)
    total, parts, _ = objective.loss(state, sources, batch, SCHEDULE, attacking=True)
    assert set(parts) == {*RECONSTRUCTIONS, "reconstruction", "penalty", "l0"}
    reconstructions = sum(weight * float(parts[name]) for name, weight in WEIGHTS.items())
    assert float(parts["reconstruction"]) == pytest.approx(reconstructions, rel=1e-5)
    wanted = reconstructions + 0.02 * float(parts["penalty"])
    assert float(total.detach()) == pytest.approx(wanted, rel=1e-5)
    assert total.requires_grad
    assert not any(part.requires_grad for part in parts.values())


@pytest.mark.parametrize("name", RECONSTRUCTIONS)
def test_each_part_is_its_own_term_and_absent_without_a_weight(model, batch, name):
    config = replace(tiny.CONFIG, **{"merged": 0.0, name: 2.0})
    objective, state, sources = started(model, batch, config)
    z = objective.kind.logits(state, batch.inputs)
    step = objective._step(state, z, sources, batch, SCHEDULE["adversarial"])
    _, parts, _ = objective.loss(state, sources, batch, SCHEDULE, attacking=True)
    halves = {"adversarial", "stochastic"} if name == "merged" else set()
    assert set(parts) & set(RECONSTRUCTIONS) == {name} | halves
    assert torch.equal(parts[name], reconstruction.TERMS[name](step).detach())
    assert torch.equal(parts["reconstruction"], 2 * parts[name])


def test_before_the_adversary_begins_its_own_term_is_left_out(model, batch):
    config = replace(tiny.CONFIG, merged=0.0, stochastic=1.0, adversarial=1.0)
    objective, state, sources = started(model, batch, config)
    total, parts, _ = objective.loss(state, sources, batch, SCHEDULE, attacking=False)
    assert "adversarial" not in parts
    assert torch.equal(parts["reconstruction"], parts["stochastic"])
    total.backward()
    assert all(source.grad is None for source in sources.values())


def test_merged_reports_both_of_its_halves(model, batch):
    objective, state, sources = started(model, batch, tiny.CONFIG)
    _, parts, _ = objective.loss(state, sources, batch, SCHEDULE, attacking=True)
    assert float(parts["merged"]) == pytest.approx(float(parts["adversarial"] + parts["stochastic"]) / 2, rel=1e-5)


@pytest.mark.parametrize("term", ["merged", "adversarial"])
def test_only_sources_of_attacked_samples_have_a_gradient(model, batch, term):
    config = replace(tiny.CONFIG, sources="batch", **{"merged": 0.0, term: 1.0})
    objective, state, sources = started(model, batch, config)
    objective.loss(state, sources, batch, SCHEDULE, attacking=True)[0].backward()
    for source in sources.values():
        moved = source.grad.flatten(1).any(-1).tolist()
        assert moved == ([False, True, False, True] if term == "merged" else [True] * 4)


def test_everything_that_is_trained_has_a_gradient_and_the_scales_have_none(model, batch):
    for importance in ("site-mlp", "component-mlp", "shared-mlp", "transformer"):
        objective, state, sources = started(model, batch, replace(tiny.CONFIG, importance=importance))
        objective.loss(state, sources, batch, SCHEDULE, attacking=True)[0].backward()
        for name, tensor in state.items():
            assert (tensor.grad is None) == name.endswith("scale"), name
            assert tensor.grad is None or tensor.grad.any(), name


def test_use_is_counted_above_a_tenth_and_averaged_over_rows(model, batch):
    objective, state, sources = started(model, batch, replace(tiny.CONFIG, importance="shared-mlp"))
    _, parts, usage = objective.loss(state, sources, batch, SCHEDULE, attacking=True)
    with torch.no_grad():
        g = {name: lower_leaky(z) for name, z in objective.kind.logits(state, batch.inputs).items()}
    active = sum(float((x > 0.1).sum()) for x in g.values()) / (4 * tiny.LENGTH)
    assert float(parts["l0"]) == pytest.approx(active, rel=1e-6)
    for name, mean in usage.items():
        torch.testing.assert_close(mean, (g[name] > 0.1).float().mean((0, 1)))
    assert 0 < active < 24


def test_the_adversary_climbs_the_error_under_its_own_masks_with_everything_else_held(model, batch):
    objective, state, sources = started(model, batch, tiny.CONFIG)
    found = objective.climb(state, sources, batch)
    z = objective.kind.logits(state, batch.inputs)
    step = objective._step(state, z, sources, batch, SCHEDULE["adversarial"])
    assert torch.equal(found, reconstruction.adversarial(step))
    found.backward()
    assert all(source.grad.any() for source in sources.values())
    assert all(tensor.grad is None for tensor in state.values())
    moved = {name: (source + 1e-3 * source.grad).detach() for name, source in sources.items()}
    assert objective.climb(state, moved, batch) > found


def test_the_divergence_of_the_settings_is_the_one_that_compares(model, batch):
    config = replace(tiny.CONFIG, merged=0.0, stochastic=1.0)
    found = {}
    for divergence in ("kl", "mse"):
        objective, state, sources = started(model, batch, replace(config, divergence=divergence))
        found[divergence] = objective.loss(state, sources, batch, SCHEDULE, attacking=False)[1]["stochastic"]
    step = objective._step(state, objective.kind.logits(state, batch.inputs), sources, batch, SCHEDULE["adversarial"])
    outputs = model.masked(batch.values, step.pieces, reconstruction.stochastic_masks(step)).detach()
    torch.testing.assert_close(found["mse"], (outputs - batch.clean).square().mean())
    torch.testing.assert_close(found["kl"], numerics.divergence_kl(outputs, batch.clean).mean())
