"""The geometry part of ``story-arc``: distances between emotions and stories, and the sheet that sentences lie on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.studies.story_tables import DIGITS, drawn_layer
from unweave.studies.story_words import kept_words

if TYPE_CHECKING:
    from unweave.record.run import Run
    from unweave.shapes.manifolds.distances import DistanceCorrelation, LayerSearch
    from unweave.shapes.stories.readings import StoryReadings
    from unweave.studies.story_arc import StoryArc

UMAP_NEIGHBOURS = 15


def save_distances(run: Run, config: StoryArc, tested: StoryReadings) -> None:
    """The tables ``distances`` and ``distance-layers``: emotions and stories in states, as read, and for people."""
    from unweave.record.table import Table
    from unweave.shapes.manifolds.distances import distance_correlation, linear
    from unweave.shapes.stories.geometry import (
        concept_distances,
        directions_held,
        human_distances,
        path_distances,
        readout_distances,
        state_distances,
    )
    from unweave.shapes.stories.human import valence_arousal

    said = tested.readouts[config.readouts[0]]
    options = {"shuffles": max(config.permutations, 999), "seed": config.seed}
    where = (tested.story, tested.topic)
    people = linear(valence_arousal())
    held = directions_held(tested.states, tested.gold_emotions, *where, **options)
    found: dict[str, LayerSearch | DistanceCorrelation] = {
        "emotions, states against readout": concept_distances(
            tested.states, said, *where, tested.gold_emotions, held=held, **options
        ),
        "emotions, states against people": human_distances(
            state_distances(tested.states, tested.gold_emotions, *where), valence_arousal(), **options
        ),
        "emotions, readout against people": distance_correlation(readout_distances(said), people, **options),
        "emotions, gold against people": distance_correlation(
            readout_distances(tested.gold_emotions), people, **options
        ),
        "stories, states against readout": path_distances(tested.states, said, *where, **options),
    }
    of, held_by = {"emotions": said.shape[1], "stories": len(tested.stories)}, {"emotions": held}
    asked = kept_words(run, tested)
    if asked is not None:
        words, scores = asked
        of["words"], rated = len(words), valence_arousal(words)
        held_by["words"] = directions_held(tested.states, scores, *where, **options)
        found |= {
            "words, readout against people": distance_correlation(readout_distances(scores), linear(rated), **options),
            "words, states against people": human_distances(
                state_distances(tested.states, scores, *where), rated, **options
            ),
        }
    rows, layers = [], []
    for name, search in found.items():
        kind, compared = name.split(", ")
        layer = getattr(search, "layer", None)
        held = held_by.get(kind) if compared.startswith("states") else None
        rows.append(
            {
                "distances": name,
                "of": of[kind],
                "layer": None if layer is None else tested.layers[layer],
                "r": search.r,
                "p": search.p if held is None else max(search.p, held),
                "null 95 %": search.threshold,
                "p held": held,
            }
        )
        layers += [
            {"distances": name, "layer": tested.layers[number], "r": r, "null 95 %": search.threshold}
            for number, r in enumerate(getattr(search, "by_layer", ()))
        ]
    run.save_table(
        Table.from_records(
            "distances",
            rows,
            digits={name: DIGITS[name] for name in ("r", "p", "null 95 %")} | {"p held": 4},
            caption="Pearson's r of two lists of distances, of states at the depth where it is largest. The null deals "
            "emotions, words, or stories, and repeats the choice of that depth. p held: that states move with the gold "
            "(of words: with the readout) along no direction that topics share; where it is large, distances in states "
            "say nothing, whatever their p. No p held, and none of words or stories, is below "
            f"1/{options['shuffles'] + 1}; six emotions have 720 orders. People: valence and arousal of Russell and "
            "Mehrabian, 1977. Words: those of theirs that are one token. They have no gold, so that their directions "
            "in states are of the readout's scores and take after its distances; held against the readout they would "
            "therefore agree wherever words are held at all, which is not shown.",
        )
    )
    run.save_table(Table.from_records("distance-layers", layers, digits={"r": 3, "null 95 %": 3}))


def save_shape(run: Run, config: StoryArc, proper: StoryReadings, tested: StoryReadings) -> None:
    """The tables ``curvature`` and ``preservation``, of states at the drawn depth and of what is read."""
    from unweave.base.errors import UnweaveError
    from unweave.record.table import Table
    from unweave.shapes.stories.projection import fit_projection, neighbourhood_preservation
    from unweave.shapes.stories.surface import emotion_curvature

    layer, readout = drawn_layer(config, proper), config.readouts[0]
    curvature, preservation = [], []
    for space, values, readings in (
        (f"states at depth {layer}", proper.at(layer), proper),
        (readout, tested.readouts[readout], tested),
    ):
        run.stop_if_cancelled()
        found = emotion_curvature(
            values, readings.story, readings.topic, shuffles=config.permutations, seed=config.seed
        )
        curvature.append(
            {
                "space": space,
                "plane R2": found.sheet.plane,
                "sheet R2": found.sheet.sheet,
                "p": found.sheet.p,
                "way by straight": found.ratio.ratio,
                "null": found.ratio.null,
                "null 95 %": found.ratio.threshold,
                "p of the way": found.ratio.p,
            }
        )
        for way in ("pca", "umap") if config.umap else ("pca",):
            try:
                low = fit_projection(values, 3, way, config.seed, UMAP_NEIGHBOURS).apply(values)
            except UnweaveError as error:
                run.progress.say(str(error))
                continue
            near = neighbourhood_preservation(values, low, stories=readings.story, seed=config.seed)
            preservation.append(
                {
                    "space": space,
                    "projection": way,
                    "trustworthiness": near.trustworthiness,
                    "continuity": near.continuity,
                    "dealt": near.chance,
                    "random plane": near.random_plane,
                }
            )
    digits = {name: 3 for name in curvature[0] if name != "space"}
    run.save_table(
        Table.from_records(
            "curvature",
            curvature,
            digits=digits,
            caption="Held-out R2 of the third principal score by a plane and by a quadratic sheet over the first two; "
            "and the way along neighbours by the straight one, against scores dealt to stories on each axis. The axes "
            "are those of all sentences, held-out topics among them, and the null keeps them: R2 is of heights over "
            f"axes that are known, not of new ones. No p is below 1/{config.permutations + 1}.",
        )
    )
    digits = {name: 3 for name in preservation[0] if name not in ("space", "projection")}
    run.save_table(Table.from_records("preservation", preservation, digits=digits))
