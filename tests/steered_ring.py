"""A system whose answers are known: values on a circle or a line in a space of many dimensions, read by distance."""

from __future__ import annotations

import numpy as np

from unweave.shapes.manifolds.distances import value_distances
from unweave.shapes.steering.system import Labelled

TURN = 2 * np.pi


class Ring:
    """States lie on a circle of radius 3 (or a half circle); answers are a softmax of closeness in angle and radius.

    Near the middle nothing is answered but "other", so that a chord through it leaves the concept.
    """

    layers = (0, 1)

    def __init__(self, count=8, closed=True, width=20, seed=0):
        self.name = "ring" if closed else "arc"
        self.values = [f"v{each}" for each in range(count)]
        places = np.arange(count, dtype=float)
        self.metric = value_distances("circular", places, period=count) if closed else value_distances("linear", places)
        angle = places / count * TURN if closed else places / (count - 1) * np.pi
        generator = np.random.default_rng(seed)
        self.frame = np.linalg.qr(generator.standard_normal((width, width)))[0]
        self.middle = generator.standard_normal(width)
        self.places = 3 * np.stack([np.cos(angle), np.sin(angle)], 1)
        self._rest = 0.2 * generator.standard_normal((6, width - 2))

    def states(self, layer):
        rest = self._rest[:4]
        index = np.repeat(np.arange(len(self.values)), len(rest))
        inside = np.hstack([self.places[index], np.tile(rest, (len(self.values), 1))])
        return Labelled(self.middle + inside @ self.frame.T, index)

    def bases(self, layer):
        inside = np.hstack([self.places[:2], self._rest[4:]])
        return self.middle + inside @ self.frame.T

    def natural(self, layer):
        return self.read(self.states(layer).states)

    def answers(self, layer, states):
        return self.read(states)

    def read(self, states):
        seen = ((states - self.middle) @ self.frame)[..., :2]
        apart = ((seen[..., None, :] - self.places) ** 2).sum(-1)
        logits = np.concatenate([-apart, np.full((*apart.shape[:-1], 1), -4.0)], -1)
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        return odds / odds.sum(-1, keepdims=True)
