"""Entanglement in ``story-arc``: whether steering an emotion moves those that are near it, in four senses of near."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import numpy as np

    from unweave.corpora.stories import Story
    from unweave.record.run import Run
    from unweave.shapes.stories.readings import StoryReadings
    from unweave.shapes.stories.steering import Steering
    from unweave.studies.story_arc import StoryArc

DIRECTIONS, STATES, READOUT, PEOPLE = "steered directions", "states", "readout", "people"


def save_entanglement(
    run: Run,
    config: StoryArc,
    spill: np.ndarray,
    directions: Mapping[str, Steering],
    tested: StoryReadings,
    steered: Collection[str],
) -> None:
    """The table ``entanglement``: what a direction moves beside its own emotion, against how far apart emotions are.

    ``spill`` [6, 6] is the change of each emotion (column) a dose of each emotion's direction (row). Distances in
    states and in the readout's answers are of the tested stories that ``steered`` does not name, where those do.
    """
    from unweave.base.errors import UnweaveError
    from unweave.corpora.stories import EMOTIONS
    from unweave.record.table import Table
    from unweave.shapes.manifolds.distances import distance_correlation
    from unweave.stats import holm

    # Emotions are the nearer the more steering one moves the other, so that near ones get small numbers in both.
    apart, rows = -(spill + spill.T) / 2, []
    for against, distances, stories in _nearness(run, config, directions, tested, steered):
        try:
            found = distance_correlation(apart, distances, max(config.permutations, 999), config.seed)
        except UnweaveError as error:
            run.progress.say(f"entanglement against {against} is left out: {error}")
            continue
        rows.append(
            {
                "against": against,
                "emotions": len(EMOTIONS),
                "stories": None if stories is None else len(stories),
                "steered among them": None if stories is None else sum(story.id in steered for story in stories),
                "r": found.r,
                "p": found.p,
                "null 95 %": found.threshold,
            }
        )
    adjusted = holm([row["p"] for row in rows]) if rows else ()
    run.save_table(
        Table.from_records(
            "entanglement",
            [{**row, "p (Holm)": float(p)} for row, p in zip(rows, adjusted, strict=True)],
            ("against", "emotions", "stories", "steered among them", "r", "p", "null 95 %", "p (Holm)"),
            digits={"r": 3, "p": 4, "null 95 %": 3, "p (Holm)": 4},
            caption="Whether steering an emotion moves those most that are nearest to it: Pearson's r, over the 15 "
            "pairs, of how little either moves the other and how far apart they are, its null over all 720 orders of "
            "the emotions, p adjusted (Holm) over the rows. Steered directions: 1 less the mean cosine; partly built "
            "in, since a vector that has a share of another's direction pushes along that too. States: at the steered "
            "depths, by the gold of tested stories; nearly the same directions, found anew. Readout: answers while "
            "nothing is added; the same words are asked for on both sides. People: valence and arousal, which nothing "
            "here has made. Stories: how many the distances are of.",
        )
    )


def _nearness(
    run: Run,
    config: StoryArc,
    directions: Mapping[str, Steering],
    tested: StoryReadings,
    steered: Collection[str],
) -> Iterator[tuple[str, np.ndarray, Sequence[Story] | None]]:
    """What distances of emotions are taken from, the distances, and the stories that were read for them."""
    from unweave.base.errors import UnweaveError
    from unweave.shapes.manifolds.distances import linear
    from unweave.shapes.stories.geometry import readout_distances, state_distances
    from unweave.shapes.stories.human import valence_arousal
    from unweave.shapes.stories.steering import similarity

    readout, layers = config.readouts[0], list(next(iter(directions.values())).vectors)

    def in_states(readings: StoryReadings) -> np.ndarray:
        states = readings.states[:, [readings.layers.index(layer) for layer in layers]]
        return state_distances(states, readings.gold_emotions, readings.story, readings.topic).mean(0)

    def as_read(readings: StoryReadings) -> np.ndarray:
        return readout_distances(readings.readouts[readout])

    yield DIRECTIONS, 1 - similarity(directions), None
    for against, measure in ((STATES, in_states), (READOUT, as_read)):
        found, said = None, ""
        for readings in _stories(tested, steered):
            try:
                found = measure(readings), readings.stories
                break
            except UnweaveError as error:
                said = str(error)
        if found is None:
            run.progress.say(f"entanglement against {against} is left out: {said}")
        else:
            yield against, *found
    yield PEOPLE, linear(valence_arousal()), None


def _stories(tested: StoryReadings, steered: Collection[str]) -> Sequence[StoryReadings]:
    """Those that were not steered on, and all tested ones for distances that so few do not give."""
    if all(story.id in steered for story in tested.stories):
        return (tested,)
    return tested.pick(lambda story: story.id not in steered), tested
