"""Every term against a slow computation of its own, in which each row has its own explicit matrices."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from types import SimpleNamespace

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.decompose import draws, numerics, reconstruction
from unweave.decompose.adversary import deal_sources, start_sources
from unweave.decompose.config import RECONSTRUCTIONS
from unweave.decompose.masked import Mask, MaskedTarget, Pieces
from unweave.decompose.reconstruction import Step

COUNT, BATCH, ROWS = 7, 4, (4, tiny.LENGTH)
calm = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def target():
    return tiny.words()


@pytest.fixture
def step(target):
    """One step on four sentences: random pieces, logits on both sides of 0 and 1, a pool of three vectors."""
    generator = torch.Generator().manual_seed(5)
    batch = tiny.sentences(BATCH)(0)
    with MaskedTarget(target, target.sites()).attached() as model, torch.no_grad():
        clean, inputs = model.clean(batch)
        pieces, logits = {}, {}
        for site in model.sites:
            V = torch.randn(site.d_in, COUNT, generator=generator) / site.d_in**0.5
            pieces[site.name] = Pieces(V, torch.randn(COUNT, site.d_out, generator=generator) / COUNT**0.5)
            logits[site.name] = torch.randn(*ROWS, COUNT, generator=generator)
        yield Step(
            model=model,
            batch=batch,
            clean=clean,
            inputs=inputs,
            pieces=pieces,
            logits=logits,
            sources=start_sources("pooled", ROWS, 3, dict.fromkeys(pieces, COUNT), 0, "sources"),
            scope="pooled",
            divergence=numerics.divergence_kl,
            samples=torch.arange(BATCH),
            key=draws.key(0, "draws", 3),
            adversarial=torch.tensor(0.5),
            notes={},
        )


def explicit_outputs(step, masks):
    """Logits, and the sites' own outputs, with ``sum_c m_c u_c v_c^T + d (W - UV)`` built for every row."""
    module, outputs = step.model.target.module, {}

    def replaced(name):
        layer = module.get_submodule(name)

        def apply(x):
            W = layer.weight.detach().double().expand(*ROWS, -1, -1)
            if name in masks:
                V, U = (tensor.double() for tensor in step.pieces[name])
                m, d = (tensor.double().expand(*ROWS, -1) for tensor in masks[name])
                W = torch.einsum("ntc,co,ic->ntoi", m, U, V) + d[..., None] * (W - (V @ U).T)
            found = torch.einsum("ntoi,nti->nto", W, x.double())
            outputs[name] = found
            return (found if layer.bias is None else found + layer.bias.double()).float()

        return apply

    return module.with_sites(step.batch, replaced("up"), replaced("down")), outputs


def explicit_error(step, masks):
    """KL of every row, by hand."""
    outputs, _ = explicit_outputs(step, masks)
    found = torch.empty(ROWS)
    for row in range(ROWS[0]):
        for position in range(ROWS[1]):
            p, q = (values[row, position].double().softmax(-1).tolist() for values in (step.clean, outputs))
            found[row, position] = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return found


def importance(step, site):
    return step.logits[site].clamp(0, 1)


def filled(g, r):
    return g + (1 - g) * r


def random_masks(step):
    """Masks of numbers keyed by the step, the site's place, the sample, the position and the column."""
    found = {}
    for place, site in enumerate(step.pieces):
        r = draws.uniform_rows(step.own_key(2 + place), step.samples, ROWS[1:], COUNT + 1)
        found[site] = Mask(filled(importance(step, site), r[..., :-1]), r[..., -1:])
    return found


def adversarial_masks(step):
    dealt = deal_sources(step.scope, step.sources, step.own_key(1), step.samples)
    return {
        site: Mask(filled(importance(step, site), dealt[site][..., :-1]), dealt[site][..., -1:]) for site in step.pieces
    }


def same(found, wanted):
    assert wanted > 1e-3
    assert float(found) == pytest.approx(float(wanted), rel=1e-4)


def test_every_weight_of_the_settings_has_its_term():
    assert tuple(reconstruction.TERMS) == RECONSTRUCTIONS


def test_stochastic_is_the_error_with_all_sites_masked_at_random(step):
    same(reconstruction.stochastic(step), explicit_error(step, random_masks(step)).mean())


def test_adversarial_is_the_error_under_the_adversarys_masks(step):
    same(reconstruction.adversarial(step), explicit_error(step, adversarial_masks(step)).mean())


@pytest.mark.parametrize("scope", ["shared", "position", "batch"])
def test_adversarial_takes_sources_of_every_reach(step, scope):
    other = replace(step, scope=scope, sources=start_sources(scope, ROWS, 3, dict.fromkeys(step.pieces, COUNT), 1, "x"))
    same(reconstruction.adversarial(other), explicit_error(other, adversarial_masks(other)).mean())


