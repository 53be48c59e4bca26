"""What stands at any set of places of a target, and its logits, from one plain forward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.base.errors import UnweaveError, nearest
from unweave.models.capture import as_windows
from unweave.models.target import Target, _Enough
from unweave.read.features import Place


class Observed(NamedTuple):
    """The target's logits, or None where they were not asked for, and the value of each place by its key."""

    logits: Float[Tensor, "n p vocabulary"] | None
    values: dict[str, Float[Tensor, "n t d"]]


def observe(
    target: Target,
    places: Mapping[str, Place],
    tokens: Int[Tensor, "n t"],
    logits: bool = True,
    given: Mapping[str, Tensor] | None = None,
) -> Observed:
    """One plain forward of some windows; hooks look on and change nothing, and none stays behind.

    Without ``logits`` the forward stops once the last place was seen, and the module may be ``given`` more than tokens:
    positions, a mask. A module that hands over a tuple is read by its
    first value, a block of a fused matrix by its own columns. No gradients.

    Raises ``UnweaveError`` for a place that is not reached, that is reached twice (unless the forward has stopped by
    then), whose width is not what it says, or that does not see every token.
    """
    with torch.no_grad():
        found, versions = _forward(target, places, tokens, logits, given or {}, copied=False)
        # A model may change a value later, in place (Falcon adds attention to the MLP's output): then copy it at once.
        if any(found.values[key]._version != version for key, version in versions.items()):
            found, _ = _forward(target, places, tokens, logits, given or {}, copied=True)
    return found


def module_value(output: Any) -> Tensor | None:
    """The tensor a module hands over: itself, or the first of a tuple (blocks and attention return more)."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def hook_place(target: Target, place: Place, look: Callable[[Any], Any]) -> Any:
    """Hooks ``look`` to a place's module: it is given the first input or the output, and what it returns replaces it.

    None returned leaves everything as it is. Raises ``UnweaveError`` for a module that is not there.
    """
    module = _module(target, place)
    if place.side == "output":
        return module.register_forward_hook(lambda _, __, output: look(output))

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            new = look(args[0])
            return None if new is None else ((new, *args[1:]), kwargs)
        name = "hidden_states" if "hidden_states" in kwargs else next(iter(kwargs), None)
        new = look(kwargs[name] if name else None)
        return None if new is None or name is None else (args, {**kwargs, name: new})

    return module.register_forward_pre_hook(before, with_kwargs=True)


def seen(place: Place, value: Any, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t d"]:
    """The place's own columns of what its module was given or returns, by window and token, checked."""
    said = f"the {place.side} of {place.module!r}"
    tensor = module_value(value)
    if tensor is None:
        raise UnweaveError(f"{said} is a {type(value).__name__} without a tensor in front: choose another place")
    whole = as_windows(tensor.detach(), tokens)
    if whole is None:
        raise UnweaveError(f"{said} does not see every token (an expert?): it is {tuple(tensor.shape)}")
    if place.side == "output" and place.site is not None:
        whole = place.site.part(whole)
    if whole.shape[-1] != place.width:
        raise UnweaveError(f"{said} is {whole.shape[-1]} wide, and {place.width} was expected: choose another place")
    return whole


def written(place: Place, value: Any, new: Float[Tensor, "n t d"]) -> Any:
    """What the place's module was given or returns, with the place's own columns replaced; nothing is changed in place.

    The reverse of ``seen``: a tuple stays one, flattened windows stay flattened.
    """
    tensor = module_value(value)
    if tensor is None:
        raise UnweaveError(f"the {place.side} of {place.module!r} holds no tensor that could be replaced")
    whole = new.reshape(*tensor.shape[:-1], -1).to(tensor.dtype)
    if place.side == "output" and place.site is not None:
        whole = place.site.replaced(tensor, whole)
    return type(value)([whole, *value[1:]]) if isinstance(value, (tuple, list)) else whole


def _forward(
    target: Target,
    places: Mapping[str, Place],
    tokens: Int[Tensor, "n t"],
    logits: bool,
    given: Mapping[str, Tensor],
    copied: bool,
) -> tuple[Observed, dict[str, int]]:
    values: dict[str, Tensor] = {}
    versions: dict[str, int] = {}

    def looker(key: str, place: Place) -> Callable[[Any], None]:
        def look(value: Any) -> None:
            if key in values:
                raise UnweaveError(
                    f"{place.module!r} is called more than once in a forward, so its {place.side} is not one value a "
                    "token: choose another place"
                )
            found = seen(place, value, tokens)
            values[key] = found.clone() if copied else found
            versions[key] = values[key]._version
            if not logits and len(values) == len(places):
                raise _Enough

        return look

    output = None
    with ExitStack() as stack:
        for key, place in places.items():
            stack.callback(hook_place(target, place, looker(key, place)).remove)
        if logits:
            output = target.logits(tokens)
        elif places:
            with suppress(_Enough):
                target.module(tokens.to(target.device), **target._forward_options(), **given)
    missing = [place for key, place in places.items() if key not in values]
    if missing:
        raise UnweaveError(f"{missing[0].module!r} is never called in a forward, so it has no {missing[0].side} to see")
    return Observed(output, {key: values[key] for key in places}), versions


def _module(target: Target, place: Place) -> nn.Module:
    try:
        return target.module.get_submodule(place.module)
    except AttributeError:
        names = [name for name, _ in target.module.named_modules() if name]
        raise UnweaveError(f"module {place.module!r} is not in {target.name}; {nearest(place.module, names)}") from None
