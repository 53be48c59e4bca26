"""What each subcomponent fires on, by label, and which one is about one label and no other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unweave.base.errors import UnweaveError, nearest
from unweave.base.progress import Progress, usual_progress
from unweave.base.seeds import numpy_generator
from unweave.decompose.decomposition import SiteSubcomponents
from unweave.models.capture import stream_inputs
from unweave.models.target import Target
from unweave.read.features import FIRES
from unweave.record.table import Table
from unweave.stats.permutation import exceeds_null

SHUFFLES = 50


@dataclass(frozen=True)
class Statistics:
    """Per label and subcomponent of one site, over the tokens of the selection windows (position 0 left out)."""

    site: str
    labels: tuple[str, ...]
    importance: Float[Tensor, "labels c"]
    firing: Float[Tensor, "labels c"]
    activation: Float[Tensor, "labels c"]
    by_window: Mapping[str, Float[Tensor, "n c"]]
    """Mean importance window by window, for the shuffled control."""
    tokens: int

    def of(self, label: str) -> int:
        if label not in self.labels:
            raise UnweaveError(f"label {label!r} is not in the contrast; {nearest(label, self.labels)}")
        return self.labels.index(label)

    def selectivity(self, label: str) -> Float[Tensor, " c"]:
        """Mean importance on ``label`` minus the largest mean importance on any other label."""
        return selectivity(self.importance, self.of(label))


def selectivity(importance: Float[Tensor, "labels c"], own: int) -> Float[Tensor, " c"]:
    """Mean importance on one label minus the largest mean importance on any other."""
    others = torch.cat([importance[:own], importance[own + 1 :]])
    return importance[own] - others.max(0).values


@dataclass(frozen=True)
class Selection:
    """The subcomponent that is about one label, with what was found and what chance would have found."""

    site: str
    index: int
    label: str
    score: float
    null_maxima: tuple[float, ...]
    statistics: Statistics

    @property
    def found(self) -> bool:
        """True when it beats the best over all subcomponents under every shuffle of the windows."""
        return self.score > max(self.null_maxima)

    @property
    def p_value(self) -> float:
        return exceeds_null(self.score, np.array(self.null_maxima))[0]

    def on(self, label: str) -> float:
        """Mean importance of the chosen piece on a label."""
        return float(self.statistics.importance[self.statistics.of(label), self.index])


def label_statistics(
    target: Target,
    pieces: SiteSubcomponents,
    windows: Mapping[str, np.ndarray],
    batch: int = 16,
    progress: Progress | None = None,
) -> Statistics:
    """Runs the target up to the site once over labelled windows and reduces to means."""
    progress = progress or usual_progress()
    site = target.site(pieces.site)
    rows: dict[str, list[Tensor]] = {"importance": [], "firing": [], "activation": []}
    by_window: dict[str, Tensor] = {}
    for done, (label, tokens) in enumerate(windows.items()):
        importance, firing, activation = [], [], []
        for _, inputs in stream_inputs(target, [site], torch.as_tensor(tokens), batch):
            x = inputs[site.name][:, 1:].float().cpu()
            g = pieces.importance(x)
            importance.append(g.mean(1))
            firing.append((g > FIRES).float().mean(1))
            activation.append(pieces.activations(x).mean(1))
        by_window[label] = torch.cat(importance)
        for name, parts in (("importance", importance), ("firing", firing), ("activation", activation)):
            rows[name].append(torch.cat(parts).mean(0))
        progress.update(done + 1, len(windows), "labels read")
    return Statistics(
        site.name,
        tuple(windows),
        torch.stack(rows["importance"]),
        torch.stack(rows["firing"]),
        torch.stack(rows["activation"]),
        by_window,
        sum(np.asarray(tokens).size for tokens in windows.values()),
    )


def select(statistics: Sequence[Statistics], label: str, seed: int = 0) -> Selection:
    """The most selective subcomponent over all sites, with the shuffled control over the same search.

    The control deals whole windows to labels at random, keeps how many each label has, and takes the best selectivity
    of ``label`` over all sites and subcomponents each time: what a search this wide finds where there is nothing.
    """
    best = max(statistics, key=lambda found: float(found.selectivity(label).max()))
    scores = best.selectivity(label)
    index = int(scores.argmax())
    null = [max(_shuffled_best(found, label, shuffle, seed) for found in statistics) for shuffle in range(SHUFFLES)]
    return Selection(best.site, index, label, float(scores[index]), tuple(null), best)


def candidates(statistics: Sequence[Statistics], selection: Selection, of_each_site: int = 1) -> list[Selection]:
    """The most selective subcomponents of every site that beat the control of the whole search; best first."""
    label, null = selection.label, selection.null_maxima
    found = []
    for read in statistics:
        best = read.selectivity(label).topk(min(of_each_site, read.importance.shape[1]))
        for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            found.append(Selection(read.site, index, label, score, null, read))
    return sorted((one for one in found if one.found), key=lambda one: -one.score)


def _shuffled_best(statistics: Statistics, label: str, shuffle: int, seed: int) -> float:
    sizes = [len(part) for part in statistics.by_window.values()]
    pool = torch.cat(list(statistics.by_window.values()))
    order = numpy_generator(seed, "selection", statistics.site, shuffle).permutation(len(pool))
    means = torch.stack([part.mean(0) for part in pool[torch.as_tensor(order)].split(sizes)])
    return float(selectivity(means, statistics.of(label)).max())


@dataclass(frozen=True)
class TopTokens:
    """Tokens on which a piece fires, by label: each with its share of the piece's importance there."""

    by_label: Mapping[str, tuple[str, ...]]


