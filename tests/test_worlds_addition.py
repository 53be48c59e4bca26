from __future__ import annotations

import numpy as np
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.shapes import worlds
from unweave.shapes.manifolds.choice import choose
from unweave.shapes.manifolds.family import fit
from unweave.shapes.steering.system import Labelled, layout
from unweave.shapes.worlds.addition import (
    AdditionConfig,
    AdditionNetwork,
    held_out_accuracy,
    held_out_pairs,
    load_or_train,
    pairs,
    train,
)
from unweave.shapes.worlds.addition_system import CONTEXTS, EMBEDDING, NEURONS, STREAM, AdditionSystem, modular_addition
from unweave.shapes.worlds.answers_round import answers_round
from unweave.shapes.worlds.spectrum import component, spectrum
from unweave.shapes.worlds.states import centroids

SMALL = AdditionConfig(modulus=13, width=8, hidden=64, trained_on=0.8, steps=800, learning_rate=1e-2)
TURN = 2 * np.pi


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    return modular_addition(SMALL, folder=tmp_path_factory.mktemp("worlds"))


def everywhere(states):
    return np.broadcast_to(states, (CONTEXTS, *states.shape))


def test_the_package_offers_its_names_also_after_its_modules_were_imported():
    assert {name: type(getattr(worlds, name)).__name__ for name in worlds.__all__} == {
        **dict.fromkeys(["AdditionConfig", "AdditionSystem", "CarSystem", "WorldConfig"], "type"),
        **dict.fromkeys(["modular_addition", "mountain_car"], "function"),
    }


def test_pairs_that_were_not_trained_on_are_added_right(system):
    first, second = pairs(13)
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == 169
    assert len(held_out_pairs(SMALL)) == 34
    assert held_out_accuracy(system.network, SMALL) >= 0.9
    assert held_out_accuracy(AdditionNetwork(SMALL), SMALL) < 0.4


def test_accuracy_is_of_the_pairs_that_were_not_trained_on():
    first, second = (each[held_out_pairs(SMALL)] for each in pairs(13))
    wrong = torch.zeros(13, 13, dtype=torch.long)
    wrong[first, second] = 1
    assert held_out_accuracy(lambda a, b: torch.eye(13)[(a + b + wrong[a, b]) % 13], SMALL) == 0
    assert held_out_accuracy(lambda a, b: torch.eye(13)[(a + b + 1 - wrong[a, b]) % 13], SMALL) == 1


def test_training_is_the_same_again_and_what_is_kept_is_what_was_trained(tmp_path, monkeypatch):
    short = AdditionConfig(modulus=5, hidden=8, steps=5)
    once, kept = train(short).state_dict(), load_or_train(short, folder=tmp_path).state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in once.items())
    monkeypatch.setattr("unweave.shapes.worlds.addition.train", None)
    again = load_or_train(short, folder=tmp_path).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in once.items())
    assert [each.suffix for each in tmp_path.iterdir() if each.suffix != ".lock"] == [".safetensors"]
    assert not torch.equal(AdditionNetwork(short).out.weight, once["out.weight"])


def test_the_spectrum_of_waves_is_where_they_are():
    number = np.arange(13)[:, None]
    waves = [np.concatenate([np.cos(TURN * k * number / 13), np.sin(TURN * k * number / 13)], 1) for k in (2, 5)]
    found = spectrum(np.concatenate([3 * waves[0], waves[1], np.full((13, 1), 7.0)], 1))
    assert found.power[[1, 4]] == pytest.approx([0.9, 0.1])
    assert found.strongest[:2] == (2, 5)
    assert found.key_frequencies() == (2,)
    assert found.key_frequencies(0.95) == (2, 5)
    both = np.concatenate([waves[0] + 1, waves[1]], 1)
    assert np.allclose(component(both, 2), np.concatenate([waves[0] + 1, np.zeros((13, 2))], 1))
    with pytest.raises(UnweaveError, match="odd modulus"):
        spectrum(np.zeros((12, 3)))
    with pytest.raises(UnweaveError, match="equal"):
        spectrum(np.ones((13, 3)))
    with pytest.raises(UnweaveError, match="1 to 6"):
        component(both, 7)


def test_few_frequencies_hold_the_trained_network_and_not_the_untrained(system):
    before = AdditionSystem(AdditionNetwork(SMALL), SMALL)
    for layer in system.layers:
        held = np.sort(system.spectrum(layer).power)[::-1][:3].sum()
        assert held > np.sort(before.spectrum(layer).power)[::-1][:3].sum()
    assert np.sort(system.spectrum(STREAM).power)[::-1][:3].sum() > 0.9


