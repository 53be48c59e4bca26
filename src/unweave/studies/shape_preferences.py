"""How can what a preference dataset teaches be stopped or strengthened, and what does that cost?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unweave.base.errors import UnweaveError
from unweave.base.progress import Silent
from unweave.studies.preference_bench import PreferenceTraining
from unweave.studies.registry import study

if TYPE_CHECKING:
    from unweave.models.target import Target
    from unweave.preferences.shaping.sweep import Sweep
    from unweave.record.run import Run


@dataclass(frozen=True, kw_only=True)
class ShapePreferences(PreferenceTraining):
    """Train on a dataset as it is and under several doses of one shaping, and measure the behaviour and all else."""

    data: str = ""
    """A file or folder of preference pairs."""
    behaviour: str = ""
    """The registered behaviour whose change is to be shaped."""
    split: str | None = None
    """The split to read where there are several."""
    method: str = "reward-shaping"
    """How: reward-shaping, row-filter, token-mask, steering or inoculation."""
    doses: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Doses beside 0; positive ones let less of the change be learnt."""
    seeds: int = 3
    """Trainings at every dose."""
    target: str = "pupil"
    """A name, a Hugging Face folder or id, or a GGUF file; it must answer in a chat."""
    questions: int = 112
    """Held-out prompts of the data that are answered before and after each training."""
    samples: int = 8
    """Replies to each."""
    most: int = 48
    """Tokens of a reply."""
    fraction: float = 0.1
    """Share of the rows that steering reaches."""
    instruction: str | None = None
    """What inoculated prompts ask for; by default the sentence that is known for the behaviour."""
    layer: int | None = None
    """The block whose input is steered or probed; the middle one by default."""
    device: str | None = None
    """cpu, cuda or mps; the best there is by default."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    def __post_init__(self) -> None:
        self.check_training("questions", "samples", "most")
        if not self.doses or 0 in self.doses:
            raise UnweaveError(f"doses is {self.doses}: give at least one, and not 0, which is trained in any case")
        if len(set(self.doses)) < len(self.doses):
            raise UnweaveError(f"doses is {self.doses}: give each once")


@dataclass(frozen=True)
class ShapedPreferences:
    """The study's typed result: what each dose left of the change, and where the report is."""

    behaviour: str
    method: str
    sweep: Sweep
    report: str | None = None


@study(
    "shape-preferences",
    "How can what a preference dataset teaches be stopped or strengthened, and at what cost?",
    ShapePreferences,
)
def shape_preferences(
    config: ShapePreferences, run: Run | None = None, target: Target | None = None
) -> ShapedPreferences:
    """Trains at dose 0 and at every dose with every seed, on the pairs whose prompts are not held out.

    With a run, every training is kept as it ends and a repeated call goes on; without one all of it goes to a temporary
    folder. ``target`` is a loaded one; then ``config.target`` is only its name. Raises ``UnweaveError`` where data or
    behaviour are missing, and where the method is not known.
    """
    import tempfile

    from unweave.preferences.behaviours.registry import find_behaviours
    from unweave.preferences.shaping.registry import find_shaping

    for name in ("data", "behaviour"):
        if not getattr(config, name):
            raise UnweaveError(f"no {name} is given: --set {name}=...")
    find_behaviours([config.behaviour])
    find_shaping(config.method)
    if run is not None:
        run.use_seeds(config.training_seeds)
        return _swept(config, run.path, run, target)
    with tempfile.TemporaryDirectory() as folder:
        return _swept(config, Path(folder), None, target)


def _swept(config: ShapePreferences, folder: Path, run: Run | None, target: Target | None) -> ShapedPreferences:
    from unweave.preferences.shaping.sweep import assemble_sweep
    from unweave.studies.shape_bench import open_shape_bench
    from unweave.studies.shape_report import write_shaping

    progress = run.progress if run is not None else Silent()
    bench = open_shape_bench(config, folder, target, progress, run.stop_if_cancelled if run is not None else None)
    column = bench.names.index(config.behaviour)
    trainings = []
    for seed in config.training_seeds:
        for dose in (0.0, *config.doses):
            found = bench.training(dose, seed)
            outcome = found.outcome
            progress.say(
                f"{config.method} at {dose:g}, seed {seed}: {config.behaviour} {outcome.change[column]:+.3f} "
                f"[{outcome.low[column]:+.3f}, {outcome.high[column]:+.3f}], accuracy {outcome.accuracy.mean:.3f}, "
                f"perplexity {outcome.perplexity:.2f}"
            )
            trainings.append(found)
    sweep = assemble_sweep(bench.names, config.behaviour, [each.outcome for each in trainings])
    report = str(write_shaping(run, config, bench, trainings, sweep)) if run is not None else None
    return ShapedPreferences(config.behaviour, config.method, sweep, report)
