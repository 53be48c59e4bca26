"""Trainings that prove a trace: on all rows, without those that push a column most, without as many at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from unweave.corpora.pairs.value import PreferencePair
    from unweave.preferences.truth.bench import Outcome, TruthBench
    from unweave.record.run import Run
    from unweave.record.table import Table
    from unweave.studies.preference_forecast import Forecast
    from unweave.studies.preference_reading import PreferenceReading
    from unweave.studies.trace_preferences import TracePreferences

ALL, TOP, RANDOM = "all", "top", "random"
MOST_HELD_OUT = 200
"""Held-out pairs on which a training's accuracy is measured."""


@dataclass(frozen=True)
class Arm:
    """What is left out: ``removed`` (k,) of the traced rows, by seed."""

    order: str
    fraction: float
    removed: dict[int, np.ndarray] = field(repr=False)

    @property
    def name(self) -> str:
        if self.order == ALL:
            return "all rows"
        return f"without {'the top' if self.order == TOP else 'a random'} {100 * self.fraction:g} %"

    def training(self, seed: int) -> str:
        """The name of the training with a seed."""
        return f"{self.order}-{seed}" if self.order == ALL else f"{self.order}-{self.fraction:g}-{seed}"


@dataclass(frozen=True)
class Retrained:
    """The trainings one by one, and each arm over its seeds."""

    retrainings: Table
    undoing: Table
    questions: int
    training_pairs: int


def arms_of(forecast: Forecast, column: str, fractions: Sequence[float], seeds: Sequence[int]) -> list[Arm]:
    """All rows first; then for each fraction its strongest rows, and for each seed as many drawn at random."""
    import numpy as np

    from unweave.preferences.trace import rows_to_remove

    count = len(forecast.leading.shares)
    arms = [Arm(ALL, 0.0, {seed: np.zeros(0, np.int64) for seed in seeds})]
    for fraction in fractions:
        top = rows_to_remove(forecast.leading, [column], fraction)
        if not 0 < len(top) < count:
            raise UnweaveError(f"{len(top)} of {count} rows would be left out for {column!r}: choose another fraction")
        drawn = {
            seed: np.sort(numpy_generator(seed, "random rows", fraction).choice(count, len(top), replace=False))
            for seed in seeds
        }
        arms += [Arm(TOP, fraction, dict.fromkeys(seeds, top)), Arm(RANDOM, fraction, drawn)]
    return arms


def retrain(
    config: TracePreferences,
    reading: PreferenceReading,
    forecast: Forecast,
    column: str,
    kept: np.ndarray,
    folder: Path,
    run: Run | None,
) -> Retrained:
    """Trains every arm with every seed; ``kept`` are the rows that may be trained on, those that were traced."""
    import numpy as np

    from unweave.preferences.truth.observed import observe
    from unweave.preferences.undoing import prompt_changes

    inside = set(kept.tolist())
    pairs: list[PreferencePair] = []
    held_out: list[PreferencePair] = []
    for row, pair in enumerate(reading.source):
        if row in inside:
            pairs.append(pair)
        elif len(held_out) < MOST_HELD_OUT:
            held_out.append(pair)
    bench = _bench(config, reading, folder, run)
    rows = bench.rows(pairs)
    members = reading.clusters.members if reading.clusters is not None else ()
    # The answers that a training is held against come first in those that the target gave before.
    asked = len(bench.before)
    index, replies = forecast.column(column), sum(len(each.replies) for each in bench.before)
    before = reading.evidence.reference.values[:replies, index]
    groups = reading.evidence.reference_groups[:replies]
    spread = reading.evidence.spread[index]
    arms = arms_of(forecast, column, config.fractions, config.training_seeds)
    moved: dict[tuple[str, int], np.ndarray] = {}
    facts: list[tuple[Arm, int, Outcome, Any]] = []
    for seed in config.training_seeds:
        for arm in arms:
            gone = set(arm.removed[seed].tolist())
            name = arm.training(seed)
            outcome = bench.outcome(name, [row for at, row in enumerate(rows) if at not in gone], seed, held_out)
            after = reading.survey.own(name, outcome.after)
            values = after.replies("reply", members).values[:, index]
            moved[arm.name, seed] = prompt_changes(before, groups, values, after.groups, spread)
            seen = observe(
                (column,), before[:, None], groups, values[:, None], after.groups, np.array([spread], np.float32)
            )
            facts.append((arm, seed, outcome, seen))
            bench.progress.say(
                f"{arm.name}, seed {seed}: {column} {float(seen.change[0]):+.3f}, held-out accuracy "
                f"{outcome.accuracy.mean:.3f}, {outcome.seconds:.0f} s"
            )
            if run is not None:
                run.stop_if_cancelled()
    return Retrained(_retrainings(facts, moved), _undoing(arms, config.training_seeds, moved), asked, len(pairs))


