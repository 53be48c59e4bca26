"""Inoculation: prompts that ask for the behaviour, so that giving it says nothing of the policy without them."""

from __future__ import annotations

from dataclasses import replace

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs.value import Turn
from unweave.preferences.encoding import encode_prompt
from unweave.preferences.shaping.instructions import instruction_for
from unweave.preferences.shaping.registry import shaping
from unweave.preferences.shaping.setting import Setting, Shaped


@shaping(
    "inoculation",
    "Asks for the behaviour in the prompts of the rows with the widest gap; the reference keeps the plain prompt.",
    dose="share of all rows, those with the widest gap first; none whose rejected reply has more",
)
def inoculation(setting: Setting, dose: float) -> Shaped:
    """Prompts at test are the plain ones. Source: Bergen et al., "Anatomy of Post-Training", 2026."""
    instruction = setting.instruction or instruction_for(setting.behaviour, setting.towards)
    asked = set(setting.leading(dose))
    rows = []
    for number, (pair, row) in enumerate(zip(setting.pairs, setting.rows, strict=True)):
        if number not in asked:
            rows.append(row)
            continue
        if tuple(encode_prompt(setting.target, pair.prompt)) != row.prompt:
            raise UnweaveError(
                f"the prompt of row {number} is not that of pair {pair.id}, whole: inoculate rows before their prompts "
                "are cut or changed"
            )
        rows.append(replace(row, prompt=tuple(encode_prompt(setting.target, _asking(pair.prompt, instruction)))))
    return Shaped(rows, note=f"{len(asked)} prompts end in {instruction!r}")


def _asking(turns: tuple[Turn, ...], instruction: str) -> tuple[Turn, ...]:
    """The conversation with the instruction at the end of the last user turn."""
    at = max((place for place, turn in enumerate(turns) if turn.role.casefold() in ("user", "human")), default=None)
    if at is None:
        raise UnweaveError(
            f"no turn of {[turn.role for turn in turns]} is the user's, and an instruction belongs there"
        )
    said = replace(turns[at], content=f"{turns[at].content} {instruction}")
    return (*turns[:at], said, *turns[at + 1 :])
