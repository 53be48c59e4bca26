"""The quality ladder: what a decomposition's masks do to the model's predictions, from gentle to adversarial.

Definitions are VPD's (May 2026, appendix on metrics) unless said otherwise. The delta is on only where that is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, usual_progress
from unweave.corpora.text import Corpus
from unweave.decompose.batches import check_data, fingerprint, text_windows
from unweave.decompose.controls import CONTROLS, control_arm
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.masked import MaskedTarget
from unweave.decompose.ruler import (
    ALIVE_MEAN,
    Ruler,
    SiteFacts,
    all_masks,
    decomposition_arm,
    importance_masks,
    stochastic_masks,
)
from unweave.models.target import Target

ATTACK_STEPS = (20, 40, 80, 160, 320)
ATTACK_WINDOWS = 32
"""Windows that the adversary reads unless it is told otherwise."""
CONTROL_STEPS = 20
"""The longest attack that controls are put to."""


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
class Control:
    """Other pieces of the same matrices under the same kinds of mask, on the same tokens (see ``controls.py``)."""

    pieces: str
    rungs: tuple[Rung, ...]
    attacks: Mapping[int, float]
    active: float
    """Pieces that count as important in a row, on average, over all sites."""

    def rung(self, masks: str) -> Rung:
        """The rung of one kind of mask."""
        return next(rung for rung in self.rungs if rung.masks == masks)


@dataclass(frozen=True)
class Ladder:
    """Everything measured, on ``tokens`` held-out tokens."""

    rungs: tuple[Rung, ...]
    attacks: Mapping[int, float]
    """KL after a fresh adversary's steps: one source vector for all rows that it reads, sign steps of 0.1, the worst so
    far."""
    sites: tuple[SiteFacts, ...]
    target_cross_entropy: float
    unigram_cross_entropy: float
    tokens: int
    controls: tuple[Control, ...] = ()
    mean_importances: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """By site, a subcomponent each, in the decomposition's order."""
    text: Mapping[str, Any] = field(default_factory=dict)
    """What was read: corpus, part, labels, windows, and the fingerprint of the tokens."""
    attack_windows: int = 0
    """Windows that the adversary read, spread over all: more are harder for it, as one vector serves them all."""
    attack_tokens: int = 0

    @property
    def l0(self) -> float:
        return sum(site.l0 for site in self.sites)

    @property
    def alive(self) -> int:
        return sum(site.alive_mean for site in self.sites)

    @property
    def importance_of_zero(self) -> float | None:
        """KL under importance masks over that of zero masks, which can be compared where targets differ."""
        zero = self.rung("zero").kl
        return self.rung("importance").kl / zero if zero > 0 else None

    def rung(self, masks: str) -> Rung:
        """The rung of one kind of mask."""
        return next(rung for rung in self.rungs if rung.masks == masks)

    def alive_pieces(self) -> dict[str, list[int]]:
        """Numbers of the subcomponents of mean importance above 1e-6, by site."""
        return {
            site: [number for number, mean in enumerate(means) if mean > ALIVE_MEAN]
            for site, means in self.mean_importances.items()
        }

    @property
    def failures(self) -> list[str]:
        """Sentences saying where it is not better than its controls; empty when it passed."""
        found = []
        for control in self.controls:
            kinds = [("importance masks", self.rung("importance").kl, control.rung("importance").kl)]
            kinds.append(("stochastic masks", self.rung("stochastic").kl, control.rung("stochastic").kl))
            common = [steps for steps in control.attacks if steps in self.attacks]
            if common:
                last = max(common)
                kinds.append((f"a {last}-step adversary", self.attacks[last], control.attacks[last]))
            found += [failure for kind in kinds if (failure := CONTROLS[control.pieces].failure(*kind))]
        return found

    @property
    def passed(self) -> bool:
        """Whether it is better than its controls, as far as there are any."""
        return not self.failures

    def __repr__(self) -> str:
        """A short table, for a notebook."""
        verdict = "" if not self.controls else ", passed" if self.passed else ", failed"
        lines = [
            f"Ladder({self.tokens:,} tokens, L0 {self.l0:.1f} of {self.alive} alive{verdict})",
            f"{'masks':14}{'cross-entropy':>15}{'KL':>9}{'unrecovered':>13}",
        ]
        for rung in self.rungs:
            left = "-" if rung.unrecovered is None else f"{rung.unrecovered:.3f}"
            lines.append(f"{rung.masks:14}{rung.cross_entropy:15.3f}{rung.kl:9.4f}{left:>13}")
        if self.attacks:
            reached = ", ".join(f"{kl:.3f} after {steps}" for steps, kl in self.attacks.items())
            lines.append(f"adversary, KL: {reached} steps on {self.attack_windows} windows")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values but the mean importances: one a subcomponent, they have a table of their own."""
        found = asdict(replace(self, mean_importances={}))
        del found["mean_importances"]
        return {**found, "l0": self.l0, "alive": self.alive, "passed": self.passed, "failures": self.failures}


def evaluate(
    target: Target,
    made: Decomposition,
    data: Corpus | Tensor,
    *,
    part: str = "evaluation",
    labels: Sequence[str] | None = None,
    windows: int = 16,
    length: int = 64,
    base: Target | None = None,
    attack_steps: Sequence[int] = ATTACK_STEPS,
    attack_windows: int = ATTACK_WINDOWS,
    controls: Sequence[str] = tuple(CONTROLS),
    seed: int = 0,
    progress: Progress | None = None,
) -> Ladder:
    """The quality ladder on ``windows`` windows a label of a corpus's part, or on windows of tokens (n, t).

    For a corpus the unigram model is counted on its decomposition part. ``controls`` are measured beside the
    decomposition (see ``controls.py``). The adversary reads up to ``attack_windows`` of all the windows, spread over
    them. A decomposition of the difference from an earlier checkpoint needs that one as ``base``, which is then what
    zero masks leave.

    Raises ``UnweaveError`` when the decomposition is of another target or base, and for rows of features: they have no
    next token, and so their decompositions no ladder.
    """
    measured: dict[str, Any] = {
        "base": base,
        "attack_steps": attack_steps,
        "attack_windows": attack_windows,
        "controls": controls,
        "seed": seed,
        "progress": progress,
    }
    if isinstance(data, Tensor):
        check_data(data)
        if data.is_floating_point() or data.dim() != 2 or data.shape[1] < 2:
            raise UnweaveError(
                f"the data has shape {tuple(data.shape)} and type {data.dtype}: the ladder compares predictions of the "
                "next token, so give windows of tokens (n, t), two or more in each, to a target that predicts them "
                "(feature rows have no ladder)"
            )
        found = measure_ladder(target, made, data, **measured)
        return replace(found, text={"fingerprint": fingerprint(data), "windows": len(data), "length": data.shape[1]})
    if windows < 1:
        raise UnweaveError(f"windows is {windows}, and the ladder needs at least 1 for each label")
    read = text_windows(target, data, part, windows, length, labels)
    held_out = torch.as_tensor(np.concatenate(list(read.values())))
    seen = np.concatenate(list(text_windows(target, data, "decomposition", 1 << 20, length, labels).values()))
    unigram = unigram_model(torch.as_tensor(seen), target.vocabulary)
    found = measure_ladder(target, made, held_out, unigram=unigram, **measured)
    text = {
        "corpus": data.name,
        "part": part,
        "labels": list(read),
        "windows": len(held_out),
        "length": length,
        "fingerprint": fingerprint(held_out),
    }
    return replace(found, text=text)


def unigram_model(tokens: Int[Tensor, "n t"], vocabulary: int) -> Float[Tensor, " v"]:
    """Log-probabilities by frequency, one added to every count; tokens that no logit is for are not counted."""
    counts = torch.bincount(tokens.flatten(), minlength=vocabulary)[:vocabulary].float() + 1
    return (counts / counts.sum()).log()


def measure_ladder(
    target: Target,
    made: Decomposition,
    tokens: Int[Tensor, "n t"],
    *,
    unigram: Float[Tensor, " v"] | None = None,
    base: Target | None = None,
    attack_steps: Sequence[int] = ATTACK_STEPS,
    attack_windows: int = ATTACK_WINDOWS,
    controls: Sequence[str] = tuple(CONTROLS),
    seed: int = 0,
    progress: Progress | None = None,
) -> Ladder:
    """Measures all rungs on held-out windows of tokens, and the controls in the same passes.

    ``unigram`` holds log-probabilities of tokens from other text; by default the frequencies of these windows
    themselves, with one added to each, which is a stricter baseline. Raises ``UnweaveError`` when the decomposition is
    of another target, or of the difference from another ``base``.
    """
    made.check_target(target.identity.digest)
    made.check_base(base)
    if attack_windows < 1:
        raise UnweaveError(f"attack_windows is {attack_windows}, and the adversary needs at least 1 to read")
    progress = progress or usual_progress()
    sites = [target.site(name) for name in made.sites]
    if unigram is None:
        unigram = unigram_model(tokens, target.vocabulary)
    with torch.no_grad(), MaskedTarget(target, sites, base).attached() as model:
        ruler = Ruler(model, tokens, seed)
        ours = decomposition_arm(made, target.device)
        facts, means = ruler.facts(ours)
        active = {site.site: site.nonzero for site in facts}
        arms = {name: control_arm(name, made, model.weights, active, ours.importances, seed) for name in controls}
        beside = {"importance": importance_masks, "stochastic": stochastic_masks(seed)}
        measured, *others = ruler.measure(
            [(ours, all_masks(seed)), *((arm, beside) for arm in arms.values())], progress
        )
        short = [steps for steps in attack_steps if steps <= CONTROL_STEPS]
        attacked = ruler.attacked(attack_windows)
        reached = {
            name: ruler.attack(arm, attacked, short, progress, f"adversary of {name} pieces")
            for name, arm in arms.items()
        }
        attacks = ruler.attack(ours, attacked, attack_steps, progress)
        unigram_entropy = ruler.unigram_entropy(unigram)
    own = measured["target"][0]
    worst = min(measured["zero"][0], unigram_entropy)

    def rungs(found: Mapping[str, tuple[float, float]]) -> tuple[Rung, ...]:
        return tuple(
            Rung(name, entropy, kl, (entropy - own) / (worst - own) if worst > own else None)
            for name, (entropy, kl) in found.items()
        )

    return Ladder(
        rungs(measured),
        attacks,
        facts,
        own,
        unigram_entropy,
        tokens.numel(),
        tuple(
            Control(name, rungs(found), reached[name], CONTROLS[name].active(active))
            for name, found in zip(arms, others, strict=True)
        ),
        {name: tuple(mean.tolist()) for name, mean in means.items()},
        attack_windows=len(attacked) if attacks else 0,
        attack_tokens=tokens[attacked].numel() if attacks else 0,
    )
