"""What live views look at: one harvest with its labels, and the target and dictionary that it was made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.decompose.decomposition import Decomposition, bundled, bundled_names
from unweave.read.directions import Directions
from unweave.read.feature_labels import FeatureLabels
from unweave.read.feature_table import FeatureTable
from unweave.read.harvest.store import found_source, read_facts
from unweave.read.opened_subject import OpenedSubject, find_target, without_folders
from unweave.read.search import SearchIndex
from unweave.read.view_models import PlaceAnswer

if TYPE_CHECKING:
    from unweave.models.target import Target
    from unweave.read.features import Dictionary
    from unweave.read.harvest.store import HarvestFacts
    from unweave.read.harvest.value import Harvest

SUBCOMPONENTS = "subcomponents"


@dataclass(frozen=True)
class SubjectSummary:
    """What a list of subjects shows of one."""

    id: str
    title: str
    target: str
    kind: str
    features: int


class Subject(OpenedSubject):
    """A harvest's folder, opened. The harvest, labels, target and dictionary are loaded when first asked for."""

    def __init__(self, folder: Path, facts: HarvestFacts, device: str | None = None) -> None:
        self.folder, self.facts = Path(folder), facts
        super().__init__(self.folder, facts.target_name, f"the harvest in {self.folder}", "harvest again", device)

    @property
    def title(self) -> str:
        return f"{without_folders(self.facts.dictionary_name)} on {self.target_title}"

    def summary(self) -> SubjectSummary:
        facts = self.facts
        return SubjectSummary(self.id, self.title, self.target_title, facts.kind, sum(facts.groups.values()))

    @property
    def harvest(self) -> Harvest:
        return self.kept("harvest", self._load_harvest)

    @property
    def labels(self) -> FeatureLabels:
        """The labels beside the harvest now; without any, every feature has an empty one."""
        return self.kept("labels", self._load_labels, FeatureLabels.stamp(self.folder))

    @property
    def table(self) -> FeatureTable:
        make, stamp = lambda: FeatureTable(self.harvest, self.labels), FeatureLabels.stamp(self.folder)
        return self.kept("table", make, stamp)

    @property
    def index(self) -> SearchIndex:
        make, stamp = lambda: SearchIndex(self.table, lambda: self.directions), FeatureLabels.stamp(self.folder)
        return self.kept("index", make, stamp)

    @property
    def directions(self) -> Directions:
        return self.kept("directions", self._load_directions)

    def places(self, group: str) -> tuple[PlaceAnswer, PlaceAnswer]:
        """Where a group's features read and write."""
        if self.facts.kind == SUBCOMPONENTS:
            pieces = self.decomposition.site(group)
            return (
                PlaceAnswer(module=group, side="input", width=pieces.V.shape[0]),
                PlaceAnswer(module=group, side="output", width=pieces.U.shape[1]),
            )
        features = self.dictionary.groups[group]
        reads, writes = (
            PlaceAnswer(module=place.module, side=place.side, width=place.width)
            for place in (features.reads, features.writes)
        )
        return reads, writes

    @contextmanager
    def running(self, with_edits: bool = False) -> Iterator[list[str]]:
        """Holds the target for one view; with ``with_edits`` the active edits are applied inside the block.

        Yields the names of the edits that are. The weights are restored bit for bit before any other view runs.
        """
        with self.lock:
            if not with_edits or _EDITOR is None:
                yield []
                return
            with _EDITOR(self) as names:
                yield names

    def unavailable(self) -> str:
        """Why the target or the dictionary cannot be opened, as far as that shows without loading; else empty."""
        try:
            self._find_target()
            self._find_dictionary()
        except UnweaveError as error:
            return str(error)
        return ""

    @property
    def _target_source(self) -> str:
        return found_source(self.facts.target_source, self.folder)

    @property
    def _dictionary_source(self) -> str:
        return found_source(self.facts.dictionary_source, self.folder)

    def _load_harvest(self) -> Harvest:
        from unweave.read.harvest.value import Harvest

        return Harvest.load(self.folder)

    def _load_labels(self) -> FeatureLabels:
        return FeatureLabels.load(self.folder, self.harvest)

    def _load_target(self) -> Target:
        return self._target_at(self._find_target(), self.facts.target, self.facts.dtype)

    @property
    def decomposition(self) -> Decomposition:
        """The subcomponents of a harvest of that kind, without their target, which takes longer to load."""
        return self.kept("decomposition", self._load_decomposition)

    def _load_decomposition(self) -> Decomposition:
        decomposition = Decomposition.load(self._find_dictionary())
        self._check_dictionary(decomposition.digest())
        return decomposition

    def _load_dictionary(self) -> Dictionary:
        from unweave.read.features import subcomponent_dictionary

        if self.facts.kind == SUBCOMPONENTS:
            return subcomponent_dictionary(self.decomposition, self.target, self.facts.dictionary_name)
        from unweave.read.dictionaries import load_dictionary

        dictionary = load_dictionary(self._dictionary_source, self.target)
        self._check_dictionary(dictionary.digest)
        return dictionary

    def _check_dictionary(self, digest: str) -> None:
        self._check("dictionary", self.facts.dictionary_source, digest, self.facts.dictionary)

    def _load_directions(self) -> Directions:
        if self.facts.kind == SUBCOMPONENTS:
            sites = self.decomposition.sites.values()
            return Directions([(pieces.V.T, pieces.U) for pieces in sites], signed=False)
        groups = self.dictionary.groups.values()
        return Directions([(each.read_directions(), each.write_directions()) for each in groups], signed=True)

    def _find_target(self) -> str:
        return find_target(self._target_source, "harvest")

    def _find_dictionary(self) -> Path:
        source = self._dictionary_source
        # A path is remembered as one, so that a bare name is never a folder that happens to be called so.
        folder = bundled(source) if source in bundled_names() else Path(source)
        if not folder.exists():
            raise UnweaveError(f"the harvest's dictionary {source} is not there: start where it can be found")
        return folder


Editor = Callable[[Subject], AbstractContextManager[list[str]]]
_EDITOR: Editor | None = None


def edited_by(editor: Editor) -> None:
    """Registers what applies a subject's active edits inside a block; the edit room does when it is imported."""
    global _EDITOR
    _EDITOR = editor


def open_subject(folder: Path | str, device: str | None = None) -> Subject:
    """Opens a harvest's folder without loading more than ``harvest.json``; raises ``UnweaveError`` for any other."""
    folder = Path(folder)
    facts, _ = read_facts(folder)
    return Subject(folder, facts, device)
