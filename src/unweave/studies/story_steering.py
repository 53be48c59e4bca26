"""The steering part of ``story-arc``: feelings pushed into the target, what else moves, and what random pushes do."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from unweave.studies.story_entanglement import save_entanglement
from unweave.studies.story_reading import calibrates
from unweave.studies.story_tables import TESTED, part_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from unweave.corpora.stories import Story
    from unweave.record.run import Run
    from unweave.shapes.stories.readings import StoryReadings
    from unweave.shapes.stories.steering import SteeredAnswers, Steering
    from unweave.shapes.stories.text import Text
    from unweave.studies.story_arc import StoryArc
    from unweave.studies.story_reading import Read

CELLS = "steered"
DIFFERENCE, PROBE, RANDOM = "difference", "probe", "random"
NEUTRAL_TEXTS = 3
MIDDLE = 19 / 30
"""Where the span's middle lies: 19 of 30 blocks is where differences of means persisted in the pilot."""


def steered_layers(config: StoryArc, readings: StoryReadings) -> tuple[int, ...]:
    """Consecutive depths that were read, around ``MIDDLE`` of the deepest."""
    known = list(readings.layers)
    middle = min(range(len(known)), key=lambda at: abs(known[at] - MIDDLE * known[-1]))
    first = max(0, min(middle - config.span // 2, len(known) - config.span))
    return tuple(known[first : first + config.span])


def steer(run: Run, config: StoryArc, read: Read) -> None:
    """Measures every dose of every direction on tested stories, each kept as it ends, and saves the tables.

    Directions come from the stories that readouts are calibrated on, never from those they are measured on.
    """
    from unweave.corpora.stories import EMOTIONS, bundled_stories
    from unweave.shapes.stories.steering import FEELINGS, VALENCE, fit_steering, random_steering
    from unweave.shapes.stories.text import read_story

    taught = read.readings.pick(lambda story: calibrates(story, config))
    layers = steered_layers(config, read.readings)
    tested = [story for story in read.readings.stories if part_of(story, config) == TESTED]
    chosen = stories_to_steer(tested, config.steered)
    texts = [read_story(read.target, story, config.window) for story in chosen]
    spare = [story for story in bundled_stories("neutral") if story.topic not in config.calibration][:NEUTRAL_TEXTS]
    neutral = [read_story(read.target, story, config.window) for story in spare]
    arms = {(DIFFERENCE, name, 0): fit_steering(taught, name, layers) for name in FEELINGS}
    arms[PROBE, VALENCE, 0] = fit_steering(taught, VALENCE, layers, "probe")
    for seed in range(config.seed, config.seed + config.random_vectors):
        arms[RANDOM, VALENCE, seed] = random_steering(arms[DIFFERENCE, VALENCE, 0], seed)
    found: dict[tuple[str, str, int], dict[float, SteeredAnswers]] = {}
    plain = _measured(run, config, read, texts, neutral, arms[DIFFERENCE, VALENCE, 0], 0.0, "none")
    for done, (arm, steering) in enumerate(arms.items()):
        way, name, seed = arm
        found[arm] = {0.0: plain}
        for dose in (min(config.doses), max(config.doses)) if way == RANDOM else config.doses:
            key = f"{way}/{name}/{seed}/{dose:g}"
            found[arm][dose] = _measured(run, config, read, texts, neutral, steering, dose, key)
        run.progress.update(done + 1, len(arms), "directions steered")
    _save_doses(run, config, found, layers, len(chosen))
    _save_scores(run, config, found)
    spill = _save_off_target(run, config, found)
    directions = {name: arms[DIFFERENCE, name, 0] for name in EMOTIONS}
    save_entanglement(run, config, spill, directions, read.tested(config), {story.id for story in chosen})


def stories_to_steer(stories: Sequence[Story], count: int) -> list[Story]:
    """So many stories, in their order: one of each arc in turn, of the topic that has the fewest yet."""
    left, chosen, topics = list(stories), [], Counter()
    while left and len(chosen) < count:
        for arc in dict.fromkeys(story.arc for story in left):
            if len(chosen) == count:
                break
            story = min((each for each in left if each.arc == arc), key=lambda each: topics[each.topic])
            left.remove(story)
            chosen.append(story)
            topics[story.topic] += 1
    return [story for story in stories if story in chosen]


def _measured(
    run: Run,
    config: StoryArc,
    read: Read,
    texts: list[Text],
    neutral: list[Text],
    steering: Steering,
    dose: float,
    key: str,
) -> SteeredAnswers:
    import numpy as np

    from unweave.shapes.stories.steering import SteeredAnswers, steered_answers

    known = run.cells(CELLS)
    if key in known:
        row: dict[str, Any] = known[key]
        return SteeredAnswers(np.array(row["emotions"]), np.array(row["valence"]), float(row["perplexity"]))
    run.stop_if_cancelled()
    readout = read.readouts[config.readouts[0]]
    found = steered_answers(read.target, readout, texts, neutral, steering, dose, config.strength)
    kept = {"emotions": found.emotions.tolist(), "valence": found.valence.tolist(), "perplexity": found.perplexity}
    run.put_cell(CELLS, key, kept)
    return found


def _quantity(answers: SteeredAnswers, feeling: str) -> np.ndarray:
    from unweave.corpora.stories import EMOTIONS

    return answers.emotions[:, EMOTIONS.index(feeling)] if feeling in EMOTIONS else answers.valence  # type: ignore[arg-type]


def _slopes(doses: dict[float, SteeredAnswers], feeling: str) -> np.ndarray:
    """Change of a quantity a dose, for each text: the least-squares line through all doses."""
    import numpy as np

    at = np.array(sorted(doses))
    values = np.stack([_quantity(doses[dose], feeling) for dose in at])
    return (at - at.mean()) @ (values - values.mean(0)) / ((at - at.mean()) ** 2).sum()


def _save_doses(
    run: Run,
    config: StoryArc,
    found: dict[tuple[str, str, int], dict[float, SteeredAnswers]],
    layers: tuple[int, ...],
    stories: int,
) -> None:
    from unweave.record.table import Table
    from unweave.stats import mean_interval

    rows = []
    for (way, name, seed), doses in found.items():
        for dose in sorted(doses):
            change = mean_interval(_quantity(doses[dose], name) - _quantity(doses[0.0], name), config.seed)
            rows.append(
                {
                    "way": way,
                    "direction": name if way != RANDOM else f"random {seed}",
                    "seed": seed if way == RANDOM else None,
                    "dose": dose,
                    "change": change.mean,
                    "low": change.low,
                    "high": change.high,
                    "valence": float((doses[dose].valence - doses[0.0].valence).mean()),
                    "perplexity": doses[dose].perplexity,
                }
            )
    run.save_table(
        Table.from_records(
            "steering",
            rows,
            digits={"change": 3, "low": 3, "high": 3, "valence": 3, "perplexity": 2},
            caption=f"Added at depths {layers[0]} to {layers[-1]}, a dose of 1 being {config.strength:g} of the "
            f"states' mean norm at each. Change of the steered feeling (of valence for random vectors) over {stories} "
            "tested stories, in the readout's unit before calibration. Perplexity: of neutral texts.",
        )
    )


def _save_scores(run: Run, config: StoryArc, found: dict[tuple[str, str, int], dict[float, SteeredAnswers]]) -> None:
    import math

    import numpy as np

    from unweave.record.table import Table
    from unweave.stats import mean_interval
    from unweave.stats.rank_correlation import rank_correlation

    rows = []
    randoms = [doses for (way, _, _), doses in found.items() if way == RANDOM]
    for (way, name, _), doses in found.items():
        if way == RANDOM:
            continue
        at = sorted(doses)
        slopes = _slopes(doses, name)
        means = [float(_quantity(doses[dose], name).mean()) for dose in at]
        rank = rank_correlation(at, means, config.seed)
        slope = mean_interval(slopes, config.seed)
        chance = np.array([_slopes(each, name).mean() for each in randoms])
        rows.append(
            {
                "direction": name,
                "way": way,
                "rho": rank.rho,
                "p": rank.p,
                "slope": slope.mean,
                "low": slope.low,
                "high": slope.high,
                "random slope": float(chance.mean()),
                "random sd": float(chance.std(ddof=1)) if len(chance) > 1 else None,
                "random largest": float(np.abs(chance).max()),
                "perplexity ratio": max(each.perplexity for each in doses.values()) / doses[0.0].perplexity,
            }
        )
    digits = {name: 3 for name in rows[0] if name not in ("direction", "way", "p")} | {"p": 4}
    run.save_table(
        Table.from_records(
            "steering-scores",
            rows,
            digits=digits,
            caption="Spearman's rho of dose and mean change, its two-sided p over orders of the doses: "
            f"{len(config.doses) + 1} doses cannot bring it below 1/{math.factorial(len(config.doses) + 1) // 2}. "
            "Slope a dose with its interval over stories, beside the slopes of "
            f"{len(randoms)} random vectors of equal norm, which are measured at the least dose, the greatest, and 0.",
        )
    )


def _save_off_target(
    run: Run,
    config: StoryArc,
    found: dict[tuple[str, str, int], dict[float, SteeredAnswers]],
) -> np.ndarray:
    """The table ``off-target``; the change of each emotion (columns) a dose of each emotion's direction (rows)."""
    import numpy as np

    from unweave.corpora.stories import EMOTIONS
    from unweave.record.table import Table
    from unweave.shapes.stories.steering import VALENCE
    from unweave.stats import mean_interval

    rows = []
    spill = np.zeros((len(EMOTIONS), len(EMOTIONS)))
    for name in (VALENCE, *EMOTIONS):
        doses = found[DIFFERENCE, name, 0]
        for column, other in enumerate(EMOTIONS):
            slope = mean_interval(_slopes(doses, other), config.seed)
            if name in EMOTIONS:
                spill[EMOTIONS.index(name), column] = slope.mean  # type: ignore[arg-type]
            rows.append(
                {
                    "direction": name,
                    "emotion": other,
                    "slope": slope.mean,
                    "low": slope.low,
                    "high": slope.high,
                    "steered": name == other,
                }
            )
    run.save_table(
        Table.from_records(
            "off-target",
            rows,
            digits={"slope": 3, "low": 3, "high": 3},
            caption="Change of every emotion a dose of every direction: off the steered one it is what steering costs. "
            "Forced choice takes scores less their mean over emotions, so that there a direction's changes add up to "
            "0 and some others fall where one rises.",
        )
    )
    return spill
