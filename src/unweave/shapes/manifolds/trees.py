"""Trees: straight edges between centroids and branching points, of a known hierarchy or joined by distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.family import Values, family, numbers, spanning
from unweave.shapes.manifolds.fitted import Fitted

Path = tuple[str, ...]
_END = 1 - 1e-12
"""The last share of an edge that is not the next edge's first."""
_SHORT = 1e-3
"""Of the mean edge: shorter ones pull a branching point no harder."""


class Tree(NamedTuple):
    """Edges between nodes, of which the first ``leaves`` are the given points in their order."""

    edges: list[tuple[int, int]]
    lengths: Float64[np.ndarray, " e"]
    leaves: int
    nodes: int

    def distances(self) -> Float64[np.ndarray, "w w"]:
        """Lengths of the paths between the given points."""
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import dijkstra

        first, second = np.array(self.edges, np.int64).reshape(-1, 2).T
        # An edge of length 0 would count as none.
        lengths = np.maximum(self.lengths, 1e-300)
        graph = csr_matrix((lengths, (first, second)), shape=(self.nodes, self.nodes))
        return dijkstra(graph, directed=False, indices=range(self.leaves))[:, : self.leaves]


def hierarchy(paths: Sequence[Path]) -> Tree:
    """The tree of ``paths`` from the root, such as ``("animal", "mammal", "dog")``; every edge has length 1.

    Raises ``UnweaveError`` for an empty path, one that is given twice, and paths that do not share a root.
    """
    if not all(paths):
        raise UnweaveError("a path is empty: give each value's place from the root, such as ('animal', 'dog')")
    if len(set(paths)) < len(paths):
        twice = next(each for each in paths if list(paths).count(each) > 1)
        raise UnweaveError(f"the path {twice} is given twice: average the centroids of one value")
    roots = sorted({each[0] for each in paths})
    if len(roots) > 1:
        raise UnweaveError(f"paths begin with {', '.join(map(repr, roots[:3]))}: put one root before all of them")
    place = {each: index for index, each in enumerate(paths)}
    edges = []
    for path in paths:
        for end in range(len(path), 1, -1):
            child, parent = path[:end], path[: end - 1]
            known = parent in place
            edges.append((place[child], place.setdefault(parent, len(place))))
            if known:
                break
    unique = sorted(set(edges))
    return Tree(unique, np.ones(len(unique)), len(paths), len(place))


def neighbour_joining(distances: Float64[np.ndarray, "w w"]) -> Tree:
    """The unrooted tree that joins the two nearest groups of points, allowing for how far each is from all others.

    It is exact where ``distances`` are of a tree; negative lengths become 0. Raises ``UnweaveError`` for fewer than
    three points. Source: Saitou and Nei, "The neighbor-joining method", 1987; Studier and Keppler, 1988.
    """
    count = len(distances)
    if distances.shape != (count, count) or count < 3:
        raise UnweaveError(f"distances have shape {distances.shape}: joining needs a square of three points or more")
    apart, names, nodes = np.array(distances, np.float64), list(range(count)), count
    edges: list[tuple[int, int]] = []
    lengths: list[float] = []
    while len(names) > 3:
        left = len(names)
        total = apart.sum(1)
        pull = (left - 2) * apart - total[:, None] - total
        np.fill_diagonal(pull, np.inf)
        i, j = sorted(int(each) for each in np.unravel_index(pull.argmin(), pull.shape))
        first = apart[i, j] / 2 + (total[i] - total[j]) / (2 * (left - 2))
        edges += [(names[i], nodes), (names[j], nodes)]
        lengths += [first, apart[i, j] - first]
        joined = (apart[i] + apart[j] - apart[i, j]) / 2
        apart[i], apart[:, i], apart[i, i] = joined, joined, 0.0
        apart = np.delete(np.delete(apart, j, 0), j, 1)
        names[i] = nodes
        del names[j]
        nodes += 1
    edges += [(name, nodes) for name in names]
    lengths += [(apart[i].sum() - apart[(i + 1) % 3, (i + 2) % 3]) / 2 for i in range(3)]
    return Tree(edges, np.maximum(np.array(lengths), 0.0), count, nodes + 1)


@family("tree", dimension=1, least=4, least_width=2)
def tree(centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Fitted:
    """Straight edges through the centroids and branching points; theta is an edge's number plus the share of its way.

    Values that are paths give the hierarchy; else the centroids' distances are joined. A branching point is where
    springs along its edges, as strong as they are short, hold it.
    """
    known = values is not None and numbers(values) is None
    if known:
        made = hierarchy(values)  # type: ignore[arg-type]  # what is not numbers is paths
    else:
        from scipy.spatial.distance import pdist, squareform

        made = neighbour_joining(squareform(pdist(centroids)))
    if not made.edges:
        raise UnweaveError(f"{len(centroids)} centroids make a tree without an edge: give more of them")
    mean, axes, scores = spanning(centroids)
    places = _branching_points(made, scores)
    first, second = np.array(made.edges, np.int64).T
    begin, way = places[first], places[second] - places[first]

    def local(theta: np.ndarray) -> np.ndarray:
        edge = np.clip(np.floor(theta[:, 0]), 0, len(first) - 1).astype(np.int64)
        return begin[edge] + (theta[:, :1] - edge[:, None]) * way[edge]

    knots = np.empty((made.leaves, 1))
    for edge, (start, end) in enumerate(made.edges):
        for node, share in ((start, 0.0), (end, _END)):
            if node < made.leaves:
                knots[node] = edge + share
    starts = np.arange(len(first), dtype=np.float64)[:, None]
    return _Edges(
        "tree", 1, made.nodes * centroids.shape[1], mean, axes, local, starts, starts, starts + _END, (0.0,), knots,
        {"edges": float(len(made.edges)), "length": float(np.linalg.norm(way, axis=1).sum())},
    )  # fmt: skip


class _Edges(Fitted):
    """Straight edges, on each of which the nearest point is known."""

    def nearest_by(self, metrics: np.ndarray, targets: np.ndarray) -> np.ndarray:
        begin = self.local(self.starts)
        way = (self.local(self.high) - begin) / _END
        pulled = way @ metrics
        length = np.maximum((pulled * way).sum(2), 1e-300)[:, None]
        ahead = targets @ way.T - (pulled * begin).sum(2)[:, None]
        share = np.clip(ahead / length, 0, _END)
        at_begin = ((begin @ metrics) * begin).sum(2)[:, None] - 2 * targets @ begin.T
        cost = at_begin + share**2 * length - 2 * share * ahead
        edge = cost.argmin(2)[:, :, None]
        return edge + np.take_along_axis(share, edge, 2)


def _branching_points(made: Tree, leaves: Float64[np.ndarray, "w m"]) -> Float64[np.ndarray, "n m"]:
    """All nodes' places: given ones where they are, the others where the springs along the edges balance."""
    least = _SHORT * float(made.lengths.mean()) or 1.0
    springs = np.zeros((made.nodes, made.nodes))
    for (first, second), length in zip(made.edges, made.lengths, strict=True):
        springs[first, second] = springs[second, first] = 1 / max(length, least)
    balance = np.diag(springs.sum(1)) - springs
    free = slice(made.leaves, made.nodes)
    if made.nodes == made.leaves:
        return leaves
    inner = np.linalg.solve(balance[free, free], springs[free, : made.leaves] @ leaves)
    return np.concatenate([leaves, inner])
