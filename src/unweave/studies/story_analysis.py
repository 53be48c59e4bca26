"""What ``story-arc`` finds in the readings: what probes decode, which arcs are told, and what order does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unweave.studies.story_geometry import save_distances, save_shape
from unweave.studies.story_tables import VADER, VALENCE, kept
from unweave.studies.story_words import keep_words

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from unweave.record.run import Run
    from unweave.shapes.stories.arc_recognition import Recognition
    from unweave.shapes.stories.order import Paired
    from unweave.shapes.stories.readings import StoryReadings
    from unweave.studies.story_arc import StoryArc
    from unweave.studies.story_reading import Read

PATH = "states"
DECODED = "probes"
LEAST_TOPICS = 3


def analyse(run: Run, config: StoryArc, read: Read) -> None:
    """Saves the tables that stories with gold of at least three topics give; fewer topics cannot be held out."""
    proper = read.readings.pick(lambda story: story.kind == "arc")
    tested = read.tested(config)
    steps: list[tuple[tuple[str, ...], Callable[[], None]]] = [
        (("order",), lambda: _order(run, config, read)),
    ]
    if len(set(proper.topic)) >= LEAST_TOPICS:
        steps += [
            (("probes", "probe-layers", "decoded"), lambda: _probes(run, config, proper)),
            (("recognition", "confusion", "arcs"), lambda: _arcs(run, config, read, proper, tested)),
        ]
    if len(set(tested.topic)) >= LEAST_TOPICS:
        steps += [
            (("distances", "distance-layers"), lambda: save_distances(run, config, tested)),
            (("curvature", "preservation"), lambda: save_shape(run, config, proper, tested)),
        ]
    if len(set(tested.topic)) >= LEAST_TOPICS and "distances" not in run.tables():
        # Before all else: once they are kept, a run that stops need not ask again.
        keep_words(run, config, read, tested)
    for names, make in steps:
        run.progress.say(f"making {', '.join(names)}")
        kept(run, names, make)


def _probes(run: Run, config: StoryArc, proper: StoryReadings) -> None:
    import numpy as np

    from unweave.corpora.stories import EMOTIONS
    from unweave.record.table import Table
    from unweave.shapes.stories.probes import probe_by_layer

    gold = np.column_stack([proper.gold_valence, proper.gold_emotions])
    found = probe_by_layer(
        proper.states,
        gold,
        proper.story,
        proper.topic,
        proper.texts,
        proper.layers,
        shuffles=config.permutations,
        seed=config.seed,
        progress=run.progress,
    )
    names = (VALENCE, *EMOTIONS)
    rows, layers = [], []
    for at, name in enumerate(names):
        row: dict[str, Any] = {
            "quantity": name,
            "rmse": found.chosen.rmse[at],
            "r": found.chosen.r[at],
            "p": found.p[at],
            "null 95 %": found.chosen_threshold[at],
        }
        for baseline, decoding in found.baselines.items():
            row |= {f"{baseline} rmse": decoding.rmse[at], f"{baseline} r": decoding.r[at]}
        rows.append(row)
        layers += [
            {
                "quantity": name,
                "layer": layer,
                "rmse": decoding.rmse[at],
                "r": decoding.r[at],
                "null 95 %": found.threshold[number, at],
            }
            for number, (layer, decoding) in enumerate(zip(found.layers, found.by_layer, strict=True))
        ]
    chosen = ", ".join(f"{layer} for {topic}" for topic, layer in found.chosen_layers.items())
    digits = {column: 3 for column in rows[0] if column != "quantity"} | {"p": 4}
    run.save_table(
        Table.from_records(
            "probes",
            rows,
            digits=digits,
            caption="Ridge with isotonic calibration, tested on stories of a topic by probes of other topics' stories; "
            f"depth and penalty chosen inside those (depth {chosen}). r is within topics. Its null deals each story's "
            f"gold to another story and repeats the choices; no p is below 1/{config.permutations + 1}. Beside it what "
            "knows no states: the mean of the training topics, the place in the story, and the words so far.",
        )
    )
    run.save_table(Table.from_records("probe-layers", layers, digits={"rmse": 3, "r": 3, "null 95 %": 3}))
    decoded = [
        {"story": proper.stories[story].id, "sentence": int(sentence), "decoded": float(value)}
        for story, sentence, value in zip(proper.story, proper.sentence, found.chosen.raw[:, 0], strict=True)
    ]
    run.save_table(Table.from_records("decoded", decoded, digits={"decoded": 2}))


def _arcs(run: Run, config: StoryArc, read: Read, proper: StoryReadings, tested: StoryReadings) -> None:
    from unweave.corpora.stories import ARCS, vader_valence
    from unweave.record.table import Table
    from unweave.shapes.stories.arc_recognition import recognise_by_path, recognise_by_template

    def by_template(values: np.ndarray, readings: StoryReadings) -> Recognition:
        return recognise_by_template(
            values,
            readings.story,
            _arc_names(readings),
            readings.topic,
            max(config.permutations, 999),
            config.seed,
        )

    ways: dict[str, tuple[StoryReadings, Recognition]] = {}
    ways["gold"] = tested, by_template(tested.gold_valence, tested)
    for name in tested.valence:
        ways[name] = tested, by_template(tested.valence[name], tested)
    ways[VADER] = tested, by_template(vader_valence(tested.texts), tested)
    decoded = _decoded(run)
    ways[DECODED] = proper, by_template(decoded, proper)
    ways[PATH] = (
        proper,
        recognise_by_path(
            proper.states,
            proper.story,
            proper.topic,
            _arc_names(proper),
            shuffles=config.permutations,
            seed=config.seed,
            progress=run.progress,
        ),
    )
    meanings = {
        "gold": "template, the gold itself",
        DECODED: "template, valence decoded by probes of other topics",
        PATH: "learnt on other topics' paths through the states",
    }
    rows, arcs, confusion = [], [], []
    for way, (readings, found) in ways.items():
        rows.append(
            {
                "way": way,
                "how": meanings.get(way, "template, valence as read"),
                "stories": len(found.actual),
                "accuracy": found.accuracy.mean,
                "low": found.accuracy.low,
                "high": found.accuracy.high,
                "chance": found.chance,
                "p": found.p,
            }
        )
        for number, actual, recognised in zip(found.stories, found.actual, found.recognised, strict=True):
            told = readings.stories[int(number)]
            arcs.append(
                {"way": way, "story": told.id, "topic": told.topic, "arc": actual, "recognised": recognised or "none"}
            )
        confusion += [
            {"way": way, "arc": actual, "recognised": recognised, "stories": int(found.confusion[row, column])}
            for row, actual in enumerate(ARCS)
            for column, recognised in enumerate(ARCS)
        ]
    digits = {"accuracy": 3, "low": 3, "high": 3, "chance": 3, "p": 4}
    run.save_table(
        Table.from_records(
            "recognition",
            rows,
            digits=digits,
            caption="Stories whose arc was told rightly, with Wilson's interval; chance is the mean of a null that "
            "deals arcs to the stories of each topic and repeats every choice.",
        )
    )
    run.save_table(Table.from_records("arcs", arcs))
    run.save_table(Table.from_records("confusion", confusion))


def _order(run: Run, config: StoryArc, read: Read) -> None:
    from unweave.corpora.stories import vader_valence
    from unweave.record.table import Table
    from unweave.shapes.stories.order import ShuffledReading, order_effect, shuffled_order

    tested, every = read.tested(config), read.readings
    known = {story.id: number for number, story in enumerate(every.stories)}
    copies: dict[str, list[int]] = {}
    for number, story in enumerate(every.stories):
        if story.kind == "shuffled" and story.source_id is not None:
            copies.setdefault(story.source_id, []).append(number)
    stories = [story for story in tested.stories if story.id in copies and story.arc is not None]
    rows: list[dict[str, Any]] = []
    sources = {config.readouts[0]: every.valence[config.readouts[0]], VADER: vader_valence(every.texts)}
    for source, values in sources.items() if len(stories) > 1 else ():
        found = order_effect(
            [values[every.rows(known[story.id])] for story in stories],
            [
                [
                    ShuffledReading(values[every.rows(copy)], shuffled_order(story, every.stories[copy]))
                    for copy in copies[story.id]
                ]
                for story in stories
            ],
            [str(story.arc) for story in stories],
            config.seed,
        )
        for measure, pair in (("fit to its own arc", found.fit), ("roughness", found.roughness)):
            rows.append({"readout": source, "measure": measure, "stories": len(stories), **_of_pair(pair)})
        for measure, interval in (("another arc", found.changed), ("moved", found.moved)):
            shown = {"value": interval.mean, "low": interval.low, "high": interval.high}
            rows.append({"readout": source, "measure": measure, "stories": len(stories), **shown})
    columns = ("readout", "measure", "stories", "original", "value", "low", "high", "difference", "p")
    run.save_table(
        Table.from_records(
            "order",
            rows,
            columns,
            digits={"original": 3, "value": 3, "low": 3, "high": 3, "difference": 3, "p": 4},
            caption="Stories read with their sentences in another order; value and its interval are of the shuffled. "
            "Moved: how far a sentence's value goes with its place, 0 for a reader who takes sentences one by one.",
        )
    )


def _of_pair(pair: Paired) -> dict[str, float]:
    return {
        "original": pair.original.mean,
        "value": pair.shuffled.mean,
        "low": pair.shuffled.low,
        "high": pair.shuffled.high,
        "difference": pair.shuffled.mean - pair.original.mean,
        "p": pair.test.p,
    }


def _decoded(run: Run) -> np.ndarray:
    import numpy as np

    return np.array(run.load_table("decoded").column("decoded"), np.float64)


def _arc_names(readings: StoryReadings) -> list[str]:
    return [str(readings.stories[number].arc) for number in readings.story]
