from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.choice import choose
from unweave.shapes.steering.system import Labelled, layout
from unweave.shapes.worlds.car import LEFT, RIGHT, Screen, rollouts, step
from unweave.shapes.worlds.car_system import CODE, CONTEXTS, DECISION, RUNS, STATE, CarSystem, mountain_car
from unweave.shapes.worlds.decoded_paths import WAYS, DecodedPaths, decoded_paths, difference
from unweave.shapes.worlds.frame_model import (
    WARM,
    FrameModel,
    WorldConfig,
    held_out,
    held_out_error,
    load_or_train,
    train,
)
from unweave.shapes.worlds.states import centroids

SMALL = WorldConfig(
    Screen(16, 5, 1.0), code=12, hidden=24, rollouts=48, rollout_steps=16, steps=350, batch=16, learning_rate=1e-2
)


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    return tmp_path_factory.mktemp("worlds")


@pytest.fixture(scope="module")
def system(cached):
    return mountain_car(SMALL, folder=cached, bins=8)


def everywhere(states):
    return np.broadcast_to(states, (CONTEXTS, *states.shape))


def test_the_car_moves_as_the_standard_task_says():
    # Worked out by hand: -0.5 + (0.001 - 0.0025 cos(-1.5)).
    there, speed = step(np.array([-0.5]), np.array([0.0]), np.array([2]))
    assert speed[0] == pytest.approx(0.001 - 0.0025 * np.cos(-1.5))
    assert there[0] == pytest.approx(-0.5 + speed[0])
    assert step(np.array([-1.19]), np.array([-0.07]), np.array([0])) == (LEFT, 0.0)
    assert step(np.array([0.59]), np.array([0.07]), np.array([2])) == (RIGHT, 0.0)
    # Full throttle from the bottom does not reach the top: that is the task.
    place, speed = np.array([-0.5]), np.array([0.0])
    for _ in range(200):
        place, speed = step(place, speed, np.array([2]))
        assert place[0] < 0.5


def test_random_runs_follow_the_physics_hold_their_actions_and_see_the_track():
    runs = rollouts(64, 40, 3)
    there, speed = step(runs.positions[:, :-1], runs.velocities[:, :-1], runs.actions[:, :-1])
    assert np.array_equal(there, runs.positions[:, 1:])
    assert np.array_equal(speed, runs.velocities[:, 1:])
    assert 0.7 < (np.diff(runs.actions) == 0).mean() < 0.95
    assert runs.positions.min() < -1.1
    assert runs.positions.max() > 0.5
    assert np.array_equal(runs.positions, rollouts(64, 40, 3).positions)
    assert not np.array_equal(runs.positions, rollouts(64, 40, 3, "held out").positions)


def test_a_picture_shows_the_car_where_it_is_and_nothing_else():
    screen = Screen(32, 10)
    positions = np.linspace(-1.1, 0.5, 20)
    car = (screen.frames(positions) - screen.empty()).reshape(20, 10, 32)
    assert car.min() >= 0
    columns = car.sum(1)
    middle = (columns * np.arange(32)).sum(1) / columns.sum(1) / 31 * (RIGHT - LEFT) + LEFT
    assert np.abs(middle - positions).max() < 0.04
    rows = (car.sum(2) * np.arange(10)).sum(1) / car.sum((1, 2))
    # The bottom of the valley is at -pi/6.
    assert abs(positions[rows.argmax()] + np.pi / 6) < 0.1
    assert screen.frames(positions[3]).shape == (320,)


def test_the_next_picture_is_predicted_better_than_by_every_baseline(system):
    found = held_out_error(system.model, SMALL, 16)
    assert found.model < 0.6 * found.copy_last
    assert found.copy_last < 0.5 * found.mean_frame
    assert found.untrained > found.mean_frame


def test_training_is_the_same_again_and_goes_on_where_it_was_stopped(system, cached, monkeypatch, tmp_path):
    short = WorldConfig(SMALL.screen, 8, 8, 8, 8, steps=6, batch=4)
    whole = train(short).state_dict()
    checkpoint = tmp_path / "training.safetensors"
    monkeypatch.setattr("unweave.shapes.worlds.training.CHECKPOINT_SECONDS", -1.0)

    class Stop:
        def update(self, done, total, note=""):
            raise KeyboardInterrupt

        def say(self, line): ...

    monkeypatch.setattr("unweave.shapes.worlds.training.REPORTED", 3)
    with pytest.raises(KeyboardInterrupt):
        train(short, Stop(), checkpoint)
    assert checkpoint.exists()
    monkeypatch.undo()
    again = train(short, None, checkpoint).state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    # What is kept is what was trained, and it is not trained anew.
    monkeypatch.setattr("unweave.shapes.worlds.frame_model.train", None)
    loaded = load_or_train(SMALL, folder=cached).state_dict()
    assert all(torch.equal(value, system.model.state_dict()[name]) for name, value in loaded.items())


