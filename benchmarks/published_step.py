"""The published training step, written plainly: what ``benchmarks/decompose.py`` compares against.

VPD's step (May 2026) as its reference code lays it out: the delta is built as a matrix, the stochastic pass (a random
subset of sites in each position) and the adversarial pass are separate forwards, the adversary takes one ascent step
on sources kept for every position of the batch, the penalty is L_p with a frequency term. Sites, capacity, batch and
importance functions (an MLP for each site) are those of the run it is compared with. Nothing of the package is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

SPARSITY, FREQUENCY, FAITHFULNESS = 2e-4, 0.5, 10.0


class PublishedStep:
    """Subcomponents, importance functions, sources and optimisers for the Linear layers of a causal language model."""

    def __init__(
        self,
        module: nn.Module,
        counts: dict[str, int],
        hidden: int,
        batch: int,
        length: int,
        seed: int = 0,
        sparsity: float = SPARSITY,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.module, self.counts, self.sparsity = module, counts, sparsity
        self.layers = {name: module.get_submodule(name) for name in counts}
        self.parameters: dict[str, Tensor] = {}
        self.sources: dict[str, Tensor] = {}
        for name, layer in self.layers.items():
            d_out, d_in = layer.weight.shape
            count = counts[name]
            shapes = {"V": (d_in, count), "U": (count, d_out), "A": (d_in, hidden), "a": (hidden,)}
            shapes |= {"B": (hidden, count), "b": (count,)}
            for key, shape in shapes.items():
                scale = 1 / math.sqrt(shape[0]) if len(shape) == 2 else 0.0
                start = torch.randn(shape, generator=generator) * scale
                self.parameters[f"{name}/{key}"] = start.requires_grad_()
            self.sources[name] = torch.rand(batch, length, count + 1, generator=generator).requires_grad_()
        self.down = torch.optim.AdamW(self.parameters.values(), lr=1e-3, weight_decay=0.0)
        self.up = torch.optim.Adam(self.sources.values(), lr=0.01, betas=(0.5, 0.99), maximize=True)
        self.masks: dict[str, tuple[Tensor, Tensor, Tensor]] | None = None
        self.deltas: dict[str, Tensor] = {}
        self.inputs: dict[str, Tensor] = {}
        self.handles = [layer.register_forward_hook(self._hook(name)) for name, layer in self.layers.items()]

    def detach(self) -> None:
        """Takes the hooks off the model."""
        for handle in self.handles:
            handle.remove()

    def warm(self, steps: int, rate: float) -> None:
        """Steps on faithfulness alone, before the first real one."""
        pieces = [tensor for name, tensor in self.parameters.items() if name[-2:] in ("/V", "/U")]
        optimiser = torch.optim.AdamW(pieces, lr=rate, weight_decay=0.0)
        for _ in range(steps):
            errors = [
                (layer.weight - (self.parameters[f"{name}/V"] @ self.parameters[f"{name}/U"]).T).square().sum()
                / layer.weight.square().sum()
                for name, layer in self.layers.items()
            ]
            torch.stack(errors).mean().backward()
            optimiser.step()
            optimiser.zero_grad()

    def _hook(self, name: str) -> Callable[..., Tensor | None]:
        def replace(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            x = arguments[0]
            if self.masks is None:
                self.inputs[name] = x
                return None
            mask, delta, route = self.masks[name]
            V, U = self.parameters[f"{name}/V"], self.parameters[f"{name}/U"]
            masked = ((x @ V) * mask) @ U + delta * (x @ self.deltas[name].T)
            if layer.bias is not None:
                masked = masked + layer.bias
            return torch.where(route, masked, output)

        return replace

    def forward(self, tokens: Tensor) -> Tensor:
        return self.module(tokens, use_cache=False).logits

    def divergence(self, tokens: Tensor, clean: Tensor) -> Tensor:
        base, masked = clean.log_softmax(-1), self.forward(tokens).log_softmax(-1)
        return (base.exp() * (base - masked)).sum(-1).mean()

    def importances(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        lower, upper = {}, {}
        for name, x in self.inputs.items():
            A, a, B, b = (self.parameters[f"{name}/{key}"] for key in "AaBb")
            z = nn.functional.gelu(x @ A + a) @ B + b
            # The slope below 0 that lets a dead subcomponent come back.
            lower[name] = z.clamp(0, 1) + 0.01 * (z.clamp(max=0) - z.clamp(max=0).detach())
            upper[name] = torch.where(z > 1, 1 + 0.01 * (z - 1), z.clamp(min=0))
        return lower, upper

    def loss(self, tokens: Tensor, p: float) -> Tensor:
        """The step's loss, after the adversary's one ascent step; sources get their gradient from it too."""
        self.masks = None
        with torch.no_grad():
            clean = self.forward(tokens)
        lower, upper = self.importances()
        self.deltas = {
            name: layer.weight - (self.parameters[f"{name}/V"] @ self.parameters[f"{name}/U"]).T
            for name, layer in self.layers.items()
        }
        self.masks = self._adversarial({name: g.detach() for name, g in lower.items()})
        climbed = torch.autograd.grad(self.divergence(tokens, clean), list(self.sources.values()))
        for source, gradient in zip(self.sources.values(), climbed, strict=True):
            source.grad = gradient
        self._ascend()
        self.masks = self._stochastic(lower)
        stochastic = self.divergence(tokens, clean)
        self.masks = self._adversarial(lower)
        adversarial = self.divergence(tokens, clean)
        penalty = torch.zeros(())
        for g in upper.values():
            rate = ((g + 1e-12) ** p).flatten(0, 1).mean(0)
            penalty = penalty + (rate + FREQUENCY * rate * torch.log2(1 + g[..., 0].numel() * rate)).sum()
        faith = sum(
            delta.square().sum() / self.layers[name].weight.square().sum() for name, delta in self.deltas.items()
        )
        return 0.5 * stochastic + 0.5 * adversarial + self.sparsity * penalty + FAITHFULNESS * faith / len(self.layers)

    def step(self, tokens: Tensor, p: float = 1.0) -> float:
        """One whole training step."""
        loss = self.loss(tokens, p)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.down.step()
        self._ascend()
        self.down.zero_grad()
        return float(loss)

    def _ascend(self) -> None:
        self.up.step()
        self.up.zero_grad()
        with torch.no_grad():
            for source in self.sources.values():
                source.clamp_(0, 1)

    def _adversarial(self, lower: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        everywhere = torch.ones((), dtype=torch.bool)
        return {
            name: (g + (1 - g) * self.sources[name][..., :-1], self.sources[name][..., -1:], everywhere)
            for name, g in lower.items()
        }

    def _stochastic(self, lower: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        rows = next(iter(lower.values())).shape[:2]
        sites = len(lower)
        size = torch.randint(1, sites + 1, (*rows, 1))
        route = torch.rand(*rows, sites).argsort(-1).argsort(-1) < size
        found = {}
        for number, (name, g) in enumerate(lower.items()):
            r = torch.rand(*rows, g.shape[-1] + 1)
            found[name] = (g + (1 - g) * r[..., :-1], r[..., -1:], route[..., number : number + 1])
        return found
