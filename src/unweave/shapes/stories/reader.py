"""A text of anybody's, read as a run read its stories: the same question and calibration, the same space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import EMOTIONS, bundled_stories, split_sentences, vader_valence
from unweave.shapes.stories.scene import LEXICON, PATHS, VALENCE, Scene, series_of, whose

if TYPE_CHECKING:
    from unweave.models.target import Target
    from unweave.record.run import Run
    from unweave.shapes.stories.calibration import Calibration
    from unweave.shapes.stories.readings import StoryReadings
    from unweave.shapes.stories.readouts import Readout

READINGS = "readings"
"""The folder of a run that holds the stories' states, in a folder for each reading."""
RAW = "raw-scores"
"""The cells in which a run keeps what readouts said before calibration, by ``<readout>/<story>``."""
OWN = "own-text"
_SLACK = 1e-3
_RANK = 1e-5


class StoryReader:
    """Reads texts with the target of a run. What is fitted to the run's stories is taken from it, and fitted once."""

    def __init__(self, run: Run, target: Target) -> None:
        self.run, self.target = run, target
        self._readings = _readings(run)
        self._topics = tuple(run.config.get("calibration", ()))
        self._window = run.config.get("window")
        self._readouts: dict[str, tuple[Readout, Calibration | None]] = {}
        self._places: dict[int, Float64[np.ndarray, "d_and_one 3"]] = {}

    def read(self, text: str, layer: int, readout: str, protagonist: str | None = None) -> Scene:
        """The scene of a text: its sentences, what ``readout`` reads after each, and its path at depth ``layer``.

        It has no gold. Raises ``UnweaveError`` for a text without sentences or one that names nobody, and for a depth
        or a readout that the run did not keep.
        """
        from unweave.shapes.stories.states import story_states
        from unweave.shapes.stories.text import encode_text

        sentences = split_sentences(text)
        encoded = encode_text(self.target, sentences, protagonist or "", self._window)
        asked, calibration = self._readout(readout)
        emotions, _ = asked.emotions(self.target, encoded)
        valence = asked.valence(emotions)
        if calibration is not None:
            emotions, valence = calibration.apply(emotions, valence)
        states = story_states(self.target, [encoded], [layer])[:, 0].astype(np.float64)
        path = np.column_stack([states, np.ones(len(states))]) @ self._place(layer)
        lexicon = vader_valence(sentences)
        rows = [
            {
                f"{readout} {VALENCE}": float(valence[at]),
                **{f"{readout} {name}": float(emotions[at, column]) for column, name in enumerate(EMOTIONS)},
                LEXICON: float(lexicon[at]),
            }
            for at in range(len(sentences))
        ]
        window = f" Read through a window of {encoded.window} sentences." if encoded.window else ""
        return Scene(
            id=OWN,
            title="A text of your own",
            arc=None,
            topic="",
            kind="",
            sentences=list(sentences),
            series=series_of(rows, readout),
            path=[(float(x), float(y), float(z)) for x, y, z in path],
            note=f"{whose(encoded.protagonist, not protagonist)}{window}",
        )

    def _readout(self, name: str) -> tuple[Readout, Calibration | None]:
        from unweave.shapes.stories.readouts import find_readout
        from unweave.shapes.stories.text import read_story

        if name not in self._readouts:
            kind = find_readout(name)
            neutral = [
                read_story(self.target, story, self._window)
                for story in bundled_stories("neutral")
                if story.topic in self._topics
            ]
            built = kind.build(self.target, neutral)
            self._readouts[name] = built, self._calibration(name, built) if kind.calibrated else None
        return self._readouts[name]

    def _calibration(self, name: str, readout: Readout) -> Calibration:
        """As the run fitted it: to the bundled stories of its calibration's topics."""
        from unweave.shapes.stories.calibration import fit_calibration

        stories = [story for story in bundled_stories("arc") if story.topic in self._topics]
        cells = self.run.cells(RAW)
        lost = [story.id for story in stories if f"{name}/{story.id}" not in cells]
        if lost or not stories:
            raise UnweaveError(
                f"run {self.run.id!r} kept no scores of {name!r} for {lost[0] if lost else 'any story'}: choose a "
                "readout that it used, or run the study again"
            )
        scores = np.concatenate([np.array(cells[f"{name}/{story.id}"]["emotions"], np.float64) for story in stories])
        gold_emotions = np.concatenate([story.emotions for story in stories])
        gold_valence = np.concatenate([story.valence for story in stories])
        return fit_calibration(scores, readout.valence(scores), gold_emotions, gold_valence)

    def _place(self, layer: int) -> Float64[np.ndarray, "d_and_one 3"]:
        if layer not in self._places:
            self._places[layer] = fitted_place(*self._drawn(layer))
        return self._places[layer]

    def _drawn(self, layer: int) -> tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "n 3"]]:
        """States of the run's sentences and where it drew them."""
        points: dict[str, list[tuple[int, list[float]]]] = {}
        for row in self.run.load_table(PATHS).records():
            if row["layer"] == layer:
                place = int(str(row["sentence"])), [float(str(row[axis])) for axis in "xyz"]
                points.setdefault(str(row["story"]), []).append(place)
        states, places = [], []
        for readings in self._readings:
            if layer not in readings.layers:
                raise UnweaveError(
                    f"run {self.run.id!r} kept no states at depth {layer}; those it has: {readings.layers}"
                )
            for number, story in enumerate(readings.stories):
                drawn = sorted(points.get(story.id, []))
                # A table may number sentences from 0 or from 1; their order is the same.
                if len(drawn) == len(story.sentences):
                    states.append(readings.at(layer)[readings.rows(number)])
                    places.extend(place for _, place in drawn)
        if not states:
            raise UnweaveError(f"run {self.run.id!r} drew no sentence at depth {layer}: choose a depth that it drew")
        return np.concatenate(states).astype(np.float64), np.array(places, np.float64)


def fitted_place(
    states: Float[np.ndarray, "n d"], places: Float[np.ndarray, "n 3"]
) -> Float64[np.ndarray, "d_and_one 3"]:
    """The affine map that took states to places, as one matrix for states with a 1 after them.

    The principal axes lie in the span of the states that they were found from, so the least-norm solution is the map
    itself, also where there are fewer sentences than dimensions. Raises ``UnweaveError`` where none took them there,
    as after UMAP.
    """
    middle, centre = states.mean(0), places.mean(0)
    turned, *_ = np.linalg.lstsq(states - middle, places - centre, rcond=_RANK)
    missed = np.abs((states - middle) @ turned + centre - places).max()
    if missed > _SLACK * max(float(np.ptp(places)), 1e-12):
        raise UnweaveError("the run's paths are no projection of its states: a text has no place among them")
    return np.vstack([turned, centre - middle @ turned])


def _readings(run: Run) -> list[StoryReadings]:
    from unweave.shapes.stories.readings import StoryReadings

    return [StoryReadings.load(path.parent) for path in sorted(run.path.glob(f"{READINGS}/*/readings.json"))]
