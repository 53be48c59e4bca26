"""A training run's checkpoint: tensors, optimiser state and settings in one safetensors file, whole or absent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import atomic_path, remove_partial, save_tensors

if TYPE_CHECKING:
    from unweave.decompose.decomposition import Decomposition

CHECKPOINT_SECONDS = 60.0
"""How much work a killed run may lose, unless its caller says otherwise."""


class Checkpoint(NamedTuple):
    """Steps done, the state after them, and the seconds that they took."""

    step: int
    tensors: dict[str, Tensor]
    seconds: float


def write_checkpoint(
    path: Path, settings: Mapping[str, Any], step: int, tensors: Mapping[str, Tensor], seconds: float = 0.0
) -> None:
    """Replaces the checkpoint at ``path``; ``step`` is the number of steps done, ``seconds`` what they took.

    A state with NaN or infinite values is not written, so that the last good one stays: a step can end in weights that
    only the next loss shows to be lost. Raises ``UnweaveError`` when the disk refuses, naming the last good checkpoint.
    """
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        return
    packed = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    remove_partial(path)
    try:
        with atomic_path(path) as temporary:
            save_tensors(packed, temporary, {"training": json.dumps({**settings, "step": step, "seconds": seconds})})
    except UnweaveError as error:
        goes_on = ", and the same call goes on from it" if path.exists() else ""
        raise UnweaveError(f"{error}; {last_good(path)}{goes_on}") from error


def save_finished(made: Decomposition, out: Path, training: Path) -> None:
    """Saves what was trained, and only then removes the folder of its checkpoints."""
    remove_partial(out)
    try:
        made.save(out)
    except UnweaveError as error:
        raise UnweaveError(f"{error}; all steps are kept in {training}, and the same call goes on from them") from error
    shutil.rmtree(training, ignore_errors=True)


def last_good(path: Path | None) -> str:
    """What a run that has to stop leaves behind, in words for the end of its line."""
    if path is None:
        return "nothing is kept, because no folder was given to keep it in"
    if not path.exists():
        return "there is no checkpoint yet, so nothing is kept"
    done = read_header(path)["step"]
    return f"the last good checkpoint is {path}, after {done} step{'s' * (done != 1)}"


def not_finite(
    step: int, batch: Tensor, learning_rate: float, checkpoint: Path | None, site: str | None = None
) -> UnweaveError:
    """What a run says whose loss was not finite in the step of number ``step``, and why, where the batch shows it."""
    again = "start again with another --out" if checkpoint is not None and checkpoint.exists() else "start again"
    if not bool(torch.isfinite(batch).all()):
        cause = f"its batch has NaN or infinite values: leave those rows out and {again}"
    else:
        cause = f"lower learning_rate (now {learning_rate:g}) and {again}"
    where = f"site {site!r}: " if site else ""
    return UnweaveError(f"{where}the loss stopped being finite at step {step + 1}: {cause}; {last_good(checkpoint)}")


def read_header(path: Path) -> dict[str, Any]:
    """Settings and number of steps of a checkpoint; raises ``UnweaveError`` for a damaged one."""
    return _read(path)[0]


def read_checkpoint(path: Path, settings: Mapping[str, Any]) -> Checkpoint | None:
    """What the file holds, or None when there is no checkpoint yet.

    Raises ``UnweaveError`` for a damaged file, and for one of other settings, of other text or of another target.
    """
    if not path.exists():
        return None
    found, tensors = _read(path, whole=True)
    if {name: found.get(name) for name in settings} != json.loads(json.dumps(settings)):
        raise UnweaveError(
            f"{path} is a checkpoint of other settings, text or another target: remove it, or use another --out"
        )
    return Checkpoint(found["step"], tensors, found["seconds"])


def _read(path: Path, whole: bool = False) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as stored:
            found = dict(json.loads((stored.metadata() or {})["training"]))
            found["step"], found["seconds"] = int(found["step"]), float(found["seconds"])
            names = stored.keys() if whole else ()
            return found, {name: stored.get_tensor(name) for name in names}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UnweaveError(f"{path} is a damaged checkpoint ({error}): remove it to start again") from error
    except OSError as error:
        raise oserror_line(error, path) from error


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
