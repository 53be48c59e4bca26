"""The gate every target passes before it is used: hooks change nothing, and what they capture is true."""

from __future__ import annotations

import math

import torch

from unweave.base.errors import UnweaveError
from unweave.models.sites import Site
from unweave.models.target import Target

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9, torch.bfloat16: 4e-2, torch.float16: 1e-2}


def parity_gate(target: Target, windows: int = 2, length: int = 12) -> dict[str, float]:
    """Checks hooks, captured inputs and resuming on a few fixed tokens; returns the errors measured.

    1. A forward with a hook on every site equals the plain forward, exactly.
    2. For every site, captured input times weight plus bias equals captured output (relative to its largest value).
    3. A forward resumed from the middle block equals the whole forward.

    ``sites_not_called`` counts sites that this text never reached (experts, or a matrix that the module uses without
    calling it): they have no input to capture. Raises ``UnweaveError`` naming the site or layer that fails, also for
    a layer that an adapter is wrapped round.
    """
    for name, child in target.module.named_modules():
        if isinstance(getattr(child, "base_layer", None), torch.nn.Module):
            raise UnweaveError(f"layer {name!r} is wrapped by an adapter ({type(child).__name__}): merge it first")
    tokens = (torch.arange(windows * length) * 7919 % max(2, target.vocabulary - 1)).reshape(windows, length)
    tolerance = TOLERANCE.get(target.dtype, 1e-4)
    found: dict[str, float] = {}
    with torch.no_grad():
        plain = target.logits(tokens)
        hooked, site_errors = _hooked_forward(target, tokens, tolerance)
        if not torch.equal(plain, hooked):
            worst = (plain - hooked).abs().max().item()
            raise UnweaveError(f"{target.name}: hooks change the logits by {worst:.3g}; it is not deterministic here")
        found["hooked_minus_plain"] = 0.0
        found["site_output_error"] = max(site_errors.values())
        found["sites_not_called"] = float(len(target.all_sites()) - len(site_errors))
        if target.blocks is not None:
            found["block_returns_tuple"] = float(_returns_tuple(target, tokens))
            target.parity = found
            layer = target.depth // 2
            with target.resumed(layer, target.hidden_before(layer, tokens)):
                resumed = target.logits(tokens)
            error = ((resumed - plain).abs().max() / plain.abs().max().clamp_min(1e-6)).item()
            if not error <= tolerance:
                raise UnweaveError(f"{target.name}: resuming from layer {layer} changes the logits by {error:.3g}")
            found["resumed_minus_plain"] = error
    return found


def _hooked_forward(target: Target, tokens: torch.Tensor, tolerance: float) -> tuple[torch.Tensor, dict[str, float]]:
    errors: dict[str, float] = {}
    handles = []
    for site in target.all_sites().values():

        def check(_: torch.nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor, site: Site = site) -> None:
            weight = target.weight(site)
            # What a device map put round the site moves its input only after this hook has seen it.
            expected, output = args[0].to(weight.device) @ weight.T, site.part(output)
            bias = target.bias(site)
            if bias is not None:
                expected = expected + bias
            if not output.numel():
                return  # an expert that no token was sent to
            scale = output.abs().max().clamp_min(1e-6)
            errors[site.name] = ((expected - output).abs().max() / scale).item()

        handles.append(target.module.get_submodule(site.module).register_forward_hook(check))
    try:
        logits = target.logits(tokens)
    finally:
        for handle in handles:
            handle.remove()
    # NaN compares as neither larger nor smaller, so it is counted as the largest error there is.
    worst = max(errors, key=lambda name: math.inf if math.isnan(errors[name]) else errors[name], default=None)
    if worst is None:
        raise UnweaveError(f"{target.name}: a forward pass calls none of its {len(target.all_sites())} sites")
    if not errors[worst] <= tolerance:
        raise UnweaveError(
            f"site {worst!r}: captured input times weight differs from its output by {errors[worst]:.3g} (relative); "
            "something else (an adapter, a quantiser) changes this layer, so merge or remove it first"
        )
    return logits, errors


def _returns_tuple(target: Target, tokens: torch.Tensor) -> bool:
    kinds: list[bool] = []
    block = target.module.get_submodule(str(target.blocks))[0]  # type: ignore[index]
    handle = block.register_forward_hook(lambda _, __, output: kinds.append(isinstance(output, tuple)))
    try:
        target.module(tokens[:1, :2].to(target.device))
    finally:
        handle.remove()
    return kinds[0]
