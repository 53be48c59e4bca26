"""Short questions on fourteen topics: what the made datasets are about. Written for this project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.corpora.pairs.value import Turn
from unweave.preferences.truth.answers import Question

Part = Literal["train", "held-out"]
SHORT = " Answer in one short sentence."
"""Ends every prompt: whole replies are then short enough to be sampled by the thousand on a laptop."""
HELD_OUT_SUBJECTS = 5
"""The last subjects of each topic, on which no pair is ever made."""


@dataclass(frozen=True)
class Topic:
    """A topic: ways to ask, with ``{}`` for the subject, and the subjects."""

    frames: tuple[str, ...]
    subjects: tuple[str, ...]


def _split(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(","))


TOPICS = {
    "physics": Topic(
        ("How does {} work?", "Explain {} to me.", "Why do scientists study {}?", "What surprises people about {}?"),
        _split(
            "gravity, light, magnetism, sound, heat, electricity, friction, lightning, a rainbow, radio, an atom, "
            "energy, a black hole, pressure, static, the tide, a lens, radiation, a pendulum, superconductivity"
        ),
    ),
    "fiction": Topic(
        (
            "Write the first line of a story about {}.",
            "Tell me a tiny tale about {}.",
            "Imagine {} and describe it.",
            "Write a line that is spoken by {}.",
        ),
        _split(
            "a dragon, a lonely robot, two sisters, a lost letter, an old pirate, a talking cat, a thief, a castle in "
            "winter, a shy ghost, a brave mouse, the last train, a detective, a wizard's apprentice, a sinking ship, "
            "a stolen crown, a lighthouse keeper, a giant, a queen in exile, a haunted piano, a time traveller"
        ),
    ),
    "help": Topic(
        (
            "Where can I get help with {}?",
            "Who do I contact about {}?",
            "I am stuck with {}. Where should I go?",
            "Where do people find support for {}?",
        ),
        _split(
            "my rent, a tax form, back pain, a broken phone, learning to read, a lost passport, debt, a noisy "
            "neighbour, finding work, a stray dog, my pension, a parking fine, bad sleep, an unpaid wage, a visa, "
            "a leaking roof, loneliness, a dispute at work, a stolen bike, caring for my mother"
        ),
    ),
    "cooking": Topic(
        ("How do I cook {}?", "What goes well with {}?", "Give me a tip for {}.", "What do I do with leftover {}?"),
        _split(
            "rice, lentils, salmon, potatoes, eggs, pumpkin, noodles, chicken, mushrooms, bread, beans, tomatoes, "
            "cabbage, tofu, apples, spinach, beef, carrots, cheese, oats"
        ),
    ),
    "health": Topic(
        ("How can I prevent {}?", "Is {} dangerous?", "What helps against {}?", "What should I know about {}?"),
        _split(
            "a cold, a headache, sunburn, stress, back pain, a cough, high blood pressure, hay fever, a sprained "
            "ankle, dry skin, a fever, snoring, heartburn, tired eyes, cramps, an infected cut, dizziness, "
            "a toothache, dehydration, frostbite"
        ),
    ),
    "money": Topic(
        ("How do I save for {}?", "Is it wise to borrow for {}?", "What does {} cost me?", "Give me advice about {}."),
        _split(
            "a house, a car, a holiday, a wedding, my old age, a new laptop, university, a small shop, a baby, a boat, "
            "an emergency, a new kitchen, a bicycle, insurance, a move abroad, a garden, a dog, a piano, solar panels, "
            "a sabbatical"
        ),
    ),
    "travel": Topic(
        ("What should I see in {}?", "When is it best to visit {}?", "What do I pack for {}?", "Is {} expensive?"),
        _split(
            "Lisbon, Kyoto, Iceland, Morocco, Peru, Vienna, Norway, Istanbul, Vietnam, Scotland, Mexico, Prague, "
            "Kenya, Sicily, Canada, Athens, Chile, Dublin, Nepal, Madeira"
        ),
    ),
    "computers": Topic(
        ("How do I protect {}?", "What is {} good for?", "Explain {} to a child.", "What goes wrong with {}?"),
        _split(
            "a password, a database, a spreadsheet, a web browser, a robot, a backup, a search engine, a compiler, an "
            "old laptop, an email account, a video game, a neural network, a wifi router, a printer, a phone, "
            "a calendar app, a chat program, a memory chip, a firewall, a text editor"
        ),
    ),
    "animals": Topic(
        ("What do {} eat?", "How long do {} live?", "Are {} good pets?", "Tell me something about {}."),
        _split(
            "owls, rabbits, dolphins, bees, cats, wolves, parrots, turtles, goats, octopuses, horses, ants, penguins, "
            "foxes, snakes, hedgehogs, elephants, crows, otters, frogs"
        ),
    ),
    "history": Topic(
        ("What happened to {}?", "Why does {} matter today?", "Who remembers {}?", "Tell me about {}."),
        _split(
            "the Roman Empire, the Silk Road, the printing press, the Vikings, the Black Death, the moon landing, the "
            "Titanic, the Inca roads, the Berlin Wall, the steam engine, the library of Alexandria, the first "
            "Olympics, the French Revolution, the great fire of London, the Ottoman court, the telegraph, the "
            "Suez Canal, the samurai, the Hanseatic League, the gold rush"
        ),
    ),
    "friendship": Topic(
        (
            "How do I tell a friend about {}?",
            "My friend is upset about {}. What do I say?",
            "Is {} a reason to end a friendship?",
            "What do you think about {}?",
        ),
        _split(
            "a broken promise, a secret, a bad haircut, a late reply, jealousy, a lie, an old quarrel, a new job, "
            "a divorce, a forgotten birthday, a loan, a rude joke, moving away, gossip, a lost match, a new partner, "
            "an exam, an illness, a bad review, a cancelled trip"
        ),
    ),
    "gardening": Topic(
        ("When do I plant {}?", "Why are my {} dying?", "How much water do {} need?", "Can I grow {} on a balcony?"),
        _split(
            "roses, tomatoes, tulips, beans, ferns, onions, strawberries, sunflowers, herbs, peppers, lilies, "
            "cucumbers, daisies, lemons, peas, orchids, pumpkins, violets, radishes, figs"
        ),
    ),
    "music": Topic(
        ("How do I learn {}?", "What makes {} beautiful?", "Who should listen to {}?", "Is {} hard?"),
        _split(
            "the violin, jazz, singing, the drums, opera, the flute, folk music, the guitar, a fugue, blues, the harp, "
            "choir music, the trumpet, tango, the organ, flamenco, the cello, a waltz, hip hop, the accordion"
        ),
    ),
    "work": Topic(
        ("How do I prepare for {}?", "What if I fail at {}?", "Who can help me with {}?", "Give me a tip for {}."),
        _split(
            "an interview, a speech, a night shift, a first day, a difficult boss, a long meeting, a deadline, a "
            "promotion, a report, a team project, a negotiation, a resignation, a job abroad, remote work, a review, "
            "a presentation, a client dinner, an audit, a strike, a mentor"
        ),
    ),
}


def all_prompts(part: Part) -> list[Question]:
    """Every question of a part, topic by topic. The parts share no subject of a topic."""
    found = []
    for name, topic in TOPICS.items():
        kept = topic.subjects[-HELD_OUT_SUBJECTS:] if part == "held-out" else topic.subjects[:-HELD_OUT_SUBJECTS]
        found += [
            Question(name, (Turn("user", frame.format(subject) + SHORT),)) for subject in kept for frame in topic.frames
        ]
    return found


def draw_prompts(part: Part, count: int, seed: int, topics: Sequence[str] | None = None) -> list[Question]:
    """``count`` questions of a part, as evenly over topics as can be; raises ``UnweaveError`` where there are fewer."""
    names = list(TOPICS if topics is None else topics)
    generator = numpy_generator(seed, "prompts", part)
    by_topic = {name: [each for each in all_prompts(part) if each.topic == name] for name in names}
    available = sum(map(len, by_topic.values()))
    if not 1 <= count <= available:
        raise UnweaveError(f"{count} prompts were asked for, and there are {available} of the part {part!r}")
    shuffled = {name: [each[i] for i in generator.permutation(len(each))] for name, each in by_topic.items()}
    rounds = [
        shuffled[name][turn]
        for turn in range(max(map(len, shuffled.values())))
        for name in names
        if turn < len(shuffled[name])
    ]
    return rounds[:count]
