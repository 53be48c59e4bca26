"""A target that the package bundles, as the recipes make one: its training with checkpoints, and its model folder."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from unweave.base.device import prefer_fast_float32
from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_folder, atomic_path, read_json, save_tensors, write_json
from unweave.base.memory import keep_freed_memory
from unweave.base.progress import Silent, Terminal
from unweave.models.load import load_target
from unweave.models.target import Target

BUNDLED = Path(__file__).resolve().parents[1] / "src" / "unweave" / "models" / "bundled"
THREADS = 2


def checkpoint_path(work: Path) -> Path:
    return work / "checkpoint.safetensors"


def same_sums() -> None:
    """Sets torch up so that the same steps give the same bits."""
    prefer_fast_float32()
    keep_freed_memory()
    torch.set_num_threads(THREADS)
    # The gradient of the embedding is a sum over positions, which threads would otherwise add in any order.
    torch.use_deterministic_algorithms(True)


def train_steps(
    model: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
    settings: Mapping[str, Any],
    loss_at: Callable[[int], Tensor],
    rates_at: Callable[[int], Sequence[float]],
    untrained_loss: float,
    checkpoint: Path,
    keep_every: float,
    progress: Silent | Terminal,
) -> dict[str, Any]:
    """Trains from ``checkpoint``, or from the start, up to ``settings["steps"]``; returns the checkpoint's last facts.

    ``loss_at`` and ``rates_at`` say of a step what is minimised and each optimiser's learning rate. A checkpoint is
    written every ``keep_every`` seconds and after the last step; one of other settings is refused.
    """
    facts: dict[str, Any] = {"settings": dict(settings), "step": 0, "seconds": 0.0, "loss": untrained_loss}
    if checkpoint.exists():
        facts = _restore(checkpoint, settings, model, optimisers)
        progress.say(f"going on after step {facts['step']}")
    kept = time.monotonic()
    began = kept - facts["seconds"]
    for step in range(facts["step"], settings["steps"]):
        for optimiser, rate in zip(optimisers, rates_at(step), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate
        loss = loss_at(step)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings["clip"])
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        now = time.monotonic()
        facts |= {
            "step": step + 1,
            "seconds": now - began,
            "loss": facts["loss"] + 0.02 * (loss.item() - facts["loss"]),
        }
        progress.update(step + 1, settings["steps"], f"loss {facts['loss']:.3f}")
        if now - kept > keep_every or step + 1 == settings["steps"]:
            _save(checkpoint, facts, model, optimisers)
            kept = time.monotonic()
    return facts


def checkpoint_facts(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as opened:
        return json.loads(opened.metadata()["facts"])


def checkpoint_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint by the names of the model's parameters."""
    return {name.removeprefix("weight."): each for name, each in load_file(path).items() if name.startswith("weight.")}


def _save(path: Path, facts: Mapping[str, Any], model: nn.Module, optimisers: Sequence[torch.optim.Optimizer]) -> None:
    tensors = {}
    for name, weight in model.named_parameters():
        tensors[f"weight.{name}"] = weight.detach()
        for optimiser in optimisers:
            for kept, value in optimiser.state.get(weight, {}).items():
                tensors[f"state.{kept}.{name}"] = value
    with atomic_path(path) as temporary:
        save_tensors(tensors, temporary, {"facts": json.dumps(facts)})


def _restore(
    path: Path, settings: Mapping[str, Any], model: nn.Module, optimisers: Sequence[torch.optim.Optimizer]
) -> dict[str, Any]:
    facts = checkpoint_facts(path)
    if facts["settings"] != json.loads(json.dumps(settings)):
        raise UnweaveError(f"{path} was made with other settings or text: remove it, or use another --work")
    tensors = load_file(path)
    states: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("state."):
            _, kept, name = key.split(".", 2)
            states.setdefault(name, {})[kept] = value
    names = {weight: name for name, weight in model.named_parameters()}
    for weight, name in names.items():
        weight.data.copy_(tensors[f"weight.{name}"])
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            for weight in group["params"]:
                optimiser.state[weight] = states[names[weight]]
    return facts


def export_arguments(about: str | None, name: str, work: Path) -> argparse.Namespace:
    """``--work``, ``--out`` and ``--json`` of the export of the bundled target ``name``."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=work, help="folder for text, tokens and checkpoint")
    parser.add_argument("--out", type=Path, default=BUNDLED / name)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def export(
    name: str,
    work: Path,
    out: Path,
    make_model: Callable[[int], Any],
    gather_facts: Callable[[Target, Path, dict[str, Any], Terminal], dict[str, Any]],
    render: Callable[[dict[str, Any], dict[str, Any]], str],
    progress: Terminal,
) -> dict[str, Any]:
    """Writes a finished training as a model folder with its card, and the card's facts as ``name``.json beside it."""
    checkpoint = checkpoint_path(work)
    trained = checkpoint_facts(checkpoint)
    if trained["step"] < trained["settings"]["steps"]:
        raise UnweaveError(f"{checkpoint} stands at step {trained['step']}: run train.py to its end first")
    with atomic_folder(out, replace=True) as folder:
        _write_model(make_model(trained["settings"]["seed"]), checkpoint, folder)
        shutil.copytree(work / "tokenizer", folder, dirs_exist_ok=True)
        facts = gather_facts(load_target(folder, device="cpu", progress=progress), work, trained, progress)
        write_json(folder / f"{name}.json", facts)
        (folder / "README.md").write_text(render(facts, read_json(folder / "config.json")), encoding="utf-8")
    return facts


def _write_model(model: Any, checkpoint: Path, folder: Path) -> None:
    """Configs, and the weights rounded to float16.

    The config says float32, so that the rounded weights are computed with in full precision wherever they are loaded.
    """
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    weights = {name: weight.half() for name, weight in checkpoint_weights(checkpoint).items()}
    # transformers refuses a file that does not say which framework wrote it.
    save_tensors(weights, folder / "model.safetensors", {"format": "pt"})
