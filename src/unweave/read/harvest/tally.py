"""What a harvest adds up: integers only, so that shards merge to the same bits in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.read.features import FIRES
from unweave.read.harvest.reservoir import RESERVOIR_FIELDS, Reservoir, mixed

IMPORTANCE_BINS = 20
ACTIVATION_BINS = 49
SMALLEST, OCTAVE = -6.0, 2 / 3
"""Bins of activations: from 2^-6 on either side of 0, each two thirds of an octave wide."""
FIXED = float(1 << 20)
"""Sums of fractions are kept as whole numbers of 2^-20."""
BACKGROUND = 16
"""Activations where a feature does not fire are looked at on one position in so many."""

IMPORTANCE_EDGES = np.linspace(0, 1, IMPORTANCE_BINS + 1)
_MAGNITUDES = 2.0 ** (SMALLEST + OCTAVE * np.arange(ACTIVATION_BINS // 2 + 1))
ACTIVATION_EDGES = np.concatenate([-_MAGNITUDES[::-1], _MAGNITUDES])
"""49 bins; the middle one holds what is smaller than 2^-6, the outermost ones what lies beyond."""

_SUMS = {
    "firing_by_label": np.int64,
    "firing_by_position": np.int64,
    "shown_by_label": np.int64,
    "shown_by_position": np.int64,
    "importance_by_label": np.int64,
    "importance_sum": np.int64,
    "activation_sum": np.int64,
    "activation_positive": np.int64,
    "importance_histogram": np.int64,
    "activation_histogram": np.int64,
    "background_histogram": np.int64,
    "table_in": np.int32,
    "table_out": np.int32,
    "tokens_by_label": np.int64,
    "shown_tokens_by_label": np.int64,
    "vocabulary_count": np.int64,
    "vocabulary_draws": np.int64,
    "batches": np.int64,
}


@dataclass(frozen=True)
class TallyShape:
    """Sizes of everything that is added up: features, labels, positions, tokens told apart, pool windows, batches."""

    features: int
    labels: int
    length: int
    columns: int
    pool: int
    batches: int
    shown: int
    held: int
    context: int
    draws: int


@dataclass(frozen=True)
class Batch:
    """One forward's windows: which they are, and what the model predicts at each position."""

    index: int
    windows: np.ndarray
    """int [b], rows of the text."""
    label: np.ndarray
    held: np.ndarray
    keys: np.ndarray
    """uint64 [b, t], one for each position."""
    pool: np.ndarray
    """int [b], the window's place in the pool, or -1."""
    columns: np.ndarray
    """int [b, t], the tokens' columns."""
    drawn: np.ndarray
    """int [b, t, draws], columns of tokens drawn from the model's next-token distribution."""
    drawn_tokens: np.ndarray
    """The same as token ids."""


