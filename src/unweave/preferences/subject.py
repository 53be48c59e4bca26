"""A subject of live views: what a run foresaw of a preference dataset, with its pairs, and target and dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.decompose.decomposition import bundled_names
from unweave.preferences.features.clusters import FeatureClusters
from unweave.preferences.features.facts import FACTS
from unweave.preferences.features.store import PairFeatures
from unweave.preferences.firing_sides import FiringSides
from unweave.preferences.pair_index import PairIndex
from unweave.preferences.prediction_tables import PredictionTables
from unweave.read.opened_subject import OpenedSubject, find_target
from unweave.record.run import Run

if TYPE_CHECKING:
    from unweave.models.target import Target
    from unweave.preferences.highlights import TokenReader
    from unweave.read.features import Dictionary

KIND = "preferences"
SURVEY, CLEANED = "survey", "cleaned.jsonl"


@dataclass(frozen=True)
class PreferenceSummary:
    """What a list of subjects shows of one."""

    id: str
    title: str
    target: str
    kind: str
    pairs: int
    columns: int
    stands: int


class PreferenceSubject(OpenedSubject):
    """A finished run that foresaw what pairs teach, opened; its parts are loaded when first asked for."""

    kind_of_subject = KIND

    def __init__(self, run: Run, store: PairFeatures, device: str | None = None) -> None:
        super().__init__(run.path, store.facts.target_name, f"run {run.id!r}", "predict again", device)
        self.run, self.store = run, store
        self.config: Mapping[str, Any] = run.config
        self.data = Path(str(self.config.get("data", ""))).name
        self.tables = PredictionTables(run)

    @property
    def title(self) -> str:
        return f"{self.data or self.run.id} on {self.target_title}"

    def summary(self) -> PreferenceSummary:
        columns = self.tables.columns
        stands = sum(each.stands is True for each in columns)
        return PreferenceSummary(self.id, self.title, self.target_title, KIND, len(self.store), len(columns), stands)

    @property
    def clusters(self) -> FeatureClusters | None:
        """None where no features were read."""
        return self.kept("clusters", self._load_clusters)

    @property
    def sides(self) -> FiringSides:
        """Where every column fires in every pair."""
        return self.kept("sides", lambda: FiringSides.of(self.store, self.members))

    @property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """The features of each cluster; nothing where none were read."""
        return self.clusters.members if self.clusters is not None else ()

    @property
    def ids(self) -> list[str]:
        """Of every row."""
        return self.store.ids

    @property
    def pairs(self) -> PairIndex:
        """Raises ``UnweaveError`` where the data are no longer there, or no longer what was read."""
        return self.kept("pairs", self._index_pairs)

    @property
    def reader(self) -> TokenReader:
        """Reads pairs token by token; raises ``UnweaveError`` where no clusters of features were found."""
        return self.kept("reader", self._make_reader)

    def without_texts(self) -> str:
        """Why pairs cannot be shown as text, as far as that shows without reading them; else empty."""
        given = str(self.config.get("data") or "")
        return "" if given and Path(given).expanduser().exists() else self._missing_data()

    def without_tokens(self) -> str:
        """Why the target cannot say what fires on each token, as far as that shows without loading; else empty."""
        if not self.members:
            return "no clusters of features were found in this run"
        try:
            find_target(self._target_source, "run")
            self._find_dictionary()
        except UnweaveError as error:
            return str(error)
        return ""

    def _load_clusters(self) -> FeatureClusters | None:
        path = self.run.path / SURVEY / "clusters.json"
        return FeatureClusters.load(path) if path.is_file() and self.store.facts.dictionary is not None else None

    def _index_pairs(self) -> PairIndex:
        from unweave.corpora.pairs import open_pairs

        if self.without_texts():
            raise UnweaveError(self._missing_data())
        # As the run read them.
        source = open_pairs(str(self.config["data"]), self.config.get("split"), broken="skip")
        return PairIndex(source, self.store)

    def _missing_data(self) -> str:
        return f"the run's data {self.data!r} are not there: start where they can be found as the run was given them"

    @property
    def _target_source(self) -> str:
        return str(self.config.get("target", ""))

    def _load_target(self) -> Target:
        dtype = str(self.config.get("dtype") or "float32")
        return self._target_at(find_target(self._target_source, "run"), self.store.facts.target, dtype)

    def _find_dictionary(self) -> str:
        own = self.run.path / SURVEY / "features"
        if own.is_dir():
            return str(own)
        given = str(self.config.get("features", ""))
        if given not in bundled_names() and not (given and Path(given).expanduser().is_dir()):
            raise UnweaveError(f"the run's features {Path(given).name!r} are not there: start where they can be found")
        return given

    def _load_dictionary(self) -> Dictionary:
        from unweave.read.dictionaries.load import load_dictionary

        dictionary = load_dictionary(self._find_dictionary(), self.target)
        self._check("dictionary", dictionary.name, dictionary.digest, self.store.facts.dictionary)
        return dictionary

    def _make_reader(self) -> TokenReader:
        from unweave.preferences.encoding import Limits
        from unweave.preferences.highlights import TokenReader

        if (reason := self.without_tokens()) or self.clusters is None:
            raise UnweaveError(f"run {self.run.id!r} cannot be read token by token: {reason}")
        limits = Limits(self.store.facts.max_prompt, self.store.facts.max_reply)
        return TokenReader(self.target, self.dictionary, self.clusters, limits)


def open_preferences(path: Path | str, device: str | None = None) -> PreferenceSubject:
    """Opens the folder of a finished run that predicted what pairs teach, without reading pairs or loading a target.

    Raises ``UnweaveError`` for a run that is not finished, or that read no pairs, or more than one dataset.
    """
    run = Run.open(Path(path))
    if run.status != "finished":
        raise UnweaveError(f"run {run.id!r} is {run.status}: it can be looked at when it is finished")
    stores = sorted((run.path / SURVEY / "pairs").glob(f"*/{FACTS}"))
    if len(stores) != 1:
        raise UnweaveError(f"run {run.id!r} read {len(stores)} datasets of pairs, and one is needed: predict again")
    return PreferenceSubject(run, PairFeatures.open(stores[0].parent), device)