def test_layerwise_is_the_mean_of_the_errors_with_one_site_masked(step):
    masks = random_masks(step)
    errors = [explicit_error(step, {site: masks[site]}).mean() for site in step.pieces]
    assert len(errors) == 2
    same(reconstruction.layerwise(step), sum(errors) / 2)


def test_subset_masks_only_the_sites_that_a_row_is_routed_through(step):
    routes, masks = reconstruction.subset_routes(step), random_masks(step)
    assert routes.shape == (*ROWS, 2)
    assert 0 < routes.float().mean() < 1
    for place, site in enumerate(step.pieces):
        here = routes[..., place, None]
        masks[site] = Mask(*(torch.where(here, tensor, torch.ones(())) for tensor in masks[site]))
    same(reconstruction.subset(step), explicit_error(step, masks).mean())


def test_hidden_activations_is_the_sites_own_relative_error(step):
    _, outputs = explicit_outputs(step, random_masks(step))
    _, wanted = explicit_outputs(step, {})
    errors = [
        ((outputs[site] - wanted[site]).square().sum(-1) / wanted[site].square().sum(-1)).mean() for site in outputs
    ]
    same(reconstruction.hidden_activations(step), sum(errors) / len(errors))


def test_merged_is_the_adversarial_error_in_one_part_of_the_samples_and_the_subsets_in_the_others(step):
    step.notes.clear()
    found = reconstruction.merged(step)
    masks, attacked = {}, torch.tensor([False, True, False, True])[:, None, None]
    assert torch.equal(reconstruction.attacked_samples(step.samples, step.adversarial), attacked.flatten())
    routes, drawn, climbed = reconstruction.subset_routes(step), random_masks(step), adversarial_masks(step)
    for place, site in enumerate(step.pieces):
        here = routes[..., place, None]
        masks[site] = Mask(
            *(
                torch.where(attacked, one, torch.where(here, other, torch.ones(())))
                for one, other in zip(climbed[site], drawn[site], strict=True)
            )
        )
    errors = explicit_error(step, masks)
    same(found, errors.mean())
    same(step.notes["adversarial"], errors[1::2].mean())
    same(step.notes["stochastic"], errors[::2].mean())


def test_merged_with_no_sample_attacked_is_subset_and_with_all_is_adversarial(step):
    none, every = (replace(step, adversarial=torch.tensor(part), notes={}) for part in (0.0, 1.0))
    assert torch.equal(reconstruction.merged(none), reconstruction.subset(step))
    assert torch.equal(reconstruction.merged(every), reconstruction.adversarial(step))
    assert float(none.notes["adversarial"]) == 0
    assert float(every.notes["stochastic"]) == 0
    assert torch.equal(every.notes["adversarial"], reconstruction.adversarial(step))


@pytest.mark.parametrize("term", RECONSTRUCTIONS)
def test_pieces_that_are_all_needed_and_all_of_the_matrix_leave_no_error(step, term):
    pieces = {site: Pieces(*tiny.singular_pieces(weight)) for site, weight in step.model.weights.items()}
    logits = {site: torch.full((*ROWS, V.shape[1]), 1.5) for site, (V, _) in pieces.items()}
    sources = start_sources("pooled", ROWS, 3, {site: V.shape[1] for site, (V, _) in pieces.items()}, 0, "sources")
    exact = replace(step, pieces=pieces, logits=logits, sources=sources)
    assert abs(float(reconstruction.TERMS[term](exact))) < 1e-5
    assert float(reconstruction.TERMS[term](step)) > 1e-2


@pytest.mark.parametrize("term", RECONSTRUCTIONS)
def test_a_term_of_one_batch_is_the_mean_over_its_parts_with_the_samples_numbers(step, term):
    """The same masks are drawn, so a batch may be dealt over processes."""

    def part(numbers):
        return replace(
            step,
            batch=step.batch[numbers],
            clean=step.clean[numbers],
            inputs={site: x[numbers] for site, x in step.inputs.items()},
            logits={site: z[numbers] for site, z in step.logits.items()},
            samples=step.samples[numbers],
            notes={},
        )

    halves = [float(reconstruction.TERMS[term](part(numbers))) for numbers in ([0, 1], [2, 3])]
    assert sum(halves) / 2 == pytest.approx(float(reconstruction.TERMS[term](step)), rel=1e-5)


