"""Which columns of a dataset hold what of a pair, and in which form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from unweave.base.errors import UnweaveError, nearest
from unweave.corpora.pairs.conversation import is_messages, is_transcript, messages, parted, reply_text, transcript
from unweave.corpora.pairs.rows import BrokenRow
from unweave.corpora.pairs.value import PreferencePair, Turn

Form = Literal["text", "messages", "transcript", "implicit"]
COLUMNS = {
    "prompt": ("prompt", "question", "instruction", "query", "input"),
    "input": ("input",),
    "system": ("system", "system_prompt"),
    "chosen": ("chosen", "response_j", "chosen_response"),
    "rejected": ("rejected", "response_k", "rejected_response"),
    "id": ("id", "pair_id", "prompt_id", "uid"),
}
"""What a column can hold, with the names under which it is found by itself, the first before the others."""
_NAMES: dict[tuple[Form, Form], str] = {
    ("text", "text"): "standard",
    ("implicit", "text"): "standard, prompt implicit",
    ("messages", "messages"): "conversational",
    ("implicit", "messages"): "conversational, prompt implicit",
    ("text", "messages"): "conversational, prompt as text too",
    ("messages", "text"): "conversational prompt, replies as text",
    ("implicit", "transcript"): "transcripts",
    ("transcript", "text"): "transcript prompt, replies as text",
    ("transcript", "messages"): "transcript prompt, replies as messages",
}


@dataclass(frozen=True)
class Layout:
    """How pairs are read from rows: forms of the prompt and of the replies, and the column of each part."""

    prompt: Form
    replies: Form
    columns: Mapping[str, str]
    """From ``chosen``, ``rejected`` and what else of ``COLUMNS`` was found, to the data's own name."""

    @property
    def name(self) -> str:
        return _NAMES[self.prompt, self.replies]

    def pair(self, row: Mapping[str, Any], fallback_id: str) -> PreferencePair:
        """The pair of one row; raises ``BrokenRow`` that names the column.

        Where only whole conversations are given, the prompt is what both share, and a reply the turns after that
        (``conversation.parted``). A text is one user turn. Replies that repeat the prompt's messages lose them.
        """
        used = set(self.columns.values())
        own = row.get(self.columns["id"]) if "id" in self.columns else None
        prompt, chosen, rejected = self._parts(row)
        prompt = prompt or (Turn("user", ""),)
        system = row.get(self.columns["system"]) if "system" in self.columns else None
        if isinstance(system, str) and system and not any(turn.role == "system" for turn in prompt):
            prompt = (Turn("system", system), *prompt)
        return PreferencePair(
            fallback_id if own is None or own == "" else str(own),
            prompt,
            chosen,
            rejected,
            {name: value for name, value in row.items() if name not in used},
        )

    def _parts(self, row: Mapping[str, Any]) -> tuple[tuple[Turn, ...], str, str]:
        chosen, rejected = self._reply(row, "chosen"), self._reply(row, "rejected")
        if isinstance(chosen, str) or isinstance(rejected, str):
            if self.prompt == "implicit":
                return _shared_text(chosen, rejected)
            return self._prompt(row), chosen, rejected
        try:
            if self.prompt == "messages":
                prompt = self._prompt(row)
                if all(len(each) > len(prompt) and each[: len(prompt)] == prompt for each in (chosen, rejected)):
                    chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
                return prompt, reply_text(chosen), reply_text(rejected)
            shared, first, second = parted(chosen, rejected)
            return (shared if shared or self.prompt == "implicit" else self._prompt(row)), first, second
        except BrokenRow as fault:
            where = f"{self.columns['chosen']!r} or {self.columns['rejected']!r}"
            raise fault if str(fault).startswith("column") else BrokenRow(f"columns {where}: {fault}") from fault

    def _reply(self, row: Mapping[str, Any], role: str) -> Any:
        return _read(row, self.columns[role], self.replies)

    def _prompt(self, row: Mapping[str, Any]) -> tuple[Turn, ...]:
        found = _read(row, self.columns["prompt"], self.prompt)
        if not isinstance(found, str):
            # HH's prompts end in an empty "Assistant:" that the reply fills.
            empty = self.prompt == "transcript" and found[-1] == Turn("assistant", "")
            return found[:-1] if empty else found
        further = row.get(self.columns["input"]) if "input" in self.columns else None
        return (Turn("user", f"{found}\n\n{further}" if isinstance(further, str) and further.strip() else found),)


