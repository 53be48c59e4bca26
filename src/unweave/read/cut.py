"""A forward pass in which every subcomponent's output is a place to stop gradients: what attribution is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unweave.base.errors import UnweaveError, nearest
from unweave.decompose.decomposition import Decomposition
from unweave.models.sites import Site
from unweave.models.target import Target
from unweave.read.features import FIRES
from unweave.read.frozen import frozen_scale, is_norm, query_key_sites

Attention = Literal["through", "values only"]
"""Whether gradients pass through the attention pattern, or the pattern counts as given and only values carry them."""
Norms = Literal["frozen", "through"]
"""Whether a norm's scale counts as given, which makes it linear, or gradients pass through it too."""


class Written(NamedTuple):
    """What a site adds to its output at each row, by who adds it. The four sum to the output."""

    firing: Float[Tensor, "n t d_out"]
    """Subcomponents that fire, each times its importance."""
    rest: Float[Tensor, "n t d_out"]
    """The others, and the part of those that their importance leaves out."""
    delta: Float[Tensor, "n t d_out"]
    bias: Float[Tensor, "n t d_out"]


@dataclass(frozen=True)
class SitePass:
    """One site in a forward pass of ``n`` windows; ``t`` counts the rows that it saw."""

    input: Float[Tensor, "n t d_in"]
    """With its graph: gradients of it reach the places where they stop."""
    output: Float[Tensor, "*rows d_out"]
    """A place where gradients stop; where nothing is cut, a point that they pass. As the module gave it."""
    importance: Float[Tensor, "n t c"]
    activation: Float[Tensor, "n t c"]
    """``||u|| v . x``, in units of what is written."""

    @property
    def fires(self) -> Bool[Tensor, "n t c"]:
        return torch.gt(self.importance, FIRES)

    @property
    def weighted(self) -> Float[Tensor, "n t c"]:
        """Activation times importance where a subcomponent fires, 0 elsewhere: what it passes on."""
        return self.activation * self.importance * self.fires


@dataclass(frozen=True)
class Pass:
    """A forward pass: logits, sites in the order that they were called in, and embeddings by module."""

    logits: Float[Tensor, "n p v"]
    sites: Mapping[str, SitePass]
    embeddings: Mapping[str, tuple[Int[Tensor, "n t"], Float[Tensor, "n t d"]]]
    """What was looked up, and what was found: a place where gradients stop."""
    rows: int
    """Rows of every site. Fewer than there are tokens are those of the last tokens."""

    def stops(self) -> dict[str, Tensor]:
        """Where gradients are taken, by the name of site or embedding; not at what decides a pattern that is given."""
        found = {name: vectors for name, (_, vectors) in self.embeddings.items()}
        found |= {name: site.output for name, site in self.sites.items()}
        return {name: tensor for name, tensor in found.items() if tensor.requires_grad}

    def gradients(self, of: Tensor, along: Tensor | None = None) -> dict[str, Tensor]:
        """Gradients of ``of`` (its product with ``along``) wherever it depends on; a site's are (n, t, d_out)."""
        stops = self.stops()
        if not of.requires_grad or not stops:
            return {}
        found = torch.autograd.grad(of, list(stops.values()), along, retain_graph=True, allow_unused=True)
        reached = {name: value.float() for name, value in zip(stops, found, strict=True) if value is not None}
        return {
            name: _like(value, self.sites[name].input) if name in self.sites else value
            for name, value in reached.items()
        }


