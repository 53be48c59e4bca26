"""Forwards of held-out windows under masks: what predictions lose, how much is used, and what an adversary finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress
from unweave.base.seeds import torch_generator
from unweave.decompose import draws, numerics
from unweave.decompose.adversary import signed_step
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.masked import Mask, MaskedTarget, Pieces

ROUNDED = (0.0, 0.1, 0.5)
ATTACK_RATE = 0.1
ALIVE_MEAN = 1e-6
FIRES = 0.1
"""A subcomponent fires on a token where its importance is above this (VPD, appendix on labelling)."""
BATCH = 16
LEFT_OUT = -100
"""Stands for a token that the target has no logit for."""

Masks = Callable[[Mapping[str, Tensor], Int[Tensor, " n"]], dict[str, Mask]]
"""Masks from importances and the numbers of the samples."""


@dataclass(frozen=True)
class Arm:
    """One arm of a comparison: pieces of the sites, and how important each is in a row by the sites' clean inputs."""

    pieces: Mapping[str, Pieces]
    importances: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class SiteFacts:
    """How many of a site's subcomponents are used, on average and at all."""

    site: str
    subcomponents: int
    l0: float
    """Importances above 0.1 in a row, on average."""
    nonzero: float
    """Importances above 0 in a row, on average."""
    alive_mean: int
    """Subcomponents of mean importance above 1e-6."""
    alive_fires: int
    """Subcomponents whose importance is above 0.1 at least once in this text."""
    faithfulness: float
    hidden_error: float
    """Relative squared error of the site's output under importance masks, inputs masked upstream too."""


def decomposition_arm(made: Decomposition, device: torch.device) -> Arm:
    """The decomposition itself, on a device."""
    placed = made.to(device)
    return Arm({name: Pieces(site.V, site.U) for name, site in placed.sites.items()}, placed.importances)


def stochastic_masks(seed: int) -> Masks:
    """What is important stays on; the rest and the delta are drawn uniformly in [0, 1], row by row."""
    return _drawn(seed, "stochastic", filled=True, delta=True)


def importance_masks(g: Mapping[str, Tensor], _: Tensor) -> dict[str, Mask]:
    """Importances as masks, without the delta."""
    return {name: Mask(x, torch.zeros_like(x[..., :1])) for name, x in g.items()}


def all_masks(seed: int) -> dict[str, Masks | None]:
    """Every rung of the ladder, from the target itself (no masks) to none of the pieces."""
    return {
        "target": None,
        "unmasked": _constant(1.0),
        "stochastic": stochastic_masks(seed),
        "importance": importance_masks,
        **{f"rounded {threshold:g}": _rounded(threshold) for threshold in ROUNDED},
        "random": _drawn(seed, "random", filled=False, delta=False),
        "zero": _constant(0.0),
    }


def _constant(value: float) -> Masks:
    return lambda g, _: {name: Mask(torch.full_like(x, value), torch.zeros_like(x[..., :1])) for name, x in g.items()}


def _rounded(threshold: float) -> Masks:
    return lambda g, _: {name: Mask((x > threshold).float(), torch.zeros_like(x[..., :1])) for name, x in g.items()}


def _drawn(seed: int, purpose: str, filled: bool, delta: bool) -> Masks:
    def masks(g: Mapping[str, Tensor], samples: Tensor) -> dict[str, Mask]:
        found = {}
        for name, x in g.items():
            key = draws.key(seed, purpose, name).to(x.device)
            r = draws.uniform_rows(key, samples, x.shape[1:-1], x.shape[-1] + 1)
            pieces = numerics.fill_masks(x, r[..., :-1]) if filled else r[..., :-1]
            found[name] = Mask(pieces, r[..., -1:] if delta else torch.zeros_like(r[..., -1:]))
        return found

    return masks


def following_tokens(tokens: Int[Tensor, "n t"], positions: int, vocabulary: int) -> Int[Tensor, "n p_minus_1"]:
    """The tokens that logits (n, positions, vocabulary) predict, at all positions but the last.

    Fewer positions than tokens are those of the last tokens: a module may have nothing to say at a tag in front. A
    token that has no logit, because it is read and never predicted, is -100.
    """
    following = tokens[:, tokens.shape[1] - positions + 1 :]
    return torch.where(following < vocabulary, following, LEFT_OUT)


