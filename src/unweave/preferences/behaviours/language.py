"""Which language and script the reply is in."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from unweave.preferences.behaviours.registry import behaviour
from unweave.preferences.behaviours.reply_text import WORD, ReplyText

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

UNKNOWN = "?"
_JUDGED_CHARACTERS = 300
_JUDGED_WORDS = 50
_NOT_LATIN = re.compile("[^\\W\\d_\u0000-\u024f\u1e00-\u1eff\u2c60-\u2c7f\ua720-\ua7ff\uff21-\uff5a]")
# Spellings that hardly another language of the identifier's has, and of which English text has one in five words.
_ENGLISH = ReplyText(
    "the and of is that you your with for this they are was which have from not what when there their would should "
    "it's i'm can't don't you're because about into than then been how why to be can its has by more"
).vocabulary


@behaviour("other-than-english", "Is in another language than English, as far as one can tell.", "language", "0 or 1")
def other_than_english(reply: ReplyText) -> float:
    return float(language_of(reply.text, reply.words) not in ("en", UNKNOWN))


@behaviour("leaves-prompts-language", "Is in another language than the prompt.", "language", "0 or 1")
def leaves_prompts_language(reply: ReplyText) -> float:
    asked, answered = _prompt_language(reply.prompt[:_JUDGED_CHARACTERS]), language_of(reply.text, reply.words)
    return float(UNKNOWN not in (asked, answered) and asked != answered)


@behaviour("other-scripts", "Letters of other scripts than the Latin one.", "language", "share of letters")
def other_scripts(reply: ReplyText) -> float:
    if reply.text.isascii():
        return 0.0
    letters = sum(map(len, reply.words)) - reply.spoken.count("'")
    return min(1.0, len(_NOT_LATIN.findall(reply.lower)) / letters) if letters else 0.0


@behaviour("accented-letters", "Letters beyond ASCII, of any script.", "language", "share of characters")
def accented_letters(reply: ReplyText) -> float:
    if reply.text.isascii():
        return 0.0
    return sum(character.isalpha() and not character.isascii() for character in reply.text) / len(reply.text)


def language_of(text: str, words: list[str]) -> str:
    """The language of a text's first 300 characters, as py3langid's code; ``?`` where that is less likely than a half.

    Text of fewer than three words in the Latin script is ``?`` too. English that shows itself by its function words is
    not given to py3langid, which takes half as long as all other behaviours together.
    """
    judged = text[:_JUDGED_CHARACTERS]
    if judged.isascii() or not _NOT_LATIN.search(judged):
        first = words[:_JUDGED_WORDS]
        if len(first) < 3:
            return UNKNOWN
        seen = [word for word in first if word in _ENGLISH]
        if len(set(seen)) >= 2 and len(seen) >= 0.15 * len(first):
            return "en"
    return _identified(judged)


@lru_cache(maxsize=2048)
def _prompt_language(prompt: str) -> str:
    return language_of(prompt, WORD.findall(prompt.lower()))


# A reply is asked for its language by two behaviours, one after the other.
@lru_cache(maxsize=8)
def _identified(text: str) -> str:
    if not any(map(str.isalpha, text)):
        return UNKNOWN
    language, probability = _identifier().classify(text)
    return language if probability >= 0.5 else UNKNOWN


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
