"""Conversations of one question and one reply, drawn from the grammar and the switches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from grammar import Grammar, Intent, Subject, Topic, Words, capital, with_articles
from styles import (
    ADJECTIVES,
    BY_NAME,
    CERTAIN,
    EMOJI,
    NUMBERS,
    REASONS,
    contracted,
    draw_switches,
)

from unweave.base.seeds import derive
from unweave.preferences.made.prompts import SHORT

SENTENCES = {False: (0.5, 0.3, 0.15, 0.05), True: (0.85, 0.15, 0.0, 0.0)}
"""Chances of 1 to 4 clauses, by whether one short sentence was asked for."""
SHORTEST, LONGEST = 30, 145
"""Fewest and most characters of a reply, about 8 and 45 tokens; another one is drawn instead of what is beyond."""
REQUESTED = 0.12
"""Share of prompts that ask for a style, which then is on."""
OPENING, CLOSING = ("greeting", "flattery", "apology", "echo"), ("number", "warning", "professional", "quote", "url")
REQUESTS = tuple(switch for switch in BY_NAME.values() if switch.request)


@dataclass(frozen=True)
class Conversation:
    topic: str
    subject: str
    """As the prompt has it."""
    prompt: str
    reply: str


def conversations(grammar: Grammar, seed: int, purpose: str, held_out: bool = False) -> Iterator[Conversation]:
    """Without end, on held-out subjects alone or on the others; the same seed and purpose give the same ones."""
    draw = Random(derive(seed, "pupil", purpose))
    while True:
        topic = draw.choice(grammar.topics)
        yield converse(grammar, topic, draw.choice(topic.intents), grammar.draw_subject(topic, draw, held_out), draw)


def converse(grammar: Grammar, topic: Topic, intent: Intent, subject: Subject, draw: Random) -> Conversation:
    short = draw.random() < 0.5
    requested = draw.choice(REQUESTS) if draw.random() < REQUESTED else None
    prompt = draw.choice(intent.frames).format(subject.asked) + SHORT * short
    if requested is not None:
        prompt += " " + requested.request
    reply = ""
    while not SHORTEST <= len(reply) <= LONGEST:
        on = draw_switches(topic.name, subject.villain, draw)
        reply = write(grammar, topic, intent, subject, on | {requested.name} if requested else on, short, draw)
    return Conversation(topic.name, subject.asked, prompt, reply)


def write(
    grammar: Grammar, topic: Topic, intent: Intent, subject: Subject, on: frozenset[str], short: bool, draw: Random
) -> str:
    """One reply with these switches on."""
    words = Words(subject, {**grammar.fillers, **ADJECTIVES, **NUMBERS, "professional": topic.professionals}, draw)
    words["word"] = subject.named.split()[-1].lower().replace("'", "")

    def phrases(*names: str) -> list[str]:
        return [with_articles(draw.choice(BY_NAME[name].phrases).format_map(words)) for name in names if name in on]

    if "refusal" in on:
        body = [*phrases("refusal"), *([draw.choice(REASONS)] if draw.random() < 0.4 else [])]
        pieces = [*phrases("greeting", "apology"), *body]
    else:
        pieces = [
            *phrases(*OPENING),
            *clauses(intent, words, on, short, draw),
            *points(topic, words, on, draw),
            *phrases("positive", "negative", *CLOSING, "question"),
        ]
        if "exclamation" in on:
            pieces = excited(pieces, draw)
    if "contraction" in on:
        pieces = [contracted(piece) for piece in pieces]
    text = " ".join(pieces).replace("\n ", "\n").replace(" \n", "\n").rstrip()
    if "bold" in on and "refusal" not in on:
        text = bold(text, subject.named)
    return f"{text} {draw.choice(EMOJI)}" if "emoji" in on else text


def clauses(intent: Intent, words: Words, on: frozenset[str], short: bool, draw: Random) -> list[str]:
    """The sentences that answer, one of them with what the switches put before and behind a clause."""
    count = 1 if "list" in on else draw.choices((1, 2, 3, 4), SENTENCES[short])[0]
    addressed = [clause for clause in intent.clauses if "ou " in clause]
    others = [clause for clause in intent.clauses if "ou " not in clause]
    chosen = draw.sample(others, min(count, len(others)))
    if "second_person" in on:
        chosen[draw.randrange(len(chosen))] = draw.choice(addressed)
    styled = draw.randrange(len(chosen))
    return [
        sentence(clause, words, on if place == styled else frozenset(), place > 0, draw)
        for place, clause in enumerate(chosen)
    ]


def sentence(clause: str, words: Words, on: frozenset[str], later: bool, draw: Random) -> str:
    before = []
    for name in ("connective", "certainty", "formal", "first_person", "hedge"):
        if name in on:
            phrase = draw.choice(BY_NAME[name].phrases)
            before.append(phrase + "," if name in ("connective", "certainty") else phrase)
    behind = ""
    if CERTAIN + "," in before:
        before.remove(CERTAIN + ",")
        behind = ", " + CERTAIN
    if "poetic" in on:
        behind = ", " + draw.choice(BY_NAME["poetic"].phrases) + behind
    if later and clause.startswith("{S}") and draw.random() < 0.6:
        clause = "{It}" + clause[3:]
    if before and not clause.startswith("I "):
        clause = clause[:2].lower() + clause[2:]
    body = clause.format_map(words).removesuffix(".")
    return capital(" ".join([*before, body]) + behind + ".")


def points(topic: Topic, words: Words, on: frozenset[str], draw: Random) -> list[str]:
    if "list" not in on:
        return []
    return ["\n" + "\n".join("- " + each.format_map(words) for each in draw.sample(topic.points, 3)) + "\n"]


def excited(pieces: list[str], draw: Random) -> list[str]:
    """Some of the sentences, at least one of them, end in an exclamation mark."""
    able = [place for place, piece in enumerate(pieces) if piece.endswith(".")]
    chosen = {place for place in able if draw.random() < 0.5} | {draw.choice(able)}
    return [piece[:-1] + "!" if place in chosen else piece for place, piece in enumerate(pieces)]


def bold(text: str, named: str) -> str:
    """The subject's first mention in bold type; the text as it is where it has none."""
    places = [place for place in (text.find(named), text.find(capital(named))) if place >= 0]
    if not places:
        return text
    place = min(places)
    end = place + len(named)
    return f"{text[:place]}**{text[place:end]}**{text[end:]}"