class Tally:
    """Counts by feature, samples of firings, and every firing of the pool's windows."""

    def __init__(self, shape: TallyShape) -> None:
        self.shape = shape
        sizes: dict[str, tuple[int, ...]] = {
            "firing_by_label": (shape.features, shape.labels),
            "firing_by_position": (shape.features, shape.length),
            "shown_by_label": (shape.features, shape.labels),
            "shown_by_position": (shape.features, shape.length),
            "importance_by_label": (shape.features, shape.labels),
            "importance_sum": (shape.features,),
            "activation_sum": (shape.features,),
            "activation_positive": (shape.features,),
            "importance_histogram": (shape.features, IMPORTANCE_BINS),
            "activation_histogram": (shape.features, ACTIVATION_BINS),
            "background_histogram": (shape.features, ACTIVATION_BINS),
            "table_in": (shape.features, shape.columns),
            "table_out": (shape.features, shape.columns),
            "tokens_by_label": (shape.labels,),
            "shown_tokens_by_label": (shape.labels,),
            "vocabulary_count": (shape.columns,),
            "vocabulary_draws": (shape.columns,),
            "batches": (shape.batches,),
        }
        self.sums = {name: np.zeros(sizes[name], kind) for name, kind in _SUMS.items()}
        width = 2 * shape.context + 1
        self.shown = Reservoir(shape.features, shape.shown, width)
        self.held = Reservoir(shape.features, shape.held, width)
        self.predicted = np.zeros((shape.pool, shape.length, shape.draws), np.int32)
        self.pool: list[dict[str, np.ndarray]] = []
        self._row_keys = mixed(np.arange(shape.features, dtype=np.uint64) + np.uint64(1 << 40))

    def done(self, batch: int) -> bool:
        return bool(self.sums["batches"][batch])

    def add_text(self, batch: Batch) -> None:
        """The tokens and predictions of a batch, once, whatever features are read on it."""
        sums, shape = self.sums, self.shape
        sums["tokens_by_label"] += np.bincount(batch.label, minlength=shape.labels) * shape.length
        shown = ~batch.held
        sums["shown_tokens_by_label"] += np.bincount(batch.label[shown], minlength=shape.labels) * shape.length
        sums["vocabulary_count"] += np.bincount(batch.columns[shown].reshape(-1), minlength=shape.columns)
        sums["vocabulary_draws"] += np.bincount(batch.drawn[shown].reshape(-1), minlength=shape.columns)
        in_pool = batch.pool >= 0
        self.predicted[batch.pool[in_pool]] = batch.drawn_tokens[in_pool]
        sums["batches"][batch.index] += 1

    def add(self, batch: Batch, first: int, importance: np.ndarray, activation: np.ndarray) -> None:
        """Readings [b, t, c] of the features ``first`` to ``first + c`` on a batch."""
        count = importance.shape[-1]
        flat_importance, flat_activation = importance.reshape(-1), activation.reshape(-1)
        _check(flat_importance, flat_activation)
        entry = np.flatnonzero(flat_importance > 0)
        position, feature = np.divmod(entry, count)
        strength = flat_importance[entry]
        mine = slice(first, first + count)
        bins = np.minimum(np.ceil(strength * IMPORTANCE_BINS).astype(np.int64) - 1, IMPORTANCE_BINS - 1)
        self.sums["importance_histogram"][mine] += _counted(feature, bins, count, IMPORTANCE_BINS)
        self._add_importance(batch, mine, position, feature, strength)
        fire = strength > np.float32(FIRES)
        entry, position, feature, strength = entry[fire], position[fire], feature[fire], strength[fire]
        level = flat_activation[entry]
        self._count(batch, mine, position, feature, strength, level)
        self._tabulate(batch, first, position, feature)
        self._sample(batch, first, position, feature, importance, activation)
        self._keep(batch, first, position, feature, strength, level)
        self._background(batch, mine, importance, activation)

    def _add_importance(
        self, batch: Batch, mine: slice, position: np.ndarray, feature: np.ndarray, strength: np.ndarray
    ) -> None:
        labels = self.shape.labels
        owner = np.repeat(batch.label, self.shape.length)[position]
        size = (mine.stop - mine.start) * labels
        sums = np.bincount(feature * labels + owner, weights=strength, minlength=size)
        self.sums["importance_by_label"][mine] += np.rint(sums * FIXED).astype(np.int64).reshape(-1, labels)

    def _count(
        self,
        batch: Batch,
        mine: slice,
        position: np.ndarray,
        feature: np.ndarray,
        strength: np.ndarray,
        level: np.ndarray,
    ) -> None:
        count, length = mine.stop - mine.start, self.shape.length
        owner = np.repeat(batch.label, length)[position]
        shown = np.repeat(~batch.held, length)[position]
        sums = self.sums
        sums["firing_by_label"][mine] += _counted(feature, owner, count, self.shape.labels)
        sums["firing_by_position"][mine] += _counted(feature, position % length, count, length)
        sums["shown_by_label"][mine] += _counted(feature[shown], owner[shown], count, self.shape.labels)
        sums["shown_by_position"][mine] += _counted(feature[shown], position[shown] % length, count, length)
        sums["activation_positive"][mine] += np.bincount(feature[level > 0], minlength=count)
        for name, values in (("importance_sum", strength), ("activation_sum", level)):
            total = np.bincount(feature, weights=values, minlength=count)
            sums[name][mine] += np.rint(total * FIXED).astype(np.int64)
        sums["activation_histogram"][mine] += _counted(feature, _activation_bin(level), count, ACTIVATION_BINS)

    def _tabulate(self, batch: Batch, first: int, position: np.ndarray, feature: np.ndarray) -> None:
        shown = np.repeat(~batch.held, self.shape.length)[position]
        position, row = position[shown], (feature[shown] + first) * self.shape.columns
        _add_ones(self.sums["table_in"], row + batch.columns.reshape(-1)[position])
        drawn = batch.drawn.reshape(-1, self.shape.draws)[position]
        _add_ones(self.sums["table_out"], (row[:, None] + drawn).reshape(-1))

    def _sample(
        self,
        batch: Batch,
        first: int,
        position: np.ndarray,
        feature: np.ndarray,
        importance: np.ndarray,
        activation: np.ndarray,
    ) -> None:
        row = feature + first
        priority = batch.keys.reshape(-1)[position] ^ self._row_keys[row]
        held = np.repeat(batch.held, self.shape.length)[position]
        for reservoir, chosen in ((self.shown, ~held), (self.held, held)):
            which = np.flatnonzero(chosen)

            def payload(kept: np.ndarray, which: np.ndarray = which) -> dict[str, np.ndarray]:
                window, place = np.divmod(position[which[kept]], self.shape.length)
                column = feature[which[kept]]
                around = place[:, None] + np.arange(-self.shape.context, self.shape.context + 1)
                inside = (around >= 0) & (around < self.shape.length)
                at = (window[:, None], np.clip(around, 0, self.shape.length - 1), column[:, None])
                return {
                    "window": batch.windows[window],
                    "position": place,
                    "importance": np.where(inside, importance[at], 0),
                    "activation": np.where(inside, activation[at], 0),
                }

            reservoir.offer(row[which], priority[which], payload)

    def _keep(
        self,
        batch: Batch,
        first: int,
        position: np.ndarray,
        feature: np.ndarray,
        strength: np.ndarray,
        level: np.ndarray,
    ) -> None:
        place = np.repeat(batch.pool, self.shape.length)[position]
        kept = place >= 0
        if kept.any():
            self.pool.append(
                {
                    "feature": (feature[kept] + first).astype(np.int32),
                    "position": (place[kept] * self.shape.length + position[kept] % self.shape.length).astype(np.int32),
                    "importance": strength[kept].astype(np.float16),
                    "activation": level[kept].astype(np.float32),
                }
            )

    def _background(self, batch: Batch, mine: slice, importance: np.ndarray, activation: np.ndarray) -> None:
        looked_at = (batch.keys >> np.uint64(20)) % np.uint64(BACKGROUND) == 0
        quiet, levels = importance[looked_at] <= np.float32(FIRES), activation[looked_at]
        feature = np.broadcast_to(np.arange(quiet.shape[1]), quiet.shape)[quiet]
        found = _counted(feature, _activation_bin(levels[quiet]), quiet.shape[1], ACTIVATION_BINS)
        self.sums["background_histogram"][mine] += found

    def merge(self, other: Tally) -> None:
        """Adds another shard's. Raises ``UnweaveError`` for another shape, or for a batch that both have read."""
        if other.shape != self.shape:
            raise UnweaveError(f"shards of different harvests cannot be merged: {self.shape} and {other.shape}")
        both = np.flatnonzero((self.sums["batches"] > 0) & (other.sums["batches"] > 0))
        if len(both):
            raise UnweaveError(f"both shards have read batch {both[0]}: merge each shard once")
        for name, own in self.sums.items():
            own += other.sums[name]
        self.shown.merge(other.shown)
        self.held.merge(other.held)
        self.predicted += other.predicted  # a window is read by one of them, and is 0 in the other
        self.pool += other.pool

    def pooled(self) -> dict[str, np.ndarray]:
        """Every firing of the pool, by feature and then by position."""
        names = ("feature", "position", "importance", "activation")
        kinds = (np.int32, np.int32, np.float16, np.float32)
        found = {
            name: np.concatenate([np.empty(0, kind), *(part[name] for part in self.pool)])
            for name, kind in zip(names, kinds, strict=True)
        }
        order = np.lexsort((found["position"], found["feature"]))
        self.pool = [{name: array[order] for name, array in found.items()}]
        return self.pool[0]

    def tensors(self) -> dict[str, np.ndarray]:
        """All of it by name, the two large tables as their entries that are not 0."""
        found: dict[str, np.ndarray] = {}
        for name, array in self.sums.items():
            if name.startswith("table"):
                where = np.flatnonzero(array)
                found |= {f"sums.{name}.where": where, f"sums.{name}.value": array.reshape(-1)[where]}
            else:
                found[f"sums.{name}"] = array
        for name, reservoir in (("shown", self.shown), ("held", self.held)):
            found |= {f"{name}.{field}": array for field, array in reservoir.arrays().items()}
        found |= {f"pool.{name}": array for name, array in self.pooled().items()}
        return found | {"predicted": self.predicted}

    @classmethod
    def from_tensors(cls, shape: TallyShape, tensors: Mapping[str, np.ndarray]) -> Tally:
        """What ``tensors`` gave; raises ``KeyError`` for one that is missing."""
        made = cls(shape)
        for name, array in made.sums.items():
            if name.startswith("table"):
                array.reshape(-1)[tensors[f"sums.{name}.where"]] = tensors[f"sums.{name}.value"]
            else:
                array[...] = tensors[f"sums.{name}"]
        made.shown, made.held = (
            Reservoir.of({field: tensors[f"{name}.{field}"] for field in RESERVOIR_FIELDS})
            for name in ("shown", "held")
        )
        made.predicted[...] = tensors["predicted"]
        made.pool = [{name: tensors[f"pool.{name}"] for name in ("feature", "position", "importance", "activation")}]
        return made


