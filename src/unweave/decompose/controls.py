"""Controls of a quality ladder: what other pieces of the same matrices do under masks of the same kinds.

``svd``: the singular pieces of every matrix. In each row a site's pieces that act most there are on, as many as the
decomposition has importances above 0 in a row of that site on average, rounded up: the control is never given less.

``random``: the decomposition itself with every piece turned in a random direction of the same size on both sides, and
with the decomposition's own importances. Published work compares with a decomposition of a network of random weights
(goodfire-ai/spd, issue 150, no numbers given); that one is trained anew, see ``shuffled.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import torch_generator
from unweave.decompose import numerics
from unweave.decompose.decomposition import Decomposition, random_like
from unweave.decompose.masked import Pieces
from unweave.decompose.ruler import Arm

Importances = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class ControlKind:
    """How a control is made, and how much worse than the decomposition it has to be."""

    arm: Callable[[Decomposition, Mapping[str, Tensor], Mapping[str, float], Importances, int], Arm]
    active: Callable[[Mapping[str, float]], float]
    described: str
    at_least: float
    """The control's KL over the decomposition's, for the decomposition to pass."""

    def failure(self, masks: str, ours: float, control: float) -> str | None:
        """What is wrong when the control's KL is too low, in a sentence."""
        if ours * self.at_least < control:
            return None
        wanted = "below" if self.at_least == 1 else f"{self.at_least:g} times below"
        return f"KL under {masks} is {ours:.3f} nats, not {wanted} the {control:.3f} of {self.described}"


def control_arm(
    name: str,
    made: Decomposition,
    weights: Mapping[str, Float[Tensor, "d_out d_in"]],
    active: Mapping[str, float],
    importances: Importances,
    seed: int,
) -> Arm:
    """The arm of a control; ``active`` holds the decomposition's mean count of importances above 0 by site.

    Raises ``UnweaveError`` for a control that there is not.
    """
    if name not in CONTROLS:
        raise UnweaveError(f"there is no control {name!r}; {nearest(name, CONTROLS)}")
    return CONTROLS[name].arm(made, weights, active, importances, seed)


def singular_pieces(weight: Float[Tensor, "d_out d_in"]) -> Pieces:
    """``v`` a right singular vector, ``u`` its left one times the singular value, largest first."""
    U, S, Vh = torch.linalg.svd(weight.float(), full_matrices=False)
    return Pieces(Vh.T.contiguous(), S[:, None] * U.T)


def _singular(
    made: Decomposition, weights: Mapping[str, Tensor], active: Mapping[str, float], _: Importances, seed: int
) -> Arm:
    pieces = {name: singular_pieces(weights[name]) for name in made.sites}
    sizes = {name: U.norm(dim=1) for name, (_, U) in pieces.items()}

    def importances(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: numerics.keep_largest(((inputs[name] @ V) * sizes[name]).abs(), math.ceil(active[name]))
            for name, (V, _) in pieces.items()
        }

    return Arm(pieces, importances)


def _random(
    made: Decomposition, weights: Mapping[str, Tensor], _: Mapping[str, float], importances: Importances, seed: int
) -> Arm:
    pieces = {}
    for name, site in made.sites.items():
        turned = random_like(site.to(torch.device("cpu")), torch_generator(seed, "random pieces", name))
        pieces[name] = Pieces(turned.V.to(weights[name].device), turned.U.to(weights[name].device))
    return Arm(pieces, importances)


CONTROLS = {
    "svd": ControlKind(
        _singular,
        lambda active: float(sum(map(math.ceil, active.values()))),
        "the SVD's pieces, as many a token",
        at_least=1,
    ),
    "random": ControlKind(
        _random, lambda active: sum(active.values()), "pieces in random directions of the same sizes", at_least=2
    ),
}
