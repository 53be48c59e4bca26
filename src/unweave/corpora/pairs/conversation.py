"""Conversations in the forms that datasets give them: message lists, and transcripts with names before the turns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from unweave.corpora.pairs.rows import BrokenRow
from unweave.corpora.pairs.value import Turn

_ASKING = {"user", "human", "system", "developer", "prompter"}
_SHAREGPT = {"human": "user", "gpt": "assistant"}
_SPEAKER = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")


def is_messages(value: object) -> bool:
    """Whether a value is a message, or a list of them, under either pair of names: role and content, from and value."""
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, Mapping) and ("role" in first or "from" in first)


def is_transcript(value: object) -> bool:
    """Whether a text begins with ``Human:`` or ``Assistant:``, as those of Anthropic's HH do."""
    return isinstance(value, str) and _SPEAKER.match(value) is not None


def messages(value: Any) -> tuple[Turn, ...]:
    """Turns of a list of messages, of one message, or of Arrow's columns of them. Raises ``BrokenRow``.

    A content that is a list of text parts is joined, and none at all (a call of a tool) is empty.
    """
    if isinstance(value, Mapping) and isinstance(value.get("role"), list):
        value = [
            {"role": role, "content": content}
            for role, content in zip(value["role"], value.get("content") or (), strict=True)
        ]
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        raise BrokenRow(f"is {_shown(value)}: a list of messages with 'role' and 'content' is expected")
    return tuple(map(_turn, value))


def transcript(text: Any) -> tuple[Turn, ...]:
    r"""Turns of ``"\n\nHuman: ...\n\nAssistant: ..."``, without the white space around them. Raises ``BrokenRow``."""
    if not is_transcript(text):
        raise BrokenRow(f"is {_shown(text)}: a transcript that begins with 'Human:' is expected")
    pieces = _SPEAKER.split(text)[1:]
    return tuple(
        Turn("user" if speaker == "Human" else "assistant", content.strip())
        for speaker, content in zip(pieces[::2], pieces[1::2], strict=True)
    )


def parted(chosen: Sequence[Turn], rejected: Sequence[Turn]) -> tuple[tuple[Turn, ...], str, str]:
    """The turns that two conversations share from the start, and what each goes on with, as ``reply_text``.

    The last turn of the shorter one is never shared, as in TRL's ``extract_prompt``. Raises ``BrokenRow`` where they
    part at a turn of whoever asks, for then two prompts are answered and not one.
    """
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    return tuple(chosen[:shared]), reply_text(chosen[shared:]), reply_text(rejected[shared:])


def reply_text(turns: Sequence[Turn]) -> str:
    """A reply of one turn as it is; later turns are appended, each after a blank line and its ``[role]``.

    Raises ``BrokenRow`` where there is no turn, or the first is not an answer.
    """
    if not turns:
        raise BrokenRow("has no message: an answer is expected")
    if turns[0].role in _ASKING:
        raise BrokenRow(
            f"goes on with a turn of {turns[0].role!r}, {turns[0].content[:40]!r}, after what both replies share: they "
            "answer two prompts, and a pair is two answers to one"
        )
    return "\n\n".join([turns[0].content, *(f"[{turn.role}]\n{turn.content}" for turn in turns[1:])])


def _turn(message: Any) -> Turn:
    if not isinstance(message, Mapping):
        raise BrokenRow(f"has the message {_shown(message)}: give it 'role' and 'content'")
    names = ("role", "content") if "role" in message else ("from", "value")
    role = message.get(names[0])
    if not isinstance(role, str) or not role or names[1] not in message:
        raise BrokenRow(f"has the message {_shown(dict(message))}: give it 'role' and 'content'")
    content = message[names[1]]
    if isinstance(content, list):
        content = "".join(map(_part, content))
    if content is not None and not isinstance(content, str):
        raise BrokenRow(f"has a message whose content is {_shown(content)}: text is expected")
    return Turn(role if names[0] == "role" else _SHAREGPT.get(role, role), content or "")


def _part(part: Any) -> str:
    text = part.get("text") if isinstance(part, Mapping) else part
    if not isinstance(text, str):
        raise BrokenRow(f"has a message with the part {_shown(part)}: only text can be read")
    return text


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)[:60]
