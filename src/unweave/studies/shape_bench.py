"""The trainings of a sweep over doses: one dataset, one behaviour, one way of shaping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from unweave.corpora.pairs.value import PreferencePair
    from unweave.models.target import Target
    from unweave.preferences.shaping.setting import Setting
    from unweave.preferences.shaping.sweep import DoseOutcome
    from unweave.preferences.truth.answers import Answered
    from unweave.preferences.truth.bench import TruthBench
    from unweave.studies.shape_preferences import ShapePreferences

NEEDS_DIRECTION = ("steering",)
NEEDS_PROBE = ("token-mask",)


@dataclass(frozen=True)
class ShapeTraining:
    """One training: what came of it, how much was trained on, and which rows were left out and why."""

    seed: int
    outcome: DoseOutcome
    rows: int
    removed: tuple[int, ...]
    reasons: tuple[str, ...]
    note: str
    seconds: float
    tokens: int


@dataclass(frozen=True)
class ShapeBench:
    """What all trainings of a sweep share."""

    config: ShapePreferences
    bench: TruthBench
    setting: Setting
    held_out: tuple[PreferencePair, ...]
    names: tuple[str, ...]
    """The behaviours, in the order of an outcome's columns."""
    before: np.ndarray
    """Each behaviour of each reply before training."""
    groups: np.ndarray
    spread: np.ndarray
    facts: dict[str, float]
    """What is known of the direction or probe that the shaping uses."""

    def training(self, dose: float, seed: int) -> ShapeTraining:
        """The training at a dose, or at none for 0, with everything that was measured of it."""
        from unweave.preferences.shaping.registry import shape
        from unweave.preferences.shaping.setting import Shaped
        from unweave.preferences.shaping.sweep import DoseOutcome
        from unweave.preferences.truth.answers import question_numbers
        from unweave.preferences.truth.observed import observe

        shaped = shape(self.config.method, self.setting, dose) if dose else Shaped(list(self.setting.rows))
        # Unshaped trainings are the same whatever the method.
        name = f"{self.config.method}-{dose:g}-{seed}" if dose else f"unshaped-{seed}"
        found = self.bench.outcome(name, shaped.rows, seed, self.held_out, shaped.policy, shaped.note)
        values = behaviour_values(found.after)
        observed = observe(
            self.names, self.before, self.groups, values, question_numbers(found.after), self.spread, seed
        )
        return ShapeTraining(
            seed,
            DoseOutcome(dose, observed.change, observed.low, observed.high, found.accuracy, found.perplexity),
            len(shaped.rows),
            shaped.removed,
            shaped.reasons,
            shaped.note,
            found.seconds,
            found.tokens,
        )


def open_shape_bench(
    config: ShapePreferences,
    folder: Path,
    target: Target | None,
    progress: Progress,
    stop: Callable[[], None] | None,
) -> ShapeBench:
    """Reads the data, holds prompts out, and measures what the shaping needs, all before any training."""
    from unweave.base.device import prefer_fast_float32
    from unweave.corpora.pairs import open_pairs
    from unweave.models.load import load_target
    from unweave.preferences.behaviours.registry import all_behaviours
    from unweave.preferences.evidence import spread_of
    from unweave.preferences.held_out import SHARE, draw_questions, is_held_out
    from unweave.preferences.shaping.direction import find_direction
    from unweave.preferences.shaping.scores import behaviour_scores
    from unweave.preferences.shaping.setting import Setting
    from unweave.preferences.shaping.token_probe import fit_token_probe
    from unweave.preferences.truth.answers import answer_questions, question_numbers
    from unweave.preferences.truth.bench import Sampling
    from unweave.studies.preference_bench import bench_of

    pairs = list(open_pairs(config.data, config.split))
    held_out = tuple(pair for pair in pairs if is_held_out(pair))
    trained_on = tuple(pair for pair in pairs if not is_held_out(pair))
    questions = draw_questions(pairs, config.questions, SHARE)
    if len(questions) < 2 or len(trained_on) < config.batch:
        raise UnweaveError(
            f"{config.data} has {len(pairs)} pairs: {len(trained_on)} to train on and {len(questions)} held-out "
            f"prompts to ask, and {config.batch} and 2 are needed at least"
        )
    prefer_fast_float32()
    target = target or load_target(config.target, device=config.device, dtype=config.dtype)
    folder = folder / "trainings"
    folder.mkdir(parents=True, exist_ok=True)
    before = answer_questions(
        target, questions, folder / "before.jsonl", config.samples, config.most, 1, progress, stop
    )
    bench = bench_of(config, Sampling(config.samples, config.most), target, folder, before, progress, stop)
    names = tuple(all_behaviours())
    values, column = behaviour_values(before), names.index(config.behaviour)
    spread = spread_of(values)
    scores = behaviour_scores(trained_on, config.behaviour)
    shares = scores.shares(float(spread[column]))
    layer = config.layer if config.layer is not None else target.depth // 2
    direction = probe = None
    facts: dict[str, float] = {}
    if config.method in NEEDS_DIRECTION:
        both = find_direction(target, layer, config.behaviour, before, values[:, column], progress=progress)
        direction = both.found
        facts = {"AUROC of the direction": both.found.auroc, "AUROC of a random one": both.control.auroc}
    if config.method in NEEDS_PROBE:
        probe = fit_token_probe(target, layer, config.behaviour, before, progress=progress)
        facts = {"F1 of the probe": probe.f1, "AUROC of the probe": probe.auroc}
    setting = Setting(
        target,
        trained_on,
        tuple(bench.rows(trained_on)),
        config.behaviour,
        -1 if shares.sum() < 0 else 1,
        scores,
        shares,
        config.beta,
        direction,
        probe,
        config.instruction,
        config.fraction,
    )
    return ShapeBench(config, bench, setting, held_out, names, values, question_numbers(before), spread, facts)


def behaviour_values(answers: Sequence[Answered]) -> np.ndarray:
    """Every behaviour of every reply, answer by answer."""
    from unweave.preferences.behaviours.registry import score
    from unweave.preferences.encoding import last_user_turn

    return score(
        [reply.text for answered in answers for reply in answered.replies],
        [last_user_turn(answered.question.turns) for answered in answers for _ in answered.replies],
    )
