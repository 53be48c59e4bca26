"""The target: a loaded model under study, its sites, its identity, and ways to run it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.base.errors import UnweaveError
from unweave.models.sites import (
    Site,
    find_blocks,
    list_refused,
    list_sites,
    module_weight,
    select_refused,
    select_sites,
    site_weight,
    write_weight,
)

Positions = Sequence[int] | slice | Int[Tensor, "n p"]


@dataclass(frozen=True)
class TargetIdentity:
    """Hashes of what makes a target itself; two targets with equal identities give equal logits."""

    weights: str
    config: str
    tokenizer: str
    dtype: str

    @property
    def digest(self) -> str:
        """One short hash of the four."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass
class Target:
    """A causal language model with its tokenizer, ready for hooks.

    ``blocks`` is the dotted name of its list of transformer blocks (None when there is none: then nothing can be
    resumed from a cached layer and every forward is a whole one). ``parity`` holds what the gate measured at load.
    """

    module: nn.Module
    tokenizer: Any
    name: str
    identity: TargetIdentity
    source: str = ""
    blocks: str | None = None
    parity: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        millions = sum(p.numel() for p in self.module.parameters()) / 1e6
        return f"Target({self.name}, {millions:.1f} M parameters, {self.depth} layers, identity {self.identity.digest})"

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(p.dtype for p in self.module.parameters() if p.is_floating_point())

    @property
    def depth(self) -> int:
        return len(self.module.get_submodule(self.blocks)) if self.blocks else 0  # type: ignore[arg-type]

    @property
    def vocabulary(self) -> int:
        """V, the number of output logits: a uniform prediction has cross-entropy ln V.

        A module that does not say it, having no config, is asked by a forward of two tokens. Raises ``UnweaveError``
        for one that does not take them.
        """
        output = self.output_embedding()
        if output is not None:
            return int(output.weight.shape[0])  # type: ignore[index]
        stated = getattr(getattr(self.module, "config", None), "vocab_size", None)
        if stated is not None:
            return int(stated)
        try:
            with torch.no_grad():
                return self.logits(torch.zeros(1, 2, dtype=torch.long)).shape[-1]
        except RuntimeError as error:
            raise UnweaveError(
                f"{self.name} does not take tokens ({error}), so it has no vocabulary: give a module that predicts them"
            ) from error

    def output_embedding(self) -> nn.Module | None:
        get_output: Any = getattr(self.module, "get_output_embeddings", None)
        return get_output() if get_output is not None else None

    def all_sites(self) -> dict[str, Site]:
        return list_sites(self.module, self.blocks)

    def sites(self, patterns: str | Iterable[str] = "*") -> list[Site]:
        """Sites matching globs; raises ``UnweaveError`` naming the nearest when one matches nothing."""
        return select_sites(self.all_sites(), patterns, lambda: list_refused(self.module))

    def left_out(self, patterns: str | Iterable[str] = "*") -> dict[str, str]:
        """Matrices that the globs match and that are no sites (banks of experts, for one), with the reasons."""
        return select_refused(list_refused(self.module), patterns)

    def site(self, name: str) -> Site:
        """One site by its exact name."""
        if any(mark in name for mark in "*?["):
            raise UnweaveError(f"site {name!r} is a pattern, and one exact site is needed here")
        return self.sites([name])[0]

    def weight(self, site: Site) -> Float[Tensor, "d_out d_in"]:
        """The site's weight; see ``site_weight`` for when it is a view into the module."""
        return site_weight(self.module, site)

    def write_weight(self, site: Site, new: Float[Tensor, "d_out d_in"]) -> None:
        """Replaces the site's weight in place."""
        write_weight(self.module, site, new)

    def whole_width(self, site: Site) -> int:
        """Outputs of the site's module: more than the site's own where that is a block of a fused matrix."""
        return module_weight(self.module, site).shape[0]

    def stored_in(self, site: Site) -> tuple[torch.device, int]:
        """Where the site's matrix is stored: equal for matrices that are tied, and for blocks of one fused matrix."""
        weight = module_weight(self.module, site)
        return weight.device, weight.untyped_storage().data_ptr()

    def bias(self, site: Site) -> Float[Tensor, " d_out"] | None:
        bias = self.module.get_submodule(site.module).bias
        return bias if bias is None else site.part(bias)  # type: ignore[arg-type, return-value]

    def logits(self, tokens: Int[Tensor, "n t"], positions: Positions | None = None) -> Float[Tensor, "n p vocabulary"]:
        """Logits at ``positions`` (all by default; a tensor [n, p] names each window's own).

        Only those positions pass through the output embedding.
        """
        with ExitStack() as stack:
            if positions is not None:
                stack.enter_context(self.only_at(positions))
            output = self.module(tokens.to(self.device), **self._forward_options())
        logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
        if logits is None:
            raise UnweaveError(f"{self.name} returns a {type(output).__name__}, and logits (or a tensor) are needed")
        if positions is not None and self.output_embedding() is None:
            logits = _at(logits, positions)
        return logits

    @contextmanager
    def only_at(self, positions: Positions) -> Iterator[None]:
        """Inside the block, forwards of the module give logits at ``positions`` alone."""
        output = self.output_embedding()
        if output is None:
            yield
            return
        handle = output.register_forward_pre_hook(lambda _, args: (_at(args[0], positions), *args[1:]))
        try:
            yield
        finally:
            handle.remove()

    def _forward_options(self) -> dict[str, bool]:
        # Caching keys and values would only cost memory: no forward here is continued token by token.
        return {"use_cache": False} if hasattr(getattr(self.module, "config", None), "use_cache") else {}

    def hidden_before(self, layer: int, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t d"]:
        """The residual stream entering block ``layer``; the blocks from there on are not run."""
        block = self._block_list()[self._checked(layer)]
        kept: list[Tensor] = []

        def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            kept.append(args[0] if args else kwargs["hidden_states"])
            raise _Enough

        handle = block.register_forward_pre_hook(keep, with_kwargs=True)
        try:
            self.module(tokens.to(self.device), **self._forward_options())
        except _Enough:
            pass
        finally:
            handle.remove()
        return kept[0]

    @contextmanager
    def resumed(self, layer: int, hidden: Float[Tensor, "n t d"]) -> Iterator[None]:
        """Inside the block, forwards start from ``hidden`` at the entrance of block ``layer``.

        Earlier blocks are skipped: the embedding still runs (positions and masks come from the tokens) and block
        ``layer - 1`` hands over ``hidden``. Valid for edits at or after ``layer`` only.
        """
        blocks = self._block_list()[: self._checked(layer)]
        own = [block.__dict__.get("forward") for block in blocks]
        as_tuple = bool(self.parity.get("block_returns_tuple", 0.0))

        def passing(value: Tensor | None) -> Callable[..., Any]:
            def forward(*args: Any, **kwargs: Any) -> Any:
                out = value if value is not None else (args[0] if args else kwargs["hidden_states"])
                return (out,) if as_tuple else out

            return forward

        try:
            for index, block in enumerate(blocks):
                block.forward = passing(hidden if index == layer - 1 else None)
            yield
        finally:
            # A block may have had a forward of its own (a nested resume, a library that spreads a model over devices).
            for block, forward in zip(blocks, own, strict=True):
                block.__dict__.pop("forward", None)
                if forward is not None:
                    block.forward = forward

    def _checked(self, layer: int) -> int:
        if not 0 <= layer < len(self._block_list()):
            raise UnweaveError(f"layer {layer} is not in this target: it has layers 0 to {self.depth - 1}")
        return layer

    def _block_list(self) -> nn.ModuleList:
        if self.blocks is None:
            raise UnweaveError(f"{self.name} has no list of blocks, so it cannot be resumed from a layer")
        return self.module.get_submodule(self.blocks)  # type: ignore[return-value]


class _Enough(Exception):
    """Stops a forward once everything wanted has been seen."""


def make_target(module: nn.Module, tokenizer: Any, name: str, source: str = "", check: bool = True) -> Target:
    """Wraps a live module: evaluation mode, frozen weights, identity, and the parity gate.

    Raises ``UnweaveError`` when the module has no floating-point matrices, when a weight is NaN or infinite, or when
    the gate fails.
    """
    from unweave.models.parity import parity_gate

    module.eval()
    module.requires_grad_(False)
    config = getattr(module, "config", None)
    blocks = find_blocks(module, getattr(config, "num_hidden_layers", None))
    target = Target(module, tokenizer, name, identify(module, tokenizer), source, blocks)
    if not target.all_sites():
        raise UnweaveError(f"{name} has no nn.Linear or Conv1D weight in floating point: nothing can be taken apart")
    if check:
        target.parity = parity_gate(target)
    return target


def identify(module: nn.Module, tokenizer: Any) -> TargetIdentity:
    """Hashes weights (names, shapes, bytes), config, tokenizer and dtype."""
    dtype = next(p.dtype for p in module.parameters() if p.is_floating_point())
    return TargetIdentity(
        weights_hash(module), _config_hash(module), tokenizer_hash(tokenizer), str(dtype).removeprefix("torch.")
    )


def weights_hash(module: nn.Module) -> str:
    """sha256 over every parameter and persistent buffer; raises ``UnweaveError`` when one is not finite."""
    digest = hashlib.sha256()
    seen: set[tuple[object, ...]] = set()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        # Tied weights are read once. A view of a part of another weight starts at the same byte and is not tied.
        storage = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride())
        if storage in seen and tensor.numel():
            continue
        seen.add(storage)
        if tensor.is_floating_point() and not torch.isfinite(tensor.sum(dtype=torch.float32)):
            raise UnweaveError(f"weight {name!r} has NaN or infinite values: the model's file is damaged")
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy())
    return digest.hexdigest()


def _config_hash(module: nn.Module) -> str:
    config = getattr(module, "config", None)
    if config is None or not hasattr(config, "to_dict"):
        return "none"
    volatile = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "use_cache")
    kept = {key: value for key, value in config.to_dict().items() if key not in volatile and not key.startswith("_")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()


def tokenizer_hash(tokenizer: Any) -> str:
    """sha256 of how a tokenizer splits text, whatever padding and truncation are set on it."""
    if tokenizer is None:
        return "none"
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        # Truncation and padding are set by callers and are not part of what the tokenizer is.
        state = json.loads(backend.to_str())
        text = json.dumps({key: value for key, value in state.items() if key not in ("truncation", "padding")})
    else:
        text = json.dumps(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _at(values: Float[Tensor, "n t d"], positions: Positions) -> Float[Tensor, "n p d"]:
    if isinstance(positions, Tensor):
        positions = positions.to(values.device)
        return values[torch.arange(len(values), device=values.device)[:, None], positions]
    # Contiguous: on a strided slice torch copies the output embedding once for every window before it multiplies.
    return values[:, positions if isinstance(positions, slice) else list(positions)].contiguous()
