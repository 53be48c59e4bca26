"""Whether a reply could have been written by the grammar: a check of its own, not the generator run again."""

from __future__ import annotations

import re
from collections.abc import Iterable

from grammar import Grammar, Subject, capital, plural_verb
from styles import ADJECTIVES, BY_NAME, CERTAIN, EMOJI, NUMBERS, REASONS, uncontracted

SUBJECT = "§"
"""Stands for the subject in a reply that is parsed."""
PREFIXES = ("connective", "certainty", "formal", "first_person", "hedge")
_SENTENCE = re.compile(r'(?<=[.!?"])\s+')


class Parser:
    """The sentences of a grammar, those of one topic apart from what every reply may have."""

    def __init__(self, grammar: Grammar) -> None:
        self.fillers = {**grammar.fillers, **ADJECTIVES, **NUMBERS}
        self.clauses = {
            topic.name: self._any(clause for intent in topic.intents for clause in intent.clauses)
            for topic in grammar.topics
        }
        self.points = {topic.name: self._any(topic.points) for topic in grammar.topics}
        self.others = {}
        whole = [phrase for switch in BY_NAME.values() for phrase in switch.phrases if phrase.endswith((".", "?"))]
        for topic in grammar.topics:
            self.fillers["professional"] = topic.professionals
            self.others[topic.name] = self._any([*whole, *REASONS])
        steps = [rf"(?:(?:{'|'.join(map(re.escape, BY_NAME[name].phrases))}),? )?" for name in PREFIXES]
        self.before = re.compile("".join(steps), re.IGNORECASE)
        poetic = "|".join(map(re.escape, BY_NAME["poetic"].phrases))
        self.behind = re.compile(rf"(?:, (?:{poetic}))?(?:, {CERTAIN})?$")

    def parses(self, topic: str, subject: Subject, reply: str) -> bool:
        """True where every sentence and point is the grammar's, for this topic, with this very subject."""
        text = re.sub(rf" ?(?:{'|'.join(EMOJI)})$", "", reply.replace("**", ""))
        text = uncontracted(text)
        named = re.compile(rf"(?<!\w)(?:{re.escape(subject.named)}|{re.escape(capital(subject.named))})(?!\w)")
        found = False
        for line in filter(None, text.split("\n")):
            if line.startswith("- "):
                if not self.points[topic].fullmatch(line[2:]):
                    return False
                continue
            for sentence in _SENTENCE.split(named.sub(SUBJECT, line.strip())):
                if not self._sentence(topic, sentence):
                    return False
                found = True
        return found

    def _sentence(self, topic: str, sentence: str) -> bool:
        body, end = sentence.rstrip('.!?"'), sentence[-1:]
        if end not in '.!?"':
            return False
        if self.others[topic].fullmatch(body):
            return True
        rest = self.behind.sub("", self.before.sub("", body, count=1))
        return any(self.clauses[topic].fullmatch(each) for each in (rest, capital(rest)))

    def _any(self, templates: Iterable[str]) -> re.Pattern[str]:
        return re.compile("|".join(self._pattern(template) for template in templates))

    def _pattern(self, template: str) -> str:
        made = ""
        if template.startswith("{S}"):
            made, template = f"(?:{SUBJECT}|It|They)", template[3:]
        for place, piece in enumerate(re.split(r"\{(\w+)\}", template.rstrip('.?"'))):
            made += self._slot(piece) if place % 2 else re.sub(r"\b([Aa])\\ $", r"\1n?\\ ", re.escape(piece))
        return f"(?:{made})"

    def _slot(self, name: str) -> str:
        fixed = {
            "s": SUBJECT,
            "S": SUBJECT,
            "it": "it|they",
            "its": "its|their",
            "them": "it|them",
            "word": rf"[\w{SUBJECT}-]+",
        }
        if name in fixed:
            return f"(?:{fixed[name]})"
        if name.lower() in self.fillers:
            found = self.fillers[name.lower()]
            return f"(?:{'|'.join(re.escape(capital(each) if name[0].isupper() else each) for each in found)})"
        return f"(?:{name}|{plural_verb(name)})"
