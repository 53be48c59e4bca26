"""Features of pairs and of replies on disk: what each is, and how it becomes evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from jaxtyping import Float32, Int64

from unweave.base.errors import UnweaveError, nearest
from unweave.base.files import file_hash
from unweave.preferences.evidence import WORD_BUCKETS, Evidence, Replies
from unweave.preferences.features.facts import FACTS, PROMPT, FeatureFacts, ShardFacts, read_facts
from unweave.preferences.features.shards import Shard

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class FeatureStore:
    """A folder of features, opened: nothing but ``features.json`` is read before it is asked for.

    A span is ``prompt`` or a side; rows are those of the source, in its order.
    """

    SIDES: tuple[str, ...] = ()

    def __init__(self, folder: Path, facts: FeatureFacts, shards: Sequence[ShardFacts]) -> None:
        self.folder, self.facts, self.shards = folder, facts, tuple(shards)
        self.rows = sum(shard.rows for shard in shards)
        self._first = dict(zip(facts.features, np.cumsum([0, *facts.features.values()]).tolist(), strict=False))

    def __repr__(self) -> str:
        facts = self.facts
        read = f"{self.features} features of {facts.dictionary_name}" if facts.dictionary else "no features"
        return (
            f"{type(self).__name__}({self.rows} rows, {read}, {len(facts.behaviours)} behaviours, {facts.target_name})"
        )

    def __len__(self) -> int:
        return self.rows

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """Raises ``UnweaveError`` for a folder that is no whole store, another format or kind, and missing files."""
        folder = Path(folder)
        facts, shards = read_facts(folder)
        if facts.sides != cls.SIDES:
            raise UnweaveError(
                f"{folder} holds {' and '.join(facts.sides)}, and {' and '.join(cls.SIDES)} is needed here"
            )
        return cls(folder, facts, shards)

    @property
    def digest(self) -> str:
        """A short hash of ``features.json``, which holds the hashes of all shards."""
        return file_hash(self.folder / FACTS)[:16]

    @property
    def names(self) -> tuple[str, ...]:
        """The behaviours, in the order of their columns."""
        return self.facts.behaviours

    @property
    def features(self) -> int:
        return sum(self.facts.features.values())

    def feature_name(self, number: int) -> str:
        """``group:index``, as the dictionary's features are called everywhere."""
        if not 0 <= number < self.features:
            raise UnweaveError(f"feature {number} is not in {self.folder}: it has {self.features}, from 0")
        group = max((name for name, first in self._first.items() if first <= number), key=self._first.__getitem__)
        return f"{group}:{number - self._first[group]}"

    @cached_property
    def ids(self) -> list[str]:
        return [each for shard in self._opened() for each in shard.texts("ids")]

    @cached_property
    def groups(self) -> Int64[np.ndarray, " n"]:
        """A hash of each row's prompt: equal where the prompt is."""
        return np.concatenate([shard["groups"] for shard in self._opened()])

    def tokens(self, span: str) -> Int64[np.ndarray, " n"]:
        """How many tokens were read of each row's span, the end mark of a reply counted."""
        return self._stacked(f"{self._span(span)}.tokens").astype(np.int64)

    def values(self, side: str) -> Float32[np.ndarray, "n m"]:
        """The behaviours of each row's reply."""
        return self._stacked(f"{self._side(side)}.behaviours")

    def states(self, side: str) -> Float32[np.ndarray, "n d"]:
        """The mean state over each reply's tokens, as exact as half precision."""
        found = np.empty((self.rows, self.facts.width), np.float32)
        for rows, shard in self._by_rows():
            found[rows] = shard[f"{self._side(side)}.state"]
        return found

    def words(self, side: str) -> csr_matrix:
        """Hashed word counts [n, ``WORD_BUCKETS``] of each reply."""
        return self._sparse(f"{self._side(side)}.words", "count", WORD_BUCKETS)

    def fired(self, span: str) -> csr_matrix:
        """bool [n, features]: which features fired anywhere in a span."""
        return self._sparse(self._span(span), None, self.features)

    def frequency(self, span: str) -> csr_matrix:
        """float32 [n, features]: the share of a span's tokens on which each feature fires."""
        return self._sparse(self._span(span), "freq", self.features)

    def maximum(self, span: str) -> csr_matrix:
        """float32 [n, features]: each feature's largest activation by size where it fires, with its sign."""
        return self._sparse(self._span(span), "max", self.features)

    def cluster_values(
        self, side: str, clusters: Sequence[Sequence[int]], above: float = 0.0
    ) -> Float32[np.ndarray, "n k"]:
        """Of each cluster of features, the share that fires on more than ``above`` (0 to 1) of a reply's tokens.

        0 is ``fired at all``, what any threshold under 1/t is for a reply of t tokens; the published .01 is the same
        below a hundred tokens. Exact up to a thousand tokens, where half precision tells shares apart. Raises
        ``UnweaveError`` for empty clusters, and for features that are not here.
        """
        from scipy.sparse import csr_matrix, diags_array

        if not 0 <= above < 1:
            raise UnweaveError(f"above is {above}, and it is a share of tokens: give 0 or more, and less than 1")
        member = self._member(side, clusters)
        shares = member @ diags_array(1 / np.array([len(cluster) for cluster in clusters], np.float32))
        found = np.zeros((self.rows, len(clusters)), np.float32)
        # A shard at a time: of a hundred thousand rows, what fired takes as much memory as all else together.
        for rows, shard in self._by_rows():
            fired = shard.sparse(side, "freq" if above else None, self.features)
            if above:
                tokens = np.repeat(shard[f"{side}.tokens"], np.diff(fired.indptr))
                fired.data = np.rint(fired.data * tokens) > above * tokens
            found[rows] = csr_matrix(fired.astype(np.float32) @ shares).toarray()
        return found

    def cluster_frequency(self, side: str, clusters: Sequence[Sequence[int]]) -> Float32[np.ndarray, "n k"]:
        """Of each cluster, the shares of a reply's tokens on which its features fire, summed over them.

        The sum over both sides is ``topic_activity``, made a shard at a time. Raises as ``cluster_values`` does.
        """
        from scipy.sparse import csr_matrix

        member = self._member(side, clusters)
        found = np.zeros((self.rows, len(clusters)), np.float32)
        for rows, shard in self._by_rows():
            fires = shard.sparse(side, "freq", self.features).astype(np.float32)
            found[rows] = csr_matrix(fires @ member).toarray()
        return found

    def _member(self, side: str, clusters: Sequence[Sequence[int]]) -> csr_matrix:
        """float32 [features, k]: 1 where a feature is in a cluster."""
        from scipy.sparse import csr_matrix

        self._side(side)
        for number, cluster in enumerate(clusters):
            if not len(cluster):
                raise UnweaveError(f"cluster {number} is empty: leave it out")
            for feature in (min(cluster), max(cluster)):
                self.feature_name(feature)
        sizes = [len(cluster) for cluster in clusters]
        rows = np.concatenate([np.asarray(cluster, np.int64) for cluster in clusters]) if clusters else np.empty(0, int)
        ones = np.ones(len(rows), np.float32)
        columns = np.repeat(np.arange(len(clusters)), sizes)
        return csr_matrix((ones, (rows, columns)), shape=(self.features, len(clusters)), dtype=np.float32)

    def replies(
        self,
        side: str,
        clusters: Sequence[Sequence[int]] = (),
        names: Sequence[str] | None = None,
        above: float = 0.0,
    ) -> Replies:
        """One side's replies as predictors see them: behaviours (those of ``names``, all by default), then clusters."""
        values = self.values(side)
        if names is not None:
            values = values[:, [self._column(name) for name in names]]
        if clusters:
            values = np.concatenate([values, self.cluster_values(side, clusters, above)], 1)
        return Replies(values, self.tokens(side), self.states(side), self.words(side))

    def row_values(self, side: str, row: int, clusters: Sequence[Sequence[int]] = ()) -> Float32[np.ndarray, " m"]:
        """One row's behaviours, then the share of each cluster of features that fires anywhere in its reply."""
        for rows, shard in self._by_rows():
            if rows.start <= row < rows.stop:
                at = row - rows.start
                starts = shard[f"{self._side(side)}.starts"]
                fired = shard[f"{side}.index"][starts[at] : starts[at + 1]]
                shares = [np.isin(cluster, fired).mean() for cluster in clusters]
                return np.array([*shard[f"{side}.behaviours"][at], *shares], np.float32)
        raise UnweaveError(f"row {row} is not in {self.folder}: it has {self.rows}, from 0")

    def _column(self, name: str) -> int:
        if name not in self.names:
            raise UnweaveError(f"behaviour {name!r} was not measured in {self.folder}; {nearest(name, self.names)}")
        return self.names.index(name)

    def _opened(self) -> Iterator[Shard]:
        return (Shard(self.folder / shard.file) for shard in self.shards)

    def _by_rows(self) -> Iterator[tuple[slice, Shard]]:
        first = 0
        for facts, shard in zip(self.shards, self._opened(), strict=True):
            yield slice(first, first + facts.rows), shard
            first += facts.rows

    def _stacked(self, name: str) -> np.ndarray:
        return np.concatenate([shard[name] for shard in self._opened()])

    def _sparse(self, name: str, values: str | None, width: int) -> csr_matrix:
        from scipy.sparse import csr_matrix, vstack

        parts = [shard.sparse(name, values, width) for shard in self._opened()]
        return csr_matrix(vstack(parts, format="csr"))

    def _side(self, side: str) -> str:
        if side not in self.facts.sides:
            raise UnweaveError(f"{self.folder} has no side {side!r}: it has {', '.join(self.facts.sides)}")
        return side

    def _span(self, span: str) -> str:
        return span if span == PROMPT else self._side(span)


