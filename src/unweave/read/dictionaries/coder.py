"""Sparse coders as features: an encoder that reads one place, latents, and a decoder that writes to one place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.read.dictionaries.activations import Activation
from unweave.read.features import Place, Reading

Normalisation = Literal["none", "layer_norm", "constant_norm"]
LAYER_NORM_EPSILON = 1e-5


class _Scaled(NamedTuple):
    """A coder's input with what gives the place's own values back: ``x = shifted * scale + shift``."""

    inputs: Float[Tensor, "*n d_in"]
    scale: Float[Tensor, "*n 1"] | None
    shift: Float[Tensor, "*n 1"] | None


@dataclass(frozen=True)
class Coder:
    """A sparse coder of one place: an SAE writes where it reads, a transcoder what a module makes of what it reads.

    ``activation`` of a reading is the latent in units of what is written: times the token's own scale where the coder
    normalises its input, and the latent itself everywhere else.
    """

    name: str
    reads: Place
    writes: Place
    encoder: Float[Tensor, "d_in c"]
    activation: Activation
    decoder: Float[Tensor, "c d_out"]
    bias: Float[Tensor, " d_out"]
    """Of the decoder."""
    shift: Float[Tensor, " d_in"] | None = None
    """What is taken from the input before it is encoded: an SAE's decoder bias, most often."""
    skip: Float[Tensor, "d_out d_in"] | None = None
    """A linear way past the latents."""
    normalisation: Normalisation = "none"
    restored: bool = True
    """Whether what is written is in the units of the place; a transcoder's is what its own decoder says."""
    centred: bool = False
    """The place's values have their mean over the width taken out first (``center_writing_weights``)."""

    def __len__(self) -> int:
        return self.encoder.shape[1]

    def read_directions(self) -> Float[Tensor, "c d_in"]:
        # A mean that is taken out of the input is not looked at.
        blind = self.centred or self.normalisation == "layer_norm"
        return (self.encoder - self.encoder.mean(0) if blind else self.encoder).T

    def write_directions(self) -> Float[Tensor, "c d_out"]:
        return self.decoder

    def decode(self, activation: Float[Tensor, "*n c"]) -> Float[Tensor, "*n d_out"]:
        return activation @ self.decoder

    def read(self, values: Float[Tensor, "*n d_in"]) -> Reading:
        """Which latents are active, and how strongly."""
        scaled = self._scaled(values)
        latents = self._latents(scaled)
        return Reading((latents != 0).float(), latents if scaled.scale is None else latents * scaled.scale)

    def latents(self, values: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n c"]:
        """The latents as the library that the coder comes from gives them."""
        return self._latents(self._scaled(values))

    def reconstruct(self, values: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n d_out"]:
        """All that the coder writes: decoded latents, its bias, and what goes past the latents."""
        scaled = self._scaled(values)
        made = self._latents(scaled) @ self.decoder + self.bias
        if scaled.scale is not None and self.restored:
            made = made * scaled.scale
        if scaled.shift is not None and self.restored:
            made = made + scaled.shift
        return made if self.skip is None else made + values.float() @ self.skip.T

    def _latents(self, scaled: _Scaled) -> Tensor:
        inputs = scaled.inputs if self.shift is None else scaled.inputs - self.shift
        return self.activation(inputs @ self.encoder)

    def _scaled(self, values: Tensor) -> _Scaled:
        x, scale, shift = values.float(), None, None
        if self.centred:
            shift = x.mean(-1, keepdim=True)
            x = x - shift
        if self.normalisation == "layer_norm":
            mean = x.mean(-1, keepdim=True)
            scale = (x - mean).std(-1, keepdim=True)
            shift = mean if shift is None else shift + mean
            x = (x - mean) / (scale + LAYER_NORM_EPSILON)
        elif self.normalisation == "constant_norm":
            scale = x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
            x = x / scale
        # A transcoder's decoder knows nothing of its input's scale.
        return _Scaled(x, scale if self.restored else None, shift)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        found = {"encoder": self.encoder, "decoder": self.decoder, "bias": self.bias}
        found |= {name: value for name in ("shift", "skip") if (value := getattr(self, name)) is not None}
        return found | {f"activation.{name}": value for name, value in self.activation.tensors().items()}

    def to(self, device: torch.device) -> Coder:
        """The same coder on another device."""
        own = {name: value.to(device) for name, value in self.tensors().items() if "." not in name}
        return replace(self, **own, activation=self.activation.to(device))


class CoderDictionary:
    """Sparse coders of one or more places of a target."""

    target = None

    def __init__(self, kind: Literal["sae", "transcoder"], name: str, coders: Sequence[Coder], base: str = "") -> None:
        self.kind, self.name, self.base = kind, name, base
        """``base`` is the model it was trained on, where that is said."""
        self.groups: dict[str, Coder] = {}
        for coder in coders:
            if coder.name in self.groups:
                raise UnweaveError(f"{name} has two coders of {coder.name!r}: give the folder of one of them")
            self.groups[coder.name] = coder
        self.digest = tensors_digest(
            {f"{n}/{k}": t for n, each in self.groups.items() for k, t in each.tensors().items()}
        )

    def encode(self, values: Mapping[str, Float[Tensor, "*n d_in"]]) -> dict[str, Reading]:
        return {name: self.groups[name].read(x) for name, x in values.items()}


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """A short hash of tensors and their names."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
