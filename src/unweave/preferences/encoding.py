"""Prompts and replies as the target's own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, first_line

if TYPE_CHECKING:
    from unweave.corpora.pairs.value import Turn
    from unweave.models.target import Target

MOST = 1024
"""Tokens of a prompt and of a reply that are read where the target has room for them and nobody says otherwise."""
_PROBE = "x"


@dataclass(frozen=True)
class Limits:
    """How many tokens of a prompt (its last) and of a reply (its first, the end mark counted) are read."""

    prompt: int
    reply: int


def choose_limits(target: Target, prompt: int | None = None, reply: int | None = None) -> Limits:
    """What was asked for, else half of the target's context for each, ``MOST`` at most.

    Raises ``UnweaveError`` for a limit below 1, and for limits that together exceed the context.
    """
    for name, limit in (("prompt", prompt), ("reply", reply)):
        if limit is not None and limit < 1:
            raise UnweaveError(f"the limit of a {name} is {limit} tokens: give 1 or more")
    context = int(getattr(getattr(target.module, "config", None), "max_position_embeddings", None) or 2 * MOST)
    of_prompt = prompt if prompt is not None else max(1, min(MOST, context // 2, context - (reply or 0)))
    of_reply = reply if reply is not None else max(1, min(MOST, context - of_prompt))
    if of_prompt + of_reply > context:
        raise UnweaveError(
            f"a prompt of {of_prompt} tokens with a reply of {of_reply} does not fit into the {context} that "
            f"{target.name} takes: give lower limits"
        )
    return Limits(of_prompt, of_reply)


def encode_prompt(target: Target, turns: Sequence[Turn]) -> list[int]:
    """The tokens that a reply to a conversation follows: by the chat template, with its generation prompt.

    A tokenizer without a template gets the plain layout: ``User: ...`` and ``Assistant: ...`` with a blank line between
    turns (a role of another name by that name, capitalised), ``Assistant:`` at the end, and what the tokenizer puts
    before any text. Raises ``UnweaveError`` without a tokenizer or turns, and where the template refuses the roles.
    """
    tokenizer = _tokenizer(target)
    if not turns:
        raise UnweaveError("a prompt has no turns: give at least one of the user's")
    if getattr(tokenizer, "chat_template", None):
        return _templated(target, turns)
    text = "\n\n".join([*(f"{turn.role.capitalize()}: {turn.content}" for turn in turns), "Assistant:"])
    tokens = list(tokenizer(text).input_ids)
    # Some tokenizers end every text, and this one goes on.
    return tokens[:-1] if tokens and tokens[-1] == tokenizer.eos_token_id else tokens


def encode_reply(target: Target, text: str, ended: bool = True) -> list[int]:
    """A reply's tokens as they follow its prompt's, with the end mark where it ``ended`` by itself.

    Prompt and reply are split apart before they are tokenised, as they are when the target replies itself. That is how
    the template tokenises the whole conversation too, but for a reply that begins with white space (whose first
    token may otherwise swallow the generation prompt's last) and templates that trim what a turn says.
    """
    tokenizer = _tokenizer(target)
    if not getattr(tokenizer, "chat_template", None) and text and not text[0].isspace():
        text = f" {text}"
    tokens = list(tokenizer(text, add_special_tokens=False).input_ids) if text else []
    return [*tokens, end_mark(target)] if ended else tokens


def end_mark(target: Target) -> int:
    """The token that ends a reply: the special one that the chat template puts after it, else the tokenizer's own.

    Raises ``UnweaveError`` where there is neither.
    """
    tokenizer = _tokenizer(target)
    if getattr(tokenizer, "chat_template", None):
        specials = set(tokenizer.all_special_ids)
        specials |= {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
        for token in _after_reply(tokenizer):
            if token in specials:
                return token
    if tokenizer.eos_token_id is None:
        raise UnweaveError(f"the tokenizer of {target.name} has no end of text: set its eos_token to the target's own")
    return int(tokenizer.eos_token_id)


class PairEncoder:
    """Prompts and replies of one target within limits, with a count of how many were cut."""

    def __init__(self, target: Target, limits: Limits) -> None:
        self.target, self.limits = target, limits
        self.end = end_mark(target)

    def prompt(self, turns: Sequence[Turn]) -> tuple[list[int], bool]:
        """The last ``limits.prompt`` tokens of a prompt, and whether that is not all of it."""
        tokens = encode_prompt(self.target, turns)
        if not tokens:
            raise UnweaveError(
                f"the chat template of {self.target.name} gives no tokens for {turns!r}: nothing to read"
            )
        return tokens[-self.limits.prompt :], len(tokens) > self.limits.prompt

    def reply(self, text: str, ended: bool = True) -> tuple[list[int], bool]:
        """The first ``limits.reply`` tokens of a reply, and whether that is not all of it."""
        tokens = encode_reply(self.target, text, ended=False) + ([self.end] if ended else [])
        return tokens[: self.limits.reply], len(tokens) > self.limits.reply


def last_user_turn(turns: Sequence[Turn]) -> str:
    """What the user said last; empty where no turn is the user's."""
    return next((turn.content for turn in reversed(turns) if turn.role.casefold() in ("user", "human")), "")


def _templated(target: Target, turns: Sequence[Turn]) -> list[int]:
    from jinja2 import TemplateError

    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    try:
        return list(target.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
    except TemplateError as error:
        roles = ", ".join(turn.role for turn in turns)
        remedy = (
            "put what the system turn says into the first user turn"
            if any(turn.role == "system" for turn in turns)
            else "give turns of user and assistant that alternate and begin with the user's"
        )
        raise UnweaveError(
            f"the chat template of {target.name} refuses a conversation of roles {roles} ({first_line(error)}): "
            f"{remedy}"
        ) from error


def _after_reply(tokenizer: Any) -> list[int]:
    """What the template puts after a reply, as tokens; none where it takes no such conversation."""
    from jinja2 import TemplateError

    messages = [{"role": "user", "content": _PROBE}, {"role": "assistant", "content": _PROBE}]
    try:
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
    except TemplateError:
        return []
    return list(tokenizer(whole.rpartition(_PROBE)[2], add_special_tokens=False).input_ids)


def _tokenizer(target: Target) -> Any:
    if target.tokenizer is None:
        raise UnweaveError(f"{target.name} has no tokenizer, and text has to become tokens: make the target with one")
    return target.tokenizer
