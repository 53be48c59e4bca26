"""The study of story arcs, end to end on a tiny target and short stories."""

import math
from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pytest

import unweave.corpora.stories as corpus
from unweave.base.errors import UnweaveError
from unweave.corpora.stories import ARCS, EMOTIONS, TOPICS, Sentence, Story, arc_curve
from unweave.record.audit import audit_run
from unweave.record.life import RunCancelled
from unweave.record.run import Run
from unweave.shapes.manifolds.distances import distance_correlation, linear
from unweave.shapes.stories import agreement, forced_choice
from unweave.shapes.stories.geometry import readout_distances
from unweave.shapes.stories.human import VALENCE_AROUSAL, valence_arousal
from unweave.shapes.stories.readings import StoryReadings
from unweave.shapes.stories.scene import Scenes
from unweave.shapes.stories.steering import Steering
from unweave.studies.registry import find_study
from unweave.studies.story_arc import StoryArc, story_arc
from unweave.studies.story_entanglement import save_entanglement
from unweave.studies.story_steering import stories_to_steer
from unweave.studies.story_words import kept_words

LENGTH = 5
SMALL = {"permutations": 19, "readouts": ("forced-choice",), "umap": False, "layers": (1, 2, 3), "span": 2}
QUICK = {**SMALL, "steered": 2, "random_vectors": 2, "doses": (-1.0, 1.0), "device": "cpu"}


@cache
def made(kind):
    if kind == "neutral":
        told = tuple(Sentence(f"It {verb}.", 0.0) for verb in ("is", "was", "sat", "lay"))
        return tuple(Story(f"flat {topic}", "Flat", None, topic, "neutral", None, told, "Mia") for topic in TOPICS)
    found = []
    for number, (topic, arc) in enumerate((topic, arc) for topic in TOPICS for arc in ARCS):
        told = []
        for at, value in enumerate(arc_curve(arc, LENGTH)):
            levels = {name: (number + 3 * place + at) % 7 / 6 for place, name in enumerate(EMOTIONS)}
            levels |= {"happiness": max(value, 0), "sadness": max(-value, 0)}
            told.append(Sentence(f"Mia {'ran' if value > 0 else 'sat'} {topic[0]}{at}.", 0.9 * float(value), levels))
        found.append(Story(f"{arc} {topic}", f"{arc} {topic}", arc, topic, "arc", None, tuple(told), "Mia"))
    return tuple(found)


def is_proper(story):
    return story.kind == "arc" and story.topic not in ("cooking", "school")


@pytest.fixture
def short(monkeypatch):
    """Short stories stand in for the bundled ones, and six tokens for the words of six emotions."""
    monkeypatch.setattr(corpus, "bundled_stories", lambda kind="arc": made(kind), raising=False)
    monkeypatch.setattr(
        forced_choice, "emotion_tokens", lambda _: {name: (70 + at,) for at, name in enumerate(EMOTIONS)}
    )
    monkeypatch.setattr(
        forced_choice, "rated_tokens", lambda _: {word: 80 + at for at, word in enumerate(VALENCE_AROUSAL)}
    )
    monkeypatch.setattr(forced_choice, "FRAMES", (" {name} felt",))
    monkeypatch.setattr(agreement, "RESAMPLES", 50)


@pytest.fixture
def new_run(tmp_path):
    def start(config):
        return Run.create("story-arc", asdict(config), tmp_path, "run")

    return start


