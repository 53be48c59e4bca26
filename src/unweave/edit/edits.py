"""Edits of a target's weights: factors on subcomponents or low-rank adapters, applied, undone bit for bit, stacked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.base.errors import UnweaveError, nearest
from unweave.decompose.decomposition import Decomposition, Subcomponent
from unweave.models.target import Target, identify


class Edit(Protocol):
    """A change of weights of low rank at each site it touches: ``W + B A``."""

    @property
    def name(self) -> str: ...

    @property
    def target(self) -> str:
        """Identity of the target that the edit belongs to."""
        ...

    def sites(self) -> list[str]: ...

    def low_rank(self, site: str) -> tuple[Float[Tensor, "r d_in"], Float[Tensor, "d_out r"]]:
        """``A`` (read directions in rows) and ``B`` (write directions in columns)."""
        ...


@dataclass(frozen=True)
class FactorEdit:
    """Factors on subcomponents: ``W + sum_c (alpha_c - 1) u_c v_c^T`` at each site.

    A factor of 1 leaves a piece as it is, 0 removes it, a negative one turns it round.
    """

    pieces: tuple[tuple[Subcomponent, float], ...]
    target: str
    name: str

    @classmethod
    def of(
        cls, decomposition: Decomposition, factors: Mapping[tuple[str, int], float], name: str | None = None
    ) -> FactorEdit:
        """From a mapping of (site, index) to factor."""
        pieces = [(decomposition.subcomponent(*key), factor) for key, factor in factors.items()]
        return cls.on_pieces(pieces, decomposition.target, name)

    @classmethod
    def on_pieces(cls, pieces: list[tuple[Subcomponent, float]], target: str, name: str | None = None) -> FactorEdit:
        """From pieces and their factors; raises ``UnweaveError`` for a factor that is not finite."""
        for piece, factor in pieces:
            if factor != factor or abs(factor) == float("inf"):
                raise UnweaveError(f"the factor of {piece.name} is {factor}, and it must be a finite number")
        if not pieces:
            raise UnweaveError("an edit needs at least one subcomponent, and got none")
        first, factor = pieces[0]
        title = f"{first.name} x {factor:.4g}" + (f" and {len(pieces) - 1} more" if len(pieces) > 1 else "")
        return cls(tuple((piece, float(factor)) for piece, factor in pieces), target, name or title)

    def with_factor(self, factor: float) -> FactorEdit:
        """The same pieces, all with one factor."""
        return replace(self, pieces=tuple((piece, factor) for piece, _ in self.pieces))

    def sites(self) -> list[str]:
        return list(dict.fromkeys(piece.site for piece, _ in self.pieces))

    def places(self) -> set[tuple[str, int]]:
        """Site and index of each piece."""
        return {(piece.site, piece.index) for piece, _ in self.pieces}

    def low_rank(self, site: str) -> tuple[Float[Tensor, "r d_in"], Float[Tensor, "d_out r"]]:
        here = [(piece, factor) for piece, factor in self.pieces if piece.site == site]
        A = torch.stack([piece.v for piece, _ in here])
        B = torch.stack([(factor - 1.0) * piece.u for piece, factor in here], dim=1)
        return A, B


@dataclass(frozen=True)
class AdapterEdit:
    """A trained adapter, kept as the product it adds to each weight (LoRA's scaling already inside ``B``)."""

    matrices: Mapping[str, tuple[Float[Tensor, "r d_in"], Float[Tensor, "d_out r"]]]
    target: str
    name: str

    def sites(self) -> list[str]:
        return list(self.matrices)

    def low_rank(self, site: str) -> tuple[Float[Tensor, "r d_in"], Float[Tensor, "d_out r"]]:
        return self.matrices[site]


class EditStack:
    """Edits on one target that can be listed and undone in any order.

    The original tensor of every touched site is kept. Each change recomputes the touched sites from it and the edits
    that remain, so undoing the last edit restores the bits, and the order of the others does not matter.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._original: dict[str, Tensor] = {}
        self._edits: list[Edit] = []

    def __repr__(self) -> str:
        return f"EditStack({self.list()})"

    def list(self) -> list[str]:
        """Names of the edits now applied, oldest first."""
        return [edit.name for edit in self._edits]

    def apply(self, edit: Edit) -> None:
        """Adds an edit. One made for another target, or for a site that is not here, is refused."""
        if edit.target != self.target.identity.digest:
            raise UnweaveError(
                f"edit {edit.name!r} belongs to target {edit.target}, not to {self.target.identity.digest}"
            )
        if edit.name in self.list():
            raise UnweaveError(f"an edit named {edit.name!r} is already applied: undo it first, or rename this one")
        sites = [self.target.site(name) for name in edit.sites()]
        for site in sites:
            A, B = edit.low_rank(site.name)
            if (A.shape[1], B.shape[0]) != (site.d_in, site.d_out):
                raise UnweaveError(
                    f"edit {edit.name!r} maps {A.shape[1]} to {B.shape[0]} at {site.name!r}, "
                    f"which maps {site.d_in} to {site.d_out}"
                )
            if A.shape[0] != B.shape[1]:
                raise UnweaveError(
                    f"edit {edit.name!r} reads {A.shape[0]} directions and writes {B.shape[1]} at {site.name!r}: "
                    "the two must be equal"
                )
            if not (torch.isfinite(A).all() and torch.isfinite(B).all()):
                raise UnweaveError(f"edit {edit.name!r} has NaN or infinite values at {site.name!r}: make it again")
        for site in sites:
            self._original.setdefault(site.name, self.target.weight(site).clone())
        self._edits.append(edit)
        for site in sites:
            self._rebuild(site.name)

    def undo(self, name: str) -> None:
        """Takes an edit away, whatever was applied after it."""
        found = [edit for edit in self._edits if edit.name == name]
        if not found:
            raise UnweaveError(f"no edit named {name!r} is applied; {nearest(name, self.list())}")
        # Not list.remove: it compares edits, and comparing two on the same piece would compare tensors.
        self._edits = [edit for edit in self._edits if edit is not found[0]]
        for site in found[0].sites():
            self._rebuild(site)

    def undo_all(self) -> None:
        for name in self.list():
            self.undo(name)

    def merge(self) -> None:
        """Makes the applied edits permanent: nothing can be undone any more, and the target gets a new identity."""
        self._edits.clear()
        self._original.clear()
        self.target.identity = identify(self.target.module, self.target.tokenizer)

    def _rebuild(self, name: str) -> None:
        site = self.target.site(name)
        original = self._original[name]
        here = [edit for edit in self._edits if name in edit.sites()]
        with torch.no_grad():
            self.target.write_weight(site, edited_weight(original, here, name))
        if not here:
            del self._original[name]


@contextmanager
def applied(target: Target, *edits: Edit) -> Iterator[Target]:
    """Applies edits inside the block and restores the saved weights, bit for bit, at its end."""
    stack = EditStack(target)
    try:
        for edit in edits:
            stack.apply(edit)
        yield target
    finally:
        stack.undo_all()


def edited_weight(weight: Float[Tensor, "d_out d_in"], edits: list[Edit], site: str) -> Float[Tensor, "d_out d_in"]:
    """``W + sum B A`` over the edits, summed in float32 (or the weight's own dtype where that is wider)."""
    total = weight.to(torch.promote_types(weight.dtype, torch.float32), copy=True)
    for edit in edits:
        A, B = edit.low_rank(site)
        # Factors of exactly 1 add nothing, so that the identity edit leaves every bit alone.
        active = B.abs().sum(0) > 0
        if active.any():
            total += (B[:, active] @ A[active]).to(total)
    return total.to(weight.dtype)
