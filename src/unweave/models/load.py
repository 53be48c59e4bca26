"""One door for every kind of target: a name, a folder or id, a GGUF file, or a live module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from unweave.base.device import check_device_map, choose_device, choose_dtype, prefer_fast_float32
from unweave.base.progress import Progress, Silent
from unweave.models.target import Target, make_target


def load_target(
    spec: str | Path | nn.Module,
    tokenizer: Any = None,
    *,
    device: str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    dtype: str = "float32",
    progress: Progress | None = None,
) -> Target:
    """Loads a target and passes it through the parity gate.

    ``spec`` is ``polyglot``, ``pupil`` or ``smollm2``, a Hugging Face folder or id (safetensors only, remote code
    never), a ``.gguf`` file, or a live module (then ``tokenizer`` belongs with it; ``device`` and ``dtype`` are the
    module's own). ``device_map`` spreads one model over several devices, as in transformers: auto, balanced,
    balanced_low_0, sequential, or devices by module name. Raises ``UnweaveError`` for whatever cannot be loaded or
    does not pass.
    """
    from unweave.models.gguf import convert_gguf
    from unweave.models.huggingface import load_folder
    from unweave.models.named import resolve

    prefer_fast_float32()
    if isinstance(spec, nn.Module):
        return make_target(
            spec, tokenizer, getattr(getattr(spec, "config", None), "_name_or_path", "") or "live module"
        )
    where = resolve(str(spec))
    source = str(where)
    if isinstance(where, Path) and where.suffix == ".gguf":
        where = convert_gguf(where, progress=progress or Silent())
    if device_map is not None:
        check_device_map(device_map, device)
    placed = choose_device(device) if device_map is None else device_map
    module, loaded_tokenizer = load_folder(where, dtype=choose_dtype(dtype), device=placed)
    return make_target(module, loaded_tokenizer, str(spec), source=source)
