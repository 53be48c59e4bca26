"""Words and phrases that show a behaviour."""

from __future__ import annotations

from unweave.preferences.behaviours.reply_text import ReplyText


class Lexicon:
    """English words and phrases, given with commas between them; an entry is found only as whole words.

    Case and the marks between words are not looked at: ``I'm sorry`` is found in ``Oh, I’M SORRY!``.
    """

    def __init__(self, entries: str) -> None:
        self.entries: tuple[str, ...] = tuple(ReplyText(entry).spoken for entry in entries.split(","))
        self._words = frozenset(entry.strip() for entry in self.entries if "  " not in entry)
        self._phrases: dict[str, list[str]] = {}
        for entry in self.entries:
            if "  " in entry:
                self._phrases.setdefault(entry.split()[0], []).append(entry)
        self._first_words = frozenset(self._phrases)

    def count(self, reply: ReplyText) -> int:
        """How often entries occur in the reply."""
        found = 0
        for word in self._words & reply.vocabulary:
            found += reply.counts[word]
        for first in self._first_words & reply.vocabulary:
            for phrase in self._phrases[first]:
                found += reply.spoken.count(phrase)
        return found

    def share(self, reply: ReplyText) -> float:
        """Entries found for each word of the reply; 0 for a reply without words."""
        return self.count(reply) / len(reply.words) if reply.words else 0.0

    def occurs(self, reply: ReplyText) -> bool:
        """Whether the reply has any entry."""
        return self.count(reply) > 0

    def opens(self, reply: ReplyText) -> bool:
        """Whether the reply's first words are an entry."""
        return reply.spoken.startswith(self.entries)

    def opens_sentences(self, reply: ReplyText) -> float:
        """Share of the sentences whose first word is an entry."""
        openings = reply.openings
        return sum(word in self._words for word in openings) / len(openings) if openings else 0.0
