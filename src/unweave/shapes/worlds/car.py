"""Mountain Car: the physics of the standard task, and what it looks like.

Source: Moore, "Efficient memory-based learning for robot control", 1990; the numbers are those of Sutton and Barto,
"Reinforcement Learning", 2nd edition 2018, example 10.1, on the track of Gymnasium's ``MountainCar-v0`` (-1.2 to 0.6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator

LEFT, RIGHT = -1.2, 0.6
MOST_SPEED = 0.07
FORCE, GRAVITY = 0.001, 0.0025
ACTIONS = ("left", "none", "right")
STARTS = (-0.6, -0.4)
"""Positions that the standard task starts from, at rest."""


@dataclass(frozen=True)
class Screen:
    """How the track is drawn: pixels, and how large the car is on it (deviation of a Gaussian spot, in pixels)."""

    width: int = 36
    height: int = 12
    spot: float = 1.3
    hill: float = 0.3
    """Brightness of the hill below the car, whose middle is 1."""

    def __post_init__(self) -> None:
        if self.width < 8 or self.height < 4 or self.spot <= 0:
            raise UnweaveError(
                f"a screen of {self.width} x {self.height} with a spot of {self.spot}: give at least 8 x 4 and above 0"
            )

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def frames(self, positions: Float64[np.ndarray, "*n"]) -> Float32[np.ndarray, "*n pixels"]:
        """Pictures in [0, 1] of the car at ``positions``: rows of pixels from the top, one after another."""
        where = np.asarray(positions, np.float64)[..., None, None]
        column, row = np.arange(self.width), np.arange(self.height)[:, None]
        across = (where - LEFT) / (RIGHT - LEFT) * (self.width - 1)
        away = (column - across) ** 2 + (row - self._row(where)) ** 2
        seen = np.maximum(self._hill(), np.exp(-away / (2 * self.spot**2)))
        return seen.reshape(*np.shape(positions), self.pixels).astype(np.float32)

    def empty(self) -> Float32[np.ndarray, " pixels"]:
        """The track without a car."""
        return self._hill().reshape(-1).astype(np.float32)

    def _hill(self) -> np.ndarray:
        track = np.linspace(LEFT, RIGHT, self.width)
        below = np.arange(self.height)[:, None] - self._row(track) - self.spot
        return self.hill * np.clip(below, 0, 1)

    def _row(self, positions: np.ndarray) -> np.ndarray:
        """The row of the track at some positions; its height is sin(3 position)."""
        margin = 2 * self.spot
        return margin + (1 - np.sin(3 * positions)) / 2 * max(self.height - 1 - 2 * margin, 0)


@dataclass(frozen=True)
class Rollouts:
    """Runs of the car, one a row: where it was at each step, how fast, and what was done then."""

    positions: Float64[np.ndarray, "n t"]
    velocities: Float64[np.ndarray, "n t"]
    actions: Int64[np.ndarray, "n t"]
    """Indices into ``ACTIONS``; what is done at a step shows in the next."""

    def __len__(self) -> int:
        return len(self.positions)


def step(
    positions: Float64[np.ndarray, "*n"], velocities: Float64[np.ndarray, "*n"], actions: Int64[np.ndarray, "*n"]
) -> tuple[Float64[np.ndarray, "*n"], Float64[np.ndarray, "*n"]]:
    """Position and velocity one step later; at either end of the track the car stops."""
    faster = velocities + FORCE * (np.asarray(actions) - 1) - GRAVITY * np.cos(3 * np.asarray(positions))
    speed = np.clip(faster, -MOST_SPEED, MOST_SPEED)
    there = np.clip(positions + speed, LEFT, RIGHT)
    return there, np.where((there <= LEFT) & (speed < 0) | (there >= RIGHT) & (speed > 0), 0.0, speed)


def rollouts(count: int, steps: int, seed: int, purpose: str = "training", hold: int = 8) -> Rollouts:
    """Runs under a random policy from random places and speeds.

    Each action is drawn uniformly and held for 1 to ``hold`` steps, and a run may start anywhere on the track at any
    speed: from the task's own starts (``STARTS``, at rest) random actions almost never leave the valley, so that the
    slopes would not be seen. There is no goal: a run goes on after the top. Raises ``UnweaveError`` for no runs or
    fewer than 2 steps.
    """
    if count < 1 or steps < 2 or hold < 1:
        raise UnweaveError(f"{count} runs of {steps} steps, actions held up to {hold}: give at least 1, 2 and 1")
    generator = numpy_generator(seed, "mountain car", purpose)
    positions, velocities = np.empty((count, steps)), np.empty((count, steps))
    positions[:, 0] = generator.uniform(LEFT, RIGHT, count)
    velocities[:, 0] = generator.uniform(-MOST_SPEED, MOST_SPEED, count)
    actions = np.empty((count, steps), np.int64)
    left = np.zeros(count, np.int64)
    for now in range(steps):
        fresh = generator.integers(len(ACTIONS), size=count)
        lasts = generator.integers(1, hold + 1, size=count)
        actions[:, now] = np.where(left == 0, fresh, actions[:, now - 1])
        left = np.where(left == 0, lasts, left) - 1
        if now + 1 < steps:
            positions[:, now + 1], velocities[:, now + 1] = step(positions[:, now], velocities[:, now], actions[:, now])
    return Rollouts(positions, velocities, actions)
