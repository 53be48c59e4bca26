"""How alike two decompositions of one target are: cosines of their rank-one pieces, matched site by site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.seeds import torch_generator
from unweave.decompose.decomposition import Decomposition, SiteSubcomponents, random_like

if TYPE_CHECKING:
    from unweave.decompose.ladder import Ladder


@dataclass(frozen=True)
class SiteMatch:
    """Cosines between the pieces of one site in two decompositions; None where one of them has no piece there."""

    site: str
    pieces: int
    others: int
    matched: float | None
    """Mean over the pairs of the best one-to-one matching (Hungarian); the smaller side decides how many there are."""
    weighted: float | None
    """The same with each pair weighted by the product of its two pieces' sizes ||u|| ||v||."""
    nearest: float | None
    """Mean over the first decomposition's pieces of the largest cosine with any of the other's."""
    nearest_back: float | None
    """The same from the other's pieces to the first's."""
    chance: float | None
    """``matched`` against pieces of the other's sizes in random directions."""


@dataclass(frozen=True)
class Stability:
    """Two decompositions of one target compared, site by site; means are over all pairs or pieces of all sites."""

    sites: tuple[SiteMatch, ...]

    @property
    def matched(self) -> float | None:
        return self._mean("matched", [min(site.pieces, site.others) for site in self.sites])

    @property
    def weighted(self) -> float | None:
        return self._mean("weighted", [min(site.pieces, site.others) for site in self.sites])

    @property
    def nearest(self) -> float | None:
        return self._mean("nearest", [site.pieces for site in self.sites])

    @property
    def nearest_back(self) -> float | None:
        return self._mean("nearest_back", [site.others for site in self.sites])

    @property
    def chance(self) -> float | None:
        return self._mean("chance", [min(site.pieces, site.others) for site in self.sites])

    def _mean(self, name: str, counts: Sequence[int]) -> float | None:
        known = [(getattr(site, name), count) for site, count in zip(self.sites, counts, strict=True)]
        known = [(value, count) for value, count in known if value is not None]
        total = sum(count for _, count in known)
        return sum(value * count for value, count in known) / total if total else None

    def as_dict(self) -> dict[str, Any]:
        means = ("matched", "weighted", "nearest", "nearest_back", "chance")
        return {**{name: getattr(self, name) for name in means}, "sites": [asdict(site) for site in self.sites]}


@dataclass(frozen=True)
class Compared:
    """Another decomposition of the same target: what the ladder says of it, and how alike the two are.

    One of the shuffled target (see ``shuffled.py``) has the ladder alone: its pieces are of other matrices.
    """

    ladder: Ladder
    stability: Stability | None = None
    same_seed: bool = False
    """The first trainings of both had one seed: sites with as many subcomponents then start with the same pieces, and
    stay alike."""
    same_settings: bool = True
    """Whether it was trained with the same settings: on shuffled weights, only then are its numbers a control."""


def matched_cosine(
    a: Decomposition,
    b: Decomposition,
    alive_a: Mapping[str, Sequence[int]] | None = None,
    alive_b: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
) -> Stability:
    """Compares the pieces of all sites that both decompositions have, by |cos(u, u')| |cos(v, v')|.

    That is the absolute cosine of the two rank-one matrices: (u, v) and (-u, -v) are one piece. ``alive_a`` and
    ``alive_b`` name the pieces to compare by site, as ``Ladder.alive_pieces`` does; by default all that are not zero.
    Raises ``UnweaveError`` when the two are of different targets or have no site in common.

    Source: mean max cosine similarity over seeds (VPD, appendix); a pair matching counts no piece twice.
    """
    b.check_target(a.target)
    common = [name for name in a.sites if name in b.sites]
    if not common:
        raise UnweaveError(f"the two decompositions have no site in common: {', '.join(a.sites)}, {', '.join(b.sites)}")
    matches = []
    for name in common:
        ours = _chosen(a.site(name), alive_a)
        other = _chosen(b.site(name), alive_b)
        chance = random_like(other, torch_generator(seed, "chance", name))
        matches.append(_site_match(name, ours, other, chance))
    return Stability(tuple(matches))


def piece_cosines(a: SiteSubcomponents, b: SiteSubcomponents) -> Float[Tensor, "c c_other"]:
    """``|cos(u, u')| |cos(v, v')|`` of every piece of a with every piece of b."""
    v = torch.nn.functional.normalize(a.V, dim=0).T @ torch.nn.functional.normalize(b.V, dim=0)
    u = torch.nn.functional.normalize(a.U, dim=1) @ torch.nn.functional.normalize(b.U, dim=1).T
    return (v * u).abs().clamp(max=1)


def _site_match(name: str, a: SiteSubcomponents, b: SiteSubcomponents, chance: SiteSubcomponents) -> SiteMatch:
    if not len(a) or not len(b):
        return SiteMatch(name, len(a), len(b), None, None, None, None, None)
    cosines = piece_cosines(a, b).numpy()
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    pairs = cosines[rows, columns]
    random = piece_cosines(a, chance).numpy()
    return SiteMatch(
        name,
        len(a),
        len(b),
        matched=float(pairs.mean()),
        weighted=float(np.average(pairs, weights=_sizes(a)[rows] * _sizes(b)[columns])),
        nearest=float(cosines.max(1).mean()),
        nearest_back=float(cosines.max(0).mean()),
        chance=float(random[linear_sum_assignment(random, maximize=True)].mean()),
    )


def _sizes(site: SiteSubcomponents) -> np.ndarray:
    return (site.U.norm(dim=1) * site.V.norm(dim=0)).double().numpy()


def _chosen(site: SiteSubcomponents, alive: Mapping[str, Sequence[int]] | None) -> SiteSubcomponents:
    """The site's pieces that are compared, on the CPU: of those named, the ones that are not zero."""
    site = site.to(torch.device("cpu"))
    here = torch.as_tensor(_sizes(site) > 0)
    if alive is not None:
        named = torch.zeros_like(here)
        named[torch.as_tensor(list(alive.get(site.site, ())), dtype=torch.long)] = True
        here &= named
    return SiteSubcomponents(site.site, site.V[:, here], site.U[here], site.importance)