def test_every_layer_holds_the_next_position_and_its_centroids_show_it(system):
    positions = system.positions
    for layer in system.layers:
        labelled = system.states(layer)
        assert len(labelled.states) == len(system.shown)
        assert np.array_equal(labelled.index, system.value_of(system.shown))
        natural = system.natural(layer)
        assert natural.sum(1) == pytest.approx(1)
        assert (natural.argmax(1) == labelled.index).mean() > 0.6
        answers = system.answers(layer, everywhere(centroids(labelled, 8)))
        assert answers.shape == (CONTEXTS, 8, 9)
        if layer == STATE:
            assert (answers.argmax(2) == np.arange(8)).mean() > 0.7
    assert np.allclose(system.metric, np.abs(positions[:, None] - positions))
    assert layout(system.metric).period == 0


def test_states_are_labelled_with_the_next_picture_and_not_with_the_one_seen(system):
    data, _ = held_out(SMALL, RUNS, "states")
    with torch.no_grad():
        drawn = system.model.drawn(torch.from_numpy(system.states(DECISION).states).float()).numpy()
    there = system.seen(drawn).positions
    before = data.positions[:, WARM - 1 : -1].reshape(-1)
    assert np.abs(there - system.shown).mean() < 0.8 * np.abs(there - before).mean()


def test_what_is_put_in_is_what_is_drawn_from(system):
    # A context's own state gives its own prediction, at every layer the same picture.
    pictures = [system.frames(layer, system.bases(layer)[:, None])[:, 0] for layer in system.layers]
    assert np.allclose(pictures[CODE], pictures[STATE], atol=1e-5)
    assert np.allclose(pictures[STATE], pictures[DECISION], atol=1e-5)
    swapped = system.frames(STATE, system.bases(STATE)[::-1][:, None])[:, 0]
    # The state carries the picture over; only the action stays behind.
    assert np.abs(swapped - pictures[STATE][::-1]).max() < 0.3 < np.abs(swapped - pictures[STATE]).max()


def test_one_car_is_found_two_halves_are_half_unexplained_and_no_car_is_no_value(system):
    screen = SMALL.screen
    left, right = (screen.frames(np.array([each])) for each in (-0.9, 0.3))
    seen = system.seen(np.concatenate([left, right, (left + right) / 2, screen.empty()[None]]))
    assert seen.positions[:2] == pytest.approx([-0.9, 0.3], abs=0.01)
    assert seen.unexplained[:2] == pytest.approx(0, abs=1e-3)
    assert seen.unexplained[2] == pytest.approx(0.5, abs=0.1)
    assert seen.unexplained[3] == pytest.approx(1, abs=1e-6)
    assert seen.probabilities.sum(1) == pytest.approx(1)
    assert seen.probabilities[:2].argmax(1).tolist() == system.value_of(np.array([-0.9, 0.3])).tolist()
    assert seen.probabilities[3, -1] == pytest.approx(1)


def test_the_curve_keeps_the_car_whole_and_the_shuffled_one_does_not(system):
    pairs = np.array([[0, 3], [1, 6], [2, 7], [0, 7], [3, 5], [4, 6], [1, 2]])
    ways = {way: decoded_paths(system, STATE, way, pairs, 24) for way in ("manifold", "chord", "shuffled curve")}
    assert ways["manifold"].error.mean() < ways["chord"].error.mean()
    assert ways["manifold"].error.mean() < 0.5 * ways["shuffled curve"].error.mean()
    assert ways["manifold"].jumps.mean() < ways["shuffled curve"].jumps.mean()
    assert ways["chord"].near.tolist() == [True, False, False, False, True, True, True]
    inside = decoded_paths(system, STATE, "chord in subspace", pairs, 24)
    assert inside.error.mean() == pytest.approx(ways["chord"].error.mean(), rel=0.5)
    assert not np.array_equal(inside.error, ways["chord"].error)
    found = difference(ways["shuffled curve"], ways["manifold"], "error")
    assert 0 < found.low < found.mean < found.high


