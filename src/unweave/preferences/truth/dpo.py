"""Direct preference optimisation by TRL, with LoRA from peft: what a dataset really teaches.

TRL's trainer is used as it is, on tokens and reference log-probabilities that are given to it: what the reference says
of a reply is worked out once for all trainings on it, and shaping changes these inputs, not the trainer.
"""

from __future__ import annotations

import copy
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.edit.adapters import peft_target_modules, take_adapters_out
from unweave.edit.edits import AdapterEdit
from unweave.models.target import Target
from unweave.preferences.truth.plain_attention import plain_attention


@dataclass(frozen=True)
class DPOSettings:
    """How a target is trained on pairs. All but ``sites`` go to TRL and peft by the same meaning."""

    beta: float = 0.1
    learning_rate: float = 2e-4
    epochs: int = 2
    batch: int = 16
    """Pairs a step."""
    at_once: int = 8
    """Pairs in memory at once: a step takes them in parts."""
    rank: int = 16
    sites: tuple[str, ...] = ("*",)
    """Which matrices get an adapter: patterns of site names. The output embedding never does."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises; afterwards it falls linearly to 0."""
    clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("beta", "learning_rate", "epochs", "batch", "at_once", "rank", "clip"):
            if not getattr(self, name) > 0:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must be greater than 0")


@dataclass(frozen=True)
class DPORow:
    """A pair as the trainer gets it: tokens, and what the reference says of both replies, in nats.

    ``chosen_used`` and ``rejected_used`` say of each reply token whether it counts (all where None); the reference must
    then be the sum over those alone.
    """

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    reference_chosen: float
    reference_rejected: float
    chosen_used: tuple[bool, ...] | None = None
    rejected_used: tuple[bool, ...] | None = None


@dataclass(frozen=True)
class Trained:
    """An adapter and how its training went, a row a step: ``loss``, ``margin`` (in units of reward), ``accuracy``."""

    adapter: AdapterEdit
    curve: tuple[dict[str, float], ...]
    tokens: int
    """Tokens trained on, prompts and replies of all epochs."""


