"""Where subcomponents start, before the first step of the whole-model method."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.seeds import torch_generator
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.importance import SiteShape, Widths, find_importance
from unweave.models.sites import Site

START_BATCHES, START_ROWS = 8, 16_384
"""Batches whose inputs the subcomponents may start from, and how many of their rows are kept for that."""
NEW_DIRECTION = 1e-3
"""Squared sine of the angle to the nearest input drawn, under which an input needs no piece of its own."""
CANDIDATES, RECURS = 2048, 1e-3
"""Rows whose directions may recur, and the part of all rows along one direction from which on it does."""


def subcomponent_count(config: WholeModelConfig, d_in: int, d_out: int) -> int:
    """What the config names, or capacity times the larger side, at least the smaller one, rounded up to 16s."""
    wanted = max(config.capacity * max(d_in, d_out), min(d_in, d_out))
    return config.subcomponents or math.ceil(wanted / 16) * 16


def kept_samples(inner: int) -> int:
    """Samples, of ``inner`` rows each, that are kept of a batch's inputs to start from."""
    return max(1, START_ROWS // START_BATCHES // inner)


def initial_tensors(
    sites: tuple[Site, ...],
    weights: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor],
    config: WholeModelConfig,
    known: Decomposition | None = None,
) -> dict[str, Tensor]:
    """``SITE/V``, ``SITE/U`` at unit scale, the scales that go with them, and the importance function's tensors.

    ``SITE/weight_scale`` is what U is multiplied by: entries of a matrix over it have variance 1 / d_in, so that
    learning rates carry over to matrices of any size. Sites of ``known`` start from its subcomponents, and what the
    config's capacity has beyond them starts at zero size. Raises ``UnweaveError`` for a matrix or an input that is all
    zero or not finite, and where ``known`` has another kind or width of importance function.
    """
    tensors: dict[str, Tensor] = {}
    shapes = []
    for site in sites:
        weight, x = weights[site.name].float().cpu(), inputs[site.name].float().cpu()
        scales = {"weight": weight.norm() / math.sqrt(site.d_out), "input": x.square().mean().sqrt()}
        for what, scale in scales.items():
            if not (math.isfinite(scale) and scale > 0):
                raise UnweaveError(f"site {site.name!r} has {what}s that are all zero or not finite")
        count = subcomponent_count(config, site.d_in, site.d_out)
        if known is not None and site.name in known.sites:
            count = max(count, len(known.site(site.name)))
        generator = torch_generator(config.seed, "pieces", site.name)
        if config.start == "inputs":
            V, U = pieces_from_inputs(x, weight / scales["weight"], count, generator)
        elif config.start == "independent":
            V, U = pieces_from_independent_inputs(x, weight / scales["weight"], count, generator)
        else:
            V, U = random_pieces(site.d_in, site.d_out, count, generator)
        tensors |= {f"{site.name}/V": V, f"{site.name}/U": U}
        tensors[f"{site.name}/weight_scale"] = scales["weight"]
        tensors[f"{site.name}/importance.scale"] = scales["input"]
        shapes.append(SiteShape(site.name, site.d_in, count))
    widths = Widths(config.hidden, config.depth, config.heads)
    tensors |= find_importance(config.importance).init(shapes, widths, config.seed)
    return tensors if known is None else _continued(tensors, known, config)


def _continued(tensors: dict[str, Tensor], known: Decomposition, config: WholeModelConfig) -> dict[str, Tensor]:
    """The tensors with those of ``known`` in front of each site's new subcomponents."""
    kind = find_importance(config.importance)
    if known.importance_kind != config.importance:
        raise UnweaveError(
            f"the decomposition to start from has importance function {known.importance_kind!r}, and importance is "
            f"{config.importance!r}: set it to the same"
        )
    if not kind.one_site and set(known.sites) != {name.split("/")[0] for name in tensors if name.endswith("/V")}:
        raise UnweaveError(
            f"importance function {config.importance!r} looks at all sites at once, so a start from a decomposition "
            "needs the same sites"
        )
    grown = {"V", *(f"importance.{name}" for name in kind.per_subcomponent)}
    for name, tensor in known.tensors().items():
        if name not in tensors:
            continue
        site, _, what = name.rpartition("/")
        old = tensor.float()
        if what == "U":
            new = torch.zeros_like(tensors[name])
            new[: len(old)] = old / tensors[f"{site}/weight_scale"]
            tensors[name] = new
            continue
        if tensors[name].shape[:-1] != old.shape[:-1] or (what not in grown and tensors[name].shape != old.shape):
            raise UnweaveError(
                f"the decomposition to start from has {name} of shape {tuple(old.shape)}, and this config makes "
                f"{tuple(tensors[name].shape)}: set hidden, depth and heads to what it was made with"
            )
        if what in grown:
            tensors[name][..., : old.shape[-1]] = old
        else:
            tensors[name] = old.clone()
    return tensors


