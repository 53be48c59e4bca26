"""The modular-addition network as a system that is steered: numbers, and the sum that the network gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from unweave.base.progress import Progress
from unweave.base.seeds import torch_generator
from unweave.shapes.manifolds.distances import circular
from unweave.shapes.steering.system import Labelled
from unweave.shapes.worlds.addition import (
    AdditionConfig,
    AdditionNetwork,
    held_out_pairs,
    load_or_train,
    pairs,
)
from unweave.shapes.worlds.spectrum import Spectrum, spectrum
from unweave.shapes.worlds.states import centroids, checked_layer, checked_states

EMBEDDING, NEURONS, STREAM = 0, 1, 2
LAYERS = (EMBEDDING, NEURONS, STREAM)
CONTEXTS = 16


class AdditionSystem:
    """The network for a + b modulo p with the numbers 0 to p - 1 as values.

    Layers are 0, the embedding of the first number; 1, the hidden layer; 2, the stream before the unembedding. At layer
    0 a state belongs to the first number, and an answer counts for the first number that it would be right for; at the
    others both belong to the sum. The contexts in which states are replaced are 16 held-out pairs, which ``states``
    leaves out; a state at layers 1 and 2 is all that the answer is made of, so that the context no longer matters.
    The last column of answers is 0: the network has no words but numbers.

    The metric is the shorter way round the circle of the strongest frequency k of the stream's centroids, in its steps:
    the number n is at n k modulo p, so that neighbours on the circle are numbers whose difference times k is 1.
    """

    def __init__(self, network: AdditionNetwork, config: AdditionConfig) -> None:
        self.name = "modular-addition"
        self.values: Sequence[str] = [str(each) for each in range(config.modulus)]
        self.layers: Sequence[int] = LAYERS
        self.network, self.config = network.eval(), config
        held_out = held_out_pairs(config)
        order = torch.randperm(len(held_out), generator=torch_generator(config.seed, "modular addition", "contexts"))
        self._contexts = held_out[order[:CONTEXTS]].sort().values
        rest = torch.ones(config.modulus**2, dtype=torch.bool)
        rest[self._contexts] = False
        self._others = rest.nonzero()[:, 0]
        self.frequency = self.spectrum(STREAM).strongest[0]
        """The strongest one of the stream's centroids."""
        self.places = np.arange(config.modulus) * self.frequency % config.modulus
        """Of each value, its place round the circle of ``frequency`` [w], in steps from that of 0."""
        self.metric = circular(self.places.astype(np.float64), config.modulus)

    def states(self, layer: int) -> Labelled:
        """The states of all pairs but the contexts, and the value that each belongs to."""
        return Labelled(self._read(layer, self._others), self._values(layer, self._others).numpy())

    def natural(self, layer: int) -> Float64[np.ndarray, "n w+1"]:
        """The network's own answers for the pairs of ``states``."""
        first, second = self._pairs(self._others)
        with torch.no_grad():
            said = self.network(first, second).double().softmax(-1)
        return self._by_value(layer, said[:, None], second)[:, 0]

    def bases(self, layer: int) -> Float64[np.ndarray, "b d"]:
        """The states of the contexts."""
        return self._read(layer, self._contexts)

    def answers(self, layer: int, states: Float[np.ndarray, "b p d"]) -> Float64[np.ndarray, "b p w+1"]:
        """Probabilities of the values when each context's state is replaced by each of its p states.

        Raises ``UnweaveError`` for a layer that is not there, states of another shape and such as are not finite.
        """
        network = self.network
        width = (self.config.width, self.config.hidden, self.config.width)[checked_layer(layer, LAYERS, self.name)]
        given = torch.from_numpy(checked_states(states, len(self._contexts), width).astype(np.float32))
        second = self._pairs(self._contexts)[1]
        with torch.no_grad():
            if layer == EMBEDDING:
                given = network.neurons(given, network.embedding(second)[:, None].expand_as(given))
            stream = given if layer == STREAM else network.out(given)
            said = network.unembedding(stream).double().softmax(-1)
        return self._by_value(layer, said, second)

    def centroids(self, layer: int) -> Float64[np.ndarray, "w d"]:
        """The mean state of each value."""
        return centroids(self.states(layer), len(self.values))

    def spectrum(self, layer: int) -> Spectrum:
        """Which frequencies the centroids of a layer are made of."""
        return spectrum(self.centroids(layer))

    def _pairs(self, rows: Int[Tensor, " n"]) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        first, second = pairs(self.config.modulus)
        return first[rows], second[rows]

    def _values(self, layer: int, rows: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        first, second = self._pairs(rows)
        return first if layer == EMBEDDING else (first + second) % self.config.modulus

    def _read(self, layer: int, rows: Int[Tensor, " n"]) -> Float64[np.ndarray, "n d"]:
        checked_layer(layer, LAYERS, self.name)
        with torch.no_grad():
            first, second = (self.network.embedding(each) for each in self._pairs(rows))
            if layer == EMBEDDING:
                return first.double().numpy()
            neurons = self.network.neurons(first, second)
            return (neurons if layer == NEURONS else self.network.out(neurons)).double().numpy()

    def _by_value(
        self, layer: int, said: Float[Tensor, "b p w"], second: Int[Tensor, " b"]
    ) -> Float64[np.ndarray, "b p w+1"]:
        if checked_layer(layer, LAYERS, self.name) == EMBEDDING:
            sums = (torch.arange(self.config.modulus) + second[:, None]) % self.config.modulus
            said = said.gather(2, sums[:, None].expand_as(said))
        return np.concatenate([said.numpy(), np.zeros((*said.shape[:2], 1))], 2)


def modular_addition(
    config: AdditionConfig | None = None, progress: Progress | None = None, folder: Path | None = None
) -> AdditionSystem:
    """The system of the network of these settings, which is trained first where it is not in the cache folder."""
    config = config or AdditionConfig()
    return AdditionSystem(load_or_train(config, progress, folder), config)
