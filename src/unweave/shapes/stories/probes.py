"""Emotions read off states by linear probes, tested on stories and topics that they never saw, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress
from unweave.base.seeds import numpy_generator
from unweave.shapes.stories.baselines import places, words
from unweave.shapes.stories.held_out import (
    PENALTIES,
    HeldOut,
    Solved,
    folds,
    hold_out,
    standardised,
)
from unweave.shapes.stories.paths import Names, dealt
from unweave.stats.permutation import exceeds_null, max_null_threshold

Calibration = Callable[[Float64[np.ndarray, " n"]], Float64[np.ndarray, " n"]]


@dataclass(frozen=True)
class Decoding:
    """What probes decode for every sentence when its topic is held out, and how near the gold it comes."""

    decoded: Float64[np.ndarray, "n c"]
    """Calibrated, in the unit of the gold."""
    raw: Float64[np.ndarray, "n c"]
    """Before calibration, which takes all values below some point to one: what an arc is read from."""
    rmse: Float64[np.ndarray, " c"]
    """Of ``decoded``, over all sentences."""
    r: Float64[np.ndarray, " c"]
    """Pearson's r of ``raw`` with the gold, both less their means in each topic; 0 where nothing varies."""


@dataclass(frozen=True)
class LayerProbes:
    """Probes of every layer, of the layer chosen inside the training topics, and of what knows no states."""

    layers: tuple[int, ...]
    by_layer: tuple[Decoding, ...]
    threshold: Float64[np.ndarray, "l c"]
    """The r that 5 % of nulls reach at that layer alone: each story's gold dealt to another story."""
    chosen_layers: Mapping[str | int, int]
    """For each held-out topic, the layer with the least error inside the other topics."""
    chosen: Decoding
    p: Float64[np.ndarray, " c"]
    """One-sided, of ``chosen.r`` among nulls that repeat the choices of penalty and layer."""
    chosen_threshold: Float64[np.ndarray, " c"]
    baselines: Mapping[str, Decoding]
    """``mean`` of the training topics, ``position`` in the story, and, with texts, ``words`` of the story so far."""

    @property
    def best_after_the_fact(self) -> int:
        """The layer with the least mean error on the tested stories: for pictures, not for claims."""
        return self.layers[int(np.argmin([each.rmse.mean() for each in self.by_layer]))]


@dataclass(frozen=True)
class Probe:
    """A probe fitted to all given stories, for texts outside them: a user's, a control's."""

    weights: Float64[np.ndarray, "d c"]
    bias: Float64[np.ndarray, " c"]
    calibrations: tuple[Calibration, ...]

    def raw(self, states: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "n c"]:
        if np.ndim(states) != 2 or np.shape(states)[1] != len(self.weights):
            raise UnweaveError(f"states have shape {np.shape(states)}: this probe reads [n, {len(self.weights)}]")
        return np.asarray(states, np.float64) @ self.weights + self.bias

    def decode(self, states: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "n c"]:
        """Calibrated values, in the unit of the gold."""
        raw = self.raw(states)
        return np.stack([fix(column) for fix, column in zip(self.calibrations, raw.T, strict=True)], 1)


def probe_by_layer(
    states: Float[np.ndarray, "n l d"],
    gold: Float[np.ndarray, "n c"],
    stories: Names,
    topics: Names,
    texts: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    penalties: Sequence[float] = PENALTIES,
    shuffles: int = 99,
    seed: int = 0,
    progress: Progress | None = None,
) -> LayerProbes:
    """Ridge probes with isotonic calibration from each layer's states to gold, tested on topics they never saw.

    A topic's stories are decoded by probes of the other topics' stories, so that neither a story nor a topic is on
    both sides. Penalty, calibration and the layer of ``chosen`` come from holding out each training topic in turn.
    The null stretches each story's gold over another story. ``texts`` are the sentences, for the baseline of words.
    ``layers`` are names of the second axis. Raises ``UnweaveError`` for shapes that do not agree, fewer than three
    topics and fewer than 19 shuffles.
    """
    states, gold = np.asarray(states), np.asarray(gold, np.float64)
    if states.ndim != 3 or gold.ndim != 2 or len(states) != len(gold) or len(gold) != len(stories):
        raise UnweaveError(
            f"states {states.shape}, gold {gold.shape}, {len(stories)} stories: give [n, l, d], [n, c] and n names"
        )
    names = tuple(range(states.shape[1])) if layers is None else tuple(layers)
    if len(names) != states.shape[1]:
        raise UnweaveError(f"{len(names)} layers are named and states have {states.shape[1]}: name each of them")
    if shuffles < 19:
        raise UnweaveError(f"{shuffles} shuffles cannot reach 0.05: run at least 19")
    generator = numpy_generator(seed, "probes", "gold dealt to other stories")
    targets = np.stack([gold, *(dealt(gold, stories, generator) for _ in range(shuffles))], 1)
    variants = [standardised(states[:, index]) for index in range(states.shape[1])]
    held = hold_out(variants, targets, stories, topics, penalties, progress)
    null = np.stack([correlations(held.decoded[index], targets, held.fold) for index in range(len(names))])
    nested = correlations(held.nested(), targets, held.fold)
    tests = [exceeds_null(float(column[0]), column[1:]) for column in nested.T]
    return LayerProbes(
        names,
        tuple(_decoding(held, index, gold) for index in range(len(names))),
        _thresholds(null),
        {topic: names[int(which)] for topic, which in zip(held.topics, held.chosen[:, 0], strict=True)},
        _nested(held, gold),
        np.array([each.p for each in tests]),
        _thresholds(nested[None])[0],
        _baselines(gold, stories, topics, texts, penalties),
    )


