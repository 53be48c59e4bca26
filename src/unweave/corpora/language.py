"""Which language a text is in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache


@cache  # reading the model takes half a second
def language_judge() -> Callable[[str], str]:
    """A function from text to py3langid's language code, ``?`` where it gives its best guess less than a half."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def judge(text: str) -> str:
        if not text.strip():
            return "nothing"
        language, probability = identifier.classify(text)
        return language if probability >= 0.5 else "?"

    return judge