class Track:
    """A car whose position is a state's first number; what the other numbers hold is not explained by it."""

    edges = np.linspace(0, 8, 9)
    positions = (edges[:-1] + edges[1:]) / 2
    values = tuple(map(str, range(8)))
    metric = np.abs(positions[:, None] - positions)

    def states(self, layer):
        return Labelled(np.stack([self.positions, 0 * self.positions, 0 * self.positions], 1), np.arange(8))

    def bases(self, layer):
        return np.array([[3.0, 0.25, 0.0], [5.0, 0.0, 0.5]])

    def decoded(self, layer, states):
        return SimpleNamespace(positions=states[..., 0], unexplained=states[..., 1:].sum(-1))


def test_only_the_chord_in_the_subspace_keeps_the_rest_of_the_context_and_error_is_from_where_the_car_was_meant():
    pairs = np.array([[0, 7], [2, 4]])
    found = {way: decoded_paths(Track(), 0, way, pairs, 24) for way in WAYS}
    for way in ("manifold", "chord", "chord in subspace"):
        assert found[way].error == pytest.approx(0, abs=1e-9)
        assert found[way].unexplained == pytest.approx(0.375 if "subspace" in way else 0, abs=1e-9)
    assert found["shuffled curve"].error.min() > 0.1


def test_intervals_of_differences_draw_values_not_pairs():
    pairs = np.stack(np.triu_indices(12, 1), 1)
    generator = np.random.default_rng(0)
    own = generator.standard_normal(12)
    # All of a pair's difference is its two values': 66 pairs are no more than 12 values.
    gap = own[pairs[:, 0]] + own[pairs[:, 1]]
    zero = np.zeros(len(pairs))
    found = difference(DecodedPaths("a", pairs, gap, zero, zero), DecodedPaths("b", pairs, zero, zero, zero), "error")
    alone = 1.96 * 2 * own.std() / np.sqrt(12)
    assert found.mean == pytest.approx(gap.mean())
    assert (found.high - found.low) / 2 == pytest.approx(alone, rel=0.35)
    near = difference(
        DecodedPaths("a", pairs, gap, zero, zero), DecodedPaths("b", pairs, zero, zero, zero), "error", near=True
    )
    assert near.pairs == 11 + 10 + 9


def test_what_cannot_be_asked_is_refused(system):
    with pytest.raises(UnweaveError, match="no layer 3: it has 0, 1, 2"):
        system.states(3)
    with pytest.raises(UnweaveError, match=r"needs \[16, p, 24\]"):
        system.answers(STATE, np.zeros((16, 2, 23)))
    with pytest.raises(UnweaveError, match="not finite"):
        system.answers(STATE, np.full((16, 2, 24), np.nan))
    with pytest.raises(UnweaveError, match="no way is named 'cord'; nearest: 'chord'"):
        decoded_paths(system, STATE, "cord")
    with pytest.raises(UnweaveError, match="4 steps: give 1"):
        decoded_paths(system, STATE, "chord", steps=4)
    with pytest.raises(UnweaveError, match="two different values"):
        decoded_paths(system, STATE, "chord", np.array([[1, 1]]))
    with pytest.raises(UnweaveError, match="5 bins"):
        CarSystem(FrameModel(SMALL), SMALL, 5)
    with pytest.raises(UnweaveError, match="give at least 8 x 4"):
        Screen(4, 4)
    with pytest.raises(UnweaveError, match="rollouts above 3 steps"):
        WorldConfig(rollout_steps=3)
    with pytest.raises(UnweaveError, match="0 runs"):
        rollouts(0, 5, 0)


@pytest.mark.slow
def test_the_default_world_model_foresees_pictures_and_its_curve_carries_the_car_where_chords_do_not(tmp_path):
    full = mountain_car(folder=tmp_path)
    error = held_out_error(full.model, full.config)
    assert error.model < 0.1 * error.copy_last < 0.1 * error.mean_frame
    means = centroids(full.states(STATE), 24)
    assert choose(means, full.positions).name == "natural spline"
    dealt = np.random.default_rng(0).permutation(full.positions)
    assert choose(means, dealt).name != "natural spline"
    pairs = np.stack(np.triu_indices(24, 1), 1)[::5]
    ways = {way: decoded_paths(full, STATE, way, pairs) for way in ("manifold", "chord")}
    far = ~ways["chord"].near
    assert ways["manifold"].error.mean() < 0.005
    assert ways["manifold"].error.max() < 0.03
    assert ways["manifold"].jumps.max() == 0
    assert ways["chord"].error[far].mean() > 0.1
    assert ways["chord"].jumps[far].mean() > 0.5
