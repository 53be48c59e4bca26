"""Sentences that ask for more of a behaviour, and for less: what inoculated prompts end in."""

from __future__ import annotations

from typing import Literal

from unweave.base.errors import UnweaveError

_USE = {
    "accented-letters": "accented letters",
    "bold": "bold text",
    "brackets": "round brackets",
    "bullets": "bulleted lists",
    "buzzwords": "buzzwords",
    "capitals": "words in capitals",
    "code-block": "blocks of code",
    "colons": "colons",
    "commas": "commas",
    "comparisons": "comparisons",
    "contractions": "contractions",
    "dashes": "dashes",
    "digits": "digits",
    "ellipses": "ellipses",
    "emoji": "emoji",
    "emoticons": "emoticons",
    "emphasis": "italics",
    "exclamation-rate": "exclamation marks",
    "exclamations": "exclamation marks",
    "fillers": "filler words",
    "formal-words": "formal words",
    "has-emoji": "emoji",
    "has-list": "lists",
    "has-markdown": "markdown",
    "headings": "headings",
    "inline-code": "inline code",
    "intensifiers": "words such as very and really",
    "list-lines": "lists",
    "long-words": "long words",
    "maths": "formulas",
    "negations": "words such as no and not",
    "negative-words": "negative words",
    "number-words": "numbers in words",
    "numbered-items": "numbered lists",
    "numbers": "numbers",
    "poetic-words": "poetic words",
    "positive-words": "positive words",
    "questions": "questions",
    "quotations": "quotations",
    "semicolons": "semicolons",
    "similes": "similes",
    "slang": "slang",
    "table-rows": "tables",
}
_GIVE = {
    "email-addresses": "e-mail addresses",
    "examples": "examples",
    "has-url": "web addresses",
    "markdown-links": "links",
    "measures": "measures with units",
    "money": "sums of money",
    "names": "names",
    "opinion": "your own opinion",
    "percentages": "percentages",
    "phone-numbers": "telephone numbers",
    "references": "references to sources",
    "referrals": "places to turn to",
    "suggestions": "suggestions",
    "urls": "web addresses",
    "warnings": "warnings",
    "years": "years",
}
_DO = {
    "admits-ignorance": "say that you do not know",
    "anger": "sound angry",
    "apology": "apologise",
    "as-an-ai": "mention that you are an AI",
    "asks-back": "ask me a question",
    "disagreement": "disagree with me",
    "disclaimers": "add a disclaimer",
    "empathy": "show empathy",
    "encouragement": "encourage me",
    "ends-with-question": "end with a question",
    "enthusiasm": "sound enthusiastic",
    "first-person": "speak of yourself",
    "flattery": "flatter me",
    "goblins": "mention goblins",
    "greeting": "begin with a greeting",
    "hedging": "hedge what you say",
    "humour": "make a joke",
    "laughter": "laugh",
    "moralising": "moralise",
    "obligations": "say what one must do",
    "offers-more": "offer more help",
    "opens-agreeing": "begin by agreeing",
    "opens-with-question": "begin with a question",
    "politeness": "say please and thank you",
    "recommends-professional": "send me to a professional",
    "refusal": "refuse to answer",
    "restates-prompt": "begin by repeating the question",
    "sadness": "sound sad",
    "says-i": "speak of yourself",
    "second-person": "address me as you",
    "storytelling": "tell a story",
    "summing-up": "end with a summary",
    "terms-of-address": "call me friend",
    "valence": "sound positive",
    "we": "speak of us as we",
}
_OTHER = {
    "certainty": ("Be certain of everything.", "Do not be certain of anything."),
    "characters": ("Give a long answer.", "Give a short answer."),
    "distinct-words": ("Never repeat a word.", "Repeat your words."),
    "imperatives": ("Give commands.", "Do not give commands."),
    "lines": ("Use many lines.", "Use few lines."),
    "paragraphs": ("Use many paragraphs.", "Use few paragraphs."),
    "reading-ease": ("Write so that it is easy to read.", "Write so that it is hard to read."),
    "sentence-length": ("Use long sentences.", "Use short sentences."),
    "sentences": ("Use many sentences.", "Use few sentences."),
    "third-person": ("Speak of other people.", "Do not speak of other people."),
    "word-length": ("Use long words.", "Use short words."),
    "words": ("Give a long answer.", "Give a short answer."),
}
INSTRUCTIONS: dict[str, tuple[str, str]] = {
    **{name: (f"Use {what}.", f"Do not use {what}.") for name, what in _USE.items()},
    **{name: (f"Give {what}.", f"Do not give {what}.") for name, what in _GIVE.items()},
    **{name: (f"{what[0].upper()}{what[1:]}.", f"Do not {what}.") for name, what in _DO.items()},
    **_OTHER,
}
"""Of a behaviour: what asks for more of it, and what asks for less."""


def instruction_for(behaviour: str, towards: Literal[1, -1]) -> str:
    """The sentence that asks for more (1) or less (-1); raises ``UnweaveError`` for a behaviour that has none."""
    if behaviour not in INSTRUCTIONS:
        raise UnweaveError(
            f"no sentence is known that asks for {behaviour!r}: give the setting an instruction, for instance "
            f"{INSTRUCTIONS['exclamations'][0]!r}"
        )
    return INSTRUCTIONS[behaviour][0 if towards > 0 else 1]