def test_everything_is_read_recognised_and_steered_once(short, llama, new_run, monkeypatch):
    config = StoryArc(**QUICK, controls=("shuffled", "neutral"))
    run = new_run(config)
    found = story_arc(config, run, llama)
    sentences = run.load_table("sentences")
    assert len(sentences.rows) == (30 + 18) * LENGTH + 5 * 4
    parts = {row["topic"]: row["part"] for row in sentences.records() if row["kind"] == "arc"}
    assert parts == {topic: "calibration" if topic in ("cooking", "school") else "tested" for topic in TOPICS}
    first = next(row for row in sentences.records() if row["story"] == "rise cooking")
    assert first["gold valence"] == pytest.approx(-0.9)
    assert -1 <= first["forced-choice valence"] <= 1
    agreed = {
        (row["part"], row["readout"]): row
        for row in run.load_table("agreement").records()
        if row["quantity"] == "valence"
    }
    assert found.r["forced-choice"] == agreed["tested", "forced-choice"]["r"]
    assert agreed["neutral", "forced-choice"]["r"] is None
    assert agreed["tested", "vader"]["stories"] == 18
    right = {row["way"]: row["accuracy"] for row in run.load_table("recognition").records()}
    assert right["gold"] == 1
    assert set(right) == {"gold", "forced-choice", "vader", "probes", "states"}
    assert {row["direction"] for row in run.load_table("steering-scores").records()} == {"valence", *EMOTIONS}
    assert len(run.load_table("off-target").rows) == 7 * 6
    entangled = {row["against"]: row for row in run.load_table("entanglement").records()}
    assert list(entangled) == ["steered directions", "states", "readout", "people"]
    # Distances are of stories that nothing was steered on.
    assert [row["stories"] for row in entangled.values()] == [None, 16, 16, None]
    assert entangled["readout"]["steered among them"] == 0
    assert all(row["p"] <= row["p (Holm)"] <= 1 for row in entangled.values())
    scenes = Scenes.load(run.path / "scenes.json")
    assert scenes.readout == "forced-choice"
    assert len(scenes.scenes) == 30 + 18 + 5
    assert [one for one in audit_run(run) if one.where != "report"] == []
    assert set(found.arcs) >= {"rise sea"}
    said = [claim.sentence for claim in run.claims()]
    assert len(said) >= 15
    assert any(each.startswith("The r of forced-choice less VADER's is") for each in said)
    distances = {row["distances"]: row for row in run.load_table("distances").records()}
    # Noise of stories has a geometry of emotions too: only what is held counts.
    held = {row["p held"] for name, row in distances.items() if name.startswith("emotions, states")}
    assert len(held) == 1
    assert 0 < held.pop() <= distances["emotions, states against readout"]["p"]
    assert distances["emotions, gold against people"]["p held"] is None
    assert {row["of"] for name, row in distances.items() if name.startswith("words")} == {len(VALENCE_AROUSAL)}
    assert distances["words, states against people"]["p held"] > 0
    words, scores = kept_words(run, tested := StoryReadings.load(run.path / "readings" / "stories").pick(is_proper))
    apart = distance_correlation(readout_distances(scores), linear(valence_arousal(words)))
    assert distances["words, readout against people"]["r"] == pytest.approx(apart.r, abs=1e-3)
    assert len(scores) == len(tested)
    report = (run.path / "report.html").read_text("utf-8")
    r, low = (agreed["tested", "forced-choice"][name] for name in ("r", "low"))
    assert ("says nothing of the gold" in report) == (low <= 0)
    assert ("reaches the r of 0.7" in report) == (low > 0 and r >= 0.7)
    assert "cannot bring it below 1/3" in run.load_table("steering-scores").caption

    # Gone on with, nothing is asked, read, or steered again, and what is said stays.
    run.finish("cancelled")
    again = Run.resume(run.path)
    before = run.load_table("steering").sha256, run.load_table("probes").sha256
    for name in ("unweave.shapes.stories.steering.steered_answers", "unweave.shapes.stories.states.story_states"):
        monkeypatch.setattr(name, None)
    monkeypatch.setattr(forced_choice.ForcedChoiceReadout, "emotions", None)
    assert story_arc(config, again, llama).r == found.r
    assert (again.load_table("steering").sha256, again.load_table("probes").sha256) == before


def test_stories_to_steer_on_have_every_arc_and_the_topics_evenly():
    by_topic = made("arc")
    by_arc = [story for arc in ARCS for story in by_topic if story.arc == arc]
    for stories in (by_topic, by_arc):
        for count in (6, 8, 10):
            chosen = stories_to_steer(stories, count)
            assert len(chosen) == count
            assert {story.arc for story in chosen} == set(ARCS)
            assert {story.topic for story in chosen} == set(TOPICS)
            assert [story for story in stories if story in chosen] == chosen
        assert stories_to_steer(stories, 99) == list(stories)
        assert len({story.arc for story in stories_to_steer(stories, 4)}) == 4


