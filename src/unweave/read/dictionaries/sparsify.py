"""sparsify folders: ``cfg.json`` with ``sae.safetensors``, one folder a hookpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from unweave.base.errors import UnweaveError
from unweave.models.target import Target
from unweave.read.dictionaries.activations import GroupMax, TopK
from unweave.read.dictionaries.coder import Coder
from unweave.read.dictionaries.hooks import module_place
from unweave.read.dictionaries.stored import Config, read_tensors

WEIGHTS = "sae.safetensors"
ACTIVATIONS = {"topk": TopK, "groupmax": GroupMax}
KNOWN = (
    "activation",
    "d_in",
    "expansion_factor",
    "k",
    "multi_topk",
    "normalize_decoder",
    "num_latents",
    "signed",
    "skip_connection",
    "transcode",
)
_SEED = re.compile(r"seed\d+")


def read_sparsify(folder: Path, target: Target) -> tuple[Literal["sae", "transcoder"], Coder, str]:
    """The coder of one folder with its kind and the name of the model that it was trained on.

    The folder is called after its hookpoint, a module: an SAE reads and writes what leaves it, a transcoder reads what
    enters it. Raises ``UnweaveError`` for options and tensors that are not known, and shapes that are not the config's.
    """
    config = Config.read(folder / "cfg.json")
    for name, value in config.values.items():
        if name not in KNOWN and value:
            raise UnweaveError(f"{config.path} says {name} {value!r}, which is not read: {', '.join(KNOWN)} are")
    hookpoint, run = _hookpoint(folder)
    d_in, k, transcode = config.count("d_in"), config.count("k"), config.flag("transcode", False)
    if "transcode" not in config.values and run.flag("transcode", False):
        raise UnweaveError(
            f"{run.path} says transcode and {config.path} does not: versions that wrote it so disagree about what is "
            "taken from the input; save it with sparsify 1.1 or newer"
        )
    c = config.values.get("num_latents") or d_in * config.count("expansion_factor")
    c = Config(config.path, {"num_latents": c}).count("num_latents")
    activation = config.choice("activation", ACTIVATIONS, "topk")
    if k > c or (activation == "groupmax" and c % k):
        raise UnweaveError(f"{config.path} says {activation} with k {k} of {c} latents")
    shapes = {"encoder.weight": (c, d_in), "encoder.bias": (c,), "W_dec": (c, d_in), "b_dec": (d_in,)}
    if config.flag("skip_connection", False):
        shapes["W_skip"] = (d_in, d_in)
    tensors = read_tensors(folder / WEIGHTS, shapes)
    signed, bias = config.flag("signed", False), tensors["encoder.bias"]
    if signed and activation == "groupmax":
        raise UnweaveError(f"{config.path} says signed with groupmax, which sparsify never had together")
    writes = module_place(target, hookpoint, "output", d_in)
    coder = Coder(
        hookpoint,
        module_place(target, hookpoint, "input", d_in) if transcode else writes,
        writes,
        tensors["encoder.weight"].T.contiguous(),
        GroupMax(bias, k) if activation == "groupmax" else TopK(bias, k, signed=signed),
        tensors["W_dec"],
        tensors["b_dec"],
        shift=None if transcode else tensors["b_dec"],
        skip=tensors.get("W_skip"),
        restored=not transcode,
    )
    base = run.values.get("model")
    return "transcoder" if transcode else "sae", coder, base if isinstance(base, str) else ""


def _hookpoint(folder: Path) -> tuple[str, Config]:
    """The hookpoint, and the run's own config where it lies beside; runs of several seeds have a folder for each."""
    folder = folder.resolve()
    if _SEED.fullmatch(folder.name):
        folder = folder.parent
    path = folder.parent / "config.json"
    return folder.name, Config.read(path) if path.exists() else Config(path, {})
