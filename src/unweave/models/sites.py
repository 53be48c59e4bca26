"""Sites: the weight matrices of a module that can be taken apart, named by dotted path.

A fused matrix is no site: its blocks are, named after it (``transformer.h.0.attn.c_attn.q``). Matrices that cannot be
taken apart are refused by name, with the reason.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from unweave.base.errors import UnweaveError, nearest
from unweave.models.fused import Block, fused_blocks


@dataclass(frozen=True)
class Site:
    """One weight matrix of a target. ``layer`` is the index of the block it stands in, or None outside the blocks."""

    name: str
    kind: str
    d_in: int
    d_out: int
    bias: bool
    layer: int | None
    block: Block | None = None
    """Its rows, where it is one of the matrices in a fused one."""

    @property
    def module(self) -> str:
        """The dotted path of the module that is called: the name, without the block's part."""
        return self.name if self.block is None else self.name.rpartition(".")[0]

    def part(self, output: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d_out"]:
        """The site's part of its module's output."""
        return output if self.block is None else self.block.take(output)

    def replaced(self, output: Float[Tensor, "*n d"], new: Float[Tensor, "*n d_out"]) -> Float[Tensor, "*n d"]:
        """The module's output with the site's part replaced."""
        return new if self.block is None else self.block.put(output, new)


def list_sites(module: nn.Module, blocks: str | None) -> dict[str, Site]:
    """All ``nn.Linear`` and transformers ``Conv1D`` matrices by name, the output embedding left out.

    The output embedding is left out because it is the unembedding (often tied to the embedding), which parameter
    decomposition does not take apart (VPD, section 2). Quantised or integer weights are not sites.
    """
    sites: dict[str, Site] = {}
    for each in _matrices(module):
        names = {each.name: None} if each.blocks is None else {f"{each.name}.{n}": b for n, b in each.blocks.items()}
        for name, block in names.items():
            d_out = each.d_out if block is None else block.width
            layer = _layer(name, blocks)
            sites[name] = Site(name, each.kind, each.d_in, d_out, each.module.bias is not None, layer, block)
    return sites


def list_refused(module: nn.Module) -> dict[str, str]:
    """Matrices of the module that are no sites, each with the reason; embeddings are not counted among them."""
    output, known = _output_embedding(module), {each.name: each for each in _matrices(module)}
    found = {
        name: "it holds several matrices in one (fused), and how is not known for model type "
        f"{module.config.model_type!r}: take other sites apart, or add its layout to models/fused.py"  # type: ignore[union-attr]
        for name, each in known.items()
        if each.blocks == {}
    }
    for name, child in module.named_modules():
        if child is output or isinstance(child, nn.Embedding | nn.EmbeddingBag):
            continue
        for parameter, weight in child.named_parameters(name, recurse=False):
            whole = name if parameter == f"{name}.weight" else parameter
            if weight.ndim >= 2 and whole not in known:
                found[whole] = _reason(child, weight)
    return found


def _reason(child: nn.Module, weight: Tensor) -> str:
    if weight.ndim == 3 and not isinstance(child, nn.modules.conv._ConvNd):
        return (
            f"it is a bank of {len(weight)} matrices in one tensor (experts), and each sees only the tokens routed to "
            "it, inside one call that no hook can reach: take the attention or a shared expert apart"
        )
    if not weight.is_floating_point():
        return f"its weight is {str(weight.dtype).removeprefix('torch.')}: load the model unquantised"
    return (
        f"it belongs to a {type(child).__name__}, and only nn.Linear and transformers' Conv1D are known to multiply "
        "their input by their weight"
    )


class _Matrix(NamedTuple):
    """A module that multiplies its input by a floating-point matrix; ``blocks`` as ``fused_blocks`` gives them."""

    name: str
    module: nn.Linear
    kind: str
    d_in: int
    d_out: int
    blocks: dict[str, Block] | None


def _matrices(module: nn.Module) -> Iterator[_Matrix]:
    output, config = _output_embedding(module), getattr(module, "config", None)
    for name, child in module.named_modules():
        kind = _kind(child)
        if kind is None or child is output:
            continue
        weight = child.weight
        if not isinstance(weight, Tensor) or not weight.is_floating_point() or weight.ndim != 2:
            continue
        d_out, d_in = weight.shape if kind == "linear" else weight.shape[::-1]
        yield _Matrix(name, child, kind, d_in, d_out, fused_blocks(config, name, d_out))  # type: ignore[arg-type]


def _output_embedding(module: nn.Module) -> nn.Module | None:
    get_output = getattr(module, "get_output_embeddings", None)
    return get_output() if callable(get_output) else None  # type: ignore[return-value]


def select_sites(
    sites: dict[str, Site],
    patterns: str | Iterable[str],
    refused: Callable[[], Mapping[str, str]] = dict,
) -> list[Site]:
    """The sites whose names match any of the globs (comma-separated or a list), in the module's order.

    ``*`` matches within and across dots, so ``*.o_proj`` is every attention output. A pattern that matches nothing
    raises ``UnweaveError`` with the nearest names, or with the reason where it names a matrix of ``refused``.
    """
    wanted = _patterns(patterns)
    chosen: dict[str, Site] = {}
    for pattern in wanted:
        found = [site for name, site in sites.items() if fnmatch.fnmatchcase(name, pattern)]
        if not found:
            for name, reason in refused().items():
                if fnmatch.fnmatchcase(name, pattern):
                    raise UnweaveError(f"{name!r} cannot be taken apart: {reason}")
            blocks = [name for name, site in sites.items() if site.block and site.module == pattern]
            if blocks:
                raise UnweaveError(f"{pattern!r} holds several matrices in one: take {', '.join(blocks)} apart instead")
            raise UnweaveError(f"site {pattern!r} is not in this target; {nearest(pattern, sites)}")
        chosen.update({site.name: site for site in found})
    return [site for name, site in sites.items() if name in chosen]


def select_refused(refused: Mapping[str, str], patterns: str | Iterable[str]) -> dict[str, str]:
    """The refused matrices whose names match any of the globs, with the reasons."""
    wanted = _patterns(patterns)
    return {name: why for name, why in refused.items() if any(fnmatch.fnmatchcase(name, each) for each in wanted)}


def _patterns(patterns: str | Iterable[str]) -> list[str]:
    return [part.strip() for part in patterns.split(",")] if isinstance(patterns, str) else list(patterns)


def module_weight(module: nn.Module, site: Site) -> Float[Tensor, "d d_in"]:
    """The whole matrix of the site's module as (d, d_in), a view; larger than the site where that is a block."""
    weight = module.get_submodule(site.module).weight
    if not isinstance(weight, Tensor):
        raise UnweaveError(f"site {site.name!r} has no weight tensor")
    return weight.data if site.kind == "linear" else weight.data.T


def site_weight(module: nn.Module, site: Site) -> Float[Tensor, "d_out d_in"]:
    """The site's weight as (d_out, d_in), whatever its layout.

    A view that shares storage with the module, except for a block that is spread over the heads of a fused matrix:
    that is a copy. ``write_weight`` writes to both.
    """
    weight = module_weight(module, site)
    return weight if site.block is None else site.block.take(weight, 0)


def write_weight(module: nn.Module, site: Site, new: Float[Tensor, "d_out d_in"]) -> None:
    """Replaces the site's weight in the module, in place.

    Raises ``UnweaveError`` for one of another shape, which would be repeated until it fits.
    """
    if tuple(new.shape) != (site.d_out, site.d_in):
        raise UnweaveError(f"site {site.name!r} is {site.d_out} x {site.d_in}, and its new weight {tuple(new.shape)}")
    weight = module_weight(module, site)
    if site.block is None:
        weight.copy_(new)
    else:
        site.block.write(weight, new)


def find_blocks(module: nn.Module, count: int | None = None) -> str | None:
    """The dotted name of the ``ModuleList`` of transformer blocks: the outermost one of the configured length."""
    lists = [(name, child) for name, child in module.named_modules() if isinstance(child, nn.ModuleList)]
    fitting = [name for name, child in lists if len(child) == count] if count else []
    if not fitting:
        longest = max((len(child) for _, child in lists), default=0)
        fitting = [name for name, child in lists if len(child) == longest and _alike(child)]
    return min(fitting, key=lambda name: name.count("."), default=None)


def _alike(children: Sequence[nn.Module] | nn.ModuleList) -> bool:
    return len({type(child) for child in children}) == 1


def _kind(child: nn.Module) -> str | None:
    if type(child) is nn.Linear:
        return "linear"
    # transformers' Conv1D stores its weight transposed; matched by name so that this module does not import it.
    if type(child).__name__ == "Conv1D" and type(child).__module__ == "transformers.pytorch_utils":
        return "conv1d"
    return None


def _layer(name: str, blocks: str | None) -> int | None:
    match = re.match(re.escape(blocks) + r"\.(\d+)\.", name) if blocks else None
    return int(match.group(1)) if match else None
