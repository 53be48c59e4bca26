"""SAELens folders: ``cfg.json`` with ``sae_weights.safetensors``, as SAELens 3 to 6 write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.models.target import Target
from unweave.read.dictionaries.activations import Activation, Gated, JumpReLU, ReLU, TopK
from unweave.read.dictionaries.coder import Coder
from unweave.read.dictionaries.hooks import hook_place, module_place
from unweave.read.dictionaries.stored import Config, read_tensors
from unweave.read.features import Place

WEIGHTS = "sae_weights.safetensors"
SCALER = "activation_scaler.json"


class Architecture(NamedTuple):
    """What an architecture stores beside encoder, decoder and their biases, and how it picks its latents."""

    kind: Literal["sae", "transcoder"]
    vectors: tuple[str, ...]
    """Tensors of one number a latent."""
    activation: Callable[[Mapping[str, Tensor], Config], Activation]
    skip: bool = False


def _relu(tensors: Mapping[str, Tensor], _: Config) -> Activation:
    return ReLU(tensors["b_enc"])


def _jump(tensors: Mapping[str, Tensor], _: Config) -> Activation:
    return JumpReLU(tensors["b_enc"], tensors["threshold"])


def _gated(tensors: Mapping[str, Tensor], _: Config) -> Activation:
    return Gated(tensors["b_gate"], tensors["b_mag"], tensors["r_mag"])


def _top_k(tensors: Mapping[str, Tensor], config: Config) -> Activation:
    return TopK(tensors["b_enc"], _k(tensors, config))


def _absolute_top_k(tensors: Mapping[str, Tensor], config: Config) -> Activation:
    return TopK(tensors["b_enc"], _k(tensors, config), signed=True)


def _batch_top_k(tensors: Mapping[str, Tensor], config: Config) -> Activation:
    # What a batch would keep depends on the batch; SAELens itself saves such a coder with the threshold it has learnt.
    del config
    return JumpReLU(tensors["b_enc"], tensors["topk_threshold"].expand(len(tensors["b_enc"])))


ARCHITECTURES = {
    "standard": Architecture("sae", ("b_enc",), _relu),
    "gated": Architecture("sae", ("b_gate", "b_mag", "r_mag"), _gated),
    "jumprelu": Architecture("sae", ("b_enc", "threshold"), _jump),
    "topk": Architecture("sae", ("b_enc",), _top_k),
    "abstopk": Architecture("sae", ("b_enc",), _absolute_top_k),
    "batchtopk": Architecture("sae", ("b_enc",), _batch_top_k),
    "matryoshka_batchtopk": Architecture("sae", ("b_enc",), _batch_top_k),
    "transcoder": Architecture("transcoder", ("b_enc",), _relu),
    "skip_transcoder": Architecture("transcoder", ("b_enc",), _relu, skip=True),
    "jumprelu_transcoder": Architecture("transcoder", ("b_enc", "threshold"), _jump),
    "jumprelu_skip_transcoder": Architecture("transcoder", ("b_enc", "threshold"), _jump, skip=True),
}
NORMALISATIONS = {
    "none": "none",
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "constant_norm",
    "expected_average_only_in": "none",
}
BATCHED = ("batchtopk", "matryoshka_batchtopk")
RESCALED = ("topk", "abstopk", *BATCHED)
"""Architectures that may pick their latents by what they write (``rescale_acts_by_decoder_norm``)."""


def read_saelens(folder: Path, target: Target) -> tuple[Literal["sae", "transcoder"], Coder, str]:
    """The coder of one folder with its kind and the name of the model that it was trained on.

    Weights are read in float32, whatever they are stored in. Raises ``UnweaveError`` for an architecture, activation
    function, normalisation or tensor that is not known, shapes that are not the config's, and hooks without a place.
    """
    config = _modern(Config.read(folder / "cfg.json"))
    name = config.choice("architecture", ARCHITECTURES, "standard")
    made = ARCHITECTURES[name]
    d_in, c = config.count("d_in"), config.count("d_sae")
    d_out = config.count("d_out") if made.kind == "transcoder" else d_in
    tensors = _tensors(folder / WEIGHTS, made, name in BATCHED, d_in, d_out, c)
    normalisation = NORMALISATIONS[config.choice("normalize_activations", NORMALISATIONS, "none")]
    if config.values.get("normalize_activations") == "expected_average_only_in":
        tensors = _folded(tensors, _scaling_factor(folder), config)
    reads, writes, hook = _places(config, target, made.kind, d_in, d_out)
    shifted = config.flag("apply_b_dec_to_input", made.kind == "sae")
    if shifted and made.kind == "transcoder":
        raise UnweaveError(f"{config.path}: a transcoder's output bias cannot be taken from its input")
    if name in RESCALED and config.flag("rescale_acts_by_decoder_norm", False):
        tensors = _rescaled(tensors)
    coder = Coder(
        hook,
        reads,
        writes,
        tensors["W_enc"],
        made.activation(tensors, config),
        tensors["W_dec"],
        tensors["b_dec"],
        shift=tensors["b_dec"] if shifted else None,
        skip=tensors["W_skip"] if made.skip else None,
        normalisation=normalisation,  # type: ignore[arg-type]
        restored=made.kind == "sae",
        centred=_centred(config, made.kind, hook),
    )
    return made.kind, coder, str(config.part("metadata").values.get("model_name") or "")


def _modern(config: Config) -> Config:
    """A config of any version with the fields of version 6, where all about the model moved under ``metadata``."""
    values: dict[str, Any] = dict(config.values)
    for old, new in (("hook_point", "hook_name"), ("hook_point_head_index", "hook_head_index")):
        if old in values:
            values.setdefault(new, values.pop(old))
    if "activation_fn_str" in values:
        values["activation_fn"] = values["activation_fn_str"]
    arguments = values.get("activation_fn_kwargs") or {}
    function = values.get("activation_fn") or "relu"
    if function == "topk" and isinstance(arguments, dict) and "k" in arguments:
        values |= {"architecture": "topk", "k": arguments["k"]}
    elif function not in ("relu", "topk"):
        raise UnweaveError(f"{config.path} says activation_fn {function!r}, which is not read: relu, topk are")
    if isinstance(values.get("normalize_activations"), bool):
        values["normalize_activations"] = "expected_average_only_in" if values["normalize_activations"] else "none"
    if values.get("normalize_activations") is None:
        values["normalize_activations"] = "none"
    metadata = values.get("metadata")
    if metadata is None:
        metadata = {name: value for name, value in values.items() if name not in ("architecture", "d_in", "d_sae")}
    values["metadata"] = metadata
    hook = metadata.get("hook_name") if isinstance(metadata, dict) else None
    shape = values.get("reshape_activations")
    if shape not in (None, "none", "hook_z"):
        raise UnweaveError(f"{config.path} says reshape_activations {shape!r}, which is not read: none, hook_z are")
    if shape == "hook_z" and not str(hook).endswith("_z"):
        raise UnweaveError(
            f"{config.path} says reshape_activations 'hook_z' of {hook!r}: only hook_z has heads to join"
        )
    return Config(config.path, values)


def _tensors(path: Path, made: Architecture, batch: bool, d_in: int, d_out: int, c: int) -> dict[str, Tensor]:
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (d_in, c), "W_dec": (c, d_out), "b_dec": (d_out,)}
    shapes |= dict.fromkeys(made.vectors, (c,))
    if made.skip:
        shapes["W_skip"] = (d_out, d_in)
    if batch:
        shapes["topk_threshold"] = ()
    found = read_tensors(path, shapes, {"scaling_factor": (c,)})
    # Versions before 4 stored it always, and it does something only where it is not 1.
    if not bool((found.pop("scaling_factor", torch.ones(1)) - 1).abs().max() < 1e-6):
        raise UnweaveError(f"{path} has a scaling_factor other than 1 (fine-tuned magnitudes), which is not read")
    return found


def _k(tensors: Mapping[str, Tensor], config: Config) -> int:
    k, c = config.count("k"), len(tensors["b_enc"])
    if k > c:
        raise UnweaveError(f"{config.path} says k {k} of {c} latents")
    return k


def _rescaled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same coder with decoder directions of length 1, so that a latent is as large as what it writes."""
    norms = tensors["W_dec"].norm(dim=-1)
    return {
        **tensors,
        "W_enc": tensors["W_enc"] * norms,
        "b_enc": tensors["b_enc"] * norms,
        "W_dec": tensors["W_dec"] / norms[:, None],
    }


