"""Clusters of features that fire in the same texts: a column of a preference dataset that is wider than one feature.

Source: Bergen et al. 2026, "Anatomy of Post-Training" (arXiv 2606.12360), feature-conditioned view.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from unweave.base.errors import UnweaveError
from unweave.base.files import read_json, write_json
from unweave.base.seeds import derive, numpy_generator
from unweave.preferences.features.firings import Csr, binary, column_sums, csr

PAIRS = 1 << 23
"""Pairs of features whose co-occurrences are counted at one time."""
DENSE = 0.08
"""Share of entries above which dense products are the faster ones (two cores, scipy against a BLAS)."""
DENSE_TEXTS = 4096
LEIDEN_ROUNDS = 10


@dataclass(frozen=True)
class ClusterConfig:
    """Which features can be clustered, and how tight a cluster is."""

    least_count: int = 20
    """Texts that a feature must fire in, and texts that it must not."""
    top_share: float = 0.01
    """Share of all pairs of features, the most dependent ones, that becomes edges."""
    least_members: int = 4
    """Smaller communities are left over."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.least_count < 1 or self.least_members < 2:
            raise UnweaveError(
                f"least_count is {self.least_count} and least_members {self.least_members}: at least 1 and 2 are needed"
            )
        if not 0 < self.top_share <= 1:
            raise UnweaveError(f"top_share is {self.top_share}, and it must be above 0 and at most 1")