def top_tokens(
    target: Target,
    pieces: SiteSubcomponents,
    indices: Sequence[int],
    windows: Mapping[str, np.ndarray],
    count: int = 6,
    batch: int = 16,
) -> dict[int, TopTokens]:
    """For each subcomponent and label, the tokens that carry most of its importance.

    A token's weight is the importance summed over its occurrences times its lift (its mean importance over the mean
    of all tokens), so that frequent words do not win by being frequent.
    """
    site = target.site(pieces.site)
    found: dict[int, dict[str, tuple[str, ...]]] = {index: {} for index in indices}
    picked = torch.as_tensor(list(indices))
    for label, tokens in windows.items():
        total: dict[int, dict[int, float]] = {index: defaultdict(float) for index in indices}
        seen: Counter[int] = Counter()
        for rows, inputs in stream_inputs(target, [site], torch.as_tensor(tokens), batch):
            g = pieces.importance(inputs[site.name][:, 1:].float().cpu())[..., picked].reshape(-1, len(picked))
            ids = np.asarray(tokens)[rows, 1:].reshape(-1).tolist()
            seen.update(ids)
            for column, index in enumerate(indices):
                fired = torch.nonzero(g[:, column] > FIRES).flatten().tolist()
                for row in fired:
                    total[index][ids[row]] += float(g[row, column])
        for index in indices:
            overall = sum(total[index].values()) / max(1, sum(seen.values()))
            weight = {
                token: value * (value / seen[token]) / max(overall, 1e-9) for token, value in total[index].items()
            }
            best = sorted(weight, key=lambda token: -weight[token])
            words = [target.tokenizer.decode([token]).strip() for token in best]
            found[index][label] = tuple([word for word in words if len(word) > 1][:count])
    return {index: TopTokens(labels) for index, labels in found.items()}


def plain_label(statistics: Statistics, index: int, tokens: TopTokens, names: Mapping[str, str]) -> str:
    """A short text from what it fires on: ``only German: und, der, nicht`` or ``French and Italian: ...``."""
    means = {
        label: float(value) for label, value in zip(statistics.labels, statistics.importance[:, index], strict=True)
    }
    strongest = max(means.values())
    if strongest < FIRES:
        return "rarely needed"
    where = [label for label, value in sorted(means.items(), key=lambda item: -item[1]) if value > strongest / 2]
    words = ", ".join(tokens.by_label[where[0]][:4])
    if len(where) == len(means):
        return f"all labels: {words}"
    listed = " and ".join(names.get(label, label) for label in where[:3])
    return f"{'only ' if len(where) == 1 else ''}{listed}: {words}"


def most_related(statistics: Statistics, label: str, retain: str, count: int = 16) -> list[int]:
    """The subcomponents whose importance most exceeds the retained label's on ``label``, exclusive or not.

    This is the list that a contrast against the retained label alone would edit; the published experiment started
    from such sixteen, of which fourteen turned out to be about foreign languages in general.
    """
    gain = statistics.importance[statistics.of(label)] - statistics.importance[statistics.of(retain)]
    return gain.topk(min(count, len(gain))).indices.tolist()


def related_table(
    statistics: Statistics,
    indices: Sequence[int],
    tokens: Mapping[int, TopTokens],
    label: str,
    names: Mapping[str, str],
) -> Table:
    """The listed subcomponents with their importance on every label and what they fire on in the others."""
    rows = []
    for index in indices:
        means = statistics.importance[:, index].tolist()
        others = [other for other in statistics.labels if other != label]
        elsewhere = max(others, key=lambda other: means[statistics.of(other)])
        rows.append(
            {
                "subcomponent": f"{statistics.site}:{index}",
                "label": plain_label(statistics, index, tokens[index], names),
                **{f"importance {other}": means[statistics.of(other)] for other in statistics.labels},
                f"fires on in {label}": " ".join(tokens[index].by_label[label][:4]),
                "fires on elsewhere": f"({elsewhere}) " + " ".join(tokens[index].by_label[elsewhere][:4])
                if means[statistics.of(elsewhere)] > FIRES / 2
                else "hardly anything",
            }
        )
    return Table.from_records(
        "related",
        rows,
        caption=f"The subcomponents most related to {names.get(label, label)} and what they fire on in other languages",
    )
