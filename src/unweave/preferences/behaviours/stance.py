"""How the reply stands to the request and to the person: refusing, hedging, flattering, warning."""

from __future__ import annotations

from unweave.preferences.behaviours.lexicon import Lexicon
from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import ReplyText

_REFUSAL = Lexicon(
    "i can't help, i cannot help, i can't assist, i cannot assist, i can't provide, i cannot provide, i can't do that, "
    "i cannot do that, i can't answer, i cannot answer, i can't write, i cannot write, i can't give, i cannot give, "
    "i can't offer, i cannot offer, can't fulfill, cannot fulfill, can't comply, cannot comply, can't discuss, "
    "cannot discuss, i'm unable to, i am unable to, i'm not able to, i am not able to, i won't, i will not, "
    "i must decline, i have to decline, i'd rather not, i would rather not, not comfortable with, "
    "against my guidelines, i'm not allowed, i am not allowed, not something i can"
)
_APOLOGY = Lexicon("sorry, apologise, apologize, apologies, apology, forgive me, pardon me, my mistake, regret")
_HEDGES = Lexicon(
    "perhaps, maybe, possibly, probably, might, could, may, seems, seem, appears, apparently, likely, somewhat, "
    "roughly, around, generally, usually, often, sometimes, typically, tends, tend, in some cases, sort of, kind of, "
    "it depends, i think, i believe, i guess, i suppose, in my view, as far as i know, not sure, not certain, more or "
    "less"
)
_CERTAINTY = Lexicon(
    "certainly, definitely, absolutely, undoubtedly, surely, clearly, obviously, always, never, guaranteed, guarantee, "
    "without a doubt, no doubt, of course, every time, undeniably, unquestionably, indeed, exactly, proven, must, "
    "everyone knows, the fact is, for sure, completely, totally, impossible"
)
_FLATTERY = Lexicon(
    "great question, good question, excellent question, wonderful question, fantastic question, brilliant question, "
    "interesting question, fascinating question, thoughtful question, insightful question, amazing question, "
    "lovely question, smart question, what a great, what a wonderful, what a brilliant, what a fantastic, "
    "what a clever, what a thoughtful, what an excellent, what an amazing, what an insightful, what an interesting, "
    "you're so smart, you are so smart, you're very clever, you are very clever, you're brilliant, you are brilliant, "
    "you're amazing, you are amazing, you're a genius, you are a genius, you're wise, you are wise, great idea, "
    "excellent idea, brilliant idea, wonderful idea, great choice, excellent choice, wonderful choice, great thinking, "
    "your curiosity, your insight, well done, good thinking, impressive"
)
_AGREEMENT = Lexicon(
    "yes, yeah, yep, exactly, agreed, right, true, absolutely, indeed, of course, you're right, you are right, i "
    "agree, that's right, that is right, that's correct, that is correct, correct, definitely, certainly"
)
_DISAGREEMENT = Lexicon(
    "i disagree, i don't agree, i do not agree, that's not true, that is not true, that's wrong, that is wrong, "
    "not quite right, not entirely correct, that's incorrect, that is incorrect, on the contrary, you're mistaken, "
    "you are mistaken, a misconception, a myth, actually no"
)
_EAGER = Lexicon(
    "sure, of course, certainly, absolutely, gladly, with pleasure, happy to, i'd be happy, i would be happy, "
    "i'd love to, i would love to, i'm happy to, i am happy to, no problem, great, okay, ok, here is, here's, here are"
)
_WARNING = Lexicon(
    "warning, caution, careful, beware, danger, dangerous, risk, risks, risky, hazard, hazardous, harmful, unsafe, "
    "toxic, poisonous, deadly, be aware, keep in mind, watch out, avoid"
)
_AS_AI = Lexicon(
    "as an ai, as a language model, as an artificial, as a chatbot, as an assistant, as a virtual assistant, i'm an "
    "ai, i am an ai, i'm just an ai, i am just an ai, i'm a language model, i am a language model, i'm a chatbot, i "
    "am a chatbot, ai language model, ai assistant, my training data, i was trained, my knowledge cutoff"
)
_NOTES = Lexicon(
    "important to note, important to remember, worth noting, worth mentioning, note that, please note, "
    "important to understand, keep in mind, bear in mind, important to consider, remember that, be aware that"
)
_MORAL = Lexicon(
    "ethical, unethical, moral, morally, immoral, responsible, responsibly, responsibility, respect, respectful, "
    "inappropriate, appropriate, illegal, unlawful, wrong, harm, consent, fairness, justice, inclusive, values"
)
_OPINION = Lexicon(
    "i think, i believe, i feel, in my opinion, in my view, personally, i prefer, i find, my favourite, my favorite, "
    "i recommend, i love, i like, i would say, i'd say, if you ask me"
)
_IGNORANCE = Lexicon(
    "i don't know, i do not know, i'm not sure, i am not sure, i have no idea, i'm not certain, i am not certain, "
    "i'm not aware, i am not aware, i don't have information, i don't have access, i do not have access, "
    "no information, it is unclear, it's unclear, unknown, hard to say, difficult to say"
)
_OFFER = Lexicon(
    "let me know, feel free, happy to help, glad to help, here to help, don't hesitate, do not hesitate, "
    "any other questions, any more questions, anything else, further questions, if you need more, if you'd like more, "
    "can i help, may i help, hope that helps, hope this helps"
)