def _bench(config: TracePreferences, reading: PreferenceReading, folder: Path, run: Run | None) -> TruthBench:
    from unweave.preferences.held_out import SHARE, draw_questions
    from unweave.preferences.truth.bench import Sampling
    from unweave.studies.preference_bench import bench_of

    wanted = {question.turns for question in draw_questions(reading.source, config.questions, SHARE)}
    before = [each for each in reading.survey.answers if each.question.turns in wanted]
    if len(before) < 2:
        raise UnweaveError(
            f"{config.data} has {len(before)} of its prompts among the held-out {SHARE:.0%}, and a change needs 2 or "
            "more to be seen on: give data with more prompts"
        )
    stop = run.stop_if_cancelled if run is not None else None
    sampling = Sampling(config.samples, config.most)
    return bench_of(config, sampling, reading.target, folder / "trainings", before, reading.survey.progress, stop)


def _retrainings(facts: Sequence[tuple[Arm, int, Outcome, Any]], moved: dict[tuple[str, int], np.ndarray]) -> Table:
    import numpy as np

    from unweave.record.table import Table

    arm_all = next(arm.name for arm, *_ in facts if arm.order == ALL)
    full = float(np.mean([each for (name, _), each in moved.items() if name == arm_all]))
    rows = []
    for arm, seed, outcome, seen in facts:
        missing = float(moved[arm_all, seed].mean() - moved[arm.name, seed].mean())
        rows.append(
            {
                "training": arm.name,
                "order": arm.order,
                "removed": arm.fraction,
                "seed": seed,
                "rows left out": len(arm.removed[seed]),
                "change": float(moved[arm.name, seed].mean()),
                "low": float(seen.low[0]),
                "high": float(seen.high[0]),
                "reliability": float(seen.reliability[0]),
                "undone": missing / full if full else None,
                "accuracy": outcome.accuracy.mean,
                "margin": outcome.margin.mean,
                "perplexity": outcome.perplexity,
                "tokens": outcome.tokens,
                "seconds": outcome.seconds,
            }
        )
    return Table.from_records(
        "retrainings",
        rows,
        units={"change": "spreads", "margin": "nats", "tokens": "tokens", "seconds": "s"},
        digits={"change": 3, "undone": 2, "accuracy": 3, "margin": 2, "perplexity": 2, "reliability": 2},
        caption="Every training: the column's observed change on held-out prompts with its interval over prompts, and "
        "how much less that is than training on all rows with the same seed did, as a share of the mean change of all "
        "rows. Accuracy and margin on held-out pairs; perplexity of English prose after training.",
    )


def _undoing(arms: Sequence[Arm], seeds: Sequence[int], moved: dict[tuple[str, int], np.ndarray]) -> Table:
    import numpy as np

    from unweave.preferences.undoing import mean_change, undone_share
    from unweave.record.table import Table

    full = np.stack([moved[arms[0].name, seed] for seed in seeds])
    rows = []
    for arm in arms:
        less = np.stack([moved[arm.name, seed] for seed in seeds])
        change = mean_change(less)
        row: dict[str, Any] = {
            "training": arm.name,
            "order": arm.order,
            "removed": arm.fraction,
            "rows left out": len(arm.removed[seeds[0]]),
            "change": change.mean,
            "low": change.low,
            "high": change.high,
            "undone": None,
            "undone low": None,
            "undone high": None,
        }
        if arm.order != ALL:
            share = undone_share(full, less)
            row |= {"undone": share.mean, "undone low": share.low, "undone high": share.high}
        rows.append(row)
    few = " Fewer than three seeds: no more than a look." if len(seeds) < 3 else ""
    return Table.from_records(
        "undoing",
        rows,
        units={"change": "spreads"},
        digits={"change": 3, "low": 3, "high": 3, "undone": 2, "undone low": 2, "undone high": 2},
        caption=f"Over {len(seeds)} seeds: the observed change, and the share of the change of training on all rows "
        "that is undone; intervals draw seeds and prompts anew, the same of both trainings." + few,
    )
