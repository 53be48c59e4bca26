"""The quality ladder: what a decomposition's masks do to the model's predictions, from gentle to adversarial.

Definitions are VPD's (May 2026, appendix on metrics) unless said otherwise. The delta is on only where that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.base.seeds import torch_generator
from unweave.corpora.text import Corpus
from unweave.decompose import draws, numerics
from unweave.decompose.adversary import signed_step
from unweave.decompose.batches import check_data, text_windows
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.masked import Mask, MaskedTarget, Pieces
from unweave.models.target import Target

ROUNDED = (0.0, 0.1, 0.5)
ATTACK_STEPS = (20, 40, 80, 160, 320)
ATTACK_RATE = 0.1
ALIVE_MEAN = 1e-6
FIRES = 0.1
BATCH = 16


@dataclass(frozen=True)
class Rung:
    """One kind of mask: cross-entropy of the next token and KL from the target's prediction, nats a token."""

    masks: str
    cross_entropy: float
    kl: float
    unrecovered: float | None
    """(CE - CE of the target) over (the better of zero masks and the unigram model - CE of the target); None where the
    target itself is no better than that."""


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


@dataclass(frozen=True)
class Ladder:
    """Everything measured, on ``tokens`` held-out tokens."""

    rungs: tuple[Rung, ...]
    attacks: Mapping[int, float]
    """KL after a fresh adversary's steps: one source vector for all rows, sign steps of 0.1, the worst so far."""
    sites: tuple[SiteFacts, ...]
    target_cross_entropy: float
    unigram_cross_entropy: float
    tokens: int

    @property
    def l0(self) -> float:
        return sum(site.l0 for site in self.sites)

    @property
    def alive(self) -> int:
        return sum(site.alive_mean for site in self.sites)

    def rung(self, masks: str) -> Rung:
        """The rung of one kind of mask."""
        return next(rung for rung in self.rungs if rung.masks == masks)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "l0": self.l0, "alive": self.alive}


