"""Training an SAE here: a BatchTopK SAE of a target's residual stream, its report, and its SAELens folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_folder, save_tensors, write_json
from unweave.base.progress import Progress
from unweave.base.seeds import numpy_generator
from unweave.decompose.checkpoint import CHECKPOINT_SECONDS
from unweave.models.target import Target
from unweave.read.dictionaries.activations import JumpReLU
from unweave.read.dictionaries.batch_topk import start_weights
from unweave.read.dictionaries.coder import Coder, CoderDictionary
from unweave.read.dictionaries.fitting import START_ROWS, Fitted, fit_batch_topk
from unweave.read.dictionaries.residual_rows import Windows, residual_place, residual_rows, token_sequences
from unweave.read.dictionaries.saelens import WEIGHTS
from unweave.read.dictionaries.training_config import SAEConfig
from unweave.read.dictionaries.training_quality import (
    principal_components_explained,
    random_directions_explained,
    reconstruction,
)
from unweave.read.features import Place

REPORT = "training.json"


@dataclass(frozen=True)
class SAEReport:
    """What training took and what came of it. All that is explained is a share of the variance of held-out tokens."""

    target: str
    """The target's identity."""
    layer: int
    config: SAEConfig
    seed: int
    latents: int
    tokens: int
    """Different tokens trained on; each was seen ``config.epochs`` times."""
    held_out_tokens: int
    left_out_tokens: int
    """Of both: those above the norm limit."""
    steps: int
    seconds: float
    """Of training, without reading the tokens."""
    explained: float
    """By the SAE as it is saved, with its threshold."""
    explained_by_components: float
    """By as many principal components of the tokens trained on as the SAE keeps latents."""
    explained_at_random: float
    """By the SAE before its first step, its latents times the one number that helps it most."""
    l0: float
    """Latents kept on a held-out token."""
    dead: float
    """Share of latents that no token trained on makes fire."""


@dataclass(frozen=True)
class TrainedSAE:
    """The SAE as features of its target, and its report."""

    dictionary: CoderDictionary
    report: SAEReport

    def save(self, folder: Path, replace: bool = False) -> None:
        """Writes a SAELens folder with the report beside it; ``load_dictionary`` gives the same SAE back.

        It is SAELens' ``jumprelu``, which is what becomes of a BatchTopK SAE at inference, and its hook is the module's
        name in transformers. Raises ``UnweaveError`` for a folder that exists, unless it is to be replaced.
        """
        (coder,) = self.dictionary.groups.values()
        assert isinstance(coder.activation, JumpReLU)  # noqa: S101
        tensors = {
            "W_enc": coder.encoder,
            "b_enc": coder.activation.bias,
            "W_dec": coder.decoder,
            "b_dec": coder.bias,
            "threshold": coder.activation.threshold,
        }
        with atomic_folder(Path(folder), replace) as inside:
            packed = {name: tensor.cpu().clone().contiguous() for name, tensor in tensors.items()}
            save_tensors(packed, inside / WEIGHTS)
            write_json(inside / "cfg.json", _saelens_config(coder, self.dictionary.base))
            write_json(inside / REPORT, asdict(self.report))


def train_sae(
    target: Target,
    windows: Windows,
    layer: int,
    config: SAEConfig | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> TrainedSAE:
    """A BatchTopK SAE of the residual stream that leaves block ``layer``, on the target's device.

    ``windows`` are tokens [n, t], or one sequence of tokens a text, of any lengths; a share of them is held out. The
    stream is read once and kept in half precision. With ``checkpoint``, a file, an interrupted training goes on from
    there (the stream is read again); the file stays when it is over. Raises ``UnweaveError`` for a layer that is not
    there, for too few windows or tokens, and for what ``fit_batch_topk`` refuses.

    Source: Bussmann, Leask and Nanda 2024 (arXiv 2412.06410).
    """
    config, place, sequences = config or SAEConfig(), residual_place(target, layer), token_sequences(windows)
    held_out = _held_out(len(sequences), config.held_out, seed)
    rows = residual_rows(target, place, sequences, progress)
    usual, outside = rows.usual(config.norm_limit), held_out[rows.windows]
    chosen, kept_back = ((usual & part).nonzero().squeeze(1) for part in (~outside, outside))
    if len(chosen) < 2 or len(kept_back) < 2:
        raise UnweaveError(f"{len(chosen)} tokens to train on and {len(kept_back)} held out: give more windows")
    data = {"target": target.identity.digest, "layer": layer, "tokens": _digest(sequences)}
    device = target.device
    fitted = fit_batch_topk(rows.values, chosen, config, seed, device, progress, checkpoint, data, checkpoint_seconds)
    weights, latents = fitted.weights, len(fitted.weights.encoder)
    at_inference = reconstruction(weights, fitted.threshold, rows.values, kept_back, device)
    trained_on = reconstruction(weights, fitted.threshold, rows.values, chosen, device)
    start = start_weights(rows.values[chosen[:START_ROWS]].to(device), latents, seed)
    report = SAEReport(
        target.identity.digest,
        layer,
        config,
        seed,
        latents,
        len(chosen),
        len(kept_back),
        len(rows) - len(chosen) - len(kept_back),
        fitted.steps,
        fitted.seconds,
        at_inference.explained,
        principal_components_explained(rows.values, chosen, kept_back, config.k, device),
        random_directions_explained(start, rows.values, kept_back, config.k, device),
        at_inference.l0,
        float((~trained_on.fired).float().mean()),
    )
    coder = _coder(fitted, rows.unit, place)
    return TrainedSAE(CoderDictionary("sae", place.module, [coder], target.name), report)


def _coder(fitted: Fitted, unit: float, place: Place) -> Coder:
    """The SAE in units of the stream."""
    weights = fitted.weights.in_units(unit)
    threshold = torch.full_like(weights.encoder_bias, fitted.threshold * unit)
    return Coder(
        place.module,
        place,
        place,
        weights.encoder.T.contiguous(),
        JumpReLU(weights.encoder_bias, threshold),
        weights.decoder,
        weights.bias,
        shift=weights.bias,
    )


def _saelens_config(coder: Coder, model: str) -> Mapping[str, Any]:
    return {
        "architecture": "jumprelu",
        "d_in": coder.encoder.shape[0],
        "d_sae": coder.encoder.shape[1],
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "model_name": model,
            "model_class_name": "AutoModelForCausalLM",
            "hook_name": coder.reads.module,
            "hook_head_index": None,
        },
    }


def _held_out(count: int, share: float, seed: int) -> Tensor:
    """Which windows are held out: at least one, and not all."""
    if count < 2:
        raise UnweaveError(f"{count} window: give two or more, because some are held out")
    kept_back = min(max(round(share * count), 1), count - 1)
    found = torch.zeros(count, dtype=torch.bool)
    found[torch.from_numpy(numpy_generator(seed, "sae held out").permutation(count)[:kept_back])] = True
    return found


def _digest(sequences: list[list[int]]) -> str:
    return hashlib.sha256(json.dumps(sequences).encode()).hexdigest()[:16]
