"""The first part of ``story-arc``: what is read, how it is asked, and the readings that everything else is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError, nearest

if TYPE_CHECKING:
    import numpy as np

    from unweave.corpora.stories import Story
    from unweave.models.target import Target
    from unweave.record.run import Run
    from unweave.shapes.stories.calibration import Calibration
    from unweave.shapes.stories.readings import StoryReadings
    from unweave.shapes.stories.readouts import Readout
    from unweave.shapes.stories.text import Text
    from unweave.studies.story_arc import StoryArc

RAW = "raw-scores"
FOLDER = "readings"
GOLD_FREE = "text"
"""The kind, in tables, of a text that nobody rated."""


@dataclass(frozen=True)
class Read:
    """What was read, and what readouts there are."""

    target: Target
    readouts: dict[str, Readout]
    calibrations: dict[str, Calibration]
    """For the readouts that need one."""
    readings: StoryReadings
    """Of stories with gold: all kinds. For a text these are the stories that readouts are calibrated on."""
    own: StoryReadings | None
    """Of a person's text."""
    facts: dict[str, dict[str, float]]
    """By readout, what it says of itself: the mass of its answers."""
    tokens: int

    def tested(self, config: StoryArc) -> StoryReadings:
        """The stories of the corpus proper that no readout was calibrated on."""
        return self.readings.pick(lambda story: is_tested(story, config))


def is_tested(story: Story, config: StoryArc) -> bool:
    """Whether a story is of the corpus proper, or a person's own text, and no readout is calibrated on it."""
    return story.kind == "arc" and not calibrates(story, config)


def calibrates(story: Story, config: StoryArc) -> bool:
    """Whether readouts are calibrated on a story; those of a person's file never."""
    from unweave.corpora.stories import bundled_stories

    return story.topic in config.calibration and story.id in {each.id for each in bundled_stories("arc")}


def read_all(config: StoryArc, run: Run, target: Target | None) -> Read:
    """Reads the stories, or the text, with every readout, and their states; stories that were read are not read again.

    Forced choice is calibrated on the bundled neutral texts of the calibration's topics, and the maps to levels on the
    bundled stories of those topics.
    """
    from unweave.base.device import prefer_fast_float32
    from unweave.corpora.stories import TOPICS, bundled_stories
    from unweave.models.load import load_target
    from unweave.shapes.stories.readouts import find_readout
    from unweave.shapes.stories.text import read_story

    for name in config.readouts:
        find_readout(name)
    for topic in config.calibration:
        if topic not in TOPICS:
            raise UnweaveError(f"calibration topic {topic!r} is not one of the bundled; {nearest(topic, TOPICS)}")
    wanted, own = _wanted(config)
    if own is None and not any(is_tested(story, config) for story in wanted):
        raise UnweaveError(f"calibration takes the topics of all stories ({', '.join(config.calibration)}): leave some")
    prefer_fast_float32()
    target = target or load_target(config.target, device=config.device, dtype=config.dtype, progress=run.progress)
    layers = _layers(config, target)
    run.identify("target", target.name, target.identity.digest, parameters=_parameters(target))
    neutral = [
        read_story(target, story, config.window)
        for story in bundled_stories("neutral")
        if story.topic in config.calibration
    ]
    calibrating = [story for story in bundled_stories("arc") if story.topic in config.calibration]
    own_ids = {story.id for story in calibrating}
    doubled = next((story.id for story in wanted if story.id in own_ids and story not in calibrating), None)
    if doubled is not None:
        raise UnweaveError(
            f"story {doubled!r} of {config.stories} has the id of a bundled story that readouts are calibrated on: "
            "rename it in your file"
        )
    given = list({story.id: story for story in (*calibrating, *wanted)}.values())
    texts = {story.id: read_story(target, story, config.window) for story in given}
    if own is not None:
        from unweave.shapes.stories.text import encode_text

        sentences = [sentence.text for sentence in own.sentences]
        texts[own.id] = encode_text(target, sentences, config.protagonist, config.window)
        own = replace(own, protagonist=texts[own.id].protagonist)
    everything = [*given, *([own] if own is not None else [])]
    readouts, raw, facts = _asked(config, run, target, neutral, everything, texts)
    maps = _calibrations(calibrating, raw, readouts)
    readings = _readings(layers, run, target, given, texts, raw, maps, readouts, True)
    owned = _readings(layers, run, target, [own], texts, raw, maps, readouts, False) if own is not None else None
    return Read(target, readouts, maps, readings, owned, facts, sum(text.tokens for text in texts.values()))


def _wanted(config: StoryArc) -> tuple[list[Story], Story | None]:
    """Stories with gold to read, and the person's text."""
    from unweave.corpora.stories import KINDS, bundled_stories, read_stories, shuffled

    for kind in config.controls:
        if kind not in KINDS or kind == "arc":
            raise UnweaveError(f"control {kind!r} is not a kind of control story; {nearest(kind, KINDS[1:])}")
    if config.has_text:
        return [], _own(config)
    if config.stories != "bundled":
        return list(read_stories(config.stories)), None
    found = list(bundled_stories("arc"))
    for kind in config.controls:
        if kind == "shuffled":
            proper = bundled_stories("arc")
            seeds = range(config.seed, config.seed + config.shuffles)
            found += [shuffled(story, seed) for seed in seeds for story in proper if not calibrates(story, config)]
        else:
            found += bundled_stories(kind)  # type: ignore[arg-type]
    return found, None