def evaluate(
    target: Target,
    made: Decomposition,
    data: Corpus | Tensor,
    *,
    part: str = "evaluation",
    labels: Sequence[str] | None = None,
    windows: int = 16,
    length: int = 64,
    attack_steps: Sequence[int] = ATTACK_STEPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ladder:
    """The quality ladder on ``windows`` windows a label of a corpus's part, or on windows of tokens (n, t).

    For a corpus the unigram model is counted on its decomposition part.
    """
    if isinstance(data, Tensor):
        check_data(data)
        if data.is_floating_point() or data.dim() != 2 or data.shape[1] < 2:
            raise UnweaveError(
                f"the data has shape {tuple(data.shape)} and type {data.dtype}: the ladder compares predictions of the "
                "next token, so give windows of tokens (n, t), two or more in each"
            )
        return measure_ladder(target, made, data, attack_steps=attack_steps, seed=seed, progress=progress)
    held_out = torch.as_tensor(np.concatenate(list(text_windows(target, data, part, windows, length, labels).values())))
    seen = np.concatenate(list(text_windows(target, data, "decomposition", 1 << 20, length, labels).values()))
    unigram = unigram_model(torch.as_tensor(seen), target.vocabulary)
    return measure_ladder(
        target, made, held_out, unigram=unigram, attack_steps=attack_steps, seed=seed, progress=progress
    )


def unigram_model(tokens: Int[Tensor, "n t"], vocabulary: int) -> Float[Tensor, " v"]:
    """Log-probabilities by frequency, one added to every count."""
    counts = torch.bincount(tokens.flatten(), minlength=vocabulary).float() + 1
    return (counts / counts.sum()).log()


def measure_ladder(
    target: Target,
    made: Decomposition,
    tokens: Int[Tensor, "n t"],
    *,
    unigram: Float[Tensor, " v"] | None = None,
    attack_steps: Sequence[int] = ATTACK_STEPS,
    attack_windows: int = 32,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ladder:
    """Measures all rungs on held-out windows of tokens.

    ``unigram`` holds log-probabilities of tokens from other text; by default the frequencies of these windows
    themselves, with one added to each, which is a stricter baseline. Raises ``UnweaveError`` when the decomposition is
    of another target.
    """
    made.check_target(target.identity.digest)
    progress = progress or Silent()
    sites = [target.site(name) for name in made.sites]
    if unigram is None:
        unigram = unigram_model(tokens, target.vocabulary)
    with torch.no_grad(), MaskedTarget(target, sites).attached() as model:
        ruler = _Ruler(model, made, tokens.to(target.device), seed)
        kinds = _kinds(seed)
        measured = ruler.measure(kinds, progress)
        facts = ruler.facts()
        attacks = ruler.attack(attack_windows, attack_steps, progress)
    unigram_entropy = float(-unigram.to(target.device)[tokens[:, 1:].to(target.device)].mean())
    base = measured["target"][0]
    worst = min(measured["zero"][0], unigram_entropy)
    rungs = [
        Rung(name, entropy, kl, (entropy - base) / (worst - base) if worst > base else None)
        for name, (entropy, kl) in measured.items()
    ]
    return Ladder(tuple(rungs), attacks, facts, base, unigram_entropy, tokens.numel())


Masks = Callable[[Mapping[str, Tensor], Int[Tensor, " n"]], dict[str, Mask]]
"""Masks from importances and the numbers of the samples."""


def _kinds(seed: int) -> dict[str, Masks | None]:
    def constant(pieces: float, delta: float) -> Masks:
        return lambda g, _: {
            name: Mask(torch.full_like(x, pieces), torch.full_like(x[..., :1], delta)) for name, x in g.items()
        }

    def rounded(threshold: float) -> Masks:
        return lambda g, _: {name: Mask((x > threshold).float(), torch.zeros_like(x[..., :1])) for name, x in g.items()}

    def drawn(purpose: str, filled: bool, delta: bool) -> Masks:
        def masks(g: Mapping[str, Tensor], samples: Tensor) -> dict[str, Mask]:
            found = {}
            for name, x in g.items():
                key = draws.key(seed, purpose, name).to(x.device)
                r = draws.uniform_rows(key, samples, x.shape[1:-1], x.shape[-1] + 1)
                pieces = numerics.fill_masks(x, r[..., :-1]) if filled else r[..., :-1]
                found[name] = Mask(pieces, r[..., -1:] if delta else torch.zeros_like(r[..., -1:]))
            return found

        return masks

    return {
        "target": None,
        "unmasked": constant(1.0, 0.0),
        "stochastic": drawn("stochastic", True, True),
        "importance": lambda g, _: {name: Mask(x, torch.zeros_like(x[..., :1])) for name, x in g.items()},
        **{f"rounded {threshold:g}": rounded(threshold) for threshold in ROUNDED},
        "random": drawn("random", False, False),
        "zero": constant(0.0, 0.0),
    }


class _Ruler:
    """Forwards of the held-out windows, batch by batch, with what the target itself predicts."""

    def __init__(self, model: MaskedTarget, made: Decomposition, tokens: Tensor, seed: int) -> None:
        self.model, self.made, self.tokens, self.seed = model, made, tokens, seed
        device = model.target.device
        self.pieces = {name: Pieces(site.V.to(device), site.U.to(device)) for name, site in made.sites.items()}
        self.placed = made.to(device)

    def _batches(self) -> list[tuple[Tensor, Tensor]]:
        numbers = torch.arange(len(self.tokens), device=self.tokens.device)
        return list(zip(self.tokens.split(BATCH), numbers.split(BATCH), strict=True))

    def measure(self, kinds: Mapping[str, Masks | None], progress: Progress) -> dict[str, tuple[float, float]]:
        """Mean cross-entropy of the next token and mean KL from the target by kind of mask, over all windows."""
        sums = dict.fromkeys(kinds, (0.0, 0.0))
        predicted = self.tokens[:, 1:].numel()
        batches, done = self._batches(), 0
        for batch, samples in batches:
            clean, inputs = self.model.clean(batch)
            importances = self.placed.importances(inputs)
            for name, masks in kinds.items():
                progress.update(done, len(kinds) * len(batches), name)
                done += 1
                logits = clean
                if masks is not None:
                    logits = self.model.masked(batch, self.pieces, masks(importances, samples))
                losses = torch.nn.functional.cross_entropy(
                    logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten(), reduction="sum"
                )
                kl = numerics.divergence_kl(logits[:, :-1], clean[:, :-1]).sum()
                entropy, divergence = sums[name]
                sums[name] = entropy + float(losses) / predicted, divergence + float(kl) / predicted
        return sums

    def facts(self) -> tuple[SiteFacts, ...]:
        """Use of the subcomponents, and errors of the sites' outputs under importance masks."""
        rows = self.tokens.numel()
        total = {name: torch.zeros(len(site)) for name, site in self.made.sites.items()}
        most = {name: torch.zeros(len(site)) for name, site in self.made.sites.items()}
        counts = {name: [0.0, 0.0, 0.0] for name in self.made.sites}
        for batch, _ in self._batches():
            _, inputs = self.model.clean(batch)
            found = self.placed.importances(inputs)
            masks = {name: Mask(g, torch.zeros_like(g[..., :1])) for name, g in found.items()}
            self.model.masked(batch, self.pieces, masks)
            for name, output in self.model.outputs().items():
                g = found[name].flatten(0, -2)
                total[name] += g.sum(0).cpu()
                most[name] = torch.maximum(most[name], g.max(0).values.cpu())
                wanted = inputs[name] @ self.model.weights[name].T
                sums = ((g > FIRES).sum(), (g > 0).sum(), numerics.relative_error(output, wanted).sum())
                counts[name] = [kept + float(new) / rows for kept, new in zip(counts[name], sums, strict=True)]
        facts = []
        for name, site in self.made.sites.items():
            faith = float(numerics.faithfulness(self.model.weights[name].float().cpu(), site.V, site.U))
            l0, nonzero, error = counts[name]
            alive, fires = int((total[name] / rows > ALIVE_MEAN).sum()), int((most[name] > FIRES).sum())
            facts.append(SiteFacts(name, len(site), l0, nonzero, alive, fires, faith, error))
        return tuple(facts)

    def attack(self, windows: int, steps: Sequence[int], progress: Progress) -> dict[int, float]:
        """Worst KL so far after each number of steps, of one source vector for all rows that climbs the KL."""
        chosen = torch.linspace(0, len(self.tokens) - 1, min(windows, len(self.tokens))).round().long().unique()
        parts = []
        for batch in self.tokens[chosen].split(BATCH):
            clean, inputs = self.model.clean(batch)
            parts.append((batch, clean.float(), self.placed.importances(inputs)))
        names = list(self.made.sites)
        sources = [
            torch.rand(len(self.made.sites[name]) + 1, generator=torch_generator(self.seed, "attack", name)).to(
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
                    logits = self.model.masked(batch, self.pieces, masks)
                    kl = numerics.divergence_kl(logits[:, :-1].float(), clean[:, :-1]).mean()
                share = len(batch) / len(chosen)
                reached += float(kl) * share
                for kept, new in zip(gradients, torch.autograd.grad(kl, leaves), strict=True):
                    kept += new * share
            worst = max(worst, reached)
            if step in steps:
                found[step] = worst
            progress.update(step, last, f"adversary, KL {worst:.3f}")
            sources = [
                signed_step(source, gradient, ATTACK_RATE) for source, gradient in zip(sources, gradients, strict=True)
            ]
        return found