class Ruler:
    """Measures arms on the same windows, batch by batch, against what the target itself predicts.

    Raises ``UnweaveError`` for a target that gives no logits at several positions, or none for any of the tokens.
    """

    def __init__(self, model: MaskedTarget, tokens: Int[Tensor, "n t"], seed: int) -> None:
        self.model, self.tokens, self.seed = model, tokens.to(model.target.device), seed
        shape = model.clean(self.tokens[:1])[0].shape
        if len(shape) != 3 or not 2 <= shape[1] <= tokens.shape[1]:
            raise UnweaveError(
                f"{model.target.name} gives {tuple(shape)} for a window of {tokens.shape[1]} tokens, and the ladder "
                "needs logits (n, positions, vocabulary) at two positions or more"
            )
        self.following = following_tokens(self.tokens, shape[1], shape[2])
        if bool((self.following == LEFT_OUT).all()):
            raise UnweaveError(
                f"{model.target.name} has logits of tokens 0 to {shape[2] - 1}, and no window has one behind its first"
            )

    def unigram_entropy(self, unigram: Float[Tensor, " v"]) -> float:
        """Mean cross-entropy of the tokens that the target predicts under log-probabilities of tokens, nats a token."""
        return float(-unigram.to(self.following.device)[self.following[self.following != LEFT_OUT]].mean())

    def attacked(self, most: int) -> Int[Tensor, " m"]:
        """Numbers of the windows that an adversary reads: up to ``most``, spread over all."""
        return torch.linspace(0, len(self.tokens) - 1, min(most, len(self.tokens))).round().long().unique()

    def _batches(self) -> list[tuple[Tensor, Tensor]]:
        numbers = torch.arange(len(self.tokens), device=self.tokens.device)
        return list(zip(self.tokens.split(BATCH), numbers.split(BATCH), strict=True))

    def measure(
        self, plans: Sequence[tuple[Arm, Mapping[str, Masks | None]]], progress: Progress
    ) -> list[dict[str, tuple[float, float]]]:
        """Mean cross-entropy of the next token and mean KL from the target by arm and kind of mask, nats a token."""
        sums = [dict.fromkeys(kinds, (0.0, 0.0)) for _, kinds in plans]
        predicted = int((self.following != LEFT_OUT).sum())
        batches, done = self._batches(), 0
        total = sum(len(kinds) for _, kinds in plans) * len(batches)
        for batch, samples in batches:
            clean, inputs = self.model.clean(batch)
            for (arm, kinds), found in zip(plans, sums, strict=True):
                importances = arm.importances(inputs)
                for name, masks in kinds.items():
                    progress.update(done, total, name)
                    done += 1
                    logits = clean
                    if masks is not None:
                        logits = self.model.masked(batch, arm.pieces, masks(importances, samples))
                    losses = torch.nn.functional.cross_entropy(
                        logits[:, :-1].flatten(0, 1),
                        self.following[samples].flatten(),
                        reduction="sum",
                        ignore_index=LEFT_OUT,
                    )
                    kl = numerics.divergence_kl(logits[:, :-1], clean[:, :-1]).sum()
                    entropy, divergence = found[name]
                    found[name] = (
                        entropy + float(losses) / predicted,
                        divergence + float(kl) / self.following.numel(),
                    )
        return sums

    def facts(self, arm: Arm) -> tuple[tuple[SiteFacts, ...], dict[str, Float[Tensor, " c"]]]:
        """Use of the subcomponents with errors of the sites' outputs under importance masks, and mean importances."""
        rows = dict.fromkeys(arm.pieces, 0)
        total = {name: torch.zeros(len(U)) for name, (_, U) in arm.pieces.items()}
        most = {name: torch.zeros(len(U)) for name, (_, U) in arm.pieces.items()}
        counts = {name: [0.0, 0.0, 0.0] for name in arm.pieces}
        for batch, samples in self._batches():
            _, inputs = self.model.clean(batch)
            found = arm.importances(inputs)
            self.model.masked(batch, arm.pieces, importance_masks(found, samples))
            for name, output in self.model.outputs().items():
                g = found[name].flatten(0, -2)
                total[name] += g.sum(0).cpu()
                most[name] = torch.maximum(most[name], g.max(0).values.cpu())
                wanted = inputs[name] @ self.model.weights[name].T
                sums = ((g > FIRES).sum(), (g > 0).sum(), numerics.relative_error(output, wanted).sum())
                counts[name] = [kept + float(new) for kept, new in zip(counts[name], sums, strict=True)]
                # A site may see fewer rows than there are tokens.
                rows[name] += len(g)
        means = {name: sum_of_rows / rows[name] for name, sum_of_rows in total.items()}
        facts = []
        for name, (V, U) in arm.pieces.items():
            faith = float(numerics.faithfulness(self.model.weights[name].float(), V, U))
            l0, nonzero, error = (count / rows[name] for count in counts[name])
            alive, fires = int((means[name] > ALIVE_MEAN).sum()), int((most[name] > FIRES).sum())
            facts.append(SiteFacts(name, len(U), l0, nonzero, alive, fires, faith, error))
        return tuple(facts), means

    def attack(
        self, arm: Arm, chosen: Int[Tensor, " m"], steps: Sequence[int], progress: Progress, what: str = "adversary"
    ) -> dict[int, float]:
        """Worst KL so far after each number of steps, of one source vector for all rows of windows ``chosen``."""
        parts = []
        for batch in self.tokens[chosen].split(BATCH):
            clean, inputs = self.model.clean(batch)
            parts.append((batch, clean.float(), arm.importances(inputs)))
        names = list(arm.pieces)
        sources = [
            torch.rand(len(arm.pieces[name].U) + 1, generator=torch_generator(self.seed, "attack", name)).to(
                self.tokens.device
            )
            for name in names
        ]
        found, worst, last = {}, 0.0, max(steps, default=0)
        for step in range(last + 1 if steps else 0):
            gradients = [torch.zeros_like(source) for source in sources]
            reached = 0.0
            for batch, clean, g in parts:
                leaves = [source.detach().requires_grad_() for source in sources]
                with torch.enable_grad():
                    masks = {
                        name: Mask(numerics.fill_masks(g[name], leaf[:-1]), leaf[-1:].expand(*g[name].shape[:-1], 1))
                        for name, leaf in zip(names, leaves, strict=True)
                    }
                    logits = self.model.masked(batch, arm.pieces, masks)
                    kl = numerics.divergence_kl(logits[:, :-1].float(), clean[:, :-1]).mean()
                share = len(batch) / len(chosen)
                reached += float(kl) * share
                for kept, new in zip(gradients, torch.autograd.grad(kl, leaves), strict=True):
                    kept += new * share
            worst = max(worst, reached)
            if step in steps:
                found[step] = worst
            progress.update(step, last, f"{what}, KL {worst:.3f}")
            sources = [
                signed_step(source, gradient, ATTACK_RATE) for source, gradient in zip(sources, gradients, strict=True)
            ]
        return found
