"""The search for a circuit: importances of one prompt's nodes, trained to be few while an adversary fills the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unweave.base.errors import UnweaveError, nearest
from unweave.base.progress import Progress
from unweave.base.seeds import torch_generator
from unweave.decompose import numerics
from unweave.decompose.adversary import attack
from unweave.read.alive import AliveNodes
from unweave.read.features import FIRES

Masks = Literal["adversarial", "stochastic", "importance"]
"""What a node that is not needed may be while a circuit is sought: anything from its importance to 1 that an adversary
chooses (and at random besides); at random only; or its importance itself, which asks nothing of what is left out."""


@dataclass(frozen=True)
class CircuitConfig:
    """How a circuit is sought."""

    masks: Masks = "adversarial"
    """adversarial: at random and by an adversary, half and half; stochastic: at random only; importance: neither."""
    steps: int = 400
    learning_rate: float = 0.03
    """Adam's rate, cosine to a tenth of it."""
    sparsity: float = 1e-3
    """Nats that a node must be worth."""
    gamma: float = 0.1
    """Width of the smooth L0 penalty at the end, to which it falls from 1 over the first four fifths."""
    stochastic: int = 2
    """Random masks a step."""
    ascent_steps: int = 4
    """Sign steps of the adversary before each step, from where it begins anew at random."""
    adversary_rate: float = 1.0
    """Their size."""
    tolerance: float = 0.25
    """Nats that an adversary of 20 steps may add to the divergence of all alive nodes: until it adds no more, nodes are
    put back."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.masks not in get_args(Masks):
            raise UnweaveError(f"masks is {self.masks!r}; {nearest(str(self.masks), get_args(Masks))}")
        for name in ("steps", "stochastic", "ascent_steps"):
            if getattr(self, name) < 1:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must be at least 1")
        for name in ("learning_rate", "sparsity", "gamma", "adversary_rate", "tolerance"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must be a number above 0")


def search(nodes: AliveNodes, config: CircuitConfig, progress: Progress) -> Float[Tensor, " nodes"]:
    """Importances of all nodes, most of them 0; they begin where the importance function has them.

    The loss is the mean divergence over masks ``m = g + (1 - g) r`` plus ``sparsity`` times the smooth L0 of g, summed
    over nodes (VPD: a graph is pruned by fresh importances of one prompt, under an adversary over alive nodes).
    """
    z = nodes.importance.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=config.learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.1 + 0.45 * (1 + math.cos(math.pi * min(step / config.steps, 1)))
    )
    with nodes.attached():
        for step in range(config.steps):
            fall = min(step / (0.8 * config.steps), 1)
            gamma = 1 + (config.gamma - 1) * fall
            g = numerics.lower_leaky(z)
            reached = nodes.divergence(_filled(nodes, config, g, step)).mean()
            penalty = numerics.smooth_l0(numerics.upper_leaky(z), gamma).sum()
            optimiser.zero_grad()
            (reached + config.sparsity * penalty).backward()
            optimiser.step()
            schedule.step()
            if step % 10 == 0 or step + 1 == config.steps:
                used = int((z > FIRES).sum())
                progress.update(step + 1, config.steps, f"{used} nodes, KL {float(reached.detach()):.3f}")
    return numerics.lower_leaky(z.detach())


def _filled(nodes: AliveNodes, config: CircuitConfig, g: Tensor, step: int) -> Float[Tensor, "r nodes"]:
    if config.masks == "importance":
        return g[None]
    generator = torch_generator(config.seed, "circuit", step)
    random = torch.rand(config.stochastic, len(nodes), generator=generator).to(g.device)
    filled = numerics.fill_masks(g, random)
    if config.masks == "stochastic":
        return filled
    start = torch.rand(1, len(nodes), generator=generator).to(g.device)
    found = climb(nodes, g.detach(), start, config.ascent_steps, config.adversary_rate)[0]
    # As many copies of the adversary's masks as there are random ones: half and half.
    return torch.cat([filled, numerics.fill_masks(g, found).expand(config.stochastic, -1)])


def extended(
    nodes: AliveNodes, found: Float[Tensor, " nodes"], config: CircuitConfig, progress: Progress
) -> Float[Tensor, " nodes"]:
    """Importances with nodes put back, at 1, until an adversary is within the tolerance.

    In each round an adversary climbs from new starts; of the nodes outside, those come back that would take most from
    the divergence it has reached, to first order: a twenty-fifth of the circuit's size, at least one.
    """
    g = found.clone()
    with nodes.attached():
        with torch.no_grad():
            bound = float(nodes.divergence(torch.ones_like(g)[None])[0]) + config.tolerance
        for turn in range(len(nodes)):
            circuit = (g > FIRES).float()
            generator = torch_generator(config.seed, "extension", turn)
            start = torch.rand(STARTS, len(nodes), generator=generator).to(g.device)
            sources, worst = climb(nodes, circuit, start, EXTENSION_STEPS, ATTACK_RATE)
            sources.requires_grad_()
            reached = nodes.divergence(numerics.fill_masks(circuit, sources))
            (slopes,) = torch.autograd.grad(reached.sum(), sources)
            most, size = float(torch.maximum(worst, reached.detach()).max()), int(circuit.sum())
            progress.update(size, len(nodes), f"nodes in the circuit, an adversary's KL {most:.3f}")
            if most <= bound:
                break
            gains = (slopes * (1 - sources.detach())).amin(0)
            gains[circuit > 0] = 0.0
            back = gains.argsort()[: max(1, size // 25)]
            back = back[gains[back] < 0]
            if not len(back):
                break
            g[back] = 1.0
    return g


def climb(
    nodes: AliveNodes, g: Float[Tensor, " nodes"], sources: Float[Tensor, "r nodes"], steps: int, rate: float
) -> tuple[Float[Tensor, "r nodes"], Float[Tensor, " r"]]:
    """Sources after sign steps uphill, and the largest divergence on the way, each start by itself."""
    worst = torch.full((len(sources),), -math.inf, device=g.device)

    def slopes(leaves: list[Tensor]) -> tuple[Tensor, ...]:
        reached = nodes.divergence(numerics.fill_masks(g, leaves[0]))
        worst.copy_(torch.maximum(worst, reached.detach()))
        return torch.autograd.grad(reached.sum(), leaves)

    found = attack(slopes, {"nodes": sources}, steps, rate)["nodes"]  # type: ignore[arg-type]
    return found, worst


ATTACK_RATE, EXTENSION_STEPS = 0.1, 20
STARTS, DRAWS = 2, 32


@dataclass(frozen=True)
class Faithfulness:
    """How far a circuit's prediction is from the target's, by what the other alive nodes are. KL, nats."""

    alone: float
    """All others off."""
    stochastic: float
    """All others at random in [0, 1], the mean over draws."""
    adversary: Mapping[int, float]
    """All others as an adversary sets them in [0, 1]: the worst so far by its number of steps."""


def faithfulness(
    nodes: AliveNodes,
    circuit: Bool[Tensor, " nodes"],
    steps: tuple[int, ...],
    seed: int = 0,
    progress: Progress | None = None,
    what: str = "",
) -> Faithfulness:
    """Measures a circuit, its nodes at 1. The adversary has two random starts, of which the worse counts."""
    g = circuit.float()
    generator = torch_generator(seed, "faithfulness")
    with nodes.attached():
        with torch.no_grad():
            alone = float(nodes.divergence(g[None])[0])
            draws = torch.rand(DRAWS, len(nodes), generator=generator).to(g.device)
            random = torch.cat([nodes.divergence(numerics.fill_masks(g, part)) for part in draws.split(8)])
        found, worst, done = {}, 0.0, 0
        sources = torch.rand(STARTS, len(nodes), generator=generator).to(g.device)
        for count in sorted(steps):
            if progress is not None:
                progress.update(done, max(steps), what)
            # One look more than there are steps, at what the last of them reached; that look is the next one's first.
            sources, reached = climb(nodes, g, sources, count - done, ATTACK_RATE)
            with torch.no_grad():
                last = nodes.divergence(numerics.fill_masks(g, sources))
            worst = max(worst, float(reached.max()), float(last.max()))
            found[count], done = worst, count
    return Faithfulness(alone, float(random.mean()), found)