def test_another_step_and_another_site_have_other_masks(step):
    masks = reconstruction.stochastic_masks(step)
    later = reconstruction.stochastic_masks(replace(step, key=draws.key(0, "draws", 4)))
    flat = replace(step, logits={site: torch.zeros(*ROWS, COUNT) for site in step.pieces})
    sources = [torch.cat(mask, -1) for mask in reconstruction.stochastic_masks(flat).values()]
    assert not (sources[0] == sources[1]).any()
    assert not (masks["up"].delta == later["up"].delta).any()
    # No number is used twice: not between rows, not between subcomponents and the delta.
    assert len(torch.stack(sources).unique()) == torch.stack(sources).numel()


def test_a_mask_is_never_below_the_importance_and_never_above_1(step):
    for masks in (reconstruction.stochastic_masks(step), reconstruction.adversarial_masks(step)):
        for site, mask in masks.items():
            assert (mask.pieces >= importance(step, site) - 1e-6).all()
            assert (mask.pieces <= 1 + 1e-6).all()
            assert mask.delta.shape == (*ROWS, 1)


def test_gradients_of_the_merged_term_reach_only_the_sources_of_attacked_samples(step):
    counts = dict.fromkeys(step.pieces, COUNT)
    sources = {
        site: source.requires_grad_() for site, source in start_sources("batch", ROWS, 1, counts, 0, "sources").items()
    }
    with torch.enable_grad():
        reconstruction.merged(replace(step, scope="batch", sources=sources, notes={})).backward()
    for source in sources.values():
        moved = source.grad.flatten(1).any(-1)
        assert moved.tolist() == [False, True, False, True]
        assert source.grad[..., -1].any()  # the delta's too


@calm
@given(st.integers(0, 20), st.integers(1, 64))
def test_attacked_samples_are_spread_as_evenly_as_whole_numbers_allow(parts, count):
    part = Fraction(parts, 20)
    attacked = reconstruction.attacked_samples(torch.arange(count), torch.tensor(float(part)))
    for first in range(count + 1):
        assert int(attacked[:first].sum()) == math.ceil(first * part - Fraction(1, 2))


@pytest.mark.parametrize(
    ("part", "count", "expected"),
    [(0.29, 100, 29), (0.7, 10, 7), (1 / 3, 3, 1), (1 / 3, 999, 333), (0.999, 1000, 999), (1.0, 7, 7), (0.05, 16, 1)],
)
def test_a_part_that_is_no_float_gives_the_number_that_it_means(part, count, expected):
    assert int(reconstruction.attacked_samples(torch.arange(count), torch.tensor(part)).sum()) == expected


def test_half_of_the_samples_are_those_of_odd_number():
    attacked = reconstruction.attacked_samples(torch.arange(7), torch.tensor(0.5))
    assert attacked.tolist() == [False, True] * 3 + [False]


def test_a_part_that_is_no_sample_at_all_is_refused_with_the_least_that_would_be_one():
    reconstruction.check_attacked(16, 0.0)
    reconstruction.check_attacked(16, 0.032)
    with pytest.raises(UnweaveError) as refused:
        reconstruction.check_attacked(16, 0.03)
    assert str(refused.value) == (
        "adversarial_fraction is 0.03, which is none of the 16 samples of a batch: set it above 0.03125, make batches "
        "larger, or set it to 0"
    )


def routes_of(count, samples=4000, key=None):
    """Routes of a step with so many sites, four positions a sample."""
    step = SimpleNamespace(
        sites=list("abcdefgh"[:count]),
        samples=torch.arange(samples),
        rows=(samples, 4),
        own_key=lambda purpose: draws.words(draws.key(7) if key is None else key, torch.tensor(purpose)),
    )
    return reconstruction.subset_routes(step).flatten(0, -2)


def chi_square(counts, expected):
    return sum((count - expected) ** 2 / expected for count in counts)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_number_of_sites_is_as_likely_and_every_subset_of_that_many(count):
    routes = routes_of(count)
    sizes = routes.sum(-1)
    assert int(sizes.min()) >= 1
    # Chi-square of 3 and of 5 degrees of freedom: above 22 and 26 in one case of ten thousand.
    assert chi_square(torch.bincount(sizes, minlength=count + 1)[1:].tolist(), len(routes) / count) < 22
    for size in range(1, count + 1):
        found = Counter(map(tuple, routes[sizes == size].int().tolist()))
        subsets = [tuple(int(site in chosen) for site in range(count)) for chosen in combinations(range(count), size)]
        assert set(found) == set(subsets)
        assert chi_square([found[each] for each in subsets], sum(found.values()) / len(subsets)) < 26


def test_neighbouring_rows_and_steps_are_routed_independently():
    first, later = routes_of(3).float(), routes_of(3, key=draws.key(8)).float()
    for one, other in ((first[1:], first[:-1]), (first, later)):
        for site in range(3):
            pair = torch.stack([one[:, site], other[:, site]])
            assert abs(float(torch.corrcoef(pair)[0, 1])) < 4 / len(first) ** 0.5
