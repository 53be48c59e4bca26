from __future__ import annotations

import pytest
from pydantic import ValidationError
from story_run import HOSTILE, LAYER, SENTENCES, make_run, path_rows, sentence_rows, stories

from unweave.base.errors import UnweaveError
from unweave.record.run import Run
from unweave.record.table import Table
from unweave.shapes.stories.scene import Scenes, readouts_of, scenes_from_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def scenes(run):
    return scenes_from_run(run)


def test_scenes_say_exactly_what_the_tables_say(scenes):
    assert [one.id for one in scenes.scenes] == [story["story"] for story in stories()]
    assert (scenes.layer, scenes.readout, scenes.target) == (LAYER, "forced-choice", "polyglot")
    assert scenes.axes == ("PC1 (41% of variance)", "PC2 (20% of variance)", "PC3 (10% of variance)")
    assert scenes.note == "A readout calibrated on other topics."
    rows = [row for row in sentence_rows() if row["story"] == "fall-garden"]
    points = [row for row in path_rows() if row["story"] == "fall-garden" and row["layer"] == LAYER]
    scene = scenes.scene("fall-garden")
    assert scene.path == [(row["x"], row["y"], row["z"]) for row in points]
    assert scene.sentences == [row["text"] for row in rows]
    valence, *emotions = scene.series
    assert valence.values == [row["forced-choice valence"] for row in rows]
    assert valence.gold == [row["gold valence"] for row in rows]
    assert valence.lexicon == [row["vader"] for row in rows]
    assert [one.name for one in emotions] == ["surprise", "disgust", "anger", "happiness", "sadness", "fear"]
    assert emotions[3].values == [row["forced-choice happiness"] for row in rows]
    assert emotions[3].gold == [row["gold happiness"] for row in rows]
    assert {(one.low, one.high, one.shown, one.lexicon) for one in emotions} == {(0, 1, 10, None)}


def test_ghosts_are_stories_of_the_corpus_proper_and_the_surface_goes_row_by_row(scenes):
    assert len(scenes.ghosts) == 12
    assert scenes.ghosts[0].path == scenes.scenes[0].path
    assert (scenes.surface.rows, scenes.surface.columns) == (5, 5)
    assert scenes.surface.points[1] == (-4, -0.5, pytest.approx(0.1))


def test_a_story_without_gold_has_none_and_its_text_is_kept(scenes):
    odd = scenes.scene("odd")
    assert (odd.arc, odd.title, odd.sentences) == (None, HOSTILE, [HOSTILE] * SENTENCES)
    assert all(series.gold is None for series in odd.series)


def test_another_layer_and_readout_are_chosen_and_unknown_ones_refused(run):
    other = scenes_from_run(run, layer=1, readout="direct")
    assert (other.layer, other.readout) == (1, "direct")
    assert other.scenes[0].path[0][0] == pytest.approx(1.0)
    assert other.scenes[0].series[0].values[0] == sentence_rows()[0]["direct valence"]
    with pytest.raises(UnweaveError, match="layer '2' is not in table 'paths'"):
        scenes_from_run(run, layer=2)
    with pytest.raises(UnweaveError, match="readout 'gold' is not in table 'sentences'"):
        scenes_from_run(run, readout="gold")


def test_scenes_come_back_from_the_disk_as_they_were_and_damage_is_said(scenes, tmp_path):
    scenes.save(tmp_path / "scenes.json")
    assert Scenes.load(tmp_path / "scenes.json") == scenes
    (tmp_path / "scenes.json").write_text('{"target": "x"}')
    with pytest.raises(UnweaveError, match="holds no scenes"):
        Scenes.load(tmp_path / "scenes.json")


def test_a_point_that_is_missing_and_a_table_that_is_missing_are_said(tmp_path):
    run = make_run(tmp_path, "no-axes", finish=False, without=("axes",))
    with pytest.raises(UnweaveError, match="axes"):
        scenes_from_run(run)
    broken = Run.create("story-arc", {"target": "polyglot"}, tmp_path, "broken")
    for name in ("sentences", "axes"):
        broken.save_table(make_run(tmp_path, f"whole-{name}").load_table(name))
    broken.save_table(Table.from_records("paths", path_rows()[1:]))
    with pytest.raises(UnweaveError, match="'rise-garden' has no point after sentence 0"):
        scenes_from_run(broken)


def test_stories_alone_keep_the_ghosts_of_all(scenes):
    few = scenes.only(["odd", "fall-garden"])
    assert [one.id for one in few.scenes] == ["odd", "fall-garden"]
    assert few.ghosts == scenes.ghosts
    with pytest.raises(UnweaveError, match="story 'fal-garden' is not among the scenes"):
        scenes.scene("fal-garden")


def test_lengths_and_numbers_that_do_not_fit_are_refused(scenes):
    one = scenes.scenes[0].model_dump()
    for broken in ({"path": one["path"][1:]}, {"sentences": []}, {"path": [(0.0, float("nan"), 0.0)] * SENTENCES}):
        with pytest.raises(ValidationError):
            type(scenes.scenes[0]).model_validate({**one, **broken})


def test_readouts_are_told_by_their_valence():
    assert readouts_of(("story", "gold valence", "direct valence", "forced-choice valence")) == [
        "direct",
        "forced-choice",
    ]
