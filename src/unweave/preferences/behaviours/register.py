"""Level of language: plain or formal, polite, poetic, simple."""

from __future__ import annotations

from unweave.preferences.behaviours.lexicon import Lexicon
from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import ReplyText

_ONLY_VOWELS = {code: " " for code in range(128) if chr(code) not in "aeiouy"}
_CONTRACTION_ENDINGS = ("'m", "'re", "'ve", "'ll", "'d", "n't")
_IS_CONTRACTIONS = Lexicon("it's, that's, what's, there's, here's, let's, he's, she's, who's, where's, how's, y'all")
_FORMAL = Lexicon(
    "however, therefore, moreover, furthermore, consequently, nevertheless, nonetheless, thus, hence, accordingly, "
    "additionally, whereas, thereby, notwithstanding, subsequently, in addition, in conclusion, as a result, in "
    "contrast, regarding, concerning, pursuant, upon, whom, shall, facilitate, utilise, utilize, commence, obtain, "
    "endeavour"
)
_SLANG = Lexicon(
    "gonna, wanna, gotta, kinda, sorta, lemme, dunno, yeah, yep, nope, nah, hey, yo, dude, bro, guys, cool, awesome, "
    "super, stuff, crap, damn, ain't, y'all, lol, omg, btw, tbh, epic, vibe, vibes, chill, legit, folks"
)
_POLITE = Lexicon(
    "please, thank you, thanks, kindly, welcome, my pleasure, excuse me, may i, would you, could you, grateful, "
    "much appreciated, with respect, good morning, good evening, best wishes"
)
_GREETING = Lexicon(
    "hello, hi, hey, greetings, welcome, good morning, good afternoon, good evening, dear, howdy, hiya, salutations"
)
_IMPERATIVE = Lexicon(
    "add, ask, avoid, be, begin, bring, buy, call, change, check, choose, clean, consider, contact, cook, create, "
    "cut, do, don't, eat, ensure, explore, find, focus, follow, get, give, go, heat, imagine, keep, learn, leave, "
    "let, listen, look, make, mix, never, open, pack, plan, plant, place, practice, practise, prepare, put, read, "
    "remember, remove, rest, rinse, save, seek, serve, set, share, speak, start, stay, stir, stop, take, talk, tell, "
    "think, try, turn, use, visit, wait, walk, wash, watch, water, wear, write"
)
_POETIC = Lexicon(
    "whisper, whispers, whispered, whispering, moon, moonlight, moonlit, twilight, dusk, dawn, starlight, stars, "
    "shadow, shadows, silence, silent, ember, embers, velvet, crimson, golden, silver, dance, dances, dancing, dream, "
    "dreams, dreaming, soul, souls, heart, hearts, eternal, forgotten, gentle, gently, breeze, petals, blossom, echo, "
    "echoes, tapestry, symphony, shimmering, glimmer, glistening, weep, weeps, tender, sorrow, longing, thy, thou, "
    "thee, o'er"
)
_INTENSIFIERS = Lexicon(
    "very, really, extremely, incredibly, so, truly, highly, deeply, absolutely, totally, quite, remarkably, "
    "especially, particularly, literally, utterly, insanely, such, too"
)
_FILLERS = Lexicon(
    "well, basically, actually, just, simply, literally, like, anyway, honestly, you know, i mean, kind of"
)
_BUZZWORDS = Lexicon(
    "crucial, vital, essential, significant, significantly, comprehensive, robust, delve, leverage, seamless, "
    "landscape, tapestry, multifaceted, pivotal, foster, fostering, enhance, enhancing, ensure, ensuring, unlock, "
    "journey, navigate, navigating, intricate, testament, realm, underscore, holistic, innovative, vibrant, plays a "
    "role, rich history, wide range, variety of"
)


@behaviour("contractions", "Contracted forms: don't, I'm, it's.", "register", "share of words")
def contractions(reply: ReplyText) -> float:
    if "'" not in reply.spoken:
        return 0.0
    ending = sum(word.endswith(_CONTRACTION_ENDINGS) for word in reply.words)
    return (ending + _IS_CONTRACTIONS.count(reply)) / len(reply.words)


@behaviour("formal-words", "Formal connectives and words: however, furthermore, upon.", "register", "share of words")
def formal_words(reply: ReplyText) -> float:
    return _FORMAL.share(reply)


@behaviour("slang", "Words of casual talk: gonna, awesome, yeah.", "register", "share of words")
def slang(reply: ReplyText) -> float:
    return _SLANG.share(reply)


@behaviour("politeness", "Please, thank you, kindly.", "register", "0 or 1")
def politeness(reply: ReplyText) -> float:
    return float(_POLITE.occurs(reply))


@behaviour("greeting", "Begins with a greeting.", "register", "0 or 1")
def greeting(reply: ReplyText) -> float:
    return float(_GREETING.opens(reply))


@behaviour(
    "imperatives", "Sentences that begin with a verb of command: try, use, avoid.", "register", "share of sentences"
)
def imperatives(reply: ReplyText) -> float:
    return _IMPERATIVE.opens_sentences(reply)


@behaviour("poetic-words", "Words of poems: moonlight, whisper, soul.", "register", "share of words")
def poetic_words(reply: ReplyText) -> float:
    return _POETIC.share(reply)


@behaviour("intensifiers", "Very, really, incredibly.", "register", "share of words")
def intensifiers(reply: ReplyText) -> float:
    return _INTENSIFIERS.share(reply)


@behaviour("fillers", "Words that carry little: basically, just, well.", "register", "share of words")
def fillers(reply: ReplyText) -> float:
    return _FILLERS.share(reply)


@behaviour(
    "buzzwords", "Words that language models overuse: crucial, comprehensive, delve.", "register", "share of words"
)
def buzzwords(reply: ReplyText) -> float:
    return _BUZZWORDS.share(reply)


@behaviour(
    "reading-ease",
    "Flesch's reading ease (1948) with estimated syllables, held between 0 (hard) and 100 (easy).",
    "register",
    "points",
)
def reading_ease(reply: ReplyText) -> float:
    if not reply.words:
        return 0.0
    words = len(reply.words)
    syllables = max(words, _syllables(reply.spoken))
    ease = 206.835 - 1.015 * words / max(1, len(reply.sentences)) - 84.6 * syllables / words
    return min(100.0, max(0.0, ease))


def _syllables(spoken: str) -> int:
    """Groups of vowels, without a mute e at a word's end (*make*, not *table*): close to the syllables of English."""
    mute_e = _after_consonants(spoken, "e ") - _after_consonants(spoken, "le ")
    return len(spoken.translate(_ONLY_VOWELS).split()) - mute_e


def _after_consonants(spoken: str, ending: str) -> int:
    return spoken.count(ending) - sum(spoken.count(vowel + ending) for vowel in "aeiouy")
