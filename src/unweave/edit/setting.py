"""What every method of removing a label shares: the target, the label, the retained one, and who reads which text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.seeds import derive, numpy_generator
from unweave.corpora.text import Corpus
from unweave.corpora.windows import random_groups, token_windows
from unweave.decompose.decomposition import SiteSubcomponents, Subcomponent
from unweave.edit.line_search import ONE_WAY, Reference
from unweave.edit.measure import realised, uniform_cross_entropy
from unweave.edit.objective import Objective, loss_layout, loss_text
from unweave.models.capture import capture_inputs, inputs_by_label
from unweave.models.prefix import cache_prefix, prefix_logits
from unweave.models.sites import Site
from unweave.models.target import Target

RETAINED_WINDOWS = 2
REFERENCE_WINDOWS = 48


@dataclass
class Setting:
    """One label to remove from one target, at one site, and the text that methods may read.

    ``part`` is the part of the corpus that loss tokens are drawn from: ``training``, or ``tuning`` when learning
    rates are set on another label.
    """

    target: Target
    corpus: Corpus
    label: str
    retain: str
    pieces: SiteSubcomponents
    chosen: int
    selection: Mapping[str, np.ndarray]
    part: str = "training"
    window: int = 64
    entropy_carried: float = 0.0
    """What ``line_search.Reference`` takes of the target."""
    dealt: bool = False
    """The null case: loss text is dealt to labels at random, by the same seed that draws it."""
    _objectives: dict[tuple[object, ...], Objective] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.retain == self.label:
            raise UnweaveError(f"{self.label!r} cannot be removed and retained at once: choose another retain")

    @property
    def site(self) -> Site:
        return self.target.site(self.pieces.site)

    @property
    def layer(self) -> int | None:
        return self.site.layer

    @property
    def ceiling(self) -> float:
        """ln V."""
        return uniform_cross_entropy(self.target)

    def piece(self, index: int | None = None) -> Subcomponent:
        """The chosen subcomponent, or another of its site."""
        return self.pieces[self.chosen if index is None else index]

    @cached_property
    def inputs(self) -> dict[str, Float[Tensor, "n d_in"]]:
        """The site's inputs on the selection text by label, position 0 left out."""
        return inputs_by_label(self.target, self.site, self.selection)

    @cached_property
    def reference_windows(self) -> np.ndarray:
        """The label's decomposition text (where it has none, its selection text) that the stopping rule refers to."""
        part = "decomposition" if self.label in self.corpus.labels("decomposition") else "selection"
        return token_windows(
            self.target.tokenizer, self.corpus, part, self.label, self.window, at_most=REFERENCE_WINDOWS
        )

    @cached_property
    def reference_text(self) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, "n d_in"]]:
        """Realised cross-entropy, entropy and the site's input per token of the label, first and last position out.

        Of the broadest text there is: from book to book, a piece's mean activation on a label differs by a tenth.
        """
        drawn = self.reference_windows
        tokens = torch.as_tensor(drawn)
        losses, entropies = [], []
        with torch.no_grad():
            for batch in cache_prefix(self.target, tokens, None).batches(16):
                logits = prefix_logits(self.target, batch, slice(1, -1)).float()
                loss, entropy = realised(logits, batch.tokens[:, 2:].to(logits.device))
                losses.append(loss.flatten().cpu())
                entropies.append(entropy.flatten().cpu())
        inputs = inputs_by_label(self.target, self.site, {self.label: drawn})[self.label]
        return torch.cat(losses), torch.cat(entropies), inputs.unflatten(0, (len(drawn), -1))[:, :-1].flatten(0, 1)

    def reference(self, piece: Subcomponent) -> Reference:
        """What ``tune_factor`` needs to know about a piece on the label."""
        losses, entropies, inputs = self.reference_text
        acting = (inputs @ piece.v) * piece.u.norm()
        mean, entropy = float(acting.mean()), float(entropies.mean())
        one_way = abs(mean) > ONE_WAY * float(acting.abs().mean())
        acting_entropy = float((acting * entropies).mean()) / mean if one_way else entropy
        return Reference(float(losses.mean()), entropy, mean, acting_entropy, self.entropy_carried)

    def unusual(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t"]:
        """How far the chosen piece acts from its mean on the label, position by position."""
        piece = self.piece()
        with torch.no_grad():
            x = capture_inputs(self.target, [self.site], tokens)[self.site.name].float().cpu()
        return ((x @ piece.v) * piece.u.norm() - self.reference(piece).activation).abs()

    def objective(
        self, budget: int, seed: int, *, whole: bool = False, strict: bool = False, retained: tuple[str, ...] = ()
    ) -> Objective:
        """Loss text for a budget: the same windows and tokens for every method of one seed (see ``loss_text``).

        ``whole`` caches nothing before the site, for edits that touch earlier layers. ``strict`` takes a window of
        exactly the budget, so that tokens seen and tokens in the loss are equal, position 0 with them. ``retained``
        gives KL text on several labels from the selection part instead of the retained label's training text.
        """
        key = (budget, seed, whole, strict, retained)
        if key not in self._objectives:
            layer = None if whole else self.layer
            if strict:
                windows, positions, length = 1, range(budget), budget
            else:
                (windows, positions), length = loss_layout(budget, self.window), self.window
            removed = torch.as_tensor(self.windows(self.part, self.label, windows, seed, length))
            if retained:
                kept = np.concatenate([self.selection[label][:RETAINED_WINDOWS] for label in retained])
            else:
                kept = self.windows(self.part, self.retain, RETAINED_WINDOWS, seed, self.window)
            self._objectives = {
                key: Objective(
                    loss_text(self.target, removed, positions, layer, None if strict else self.unusual(removed)),
                    loss_text(self.target, torch.as_tensor(kept), range(1, self.window), layer),
                    self.ceiling,
                )
            }
        return self._objectives[key]

    def streamed_texts(self, counts: Mapping[str, int], seed: int) -> tuple[Int[Tensor, "n t"], Int[Tensor, "m t"]]:
        """So many windows of each label's decomposition text: the removed label's, and the others' in mixed order."""
        found = {
            label: token_windows(
                self.target.tokenizer, self.corpus, "decomposition", label, self.window, seed=seed, at_most=count
            )
            for label, count in counts.items()
        }
        removed = torch.as_tensor(found.pop(self.label))
        others = np.concatenate(list(found.values()))
        order = numpy_generator(seed, "streamed texts").permutation(len(others))
        return removed, torch.as_tensor(others[order])

    def windows(self, part: str, label: str, count: int, seed: int, length: int) -> np.ndarray:
        """Windows of a label, drawn by seed; a seed of -1 is the order kept for measuring, never for loss text."""
        labels = self.corpus.labels(part) if self.dealt else [label]
        drawn_by = derive(seed, "loss windows")
        found = {
            one: token_windows(self.target.tokenizer, self.corpus, part, one, self.window, seed=drawn_by)
            for one in labels
        }
        drawn = (random_groups(found, drawn_by) if self.dealt else found)[label]
        if len(drawn) < count:
            raise UnweaveError(
                f"label {label!r} has {len(drawn)} windows of {self.window} tokens in the {part} part, and the budget "
                f"needs {count}: give more text, or lower tokens"
            )
        return drawn[:count, :length]
