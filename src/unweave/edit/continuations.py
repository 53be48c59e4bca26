"""What the model writes before and after an edit, and which language an identifier takes it for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from unweave.corpora.language import language_judge
from unweave.edit.edits import Edit, applied
from unweave.models.target import Target


@dataclass(frozen=True)
class Continuation:
    """One prompt with the greedy continuation before and after, and the identifier's verdict on each."""

    label: str
    prompt: str
    before: str
    after: str
    verdict_before: str
    verdict_after: str


def continuations(
    target: Target, edit: Edit, prompts: dict[str, np.ndarray], length: int = 24, prompt_tokens: int = 32
) -> list[Continuation]:
    """Greedy continuations of the first tokens of each window, with and without the edit.

    Verdicts are py3langid's among all the languages it knows.
    """
    before = {label: _continue(target, rows[:, :prompt_tokens], length) for label, rows in prompts.items()}
    with applied(target, edit):
        after = {label: _continue(target, rows[:, :prompt_tokens], length) for label, rows in prompts.items()}
    judge = language_judge()
    found = []
    for label, rows in prompts.items():
        for row, first, second in zip(rows, before[label], after[label], strict=True):
            prompt = target.tokenizer.decode(row[:prompt_tokens].tolist())
            found.append(Continuation(label, prompt, first, second, judge(first), judge(second)))
    return found


def _continue(target: Target, tokens: np.ndarray, length: int) -> list[str]:
    prompt = torch.as_tensor(tokens).to(target.device)
    with torch.no_grad():
        written = target.module.generate(  # type: ignore[operator]
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=length,
            do_sample=False,
            pad_token_id=target.tokenizer.pad_token_id or 0,
        )
    return [target.tokenizer.decode(row[prompt.shape[1] :].tolist(), skip_special_tokens=True) for row in written]
