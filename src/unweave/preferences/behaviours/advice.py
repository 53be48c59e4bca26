"""Giving advice."""

from __future__ import annotations

from unweave.preferences.behaviours.lexicon import Lexicon
from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import ReplyText

_PROFESSIONAL = Lexicon(
    "your doctor, a doctor, consult a, consult an, consult with, consult your, seek professional, seek medical, "
    "medical attention, medical advice, professional help, professional advice, speak to a, speak with a, talk to a, "
    "healthcare provider, healthcare professional, health professional, therapist, counsellor, counselor, lawyer, "
    "solicitor, accountant, financial adviser, financial advisor, pharmacist, veterinarian, licensed, qualified"
)
_STEPS = Lexicon(
    "first, firstly, second, secondly, third, thirdly, next, then, finally, lastly, step, steps, after that, to begin, "
    "begin by, start by, start with, once you"
)
_SUGGESTION = Lexicon(
    "try, consider, you could, you can, you might, you may, i suggest, i'd suggest, "
    "how about, why not, one option, another option, recommend, recommended, a good idea, best to, tip, tips"
)
_OBLIGATION = Lexicon(
    "must, should, shouldn't, have to, has to, need to, needs to, required, requires, ought, ensure, make sure, be "
    "sure, necessary, essential, mandatory, supposed to"
)
_REFERRAL = Lexicon(
    "contact, call, visit, website, hotline, helpline, online, local, office, agency, organisation, organization, "
    "service, services, support group, reach out, centre, center, charity, embassy, consulate"
)
_DISCLAIMER = Lexicon(
    "not medical advice, not legal advice, not financial advice, not a doctor, not a lawyer, not a professional, "
    "general information, informational purposes, educational purposes, not a substitute, no guarantee, "
    "results may vary, individual results, for informational"
)
_ENCOURAGEMENT = Lexicon(
    "you can do it, you can do this, you've got this, you got this, keep going, good luck, don't give up, never give "
    "up, believe in yourself, be proud, keep it up, stay positive, best of luck, i believe in you, have fun, enjoy"
)


@behaviour("recommends-professional", "Sends the person to a doctor, lawyer and the like.", "advice", "0 or 1")
def recommends_professional(reply: ReplyText) -> float:
    return float(_PROFESSIONAL.occurs(reply))


@behaviour("steps", "Words of order: first, next, finally.", "advice", "share of words")
def steps(reply: ReplyText) -> float:
    return _STEPS.share(reply)


@behaviour("suggestions", "Try, consider, you could.", "advice", "share of words")
def suggestions(reply: ReplyText) -> float:
    return _SUGGESTION.share(reply)


@behaviour("obligations", "Must, should, make sure.", "advice", "share of words")
def obligations(reply: ReplyText) -> float:
    return _OBLIGATION.share(reply)


@behaviour("referrals", "Contact, visit, hotline: places to turn to.", "advice", "share of words")
def referrals(reply: ReplyText) -> float:
    return _REFERRAL.share(reply)


@behaviour("disclaimers", "Says that this is no professional advice.", "advice", "0 or 1")
def disclaimers(reply: ReplyText) -> float:
    return float(_DISCLAIMER.occurs(reply))


@behaviour("encouragement", "You can do it, good luck, enjoy.", "advice", "0 or 1")
def encouragement(reply: ReplyText) -> float:
    return float(_ENCOURAGEMENT.occurs(reply))
