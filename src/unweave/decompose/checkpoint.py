"""A training run's checkpoint: tensors, optimiser state and settings in one safetensors file, whole or absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import atomic_path, save_tensors


def write_checkpoint(path: Path, settings: Mapping[str, Any], step: int, tensors: Mapping[str, Tensor]) -> None:
    """Replaces the checkpoint at ``path``; ``step`` is the number of steps done."""
    packed = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_tensors(packed, temporary, {"training": json.dumps({**settings, "step": step})})


def read_checkpoint(path: Path, settings: Mapping[str, Any]) -> tuple[int, dict[str, Tensor]] | None:
    """Steps done and tensors, or None when there is no checkpoint yet.

    Raises ``UnweaveError`` for a damaged file, and for one of other settings, of other text or of another target.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as stored:
            found = dict(json.loads((stored.metadata() or {})["training"]))
            step = int(found["step"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UnweaveError(f"{path} is a damaged checkpoint ({error}): remove it to start again") from error
    except OSError as error:
        raise oserror_line(error, path) from error
    if {name: found.get(name) for name in settings} != json.loads(json.dumps(settings)):
        raise UnweaveError(
            f"{path} is a checkpoint of other settings, text or another target: remove it, or use another --out"
        )
    return step, tensors


def optimiser_tensors(label: str, optimiser: torch.optim.Optimizer, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The optimiser's state of the named parameters, as ``LABEL:PARAMETER/KEY`` (no site has a colon in its name)."""
    return {
        f"{label}:{name}/{key}": value
        for name, parameter in named.items()
        for key, value in optimiser.state.get(parameter, {}).items()
    }


def restore_optimiser(
    label: str, optimiser: torch.optim.Optimizer, named: Mapping[str, Tensor], stored: Mapping[str, Tensor]
) -> None:
    """Puts back what ``optimiser_tensors`` took."""
    for name, parameter in named.items():
        prefix = f"{label}:{name}/"
        found = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
        if found:
            optimiser.state[parameter] = {key: value.to(parameter.device) for key, value in found.items()}
