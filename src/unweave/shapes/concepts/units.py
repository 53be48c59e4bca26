"""Groups of units of a dictionary that fire together, and which concept's values one of them carries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.base.seeds import numpy_generator
from unweave.models.target import Target
from unweave.read.features import Dictionary, fires
from unweave.read.observe import observe
from unweave.read.stream import BATCH_TOKENS, Sequences
from unweave.shapes.concepts.concept import Concept
from unweave.shapes.concepts.states import ConceptStates, TemplateSplit
from unweave.shapes.manifolds.discovery import Discovery, DiscoveryConfig, discover
from unweave.shapes.manifolds.family import principal
from unweave.stats.permutation import exceeds_null, max_null_threshold

PARTS = 3
"""Principal axes of the centroids that a group is asked about."""


@dataclass(frozen=True)
class UnitReadings:
    """What all units of a dictionary say at the last token of some texts; 0 where a unit does not fire."""

    names: tuple[str, ...]
    importance: Float32[np.ndarray, "n u"]
    activation: Float32[np.ndarray, "n u"]


@dataclass(frozen=True)
class CarriedConcept:
    """The group of units from which a concept's centroids are best told, beside random groups of as many units."""

    concept: str
    seed: int
    """That split the templates."""
    group: int
    """Index into the discovery's groups."""
    units: int
    kind: str
    members: tuple[str, ...]
    """Names of the units."""
    r2: float
    """Held-out R^2 of the values' places by an affine map of the group's activations."""
    null: float
    p: float
    """Every random draw has a group for each size, and its best counts: the null repeats the choice of the group."""


def read_units(
    target: Target, dictionary: Dictionary, sequences: Sequences, progress: Progress | None = None
) -> UnitReadings:
    """One pass over token sequences, and every unit at the last token of each, in their order.

    Sequences of one forward have one length, because some dictionaries read a token by all tokens of its window.
    """
    progress = progress or Silent()
    names = tuple(f"{name}:{unit}" for name, group in dictionary.groups.items() for unit in range(len(group)))
    importance = np.zeros((len(sequences), len(names)), np.float32)
    activation = np.zeros_like(importance)
    places = {name: group.reads for name, group in dictionary.groups.items()}
    done = 0
    for rows in _alike(sequences):
        tokens = torch.tensor([list(sequences[row]) for row in rows])
        with torch.no_grad():
            readings = dictionary.encode(observe(target, places, tokens, logits=False).values)
            on = torch.cat([fires(readings[name])[:, -1] for name in places], 1)
            for kept, field in ((importance, "importance"), (activation, "activation")):
                values = torch.cat([getattr(readings[name], field)[:, -1].float() for name in places], 1)
                kept[rows] = torch.where(on, values, 0).cpu().numpy()
        done += len(rows)
        progress.update(done, len(sequences), "texts read by units")
    return UnitReadings(names, importance, activation)


def discover_groups(
    readings: Sequence[UnitReadings],
    most_rows: int = 4000,
    config: DiscoveryConfig | None = None,
    progress: Progress | None = None,
) -> Discovery:
    """Groups of units that fire in the same texts of all concepts; of more texts than ``most_rows`` some are drawn."""
    rows = np.concatenate([each.importance for each in readings])
    config = config or DiscoveryConfig()
    if len(rows) > most_rows:
        kept = numpy_generator(config.seed, "concept units").choice(len(rows), most_rows, replace=False)
        rows = rows[np.sort(kept)]
    return discover(rows.astype(np.float64), None, config, progress)


def told_places(states: ConceptStates, templates: Sequence[int], layer: int) -> Float64[np.ndarray, "w m"]:
    """The first three principal scores of the centroids over ``templates`` at one depth."""
    return principal(states.centroids(templates)[states.place(layer)], PARTS)[2]


def carried(
    found: Discovery,
    readings: UnitReadings,
    concept: Concept,
    places: Float64[np.ndarray, "w m"],
    split: TemplateSplit,
    shuffles: int = 499,
    seed: int = 0,
) -> CarriedConcept | None:
    """Which group's activations tell a concept's values best; none where no group was found.

    What is told is the place of each text's value, such as ``told_places`` gives. The affine map from activations is
    fitted on texts in the templates to fit on and scored on those in the test templates. ``readings`` are of the
    concept's texts, value by value. Raises ``UnweaveError`` for another number of texts or places.
    """
    if not found.groups:
        return None
    values, templates = len(concept), len(concept.templates)
    if len(readings.activation) != values * templates or len(places) != values:
        raise UnweaveError(
            f"readings of {len(readings.activation)} texts and {len(places)} places: concept {concept.name!r} has "
            f"{values * templates} and {values}"
        )
    codes = readings.activation.astype(np.float64).reshape(values, templates, -1)
    told = _Told(codes[:, list(split.fit)], codes[:, list(split.test)], places)
    scores = [told.r2(np.array(group.units)) for group in found.groups]
    best = int(np.argmax(scores))
    generator = numpy_generator(seed, "concept units", concept.name)
    sizes = sorted({len(group.units) for group in found.groups})
    counts = {size: sum(len(group.units) == size for group in found.groups) for size in sizes}
    pool = np.array(found.considered)
    null = [
        max(told.r2(generator.choice(pool, size, replace=False)) for size in sizes for _ in range(counts[size]))
        for _ in range(shuffles)
    ]
    group = found.groups[best]
    members = tuple(readings.names[unit] for unit in group.units)
    p = exceeds_null(scores[best], null).p
    return CarriedConcept(
        concept.name, seed, best, len(members), group.kind, members, scores[best], max_null_threshold(null), p
    )


class _Told:
    """Held-out R^2 of the values' scores by the codes of some units."""

    def __init__(self, fit: np.ndarray, test: np.ndarray, part: Float64[np.ndarray, "w m"]) -> None:
        self.fit, self.test = (each.reshape(-1, each.shape[2]) for each in (fit, test))
        self.truth = [np.repeat(part, each.shape[1], axis=0) for each in (fit, test)]

    def r2(self, units: np.ndarray) -> float:
        fit, test = (np.concatenate([np.ones((len(each), 1)), each[:, units]], 1) for each in (self.fit, self.test))
        weights = np.linalg.lstsq(fit, self.truth[0], rcond=None)[0]
        missed = ((self.truth[1] - test @ weights) ** 2).sum()
        return 1 - float(missed / ((self.truth[1] - self.truth[0].mean(0)) ** 2).sum())


def _alike(sequences: Sequences) -> Iterator[list[int]]:
    """Rows of one length together, as many as one forward takes."""
    by_length: dict[int, list[int]] = {}
    for row, sequence in enumerate(sequences):
        by_length.setdefault(len(sequence), []).append(row)
    for length, rows in sorted(by_length.items()):
        step = max(BATCH_TOKENS // length, 1)
        for start in range(0, len(rows), step):
            yield rows[start : start + step]
