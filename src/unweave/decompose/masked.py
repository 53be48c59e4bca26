"""Runs a target with its sites replaced by masked subcomponents, by hooks, so that any module can be taken apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.base.device import check_precision
from unweave.base.errors import UnweaveError
from unweave.decompose import numerics
from unweave.models.sites import Site
from unweave.models.target import Target


class Mask(NamedTuple):
    """What scales a site's subcomponents and its delta, row by row. All ones is the site itself."""

    pieces: Float[Tensor, "*rows c"]
    delta: Float[Tensor, "*rows 1"]


class Pieces(NamedTuple):
    """A site's subcomponents during training."""

    V: Float[Tensor, "d_in c"]
    U: Float[Tensor, "c d_out"]


class MaskedTarget:
    """A target whose sites can be masked in a forward pass.

    Inside ``attached()`` every site has a hook; a forward without masks records the sites' inputs and leaves everything
    as it is. Pieces, masks and what is compared are float32, whatever the target's own dtype is; with ``precision``
    bfloat16 the matrix products on the way are not.

    With ``base``, another checkpoint of the same model, what is taken apart is the difference of the two: ``weights``
    holds it, and a masked site gives its own output with the difference's part of it masked.
    """

    def __init__(
        self, target: Target, sites: Sequence[Site], base: Target | None = None, precision: str = "float32"
    ) -> None:
        check_precision(precision, target.device)
        self._half = precision == "bfloat16"
        self.target, self.sites = target, tuple(sites)
        self.weights = {site.name: target.weight(site).float() for site in self.sites}
        self._differs = base is not None
        if base is not None:
            for site in self.sites:
                earlier = _base_weight(base, site).to(self.device(site.name))
                self.weights[site.name] = self.weights[site.name] - earlier
        self._masks: dict[str, tuple[Pieces, Mask]] = {}
        self._inputs: dict[str, Tensor] = {}
        self._outputs: dict[str, Tensor] = {}
        self._read: tuple[Tensor, int, Tensor] | None = None

    def device(self, site: str) -> torch.device:
        """Where a site is: a target loaded with a device map has its sites on several devices."""
        return self.weights[site].device

    @contextmanager
    def attached(self) -> Iterator[MaskedTarget]:
        """Puts the hooks on; they are gone afterwards, whatever happened."""
        handles = []
        try:
            for site in self.sites:
                module = self.target.module.get_submodule(site.module)
                handles.append(module.register_forward_hook(self._hook(site)))
            yield self
        finally:
            for handle in handles:
                handle.remove()
            self._masks, self._inputs, self._outputs, self._read = {}, {}, {}, None

    def products(self) -> AbstractContextManager[Any]:
        """Where matrix products have this target's precision."""
        if not self._half:
            return nullcontext()
        # Casts are not kept: adversary and loss use the same weights with and without gradients.
        return torch.autocast(self.target.device.type, torch.bfloat16, cache_enabled=False)

    def clean(self, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The target's own output and every site's input."""
        self._masks, self._inputs, self._outputs = {}, {}, {}
        with self.products():
            output = self.target.logits(batch).float()
        inputs, self._inputs, self._read = self._inputs, {}, None
        return output, inputs

    def clean_rows(self, rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """``clean`` of rows that are in the CPU's memory, without gradients."""
        with torch.no_grad():
            return self.clean(rows.to(self.target.device))

    def masked(self, batch: Tensor, pieces: Mapping[str, Pieces], masks: Mapping[str, Mask]) -> Tensor:
        """The output with the sites in ``masks`` replaced; other sites are left as they are."""
        self._masks = {name: (pieces[name], mask) for name, mask in masks.items()}
        self._inputs, self._outputs = {}, {}
        with self.products():
            output = self.target.logits(batch).float()
        self._masks, self._inputs, self._read = {}, {}, None
        return output

    def outputs(self) -> dict[str, Tensor]:
        """What the replaced sites gave in the last masked forward, biases and the base's part left out."""
        return self._outputs

    def _floats(self, x: Tensor, device: torch.device) -> Tensor:
        """A site's input in float32 where the site is; those that read one tensor (query, key, value) share a copy."""
        # A module may change what it read before another site reads it.
        read = self._read
        if read is None or read[0] is not x or read[1] != x._version or read[2].device != device:
            self._read = read = x, x._version, x.to(device).float()
        return read[2]

    def _hook(self, site: Site) -> Any:
        name = site.name
        # Left out and put back here, because the delta is W minus the pieces and a bias belongs to neither.
        bias, device = self.target.bias(self.target.site(name)), self.device(name)

        def replace(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            if name not in self._masks:
                if name in self._inputs:
                    raise UnweaveError(
                        f"site {name!r} is called more than once in a forward pass, so its masks would be one call's "
                        "on all of them: leave it out of sites"
                    )
                self._inputs[name] = self._floats(args[0], device)
                return None
            (V, U), mask = self._masks[name]
            # A hook gets what the site was called with; what a device map put round the site moves it only later.
            x = self._floats(args[0], device)
            whole = site.part(output).float()
            if self._differs:
                # A product of its own: the outputs of two checkpoints are so near each other that in half precision
                # most of their difference would be rounding.
                wx = x @ self.weights[name].T
                rest = whole - wx
            else:
                rest = 0.0 if bias is None else bias
                wx = whole - rest
            found = numerics.masked_output(x, wx, V, U, mask.pieces, mask.delta)
            self._outputs[name] = found
            return site.replaced(output, (found + rest).to(output.dtype))

        return replace


def _base_weight(base: Target, site: Site) -> Tensor:
    weight = base.weight(base.site(site.name)).float()
    if weight.shape != (site.d_out, site.d_in):
        raise UnweaveError(
            f"site {site.name!r} is {site.d_out} x {site.d_in}, and {tuple(weight.shape)} in {base.name}: give an "
            "earlier checkpoint of the same model"
        )
    return weight


def check_rows(inputs: Mapping[str, Tensor], sites: Sequence[Site], batch: Tensor) -> tuple[int, ...]:
    """The shape of rows (samples, positions) that all sites share.

    Raises ``UnweaveError`` naming a site that was not reached, or whose rows are others than the batch's samples.
    """
    shapes = {}
    for site in sites:
        if site.name not in inputs:
            raise UnweaveError(f"site {site.name!r} is never called in a forward pass, so it cannot be masked")
        shapes[site.name] = tuple(inputs[site.name].shape[:-1])
    first = next(iter(shapes.values()))
    for name, shape in shapes.items():
        if shape != first or not shape or shape[0] != len(batch):
            raise UnweaveError(
                f"site {name!r} sees rows of shape {shape} where the batch has {len(batch)} samples and the first site "
                f"{first}: a site that does not see every token (an expert?) cannot be masked with the others"
            )
    return first
