"""Removed or only suppressed: whether the label comes back under fine-tuning or in other contexts, and at what cost."""

from __future__ import annotations

import copy
import inspect
import textwrap
from collections.abc import Sequence

import numpy as np
import torch

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.corpora.text import Corpus
from unweave.corpora.windows import token_windows
from unweave.edit.edits import Edit, applied
from unweave.edit.off_target import MaskedText, masked_cross_entropy
from unweave.models.target import Target

STEPS = 20
RATE = 2e-5


def contexts(target: Target, corpus: Corpus, label: str, retain: str, count: int = 12) -> dict[str, MaskedText]:
    """The label's evaluation text in four settings; only the label's own tokens count.

    ``plain`` is a window of 64; ``few-shot`` the last 64 of 256 tokens in the label; ``code-switched`` a window in
    which 32 tokens of the retained label come before 32 of the label; ``chat`` the label's text as the assistant's
    answer in the model's own chat format (left out where the tokenizer has none, as is whatever needs longer text).
    """
    tokenizer = target.tokenizer
    plain = token_windows(tokenizer, corpus, "evaluation", label, 64, seed=1, at_most=count)
    other = token_windows(tokenizer, corpus, "evaluation", retain, 64, seed=1, at_most=len(plain))
    long = _where_there_is_text(tokenizer, corpus, label, 256, 6)
    switched = np.concatenate([other[:, :32], plain[: len(other), :32]], axis=1)
    found = {
        "plain": MaskedText(torch.as_tensor(plain), torch.ones(plain.shape, dtype=torch.bool)),
        "few-shot": None if long is None else _last(long, 64),
        "code-switched": _last(switched, 31),
        "chat": _chat(tokenizer, plain),
    }
    return {name: text for name, text in found.items() if text is not None}


def long_text(target: Target, corpus: Corpus, retain: str, count: int = 4, length: int = 512) -> dict[str, MaskedText]:
    """Long windows of the retained label and of program code: what an edit costs where nothing was to change.

    The code is Python's own ``textwrap`` and ``inspect`` modules as installed, so nothing has to be bundled. A label
    whose documents are shorter than ``length`` tokens is left out.
    """
    english = _where_there_is_text(target.tokenizer, corpus, retain, length, count)
    source = inspect.getsource(textwrap) + inspect.getsource(inspect)
    code = np.asarray(target.tokenizer(source, add_special_tokens=False, verbose=False)["input_ids"][: count * length])
    code = code[: len(code) // length * length].reshape(-1, length)
    found = {f"long {retain}": english, "code": code}
    return {
        name: MaskedText(torch.as_tensor(tokens), torch.ones(tokens.shape, dtype=torch.bool))
        for name, tokens in found.items()
        if tokens is not None
    }


def _where_there_is_text(tokenizer: object, corpus: Corpus, label: str, length: int, most: int) -> np.ndarray | None:
    try:
        return token_windows(tokenizer, corpus, "evaluation", label, length, seed=1, at_most=most)
    except UnweaveError:
        return None


def contexts_table(target: Target, edit: Edit, texts: dict[str, MaskedText]) -> list[dict[str, float | str]]:
    """Cross-entropy before and after the edit in each context."""
    before = {name: masked_cross_entropy(target, text) for name, text in texts.items()}
    with applied(target, edit):
        after = {name: masked_cross_entropy(target, text) for name, text in texts.items()}
    return [{"context": name, "base": before[name], "edited": after[name]} for name in texts]


def relearning(
    target: Target,
    edits: Sequence[tuple[str, Edit | None]],
    corpus: Corpus,
    label: str,
    text: MaskedText,
    progress: Progress | None = None,
) -> list[dict[str, float | str | int]]:
    """Cross-entropy on the label's held-out text before and after 20 steps of full fine-tuning on its training text.

    AdamW 2e-5, 4 windows of 64 tokens a step, on a copy; ``None`` stands for the unedited model. An edit that only
    suppressed the label comes back faster than it was first learned.
    """
    progress = progress or Silent()
    windows = torch.as_tensor(token_windows(target.tokenizer, corpus, "training", label, 64, seed=7, at_most=4 * STEPS))
    rows: list[dict[str, float | str | int]] = []
    for name, edit in edits:
        # Steps of 2e-5 vanish in half precision, and a label would seem to stay away.
        module = copy.deepcopy(target.module).float()
        clone = copy.copy(target)
        clone.module = module
        if edit is not None:
            with applied(target, edit):
                module.load_state_dict(target.module.state_dict())
        before = masked_cross_entropy(clone, text)
        module.requires_grad_(True)
        optimiser = torch.optim.AdamW(module.parameters(), lr=RATE, weight_decay=0.0)
        for step in range(STEPS):
            batch = windows[[(4 * step + row) % len(windows) for row in range(4)]].to(target.device)
            with torch.enable_grad():
                logits = clone.logits(batch, slice(0, -1)).float()
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            progress.update(step + 1, STEPS, f"fine-tuning {name}")
        after = masked_cross_entropy(clone, text)
        rows.append({"model": name, "before": before, "after": after, "steps": STEPS, "tokens": windows.numel()})
    return rows


def _last(tokens: np.ndarray, count: int) -> MaskedText:
    counted = torch.zeros(tokens.shape, dtype=torch.bool)
    counted[:, -count:] = True
    return MaskedText(torch.as_tensor(tokens), counted)


def _chat(tokenizer: object, plain: np.ndarray) -> MaskedText | None:
    if not getattr(tokenizer, "chat_template", None):
        return None
    rows, masks = [], []
    opening = [{"role": "user", "content": "Please continue."}]
    for window in plain:
        start = tokenizer.apply_chat_template(opening, add_generation_prompt=True, return_dict=False)  # type: ignore[attr-defined]
        rows.append([*start, *window.tolist()])
        masks.append([False] * (len(start) + 1) + [True] * (len(window) - 1))
    return MaskedText(torch.as_tensor(rows), torch.as_tensor(masks))
