"""Devices that are not there: every tensor has a place, and what would not run on real devices does not run here."""

from __future__ import annotations

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten

CPU = torch.device("cpu")
MOVES = ("to", "cpu", "copy_", "type", "float")


class Places(TorchFunctionMode):
    """Inside, ``tensor.to("cuda:1")`` and factories mark a tensor in the CPU's memory as being there.

    An operation on tensors of two places raises, as torch does, but for a number (no dimensions) that is on the CPU. Of
    a backward pass nothing is checked: it goes where the forward went.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(function, "__name__", "")
        if function == torch.Tensor.device.__get__:
            return place_of(args[0])
        tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
        if name in ("to", "cpu"):
            return self._moved(args, kwargs)
        asked = kwargs.pop("device", None)
        if asked is not None:
            return put(function(*args, **kwargs), torch.device(asked))
        if function is torch.autograd.grad:
            gradients = function(*args, **kwargs)
            for gradient, source in zip(gradients, args[1], strict=True):
                put(gradient, place_of(source))
            return gradients
        # Optimisers group tensors by device in C++, which sees the memory they are really in.
        if name not in MOVES and not name.startswith(("_foreach", "_fused", "__")) and name != "backward":
            places = {place_of(each) for each in tensors if each.dim() or place_of(each) != CPU}
            if len(places) > 1:
                raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found {places}")
        result = function(*args, **kwargs)
        place = max((place_of(each) for each in tensors), key=lambda place: place != CPU, default=CPU)
        if name == "copy_":
            place = place_of(args[0])
        return put(result, place)

    def _moved(self, args, kwargs):
        tensor, *rest = args
        asked = [kwargs.pop("device")] if kwargs.get("device") is not None else []
        asked += [each for each in rest if isinstance(each, (torch.device, str))]
        asked += [place_of(each) for each in rest if isinstance(each, torch.Tensor)]
        types = [each for each in rest if isinstance(each, torch.dtype)]
        types += [each.dtype for each in rest if isinstance(each, torch.Tensor)]
        place = torch.device(asked[0]) if asked else (place_of(tensor) if rest or kwargs else CPU)
        result = torch.Tensor.to(tensor, *types, **kwargs) if types or kwargs else tensor
        if place != place_of(tensor) and result is tensor:
            result = tensor.view_as(tensor)
        return put(result, place)


def place_of(tensor):
    return tensor.__dict__.get("place", CPU)


def put(result, place):
    """Marks all tensors of a result."""
    for each in tree_flatten(result)[0]:
        if isinstance(each, torch.Tensor) and ("place" in each.__dict__ or place != CPU):
            each.place = place
    return result