class CutTarget:
    """A target with a decomposition on it, run so that effects can be read off gradients.

    With ``cut`` every site hands on a copy of its output that no gradient passes: what a gradient finds there is the
    direct effect, past no other subcomponent. Sites that are not taken apart are part of the way.
    """

    def __init__(
        self, target: Target, decomposition: Decomposition, attention: Attention = "through", norms: Norms = "frozen"
    ) -> None:
        for value, kind, name in ((attention, Attention, "attention"), (norms, Norms, "norms")):
            if value not in get_args(kind):
                raise UnweaveError(f"{name} is {value!r}; {nearest(str(value), get_args(kind))}")
        decomposition.check_target(target.identity.digest)
        decomposition.check_base(None)
        self.target, self.attention, self.norms = target, attention, norms
        self.decomposition = decomposition.to(target.device)
        known = target.all_sites()
        self.sites = {name: known[name] for name in decomposition.sites}
        self.readers = {name: site.V * site.U.norm(dim=-1) for name, site in self.decomposition.sites.items()}
        """``||u|| v`` as columns: what is read along."""
        self.writers = {
            name: site.U / site.U.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            for name, site in self.decomposition.sites.items()
        }
        """``u / ||u||`` as rows: what is written along."""
        self._frozen = {site.name: site for site in query_key_sites(target)} if attention == "values only" else {}
        self.passed_through = [name for name in known if name not in self.sites and name not in self._frozen]
        """Matrices that gradients pass because they are not taken apart."""
        self._inputs: dict[str, Tensor] = {}
        self._outputs: dict[str, Tensor] = {}
        self._embeddings: dict[str, tuple[Tensor, Tensor]] = {}

    def run(self, tokens: Int[Tensor, "n t"], cut: bool = True) -> Pass:
        """One forward pass with gradients."""
        tokens = tokens.to(self.target.device)
        with torch.enable_grad(), self._hooked(cut):
            logits = self.target.logits(tokens).float()
            inputs, outputs, embeddings = self._inputs, self._outputs, self._embeddings
        missing = [name for name in self.sites if name not in inputs]
        if missing:
            raise UnweaveError(f"site {missing[0]!r} is never called in a forward pass, so nothing can be read there")
        values = {name: _by_window(name, value, tokens) for name, value in inputs.items()}
        shapes = {tuple(value.shape[:2]) for value in values.values()}
        if len(shapes) != 1:
            raise UnweaveError(
                f"the sites see rows of shapes {sorted(shapes)}, and effects between them need one row a token: leave "
                "sites that do not see every token (experts?) out of the decomposition"
            )
        with torch.no_grad():
            importances = self.decomposition.importances({name: x.detach().float() for name, x in values.items()})
            sites = {
                name: SitePass(
                    values[name],
                    outputs[name],
                    importances[name],
                    values[name].detach().float() @ self.readers[name],
                )
                for name in values
            }
        rows = shapes.pop()[1]
        if not 0 < rows <= tokens.shape[1]:
            raise UnweaveError(f"the sites see {rows} rows for {tokens.shape[1]} tokens")
        return Pass(logits, sites, embeddings, rows)

    def written(self, name: str, site: SitePass) -> Written:
        """What makes up a site's output."""
        with torch.no_grad():
            output = _like(site.output, site.input).detach().float()
            firing = site.weighted @ self.writers[name]
            pieces = site.activation @ self.writers[name]
            own = self.target.bias(self.sites[name])
            bias = torch.zeros_like(output) if own is None else own.float().expand_as(output)
            return Written(firing, pieces - firing, output - bias - pieces, bias)

    @contextmanager
    def _hooked(self, cut: bool) -> Iterator[None]:
        self._inputs, self._outputs, self._embeddings = {}, {}, {}
        module, handles = self.target.module, []
        try:
            for name, child in module.named_modules():
                if isinstance(child, nn.Embedding):
                    handles.append(child.register_forward_hook(self._keep_embedding(name)))
                elif self.norms == "frozen" and is_norm(child):
                    handles.append(child.register_forward_hook(frozen_scale(name)))
            for site in (self.sites | self._frozen).values():
                hook = self._hook(site, cut)
                handles.append(module.get_submodule(site.module).register_forward_hook(hook))
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._inputs, self._outputs, self._embeddings = {}, {}, {}

    def _hook(self, site: Site, cut: bool) -> Any:
        given = site.name in self._frozen

        def stop(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            part = site.part(output)
            if given:
                part = part.detach()
            elif cut or not part.requires_grad:
                part = part.detach().requires_grad_()
            if site.name in self.sites:
                if site.name in self._inputs:
                    raise UnweaveError(
                        f"site {site.name!r} is called more than once in a forward pass, so its subcomponents have no "
                        "one activation a token: leave it out of the decomposition"
                    )
                self._inputs[site.name], self._outputs[site.name] = args[0], part
            elif not given:
                return None
            return site.replaced(output, part)

        return stop

    def _keep_embedding(self, name: str) -> Any:
        def stop(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            vectors = output.detach().requires_grad_()
            self._embeddings[name] = args[0], vectors
            return vectors

        return stop


def _by_window(name: str, values: Tensor, tokens: Tensor) -> Tensor:
    """A site's input by window and row: some models hand theirs over flattened."""
    if values.dim() == 2 and len(values) % len(tokens) == 0:
        return values.unflatten(0, (len(tokens), -1))
    if values.dim() == 3 and len(values) == len(tokens):
        return values
    raise UnweaveError(
        f"site {name!r} sees rows of shape {tuple(values.shape[:-1])} for {len(tokens)} windows: leave it out of the "
        "decomposition"
    )


def _like(output: Tensor, by_window: Tensor) -> Tensor:
    return output.reshape(*by_window.shape[:2], output.shape[-1])
