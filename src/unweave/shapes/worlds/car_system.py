"""The world model of Mountain Car as a system that is steered: positions, and where predicted pictures show the car.

The decoder is the world model's own prediction of a picture, not a probe: steered states are drawn, and the car is
looked for in the drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int, Int64
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress
from unweave.shapes.manifolds.distances import linear
from unweave.shapes.steering.system import Labelled
from unweave.shapes.worlds.car import LEFT, RIGHT, Rollouts
from unweave.shapes.worlds.frame_model import WARM, FrameModel, WorldConfig, held_out, held_out_error, load_or_train
from unweave.shapes.worlds.states import checked_layer, checked_states

CODE, STATE, DECISION = 0, 1, 2
LAYERS = (CODE, STATE, DECISION)
BINS = 24
CONTEXTS = 16
FINE = 30
"""Positions looked at in a bin: 0.0025 of the track apart where there are 24 bins."""
RUNS = 128
"""Held-out rollouts that states are read from."""
_BLOCK = 2048


class Seen(NamedTuple):
    """Where cars are in pictures."""

    positions: Float64[np.ndarray, "*n"]
    """Of the one car whose picture is nearest, in the units of the track (-1.2 to 0.6)."""
    unexplained: Float64[np.ndarray, "*n"]
    """Squared distance to that picture over what its car takes up, at most 1: two half cars are 0.5."""
    probabilities: Float64[np.ndarray, "*n w+1"]
    """Of the bins, then what no car explains."""


class CarSystem:
    """Mountain Car's world model with its positions as values.

    Values are the centres of 24 bins of the track, an open line; the metric is the distance between them in the units
    of the track. A state belongs to the bin where the car is in the *next* picture, which is what it has to know.

    Layers are 0, the code of a picture; 1, the recurrent state; 2, the hidden layer of the decoder. The contexts in
    which states are replaced are 16 moments of held-out rollouts, each with what was seen before and done then, which
    matters less and less: replacing a code leaves the state before it, replacing a state leaves the action.

    Answers are read from the predicted picture: the share that the nearest picture of one car leaves unexplained is no
    value's, the rest is dealt to the bins by a softmax of the squared distances to pictures of a car in them, over
    twice the squared error that the model itself makes on held-out pictures.
    """

    def __init__(self, model: FrameModel, config: WorldConfig, bins: int = BINS) -> None:
        if bins < 6:
            raise UnweaveError(f"{bins} bins of the track: give 6 or more, such as {BINS}")
        self.name = "mountain-car"
        self.layers: Sequence[int] = LAYERS
        self.model, self.config = model.eval(), config
        self.edges: Float64[np.ndarray, " w+1"] = np.linspace(LEFT, RIGHT, bins + 1)
        self.positions: Float64[np.ndarray, " w"] = (self.edges[:-1] + self.edges[1:]) / 2
        """Of the values, in the units of the track."""
        self.values: Sequence[str] = [f"{each:.3f}" for each in self.positions]
        self.metric = linear(self.positions)
        self._fine = (np.arange(bins * FINE) + 0.5) / (bins * FINE) * (RIGHT - LEFT) + LEFT
        templates = config.screen.frames(self._fine).astype(np.float64)
        self._sizes = ((templates - config.screen.empty()) ** 2).sum(1)
        self._lengths = (templates**2).sum(1)
        # Pictures of one car span few dimensions, in which products with all of them cost a seventh.
        left, size, axes = np.linalg.svd(templates, full_matrices=False)
        kept = size > 1e-6 * size[0]
        self._axes, self._places = axes[kept], left[:, kept] * size[kept]

    @cached_property
    def noise(self) -> float:
        """The model's squared error of a held-out picture, over which distances between pictures are counted."""
        return held_out_error(self.model, self.config).model

    def states(self, layer: int) -> Labelled:
        """States on held-out rollouts, other ones than the contexts', and the value that each belongs to."""
        return Labelled(self._states[checked_layer(layer, LAYERS, self.name)], self.value_of(self.shown))

    @cached_property
    def shown(self) -> Float64[np.ndarray, " n"]:
        """Where the car truly is in the picture that follows each of the states."""
        return self._rollouts[0].positions[:, WARM:].reshape(-1)

    def natural(self, layer: int) -> Float64[np.ndarray, "n w+1"]:
        """The answers in the pictures that the model predicts after each of the states, with nothing replaced."""
        checked_layer(layer, LAYERS, self.name)
        with torch.no_grad():
            drawn = self.model.drawn(torch.from_numpy(self._states[DECISION].astype(np.float32)))
        return self.seen(drawn.double().numpy()).probabilities

    def bases(self, layer: int) -> Float64[np.ndarray, "b d"]:
        """The states of the contexts."""
        return self._contexts[checked_layer(layer, LAYERS, self.name)].double().numpy()

    def answers(self, layer: int, states: Float[np.ndarray, "b p d"]) -> Float64[np.ndarray, "b p w+1"]:
        """Probabilities of the values, then of none, when each context's state is replaced by each of its p states.

        Raises ``UnweaveError`` for a layer that is not there, states of another shape and such as are not finite.
        """
        return self.decoded(layer, states).probabilities

    def decoded(self, layer: int, states: Float[np.ndarray, "b p d"]) -> Seen:
        """Where the car is in the pictures that are then predicted, [b, p]."""
        return self.seen(self.frames(layer, states))

    def frames(self, layer: int, states: Float[np.ndarray, "b p d"]) -> Float64[np.ndarray, "b p pixels"]:
        """The pictures that are then predicted; as ``answers`` otherwise."""
        width = self.bases(layer).shape[1]
        given = torch.from_numpy(checked_states(states, CONTEXTS, width).astype(np.float32))
        count = given.shape[1]
        with torch.no_grad():
            if layer == CODE:
                before = self._before[:, None].expand(-1, count, -1)
                given = self.model.advanced(given.flatten(0, 1), before.flatten(0, 1)).unflatten(0, (-1, count))
            if layer != DECISION:
                given = self.model.decided(given, self._actions[:, None].expand(-1, count))
            return self.model.drawn(given).double().numpy()

    def value_of(self, positions: Float64[np.ndarray, "*n"]) -> Int64[np.ndarray, "*n"]:
        """The bin of each position."""
        return np.clip(np.searchsorted(self.edges, positions, side="right") - 1, 0, len(self.values) - 1)

    def seen(self, frames: Float64[np.ndarray, "*n pixels"]) -> Seen:
        """Where the car is in any pictures."""
        flat = np.asarray(frames, np.float64).reshape(-1, self.config.screen.pixels)
        positions, unexplained = np.empty(len(flat)), np.empty(len(flat))
        probabilities = np.empty((len(flat), len(self.values) + 1))
        for start in range(0, len(flat), _BLOCK):
            part = slice(start, start + _BLOCK)
            products = (flat[part] @ self._axes.T) @ self._places.T
            away = self._lengths - 2 * products + (flat[part] ** 2).sum(1)[:, None]
            best = away.argmin(1)
            least = np.maximum(away[np.arange(len(best)), best], 0)
            positions[part] = self._fine[best]
            unexplained[part] = np.minimum(least / self._sizes[best], 1)
            likely = (
                np.exp(-(away - least[:, None]) / (2 * self.noise)).reshape(len(best), len(self.values), FINE).sum(2)
            )
            explained = 1 - unexplained[part, None]
            probabilities[part, :-1] = likely / likely.sum(1, keepdims=True) * explained
            probabilities[part, -1] = unexplained[part]
        shape = frames.shape[:-1]
        return Seen(positions.reshape(shape), unexplained.reshape(shape), probabilities.reshape(*shape, -1))

    @cached_property
    def _rollouts(self) -> tuple[Rollouts, Float32[np.ndarray, "n t pixels"]]:
        return held_out(self.config, RUNS, "states")

    @cached_property
    def _states(self) -> tuple[Float64[np.ndarray, "n d"], ...]:
        data, frames = self._rollouts
        found = self._layers(frames[:, :-1], data.actions[:, :-1])
        return tuple(each[:, WARM - 1 :].flatten(0, 1).double().numpy() for each in found)

    @cached_property
    def _moments(self) -> tuple[Rollouts, Float32[np.ndarray, "b t pixels"]]:
        return held_out(self.config, CONTEXTS, "contexts")

    @cached_property
    def _contexts(self) -> tuple[Float[Tensor, "b d"], ...]:
        data, frames = self._moments
        return tuple(each[:, WARM] for each in self._layers(frames[:, : WARM + 1], data.actions[:, : WARM + 1]))

    @property
    def _before(self) -> Float[Tensor, "b hidden"]:
        """The states before the pictures whose codes are replaced."""
        with torch.no_grad():
            return self.model.states(self.model.codes(torch.from_numpy(self._moments[1][:, :WARM])))[:, -1]

    @property
    def _actions(self) -> Int[Tensor, " b"]:
        return torch.from_numpy(self._moments[0].actions[:, WARM])

    def _layers(self, frames: np.ndarray, actions: np.ndarray) -> tuple[Float[Tensor, "n t d"], ...]:
        with torch.no_grad():
            codes = self.model.codes(torch.from_numpy(frames))
            states = self.model.states(codes)
            return codes, states, self.model.decided(states, torch.from_numpy(actions))


def mountain_car(
    config: WorldConfig | None = None, progress: Progress | None = None, folder: Path | None = None, bins: int = BINS
) -> CarSystem:
    """The system of the world model of these settings, which is trained first where it is not in the cache folder."""
    config = config or WorldConfig()
    return CarSystem(load_or_train(config, progress, folder), config, bins)
