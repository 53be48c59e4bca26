"""States of a concept's labels in all templates at all depths, and the thirds that templates are parted into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress
from unweave.base.seeds import numpy_generator
from unweave.corpora.windows import start_token
from unweave.models.target import Target
from unweave.read.stream import depths, stream_states
from unweave.shapes.concepts.concept import Concept


class TemplateSplit(NamedTuple):
    """Which templates shapes are fitted on, which settle the layer, and which only test."""

    fit: tuple[int, ...]
    choose: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class ConceptStates:
    """The stream at the last token of each label, for the concept's values in its templates."""

    concept: Concept
    layers: tuple[int, ...]
    """Depths: l is the stream that enters block l, the largest what leaves the last."""
    states: Float32[np.ndarray, "w t l d"]

    def centroids(self, templates: Sequence[int]) -> Float64[np.ndarray, "l w d"]:
        """Means over some templates, after each template's own mean over values is taken out."""
        chosen = self.states[:, list(templates)].astype(np.float64)
        return (chosen - chosen.mean(0)).mean(1).transpose(1, 0, 2)

    def place(self, layer: int) -> int:
        if layer not in self.layers:
            raise UnweaveError(f"depth {layer} was not read: there are {', '.join(map(str, self.layers))}")
        return self.layers.index(layer)


def split_templates(count: int, seed: int, name: str) -> TemplateSplit:
    """Thirds of ``count`` templates, drawn by ``seed`` for the concept ``name``; the first ones get what is left."""
    if count < 3:
        raise UnweaveError(f"{count} templates cannot be parted into three: give 8 or more")
    order = numpy_generator(seed, "concept templates", name).permutation(count)
    return TemplateSplit(*(tuple(sorted(map(int, part))) for part in np.array_split(order, 3)))


def label_sequences(target: Target, concept: Concept) -> list[list[int]]:
    """Tokens of every text that ends in a label, value by value, each in all templates.

    Raises ``UnweaveError`` for a target without a tokenizer and for a label that is no token of its own at its end.
    """
    if target.tokenizer is None:
        raise UnweaveError(f"{target.name} has no tokenizer, so no template can be read: load one with it")
    start = start_token(target.tokenizer)
    texts = [template.replace("{}", label) for label in concept.labels for template in concept.templates]
    encoded = target.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return [[*([] if start is None else [start]), *map(int, ids)] for ids in encoded]


def read_states(
    target: Target, concept: Concept, layers: Sequence[int] | None = None, progress: Progress | None = None
) -> ConceptStates:
    """One pass over every value in every template; ``layers`` are depths, all by default.

    Raises ``UnweaveError`` for a depth that is not there and for two values that the target reads as the same tokens.
    """
    at = tuple(depths(target)) if layers is None else tuple(layers)
    sequences = label_sequences(target, concept)
    templates = len(concept.templates)
    first = [tuple(each) for each in sequences[::templates]]
    for row, tokens in enumerate(first):
        if tokens in first[:row]:
            same = concept.labels[first.index(tokens)]
            raise UnweaveError(
                f"{target.name} reads {concept.labels[row]!r} and {same!r} as the same tokens: leave out one of them"
            )
    found = stream_states(target, sequences, [[len(each) - 1] for each in sequences], at, progress)
    return ConceptStates(concept, at, found.reshape(len(concept), templates, len(at), -1))