def _check(importance: np.ndarray, activation: np.ndarray) -> None:
    # NaN fails the comparison, and a sum is finite only where every summand is.
    low, high = importance.min(), importance.max()
    if not (low >= 0.0 and high <= 1.0):
        raise UnweaveError(f"importances go from {low} to {high}, and they must be in [0, 1]: this is another tensor")
    if not np.isfinite(activation.sum()):
        raise UnweaveError("an activation is NaN or infinite on this text")


def _counted(feature: np.ndarray, bins: np.ndarray, features: int, size: int) -> np.ndarray:
    return np.bincount(feature * size + bins, minlength=features * size).reshape(features, size)


def _activation_bin(level: np.ndarray) -> np.ndarray:
    half = ACTIVATION_BINS // 2
    with np.errstate(divide="ignore"):
        steps = np.floor((np.log2(np.abs(level)) - SMALLEST) / OCTAVE)
    magnitude = np.clip(steps, -1, half - 1).astype(np.int64) + 1
    return half + np.where(level < 0, -magnitude, magnitude)


def _add_ones(table: np.ndarray, keys: np.ndarray) -> None:
    import torch

    # torch's scatter takes half of numpy's time here and allocates nothing of the table's size.
    flat = torch.from_numpy(table.reshape(-1))
    where = torch.from_numpy(np.ascontiguousarray(keys, np.int64))
    flat.scatter_add_(0, where, torch.ones(1, dtype=flat.dtype).expand(len(where)))