def test_entanglement_is_held_against_what_steering_did_not_make(new_run):
    """What moves another emotion goes with people's distances, and with nothing that was read of these stories."""
    config = StoryArc(**QUICK)
    run = new_run(config)
    generator = np.random.default_rng(0)
    stories = made("arc")
    count = sum(len(story.sentences) for story in stories)
    levels = generator.random((count, 6))
    tested = StoryReadings(
        stories,
        generator.standard_normal((count, 3, 8)).astype(np.float32),
        (1, 2, 3),
        {"forced-choice": levels},
        {"forced-choice": levels[:, 0]},
    )
    vectors = generator.standard_normal((6, 8)).astype(np.float32)
    directions = {
        name: Steering(name, {2: vectors[at], 3: vectors[at]}, {2: 1.0, 3: 1.0}) for at, name in enumerate(EMOTIONS)
    }
    apart = linear(valence_arousal())
    steered = {story.id for story in stories[:6]}
    save_entanglement(run, config, np.diag(np.ones(6)) - apart, directions, tested, steered)
    found = {row["against"]: row for row in run.load_table("entanglement").records()}
    assert found["people"]["r"] == pytest.approx(1)
    assert found["people"]["p"] == pytest.approx(1 / 720, abs=1e-4)
    assert found["people"]["p (Holm)"] == pytest.approx(len(found) / 720, abs=1e-3)
    assert found["readout"]["p"] > 0.05
    others = tested.pick(lambda story: story.id not in steered)
    expected = distance_correlation(apart, readout_distances(others.readouts["forced-choice"]))
    assert found["readout"]["r"] == pytest.approx(expected.r, abs=1e-3)


def test_a_cancelled_run_keeps_what_it_asked(short, llama, new_run, monkeypatch):
    config = StoryArc(**QUICK, controls=())
    run = new_run(config)
    asked = []
    emotions = forced_choice.ForcedChoiceReadout.emotions

    def ask(self, target, text):
        asked.append(text)
        if len(asked) == 14:
            run.cancel()
        return emotions(self, target, text)

    monkeypatch.setattr(forced_choice.ForcedChoiceReadout, "emotions", ask)
    with pytest.raises(RunCancelled):
        story_arc(config, run, llama)
    assert len(run.cells("raw-scores")) == 14

    # Gone on with, it asks again about the two tested stories whose words had not been kept, and about no other.
    run.finish("cancelled")
    again = Run.resume(run.path)
    monkeypatch.setattr("unweave.studies.story_analysis.kept", lambda *_: None)
    story_arc(replace(config, steering=False), again, llama)
    assert len(again.cells("word-scores")) == 18
    assert len(asked) == 30 + 2


def test_a_text_without_gold_has_a_path_and_the_nearest_arc(short, llama, new_run, tmp_path, monkeypatch):
    monkeypatch.setattr("unweave.studies.story_report.own_arcs", lambda *_: {"own-text": "fall-rise"})
    path = tmp_path / "own.txt"
    path.write_text("Bo sat. Then Bo ran. It was dark. So Bo fell. Then Bo sat. Now Bo ran.")
    config = StoryArc(**QUICK, text=str(path), window=4)
    run = new_run(config)
    found = story_arc(config, run, llama)
    own = [row for row in run.load_table("sentences").records() if row["kind"] == "text"]
    assert [row["sentence"] for row in own] == list(range(6))
    assert own[0]["gold valence"] is None
    assert own[3]["text"] == "So Bo fell."
    assert "window of 4 sentences" in run.load_table("sentences").caption
    assert found.arcs["own-text"] in (*ARCS, None)
    report = (run.path / "report.html").read_text("utf-8")
    assert "nearest to fall-rise;" in report
    assert "asked about Bo after each (the name that the text uses most)" in report
    assert "<code>stories.html</code>" in report
    assert found.r == {}
    assert "agreement" not in run.tables()
    assert "probes" not in run.tables()
    scene = Scenes.load(run.path / "scenes.json").scene("own-text")
    assert scene.note == "What Bo, the name that the text uses most, is taken to feel."
    assert len(scene.path) == 6
    assert all(math.isfinite(value) for point in scene.path for value in point)


