"""The final check of a site-local decomposition: what its masks do to the model's predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.base.progress import Progress, Silent
from unweave.base.seeds import torch_generator
from unweave.decompose import numerics
from unweave.decompose.adversary import signed_step
from unweave.decompose.decomposition import SiteSubcomponents
from unweave.models.prefix import Prefix, cache_prefix, prefix_logits
from unweave.models.sites import Site
from unweave.models.target import Target

ATTACK_STEPS = 20
ATTACK_RATE = 0.1


@dataclass(frozen=True)
class Divergence:
    """KL from the target's predictions to the masked model's, nats per token, under three kinds of mask."""

    importance: float
    stochastic: float
    adversarial: float


@dataclass(frozen=True)
class Quality:
    """A decomposition against an SVD and against random masks at the same number of active pieces a token."""

    site: str
    l0: float
    alive: int
    relative_error: float
    first_token_error: float
    faithfulness: float
    unmasked: float
    zeroed: float
    ours: Divergence
    svd: Divergence
    random: Divergence
    tokens: int

    @property
    def failures(self) -> list[str]:
        """Sentences saying where it does not beat the baselines; empty when it passed."""
        found = []
        for kind in ("importance", "stochastic", "adversarial"):
            own = getattr(self.ours, kind)
            for name in ("svd", "random"):
                other = getattr(getattr(self, name), kind)
                if not own < other:
                    found.append(
                        f"KL under {kind} masks is {own:.3f} nats, not below the {other:.3f} of {name} masks at L0 "
                        f"{self.l0:.1f}"
                    )
        return found

    @property
    def passed(self) -> bool:
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed, "failures": self.failures}


def check_quality(
    target: Target,
    weight: Float[Tensor, "d_out d_in"],
    pieces: SiteSubcomponents,
    tokens: Int[Tensor, "n t"],
    attack_windows: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> Quality:
    """Masks the site inside the target and measures KL at the logits on held-out windows, position 0 left out.

    Stochastic masks draw every unimportant piece and the delta uniformly in [0, 1], per token. The adversary keeps
    one vector of masks for all tokens and climbs the KL for 20 sign-gradient steps of 0.1 (VPD's evaluation attack).
    The SVD baseline keeps, token by token, the singular pieces that act most there, as many as the decomposition's
    mean L0; random masks keep as many subcomponents at random.
    """
    progress = progress or Silent()
    site, pieces = target.site(pieces.site), pieces.to(target.device)
    prefix = cache_prefix(target, tokens, site.layer)
    attacked = prefix.rows(torch.linspace(0, len(tokens) - 1, min(attack_windows, len(tokens))).long())
    with torch.no_grad():
        statistics = _local_statistics(target, site, weight, pieces, prefix)
        kept = max(1, round(statistics["l0"]))
        masked = _Masked(target, site, weight, prefix, attacked, seed)
        U, S, Vh = torch.linalg.svd(weight.float(), full_matrices=False)
        singular = (Vh.T, S[:, None] * U.T)
        named: dict[str, tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]] = {
            "ours": (pieces.V, pieces.U, pieces.importance),
            "svd": (*singular, lambda x: numerics.keep_largest(((x @ singular[0]) * S).abs(), kept)),
            "random": (pieces.V, pieces.U, lambda x: _random_keep(x, len(pieces), kept, seed)),
        }
        found = {}
        for done, (name, (V, U_rows, importance)) in enumerate(named.items()):
            progress.update(done, len(named), f"KL at the logits, {name}")
            found[name] = Divergence(
                masked.divergence(V, U_rows, importance, source=0.0),
                masked.divergence(V, U_rows, importance, source=None),
                masked.attacked_divergence(V, U_rows, importance),
            )
        unmasked = masked.divergence(pieces.V, pieces.U, lambda x: x.new_ones(*x.shape[:-1], len(pieces)), source=0.0)
        zeroed = masked.divergence(pieces.V, pieces.U, lambda x: x.new_zeros(*x.shape[:-1], len(pieces)), source=0.0)
    progress.update(len(named), len(named), "KL at the logits")
    return Quality(
        site=site.name,
        l0=statistics["l0"],
        alive=int(statistics["alive"]),
        relative_error=statistics["relative_error"],
        first_token_error=statistics["first_token_error"],
        faithfulness=float(numerics.faithfulness(weight.float(), pieces.V, pieces.U)),
        unmasked=unmasked,
        zeroed=zeroed,
        tokens=tokens.numel(),
        **found,
    )


class _Masked:
    """Runs the target from the site's block on with the site's output replaced by a masked one."""

    def __init__(self, target: Target, site: Site, weight: Tensor, prefix: Prefix, attacked: Prefix, seed: int) -> None:
        self.target, self.site, self.weight, self.seed = target, site, weight, seed
        self.prefix, self.attacked = prefix, attacked
        self.bias = target.bias(site)
        self.base = [self._logits(part).log_softmax(-1).half() for part in prefix.batches(8)]
        self.attacked_base = self._logits(attacked).log_softmax(-1)

    def _logits(self, part: Prefix) -> Tensor:
        return prefix_logits(self.target, part, slice(1, None)).float()

    def divergence(self, V: Tensor, U: Tensor, importance: Callable[[Tensor], Tensor], source: float | None) -> float:
        """Mean KL with every free mask (the delta's too) at ``source``, or drawn uniformly when it is None."""
        generator = torch_generator(self.seed, "quality masks")
        total, count = 0.0, 0
        for part, base in zip(self.prefix.batches(8), self.base, strict=True):

            def draw(x: Tensor) -> Tensor:
                shape = (*x.shape[:-1], V.shape[1] + 1)
                if source is not None:
                    return torch.full(shape, source, device=x.device)
                return torch.rand(shape, generator=generator).to(x.device)

            with self._replaced(V, U, importance, draw):
                kl = _kl(base.float(), self._logits(part))
            total, count = total + float(kl.sum()), count + kl.numel()
        return total / count

    def attacked_divergence(self, V: Tensor, U: Tensor, importance: Callable[[Tensor], Tensor]) -> float:
        """Mean KL after the shared-source attack; the worst of its steps."""
        source = torch.rand(V.shape[1] + 1, generator=torch_generator(self.seed, "attack")).to(self.target.device)
        worst = 0.0
        for _ in range(ATTACK_STEPS):
            source.requires_grad_(True)
            with torch.enable_grad(), self._replaced(V, U, importance, lambda _, source=source: source):
                kl = _kl(self.attacked_base, self._logits(self.attacked)).mean()
            worst = max(worst, float(kl))
            (gradient,) = torch.autograd.grad(kl, source)
            source = signed_step(source, gradient, ATTACK_RATE)
        with self._replaced(V, U, importance, lambda x: source):
            return max(worst, float(_kl(self.attacked_base, self._logits(self.attacked)).mean()))

    @contextmanager
    def _replaced(
        self, V: Tensor, U: Tensor, importance: Callable[[Tensor], Tensor], draw: Callable[[Tensor], Tensor]
    ) -> Iterator[None]:
        V, U = V.to(self.target.device), U.to(self.target.device)

        def replace(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            x = args[0].float()
            rest = 0.0 if self.bias is None else self.bias
            wx = self.site.part(output).float() - rest
            source = draw(x)
            mask = numerics.fill_masks(importance(x), source[..., :-1])
            masked = numerics.masked_output(x, wx, V, U, mask, source[..., -1:])
            return self.site.replaced(output, (masked + rest).to(output.dtype))

        handle = self.target.module.get_submodule(self.site.module).register_forward_hook(replace)
        try:
            yield
        finally:
            handle.remove()


def _kl(base: Float[Tensor, "n t v"], logits: Float[Tensor, "n t v"]) -> Float[Tensor, "n t"]:
    return (base.exp() * (base - logits.log_softmax(-1))).sum(-1)


def _random_keep(x: Float[Tensor, "*n d"], count: int, kept: int, seed: int) -> Float[Tensor, "*n c"]:
    # Seeded by the input's size, so that the attack meets the same masks at every step.
    noise = torch.rand((*x.shape[:-1], count), generator=torch_generator(seed, "random masks", *x.shape)).to(x.device)
    return numerics.keep_largest(noise, kept)


def _local_statistics(
    target: Target, site: Site, weight: Tensor, pieces: SiteSubcomponents, prefix: Prefix
) -> dict[str, float]:
    from unweave.models.capture import capture_inputs

    parts, importances, first = [], [], []
    for part in prefix.batches(16):
        x = capture_inputs(target, [site], part.tokens)[site.name].float()
        g = pieces.importance(x)
        wx = x @ weight.float().T
        errors = numerics.relative_error(numerics.masked_output(x, wx, pieces.V, pieces.U, g, 0.0), wx)
        parts.append(errors[:, 1:].flatten())
        first.append(errors[:, 0])
        importances.append(g[:, 1:].flatten(0, 1))
    g = torch.cat(importances)
    return {
        "l0": float((g > 0).float().sum(-1).mean()),
        "alive": float((g.mean(0) > 1e-6).sum()),
        "relative_error": float(torch.cat(parts).mean()),
        "first_token_error": float(torch.cat(first).mean()),
    }