def random_pieces(
    d_in: int, d_out: int, count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "d_in c"], Float[Tensor, "c d_out"]]:
    """V ~ N(0, 1 / d_in), U ~ N(0, 1 / C): the published start (VPD, section A6)."""
    V = torch.randn(d_in, count, generator=generator) / math.sqrt(d_in)
    return V, torch.randn(count, d_out, generator=generator) / math.sqrt(count)


def pieces_from_inputs(
    x: Float[Tensor, "*rows d_in"], weight: Float[Tensor, "d_out d_in"], count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "d_in c"], Float[Tensor, "c d_out"]]:
    """Pieces that answer to inputs the site really gets: v along one of them, u what the matrix makes of it.

    The inputs are drawn one after the other, each with probability in proportion to the squared sine of its angle to
    the nearest one drawn before (k-means++ for directions), so that they differ as much as the data lets them. U then
    gets the smallest change after which the pieces add up to the matrix, as far as they span its inputs. Where the
    data has fewer directions than pieces, the others start at zero size: copies would be needed together for good.
    """
    directions = _directions(x)
    far = torch.ones(len(directions))
    chosen: list[int] = []
    while len(chosen) < count and far.max() > NEW_DIRECTION:
        chosen.append(int(torch.multinomial(far.clamp_min(1e-6), 1, generator=generator)))
        far = torch.minimum(far, 1 - (directions @ directions[chosen[-1]]).square())
    V = directions[chosen].T.contiguous()
    U = (weight @ V).T * min(1.0, len(V) / count)
    U = U + torch.linalg.lstsq(V, weight.T - V @ U, driver="gelsd").solution
    return _with_spare(V, U, count, generator)


def pieces_from_independent_inputs(
    x: Float[Tensor, "*rows d_in"], weight: Float[Tensor, "d_out d_in"], count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "d_in c"], Float[Tensor, "c d_out"]]:
    """Pieces of which each answers to one direction that many inputs share, and to none of the others chosen.

    A feature alone gives one direction again and again; features together, in other amounts each time, give another
    each time. Of the inputs whose direction recurs, the one farthest from the span of those chosen comes next (where
    none recurs, of all inputs), until none is independent of them. V is the dual basis of those directions and U what
    the matrix makes of them. What the inputs do not reach of the matrix goes to V as well, as far as U spans it: left
    to training, it would turn the pieces. Those beyond the directions start at zero size.
    """
    directions = _directions(x)
    candidates = directions[:CANDIDATES]
    alike = ((candidates @ directions.T).square() > 1 - NEW_DIRECTION).float().mean(1)
    recurring = alike >= max(RECURS, 2 / len(directions))
    shared = left = candidates[recurring] if recurring.any() else candidates
    chosen: list[int] = []
    while len(chosen) < count and (far := left.square().sum(1)).max() > NEW_DIRECTION:
        chosen.append(int(far.argmax()))
        axis = left[chosen[-1]] / left[chosen[-1]].norm()
        left = left - (left @ axis)[:, None] * axis
    V, U = torch.linalg.pinv(shared[chosen]), shared[chosen] @ weight.T
    V = V + (weight.T - V @ U) @ torch.linalg.pinv(U)
    return _with_spare(V, U, count, generator)


def _directions(x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "n d_in"]:
    """The rows that are not nearly zero, at length 1."""
    rows = x.flatten(0, -2)
    norms = rows.norm(dim=-1)
    present = norms > 1e-3 * norms.max()
    return rows[present] / norms[present, None]


def _with_spare(
    V: Float[Tensor, "d_in n"], U: Float[Tensor, "n d_out"], count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "d_in c"], Float[Tensor, "c d_out"]]:
    """The pieces, and others at zero size up to ``count``."""
    spare, nothing = random_pieces(len(V), U.shape[1], count - V.shape[1], generator)
    return torch.cat([V, spare], 1), torch.cat([U, torch.zeros_like(nothing)])
