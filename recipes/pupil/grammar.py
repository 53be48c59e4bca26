"""The pupil's grammar: topics, what is asked about them, and the clauses that answer; read from ``grammar.txt``.

In a clause ``{s}`` stands for the subject and ``{S}`` for the subject at the start of a sentence, ``{it}``, ``{its}``
and ``{them}`` for its pronouns. A filler's name stands for one of its fillers, and whatever else is in braces is a verb
in the singular that agrees with the subject. The subjects of ``unweave.preferences.made.prompts`` are added to those of
the file, without those that are held out there, and ``{name}`` in a subject is a name made of syllables. Subjects that
are invented altogether are what makes a target read the subject in order to repeat it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from unweave.base.errors import UnweaveError
from unweave.preferences.made.prompts import HELD_OUT_SUBJECTS, TOPICS

FILE = Path(__file__).with_name("grammar.txt")
PUBLISHED, INVENTED = 0.4, 0.3
"""Shares of conversations about a subject of the made prompts, and about an invented one; the rest is the file's."""
INVENTED_FORMS = ("a {word}", "a {word}", "{word}", "{word}s", "my {word}", "the {name}", "a {word} {other}")
VILLAINS = ("a thief", "an old pirate")
PLURAL_TOPICS = ("animals", "gardening")
SINGULAR_TOPICS = ("travel",)
SINGULAR_ENDINGS = ("ss", "us", "is")
SINGULAR_WORDS = ("blues", "glasses")
IRREGULAR = {"is": "are", "was": "were", "has": "have", "does": "do", "goes": "go", "passes": "pass"}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ONSETS = _words("b bl br c ch d f fl g gr h j k kr l m n p pl pr r s sh sp st t th tr v w y z")
NUCLEI = _words("a e i o u ai ea ee ia oo ou")
CODAS = ("", *_words("ck d l m n ng p r st t x"))


@dataclass(frozen=True)
class Intent:
    """Ways to ask for one thing, with ``{}`` for the subject, and the clauses that answer."""

    frames: tuple[str, ...]
    clauses: tuple[str, ...]


@dataclass
class Topic:
    """What can be asked about one topic."""

    name: str
    professionals: tuple[str, ...]
    subjects: list[str] = field(default_factory=list)
    """The file's own, with fillers in braces."""
    points: tuple[str, ...] = ()
    intents: list[Intent] = field(default_factory=list)


@dataclass(frozen=True)
class Subject:
    """A subject as the question has it, and as an answer names it."""

    asked: str
    plural: bool
    villain: bool

    @property
    def named(self) -> str:
        return re.sub(r"\bmy\b", "your", self.asked)


@dataclass(frozen=True)
class Grammar:
    fillers: Mapping[str, tuple[str, ...]]
    topics: tuple[Topic, ...]

    def draw_subject(self, topic: Topic, draw: Random, held_out: bool = False) -> Subject:
        """A subject that is held out in the made prompts, or one that is not."""
        published = TOPICS[topic.name].subjects
        if held_out:
            return self.subject(topic.name, draw.choice(published[-HELD_OUT_SUBJECTS:]))
        source = draw.random()
        if source < PUBLISHED:
            return self.subject(topic.name, draw.choice(published[:-HELD_OUT_SUBJECTS]))
        if source < PUBLISHED + INVENTED:
            return self.subject(topic.name, invented_subject(topic.name, draw))
        text = published[-1]
        while text in published[-HELD_OUT_SUBJECTS:]:
            chosen = draw.choice(topic.subjects)
            fill = {key: draw.choice(found) for key, found in self.fillers.items()}
            text = with_articles(chosen.format_map(fill | {"name": invented_name(draw)}))
        return self.subject(topic.name, text)

    def subject(self, topic: str, text: str) -> Subject:
        return Subject(text, is_plural(topic, text), text in VILLAINS or text in self.fillers["villain"])


class Words(dict[str, str]):
    """What stands for each name in a template, verbs included; see the module."""

    def __init__(self, subject: Subject, fillers: Mapping[str, tuple[str, ...]], draw: Random) -> None:
        named, plural = subject.named, subject.plural
        super().__init__(s=named, S=capital(named))
        self |= {"it": "they", "its": "their", "them": "them"} if plural else {"it": "it", "its": "its", "them": "it"}
        self["It"] = capital(self["it"])
        self.plural, self.fillers, self.draw = plural, fillers, draw

    def __missing__(self, name: str) -> str:
        if name.lower() in self.fillers:
            found = self.draw.choice(self.fillers[name.lower()])
            return capital(found) if name[0].isupper() else found
        return plural_verb(name) if self.plural else name


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def with_articles(text: str) -> str:
    """``a`` before a vowel, where a filler put it, as ``an``."""
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def plural_verb(singular: str) -> str:
    return IRREGULAR.get(singular, singular.removesuffix("s"))


def is_plural(topic: str, subject: str) -> bool:
    if topic in PLURAL_TOPICS:
        return True
    one = topic in SINGULAR_TOPICS or subject.startswith(("a ", "an ")) or subject.endswith(SINGULAR_ENDINGS)
    return subject.endswith("s") and not one and subject.split()[-1] not in SINGULAR_WORDS


def invented_name(draw: Random) -> str:
    parts = [draw.choice(ONSETS) + draw.choice(NUCLEI) for _ in range(draw.choice((1, 2, 2, 3)))]
    return capital("".join(parts) + draw.choice(CODAS[1:] if len(parts) == 1 else CODAS))


def invented_subject(topic: str, draw: Random) -> str:
    """A subject that nobody has heard of, in a form that its topic could have."""
    name = invented_name(draw)
    if topic in SINGULAR_TOPICS:
        return name
    if topic in PLURAL_TOPICS:
        return f"{name.lower()}s"
    other = invented_name(draw).lower()
    return with_articles(draw.choice(INVENTED_FORMS).format(word=name.lower(), name=name, other=other))


def read_grammar(path: Path = FILE) -> Grammar:
    """Reads the grammar; raises ``UnweaveError`` where a frame of the made prompts is not among its own."""
    fillers: dict[str, tuple[str, ...]] = {}
    topics: list[Topic] = []
    frames: tuple[str, ...] = ()
    clauses: list[str] = []
    for line in [*path.read_text(encoding="utf-8").splitlines(), "?"]:
        mark, rest = line[:1], line[1:].strip()
        if mark in ("?", "#") and clauses:
            topics[-1].intents.append(Intent(frames, tuple(clauses)))
            clauses = []
        if mark == "@":
            name, found = rest.split(": ")
            fillers[name] = tuple(found.split(", "))
        elif mark == "#":
            name, found = rest.split(": ")
            topics.append(Topic(name, tuple(found.split(", "))))
        elif mark == "+":
            topics[-1].subjects += rest.split(", ")
        elif mark == "*":
            topics[-1].points = tuple(rest.split(", "))
        elif mark == "?":
            frames = tuple(rest.split(" | "))
        elif mark not in (";", ""):
            clauses.append(line)
    known = {topic.name: [frame for intent in topic.intents for frame in intent.frames] for topic in topics}
    for name, topic in TOPICS.items():
        for frame in topic.frames:
            if frame not in known.get(name, ()):
                raise UnweaveError(f"{path} has no clauses for the frame {frame!r} of topic {name!r}: add an intent")
    return Grammar(fillers, tuple(topics))