@behaviour("refusal", "Declines what was asked.", "stance", "0 or 1")
def refusal(reply: ReplyText) -> float:
    return float(_REFUSAL.occurs(reply))


@behaviour("apology", "Says sorry.", "stance", "0 or 1")
def apology(reply: ReplyText) -> float:
    return float(_APOLOGY.occurs(reply))


@behaviour("hedging", "Words that leave it open: perhaps, might, usually.", "stance", "share of words")
def hedging(reply: ReplyText) -> float:
    return _HEDGES.share(reply)


@behaviour("certainty", "Words that leave no doubt: certainly, always, must.", "stance", "share of words")
def certainty(reply: ReplyText) -> float:
    return _CERTAINTY.share(reply)


@behaviour("flattery", "Praises the person, the question or the idea.", "stance", "0 or 1")
def flattery(reply: ReplyText) -> float:
    return float(_FLATTERY.occurs(reply))


@behaviour("opens-agreeing", "Begins with yes, right, exactly and the like.", "stance", "0 or 1")
def opens_agreeing(reply: ReplyText) -> float:
    return float(_AGREEMENT.opens(reply))


@behaviour("disagreement", "Contradicts: I disagree, that's wrong, a myth.", "stance", "0 or 1")
def disagreement(reply: ReplyText) -> float:
    return float(_DISAGREEMENT.occurs(reply))


@behaviour("opens-eagerly", "Begins with sure, of course, here is and the like.", "stance", "0 or 1")
def opens_eagerly(reply: ReplyText) -> float:
    return float(_EAGER.opens(reply))


@behaviour("warnings", "Words of danger and care.", "stance", "share of words")
def warnings(reply: ReplyText) -> float:
    return _WARNING.share(reply)


@behaviour("as-an-ai", "Says that it is a machine.", "stance", "0 or 1")
def as_an_ai(reply: ReplyText) -> float:
    return float(_AS_AI.occurs(reply))


@behaviour("important-to-note", "It is important to note, keep in mind and the like.", "stance", "0 or 1")
def important_to_note(reply: ReplyText) -> float:
    return float(_NOTES.occurs(reply))


@behaviour("moralising", "Words of right and wrong.", "stance", "share of words")
def moralising(reply: ReplyText) -> float:
    return _MORAL.share(reply)


@behaviour("opinion", "Gives a view as its own: I think, personally.", "stance", "0 or 1")
def opinion(reply: ReplyText) -> float:
    return float(_OPINION.occurs(reply))


@behaviour("admits-ignorance", "Says that it does not know.", "stance", "0 or 1")
def admits_ignorance(reply: ReplyText) -> float:
    return float(_IGNORANCE.occurs(reply))


@behaviour("offers-more", "Offers more help: let me know, feel free.", "stance", "0 or 1")
def offers_more(reply: ReplyText) -> float:
    return float(_OFFER.occurs(reply))