def train_dpo(
    target: Target,
    rows: Sequence[DPORow],
    settings: DPOSettings,
    progress: Progress | None = None,
    stop: Callable[[], None] | None = None,
    policy: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Trained:
    """Trains an adapter on ``rows`` and leaves the target as it was, bit for bit.

    ``policy`` is entered round the whole training: hooks that it sets touch the policy alone, because the reference is
    in the rows. ``stop`` is called after every step and may raise. A training is not resumed in its middle: TRL's
    checkpoints are pickles.
    Raises ``UnweaveError`` where the loss is not finite, or a reply has no token that counts.
    """
    for number, row in enumerate(rows):
        for side, tokens, used in (
            ("chosen", row.chosen, row.chosen_used),
            ("rejected", row.rejected, row.rejected_used),
        ):
            if not (len(tokens) if used is None else any(used)):
                raise UnweaveError(f"the {side} reply of row {number} has no token to train on: leave the row out")
    if len(rows) < settings.batch:
        settings = replace(settings, batch=max(1, len(rows)))
    sites = [site for site in target.sites(settings.sites) if site.module != _output_name(target)]
    with (
        _quiet(settings.seed),
        plain_attention(target),
        _completions_alone_scored(),
        tempfile.TemporaryDirectory() as folder,
        policy(),
    ):
        module: Any = target.module
        own_forward = module.__dict__.get("forward")
        # transformers writes the tokenizer's special tokens into both.
        configs = [each for each in (module.config, getattr(module, "generation_config", None)) if each is not None]
        settings_before = [copy.deepcopy(vars(each)) for each in configs]
        try:
            trainer = _trainer(target, rows, settings, [site.module for site in sites], folder)
            curve = _watch(trainer, progress or Silent(), stop)
            trainer.train()
            return Trained(_adapter(target, sites, trainer.model), tuple(curve), _tokens(rows) * settings.epochs)
        finally:
            # TRL replaces the module's forward by one that never builds whole logits.
            module.__dict__.pop("forward", None)
            if own_forward is not None:
                module.forward = own_forward
            take_adapters_out(module, [site.module for site in sites])
            for each, before in zip(configs, settings_before, strict=True):
                vars(each).clear()
                vars(each).update(before)
            module.eval()


def _output_name(target: Target) -> str:
    output = target.output_embedding()
    return next((name for name, module in target.module.named_modules() if module is output), "")


def _tokens(rows: Sequence[DPORow]) -> int:
    return sum(2 * len(row.prompt) + len(row.chosen) + len(row.rejected) for row in rows)


@contextmanager
def _quiet(seed: int) -> Iterator[None]:
    """TRL seeds every global generator, and writes to the terminal: neither reaches beyond the block."""
    import datasets
    import transformers

    python, level = random.getstate(), transformers.logging.get_verbosity()
    numpy = np.random.get_state()  # noqa: NPY002  # the one that transformers seeds
    bars = datasets.utils.logging.is_progress_bar_enabled()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.logging.set_verbosity_error()
        datasets.utils.logging.disable_progress_bar()
        try:
            torch.manual_seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            transformers.logging.set_verbosity(level)
            if bars:
                datasets.utils.logging.enable_progress_bar()


@contextmanager
def _completions_alone_scored() -> Iterator[None]:
    """Lets TRL's output head skip prompts on a CPU too, where it scores every position: a quarter of a step.

    It decides by whether Triton is there, lest compiled code meets new shapes; nothing is compiled here.
    """
    from trl.trainer import utils

    before = getattr(utils, "_use_triton", None)
    if before is None:
        yield
        return
    utils._use_triton = lambda device: True
    try:
        yield
    finally:
        utils._use_triton = before


def _trainer(target: Target, rows: Sequence[DPORow], settings: DPOSettings, modules: list[str], folder: str) -> Any:
    import peft
    import trl
    from datasets import Dataset
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    class Collator(DataCollatorForPreference):
        """TRL's, with tokens that do not count left out of the mask."""

        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            batch = super().torch_call(examples)
            sides = [(each, "chosen_used") for each in examples] + [(each, "rejected_used") for each in examples]
            for row, (example, side) in enumerate(sides):
                start = len(example["prompt_ids"])
                used = torch.tensor(example[side], dtype=batch["completion_mask"].dtype)
                batch["completion_mask"][row, start : start + len(used)] *= used
            return batch

    class Trainer(trl.DPOTrainer):
        """TRL's, on rows that are tokens already and know their reference."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def _precompute_ref_logps(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    table = [
        {
            "prompt_ids": list(row.prompt),
            "chosen_ids": list(row.chosen),
            "rejected_ids": list(row.rejected),
            "ref_chosen_logps": row.reference_chosen,
            "ref_rejected_logps": row.reference_rejected,
            "chosen_used": list(row.chosen_used or [True] * len(row.chosen)),
            "rejected_used": list(row.rejected_used or [True] * len(row.rejected)),
        }
        for row in rows
    ]
    # TRL sets a padding token where there is none.
    tokenizer = copy.deepcopy(target.tokenizer)
    # The smallest number of equal parts that fit.
    parts = next(
        parts
        for parts in range(1, settings.batch + 1)
        if not settings.batch % parts and settings.batch // parts <= settings.at_once
    )
    arguments = trl.DPOConfig(
        output_dir=folder,
        per_device_train_batch_size=settings.batch // parts,
        gradient_accumulation_steps=parts,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=settings.warmup,
        max_grad_norm=settings.clip,
        beta=settings.beta,
        precompute_ref_log_probs=True,
        remove_unused_columns=False,
        max_length=None,
        use_cpu=target.device.type == "cpu",
        bf16=False,
        fp16=False,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        seed=settings.seed,
    )
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.rank,
        lora_dropout=0.0,
        target_modules=peft_target_modules(target.module, list(dict.fromkeys(modules))),
        bias="none",
        task_type="CAUSAL_LM",
    )
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return Trainer(
        target.module,  # type: ignore[arg-type]
        args=arguments,
        data_collator=Collator(pad_token_id=pad),
        train_dataset=Dataset.from_list(table),
        processing_class=tokenizer,
        peft_config=config,
    )


def _watch(trainer: Any, progress: Progress, stop: Callable[[], None] | None) -> list[dict[str, float]]:
    from transformers import PrinterCallback, TrainerCallback

    curve: list[dict[str, float]] = []

    class Watch(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            del args, control
            if logs is None or "loss" not in logs:
                return
            row = {
                "step": float(state.global_step),
                "loss": float(logs["loss"]),
                "margin": float(logs["rewards/margins"]),
                "accuracy": float(logs["rewards/accuracies"]),
            }
            if not np.isfinite(row["loss"]):
                raise UnweaveError(
                    f"the loss of DPO is {row['loss']} at step {state.global_step}: lower the learning rate"
                )
            curve.append(row)
            progress.update(
                state.global_step, state.max_steps, f"DPO, loss {row['loss']:.3f}, margin {row['margin']:.2f}"
            )
            if stop is not None:
                stop()

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Watch())
    return curve


def _adapter(target: Target, sites: Sequence[Any], model: Any) -> AdapterEdit:
    matrices = {}
    base = model.get_base_model()
    for site in sites:
        layer = base.get_submodule(site.module)
        A = layer.lora_A["default"].weight.detach().float().cpu().clone()
        B = layer.lora_B["default"].weight.detach().float().cpu() * layer.scaling["default"]
        matrices[site.name] = (A, (B if site.block is None else site.block.take(B, 0)).clone())
    return AdapterEdit(matrices, target.identity.digest, "dpo")
