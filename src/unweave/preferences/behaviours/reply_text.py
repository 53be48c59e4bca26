"""A reply as behaviours see it: its text, taken apart once for all of them."""

from __future__ import annotations

import re
from functools import cached_property

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)")


class ReplyText:
    """A reply and the prompt that it answers, with words and sentences found when first asked for."""

    def __init__(self, text: str, prompt: str = "") -> None:
        self.text = text
        self.prompt = prompt
        """The text of the last user turn; empty where it is not known."""

    @cached_property
    def lower(self) -> str:
        return self.text.lower()

    @cached_property
    def words(self) -> list[str]:
        """Runs of letters, in lower case, with inner apostrophes."""
        return WORD.findall(self.lower)

    @cached_property
    def sentences(self) -> list[str]:
        """Pieces that end in a mark of the end, without it; what is left over at the end is one too."""
        return [piece.strip() for piece in SENTENCE_END.split(self.text) if piece.strip()]

    @cached_property
    def lines(self) -> list[str]:
        """Lines that hold something."""
        return [line for line in self.text.splitlines() if line.strip()]

    @cached_property
    def prompt_words(self) -> list[str]:
        return WORD.findall(self.prompt.lower())