def fit_probe(
    states: Float[np.ndarray, "n d"],
    gold: Float[np.ndarray, "n c"],
    stories: Names,
    topics: Names,
    penalties: Sequence[float] = PENALTIES,
) -> Probe:
    """A probe of all stories; penalty and calibration from holding out each topic in turn.

    Never use it on the stories that it was fitted to. Raises ``UnweaveError`` as ``probe_by_layer``.
    """
    states, gold = np.asarray(states, np.float64), np.asarray(gold, np.float64)
    fold, names = folds(stories, topics)
    variant = standardised(states)
    found = np.empty((len(penalties), *gold.shape))
    for held in range(len(names)):
        solved, rows = Solved(variant, fold != held, gold), np.flatnonzero(fold == held)
        coordinates = solved.coordinates(rows)
        for which, penalty in enumerate(penalties):
            found[which, rows] = solved.decode(coordinates, penalty)
    best = ((found - gold) ** 2).mean(1).argmin(0)
    everyone = np.ones(len(gold), bool)
    solved = Solved(variant, everyone, gold)
    deviation = states.std(0)
    scale = np.where(deviation > 1e-6 * deviation.max(), deviation, np.inf)[:, None]
    weights = solved.weights(np.asarray(penalties)[best]) / scale
    columns = range(gold.shape[1])
    fixes = tuple(isotonic(found[best[column], :, column], gold[:, column]) for column in columns)
    return Probe(weights, solved.mean - states.mean(0) @ weights, fixes)


def isotonic(decoded: Float64[np.ndarray, " n"], gold: Float64[np.ndarray, " n"]) -> Calibration:
    """The rising step function of decoded values that is nearest the gold; beyond its ends it stays level."""
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression(out_of_bounds="clip").fit(decoded, gold).predict


def correlations(
    decoded: Float[np.ndarray, "n ..."], gold: Float[np.ndarray, "n ..."], fold: np.ndarray
) -> Float64[np.ndarray, " ..."]:
    """Pearson's r of each column, both less their means in each fold; 0 where nothing varies.

    The mean of the training rows is low for the fold that is high, which alone makes a pooled r negative.
    """
    one, other = _within(np.asarray(decoded, np.float64), fold), _within(np.asarray(gold, np.float64), fold)
    size = np.sqrt((one**2).sum(0) * (other**2).sum(0))
    return np.where(size > 1e-12, (one * other).sum(0) / np.maximum(size, 1e-12), 0.0)


def _within(values: Float64[np.ndarray, "n ..."], fold: np.ndarray) -> Float64[np.ndarray, "n ..."]:
    found = values.copy()
    for each in np.unique(fold):
        found[fold == each] -= found[fold == each].mean(0)
    # What is left of a constant is rounding, and correlates with anything.
    return np.where(np.abs(found) > 1e-6 * np.abs(values).max(initial=0.0), found, 0.0)


def _scored(decoded: np.ndarray, raw: np.ndarray, gold: np.ndarray, fold: np.ndarray) -> Decoding:
    rmse = np.sqrt(((decoded - gold) ** 2).mean(0))
    return Decoding(decoded, np.asarray(raw, np.float64), rmse, correlations(raw, gold, fold))


def _decoding(held: HeldOut, variant: int, gold: Float64[np.ndarray, "n c"]) -> Decoding:
    return _calibrated(held, np.full(len(held.topics), variant), gold)


def _nested(held: HeldOut, gold: Float64[np.ndarray, "n c"]) -> Decoding:
    return _calibrated(held, held.chosen[:, 0], gold)


def _calibrated(held: HeldOut, variants: np.ndarray, gold: Float64[np.ndarray, "n c"]) -> Decoding:
    raw, fixed = np.empty_like(gold), np.empty_like(gold)
    for fold, variant in enumerate(variants):
        rows, train = held.fold == fold, held.fold != fold
        raw[rows] = held.decoded[variant, rows, 0]
        for column in range(gold.shape[1]):
            fix = isotonic(held.inner[variant, fold, train, column], gold[train, column])
            fixed[rows, column] = fix(raw[rows, column])
    return _scored(fixed, raw, gold, held.fold)


def _thresholds(null: Float64[np.ndarray, "l s c"]) -> Float64[np.ndarray, "l c"]:
    return np.array([[max_null_threshold(column[1:]) for column in layer.T] for layer in null])


def _baselines(
    gold: Float64[np.ndarray, "n c"],
    stories: Names,
    topics: Names,
    texts: Sequence[str] | None,
    penalties: Sequence[float],
) -> dict[str, Decoding]:
    fold, names = folds(stories, topics)
    mean = np.stack([gold[fold != each].mean(0) for each in range(len(names))])[fold]
    found = {"mean": _scored(mean, mean, gold, fold)}
    kinds = {"position": places(stories)}
    if texts is not None:
        kinds["words"] = words(texts, stories)
    for name, variants in kinds.items():
        found[name] = _nested(hold_out(variants, gold[:, None], stories, topics, penalties), gold)
    return found