def test_a_state_put_back_changes_nothing_and_another_one_brings_its_number(system):
    for layer in system.layers:
        labelled, natural = system.states(layer), system.natural(layer)
        assert len(labelled.states) == len(natural) == 169 - CONTEXTS
        assert natural.sum(1) == pytest.approx(1)
        assert not natural[:, -1].any()
        assert (natural.argmax(1) == labelled.index).mean() > 0.95
        answers = system.answers(layer, everywhere(system.centroids(layer)))
        assert answers.shape == (CONTEXTS, 13, 14)
        assert (answers.argmax(2) == np.arange(13)).mean() > 0.9
    first, second = (each[system._contexts] for each in pairs(13))
    with torch.no_grad():
        own = system.network(first, second).softmax(1).numpy()
    for layer in (NEURONS, STREAM):
        assert np.allclose(system.answers(layer, system.bases(layer)[:, None])[:, 0, :-1], own, atol=1e-6)
    shifted = system.answers(EMBEDDING, system.bases(EMBEDDING)[:, None])[:, 0, :-1]
    assert np.allclose(shifted[np.arange(16), first], own[np.arange(16), (first + second) % 13], atol=1e-6)


def test_values_are_placed_by_the_strongest_frequency():
    # The trained one's strongest frequency is 1, at which numbers are in their own order.
    system = AdditionSystem(AdditionNetwork(SMALL), SMALL)
    places = system.places
    assert system.frequency > 1
    assert sorted(places) == list(range(13))
    assert places[1] == system.frequency == system.spectrum(STREAM).strongest[0]
    neighbours = np.argwhere(system.metric == 1)
    assert ((neighbours[:, 0] - neighbours[:, 1]) * system.frequency % 13 % 11 == 1).all()
    assert layout(system.metric).period == pytest.approx(13)


def test_round_the_circle_of_the_strongest_frequency_answers_come_in_its_order(system):
    circle = component(system.centroids(STREAM), system.frequency)
    closed = fit("closed spline", circle)
    order = system.places[np.argsort(closed.knots[:, 0])]
    assert set(np.diff(order) % 13) in ({1}, {12})


def test_round_the_curve_of_the_states_the_numbers_come_in_order_which_no_shuffled_curve_does(system):
    found, null = (answers_round(system, NEURONS, order) for order in ("frequency", "shuffled"))
    assert len(found.answers) == 13 * 20
    assert (found.neighbours, found.reached) == (1, 1)
    assert found.in_order > 0.5 > null.in_order
    # Two circles of the same size: no plane of two axes shows one of them alone.
    assert answers_round(system, NEURONS, "axes").neighbours < 1
    for layer in system.layers:
        # Whatever the order, the curve goes through every centroid, and each of them brings its own number.
        assert answers_round(system, layer, "shuffled").reached > 0.9
    with pytest.raises(UnweaveError, match="1 steps a value"):
        answers_round(system, STREAM, per_value=1)
    with pytest.raises(UnweaveError, match="nearest: 'axes'"):
        answers_round(system, STREAM, "axis")


def test_a_choice_names_two_dimensions_for_each_circle_and_the_untrained_network_has_none_of_them(system):
    circles = len(system.spectrum(NEURONS).key_frequencies())
    # A closed curve of circles in planes of their own is in no family, and the flat that they span is.
    assert choose(system.centroids(NEURONS), None, ["circle", "closed spline"]).name == f"flat {2 * circles}"
    untrained = AdditionSystem(AdditionNetwork(SMALL), SMALL)
    assert len(untrained.spectrum(NEURONS).key_frequencies()) == 6
    assert choose(untrained.centroids(NEURONS), None, ["circle", "closed spline"]).dimension < 2 * circles


def test_what_cannot_be_asked_is_refused(system):
    with pytest.raises(UnweaveError, match="no layer 3"):
        system.states(3)
    with pytest.raises(UnweaveError, match=r"needs \[16, p, 64\]"):
        system.answers(NEURONS, np.zeros((16, 1, 8)))
    with pytest.raises(UnweaveError, match="modulus is 15: give a prime"):
        AdditionConfig(modulus=15)
    with pytest.raises(UnweaveError, match="trained_on is 1"):
        AdditionConfig(trained_on=1)
    with pytest.raises(UnweaveError, match="weight decay -1"):
        AdditionConfig(weight_decay=-1)
    three = Labelled(system.states(STREAM).states[:3], np.array([0, 1, 3]))
    with pytest.raises(UnweaveError, match="value 2 of 4 has no state"):
        centroids(three, 4)


@pytest.mark.slow
def test_the_default_network_adds_right_with_few_frequencies_and_answers_in_order_round_their_circle(tmp_path):
    system = modular_addition(folder=tmp_path)
    untrained = AdditionSystem(AdditionNetwork(system.config), system.config)
    assert held_out_accuracy(system.network, system.config) == 1
    assert held_out_accuracy(untrained.network, system.config) < 0.05
    for layer in system.layers:
        assert len(system.spectrum(layer).key_frequencies()) <= 4
        assert len(untrained.spectrum(layer).key_frequencies()) > 20
    found, null = (answers_round(system, NEURONS, order) for order in ("axes", "shuffled"))
    assert (found.neighbours, found.reached) == (1, 1)
    assert found.in_order > 0.9 > 0.3 > null.in_order
