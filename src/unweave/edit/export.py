"""Edits as files that other tools load: a PEFT LoRA folder, or a merged Hugging Face folder, each checked."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.base.errors import UnweaveError, first_line, oserror_line
from unweave.base.files import atomic_folder, read_json, write_json
from unweave.edit.adapters import peft_target_modules
from unweave.edit.agreement import expect
from unweave.edit.card import edit_record, model_card
from unweave.edit.edits import Edit, applied
from unweave.models.huggingface import quiet_transformers
from unweave.models.target import Target, tokenizer_hash, weights_hash


@dataclass(frozen=True)
class ExportReport:
    """What was written and how exactly it repeats the edit.

    ``max_logit_difference`` is between what was written, loaded again, and the edit applied to the target, on fixed
    tokens. It is at most ``tolerance``: 1e-4, or twice the plain target's own rounding noise where that is more (half
    precision, or a change of every matrix). ``effect`` is how much the edit itself moves these logits.
    """

    path: Path
    format: str
    sites: tuple[str, ...]
    rank: int
    max_logit_difference: float
    tolerance: float
    effect: float
    bytes: int


def export_peft(
    target: Target,
    edits: Sequence[Edit],
    folder: str | Path,
    base: str | None = None,
    with_base: bool = False,
    tokens: Mapping[str, int] | None = None,
) -> ExportReport:
    """Writes edits as one PEFT LoRA folder: ``A`` are the read directions, ``B`` what they write, scaling 1, float32.

    Every site has the same rank (short ones are padded with zeros), because servers such as vLLM read one rank for
    the whole adapter. ``base`` names the model that the adapter belongs to (a hub id or folder); without it the
    target's own folder or id stands there. ``with_base`` writes the unedited target to ``folder/base`` and points
    there, which a target from a GGUF file needs: its weights are not the hub's. ``tokens`` (purpose to count) goes
    into the model card.

    Raises ``UnweaveError``, and leaves nothing behind, when the folder exists, when the edits are of another target,
    when one of them cannot be written as LoRA, or when the adapter loaded again differs from the edits.
    """
    folder = Path(folder)
    if base is not None and with_base:
        raise UnweaveError(f"base {base!r} and with_base exclude each other: leave out one of them")
    matrices, rank = _by_module(target, _stacked(target, edits)[0])
    sites = tuple(dict.fromkeys(site for edit in edits for site in edit.sites()))
    transposed = {target.site(site).kind == "conv1d" for site in sites}
    if len(transposed) > 1:
        raise UnweaveError(
            "the edits touch both Linear and Conv1D sites, and a PEFT adapter has one weight layout: "
            "export the merged model, or each kind in an adapter of its own"
        )
    named = str(folder.resolve() / "base") if with_base else base or _own_base(target)
    with _unchanged(target), atomic_folder(folder) as temporary:
        check = expect(target, edits)
        if with_base:
            _save_model(target, temporary / "base")
        _write_adapter(target, matrices, rank, transposed.pop(), named, temporary)
        module = _load(target, temporary / "base") if with_base else _structure_copy(target)
        difference, allowed = check.difference(_with_adapter(target, module, temporary, list(matrices)))
        report = ExportReport(folder, "peft", sites, rank, difference, allowed, check.effect, 0)
        return _finish(target, edits, temporary, report, named, tokens)


def export_merged(
    target: Target, edits: Sequence[Edit], folder: str | Path, tokens: Mapping[str, int] | None = None
) -> ExportReport:
    """Writes the edited model as a whole Hugging Face folder; the live target is restored bit for bit.

    Weights, config, generation settings and tokenizer are what plain ``AutoModelForCausalLM`` and ``AutoTokenizer``
    load. Raises ``UnweaveError``, and leaves nothing behind, when the folder exists, when the edits are of another
    target, when the target is no transformers model, or when the folder loaded again differs from the edits.
    """
    folder = Path(folder)
    matrices, rank = _stacked(target, edits)
    with _unchanged(target), atomic_folder(folder) as temporary:
        check = expect(target, edits)
        with applied(target, *edits):
            _save_model(target, temporary)
        difference, allowed = check.difference(replace(target, module=_load(target, temporary)))
        report = ExportReport(folder, "merged", tuple(matrices), rank, difference, allowed, check.effect, 0)
        return _finish(target, edits, temporary, report, None, tokens)


@contextmanager
def _unchanged(target: Target) -> Iterator[None]:
    if weights_hash(target.module) != target.identity.weights:
        raise UnweaveError(f"{target.name} has edits applied, and an export starts from the plain target: undo them")
    yield
    if weights_hash(target.module) != target.identity.weights:
        raise UnweaveError(f"exporting changed the weights of {target.name}: load it again and report this")


def _stacked(
    target: Target, edits: Sequence[Edit]
) -> tuple[dict[str, tuple[Float[Tensor, "r d_in"], Float[Tensor, "d_out r"]]], int]:
    """Read and write directions of all edits by site, and the largest rank."""
    if not edits:
        raise UnweaveError("an export needs at least one edit, and got none")
    with applied(target, *edits):
        pass  # whatever is wrong with an edit is said by the one place that applies them
    matrices: dict[str, tuple[Tensor, Tensor]] = {}
    for site in dict.fromkeys(site for edit in edits for site in edit.sites()):
        here = [edit.low_rank(site) for edit in edits if site in edit.sites()]
        A = torch.cat([A.detach().float().cpu() for A, _ in here])
        B = torch.cat([B.detach().float().cpu() for _, B in here], dim=1)
        matrices[site] = (A, B)
    return matrices, max(A.shape[0] for A, _ in matrices.values())


def _by_module(
    target: Target, matrices: Mapping[str, tuple[Tensor, Tensor]]
) -> tuple[dict[str, tuple[Tensor, Tensor]], int]:
    """The same by module, as PEFT names them, and the largest rank; blocks of a fused matrix become one change."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for name, (A, B) in matrices.items():
        site = target.site(name)
        if site.block is not None:
            whole = B.new_zeros(target.whole_width(site), B.shape[1])
            site.block.write(whole, B)
            B = whole
        found.setdefault(site.module, []).append((A, B))
    stacked = {
        module: (torch.cat([A for A, _ in here]), torch.cat([B for _, B in here], dim=1))
        for module, here in found.items()
    }
    return stacked, max(A.shape[0] for A, _ in stacked.values())


