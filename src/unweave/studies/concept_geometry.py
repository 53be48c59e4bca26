"""Which shapes do the values of concepts have in a model's states, and are they the known ones?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unweave.base.errors import UnweaveError
from unweave.base.progress import Silent
from unweave.shapes.concepts.names import BUNDLED as CONCEPTS
from unweave.studies.concept_inquiry import INQUIRY
from unweave.studies.concept_needs import concept_needs
from unweave.studies.registry import study

if TYPE_CHECKING:
    from unweave.models.target import Target
    from unweave.record.run import Run
    from unweave.shapes.concepts.shape import ConceptShape
    from unweave.shapes.concepts.units import CarriedConcept


@dataclass(frozen=True, kw_only=True)
class ConceptGeometry:
    """Read a target's states at the labels of concepts in templates, and test their shape on templates of their own."""

    target: str = "smollm2"
    """A name, a Hugging Face folder or id, or a GGUF file."""
    concepts: tuple[str, ...] = CONCEPTS
    """Bundled concepts by name, and TOML or JSON files of your own."""
    templates: Path | None = None
    """A text file with a template a line, each ending in {}, in place of the ones of the concepts."""
    layers: tuple[int, ...] | None = None
    """Depths that are read: l is the stream that enters block l. All by default."""
    seeds: int = 3
    """Splits of the templates into those to fit on, to choose the layer by, and to test on."""
    first_seed: int = 0
    shuffles: int = 999
    """Orders of the values that every r is held against."""
    surrogates: int = 99
    """Clouds without a shape that every other score is held against."""
    dealt: bool = False
    """A null run: what is known of the values is dealt to the labels anew for each split, so that no r is found."""
    dictionary: str | None = None
    """A decomposition or sparse autoencoder whose units are grouped by firing together: a folder, or a bundled name."""
    device: str | None = None
    """cpu, cuda or mps; the best there is by default."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    def __post_init__(self) -> None:
        if not self.concepts:
            raise UnweaveError(f"no concept is named: give some of {', '.join(CONCEPTS)}, or a file")
        if len(set(self.concepts)) < len(self.concepts):
            raise UnweaveError(f"concepts is {', '.join(self.concepts)}: give each once")
        if self.seeds < 1 or self.first_seed < 0:
            raise UnweaveError(f"{self.seeds} seeds from {self.first_seed}: give 1 or more, from 0 or more")
        for name in ("shuffles", "surrogates"):
            if getattr(self, name) < 19:
                raise UnweaveError(f"{name} is {getattr(self, name)}: 19 are needed for a p of 0.05")
        if self.layers is not None and (not self.layers or len(set(self.layers)) < len(self.layers)):
            raise UnweaveError(f"layers is {self.layers}: give one depth or more, each once")
        if self.dealt and self.dictionary is not None:
            raise UnweaveError(
                f"dealt is set, and dictionary is {self.dictionary!r}: what units carry does not use what is known of "
                "the values, so that nothing of it would be null; leave one of them out"
            )

    @property
    def splits(self) -> list[int]:
        """The seeds."""
        return list(range(self.first_seed, self.first_seed + self.seeds))


@dataclass(frozen=True)
class ConceptShapes:
    """The study's typed result: a shape for each concept and split, what groups of units carry, and the report."""

    shapes: tuple[ConceptShape, ...]
    carried: tuple[CarriedConcept, ...]
    report: str | None = None


@study(
    "concept-geometry",
    "Which shapes do the values of concepts have in a model's states, and are they the known ones?",
    ConceptGeometry,
    needs=concept_needs,
    inquiry=INQUIRY,
)
def concept_geometry(config: ConceptGeometry, run: Run | None = None, target: Target | None = None) -> ConceptShapes:
    """Reads each concept once, then tests its shape by every split of its templates.

    With a run, each concept's splits are kept as they end, and a repeated call goes on. ``target`` is a loaded one;
    then ``config.target`` is only its name. Raises ``UnweaveError`` for concepts that cannot be read.
    """
    from unweave.studies.concept_reading import open_concepts, open_dictionary, read_carried, read_shapes
    from unweave.studies.concept_report import write_concepts

    progress = run.progress if run is not None else Silent()
    concepts = open_concepts(config)
    if run is not None:
        run.use_seeds(config.splits)
    if target is None:
        from unweave.models.load import load_target

        target = load_target(config.target, device=config.device, dtype=config.dtype, progress=progress)
    if run is not None:
        run.identify("target", target.name, target.identity.digest)
        for concept in concepts:
            run.identify("data", concept.name, concept.digest)
    dictionary = open_dictionary(config, target, run, progress)
    found = read_shapes(config, concepts, target, run, progress)
    carried = read_carried(config, concepts, target, found, dictionary, run, progress)
    report = None
    if run is not None:
        report = str(write_concepts(run, config, concepts, found, carried))
    return ConceptShapes(tuple(each.shape for each in found), tuple(carried), report)
