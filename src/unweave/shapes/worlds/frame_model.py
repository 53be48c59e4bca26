"""A world model of Mountain Car: it sees pictures and actions, and predicts the next picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress
from unweave.base.seeds import torch_generator
from unweave.shapes.worlds.car import ACTIONS, Rollouts, Screen, rollouts
from unweave.shapes.worlds.training import described, fit, kept

KIND = "mountain-car"
WARM = 3
"""Pictures seen before the first prediction that counts: one has no speed in it, and two have it exactly."""


@dataclass(frozen=True)
class WorldConfig:
    """A world model and what it is trained on; the default takes one to two minutes of one core."""

    screen: Screen = field(default_factory=Screen)
    code: int = 32
    """Width of what the encoder makes of a picture."""
    hidden: int = 64
    """Width of the recurrent state, and of the layers inside encoder and decoder."""
    rollouts: int = 256
    rollout_steps: int = 64
    steps: int = 800
    batch: int = 32
    """Rollouts of one step."""
    learning_rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.code, self.hidden, self.rollouts, self.steps, self.batch) < 1 or self.rollout_steps <= WARM:
            raise UnweaveError(
                f"code {self.code}, hidden {self.hidden}, {self.rollouts} rollouts of {self.rollout_steps} steps, "
                f"{self.steps} steps of {self.batch}: give 1 or more of each, and rollouts above {WARM} steps"
            )


class FrameModel(nn.Module):
    """Encoder, GRU and decoder; the action enters at the decoder alone, so that a state holds what was seen."""

    track: Float[Tensor, " pixels"]
    """The picture without a car."""

    def __init__(self, config: WorldConfig) -> None:
        super().__init__()
        pixels, hidden = config.screen.pixels, config.hidden
        self.look = nn.Linear(pixels, hidden)
        self.encode = nn.Linear(hidden, config.code)
        self.gru = nn.GRU(config.code, hidden, batch_first=True)
        self.decide = nn.Linear(hidden + len(ACTIONS), hidden)
        self.draw = nn.Linear(hidden, pixels)
        self.register_buffer("track", torch.from_numpy(config.screen.empty()), persistent=False)
        self.spread = math.sqrt(pixels / math.pi) / config.screen.spot
        """Brings a picture of one car to a mean square of 1, as the start of the encoder expects."""
        generator = torch_generator(config.seed, "world model", "start")
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 2:
                    bound = math.sqrt((1 if "gru" in name else 3) / parameter.shape[1])
                    parameter.uniform_(-bound, bound, generator=generator)
                else:
                    parameter.zero_()
            self.draw.bias.copy_(self.track.clamp(0.02, 0.98).logit())

    def codes(self, frames: Float[Tensor, "*n pixels"]) -> Float[Tensor, "*n code"]:
        return torch.tanh(self.encode(self.look((frames - self.track) * self.spread).relu()))

    def states(self, codes: Float[Tensor, "n t code"]) -> Float[Tensor, "n t hidden"]:
        return self.gru(codes)[0]

    def advanced(self, codes: Float[Tensor, "n code"], before: Float[Tensor, "n hidden"]) -> Float[Tensor, "n hidden"]:
        """The state after one more picture."""
        return self.gru(codes[:, None], before[None].contiguous())[0][:, 0]

    def decided(self, states: Float[Tensor, "*n hidden"], actions: Int[Tensor, "*n"]) -> Float[Tensor, "*n hidden"]:
        chosen = nn.functional.one_hot(actions, len(ACTIONS)).to(states)
        return self.decide(torch.cat([states, chosen], -1)).relu()

    def drawn(self, decided: Float[Tensor, "*n hidden"]) -> Float[Tensor, "*n pixels"]:
        return self.draw(decided).sigmoid()

    def forward(self, frames: Float[Tensor, "n t pixels"], actions: Int[Tensor, "n t"]) -> Float[Tensor, "n t pixels"]:
        """The picture that follows each of ``frames`` after the action done there."""
        return self.drawn(self.decided(self.states(self.codes(frames)), actions))


def train(config: WorldConfig, progress: Progress | None = None, checkpoint: Path | None = None) -> FrameModel:
    """A world model trained from scratch on squared errors of predicted pictures, with Adam, the rate by a cosine.

    The loss of a rollout's first predictions is left out (``WARM``). Goes on from ``checkpoint`` where there is one.
    """
    model = FrameModel(config)
    data = rollouts(config.rollouts, config.rollout_steps, config.seed)
    frames = torch.from_numpy(config.screen.frames(data.positions))
    actions = torch.from_numpy(data.actions)

    def loss(number: int) -> Tensor:
        generator = torch_generator(config.seed, "world model", "batch", number)
        rows = torch.randint(len(data), (config.batch,), generator=generator)
        predicted = model(frames[rows, :-1], actions[rows, :-1])[:, WARM - 1 :]
        return (predicted - frames[rows, WARM:]).square().sum(-1).mean()

    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    fit(model, optimiser, partial(_rate, config), loss, config.steps, described(KIND, config), checkpoint, progress)
    return model.eval()


def load_or_train(
    config: WorldConfig | None = None, progress: Progress | None = None, folder: Path | None = None
) -> FrameModel:
    """The world model of these settings from the cache folder (or ``folder``), trained now if it is not there."""
    config = config or WorldConfig()
    return kept(KIND, config, FrameModel(config), lambda checkpoint: train(config, progress, checkpoint), folder)


class FrameError(NamedTuple):
    """Squared error of a predicted picture, summed over its pixels, mean over held-out steps."""

    model: float
    copy_last: float
    """Of the picture before."""
    mean_frame: float
    """Of the mean over the pictures trained on."""
    untrained: float
    """Of the same network before training."""
    steps: int


def held_out_error(model: FrameModel, config: WorldConfig, count: int = 64) -> FrameError:
    """How well the next picture is predicted on ``count`` rollouts that were not trained on, beside three baselines."""
    data, frames = held_out(config, count)
    seen = config.screen.frames(rollouts(config.rollouts, config.rollout_steps, config.seed).positions)
    truth = frames[:, WARM:]
    with torch.no_grad():
        given, actions = torch.from_numpy(frames[:, :-1]), torch.from_numpy(data.actions[:, :-1])
        ours, before = (each(given, actions)[:, WARM - 1 :].numpy() for each in (model, FrameModel(config)))
    error = lambda guess: float(np.square(truth - guess).sum(-1).mean())  # noqa: E731
    return FrameError(
        error(ours), error(frames[:, WARM - 1 : -1]), error(seen.mean((0, 1))), error(before), truth[..., 0].size
    )


def held_out(
    config: WorldConfig, count: int, purpose: str = "scored"
) -> tuple[Rollouts, Float32[np.ndarray, "n t pixels"]]:
    """Rollouts that were not trained on, others for each purpose, and their pictures."""
    data = rollouts(count, config.rollout_steps, config.seed, f"held out, {purpose}")
    return data, config.screen.frames(data.positions)


def _rate(config: WorldConfig, number: int) -> float:
    warming = min(1.0, (number + 1) / 50)
    return config.learning_rate * warming * (0.5 + 0.5 * math.cos(math.pi * number / config.steps))
