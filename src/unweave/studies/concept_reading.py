"""The parts of ``concept-geometry``: each concept's states read once, its shape by every split, kept as they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError

if TYPE_CHECKING:
    from unweave.base.progress import Progress
    from unweave.models.target import Target
    from unweave.read.features import Dictionary
    from unweave.record.run import Run
    from unweave.shapes.concepts.concept import Concept
    from unweave.shapes.concepts.picture import Picture
    from unweave.shapes.concepts.shape import ConceptShape
    from unweave.shapes.concepts.states import ConceptStates
    from unweave.shapes.concepts.units import CarriedConcept
    from unweave.studies.concept_geometry import ConceptGeometry

SHAPES, CARRIED = "shapes", "carried"
"""The partial tables."""
ALL = "all"
"""The one cell of what units carry, which is found in one piece."""


@dataclass(frozen=True)
class FoundShape:
    """One concept by one split: its shape, what is drawn of it, and the places that units are asked about."""

    shape: ConceptShape
    pictures: tuple[Picture, ...]
    """Of the first split only."""
    places: tuple[tuple[float, ...], ...]


def open_concepts(config: ConceptGeometry) -> list[Concept]:
    """The concepts of a config, with its templates where it has some of its own.

    Raises ``UnweaveError`` for one that cannot be read or dealt anew where it shall be, and for two of one name.
    """
    from dataclasses import replace

    from unweave.corpora.text_file import read_text_file
    from unweave.shapes.concepts.bundled import find_concept

    found = [find_concept(name) for name in config.concepts]
    names = [each.name for each in found]
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise UnweaveError(f"two concepts are named {doubled[0]!r}: rename the one in your file")
    if config.dealt:
        for each in found:
            each.dealt(config.first_seed)
    if config.templates is None:
        return found
    templates = tuple(line.strip() for line in read_text_file(config.templates).split("\n") if line.strip())
    try:
        return [replace(each, templates=templates) for each in found]
    except UnweaveError as error:
        raise UnweaveError(f"{config.templates}: {error}") from error


def read_shapes(
    config: ConceptGeometry, concepts: Sequence[Concept], target: Target, run: Run | None, progress: Progress
) -> list[FoundShape]:
    """Every concept by every split, concept by concept; those that the run holds already are not read again."""
    from unweave.shapes.concepts.states import read_states

    kept = run.cells(SHAPES) if run is not None else {}
    found = []
    for concept in concepts:
        states: ConceptStates | None = None
        for seed in config.splits:
            key = f"{concept.name}-{seed}"
            if key in kept:
                found.append(_loaded(str(kept[key]["found"])))
                continue
            if run is not None:
                run.stop_if_cancelled()
            if states is None:
                progress.say(f"{concept.name}: {len(concept)} values in {len(concept.templates)} templates")
                states = read_states(target, concept, config.layers, progress)
            one = _shaped(config, states, seed)
            if run is not None:
                run.put_cell(SHAPES, key, {"found": _json(one)})
            progress.say(_line(one.shape))
            found.append(one)
    return found


def open_dictionary(config: ConceptGeometry, target: Target, run: Run | None, progress: Progress) -> Dictionary | None:
    """The dictionary whose units are grouped; none where none is named, or the run keeps what its units carry.

    Raises ``UnweaveError`` for one that is not there or does not fit the target.
    """
    if config.dictionary is None or (run is not None and ALL in run.cells(CARRIED)):
        return None
    from unweave.read.dictionaries import load_dictionary

    return load_dictionary(config.dictionary, target, progress)


def read_carried(
    config: ConceptGeometry,
    concepts: Sequence[Concept],
    target: Target,
    found: Sequence[FoundShape],
    dictionary: Dictionary | None,
    run: Run | None,
    progress: Progress,
) -> list[CarriedConcept]:
    """Which group of the dictionary's units carries each concept, by every split; none without a dictionary."""
    kept = run.cells(CARRIED) if run is not None else {}
    if ALL in kept:
        return list(_carried_adapter().validate_json(str(kept[ALL]["found"])))
    if dictionary is None:
        return []
    import numpy as np

    from unweave.shapes.concepts.states import label_sequences, split_templates
    from unweave.shapes.concepts.units import carried, discover_groups, read_units
    from unweave.shapes.manifolds.discovery import DiscoveryConfig

    if run is not None:
        run.identify("decomposition", dictionary.name, dictionary.digest)
    readings = []
    for concept in concepts:
        if run is not None:
            run.stop_if_cancelled()
        progress.say(f"{concept.name}: read by the units of {dictionary.name}")
        readings.append(read_units(target, dictionary, label_sequences(target, concept), progress))
    groups = discover_groups(readings, config=DiscoveryConfig(seed=config.first_seed), progress=progress)
    progress.say(
        f"{len(groups.groups)} groups among {len(groups.considered)} units, {len(groups.kept)} with a sharp gap"
    )
    texts = {concept.name: (concept, units) for concept, units in zip(concepts, readings, strict=True)}
    answers = []
    for each in found:
        concept, units = texts[each.shape.concept]
        seed = each.shape.seed
        split = split_templates(len(concept.templates), seed, concept.name)
        one = carried(groups, units, concept, np.array(each.places), split, config.shuffles, seed)
        if one is not None:
            answers.append(one)
    if run is not None:
        run.put_cell(CARRIED, ALL, {"found": _carried_adapter().dump_json(answers).decode("utf-8")})
    return answers


