"""One way to look at whatever reads a model's activations: subcomponents, latents of an SAE, probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.decompose.decomposition import Decomposition, SiteSubcomponents
from unweave.decompose.importance import find_importance
from unweave.decompose.ruler import FIRES
from unweave.models.sites import Site
from unweave.models.target import Target


class Reading(NamedTuple):
    """What features say of some tokens. Importance is in [0, 1]; activation is signed, in units of what is written."""

    importance: Float[Tensor, "*n c"]
    activation: Float[Tensor, "*n c"]


@dataclass(frozen=True)
class Place:
    """Where features read or write: what goes into a module or comes out of it, or some columns of that."""

    module: str
    side: Literal["input", "output"]
    width: int
    site: Site | None = None
    """Set where the place is one matrix of the target, which may be a block of a fused one."""


class Features(Protocol):
    """The features of one place. A feature's name is ``name:index``."""

    @property
    def name(self) -> str: ...

    @property
    def reads(self) -> Place: ...

    @property
    def writes(self) -> Place: ...

    def __len__(self) -> int: ...

    def read_directions(self) -> Float[Tensor, "c d_in"]:
        """The direction each feature looks along."""
        ...

    def write_directions(self) -> Float[Tensor, "c d_out"]:
        """What one unit of each feature's activation adds to the place it writes to."""
        ...

    def decode(self, activation: Float[Tensor, "*n c"]) -> Float[Tensor, "*n d_out"]:
        """What activations add up to at the place they write to, without biases and what goes past the features."""
        ...


class Dictionary(Protocol):
    """Features of one or more places, read together."""

    @property
    def kind(self) -> str:
        """``subcomponents``, ``sae``, ``transcoder`` or ``probe``."""
        ...

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str:
        """A short hash of its tensors, and of what else decides its readings."""
        ...

    @property
    def target(self) -> str | None:
        """Identity of the target that it was made from, where that is known."""
        ...

    @property
    def groups(self) -> Mapping[str, Features]:
        """The features by the name of their group, in order: a feature's row counts through all of them."""
        ...

    def encode(self, values: Mapping[str, Float[Tensor, "*n d_in"]]) -> dict[str, Reading]:
        """Readings by group, from what stands at each group's place, by the group's name."""
        ...


@dataclass(frozen=True)
class SubcomponentFeatures:
    """Subcomponents of one site as features: activation ``||u|| v . x``, written along ``u / ||u||``."""

    pieces: SiteSubcomponents
    site: Site

    @property
    def name(self) -> str:
        return self.pieces.site

    @property
    def reads(self) -> Place:
        return Place(self.site.module, "input", self.site.d_in, self.site)

    @property
    def writes(self) -> Place:
        return Place(self.site.module, "output", self.site.d_out, self.site)

    def __len__(self) -> int:
        return len(self.pieces)

    def read_directions(self) -> Float[Tensor, "c d_in"]:
        return self.pieces.V.T

    def write_directions(self) -> Float[Tensor, "c d_out"]:
        return self.pieces.U / self.pieces.U.norm(dim=-1, keepdim=True).clamp_min(1e-12)

    def decode(self, activation: Float[Tensor, "*n c"]) -> Float[Tensor, "*n d_out"]:
        return activation @ self.write_directions()


class SubcomponentDictionary:
    """A decomposition's subcomponents on its target."""

    kind = "subcomponents"

    def __init__(self, decomposition: Decomposition, target: Target, name: str) -> None:
        decomposition.check_target(target.identity.digest)
        self.decomposition = decomposition.to(target.device)
        self.name, self.digest, self.target = name, decomposition.digest(), decomposition.target
        self.groups: dict[str, SubcomponentFeatures] = {
            site: SubcomponentFeatures(pieces, target.site(site)) for site, pieces in self.decomposition.sites.items()
        }
        self.across_tokens = find_importance(decomposition.importance_kind).across_tokens
        """Whether a token's reading depends on the other tokens of its window, padding among them."""
        # ||u|| v once: asked for at every batch, the norms would cost as much as the product.
        self._readers = {site: pieces.V * pieces.U.norm(dim=-1) for site, pieces in self.decomposition.sites.items()}

    def encode(self, values: Mapping[str, Float[Tensor, "*n d_in"]]) -> dict[str, Reading]:
        floats = {site: x.float() for site, x in values.items()}
        importances = self.decomposition.importances(floats)
        return {site: Reading(importances[site], x @ self._readers[site]) for site, x in floats.items()}


def subcomponent_dictionary(decomposition: Decomposition, target: Target, name: str = "") -> SubcomponentDictionary:
    """A decomposition as a dictionary of features; raises ``UnweaveError`` when it belongs to another target."""
    return SubcomponentDictionary(decomposition, target, name or decomposition.target_name or "decomposition")


def feature_counts(dictionary: Dictionary) -> dict[str, int]:
    """How many features each group has; raises ``UnweaveError`` for a dictionary without any."""
    counts = {name: len(features) for name, features in dictionary.groups.items()}
    if not sum(counts.values()):
        raise UnweaveError(f"{dictionary.name} has no features")
    return counts


def fires(reading: Reading) -> Bool[Tensor, "*n c"]:
    """Where features fire."""
    return torch.gt(reading.importance, FIRES)
