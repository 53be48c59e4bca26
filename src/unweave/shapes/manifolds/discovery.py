"""Groups of units that carry one manifold between them, found from which fire together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress
from unweave.base.seeds import derive, numpy_generator
from unweave.shapes.manifolds.ising import Ising, fit_ising
from unweave.stats.permutation import exceeds_null

MOST_DIMENSIONS = 8
FLOOR = 1e-3
"""Of the largest eigenvalue: smaller ones count as that."""


@dataclass(frozen=True)
class DiscoveryConfig:
    """Which units are looked at, and which groups are kept."""

    least_rate: float = 0.005
    most_rate: float = 0.5
    """Units that fire in fewer or more of the rows are left out."""
    gamma: float = 0.5
    """Of the extended BIC: larger is sparser."""
    least_members: int = 3
    level: float = 0.05
    """A group is kept if at most this share of random groups of its size has as sharp a PCA gap."""
    random_groups: int = 199
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.least_rate < self.most_rate <= 1:
            raise UnweaveError(f"rates from {self.least_rate} to {self.most_rate}: give two shares, the lower first")
        if self.least_members < 2 or self.random_groups < 19 or not 0 < self.level < 1:
            raise UnweaveError(
                f"least_members {self.least_members}, random_groups {self.random_groups}, level {self.level}: at least "
                "2 and 19, and a share such as 0.05, are needed"
            )


@dataclass(frozen=True)
class Group:
    """Units of one community, in ascending order."""

    units: tuple[int, ...]
    kind: Literal["capture", "shatter", "dilution"]
    """``capture``: couplings inside are above 0, the units fire together. ``shatter``: below 0, each has a piece of the
    manifold to itself. ``dilution``: more than half of the units' coupling goes to units of other groups."""
    balance: float
    """Sum of the couplings inside over the sum of their sizes, in [-1, 1]."""
    inside: float
    """Share of the members' coupling that stays inside."""
    gap: float
    """The largest ratio of successive eigenvalues of what the group writes."""
    dimensions: int
    """How many eigenvalues are before it."""
    p: float
    """Of the gap, among random groups of as many units."""
    kept: bool


@dataclass(frozen=True)
class Discovery:
    """All communities of at least ``least_members``, the kept ones first, then the largest."""

    groups: tuple[Group, ...]
    considered: tuple[int, ...]
    ising: Ising | None
    """Of the considered units in their order; none where fewer than two were left."""

    @property
    def kept(self) -> tuple[Group, ...]:
        return tuple(each for each in self.groups if each.kept)


def discover(
    activity: Float64[np.ndarray, "n u"],
    directions: Float64[np.ndarray, "u d"] | None = None,
    config: DiscoveryConfig | None = None,
    progress: Progress | None = None,
) -> Discovery:
    """Communities of the couplings of units that fire (are above 0) in the same rows or avoid each other.

    ``activity`` is of any kind of unit: SAE latents, or subcomponents by their causal importances. ``directions`` are
    what a unit writes for an activity of 1; with them the PCA gap is of what the group writes, else of its activities.
    Louvain communities of the sizes of couplings. Raises ``UnweaveError`` for fewer than two rows, numbers that are not
    finite and directions of another number of units.

    Source: "Do sparse autoencoders capture concept manifolds?" (arXiv 2604.28119); Blondel et al. 2008 (Louvain). The
    bounds of the kinds, and random groups as the bound of the gap, are this project's.
    """
    config = config or DiscoveryConfig()
    given = np.asarray(activity)
    if given.ndim != 2 or len(given) < 2 or not np.isfinite(given).all():
        raise UnweaveError(f"activity has shape {given.shape}: give finite numbers, [n, units], of two rows or more")
    if directions is not None and len(directions) != given.shape[1]:
        raise UnweaveError(f"{len(directions)} directions of {given.shape[1]} units: give one for each")
    rate = (given > 0).mean(0)
    considered = np.flatnonzero((rate >= config.least_rate) & (rate <= config.most_rate) & (rate > 0) & (rate < 1))
    if len(considered) < 2:
        return Discovery((), tuple(map(int, considered)), None)
    held = np.asarray(given[:, considered], np.float32)
    ising = fit_ising(np.where(held > 0, 1, -1).astype(np.float32), config.gamma, progress=progress)
    written = None if directions is None else np.asarray(directions, np.float64)[considered]
    spectra = _Spectra(held, written, config)
    groups = [
        _group(members, ising.couplings, considered, spectra, config)
        for members in _communities(ising.couplings, config.seed)
        if len(members) >= config.least_members
    ]
    groups.sort(key=lambda each: (not each.kept, -len(each.units), each.units))
    return Discovery(tuple(groups), tuple(map(int, considered)), ising)


def _group(
    members: np.ndarray, couplings: np.ndarray, considered: np.ndarray, spectra: _Spectra, config: DiscoveryConfig
) -> Group:
    among = couplings[np.ix_(members, members)]
    sizes = float(np.abs(among).sum())
    balance = float(among.sum()) / sizes
    # An edge inside is counted at both its ends, one that leaves at one.
    inside = sizes / float(np.abs(couplings[members]).sum())
    gap, dimensions = spectra.gap(members)
    p = exceeds_null(gap, spectra.random_gaps(len(members))).p
    kind = "dilution" if inside < 0.5 else "capture" if balance > 0 else "shatter"
    units = tuple(sorted(int(each) for each in considered[members]))
    return Group(units, kind, balance, inside, gap, dimensions, p, p <= config.level)


class _Spectra:
    """Eigenvalues of the covariance of what groups of units write, on the rows where any of them fires."""

    def __init__(self, activity: np.ndarray, directions: np.ndarray | None, config: DiscoveryConfig) -> None:
        self.activity, self.directions, self.config = activity, directions, config
        self.known: dict[int, list[float]] = {}

    def gap(self, members: np.ndarray) -> tuple[float, int]:
        values = self.activity[:, members].astype(np.float64)
        values = values[(values > 0).any(1)]
        written = values if self.directions is None else values @ self.directions[members]
        sizes = np.linalg.eigvalsh(np.atleast_2d(np.cov(written.T)))[::-1] if len(written) > 1 else np.zeros(2)
        # No more than the units can have. Without a floor, what rounding leaves would make any flat's gap endless.
        sizes = np.maximum(sizes[: len(members)], FLOOR * max(float(sizes[0]), 1e-300))
        ratios = sizes[:-1] / sizes[1:]
        if not len(ratios):
            return 1.0, 1
        best = int(ratios[:MOST_DIMENSIONS].argmax())
        return float(ratios[best]), best + 1

    def random_gaps(self, size: int) -> list[float]:
        if size not in self.known:
            generator = numpy_generator(self.config.seed, "discovery", "random groups", size)
            units = self.activity.shape[1]
            self.known[size] = [
                self.gap(generator.choice(units, size, replace=False))[0] for _ in range(self.config.random_groups)
            ]
        return self.known[size]


def _communities(couplings: Float64[np.ndarray, "p p"], seed: int) -> list[np.ndarray]:
    import random

    import igraph

    first, second = np.nonzero(np.triu(couplings, 1))
    if not len(first):
        return []
    graph = igraph.Graph(n=len(couplings), edges=np.stack([first, second], 1).tolist())
    weights = np.abs(couplings[first, second]).tolist()
    igraph.set_random_number_generator(random.Random(derive(seed, "discovery", "louvain")))
    try:
        found = graph.community_multilevel(weights)
    finally:
        igraph.set_random_number_generator(random)
    return [np.array(each) for each in found if len(each) > 1]
