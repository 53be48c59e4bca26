"""Do predictions of what a preference dataset teaches come true when the target is trained on it?"""

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
    from unweave.record.run import Run


@dataclass(frozen=True, kw_only=True)
class ProvePredictions(PreferenceTraining):
    """Make datasets of a target's own replies, predict what they teach, train on each, and compare."""

    target: str = "pupil"
    """A name, a Hugging Face folder or id, or a GGUF file; it must answer in a chat."""
    mixtures: tuple[str, ...] = ("brisk", "learned", "teller", "sunny", "null", "brisk-swapped")
    """Hidden raters, each of whom makes a dataset."""
    seeds: int = 2
    """Seeds of training: every dataset is trained on once with each."""
    control_seeds: int | None = None
    """How many of them for datasets with shuffled or swapped labels; all by default."""
    pairs: int = 320
    """Pairs of each dataset."""
    prompts: int = 420
    """Prompts that the pool of replies answers."""
    replies: int = 4
    """Replies to each of them, of which a rater takes the best and the worst."""
    questions: int = 112
    """Held-out prompts that are answered before and after each training; those of the topics that faults are planted
    in are added."""
    samples: int = 8
    """Replies to each of those."""
    most: int = 48
    """Tokens of a reply."""
    layer: int | None = None
    """The block whose output is read; the middle one by default."""
    features: str = "train"
    """``train`` an SAE on the pool, ``none``, or a folder of an SAE or a decomposition."""
    gradient: bool = True
    """Whether gradients are taken of every pair, for the predictor that needs them."""
    device: str | None = None
    """cpu, cuda or mps; the best there is by default."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    @property
    def control_training_seeds(self) -> list[int]:
        return self.training_seeds[: self.control_seeds]

    def __post_init__(self) -> None:
        if self.control_seeds is not None and self.control_seeds < 1:
            raise UnweaveError(f"control_seeds is {self.control_seeds}, and it must be at least 1")
        self.check_training("pairs", "prompts", "replies", "questions", "samples", "most")
        if self.replies < 2:
            raise UnweaveError(f"replies is {self.replies}, and a rater needs at least 2 to choose from")


@dataclass(frozen=True)
class Proof:
    """The study's typed result: R squared by predictor, pooled, and where the report is."""

    r2: dict[str, float]
    """On cells that can be relied on, with slopes from other datasets; empty for fewer than two true datasets."""
    cells: int
    """How many those are."""
    trainings: int
    report: str | None = None


@study(
    "prove-predictions",
    "Do predictions of what a preference dataset teaches come true in training?",
    ProvePredictions,
)
def prove_predictions(config: ProvePredictions, run: Run | None = None, target: Target | None = None) -> Proof:
    """Makes the datasets, trains on each with every seed, predicts from each without looking, and compares.

    With a run, every training, reading and reply is kept as it ends and a repeated call goes on; without one all of it
    goes to a temporary folder. ``target`` is a loaded one; then ``config.target`` is only its name.
    """
    import tempfile

    if run is not None:
        run.use_seeds(config.training_seeds)
        return _proved(config, run.path, run, target)
    with tempfile.TemporaryDirectory() as folder:
        return _proved(config, Path(folder), None, target)


def _proved(config: ProvePredictions, folder: Path, run: Run | None, target: Target | None) -> Proof:
    from unweave.preferences.made.dataset import held_out_pairs, kept_dataset
    from unweave.preferences.made.mixtures import find_mixture
    from unweave.preferences.survey import Survey, SurveySettings
    from unweave.studies.preference_bench import open_bench
    from unweave.studies.prove_analysis import foresee
    from unweave.studies.prove_report import pooled_r2, score_rows, write_proof

    progress = run.progress if run is not None else Silent()
    stop = run.stop_if_cancelled if run is not None else None
    bench, pool = open_bench(config, folder / "trainings", target, progress, stop)
    trained = []
    for seed in config.training_seeds:
        for mixture in map(find_mixture, config.mixtures):
            name = mixture.name
            if mixture.labels != "true" and seed not in config.control_training_seeds:
                continue
            made = kept_dataset(bench.folder / "datasets", pool, mixture, config.pairs, 0)
            progress.say(f"{name}, seed {seed}: {len(made.pairs)} pairs, {len(made.key.planted)} planted")
            held_out = held_out_pairs(bench.before, mixture, 0)
            outcome = bench.outcome(f"{name}-{seed}", bench.rows(made.pairs), seed, held_out)
            progress.say(
                f"{name}, seed {seed}: held-out accuracy {outcome.accuracy.mean:.3f}, margin "
                f"{outcome.margin.mean:+.2f}, perplexity {outcome.perplexity:.2f}, {outcome.seconds:.0f} s"
            )
            trained.append((made, seed, outcome))
    settings = SurveySettings(layer=config.layer, features=config.features, gradient=config.gradient)
    survey = Survey(bench.target, folder / "survey", bench.before[: config.questions], settings, progress, stop)
    found, _ = foresee(survey, pool, config.questions, trained)
    scores = score_rows(found)
    report = str(write_proof(run, bench, found, scores)) if run is not None else None
    r2, cells = pooled_r2(scores)
    return Proof(r2, cells, len(trained), report)
