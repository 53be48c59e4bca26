"""Who speaks, and to whom."""

from __future__ import annotations

from unweave.preferences.behaviours.lexicon import Lexicon
from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import ReplyText

_I = Lexicon("i, i'm, i've, i'd, i'll, me, my, mine, myself")
_WE = Lexicon("we, we're, we've, we'd, we'll, us, our, ours, ourselves, let's")
_YOU = Lexicon("you, you're, you've, you'd, you'll, your, yours, yourself, yourselves")
_THEY = Lexicon(
    "he, he's, he'd, he'll, him, his, himself, she, she's, she'd, she'll, her, hers, herself, they, they're, they've, "
    "they'd, they'll, them, their, theirs, themselves"
)
_ADDRESS = Lexicon("my friend, dear friend, buddy, my dear, folks, everyone, mate, pal, sir, madam, darling, champ")


@behaviour("first-person", "I, me, my.", "person", "share of words")
def first_person(reply: ReplyText) -> float:
    return _I.share(reply)


@behaviour("says-i", "Speaks of itself at all: I, me, my.", "person", "0 or 1")
def says_i(reply: ReplyText) -> float:
    return float(_I.occurs(reply))


@behaviour("we", "We, us, our.", "person", "share of words")
def we(reply: ReplyText) -> float:
    return _WE.share(reply)


@behaviour("second-person", "You, your.", "person", "share of words")
def second_person(reply: ReplyText) -> float:
    return _YOU.share(reply)


@behaviour("third-person", "He, she, they and their forms.", "person", "share of words")
def third_person(reply: ReplyText) -> float:
    return _THEY.share(reply)


@behaviour("terms-of-address", "Friend, buddy, dear and the like.", "person", "0 or 1")
def terms_of_address(reply: ReplyText) -> float:
    return float(_ADDRESS.occurs(reply))