def _scaling_factor(folder: Path) -> float:
    """The factor that a training checkpoint keeps beside its weights; an inference SAE has it folded in already."""
    if not (folder / SCALER).exists():
        raise UnweaveError(
            f"{folder / 'cfg.json'} says normalize_activations 'expected_average_only_in', and the factor is not in "
            f"the folder ({SCALER}): fold it in with SAELens (fold_activation_norm_scaling_factor) and save"
        )
    value = Config.read(folder / SCALER).values.get("scaling_factor")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise UnweaveError(f"{folder / SCALER} says scaling_factor {json.dumps(value)}: a positive number was expected")
    return float(value)


def _folded(tensors: dict[str, Tensor], factor: float, config: Config) -> dict[str, Tensor]:
    """Weights for the values as they are, of a coder that was trained on them times ``factor``."""
    folded = {name: tensors[name] / factor for name in ("W_dec", "b_dec")}
    if "topk_threshold" in tensors and config.flag("rescale_acts_by_decoder_norm", False):
        folded["topk_threshold"] = tensors["topk_threshold"] / factor
    return {**tensors, "W_enc": tensors["W_enc"] * factor, **folded}


def _places(config: Config, target: Target, kind: str, d_in: int, d_out: int) -> tuple[Place, Place, str]:
    metadata = config.part("metadata")
    hook = metadata.text("hook_name")

    def place(name: str, side: Literal["input", "output"], width: int, head: str) -> Place:
        # Trained on a model of transformers itself, the hook is a module's name.
        if metadata.values.get("model_class_name") in ("AutoModelForCausalLM", "AutoModel"):
            return module_place(target, name, side, width)
        return hook_place(target, name, width, metadata.values.get(head))

    if kind == "sae":
        reads = place(hook, "output", d_in, "hook_head_index")
        return reads, reads, hook
    out = metadata.text("hook_name_out")
    return place(hook, "output", d_in, "hook_head_index"), place(out, "output", d_out, "hook_head_index_out"), hook


def _centred(config: Config, kind: str, hook: str) -> bool:
    """Whether it was trained on a model whose residual stream had its mean over the width taken out at loading.

    Other changes that TransformerLens can make at loading change what attention's heads or norms hand over.
    """
    changes = config.part("metadata").part("model_from_pretrained_kwargs")
    for name, hooks in (("fold_ln", "_normalized"), ("fold_value_biases", "hook_z")):
        if hook.endswith(hooks) and changes.flag(name, False):
            raise UnweaveError(f"{config.path}: {hook!r} of a model loaded with {name} has other values than here")
    # Matrices inside attention and MLP do not change, only what they write to the stream.
    streams = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out", "hook_mlp_in")
    centred = hook.endswith(streams) and changes.flag("center_writing_weights", False)
    if centred and kind == "transcoder":
        raise UnweaveError(f"{config.path}: a transcoder of a model loaded with center_writing_weights is not read")
    return centred