def test_a_single_story_is_compared_with_nothing(short, llama, new_run, tmp_path):
    path = tmp_path / "one.txt"
    path.write_text(
        "story: one\ntitle: One\narc: rise\ntopic: sea\nprotagonist: Mia\n\n"
        + "".join(
            f"{value} {name}={abs(value)} | Mia sat {value}.\n"
            for value, name in ((-0.8, "fear"), (-0.4, "fear"), (0.4, "happiness"), (0.8, "happiness"))
        )
    )
    config = StoryArc(**QUICK, stories=str(path), steering=False)
    run = new_run(config)
    assert story_arc(config, run, llama).r == {}
    assert not [each.sentence for each in run.claims() if "has r" in each.sentence]


def test_a_story_that_has_the_id_of_one_calibrated_on_is_refused(short, llama, new_run, tmp_path):
    path = tmp_path / "mine.txt"
    lines = "".join(f"{value} fear=0.5 | Mia sat {value}.\n" for value in (-0.8, -0.4, 0.4, 0.8))
    path.write_text(f"story: rise cooking\ntitle: One\narc: rise\ntopic: sea\nprotagonist: Mia\n\n{lines}")
    config = StoryArc(**QUICK, stories=str(path), steering=False)
    with pytest.raises(
        UnweaveError, match=r"'rise cooking' of .*mine.txt has the id of a bundled .* rename it in your"
    ):
        story_arc(config, new_run(config), llama)


def test_it_says_what_it_loads_and_asks(short, llama, new_run, tmp_path, monkeypatch):
    path = tmp_path / "own.txt"
    path.write_text("Bo sat. Then Mia ran. It was dark. So Bo fell.")
    config = StoryArc(**QUICK, text=str(path), protagonist="Mia")
    run, said = new_run(config), []
    monkeypatch.setattr(run.progress, "say", said.append)
    loaded = []
    monkeypatch.setattr("unweave.models.load.load_target", lambda *_, progress, **__: loaded.append(progress) or llama)
    story_arc(config, run)
    assert loaded == [run.progress]
    assert [each for each in said if each.startswith("forced-choice: ")] == [
        "forced-choice: 2 neutral texts are asked about first, which its scores are less",
        "forced-choice: 13 stories are asked about, after every sentence",
    ]
    assert Scenes.load(run.path / "scenes.json").scene("own-text").note == "What Mia is taken to feel."
    assert "asked about Mia after each (as was given)" in (run.path / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"readouts": ()}, "at least one"),
        ({"doses": (0.0, 1.0)}, "not 0"),
        ({"text": "a.txt", "novel": "emma"}, "one of them"),
        ({"permutations": 5}, "19 are the fewest"),
        ({"sentences": 3}, "4 or more"),
        ({"calibration": ()}, "no topic"),
        ({"layers": (2, 1)}, "from the lowest up"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, said):
    with pytest.raises(UnweaveError, match=said):
        replace(StoryArc(), **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"readouts": ("forced",)}, "no readout is named 'forced'"),
        ({"controls": ("arc",)}, "not a kind of control story"),
        ({"calibration": ("cookery",)}, "'cooking'"),
        ({"layers": (99,)}, "depth 99"),
        ({"span": 4}, "3 depths are read"),
        ({"drawn": 0}, "drawn is 0"),
        ({"calibration": TOPICS}, "leave some"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_is_asked(short, llama, new_run, monkeypatch, changes, said):
    monkeypatch.setattr(forced_choice.ForcedChoiceReadout, "emotions", None)
    config = StoryArc(**{**QUICK, "controls": (), **changes})
    with pytest.raises(UnweaveError, match=said):
        story_arc(config, new_run(config), llama)


def test_needs_grow_with_what_is_asked():
    study = find_study("story-arc")
    plain, more = (study.needs(study.config(readouts=names)) for names in (("direct",), ("forced-choice", "direct")))
    assert more.seconds > plain.seconds > study.needs(study.config(readouts=("direct",), steering=False)).seconds
    orders = [study.needs(study.config(readouts=("direct",), shuffles=count)) for count in (1, 3)]
    assert orders[1].seconds > orders[0].seconds
    assert orders[1].disk_gb > 1.3 * orders[0].disk_gb
    other = {"readouts": ("direct",), "controls": ()}
    assert study.needs(study.config(**other, shuffles=3)) == study.needs(study.config(**other))
    assert study.needs(study.config(novel="emma")).memory_gb > plain.memory_gb
