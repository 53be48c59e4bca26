"""Sites: the weight matrices of a module that can be taken apart, named by dotted path."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from unweave.base.errors import UnweaveError, nearest


@dataclass(frozen=True)
class Site:
    """One weight matrix of a target. ``layer`` is the index of the block it stands in, or None outside the blocks."""

    name: str
    kind: str
    d_in: int
    d_out: int
    bias: bool
    layer: int | None


def list_sites(module: nn.Module, blocks: str | None) -> dict[str, Site]:
    """All ``nn.Linear`` and transformers ``Conv1D`` matrices by name, the output embedding left out.

    The output embedding is left out because it is the unembedding (often tied to the embedding), which parameter
    decomposition does not take apart (VPD, section 2). Quantised or integer weights are not sites.
    """
    get_output = getattr(module, "get_output_embeddings", None)
    output = get_output() if callable(get_output) else None
    sites: dict[str, Site] = {}
    for name, child in module.named_modules():
        kind = _kind(child)
        if kind is None or child is output:
            continue
        weight = child.weight
        if not isinstance(weight, Tensor) or not weight.is_floating_point() or weight.ndim != 2:
            continue
        d_out, d_in = weight.shape if kind == "linear" else weight.shape[::-1]
        sites[name] = Site(name, kind, d_in, d_out, child.bias is not None, _layer(name, blocks))
    return sites


def select_sites(sites: dict[str, Site], patterns: str | Iterable[str]) -> list[Site]:
    """The sites whose names match any of the globs (comma-separated or a list), in the module's order.

    ``*`` matches within and across dots, so ``*.o_proj`` is every attention output. A pattern that matches nothing
    raises ``UnweaveError`` with the nearest names.
    """
    wanted = [part.strip() for part in patterns.split(",")] if isinstance(patterns, str) else list(patterns)
    chosen: dict[str, Site] = {}
    for pattern in wanted:
        found = [site for name, site in sites.items() if fnmatch.fnmatchcase(name, pattern)]
        if not found:
            raise UnweaveError(f"site {pattern!r} is not in this target; {nearest(pattern, sites)}")
        chosen.update({site.name: site for site in found})
    return [site for name, site in sites.items() if name in chosen]


def site_weight(module: nn.Module, site: Site) -> Float[Tensor, "d_out d_in"]:
    """The site's weight as (d_out, d_in), a view that shares storage with the module, whatever its layout."""
    weight = module.get_submodule(site.name).weight
    if not isinstance(weight, Tensor):
        raise UnweaveError(f"site {site.name!r} has no weight tensor")
    return weight.data if site.kind == "linear" else weight.data.T


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