def _own(config: StoryArc) -> Story:
    from unweave.corpora.stories import Sentence, Story, read_austen, read_book
    from unweave.corpora.stories.austen import SITE_LIBRARY

    book = read_austen(config.novel, config.novels or SITE_LIBRARY) if config.novel else read_book(config.text)
    sentences = book.sentences[: config.sentences]
    if len(sentences) < 4:
        raise UnweaveError(f"{book.title!r} has {len(sentences)} sentences: an arc needs 4 or more")
    told = tuple(Sentence(sentence, 0.0) for sentence in sentences)
    return Story("own-text", book.title or "Text", None, "", "arc", None, told, config.protagonist)


def _asked(
    config: StoryArc,
    run: Run,
    target: Target,
    neutral: Sequence[Text],
    stories: Sequence[Story],
    texts: dict[str, Text],
) -> tuple[dict[str, Readout], dict[str, dict[str, np.ndarray]], dict[str, dict[str, float]]]:
    """Raw scores by readout and story; a story that was asked about is kept at once.

    The first readout is asked about every story, the others about those that are tested and that it is calibrated on.
    """
    import numpy as np

    from unweave.shapes.stories.readouts import find_readout

    readouts: dict[str, Readout] = {}
    raw: dict[str, dict[str, np.ndarray]] = {}
    facts: dict[str, dict[str, float]] = {}
    for name in config.readouts:
        kind = find_readout(name)
        if kind.calibrated:
            run.progress.say(f"{name}: {len(neutral)} neutral texts are asked about first, which its scores are less")
        readouts[name] = kind.build(target, neutral)
        known, raw[name], said = run.cells(RAW), {}, []
        asked = [story for story in stories if name == config.readouts[0] or _needed(name, story, config)]
        run.progress.say(f"{name}: {len(asked)} stories are asked about, after every sentence")
        for done, story in enumerate(asked):
            run.stop_if_cancelled()
            key = f"{name}/{story.id}"
            if key not in known:
                emotions, about = readouts[name].emotions(target, texts[story.id])
                known[key] = {"emotions": emotions.tolist(), **about}  # type: ignore[dict-item]
                run.put_cell(RAW, key, known[key])
            row = dict(known[key])
            raw[name][story.id] = np.array(row.pop("emotions"), np.float64)
            said.append(row)
            run.progress.update(done + 1, len(asked), f"stories asked about ({name})")
        if said:
            facts[name] = {key: float(np.mean([float(str(row[key])) for row in said])) for key in said[0]}
    return readouts, raw, facts


def _needed(readout: str, story: Story, config: StoryArc) -> bool:
    from unweave.shapes.stories.readouts import find_readout

    return is_tested(story, config) or (find_readout(readout).calibrated and calibrates(story, config))


def _calibrations(
    stories: Sequence[Story], raw: dict[str, dict[str, np.ndarray]], readouts: dict[str, Readout]
) -> dict[str, Calibration]:
    import numpy as np

    from unweave.shapes.stories.calibration import fit_calibration
    from unweave.shapes.stories.readouts import find_readout

    gold_emotions = np.concatenate([story.emotions for story in stories])
    gold_valence = np.concatenate([story.valence for story in stories])
    found = {}
    for name, scores in raw.items():
        if find_readout(name).calibrated:
            emotions = np.concatenate([scores[story.id] for story in stories])
            found[name] = fit_calibration(emotions, readouts[name].valence(emotions), gold_emotions, gold_valence)
    return found


def _layers(config: StoryArc, target: Target) -> tuple[int, ...]:
    """The depths that are read; what cannot be read, drawn or steered is refused here, before hours of asking."""
    from unweave.read.stream import depths

    known = depths(target)
    layers = tuple(config.layers) or tuple(known)
    for depth in layers:
        if depth not in known:
            raise UnweaveError(f"depth {depth} is not in {target.name}: it has depths 0 to {known[-1]}")
    if config.drawn is not None and config.drawn not in layers:
        raise UnweaveError(f"drawn is {config.drawn}, which is not read: the depths are {', '.join(map(str, layers))}")
    if config.steering and not config.has_text and config.span > len(layers):
        raise UnweaveError(f"span is {config.span}, and {len(layers)} depths are read: read more, or steer over fewer")
    return layers


def _readings(
    layers: tuple[int, ...],
    run: Run,
    target: Target,
    stories: Sequence[Story],
    texts: dict[str, Text],
    raw: dict[str, dict[str, np.ndarray]],
    maps: dict[str, Calibration],
    readouts: dict[str, Readout],
    has_gold: bool,
) -> StoryReadings:
    import numpy as np

    from unweave.corpora.stories import EMOTIONS
    from unweave.shapes.stories.readings import StoryReadings
    from unweave.shapes.stories.states import story_states

    folder = run.path / FOLDER / ("stories" if has_gold else "text")
    if (folder / "readings.json").is_file():
        return StoryReadings.load(folder)
    run.stop_if_cancelled()
    states = story_states(target, [texts[story.id] for story in stories], layers, run.progress)
    emotions, valence = {}, {}
    for name in raw:
        unasked = [np.full((len(story.sentences), len(EMOTIONS)), np.nan) for story in stories]
        scores = np.concatenate([raw[name].get(story.id, none) for story, none in zip(stories, unasked, strict=True)])
        plain = readouts[name].valence(scores)
        emotions[name], valence[name] = maps[name].apply(scores, plain) if name in maps else (scores, plain)
    windows = {story.id: size for story in stories if (size := texts[story.id].window) is not None}
    readings = StoryReadings(tuple(stories), states, layers, emotions, valence, has_gold, windows)
    folder.mkdir(parents=True, exist_ok=True)
    readings.save(folder)
    return readings


def _parameters(target: Target) -> int:
    return sum(parameter.numel() for parameter in target.module.parameters())
