"""A model's shapes without its weights: enough to reckon what a decomposition of it will cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unweave.base.device import choose_dtype
from unweave.base.errors import UnweaveError, first_line
from unweave.base.files import read_json
from unweave.base.settings import offline
from unweave.models.gguf import convert_gguf
from unweave.models.named import resolve
from unweave.models.sites import find_blocks
from unweave.models.target import Target, TargetIdentity


def skeleton_target(spec: str, dtype: str = "float32") -> Target:
    """The target's modules without storage: sites and shapes are right, and nothing can be run.

    ``spec`` is what ``load_target`` takes; of a folder or hub id only ``config.json`` is read. Raises ``UnweaveError``
    for a config that transformers cannot build a causal language model from.
    """
    import torch
    from transformers import AutoModelForCausalLM

    where = resolve(spec)
    if isinstance(where, Path) and where.suffix == ".gguf":
        where = convert_gguf(where)
    config = _config(where)
    try:
        with torch.device("meta"):
            module = AutoModelForCausalLM.from_config(config, dtype=choose_dtype(dtype))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UnweaveError(
            f"{spec}: no causal language model can be built from its config ({first_line(error)})"
        ) from error
    module.tie_weights()
    blocks = find_blocks(module, getattr(config, "num_hidden_layers", None))
    return Target(module, None, spec, TargetIdentity("none", "none", "none", dtype), str(where), blocks)


def _config(where: Path | str) -> Any:
    from transformers import AutoConfig

    if isinstance(where, Path):
        read_json(where / "config.json")
    try:
        return AutoConfig.from_pretrained(where, local_files_only=offline(), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UnweaveError(f"{where}: its config cannot be read ({first_line(error)})") from error