@dataclass(frozen=True)
class FeatureClusters:
    """Communities of features, the largest first, each of them in ascending order; a feature is in one at most."""

    members: tuple[tuple[int, ...], ...]
    features: int
    """Of the dictionary; those in no cluster are left over."""
    texts: int
    considered: int
    """Features that fire often enough, and not nearly always."""
    threshold: float
    """Normalised mutual information of the weakest edge; above all of the null."""
    modularity: float
    config: ClusterConfig

    def __len__(self) -> int:
        return len(self.members)

    def labels(self) -> Int64[np.ndarray, " c"]:
        """Each feature's cluster, -1 where it is in none."""
        found = np.full(self.features, -1, np.int64)
        for number, members in enumerate(self.members):
            found[list(members)] = number
        return found

    def indicator(self) -> Csr:
        """1 where a feature (row) is in a cluster (column): ``values @ indicator`` sums features by cluster."""
        labels = self.labels()
        rows = np.flatnonzero(labels >= 0)
        ones = np.ones(len(rows), np.float32)
        return csr((ones, (rows, labels[rows])), shape=(self.features, len(self.members)))

    def save(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> FeatureClusters:
        """Raises ``UnweaveError`` for a file that holds something else."""
        values: Any = read_json(path)
        try:
            return cls(
                **{
                    **values,
                    "members": tuple(tuple(int(each) for each in one) for one in values["members"]),
                    "config": ClusterConfig(**values["config"]),
                }
            )
        except (TypeError, KeyError, ValueError) as error:
            raise UnweaveError(f"{path} holds no clusters of features ({error}): make them anew") from error


class _Edges(NamedTuple):
    """Pairs of features by their place among the considered, the first below the second."""

    first: Int64[np.ndarray, " e"]
    second: Int64[np.ndarray, " e"]
    weights: Float32[np.ndarray, " e"]


def cluster_features(fired: Csr, config: ClusterConfig | None = None) -> FeatureClusters:
    """Features (columns) by the texts (rows) that they fire in: Leiden communities of their mutual information.

    ``fired`` is n x c and non-zero where a feature fires in a text. An edge joins two features whose normalised mutual
    information, MI / sqrt(H_g H_h) in [0, 1], is among the ``top_share`` largest, above what shuffled features reach,
    and whose firing together is more frequent than by chance. Neither the order of texts nor that of features changes
    what is found, apart from ties. Raises ``UnweaveError`` for fewer than two texts.

    Source: Traag, Waltman and van Eck 2019 (Leiden); igraph.
    """
    config = config or ClusterConfig()
    texts, features = fired.shape
    if texts < 2:
        raise UnweaveError(f"{texts} texts: features cannot be seen firing together")
    held = binary(fired)
    counts = column_sums(held).astype(np.int64)
    considered = np.flatnonzero((counts >= config.least_count) & (texts - counts >= config.least_count))
    empty = FeatureClusters((), features, texts, len(considered), 1.0, 0.0, config)
    if len(considered) < config.least_members:
        return empty
    # In an order that depends on what features do, so that it is not the dictionary's own.
    considered = considered[_order(held[:, considered].tocsc(), counts[considered])]
    chosen = held[:, considered].tocsc()
    edges = _strongest(chosen, config.top_share, _null_maximum(chosen, config.seed))
    if not len(edges.weights):
        return empty
    groups, modularity = _communities(edges, len(considered), config.seed)
    members = [tuple(sorted(int(considered[each]) for each in group)) for group in groups]
    large = sorted((each for each in members if len(each) >= config.least_members), key=lambda each: (-len(each), each))
    return FeatureClusters(
        tuple(large), features, texts, len(considered), float(edges.weights.min()), modularity, config
    )


def normalised_mutual_information(
    together: Float64[np.ndarray, "*p"], first: Float64[np.ndarray, "*p"], second: Float64[np.ndarray, "*p"], texts: int
) -> Float64[np.ndarray, "*p"]:
    """MI / sqrt(H_g H_h) of two binary features from the texts where both, the first and the second fire.

    0 where either fires never or always.
    """
    information = sum(
        _part(cell, row * column / texts, texts)
        for cell, row, column in (
            (together, first, second),
            (first - together, first, texts - second),
            (second - together, texts - first, second),
            (texts - first - second + together, texts - first, texts - second),
        )
    )
    scale = np.sqrt(_entropy(first / texts) * _entropy(second / texts))
    return np.clip(np.divide(information, scale, out=np.zeros_like(scale), where=scale > 0), 0, 1)


def _part(cell: np.ndarray, expected: np.ndarray, texts: int) -> np.ndarray:
    ratio = np.divide(
        cell, expected, out=np.ones(np.broadcast(cell, expected).shape), where=(cell > 0) & (expected > 0)
    )
    return cell / texts * np.log(ratio)


def _entropy(share: np.ndarray) -> np.ndarray:
    inside = (share > 0) & (share < 1)
    p = np.where(inside, share, 0.5)
    return np.where(inside, -p * np.log(p) - (1 - p) * np.log1p(-p), 0.0)


def _blocks(held: Csr) -> Iterator[tuple[Int64[np.ndarray, " e"], Int64[np.ndarray, " e"], np.ndarray]]:
    """Pairs, the first below the second, that fire together more often than by chance, and their information."""
    (texts, features), counts = held.shape, column_sums(held)
    rows, size = held.tocsr(), max(PAIRS // held.shape[1], 1)
    dense = held.nnz > DENSE * texts * features
    for start in range(0, features, size):
        part = slice(start, min(start + size, features))
        together = _dense_counts(rows, part) if dense else (held[:, part].T @ held).toarray()
        chance = counts[part, None] / texts * counts
        first, second = np.nonzero(np.triu(together > chance, start + 1))
        both, first = together[first, second].astype(np.float64), first.astype(np.int64) + start
        yield first, second, normalised_mutual_information(both, counts[first], counts[second], texts)


def _dense_counts(rows: Csr, part: slice) -> Float32[np.ndarray, "b c"]:
    # float32 counts are exact up to 2^24 texts.
    found = np.zeros((part.stop - part.start, rows.shape[1]), np.float32)
    for start in range(0, rows.shape[0], DENSE_TEXTS):
        texts = rows[start : start + DENSE_TEXTS].toarray()
        found += texts[:, part].T @ texts
    return found


def _strongest(held: Csr, share: float, floor: float) -> _Edges:
    """The pairs above ``floor``, at most ``share`` of all."""
    most = max(round(share * held.shape[1] * (held.shape[1] - 1) / 2), 1)
    first, second, weights = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    for left, right, information in _blocks(held):
        strong = information > floor
        first, second = np.append(first, left[strong]), np.append(second, right[strong])
        weights = np.append(weights, information[strong])
        if len(weights) > most:
            kept = np.sort(np.argsort(-weights, kind="stable")[:most])
            first, second, weights = first[kept], second[kept], weights[kept]
    return _Edges(first, second, weights.astype(np.float32))


def _null_maximum(held: Csr, seed: int) -> float:
    """The most dependent pair when it is drawn anew which feature fires at each firing of a text.

    Long texts then still have more of them than short ones, which makes all features a little dependent.
    """
    rows = held.indices
    columns = np.repeat(np.arange(held.shape[1]), np.diff(held.indptr))
    columns = numpy_generator(seed, "feature clusters", "null").permutation(columns)
    shuffled = binary(csr((np.ones(len(rows), np.float32), (rows, columns)), shape=held.shape)).tocsc()
    return max((float(information.max()) for *_, information in _blocks(shuffled) if len(information)), default=0.0)


def _order(held: Csr, counts: Int64[np.ndarray, " c"]) -> Int64[np.ndarray, " c"]:
    """Features by how many texts they fire in, then by how many others fire there with them."""
    company = np.asarray(held.T @ held.sum(1)).ravel()
    return np.lexsort((company, counts))


def _communities(edges: _Edges, count: int, seed: int) -> tuple[list[list[int]], float]:
    import random

    import igraph

    graph = igraph.Graph(n=count, edges=np.stack([edges.first, edges.second], 1).tolist())
    graph.es["weight"] = edges.weights.astype(float).tolist()
    igraph.set_random_number_generator(random.Random(derive(seed, "feature clusters", "leiden")))
    try:
        found = graph.community_leiden("modularity", weights="weight", n_iterations=LEIDEN_ROUNDS)
    finally:
        igraph.set_random_number_generator(random)
    return list(found), float(graph.modularity(found.membership, weights="weight"))
