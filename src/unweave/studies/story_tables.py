"""What ``story-arc`` saves of its readings: every sentence, its place in space, and how readouts agree with gold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from unweave.studies.story_reading import GOLD_FREE, calibrates

if TYPE_CHECKING:
    import numpy as np

    from unweave.corpora.stories import Story
    from unweave.record.run import Run
    from unweave.shapes.stories.projection import Projection
    from unweave.shapes.stories.readings import StoryReadings
    from unweave.studies.story_arc import StoryArc
    from unweave.studies.story_reading import Read

VADER, VALENCE = "vader", "valence"
TESTED, CALIBRATION = "tested", "calibration"
DIGITS = {"r": 3, "low": 3, "high": 3, "within": 3, "within low": 3, "within high": 3, "p": 4, "null 95 %": 3}
LONG = 24
"""Sentences above which a path is smoothed before its arc is told, by a mean over a tenth of it."""


def kept(run: Run, names: Sequence[str], make: Callable[[], None]) -> None:
    """Makes some tables, unless the run that is gone on with has them all."""
    if not set(names) <= set(run.tables()):
        run.stop_if_cancelled()
        make()


def drawn_layer(config: StoryArc, readings: StoryReadings) -> int:
    """The depth that paths are drawn at: what was asked for, else the one nearest two thirds of the deepest read."""
    if config.drawn is not None:
        return config.drawn
    wanted = 2 * readings.layers[-1] / 3
    return min(readings.layers, key=lambda layer: abs(layer - wanted))


def save_sentences(run: Run, config: StoryArc, read: Read) -> None:
    """The table ``sentences``: a row for each, in the stories' order, with gold, all readouts and VADER."""
    from unweave.corpora.stories import EMOTIONS, vader_valence
    from unweave.record.table import Table

    rows = []
    for readings in _groups(read):
        lexicon = vader_valence(readings.texts)
        for row, (story, text) in enumerate(zip(readings.story, readings.texts, strict=True)):
            told = readings.stories[story]
            record: dict[str, Any] = {
                "story": told.id,
                "title": told.title,
                "arc": told.arc,
                "topic": told.topic,
                "kind": told.kind if readings.has_gold else GOLD_FREE,
                "protagonist": told.protagonist,
                "found": not readings.has_gold and not config.protagonist,
                "sentence": int(readings.sentence[row]),
                "text": text,
                "part": part_of(told, config, readings.has_gold),
                "gold valence": readings.gold_valence[row],
                **{f"gold {name}": readings.gold_emotions[row, at] for at, name in enumerate(EMOTIONS)},
            }
            for name in readings.readouts:
                record[f"{name} valence"] = readings.valence[name][row]
                record |= {f"{name} {each}": readings.readouts[name][row, at] for at, each in enumerate(EMOTIONS)}
            rows.append({**record, VADER: float(lexicon[row])})
    digits = {column: 2 for column in rows[0] if isinstance(rows[0][column], float)}
    run.save_table(Table.from_records("sentences", rows, digits=digits, caption=_said(config, read)))


def part_of(story: Story, config: StoryArc, has_gold: bool = True) -> str:
    """What a story is for: ``tested``, ``calibration``, ``control``, or ``text``."""
    if not has_gold:
        return GOLD_FREE
    if calibrates(story, config):
        return CALIBRATION
    return TESTED if story.kind == "arc" else "control"


