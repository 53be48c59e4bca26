"""What counts as given when effects are read: a norm's scale, and the pattern of attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unweave.base.errors import UnweaveError
from unweave.models.sites import Site
from unweave.models.target import Target

QUERIES = ("q_proj", "q", "query", "q_lin", "query_proj", "wq")
KEYS = ("k_proj", "k", "key", "k_lin", "key_proj", "wk")
VALUES = ("v_proj", "v", "value", "v_lin", "value_proj", "wv")
"""What transformers calls the matrices of attention, and the blocks of fused ones."""


def query_key_sites(target: Target) -> list[Site]:
    """The sites that alone decide the attention pattern; where their outputs are given, the pattern is.

    Raises ``UnweaveError`` where no such matrices are known, or an attention that has values lacks them.
    """
    parts: dict[str, dict[str, Site]] = {}
    for name, site in target.all_sites().items():
        owner, _, last = name.rpartition(".")
        for kind, known in (("query", QUERIES), ("key", KEYS), ("value", VALUES)):
            if last in known:
                parts.setdefault(owner, {})[kind] = site
    lacking = [owner for owner, found in parts.items() if not {"query", "key"} <= set(found)]
    if not parts or lacking:
        where = f"attention {lacking[0]!r} has no query and key matrices" if lacking else "no attention is found"
        raise UnweaveError(
            f"attention='values only' holds what query and key matrices give, and in {target.name} {where} by name "
            f"({', '.join(QUERIES[:3])}, ...): use attention='through'"
        )
    return [found[kind] for found in parts.values() for kind in ("query", "key")]


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a LayerNorm or an RMSNorm, by its class or, for those of transformers, its class's name."""
    return isinstance(module, nn.LayerNorm) or type(module).__name__.endswith(("RMSNorm", "LayerNorm"))


def frozen_scale(name: str) -> Any:
    """A forward hook under which a norm gives the same values, and its gradient that of a scale which is given.

    Raises ``UnweaveError`` for a norm of another form.
    """

    def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = args[0]
        with torch.no_grad():
            scale, shift = _scale(module, x)
        centred = x - x.mean(-1, keepdim=True) if isinstance(module, nn.LayerNorm) else x
        found = centred.to(scale.dtype) * scale + shift
        size = float(output.detach().abs().max())
        if not torch.allclose(found.detach().float(), output.detach().float(), rtol=1e-2, atol=1e-3 * size):
            raise UnweaveError(
                f"{name} is a {type(module).__name__} of a form that is not known, so its scale cannot be held: use "
                "norms='through'"
            )
        # The module's own values to the last bit; the difference carries no gradient.
        return found.to(output.dtype) + (output - found.to(output.dtype)).detach()

    return hook


def _scale(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | float]:
    """What a norm multiplies its (centred) input by, row by row, and what it adds."""
    floats = x.float()
    if isinstance(module, nn.LayerNorm):
        rate = torch.rsqrt(floats.var(-1, keepdim=True, correction=0) + module.eps)
        weight = 1.0 if module.weight is None else module.weight.float()
        return rate * weight, 0.0 if module.bias is None else module.bias.float()
    epsilon = next(
        (getattr(module, each) for each in ("variance_epsilon", "eps", "epsilon") if hasattr(module, each)), 0
    )
    epsilon = torch.finfo(x.dtype).eps if epsilon is None else float(epsilon)
    # Weights are kept as w or as 1 + w; what the module does to ones tells.
    ones = type(module).forward(module, torch.ones_like(x[..., :1, :]))
    weight = ones.float() * (1 + epsilon) ** 0.5
    return torch.rsqrt(floats.square().mean(-1, keepdim=True) + epsilon) * weight, 0.0