def _shaped(config: ConceptGeometry, states: ConceptStates, seed: int) -> FoundShape:
    from dataclasses import replace

    from unweave.shapes.concepts.picture import curve_families, picture
    from unweave.shapes.concepts.shape import ShapeSettings, concept_shape, shown_templates
    from unweave.shapes.concepts.states import split_templates
    from unweave.shapes.concepts.units import told_places

    if config.dealt:
        states = replace(states, concept=states.concept.dealt(seed))
    shape = concept_shape(states, seed, ShapeSettings(config.shuffles, config.surrogates))
    split = split_templates(len(states.concept.templates), seed, states.concept.name)
    pictures: list[Picture] = []
    if seed == config.first_seed:
        names = curve_families(states.concept, shape.curve)
        pictures = [picture(states, shown_templates(split), layer, names) for layer in _shown(states.layers, shape)]
    places = told_places(states, split.fit, shape.layer)
    return FoundShape(shape, tuple(pictures), tuple(tuple(map(float, row)) for row in places))


def _shown(layers: Sequence[int], shape: ConceptShape) -> list[int]:
    """The layers that were chosen, and the first, the last and the quarters between."""
    last = len(layers) - 1
    return sorted({shape.layer, shape.ring_layer, *(layers[round(last * quarter / 4)] for quarter in range(5))})


def _line(shape: ConceptShape) -> str:
    from unweave.shapes.concepts.shape import DISTANCE, RING_R

    told = [f"{shape.concept}, split {shape.seed}: depth {shape.layer}"]
    for name in (DISTANCE, RING_R):
        score = shape.score(name)
        if score is not None:
            told.append(f"{name} {score.value:.3f} (chance {score.null:.3f}, p {score.p:.4f})")
    return ", ".join((*told, f"family {shape.chosen or 'not chosen'}"))


def _carried_adapter() -> Any:
    from pydantic import TypeAdapter

    from unweave.shapes.concepts.units import CarriedConcept

    return TypeAdapter(list[CarriedConcept])


def _adapter() -> Any:
    from pydantic import TypeAdapter

    from unweave.shapes.concepts.picture import Picture
    from unweave.shapes.concepts.shape import ConceptShape

    return TypeAdapter(tuple[ConceptShape, tuple[Picture, ...], tuple[tuple[float, ...], ...]])


def _json(found: FoundShape) -> str:
    return _adapter().dump_json((found.shape, found.pictures, found.places)).decode("utf-8")


def _loaded(text: str) -> FoundShape:
    return FoundShape(*_adapter().validate_json(text))
