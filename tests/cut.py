"""Runs of which every step can be cut in parts, and in processes, and must stay the step it is."""

from __future__ import annotations

import functools
from dataclasses import replace

import tiny
import torch

from unweave.decompose import whole_model
from unweave.decompose.whole_model import train_whole_model

STEPS = 4
RUNS = {
    "pooled, ascents, frequency": {"ascent_steps": 2, "frequency": 3.0, "sparsity": 0.05, "frequency_reference": 512},
    "shared": {"sources": "shared", "ascent_steps": 1, "merged": 0.5, "adversarial": 0.5},
    "position, fresh": {"adversary": "fresh", "sources": "position", "ascent_steps": 2, "adversarial_fraction": 0.4},
    "batch": {"sources": "batch", "frequency": 0.0, "penalty": "lp", "anneal_from": 2.0, "anneal_to": 0.5},
    "batch, fresh": {"adversary": "fresh", "sources": "batch", "ascent_steps": 1, "importance": "component-mlp"},
    "no adversary yet": {"merged": 0.0, "adversarial": 1.0, "adversary_start": 0.6, "importance": "shared-mlp"},
    "other terms, pruned": {
        "merged": 0.0,
        "stochastic": 0.5,
        "layerwise": 0.5,
        "subset": 0.5,
        "hidden_activations": 0.5,
        "importance": "transformer",
        "faithfulness_steps": 3,
        "prune_at": (0.5,),
        "prune_below": 0.99,
        "sparsity": 0.05,
    },
}
"""Settings beside those of ``tiny.CONFIG``: every source, term and kind of importance at least once."""


def config_of(run, **options):
    # From random pieces: where they are the matrix exactly the delta's mask changes nothing, and the slope of its
    # source, which is rounding alone, is a full step of the adversary.
    return replace(tiny.CONFIG, steps=STEPS, start="random", **RUNS[run], **options)


def measured(config, batch=6):
    """What every step measured, the gradients before each descent, and the result."""
    target, logged, gradients = tiny.words(), [], []
    descend, every = whole_model.Training._descend, whole_model.LOG_EVERY

    def spy(self, step):
        found = {name: tensor.grad.clone() for name, tensor in self.trained.items()}
        found |= {f"sources {name}": s.grad.clone() for name, s in self.sources.items() if s.grad is not None}
        gradients.append(found)
        return descend(self, step)

    whole_model.Training._descend, whole_model.LOG_EVERY = spy, 1
    try:
        tensors = train_whole_model(target, target.sites(), tiny.sentences(batch), config, log=logged.append)
    finally:
        whole_model.Training._descend, whole_model.LOG_EVERY = descend, every
    for values in logged:
        del values["seconds"]
    return logged, gradients, tensors


@functools.cache
def uncut(run):
    return measured(config_of(run))


def assert_same(found, wanted):
    """Equal up to the rounding of sums, which is near 1e-7 here."""
    for values, others in zip(found[0], wanted[0], strict=True):
        assert values.keys() == others.keys()
        for name, value in values.items():
            assert abs(value - others[name]) <= 2e-5 * abs(others[name]) + 1e-6, name
    for tensors, others in zip([*found[1], found[2]], [*wanted[1], wanted[2]], strict=True):
        assert tensors.keys() == others.keys()
        for name, tensor in tensors.items():
            assert tensor.shape == others[name].shape, name
            assert (tensor - others[name]).norm() <= 2e-5 * others[name].norm() + 1e-6, name
            assert torch.isfinite(tensor).all(), name
