from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from planted_concept import planted_states, ring_concept

from unweave.base.errors import UnweaveError
from unweave.read.features import subcomponent_dictionary
from unweave.shapes.concepts.states import label_sequences, split_templates
from unweave.shapes.concepts.units import UnitReadings, carried, discover_groups, read_units, told_places
from unweave.shapes.manifolds.discovery import DiscoveryConfig


def test_units_are_read_at_the_last_token_of_every_text_and_are_0_where_they_do_not_fire(llama, decomposed):
    dictionary = subcomponent_dictionary(decomposed(llama, "model.layers.1.mlp.down_proj", count=8), llama)
    sequences = [*label_sequences(llama, ring_concept(4)), [5, 6]]
    found = read_units(llama, dictionary, sequences)
    assert found.names[3] == "model.layers.1.mlp.down_proj:3"
    seen = {}
    site = llama.module.model.layers[1].mlp.down_proj
    for row in (0, 17, len(sequences) - 1):
        handle = site.register_forward_pre_hook(lambda _, args: seen.update(x=args[0].detach()))
        llama.logits(torch.tensor([sequences[row]]))
        handle.remove()
        reading = dictionary.encode({"model.layers.1.mlp.down_proj": seen["x"]})["model.layers.1.mlp.down_proj"]
        on = (reading.importance[0, -1] > 0.1).numpy()
        assert found.activation[row] == pytest.approx(
            np.where(on, reading.activation[0, -1].detach().numpy(), 0), abs=1e-5
        )
        assert found.importance[row] == pytest.approx(
            np.where(on, reading.importance[0, -1].detach().numpy(), 0), abs=1e-5
        )


def planted(seed=0, values=12):
    """Readings of a ring's texts: a tuned group of six units, a group that says the template, and 20 of noise."""
    states = planted_states(ring_concept(values), seed=seed)
    generator = np.random.default_rng(seed)
    angle = np.repeat(np.arange(values) / values * 2 * np.pi, 12)
    template = np.tile(np.arange(12), values)
    centres = np.arange(6) / 6 * 2 * np.pi
    tuned = np.maximum(np.cos(angle[:, None] - centres) - 0.2, 0)
    said = np.where(template[:, None] % 3 == 0, generator.random((len(angle), 6)) + 0.5, 0)
    noise = np.where(generator.random((len(angle), 20)) < 0.3, generator.random((len(angle), 20)), 0)
    activity = np.concatenate([tuned, said, noise], 1).astype(np.float32)
    return states, UnitReadings(tuple(f"u:{unit}" for unit in range(32)), activity, activity)


def test_the_group_that_is_tuned_to_the_values_tells_them_and_beats_random_groups():
    states, readings = planted()
    split = split_templates(12, 0, "ring")
    groups = discover_groups([readings], config=DiscoveryConfig(random_groups=19))
    found = carried(groups, readings, states.concept, told_places(states, split.fit, 2), split, 99)
    units = groups.groups[found.group].units
    assert set(range(6)) <= set(units)
    assert len(units) <= 8
    assert found.r2 > 0.9 > found.null
    assert found.p == 1 / 100
    assert (found.concept, found.seed, found.units) == ("ring", 0, len(units))


def test_of_noise_the_best_group_is_no_better_than_the_best_of_as_many_at_random():
    p = []
    for seed in range(12):
        states, readings = planted(seed)
        generator = np.random.default_rng(seed)
        noise = generator.random(readings.activation.shape).astype(np.float32)
        blind = UnitReadings(readings.names, noise, noise)
        split = split_templates(12, seed, "ring")
        groups = SimpleNamespace(
            groups=[SimpleNamespace(units=tuple(range(at, at + 4)), kind="capture") for at in range(0, 32, 4)],
            considered=tuple(range(32)),
        )
        p.append(carried(groups, blind, states.concept, told_places(states, split.fit, 2), split, 39, seed).p)
    assert sum(each <= 0.1 for each in p) <= 4
    assert np.mean(p) > 0.25


def test_more_texts_than_are_coupled_are_drawn_and_no_group_is_no_answer(monkeypatch):
    states, readings = planted()
    seen = []
    from unweave.shapes.concepts import units

    monkeypatch.setattr(units, "discover", lambda rows, *_: seen.append(rows.shape) or SimpleNamespace(groups=()))
    none = discover_groups([readings, readings], most_rows=100)
    assert seen == [(100, 32)]
    split = split_templates(12, 0, "ring")
    assert carried(none, readings, states.concept, told_places(states, split.fit, 2), split) is None


def test_readings_of_other_texts_are_refused():
    states, readings = planted()
    split = split_templates(12, 0, "ring")
    groups = discover_groups([readings], config=DiscoveryConfig(random_groups=19))
    with pytest.raises(UnweaveError, match="has 120 and 10"):
        carried(groups, readings, ring_concept(10), told_places(states, split.fit, 2), split)