class ReplyFeatures(FeatureStore):
    """Features of replies to prompts, a row a reply."""

    SIDES = ("reply",)


class PairFeatures(FeatureStore):
    """Features of preference pairs, a row a pair."""

    SIDES = ("chosen", "rejected")

    def evidence(
        self,
        reference: FeatureStore,
        clusters: Sequence[Sequence[int]] = (),
        names: Sequence[str] | None = None,
        above: float = 0.0,
    ) -> Evidence:
        """What predictors see: these pairs and ``reference``, the target's own replies, in the same columns.

        Columns are the behaviours of ``names``, all by default, then ``cluster:<k>`` of every cluster of features (see
        ``cluster_values``). Both sides of pairs serve as reference where they were the target's own. Raises
        ``UnweaveError`` for a reference of another target, layer, dictionary or list of behaviours.
        """
        for name, value in self.facts.columns().items():
            other = getattr(reference.facts, name)
            if other != value:
                raise UnweaveError(
                    f"{reference.folder} was read with {name} {other!r}, and {self.folder} with {value!r}: read both "
                    "alike"
                )
        chosen, rejected = (self.replies(side, clusters, names, above) for side in self.SIDES)
        own = [reference.replies(side, clusters, names, above) for side in reference.SIDES]
        columns = (*(self.names if names is None else names), *(f"cluster:{k}" for k in range(len(clusters))))
        groups = np.tile(reference.groups, len(own))
        return Evidence(columns, chosen, rejected, self.groups, _joined(own), groups)


def _joined(parts: Sequence[Replies]) -> Replies:
    from scipy.sparse import csr_matrix, vstack

    if len(parts) == 1:
        return parts[0]
    return Replies(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([part.embedding for part in parts]),
        csr_matrix(vstack([part.words for part in parts], format="csr")),
    )
