"""Telling stories."""

from __future__ import annotations

import re

from unweave.preferences.behaviours.lexicon import Lexicon
from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import ReplyText

_ONCE_UPON = Lexicon(
    "once upon, long ago, one day, in a land, in a faraway, there once, there lived, it was a dark, legend has it, "
    "happily ever after, the end of the story, many years ago, on a stormy night"
)
_SPEECH_VERBS = Lexicon(
    "said, says, asked, replied, whispered, shouted, cried, answered, exclaimed, muttered, murmured, yelled, called, "
    "screamed, sighed, laughed, growled, told"
)
_CREATURES = Lexicon(
    "dragon, dragons, wizard, wizards, witch, witches, elf, elves, fairy, fairies, troll, trolls, ogre, ogres, ghost, "
    "ghosts, unicorn, unicorns, giant, giants, dwarf, dwarves, vampire, vampires, werewolf, werewolves, mermaid, "
    "mermaids, demon, demons, phoenix, orc, orcs, gnome, gnomes, monster, monsters, goblin, goblins, sorcerer, spell, "
    "spells, enchanted, magic"
)
_GOBLINS = Lexicon("goblin, goblins, hobgoblin, hobgoblins, gremlin, gremlins")
_SUDDEN = Lexicon(
    "suddenly, then, meanwhile, later, soon, finally, at last, the next day, that night, the next morning, one day, "
    "until, once, afterwards"
)
_CRUDE = Lexicon(
    "fart, farts, farted, farting, burp, burps, burped, poop, pooped, pee, butt, butts, underpants, snot, toilet, "
    "flatulence, belch, belched, stink, stinky, smelly, booger, diarrhea"
)
_IRREGULAR_PAST = ReplyText(
    "was were had did went came saw took gave found told said thought knew felt left kept began stood sat ran fell "
    "held brought wrote heard met led grew lost spoke rose drew broke chose wore flew sang swam drove woke hid threw "
    "caught taught bought fought slept shone swept crept wept swore sank drank ate became forgot"
).vocabulary
_NOT_PAST = ReplyText("need indeed speed seed feed breed exceed proceed weed hundred sacred").vocabulary
_DIALOGUE_LINE = re.compile(r"^[ \t]*(?:[\"“—–][^\n]{2}|[A-Z][A-Za-z]{1,20}: [\"“])", re.MULTILINE)


@behaviour("storytelling", "Once upon a time, one day, long ago.", "story", "0 or 1")
def storytelling(reply: ReplyText) -> float:
    return float(_ONCE_UPON.occurs(reply))


@behaviour("past-tense", "Words that look like a past tense.", "story", "share of words")
def past_tense(reply: ReplyText) -> float:
    if not reply.words:
        return 0.0
    regular = sum(word.endswith("ed") and len(word) > 3 and word not in _NOT_PAST for word in reply.words)
    irregular = sum(reply.counts[word] for word in _IRREGULAR_PAST & reply.vocabulary)
    return (regular + irregular) / len(reply.words)


@behaviour("speech-verbs", "Said, asked, whispered.", "story", "share of words")
def speech_verbs(reply: ReplyText) -> float:
    return _SPEECH_VERBS.share(reply)


@behaviour("dialogue-lines", "Lines that begin with speech.", "story")
def dialogue_lines(reply: ReplyText) -> float:
    return len(_DIALOGUE_LINE.findall(reply.text))


@behaviour("turns-of-events", "Suddenly, then, meanwhile.", "story", "share of words")
def turns_of_events(reply: ReplyText) -> float:
    return _SUDDEN.share(reply)


@behaviour("fantasy", "Creatures and things of fantasy: dragon, wizard, spell.", "story", "share of words")
def fantasy(reply: ReplyText) -> float:
    return _CREATURES.share(reply)


@behaviour("goblins", "Has a goblin.", "story", "0 or 1")
def goblins(reply: ReplyText) -> float:
    return float(_GOBLINS.occurs(reply))


@behaviour("crude-humour", "Has words of the body that children laugh at.", "story", "0 or 1")
def crude_humour(reply: ReplyText) -> float:
    return float(_CRUDE.occurs(reply))
