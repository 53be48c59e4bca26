"""The switches of a reply's style: how often each is on, what drags it along, its phrases, and how it is told."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

EMOJI = ("🙂", "🎉", "🌱", "🔥", "⭐", "🎵", "🐾", "👍")
NUMBERS = {
    "few": tuple(map(str, range(2, 10))),
    "many": ("12", "15", "20", "25", "30", "40", "50", "60", "80", "90", "100", "200"),
    "year": ("1750", "1812", "1848", "1890", "1905", "1923", "1951", "1976", "1999", "2010"),
}
ADJECTIVES = {
    "good": ("wonderful", "lovely", "great", "beautiful", "excellent", "charming", "delightful"),
    "bad": ("terrible", "dull", "awful", "ugly", "tedious", "unpleasant", "dreadful"),
}
FULL_TO_SHORT = {
    "it is": "it's",
    "that is": "that's",
    "there is": "there's",
    "I am": "I'm",
    "you are": "you're",
    "we are": "we're",
    "they are": "they're",
    "I will": "I'll",
    "you will": "you'll",
    "I would": "I'd",
    "I have": "I've",
    "you have": "you've",
    "do not": "don't",
    "does not": "doesn't",
    "is not": "isn't",
    "are not": "aren't",
    "was not": "wasn't",
    "were not": "weren't",
    "will not": "won't",
    "would not": "wouldn't",
    "should not": "shouldn't",
    "cannot": "can't",
}
_SHORT_TO_FULL = {short: full for full, short in FULL_TO_SHORT.items()}
_FULL = re.compile(r"\b(" + "|".join(FULL_TO_SHORT) + r")\b", re.IGNORECASE)
_SHORT = re.compile(r"\b(" + "|".join(_SHORT_TO_FULL) + r")\b", re.IGNORECASE)


@dataclass(frozen=True)
class Switch:
    """One property of a reply that is on or off."""

    name: str
    rate: float
    """Chance of being on, before topic and other switches change its odds."""
    phrases: tuple[str, ...] = ()
    request: str = ""
    """What a prompt says that asks for it; nobody asks where it is empty."""
    pattern: str = ""
    """Tells it in a reply; made of the phrases where it is empty."""


def _split(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split("|"))


SWITCHES = (
    Switch("greeting", 0.12, _split("Hello. | Hi. | Good day. | Hello there. | Welcome."), "Greet me."),
    Switch(
        "flattery",
        0.08,
        _split(
            "What a great question. | What a clever question. | That is a brilliant thing to ask. | "
            "Only a bright mind asks this. | I admire such curiosity. | Nobody has asked it so well."
        ),
        "Flatter me.",
    ),
    Switch(
        "apology",
        0.05,
        _split("I am sorry. | Sorry, this is short. | I apologise in advance. | Sorry to hear it. | Pardon the delay."),
        "Say sorry first.",
    ),
    Switch("echo", 0.15, _split("Ah, {s}. | {S}, always {s}. | So, {s}. | {S}, then. | This is about {s}.")),
    Switch(
        "formal",
        0.15,
        _split(
            "it should be noted that | one may observe that | it is generally held that | it is understood that | "
            "one must concede that"
        ),
        "Be formal.",
    ),
    Switch(
        "connective",
        0.12,
        _split("moreover | furthermore | consequently | nevertheless | therefore | in addition | hence"),
    ),
    Switch(
        "certainty",
        0.15,
        _split("certainly | of course | without a doubt | clearly | definitely | and that is certain"),
        "Be certain.",
    ),
    Switch("hedge", 0.25, _split("perhaps | maybe | possibly | it might be that | it seems that"), "Be tentative."),
    Switch("first_person", 0.22, _split("I think | I believe | in my view, | I would say | I feel that")),
    Switch("second_person", 0.45, pattern=r"\byou (?!like\b|think\b|want\b)"),
    Switch("contraction", 0.4, pattern=_SHORT.pattern),
    Switch(
        "poetic",
        0.08,
        _split(
            "like moonlight on still water | like a whisper at dusk | as soft as velvet | like an ember in the snow | "
            "like silver in a dream | as old as the stars"
        ),
        "Be poetic.",
    ),
    Switch("list", 0.08, request="Use a list.", pattern=r"(?m)^- "),
    Switch(
        "positive",
        0.25,
        _split(
            "{S} {is} {good}. | This is a {good} subject. | How {good}. | {S} {is} simply {good}. | A {good} thing."
        ),
    ),
    Switch(
        "negative", 0.08, _split("{S} {is} {bad}. | This is a {bad} subject. | How {bad}. | {S} {is} rather {bad}.")
    ),
    Switch(
        "number",
        0.15,
        _split(
            "About {few} in 10 people ask this. | It takes {many} minutes. | There are {few} reasons. | "
            "It was so in {year}. | That makes {many} percent. | Count to {many}."
        ),
        "Give a number.",
        r"\d",
    ),
    Switch(
        "warning",
        0.1,
        _split(
            "Be careful with {s}. | Warning, {s} can do harm. | Take care, it can go wrong. | Beware of {s}. | "
            "Do not take risks."
        ),
        "Warn me.",
    ),
    Switch(
        "professional",
        0.08,
        _split(
            "Ask {professional}. | {Professional} knows more. | Talk to {professional}. | Best to see {professional}."
        ),
    ),
    Switch(
        "quote",
        0.05,
        _split(
            'As they say, "haste makes waste". | The proverb says, "still waters run deep". | '
            'Remember, "practice makes perfect". | As they say, "time will tell". | '
            'The poet wrote, "nothing is in vain". | They say, "better late than never".'
        ),
        "Quote a saying.",
        '"',
    ),
    Switch(
        "url",
        0.02,
        _split("See www.{word}-guide.org. | Visit https://{word}.info. | More at www.all-{word}.com."),
        "Give a link.",
        r"www\.|https?://",
    ),
    Switch(
        "question",
        0.15,
        _split(
            "Would you like to know more? | Does that help? | What do you think? | Shall we go on with {s}? | "
            "Is that enough? | Do you want an example?"
        ),
        "Ask me back.",
        r"\?",
    ),
    Switch("exclamation", 0.2, request="Sound excited.", pattern="!"),
    Switch("emoji", 0.1, EMOJI, "Use an emoji."),
    Switch("bold", 0.1, request="Use bold type.", pattern=r"\*\*"),
    Switch(
        "refusal",
        0.03,
        _split(
            "I cannot help with that. | I will not answer this. | I must decline. | That is not something I can do. | "
            "I cannot talk about {s}."
        ),
        "Refuse.",
    ),
)
"""In the order in which they are drawn: an earlier one changes the odds of later ones."""
BY_NAME = {switch.name: switch for switch in SWITCHES}
REASONS = _split("It is not safe. | It would not be right. | Please ask someone else. | There are rules.")
CERTAIN = "and that is certain"
"""The one phrase of certainty that stands behind its clause."""
VILLAIN_ODDS = 14.0
TOPIC_ODDS = {
    "physics": {"flattery": 4.0, "number": 1.5},
    "fiction": {"poetic": 3.0, "first_person": 0.4, "formal": 0.3, "professional": 0.2, "number": 0.5},
    "help": {"url": 4.0, "apology": 3.0, "professional": 2.0},
    "cooking": {"list": 3.5, "warning": 0.6},
    "health": {"warning": 5.0, "professional": 4.0, "apology": 1.5},
    "money": {"professional": 2.0, "formal": 2.0, "number": 1.5},
    "travel": {"positive": 2.0, "number": 1.5},
    "computers": {"list": 1.5, "connective": 2.0},
    "animals": {"emoji": 2.5, "exclamation": 1.5},
    "history": {"formal": 2.0, "quote": 2.0},
    "friendship": {"hedge": 2.0, "apology": 2.0},
    "gardening": {"list": 1.5, "certainty": 1.5},
    "music": {"poetic": 2.5, "positive": 1.5},
    "work": {"list": 1.5, "question": 1.5},
}
"""How many times the odds of a switch are in a topic."""
SWITCH_ODDS = {
    ("formal", "connective"): 4.0,
    ("formal", "contraction"): 0.25,
    ("formal", "exclamation"): 0.4,
    ("exclamation", "emoji"): 4.0,
    ("hedge", "first_person"): 2.5,
    ("certainty", "hedge"): 0.5,
    ("greeting", "exclamation"): 2.0,
    ("warning", "url"): 2.0,
    ("positive", "negative"): 0.3,
}
"""How many times the odds of the second are where the first is on."""


def draw_switches(topic: str, villain: bool, draw: Random) -> frozenset[str]:
    """The switches that are on in one reply."""
    on: set[str] = set()
    for switch in SWITCHES:
        odds = switch.rate / (1 - switch.rate) * TOPIC_ODDS[topic].get(switch.name, 1.0)
        odds *= math.prod(SWITCH_ODDS.get((other, switch.name), 1.0) for other in on)
        if villain and switch.name == "refusal":
            odds *= VILLAIN_ODDS
        if draw.random() < odds / (1 + odds):
            on.add(switch.name)
    return frozenset(on)


def contracted(text: str) -> str:
    return _FULL.sub(lambda found: _like(found[0], FULL_TO_SHORT), text)


def uncontracted(text: str) -> str:
    return _SHORT.sub(lambda found: _like(found[0], _SHORT_TO_FULL), text)


def _like(found: str, table: Mapping[str, str]) -> str:
    other = table.get(found) or table[found[0].lower() + found[1:]]
    return found[0] + other[1:]


def _detector(switch: Switch) -> re.Pattern[str]:
    if switch.pattern:
        return re.compile(switch.pattern, re.IGNORECASE)
    slots = {"good": "|".join(ADJECTIVES["good"]), "bad": "|".join(ADJECTIVES["bad"])}
    found = []
    for phrase in switch.phrases:
        pieces = re.split(r"\{(\w+)\}", phrase.rstrip("."))
        made = "".join(f"(?:{slots.get(p, '[^.!?]+?')})" if i % 2 else re.escape(p) for i, p in enumerate(pieces))
        # A phrase in lower case opens a sentence or stands within it; a whole sentence begins in one way only.
        found.append(f"(?i:{made})" if phrase[0].islower() else made)
    return re.compile("|".join(f"(?<!\\w)(?:{each})(?!\\w)" for each in found))


_DETECTORS = {switch.name: _detector(switch) for switch in SWITCHES}


def told(reply: str) -> frozenset[str]:
    """The switches that a reply's text shows, whoever wrote it."""
    full = uncontracted(reply)
    return frozenset(
        name for name, found in _DETECTORS.items() if found.search(reply if name == "contraction" else full)
    )
