from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.decompose import whole_model
from unweave.decompose.checkpoint import optimiser_tensors
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.importance import IMPORTANCES, SiteShape, Widths
from unweave.decompose.pruning import kept_subcomponents, shortened
from unweave.decompose.whole_model import train_whole_model

calm = settings(max_examples=60, deadline=None)
# Names that begin as others do, and as the prefixes of what is stored beside the pieces.
SITES = {"up": (3, 4, 5), "up.up": (4, 3, 6), "sources": (2, 6, 7), "h.0.mlp": (6, 2, 4), "usage": (3, 3, 5)}


@calm
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=100), st.floats(0, 1, width=32), st.integers(1, 9))
def test_what_is_used_more_than_the_threshold_is_kept_in_order_and_no_fewer_than_the_rank(usage, below, rank):
    kept = kept_subcomponents(torch.tensor(usage), below, rank).tolist()
    wanted = [index for index, value in enumerate(usage) if value > below]
    if len(wanted) >= rank:
        assert kept == wanted
    else:
        assert len(kept) == min(rank, len(usage))
        assert sorted(usage[index] for index in kept) == sorted(usage)[-len(kept) :]


@calm
@given(st.integers(128, 300), st.integers(0, 300), st.integers(0, 1000))
def test_large_counts_stay_multiples_of_sixteen_filled_up_with_the_most_used_of_the_others(count, used, seed):
    usage = torch.rand(count, generator=torch.Generator().manual_seed(seed)) * 1e-3
    usage[torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:used]] += 0.5
    kept = kept_subcomponents(usage, 1e-2, 1)
    assert len(kept) == count or len(kept) % 16 == 0
    assert 0 <= len(kept) - max(1, int((usage > 1e-2).sum())) < 16
    assert kept.tolist() == sorted(set(kept.tolist()))
    others = usage[~torch.isin(torch.arange(count), kept)]
    assert not len(others) or usage[kept].min() >= others.max()


def test_below_128_subcomponents_no_unused_one_is_kept():
    assert len(kept_subcomponents(torch.tensor([1.0] * 5 + [0.0] * 122), 1e-6, 2)) == 5
    assert len(kept_subcomponents(torch.tensor([1.0] * 5 + [0.0] * 123), 1e-6, 2)) == 16


def held(kind, scope_rows=(3, 1)):
    """A run's tensors for sites of awkward names, each with values of its own, and optimiser state after a step."""
    generator = torch.Generator().manual_seed(0)
    shapes = [SiteShape(name, d_in, count) for name, (d_in, _, count) in SITES.items()]
    state = dict(IMPORTANCES[kind].init(shapes, Widths(8, 1, 2), 0))
    for name, (d_in, d_out, count) in SITES.items():
        state |= {f"{name}/V": torch.randn(d_in, count), f"{name}/U": torch.randn(count, d_out)}
    state = {name: torch.randn(tensor.shape, generator=generator) for name, tensor in state.items()}
    sources = {
        f"sources:{name}": torch.rand(*scope_rows, count + 1, generator=generator)
        for name, (_, _, count) in SITES.items()
    }
    found = {}
    for label, tensors in (("descent", state), ("ascent", sources)):
        parameters = {name: tensor.clone().requires_grad_() for name, tensor in tensors.items()}
        optimiser = torch.optim.Adam(parameters.values(), fused=True)
        for tensor in parameters.values():
            tensor.grad = torch.randn(tensor.shape, generator=generator)
        optimiser.step()
        found |= {name: tensor.detach() for name, tensor in parameters.items()}
        found |= optimiser_tensors(label, optimiser, parameters)
    scales = {f"{name}/{scale}": torch.tensor(2.0) for name in SITES for scale in ("weight_scale", "importance.scale")}
    usage = {f"usage:{name}": torch.rand(count) for name, (_, _, count) in SITES.items()}
    return found | scales | usage