def _write_adapter(
    target: Target,
    matrices: Mapping[str, tuple[Tensor, Tensor]],
    rank: int,
    transposed: bool,
    base: str | None,
    folder: Path,
) -> None:
    from peft import LoraConfig
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    for module, (A, B) in matrices.items():
        missing = rank - A.shape[0]
        key = f"base_model.model.{module}"
        tensors[f"{key}.lora_A.weight"] = nn.functional.pad(A, (0, 0, 0, missing)).contiguous()
        tensors[f"{key}.lora_B.weight"] = nn.functional.pad(B, (0, missing)).contiguous()
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        lora_dropout=0.0,
        use_rslora=False,
        bias="none",
        fan_in_fan_out=transposed,
        target_modules=peft_target_modules(target.module, list(matrices)),
        task_type="CAUSAL_LM" if hasattr(target.module, "prepare_inputs_for_generation") else None,
        base_model_name_or_path=base,
        inference_mode=True,
    )
    config.save_pretrained(str(folder))
    written = read_json(folder / "adapter_config.json")
    if isinstance(written["target_modules"], list):
        written["target_modules"].sort()  # PEFT keeps a set, whose order changes from run to run
    write_json(folder / "adapter_config.json", written)
    # Bytes written here, and not by the library, so that a full disk is an OSError like everywhere else.
    (folder / "adapter_model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))


def _with_adapter(target: Target, module: nn.Module, folder: Path, modules: list[str]) -> Target:
    """The adapter on disk, loaded by PEFT onto ``module``."""
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    with warnings.catch_warnings():
        # PEFT reads a property that transformers 5 has renamed; nothing a person exporting an edit can act on.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        PeftModel.from_pretrained(module, str(folder), torch_device=str(target.device)).eval()  # type: ignore[arg-type]
    hit = {name for name, child in module.named_modules() if isinstance(child, BaseTunerLayer)}
    if hit != set(modules):
        raise UnweaveError(
            f"PEFT put the adapter on {sorted(hit)}, and the edit is at {modules}: export the merged model"
        )
    return replace(target, module=module)


def _structure_copy(target: Target) -> nn.Module:
    """The target's modules copied, its tensors shared: an adapter can be injected without touching the target."""
    tensors = [*target.module.parameters(), *target.module.buffers()]
    return copy.deepcopy(target.module, {id(tensor): tensor for tensor in tensors})


def _save_model(target: Target, folder: Path) -> None:
    from safetensors import SafetensorError
    from transformers import PreTrainedModel

    if not isinstance(target.module, PreTrainedModel):
        raise UnweaveError(
            f"{target.name} is a {type(target.module).__name__}, and only a transformers model has a folder format: "
            "export the edit as a PEFT adapter without its base"
        )
    try:
        with quiet_transformers():
            target.module.save_pretrained(folder)
            if target.tokenizer is not None:
                target.tokenizer.save_pretrained(folder)
    except SafetensorError as error:
        code = re.search(r"code: (\d+)", str(error))
        if code is None:
            raise UnweaveError(f"{folder}: the weights could not be written: {first_line(error)}") from error
        raise oserror_line(OSError(int(code.group(1)), str(error)), folder) from error
    except ValueError as error:  # transformers refuses to save generation settings that contradict each other
        raise UnweaveError(f"{target.name} cannot be saved by transformers: {first_line(error)}") from error


def _load(target: Target, folder: Path) -> nn.Module:
    """The folder as anyone else would load it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_transformers():
        # With output_loading_info a pair comes back, which the library's own annotation does not say.
        load: Any = AutoModelForCausalLM.from_pretrained
        module, info = load(
            folder, dtype=target.dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder) if target.tokenizer is not None else None
    if info["missing_keys"]:
        raise UnweaveError(
            f"{target.name}: the saved folder lacks {sorted(info['missing_keys'])[0]} when loaded again: "
            "export the edit as a PEFT adapter without its base"
        )
    if tokenizer_hash(tokenizer) != target.identity.tokenizer:
        raise UnweaveError(
            f"{target.name}: AutoTokenizer loads another tokenizer than the {type(target.tokenizer).__name__} that was "
            "saved: export the edit as a PEFT adapter without its base"
        )
    return module.to(target.device).eval()


def _own_base(target: Target) -> str | None:
    """The target's folder or hub id; None for a GGUF file or a live module, which no name stands for."""
    if not target.source or target.source.lower().endswith(".gguf"):
        return None
    return target.source


def _finish(
    target: Target,
    edits: Sequence[Edit],
    folder: Path,
    report: ExportReport,
    base: str | None,
    tokens: Mapping[str, int] | None,
) -> ExportReport:
    record = edit_record(target, edits, tokens)
    measured = {
        "format": report.format,
        "rank": report.rank,
        "max_logit_difference": report.max_logit_difference,
        "tolerance": report.tolerance,
        "effect": report.effect,
    }
    write_json(folder / "unweave.json", record | measured)
    (folder / "README.md").write_text(model_card(target, record | measured, report.path, base), encoding="utf-8")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return replace(report, bytes=size)
