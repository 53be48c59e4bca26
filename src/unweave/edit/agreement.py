"""Whether what was exported agrees with the edit: logits on fixed tokens, allowing for rounding and no more."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.seeds import torch_generator
from unweave.edit.edits import Edit, applied
from unweave.models.target import Target

TOLERANCE = 1e-4
_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Expected:
    """The logits that whatever is exported must give on ``tokens``, and the plain target's for comparison."""

    target: Target
    tokens: Int[Tensor, "n t"]
    plain: Float[Tensor, "n t v"]
    edited: Float[Tensor, "n t v"]

    @property
    def effect(self) -> float:
        return float((self.edited - self.plain).abs().max())

    def difference(self, exported: Target) -> tuple[float, float]:
        """Largest absolute difference of logits and what was allowed; raises ``UnweaveError`` when it is more."""
        found, tolerance = float((_logits(exported, self.tokens) - self.edited).abs().max()), TOLERANCE
        if not found <= tolerance:
            tolerance = max(tolerance, 2 * self.rounding())
        if not found <= tolerance:
            raise UnweaveError(
                f"what was written differs from the edit by {found:.3g} in the logits (allowed: {tolerance:.3g}), "
                "so it was removed: report this with the name of the model"
            )
        return found, tolerance

    def rounding(self) -> float:
        """How far the plain target's logits are from those of its own weights in the next wider precision."""
        wide = torch.float32 if self.target.dtype in _HALF else torch.float64
        device = self.target.device if wide is torch.float32 else torch.device("cpu")  # not all devices have float64
        exact = replace(self.target, module=copy.deepcopy(self.target.module).to(device, wide))
        return float((self.plain - _logits(exact, self.tokens)).abs().max())


def expect(target: Target, edits: Sequence[Edit]) -> Expected:
    """Runs the target on fixed random tokens, plain and with the edits applied."""
    length = min(32, getattr(getattr(target.module, "config", None), "max_position_embeddings", 32) or 32)
    tokens = torch.randint(target.vocabulary, (2, length), generator=torch_generator(0, "export"))
    plain = _logits(target, tokens)
    with applied(target, *edits):
        return Expected(target, tokens, plain, _logits(target, tokens))


def _logits(target: Target, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t v"]:
    with torch.no_grad():
        return target.logits(tokens).cpu().to(torch.promote_types(target.dtype, torch.float32))