@pytest.mark.parametrize("kind", list(IMPORTANCES))
def test_every_tensor_of_a_site_is_shortened_alike_and_nothing_else(kind):
    """Its sources keep the entry of the delta, which is their last."""
    tensors = held(kind)
    keep = {name: torch.arange(count)[number % 2 :: 2] for number, (name, (_, _, count)) in enumerate(SITES.items())}
    found = shortened(tensors, keep, IMPORTANCES[kind].per_subcomponent)
    assert list(found) == list(tensors)
    seen = 0
    for name, tensor in tensors.items():
        parameter = name
        if name.endswith(("/exp_avg", "/exp_avg_sq")):
            parameter = name.removeprefix("descent:").removeprefix("ascent:").rsplit("/", 1)[0]
        wanted = tensor
        for site, (_, _, count) in SITES.items():
            own = keep[site]
            if parameter == f"{site}/U":
                wanted = tensor[own]
            elif parameter in (f"{site}/V", f"usage:{site}") or (
                parameter.startswith(f"{site}/importance.") and tensor.shape[-1:] == (count,)
            ):
                wanted = tensor[..., own]
            elif parameter == f"sources:{site}":
                wanted = torch.cat([tensor[..., own], tensor[..., -1:]], -1)
        assert torch.equal(found[name], wanted), name
        assert found[name].is_contiguous()
        seen += found[name].shape != tensor.shape
    # V, U and sources with two moments each, usage, and those of the importance function.
    own = len(IMPORTANCES[kind].per_subcomponent)
    assert seen == len(SITES) * (3 * (3 + own) + 1)


@pytest.mark.parametrize("kind", list(IMPORTANCES))
def test_keeping_everything_changes_nothing(kind):
    tensors = held(kind)
    keep = {name: torch.arange(count) for name, (_, _, count) in SITES.items()}
    found = shortened(tensors, keep, IMPORTANCES[kind].per_subcomponent)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("kind", list(IMPORTANCES))
def test_the_pieces_that_stay_have_the_importances_that_they_had(kind):
    generator = torch.Generator().manual_seed(1)
    tensors = held(kind)
    keep = {name: torch.arange(count)[::2] for name, (_, _, count) in SITES.items()}
    inputs = {name: torch.randn(2, 5, d_in, generator=generator) for name, (d_in, _, _) in SITES.items()}
    before = IMPORTANCES[kind].logits(tensors, inputs)
    after = IMPORTANCES[kind].logits(shortened(tensors, keep, IMPORTANCES[kind].per_subcomponent), inputs)
    for name, own in keep.items():
        torch.testing.assert_close(after[name], before[name][..., own])


@pytest.mark.parametrize("importance", list(IMPORTANCES))
def test_a_training_that_prunes_goes_on_and_ends_with_the_pieces_that_were_used(importance):
    """The threshold is one that some importances have fallen below by then."""
    target, said, logged = tiny.words(), [], []
    config = replace(
        tiny.CONFIG, importance=importance, steps=60, prune_at=(0.25, 0.5), prune_below=0.93, sparsity=0.05
    )
    progress = SimpleNamespace(say=said.append, update=lambda *_: None)
    tensors = train_whole_model(target, target.sites(), tiny.sentences(), config, progress=progress, log=logged.append)
    made = Decomposition.from_tensors(tensors, ["up", "down"], importance, "x")
    left = sum(map(len, made.sites.values()))
    assert 2 <= left < 24
    assert left == 24 - sum(int(line.split("dropped ")[1].split()[0]) for line in said)
    assert said[0].startswith("step 15: dropped ")
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert logged[-1]["alive"] <= left


def test_pruning_happens_at_its_steps_and_before_what_is_learned_there(monkeypatch):
    seen = []
    step = whole_model.Training.step

    def spy(self, number):
        seen.append((number, sum(map(len, self.usage.values()))))
        return step(self, number)

    monkeypatch.setattr(whole_model.Training, "step", spy)
    target = tiny.features()
    config = replace(tiny.CONFIG, divergence="mse", prune_at=(0.5,), prune_below=2.0)  # nothing is used so much
    train_whole_model(target, target.sites(), tiny.rows(), config)
    ranks = sum(min(site.d_in, site.d_out) for site in target.sites())
    assert seen == [(number, 24 if number < 10 else ranks) for number in range(20)]


def test_a_step_in_which_all_are_used_is_said_nothing_of():
    said = []
    target = tiny.features()
    config = replace(tiny.CONFIG, divergence="mse", prune_at=(0.5,), prune_below=0.0)
    progress = SimpleNamespace(say=said.append, update=lambda *_: None)
    tensors = train_whole_model(target, target.sites(), tiny.rows(), config, progress=progress)
    assert not said
    assert tensors["first/V"].shape == (6, 12)
