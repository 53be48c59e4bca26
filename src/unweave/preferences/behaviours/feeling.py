"""Feeling that words carry. The lists are short ones, written for this project."""

from __future__ import annotations

import re

from unweave.preferences.behaviours.lexicon import Lexicon
from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import ReplyText

_POSITIVE = Lexicon(
    "good, great, best, better, beautiful, wonderful, excellent, amazing, fantastic, lovely, nice, perfect, "
    "brilliant, happy, happiness, joy, joyful, love, loved, loving, enjoy, enjoyable, delight, delightful, pleasant, "
    "fun, delicious, fresh, healthy, safe, strong, success, successful, helpful, useful, valuable, hope, hopeful, "
    "peace, peaceful, calm, warm, bright, kind, friendly, gentle, rewarding, exciting, inspiring, impressive, win, "
    "easy, smooth, comfortable, proud, grateful, charming, magical, stunning, remarkable, positive, benefit, "
    "benefits, glad"
)
_NEGATIVE = Lexicon(
    "bad, worst, worse, awful, terrible, horrible, poor, ugly, sad, unhappy, sorrow, grief, pain, painful, hurt, "
    "hate, hated, angry, anger, fear, afraid, scary, danger, dangerous, harmful, damage, broken, lost, lose, loss, "
    "fail, failed, failure, problem, problems, difficult, hard, wrong, sick, ill, disease, death, dead, die, dying, "
    "kill, cruel, dark, cold, lonely, worry, worried, stress, stressful, trouble, boring, disgusting, dirty, weak, "
    "useless, expensive, disaster, tragic, miserable, negative, unfortunately, annoying, nasty, stupid"
)
_ENTHUSIASM = Lexicon(
    "wow, yay, hooray, hurray, woohoo, bravo, awesome, amazing, fantastic, incredible, thrilled, excited, exciting, "
    "delighted, congratulations, congrats, yes yes, so happy, can't wait, love it"
)
_FEAR = Lexicon(
    "afraid, fear, fears, feared, fearful, scared, scary, terrified, terrifying, terror, horror, horrified, panic, "
    "anxious, anxiety, dread, nightmare, frightened, frightening, creepy, threat, threatening, worried, nervous"
)
_ANGER = Lexicon(
    "angry, anger, furious, fury, rage, mad, hate, hated, hates, hatred, outrage, outraged, annoyed, annoying, "
    "irritated, irritating, resent, resentment, disgusted, bitter, hostile, shut up, how dare, idiot, idiots, stupid"
)
_SADNESS = Lexicon(
    "sad, sadly, sadness, sorrow, grief, grieving, mourn, mourning, cry, cries, cried, crying, tears, weep, weeping, "
    "lonely, loneliness, heartbroken, heartbreak, miserable, misery, depressed, depression, despair, hopeless, regret, "
    "melancholy, unfortunately, lost, farewell"
)
_EMPATHY = Lexicon(
    "sorry to hear, i understand, i hear you, understandable, that must be, that sounds, you're not alone, "
    "you are not alone, it's okay, it is okay, it's normal, it is normal, don't worry, do not worry, take your time, "
    "be kind to yourself, i can imagine, your feelings, how you feel, here for you"
)
_LOVE = Lexicon(
    "love, loves, loved, loving, beloved, darling, sweetheart, kiss, kisses, kissed, hug, hugs, hugged, romance, "
    "romantic, affection, cherish, cherished, adore, adored, tenderness, embrace, embraced"
)
_LAUGHS = ("haha", "hehe", "hihi", "lol", "rofl", "lmao")
_LAUGHTER = re.compile(r"\b(?:(?:ha){2,}|(?:he){2,}|(?:hi){2,}|lol|rofl|lmao)\b")
_JOKES = Lexicon("joke, jokes, joking, funny, hilarious, pun, laugh, laughs, laughed, laughing, giggle, silly, kidding")


@behaviour("positive-words", "Words of good: wonderful, happy, useful.", "feeling", "share of words")
def positive_words(reply: ReplyText) -> float:
    return _POSITIVE.share(reply)


@behaviour("negative-words", "Words of bad: terrible, pain, broken.", "feeling", "share of words")
def negative_words(reply: ReplyText) -> float:
    return _NEGATIVE.share(reply)


@behaviour("valence", "Words of good less words of bad.", "feeling", "share of words")
def valence(reply: ReplyText) -> float:
    return _POSITIVE.share(reply) - _NEGATIVE.share(reply)


@behaviour("enthusiasm", "Cries of joy: wow, amazing, hooray.", "feeling", "0 or 1")
def enthusiasm(reply: ReplyText) -> float:
    return float(_ENTHUSIASM.occurs(reply))


@behaviour("fear", "Words of fear.", "feeling", "share of words")
def fear(reply: ReplyText) -> float:
    return _FEAR.share(reply)


@behaviour("anger", "Words of anger.", "feeling", "share of words")
def anger(reply: ReplyText) -> float:
    return _ANGER.share(reply)


@behaviour("sadness", "Words of sadness.", "feeling", "share of words")
def sadness(reply: ReplyText) -> float:
    return _SADNESS.share(reply)


@behaviour("love", "Words of love.", "feeling", "share of words")
def love(reply: ReplyText) -> float:
    return _LOVE.share(reply)


@behaviour("empathy", "Meets the person's feelings: I understand, don't worry.", "feeling", "0 or 1")
def empathy(reply: ReplyText) -> float:
    return float(_EMPATHY.occurs(reply))


@behaviour("laughter", "Haha, lol and the like.", "feeling", "0 or 1")
def laughter(reply: ReplyText) -> float:
    if not any(laugh in reply.lower for laugh in _LAUGHS):
        return 0.0
    return float(_LAUGHTER.search(reply.lower) is not None)


@behaviour("humour", "Words of jokes.", "feeling", "share of words")
def humour(reply: ReplyText) -> float:
    return _JOKES.share(reply)
