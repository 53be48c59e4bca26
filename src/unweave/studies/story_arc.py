"""How does what a story feels like move through a model, sentence by sentence?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unweave.base.errors import UnweaveError
from unweave.studies.registry import study
from unweave.studies.story_needs import story_needs

if TYPE_CHECKING:
    from unweave.models.target import Target
    from unweave.record.run import Run

BUNDLED = "bundled"


@dataclass(frozen=True, kw_only=True)
class StoryArc:
    """Read stories with a target, ask after every sentence what is felt, and hold states and answers against gold."""

    target: str = "smollm2"
    """A name, a Hugging Face folder or id, or a GGUF file."""
    stories: str = BUNDLED
    """The stories with gold: bundled, or a file in their format."""
    text: str = ""
    """A person's own text or book (.txt, .md), read instead; it needs no gold."""
    novel: str = ""
    """A novel of Jane Austen's, such as northangerabbey, read instead; it needs the extra austen."""
    novels: str = ""
    """The folder of r-cran-janeaustenr; the Debian package's own place by default."""
    sentences: int | None = None
    """How many sentences of a text are read, from its first; all by default."""
    protagonist: str = ""
    """Whose feelings are asked for in a text; the name that it uses most by default."""
    window: int | None = None
    """Sentences of the window that slides over a text; as many as fit the target by default."""
    readouts: tuple[str, ...] = ("forced-choice", "direct")
    """How the target is asked. The first is what all else uses; the others are asked about the tested stories only."""
    controls: tuple[str, ...] = ("shuffled", "neutral", "negated", "sarcastic", "plain")
    """Which control stories are read beside the bundled ones."""
    calibration: tuple[str, ...] = ("cooking", "school")
    """Topics of the bundled stories that readouts are calibrated on, and not tested on."""
    layers: tuple[int, ...] = ()
    """Depths of the stream that are read; all by default."""
    drawn: int | None = None
    """The depth that paths are drawn at; the one nearest two thirds of the deepest that is read by default."""
    permutations: int = 199
    """Orders that make each null."""
    shuffles: int = 1
    """Other orders of its sentences that each story is read in."""
    umap: bool = True
    """Whether neighbourhoods are kept by UMAP is measured too, where it is installed."""
    steering: bool = True
    """Whether emotions are steered, too."""
    span: int = 7
    """Depths that a steering vector is added at."""
    doses: tuple[float, ...] = (-2.0, -1.0, 1.0, 2.0)
    """Strengths beside 0."""
    strength: float = 0.02
    """What a dose of 1 adds at each depth, as a share of the states' mean norm there."""
    steered: int = 8
    """Held-out stories that steering is measured on."""
    random_vectors: int = 5
    """Random vectors that steering is held against."""
    seed: int = 0
    """Of shuffles, intervals, nulls and random vectors."""
    device: str | None = None
    """cpu, cuda or mps; the best there is by default."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    def __post_init__(self) -> None:
        for name in ("permutations", "shuffles", "span", "steered", "random_vectors"):
            if getattr(self, name) < 1:
                raise UnweaveError(f"{name} is {getattr(self, name)}: give 1 or more")
        if self.permutations < 19:
            raise UnweaveError(f"permutations is {self.permutations}: 19 are the fewest that can reach p 0.05")
        if not self.readouts or len(set(self.readouts)) < len(self.readouts):
            raise UnweaveError(f"readouts is {self.readouts}: give at least one, and each once")
        if not self.calibration:
            raise UnweaveError("calibration names no topic: give one or more, such as cooking")
        if list(self.layers) != sorted(set(self.layers)):
            raise UnweaveError(f"layers is {self.layers}: give each depth once, from the lowest up")
        if self.text and self.novel:
            raise UnweaveError(f"text is {self.text!r} and novel {self.novel!r}: give one of them")
        if self.sentences is not None and self.sentences < 4:
            raise UnweaveError(f"sentences is {self.sentences}: an arc needs 4 or more")
        if 0 in self.doses or len(set(self.doses)) < len(self.doses) or len(self.doses) < 2:
            raise UnweaveError(
                f"doses is {self.doses}: give two or more, each once, and not 0, which is measured anyway"
            )

    @property
    def has_text(self) -> bool:
        """Whether a text without gold is read instead of stories."""
        return bool(self.text or self.novel)


@dataclass(frozen=True)
class StoryArcFound:
    """The study's typed result: how each readout agrees with the gold, and where the report is."""

    readout: str
    r: dict[str, float]
    """Pearson's r of valence with the gold over the tested sentences, by readout and for VADER; empty for a text, and
    for a single story."""
    arcs: dict[str, str | None]
    """The arc that the readout's valence is nearest, by story."""
    report: str | None = None


# No inquiry: a run has one seed, which draws orders and intervals and changes no reading, so it has one answer.
@study(
    "story-arc",
    "How does what a story feels like move through a model, sentence by sentence?",
    StoryArc,
    needs=story_needs,
)
def story_arc(config: StoryArc, run: Run | None = None, target: Target | None = None) -> StoryArcFound:
    """Reads, asks, calibrates, decodes, recognises arcs and steers; every part is kept as it ends.

    With a run, a repeated call goes on where it stopped; without one all goes to a temporary folder. ``target`` is a
    loaded one; then ``config.target`` is only its name. Raises ``UnweaveError`` for unknown readouts, controls, topics
    and depths, and for a text that cannot be read.
    """
    import tempfile

    from unweave.record.run import Run as RecordedRun

    if run is not None:
        return _studied(config, run, target)
    with tempfile.TemporaryDirectory() as folder:
        return _studied(config, RecordedRun.create("story-arc", {}, Path(folder)), target)


def _studied(config: StoryArc, run: Run, target: Target | None) -> StoryArcFound:
    from unweave.studies.story_analysis import analyse
    from unweave.studies.story_reading import read_all
    from unweave.studies.story_report import write_stories
    from unweave.studies.story_steering import steer
    from unweave.studies.story_tables import (
        TESTED,
        VALENCE,
        kept,
        own_arcs,
        save_agreement,
        save_paths,
        save_readouts,
        save_sentences,
    )

    run.use_seeds([config.seed])
    read = read_all(config, run, target)
    save_readouts(run, read)
    save_sentences(run, config, read)
    kept(run, ("paths", "axes", "surface"), lambda: save_paths(run, config, read))
    agreed: dict[str, float] = {}
    if not config.has_text:
        kept(run, ("agreement",), lambda: save_agreement(run, config, read))
        analyse(run, config, read)
        if config.steering:
            steer(run, config, read)
        rows = run.load_table("agreement").records()
        agreed = {
            str(row["readout"]): float(str(row["r"]))
            for row in rows
            if row["part"] == TESTED and row["quantity"] == VALENCE and row["r"] is not None
        }
    report = write_stories(run, config, read)
    arcs = own_arcs(read, config.readouts[0])
    return StoryArcFound(config.readouts[0], agreed, arcs, str(report))
