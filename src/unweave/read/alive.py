"""The subcomponents that are alive in one prompt, a position each, and what the model predicts with some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.masked import Mask, MaskedTarget, Pieces, check_rows
from unweave.decompose.numerics import divergence_kl
from unweave.models.target import Target


@dataclass(frozen=True)
class Behaviour:
    """What is to be kept: the target's next-token distribution on a prompt, at some of its positions.

    ``among`` are the tokens that the distribution is over, such as an answer and another one; None: all of them.
    """

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    among: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        count = len(self.tokens)
        for position in self.positions:
            if not 0 <= position < count:
                raise UnweaveError(f"position {position} is not in the prompt, which has {count} tokens")
        if not self.positions:
            raise UnweaveError("a behaviour needs at least one position")
        if self.among is not None and len(set(self.among)) < 2:
            raise UnweaveError(f"among is {self.among}, and a choice needs two different tokens or more")

    def divergence(self, logits: Float[Tensor, "r p v"], wanted: Float[Tensor, "1 p v"]) -> Float[Tensor, " r"]:
        """KL from the target's prediction, nats, averaged over the behaviour's positions."""
        rows = [position - (len(self.tokens) - wanted.shape[1]) for position in self.positions]
        if min(rows) < 0:
            raise UnweaveError(f"nothing is predicted at position {min(self.positions)}: choose a later one")
        chosen, base = logits[:, rows], wanted[:, rows]
        if self.among is not None:
            if max(self.among) >= wanted.shape[-1]:
                raise UnweaveError(f"token {max(self.among)} has no logit: there are {wanted.shape[-1]}")
            chosen, base = chosen[..., list(self.among)], base[..., list(self.among)]
        return divergence_kl(chosen, base.expand_as(chosen)).mean(-1)


class _Part(NamedTuple):
    """A site's share of all nodes."""

    nodes: slice
    columns: Int[Tensor, " k"]
    """Subcomponents that are alive anywhere in the prompt."""
    cells: Int[Tensor, " m"]
    """Place of each node among rows x columns."""


class AliveNodes:
    """All (position, site, index) of a prompt whose causal importance is above 0, in a flat order.

    What is not alive is off, and so are the deltas: a model of exactly these nodes.
    """

    def __init__(self, target: Target, decomposition: Decomposition, behaviour: Behaviour) -> None:
        decomposition.check_target(target.identity.digest)
        decomposition.check_base(None)
        made = decomposition.to(target.device)
        self.behaviour, self.made = behaviour, made
        self.model = MaskedTarget(target, [target.site(name) for name in made.sites])
        self.tokens = torch.tensor([behaviour.tokens], device=target.device)
        with torch.no_grad(), self.model.attached():
            self.wanted, inputs = self.model.clean(self.tokens)
            self.rows = check_rows(inputs, self.model.sites, self.tokens)[1]
            importances = made.importances(inputs)
            behaviour.divergence(self.wanted, self.wanted)
        self._parts: dict[str, _Part] = {}
        self._pieces: dict[str, Pieces] = {}
        ids, found, count = [], [], 0
        offset = len(behaviour.tokens) - self.rows
        for name, g in importances.items():
            alive = g[0] > 0
            columns = alive.any(0).nonzero()[:, 0]
            rows, places = alive[:, columns].nonzero(as_tuple=True)
            if not len(rows):
                continue
            self._parts[name] = _Part(slice(count, count + len(rows)), columns, rows * len(columns) + places)
            site = made.site(name)
            self._pieces[name] = Pieces(site.V[:, columns], site.U[columns])
            found.append(g[0][rows, columns[places]])
            pairs = zip(columns[places].tolist(), rows.tolist(), strict=True)
            ids += [f"{name}:{index}@{row + offset}" for index, row in pairs]
            count += len(rows)
        if not count:
            raise UnweaveError("no subcomponent is alive in this prompt, so it has no circuit: give another prompt")
        self.ids: tuple[str, ...] = tuple(ids)
        self.importance: Float[Tensor, " nodes"] = torch.cat(found)

    def __len__(self) -> int:
        return len(self.ids)

    @contextmanager
    def attached(self) -> Iterator[AliveNodes]:
        """Inside, masks act on the model."""
        with self.model.attached():
            yield self

    def divergence(self, masks: Float[Tensor, "r nodes"]) -> Float[Tensor, " r"]:
        """KL from the target's prediction with every node scaled by its mask, for several masks at once."""
        copies = len(masks)
        placed = {}
        for name in self.made.sites:
            if name not in self._parts:
                continue
            part = self._parts[name]
            width = len(part.columns)
            empty = masks.new_zeros(copies, self.rows * width)
            pieces = empty.index_copy(1, part.cells, masks[:, part.nodes]).view(copies, self.rows, width)
            placed[name] = Mask(pieces, masks.new_zeros(copies, self.rows, 1))
        pieces = dict(self._pieces)
        for name in self.made.sites:
            if name not in self._parts:
                # Not alive anywhere: the site is off, its bias apart.
                site = self.made.site(name)
                pieces[name] = Pieces(site.V[:, :1], site.U[:1])
                off = masks.new_zeros(copies, self.rows, 1)
                placed[name] = Mask(off, off)
        logits = self.model.masked(self.tokens.expand(copies, -1), pieces, placed)
        return self.behaviour.divergence(logits, self.wanted)

    def places(self, ids: Sequence[str]) -> Bool[Tensor, " nodes"]:
        """Where nodes of those ids are; raises ``UnweaveError`` for one that is not alive."""
        known: Mapping[str, int] = {name: number for number, name in enumerate(self.ids)}
        found = torch.zeros(len(self), dtype=torch.bool, device=self.importance.device)
        for name in ids:
            if name not in known:
                raise UnweaveError(f"node {name!r} is not alive in this prompt")
            found[known[name]] = True
        return found
