"""Which sites carry a label: how far apart their outputs stand on its text and on the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.base.errors import UnweaveError, nearest
from unweave.base.progress import Progress, usual_progress
from unweave.base.seeds import numpy_generator
from unweave.corpora.text import Corpus
from unweave.corpora.windows import windows_by_label
from unweave.models.capture import as_windows
from unweave.models.sites import Site
from unweave.models.target import Target
from unweave.record.table import Table
from unweave.stats.permutation import exceeds_null

SHUFFLES = 20


@dataclass(frozen=True)
class SiteScore:
    """``score``: squared distance between the label's mean output and the rest's, over the output's token variance."""

    site: Site
    score: float
    null_maximum: float


@dataclass(frozen=True)
class ScanResult:
    """Sites by falling score. ``null_maxima``: for each shuffle of the windows, the largest score over all sites."""

    label: str
    sites: tuple[SiteScore, ...]
    null_maxima: tuple[float, ...]
    tokens: int

    @property
    def found(self) -> bool:
        """True when the best site exceeds the largest score found over all sites under any shuffle."""
        return self.sites[0].score > max(self.null_maxima)

    @property
    def p_value(self) -> float:
        return exceeds_null(self.sites[0].score, np.array(self.null_maxima))[0]

    def table(self) -> Table:
        rows = [
            {
                "site": score.site.name,
                "layer": score.site.layer,
                "score": score.score,
                "largest shuffled": score.null_maximum,
                "d_in": score.site.d_in,
                "d_out": score.site.d_out,
            }
            for score in self.sites
        ]
        return Table.from_records(
            "scan",
            rows,
            units={"score": "output variances"},
            caption=f"How strongly each site's output separates {self.label} from the rest ({self.tokens} tokens)",
        )


def scan(
    target: Target,
    corpus: Corpus,
    label: str,
    *,
    sites: str | Iterable[str] = "*",
    windows: int = 16,
    length: int = 64,
    labels: Sequence[str] | None = None,
    seed: int = 0,
    batch: int = 16,
    progress: Progress | None = None,
) -> ScanResult:
    """Ranks sites by how strongly their outputs separate ``label`` from the other labels.

    Windows of the selection part, each reduced to its mean output (position 0 left out), are split into two halves;
    the score is the product of the halves' difference vectors over the output's token variance, which is 0 on average
    where there is no difference. The control deals the same windows to labels at random. Streamed: only sums are kept.
    Sites that see only some of the tokens (experts) are left out.
    """
    progress = progress or usual_progress()
    labels = tuple(labels or corpus.labels("selection"))
    if label not in labels:
        raise UnweaveError(f"label {label!r} is not in corpus {corpus.name!r}; {nearest(label, labels)}")
    if len(labels) < 2:
        raise UnweaveError(f"only the label {label!r} has text: a contrast needs at least two labels")
    if windows < 2:
        raise UnweaveError(f"windows is {windows}, and a label needs at least 2: one for each half of the score")
    chosen = target.sites(sites)
    text = windows_by_label(target.tokenizer, corpus, "selection", labels, length, windows, seed)
    tokens = torch.as_tensor(np.concatenate(list(text.values())))
    owner = np.repeat(np.arange(len(labels)), [len(part) for part in text.values()])
    weights = torch.as_tensor(_group_weights(owner, labels.index(label), SHUFFLES, seed), dtype=torch.float32)
    sums = {site.name: _Sums(len(weights), site.d_out) for site in chosen}
    order = torch.as_tensor(numpy_generator(seed, "scan order").permutation(len(tokens)))
    for start in range(0, len(tokens), batch):
        rows = order[start : start + batch]
        _accumulate(target, chosen, tokens[rows], weights[..., rows], sums)
        progress.update(min(start + batch, len(tokens)), len(tokens), "windows scanned")
    scores = {name: kept.scores() for name, kept in sums.items() if kept.count}
    if not scores:
        raise UnweaveError(f"none of the {len(chosen)} sites gives an output for every token: choose other sites")
    ranked = sorted((site for site in chosen if site.name in scores), key=lambda site: -scores[site.name][0])
    results = tuple(SiteScore(site, scores[site.name][0], max(scores[site.name][1:])) for site in ranked)
    null_maxima = tuple(max(found[shuffle] for found in scores.values()) for shuffle in range(1, SHUFFLES + 1))
    return ScanResult(label, results, null_maxima, tokens.numel())


class _Sums:
    """Running sums of one site: group means under the true labels and every shuffle, and token variance."""

    def __init__(self, groups: int, width: int) -> None:
        self.difference = torch.zeros(groups, 2, width, dtype=torch.float64)
        self.total = torch.zeros(width, dtype=torch.float64)
        self.squares = 0.0
        self.count = 0

    def scores(self) -> list[float]:
        variance = self.squares / self.count - float((self.total / self.count).square().sum())
        products = (self.difference[:, 0] * self.difference[:, 1]).sum(-1)
        return [float(product) / max(variance, 1e-12) for product in products]


def _group_weights(owner: np.ndarray, label: int, shuffles: int, seed: int) -> np.ndarray:
    """(1 + shuffles, 2 halves, windows): +1/n on the label's windows of that half, -1/n on the others'."""
    found = []
    for shuffle in range(shuffles + 1):
        generator = numpy_generator(seed, "scan", shuffle)
        dealt = owner if shuffle == 0 else generator.permutation(owner)
        halves = np.zeros((2, len(owner)))
        for inside, sign in ((dealt == label, 1.0), (dealt != label, -1.0)):
            rows = generator.permutation(np.flatnonzero(inside))
            for half, part in enumerate(np.array_split(rows, 2)):
                halves[half, part] = sign / len(part)
        found.append(halves)
    return np.stack(found)


def _accumulate(
    target: Target,
    sites: Sequence[Site],
    tokens: Tensor,
    weights: Float[Tensor, "groups 2 n"],
    sums: dict[str, _Sums],
) -> None:
    handles = []

    def keeper(site: Site):
        def keep(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            by_token = as_windows(site.part(output), tokens)
            if by_token is None:
                return
            kept, values = sums[site.name], by_token[:, 1:].float()
            kept.difference += torch.einsum("ghn,nd->ghd", weights.to(values.device), values.mean(1)).cpu().double()
            kept.total += values.sum((0, 1)).cpu().double()
            kept.squares += float(values.square().sum())
            kept.count += values.shape[0] * values.shape[1]

        return keep

    for site in sites:
        handles.append(target.module.get_submodule(site.module).register_forward_hook(keeper(site)))
    try:
        with torch.no_grad():
            target.logits(tokens, positions=[0])
    finally:
        for handle in handles:
            handle.remove()
    for site in sites:
        if not math.isfinite(sums[site.name].squares):
            raise UnweaveError(f"site {site.name!r}: its output is NaN or infinite on this text")
