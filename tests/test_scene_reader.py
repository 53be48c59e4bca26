from __future__ import annotations

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import EMOTIONS, bundled_stories
from unweave.models.load import load_target
from unweave.record.run import Run
from unweave.record.table import Table
from unweave.shapes.stories import readouts
from unweave.shapes.stories.calibration import fit_calibration
from unweave.shapes.stories.reader import StoryReader, fitted_place
from unweave.shapes.stories.readings import StoryReadings
from unweave.shapes.stories.states import story_states
from unweave.shapes.stories.subject import open_stories
from unweave.shapes.stories.text import read_story
from unweave.shapes.stories.view_models import StoriesOverviewRequest, StoriesReadRequest
from unweave.shapes.stories.views import overview, read

LAYER, TOPIC, FIRST = 2, "cooking", 1
NAME = "forced-choice"


class Lengths:
    """Scores that are only the sentences' ends, so that nothing need be asked."""

    def emotions(self, target, text):
        ends = np.arange(text.sentences, dtype=np.float64)
        return np.sin(ends[:, None] + np.arange(6)), {}

    def valence(self, emotions):
        return emotions[:, 3] - emotions[:, 4]


@pytest.fixture(scope="module")
def target():
    return load_target("polyglot")


@pytest.fixture(scope="module")
def stories():
    return [story for story in bundled_stories("arc") if story.topic == TOPIC]


@pytest.fixture
def subject(target, stories, tmp_path, monkeypatch):
    """A run that read two stories as the study does, with a readout that is quick."""
    kind = readouts.Kind(NAME, "lengths", "none", True, lambda _, neutral: Lengths())
    monkeypatch.setitem(readouts.READOUTS, NAME, kind)
    run = Run.create("story-arc", {"target": "polyglot", "calibration": [TOPIC], "window": None}, tmp_path, "told")
    run.identify("target", target.name, target.identity.digest)
    scores = {story.id: np.sin(np.arange(len(story.sentences))[:, None] + np.arange(6)) for story in stories}
    for name, values in scores.items():
        run.put_cell("raw-scores", f"{NAME}/{name}", {"emotions": values.tolist()})
    plain = np.concatenate(list(scores.values()))
    fitted = fit_calibration(
        plain, Lengths().valence(plain), np.concatenate([story.emotions for story in stories]),
        np.concatenate([story.valence for story in stories]),
    )  # fmt: skip
    told = stories[:2]
    texts = [read_story(target, story) for story in told]
    states = story_states(target, texts, [LAYER])
    raw = np.concatenate([scores[story.id] for story in told])
    emotions, valence = fitted.apply(raw, Lengths().valence(raw))
    folder = run.path / "readings" / "stories"
    folder.mkdir(parents=True)
    readings = StoryReadings(tuple(told), states, (LAYER,), {NAME: emotions}, {NAME: valence})
    readings.save(folder)
    flat = states[:, 0].astype(np.float64)
    _, _, axes = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    places = (flat - flat.mean(0)) @ axes[:3].T
    sentences, paths = [], []
    for row, (number, sentence) in enumerate(zip(readings.story, readings.sentence, strict=True)):
        story = told[int(number)]
        at = {"story": story.id, "sentence": int(sentence) + FIRST}
        text = story.sentences[int(sentence)].text
        about = {"title": story.title, "arc": story.arc, "topic": story.topic, "kind": "arc", "text": text}
        levels = {f"{NAME} {name}": emotions[row, column] for column, name in enumerate(EMOTIONS)}
        sentences.append({**at, **about, f"{NAME} valence": valence[row], **levels, "vader": 0.0})
        paths.append({**at, "layer": LAYER, **dict(zip("xyz", map(float, places[row]), strict=True))})
    run.save_table(Table.from_records("sentences", sentences))
    run.save_table(Table.from_records("paths", paths))
    run.save_table(Table.from_records("axes", [{"axis": axis, "explained": 0.1} for axis in "xyz"]))
    run.finish()
    opened = open_stories(run.path)
    opened.kept("target", lambda: target)
    return opened


def test_a_story_of_the_run_is_read_as_the_run_read_it(subject, stories):
    assert overview(subject, StoriesOverviewRequest()).reading.available
    told = subject.scenes().scenes[1]
    request = StoriesReadRequest(text=" ".join(told.sentences), protagonist=stories[1].protagonist)
    found = read(subject, request).scene
    assert found.sentences == told.sentences
    assert np.allclose(found.path, told.path, atol=1e-3 * np.ptp(told.path))
    for ours, theirs in zip(found.series, told.series, strict=True):
        assert ours.values == pytest.approx(theirs.values)
    assert (found.arc, found.series[0].gold) == (None, None)
    assert f"What {stories[1].protagonist} is taken to feel." in found.note


def test_what_cannot_be_read_is_said(subject):
    with pytest.raises(UnweaveError, match="names nobody"):
        read(subject, StoriesReadRequest(text="it rained all day. it rained all night."))
    with pytest.raises(UnweaveError, match="layer '1' is not in table 'paths'"):
        read(subject, StoriesReadRequest(text="Then Ann slept.", layer=1))
    with pytest.raises(UnweaveError, match="kept no states at depth 1"):
        StoryReader(subject.run, subject.target).read("Then Ann slept.", 1, NAME, "Ann")


def test_the_map_to_places_is_found_with_fewer_sentences_than_dimensions_and_refused_where_there_is_none():
    generator = np.random.default_rng(0)
    states = generator.normal(size=(12, 40)) @ np.diag(np.linspace(3, 0.5, 40))
    centred = states - states.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:3]
    place = fitted_place(states, centred @ axes.T + [1.0, 2.0, 3.0])
    fresh = generator.normal(size=(5, 40))
    expected = (fresh - states.mean(0)) @ axes.T + [1.0, 2.0, 3.0]
    assert np.allclose(np.column_stack([fresh, np.ones(5)]) @ place, expected)
    many = generator.normal(size=(80, 40))
    with pytest.raises(UnweaveError, match="no projection of its states"):
        fitted_place(many, generator.normal(size=(80, 3)))