def save_paths(run: Run, config: StoryArc, read: Read) -> None:
    """The tables ``paths`` and ``axes``, and the sheet that states lie near, ``surface``.

    The axes are the principal ones of the corpus proper's states at the drawn depth; no depth is chosen by its looks.
    """
    from unweave.record.table import Table
    from unweave.shapes.stories.surface import sheet_mesh

    layer = drawn_layer(config, read.readings)
    proper = read.readings.pick(lambda story: story.kind == "arc")
    projection = _projection(proper, layer)
    rows = []
    for readings in _groups(read):
        for row, place in enumerate(projection.apply(readings.at(layer))):
            told = readings.stories[readings.story[row]]
            at = {"story": told.id, "sentence": int(readings.sentence[row]), "layer": layer}
            rows.append({**at, **dict(zip("xyz", map(float, place), strict=True))})
    digits = dict.fromkeys("xyz", 2)
    run.save_table(Table.from_records("paths", rows, digits=digits))
    axes = [
        {"axis": axis, "layer": layer, "explained": share}
        for axis, share in zip("xyz", projection.explained, strict=True)
    ]
    run.save_table(
        Table.from_records(
            "axes", axes, digits={"explained": 3}, caption=f"Principal axes of the states at depth {layer}."
        )
    )
    mesh = sheet_mesh(projection.apply(proper.at(layer)))
    side = round(len(mesh.vertices) ** 0.5)
    corners = [
        {"layer": layer, "u": at // side, "v": at % side, **dict(zip("xyz", map(float, corner), strict=True))}
        for at, corner in enumerate(mesh.vertices)
    ]
    run.save_table(
        Table.from_records("surface", corners, digits=digits, caption="The quadratic sheet nearest the states.")
    )


def save_agreement(run: Run, config: StoryArc, read: Read) -> None:
    """The table ``agreement``: Pearson's r with gold, pooled and within stories, for each part and kind of control."""
    from unweave.corpora.stories import EMOTIONS, vader_valence
    from unweave.record.table import Table
    from unweave.shapes.stories.agreement import agreement, agreement_difference

    rows = []
    for part, readings in parts(config, read).items():
        lexicon = vader_valence(readings.texts)
        sources: dict[str, dict[str, np.ndarray]] = {
            name: {
                VALENCE: readings.valence[name],
                **{each: readings.readouts[name][:, at] for at, each in enumerate(EMOTIONS)},
            }
            for name in readings.readouts
        }
        sources[VADER] = {VALENCE: lexicon}
        for source, quantities in sources.items():
            for quantity, values in quantities.items():
                gold = readings.gold_valence
                if quantity != VALENCE:
                    gold = readings.gold_emotions[:, EMOTIONS.index(quantity)]  # type: ignore[arg-type]
                about = {"part": part, "readout": source, "quantity": quantity, "stories": len(readings.stories)}
                if not (values == values).all():
                    continue
                level = {"sentences": len(values), "mean": float(values.mean()), "sd": float(values.std())}
                if gold.std() == 0 or len(readings.stories) < 2:
                    rows.append({**about, **level})
                    continue
                found = agreement(values, gold, readings.story, config.seed)
                record = {
                    **about,
                    **level,
                    "r": found.pooled.mean,
                    "low": found.pooled.low,
                    "high": found.pooled.high,
                    "within": found.within.mean,
                    "within low": found.within.low,
                    "within high": found.within.high,
                }
                if source != VADER and quantity == VALENCE:
                    more = agreement_difference(values, lexicon, gold, readings.story, config.seed).pooled
                    record |= {"above vader": more.mean, "above low": more.low, "above high": more.high}
                rows.append(record)
    digits = {**DIGITS, "mean": 3, "sd": 3, "above vader": 3, "above low": 3, "above high": 3}
    shown = {name: places for name, places in digits.items() if any(name in row for row in rows)}
    run.save_table(
        Table.from_records(
            "agreement",
            rows,
            digits=shown,
            caption="Pearson's r with the gold over sentences, and over sentences less their story's mean, with 95 % "
            "intervals that draw stories. Controls are of topics that no readout was calibrated on. Sentences of "
            "shuffled stories keep the gold of their own place, which only a reader who forgets would follow.",
        )
    )


def parts(config: StoryArc, read: Read) -> dict[str, StoryReadings]:
    """The tested stories, those calibrated on, and each kind of control of topics that were not calibrated on."""
    stories = read.readings.stories
    found = {}
    if any(part_of(story, config) == TESTED for story in stories):
        found[TESTED] = read.tested(config)
    if any(calibrates(story, config) for story in stories):
        found[CALIBRATION] = read.readings.pick(lambda story: calibrates(story, config))
    for kind in sorted({story.kind for story in stories} - {"arc"}):
        if any(story.kind == kind and story.topic not in config.calibration for story in stories):
            found[kind] = read.readings.pick(
                lambda story, kind=kind: story.kind == kind and story.topic not in config.calibration
            )
    return found


def save_readouts(run: Run, read: Read) -> None:
    """The table ``readouts``: what each readout is, and the mass that its answers had."""
    from unweave.record.table import Table
    from unweave.shapes.stories.readouts import find_readout

    rows = [
        {
            "readout": name,
            "what": find_readout(name).meaning,
            "unit": find_readout(name).unit,
            "calibrated": name in read.calibrations,
            "fact": fact,
            "value": value,
        }
        for name, facts in read.facts.items()
        for fact, value in facts.items()
    ]
    run.save_table(Table.from_records("readouts", rows, digits={"value": 4}))


def own_arcs(read: Read, readout: str) -> dict[str, str | None]:
    """The arc whose template each story's valence is nearest, a long path smoothed first."""
    from unweave.corpora.stories import nearest_arc, sliding_mean

    found = {}
    for readings in _groups(read):
        for number, story in enumerate(readings.stories):
            path = readings.valence[readout][readings.rows(number)]
            if len(path) > LONG:
                path = sliding_mean(path, len(path) // 10 // 2 * 2 + 1)
            found[story.id] = nearest_arc(path) if len(path) >= 4 else None
    return found


def _groups(read: Read) -> Iterator[StoryReadings]:
    """The person's text first, where there is one."""
    if read.own is not None:
        yield read.own
    yield read.readings


def _projection(proper: StoryReadings, layer: int) -> Projection:
    from unweave.shapes.stories.projection import fit_projection

    return fit_projection(proper.at(layer))


def _said(config: StoryArc, read: Read) -> str:
    said = [
        f"{name}: mapped to gold's unit by isotonic regression on the stories about "
        f"{' and '.join(config.calibration)}; this replaces a rating."
        for name in read.calibrations
    ]
    for readings in _groups(read):
        said += [
            f"{story} was read through a window of {size} sentences, each {size // 2} after the one before it."
            for story, size in readings.windows.items()
        ]
    return " ".join(said)