def recognise(row: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> Layout:
    """The layout of data that has rows like this one; ``columns`` says where else than usual something is found.

    Raises ``UnweaveError`` where a column is not there, and ``BrokenRow`` where one holds nothing a reply could be.
    """
    chosen_columns = _columns(row, dict(columns or {}))
    first, second = row[chosen_columns["chosen"]], row[chosen_columns["rejected"]]
    prompt = row[chosen_columns["prompt"]] if "prompt" in chosen_columns else None
    replies: Form
    if is_messages(first) and is_messages(second):
        replies = "messages"
    elif isinstance(first, str) and isinstance(second, str):
        replies = "transcript" if is_transcript(first) and is_transcript(second) else "text"
    else:
        raise BrokenRow(
            f"columns {chosen_columns['chosen']!r} and {chosen_columns['rejected']!r} are {first!r:.40} and "
            f"{second!r:.40}: texts or lists of messages are expected; choose others with columns= or `unweave "
            "pairs convert --column`"
        )
    if replies == "transcript" or "prompt" not in chosen_columns:
        form: Form = "implicit"
    elif is_messages(prompt):
        form = "messages"
    elif isinstance(prompt, str):
        form = "transcript" if is_transcript(prompt) else "text"
    else:
        raise BrokenRow(f"column {chosen_columns['prompt']!r} is {prompt!r:.40}: a text or messages are expected")
    needed = {"id", "chosen", "rejected"}
    if form != "implicit":
        needed.add("prompt")
    if form == "text":
        needed.add("input")
    if form != "messages":
        needed.add("system")
    return Layout(form, replies, {role: name for role, name in chosen_columns.items() if role in needed})


def _columns(row: Iterable[str], given: dict[str, str]) -> dict[str, str]:
    names = list(row)
    for role, name in given.items():
        if role not in COLUMNS:
            raise UnweaveError(f"columns names {role!r}, which is no part of a pair; {nearest(role, COLUMNS)}")
        if name not in names:
            raise UnweaveError(f"there is no column {name!r} to take as {role}; {nearest(name, names)}")
    taken = set(given.values())
    found = dict(given)
    for role, usual in COLUMNS.items():
        # The input is what an instruction is about; beside any other prompt it is some column of the data's.
        if role in found or (role == "input" and found.get("prompt") != "instruction"):
            continue
        name = next((name for name in usual if name in names and name not in taken), None)
        if name is not None:
            found[role] = name
            taken.add(name)
    for role in ("chosen", "rejected"):
        if role not in found:
            free = next((name for name in reversed(names) if name not in taken), "NAME")
            raise UnweaveError(
                f"no column holds the {role} reply, of {', '.join(map(repr, names)) or 'none'}: choose one, as in "
                f"columns={{{role!r}: {free!r}}} or `unweave pairs convert --column {role}={free}`"
            )
    return found


def _read(row: Mapping[str, Any], column: str, form: Form) -> Any:
    value = row.get(column)
    try:
        if form == "messages":
            return messages(value)
        if form == "transcript":
            return transcript(value)
    except BrokenRow as fault:
        raise BrokenRow(f"column {column!r} {fault}") from fault
    if not isinstance(value, str):
        raise BrokenRow(f"column {column!r} is {'missing' if value is None else repr(value)[:60]}: text is expected")
    return value


def _shared_text(chosen: str, rejected: str) -> tuple[tuple[Turn, ...], str, str]:
    """The prompt that two texts begin with, as in TRL's ``extract_prompt``; a space after it is the reply's."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    if shared and chosen[shared - 1] == " ":
        shared -= 1
    return (Turn("user", chosen[:shared]),), chosen[shared:], rejected[shared:]
