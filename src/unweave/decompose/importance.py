"""Importance functions: from the inputs of the sites to how much each subcomponent is needed, token by token.

Four kinds are registered in ``IMPORTANCES``. The first two look at one site at a time, the others at all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import gelu

from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import torch_generator
from unweave.decompose.attention import attend
from unweave.decompose.numerics import lower_leaky, root_mean_square_norm

START = 0.5
"""Bias of every output at the start, so that every subcomponent begins half on and can fall."""


class Importance(NamedTuple):
    """A two-layer MLP shared by the site's subcomponents: ``logits = gelu(x/scale A + a) B + b``."""

    scale: Float[Tensor, ""]
    A: Float[Tensor, "d_in hidden"]
    a: Float[Tensor, " hidden"]
    B: Float[Tensor, "hidden c"]
    b: Float[Tensor, " c"]

    def to(self, device: torch.device) -> Importance:
        return Importance(*(tensor.to(device) for tensor in self))

    def logits(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n c"]:
        return importance_logits(x / self.scale, self.A, self.a, self.B, self.b)

    def __call__(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n c"]:
        """Causal importances in [0, 1], per token and subcomponent."""
        return lower_leaky(self.logits(x))


class ComponentImportance(NamedTuple):
    """A small MLP for each subcomponent that sees only its own response: ``gelu((v.x/scale) A_c + a_c) . B_c + b_c``.

    Source: SPD, section 3; VPD's repository calls it ``mlp``.
    """

    scale: Float[Tensor, ""]
    V: Float[Tensor, "d_in c"]
    A: Float[Tensor, "hidden c"]
    a: Float[Tensor, "hidden c"]
    B: Float[Tensor, "hidden c"]
    b: Float[Tensor, " c"]

    def to(self, device: torch.device) -> ComponentImportance:
        return ComponentImportance(*(tensor.to(device) for tensor in self))

    def logits(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n c"]:
        response = ((x / self.scale) @ self.V).unsqueeze(-2)
        return (gelu(response * self.A + self.a) * self.B).sum(-2) + self.b

    def __call__(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n c"]:
        """Causal importances in [0, 1], per token and subcomponent."""
        return lower_leaky(self.logits(x))


class NeedsAllSites:
    """Stands where a site's importance function would be, when importances come from all sites' inputs at once."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, x: Tensor) -> Tensor:
        raise UnweaveError(
            f"importances of this decomposition come from the inputs of all its sites at once ({self.kind}): "
            "use Decomposition.importances with every site's input"
        )

    logits = __call__


def importance_logits(
    x: Float[Tensor, "*n d_in"],
    A: Float[Tensor, "d_in hidden"],
    a: Float[Tensor, " hidden"],
    B: Float[Tensor, "hidden c"],
    b: Float[Tensor, " c"],
) -> Float[Tensor, "*n c"]:
    """The MLP on an already scaled input."""
    return gelu(x @ A + a) @ B + b


def init_importance(d_in: int, hidden: int, count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Kaiming-scaled weights; output biases at ``START``."""
    return {
        "A": torch.randn(d_in, hidden, generator=generator) * (2 / d_in) ** 0.5,
        "a": torch.zeros(hidden),
        "B": torch.randn(hidden, count, generator=generator) * (1 / hidden) ** 0.5,
        "b": torch.full((count,), START),
    }


@dataclass(frozen=True)
class SiteShape:
    """What an importance function is built for: a site's input width and its number of subcomponents."""

    name: str
    d_in: int
    count: int


@dataclass(frozen=True)
class Widths:
    """Sizes of an importance function: width, and blocks and heads where there are any."""

    hidden: int
    depth: int = 2
    heads: int = 4


Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class ImportanceKind:
    """A registered kind. Tensors are named ``importance.NAME``, those of one site ``SITE/importance.NAME``."""

    init: Callable[[Sequence[SiteShape], Widths, int], dict[str, Tensor]]
    """Initial tensors for sites, widths and a seed; input scales are added by whoever measured them."""
    logits: Callable[[Tensors, Mapping[str, Tensor]], dict[str, Tensor]]
    """Logits (*rows, C) by site, from all tensors of a decomposition and the inputs (*rows, d_in) by site."""
    one_site: Callable[[str, Tensors], Callable[[Tensor], Tensor]] | None
    """The function of one site alone; None when a site's importances depend on other sites' inputs."""
    per_subcomponent: tuple[str, ...]
    """Names of the sites' tensors whose last dimension is the subcomponents: what pruning shortens."""
    across_tokens: bool = False
    """Whether a token's importances depend on the other tokens of its row, those after it too."""


def find_importance(kind: str) -> ImportanceKind:
    """A registered kind by name; raises ``UnweaveError`` with the nearest."""
    if kind not in IMPORTANCES:
        raise UnweaveError(f"importance function {kind!r} is not known; {nearest(kind, IMPORTANCES)}")
    return IMPORTANCES[kind]


def _site_mlp_init(sites: Sequence[SiteShape], widths: Widths, seed: int) -> dict[str, Tensor]:
    return {
        f"{site.name}/importance.{name}": tensor
        for site in sites
        for name, tensor in init_importance(
            site.d_in, widths.hidden, site.count, torch_generator(seed, "importance", site.name)
        ).items()
    }


def _site_mlp(site: str, tensors: Tensors) -> Importance:
    return Importance(*(tensors[f"{site}/importance.{name}"] for name in Importance._fields))


def _site_mlp_logits(tensors: Tensors, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {site: _site_mlp(site, tensors).logits(x) for site, x in inputs.items()}


def _component_mlp_init(sites: Sequence[SiteShape], widths: Widths, seed: int) -> dict[str, Tensor]:
    found = {}
    for site in sites:
        generator = torch_generator(seed, "importance", site.name)
        shape = (widths.hidden, site.count)
        found |= {
            f"{site.name}/importance.A": torch.randn(shape, generator=generator) * math.sqrt(2),
            f"{site.name}/importance.a": torch.zeros(shape),
            f"{site.name}/importance.B": torch.randn(shape, generator=generator) * (1 / widths.hidden) ** 0.5,
            f"{site.name}/importance.b": torch.full((site.count,), START),
        }
    return found


def _component_mlp(site: str, tensors: Tensors) -> ComponentImportance:
    own = {name: tensors[f"{site}/importance.{name}"] for name in ("scale", "A", "a", "B", "b")}
    return ComponentImportance(V=tensors[f"{site}/V"], **own)


def _component_mlp_logits(tensors: Tensors, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {site: _component_mlp(site, tensors).logits(x) for site, x in inputs.items()}


def _scaled(tensors: Tensors, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """The inputs in the order of the sites' names, each at unit scale, where the function's own tensors are."""
    home = next(tensor.device for name, tensor in tensors.items() if name.startswith("importance."))
    return [(inputs[site] / tensors[f"{site}/importance.scale"]).to(home) for site in sorted(inputs)]


def _heads(tensors: Tensors, inputs: Mapping[str, Tensor], hidden: Tensor) -> dict[str, Tensor]:
    return {
        site: hidden.to(x.device) @ tensors[f"{site}/importance.B"] + tensors[f"{site}/importance.b"]
        for site, x in inputs.items()
    }


def _init_heads(sites: Sequence[SiteShape], width: int, seed: int) -> dict[str, Tensor]:
    found = {}
    for site in sites:
        generator = torch_generator(seed, "importance", site.name)
        found[f"{site.name}/importance.B"] = torch.randn(width, site.count, generator=generator) * (1 / width) ** 0.5
        found[f"{site.name}/importance.b"] = torch.full((site.count,), START)
    return found


def _shared_mlp_init(sites: Sequence[SiteShape], widths: Widths, seed: int) -> dict[str, Tensor]:
    width = sum(site.d_in for site in sites)
    generator = torch_generator(seed, "importance", "shared")
    return {
        "importance.A": torch.randn(width, widths.hidden, generator=generator) * (2 / width) ** 0.5,
        "importance.a": torch.zeros(widths.hidden),
        **_init_heads(sites, widths.hidden, seed),
    }


def _shared_mlp_logits(tensors: Tensors, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One hidden layer on all inputs side by side, one output layer a site (``global_shared_mlp``)."""
    hidden = gelu(torch.cat(_scaled(tensors, inputs), -1) @ tensors["importance.A"] + tensors["importance.a"])
    return _heads(tensors, inputs, hidden)


def _transformer_init(sites: Sequence[SiteShape], widths: Widths, seed: int) -> dict[str, Tensor]:
    if widths.hidden % (2 * widths.heads):
        raise UnweaveError(
            f"hidden is {widths.hidden} with {widths.heads} heads: a head's width must be a whole, even number"
        )
    wide, d = sum(site.d_in for site in sites), widths.hidden
    generator = torch_generator(seed, "importance", "transformer")

    def matrix(d_in: int, d_out: int, gain: float = 1.0) -> Tensor:
        return torch.randn(d_in, d_out, generator=generator) * gain / d_in**0.5

    found = {"importance.in": matrix(wide, d), "importance.in_bias": torch.zeros(d)}
    # The number of heads cannot be read off a shape, so each head has its own slice of the attention matrices.
    heads, width = widths.heads, d // widths.heads
    for block in range(widths.depth):
        at = f"importance.blocks.{block}"
        found[f"{at}.qkv"] = matrix(d, 3 * d).reshape(d, 3, heads, width).permute(1, 2, 0, 3).contiguous()
        found[f"{at}.o"] = matrix(d, d, 0.5).reshape(heads, width, d)
        found |= {f"{at}.up": matrix(d, 4 * d, math.sqrt(2)), f"{at}.up_bias": torch.zeros(4 * d)}
        found |= {f"{at}.down": matrix(4 * d, d, 0.5), f"{at}.down_bias": torch.zeros(d)}
    return found | _init_heads(sites, d, seed)


def _transformer_logits(tensors: Tensors, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pre-norm blocks with attention in both directions over the normalised inputs side by side (VPD's own run)."""
    normed = [root_mean_square_norm(x) for x in _scaled(tensors, inputs)]
    stream = torch.cat(normed, -1) @ tensors["importance.in"] + tensors["importance.in_bias"]
    block = 0
    while f"importance.blocks.{block}.o" in tensors:
        at = f"importance.blocks.{block}"
        stream = stream + attend(root_mean_square_norm(stream), tensors[f"{at}.qkv"], tensors[f"{at}.o"])
        inner = gelu(root_mean_square_norm(stream) @ tensors[f"{at}.up"] + tensors[f"{at}.up_bias"])
        stream = stream + inner @ tensors[f"{at}.down"] + tensors[f"{at}.down_bias"]
        block += 1
    return _heads(tensors, inputs, root_mean_square_norm(stream))


IMPORTANCES: dict[str, ImportanceKind] = {
    "site-mlp": ImportanceKind(_site_mlp_init, _site_mlp_logits, _site_mlp, ("B", "b")),
    "component-mlp": ImportanceKind(_component_mlp_init, _component_mlp_logits, _component_mlp, ("A", "a", "B", "b")),
    "shared-mlp": ImportanceKind(_shared_mlp_init, _shared_mlp_logits, None, ("B", "b")),
    "transformer": ImportanceKind(_transformer_init, _transformer_logits, None, ("B", "b"), across_tokens=True),
}
