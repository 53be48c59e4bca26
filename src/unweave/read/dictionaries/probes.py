"""Linear probes as features: ``probe.json`` with ``probe.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_folder, save_tensors, write_json
from unweave.models.target import Target
from unweave.read.dictionaries.coder import tensors_digest
from unweave.read.dictionaries.hooks import hook_place, module_place
from unweave.read.dictionaries.stored import Config, read_tensors
from unweave.read.features import Place, Reading

FORMAT = 1
WEIGHTS = "probe.safetensors"
SIDES = {"input": None, "output": None}


@dataclass(frozen=True)
class Probes:
    """Linear probes of one place: activation is the logit ``w . x + b``, importance 1 where that is positive.

    A probe writes nothing. Its write direction is ``w / |w|^2``, the smallest change of what it reads that raises its
    logit by 1.
    """

    name: str
    reads: Place
    directions: Float[Tensor, "c d"]
    bias: Float[Tensor, " c"]
    names: tuple[str, ...]
    """What each probe is of."""

    @property
    def writes(self) -> Place:
        return self.reads

    def __len__(self) -> int:
        return len(self.directions)

    def read_directions(self) -> Float[Tensor, "c d"]:
        return self.directions

    def write_directions(self) -> Float[Tensor, "c d"]:
        return self.directions / self.directions.pow(2).sum(-1, keepdim=True)

    def decode(self, activation: Float[Tensor, "*n c"]) -> Float[Tensor, "*n d"]:
        return activation @ self.write_directions()

    def read(self, values: Float[Tensor, "*n d"]) -> Reading:
        logits = values.float() @ self.directions.T + self.bias
        return Reading((logits > 0).float(), logits)

    def to(self, device: torch.device) -> Probes:
        """The same probes on another device."""
        return replace(self, directions=self.directions.to(device), bias=self.bias.to(device))


class ProbeDictionary:
    """Probes of one place of a target."""

    kind = "probe"

    def __init__(self, name: str, probes: Probes, target: str | None = None, base: str = "") -> None:
        self.name, self.target, self.base = name, target, base
        self.groups: dict[str, Probes] = {probes.name: probes}
        self.digest = tensors_digest({"directions": probes.directions, "bias": probes.bias})

    def encode(self, values: Mapping[str, Float[Tensor, "*n d"]]) -> dict[str, Reading]:
        return {name: self.groups[name].read(x) for name, x in values.items()}


def save_probes(
    folder: Path,
    directions: Float[Tensor, "c d"],
    bias: Float[Tensor, " c"],
    names: Sequence[str],
    place: Place | str,
    target: Target | None = None,
    replace: bool = False,
) -> None:
    """Writes probes that were fitted with any library: weights (scikit-learn's ``coef_``), biases, and what each is of.

    ``place`` is a module's input or output, or a TransformerLens hook such as ``blocks.3.hook_resid_post``. With
    ``target`` the folder is tied to its identity.
    """
    directions, bias = directions.detach().float().cpu().contiguous(), bias.detach().float().cpu().contiguous()
    if directions.dim() != 2 or bias.shape != directions.shape[:1] or len(names) != len(directions):
        raise UnweaveError(
            f"directions {tuple(directions.shape)}, bias {tuple(bias.shape)} and {len(names)} names do not fit "
            "together: give directions [probes, width], and one bias and one name for each"
        )
    where = {"hook": place} if isinstance(place, str) else {"module": place.module, "side": place.side}
    description = {
        "format": FORMAT,
        "place": where,
        "width": directions.shape[1],
        "names": list(names),
        "base_model": target.name if target else "",
        "target": target.identity.digest if target else None,
    }
    with atomic_folder(Path(folder), replace=replace) as temporary:
        save_tensors({"directions": directions, "bias": bias}, temporary / WEIGHTS)
        write_json(temporary / "probe.json", description)


def read_probes(folder: Path, target: Target) -> ProbeDictionary:
    """The probes of a folder.

    Raises ``UnweaveError`` for another format, a place that is not there, shapes that are not what ``probe.json`` says,
    a direction of length 0, and another target than they were fitted on.
    """
    config = Config.read(folder / "probe.json")
    if config.values.get("format") != FORMAT:
        raise UnweaveError(f"{config.path} has format {config.values.get('format')}, and this version reads {FORMAT}")
    names, width = _names(config), config.count("width")
    tensors = read_tensors(folder / WEIGHTS, {"directions": (len(names), width), "bias": (len(names),)})
    if not bool((tensors["directions"].norm(dim=-1) > 0).all()):
        raise UnweaveError(f"{folder / WEIGHTS}: a probe's direction is 0 everywhere, so it says nothing")
    made_on = config.values.get("target")
    if made_on is not None and made_on != target.identity.digest:
        raise UnweaveError(
            f"{folder} belongs to target {made_on} ({config.values.get('base_model')}), not to "
            f"{target.identity.digest}: load the target it was fitted on, or fit it on this one"
        )
    where = config.part("place")
    if "hook" in where.values:
        name, place = where.text("hook"), hook_place(target, where.text("hook"), width)
    else:
        name, side = where.text("module"), where.choice("side", SIDES)
        place = module_place(target, name, side, width)  # type: ignore[arg-type]
    probes = Probes(name, place, tensors["directions"], tensors["bias"], names)
    return ProbeDictionary(folder.resolve().name, probes, made_on, config.text("base_model", ""))


def _names(config: Config) -> tuple[str, ...]:
    names: Any = config.values.get("names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UnweaveError(f"{config.path} says names {names!r}: a list with one text for each probe was expected")
    return tuple(names)
