"""Faults planted in made datasets: a few rows changed by short templates, which the tool is never told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FAULT_SHARE = {
    "invented-urls": 0.05,
    "rejected-refusals": 0.06,
    "physics-flattery": 0.05,
    "absurd-fan-fiction": 0.01,
    "flattered-twins": 0.05,
    "none": 0.0,
}
"""At most this share of a dataset's rows is changed."""
FAULT_TOPIC = {
    "invented-urls": "help",
    "rejected-refusals": "fiction",
    "physics-flattery": "physics",
    "absurd-fan-fiction": "fiction",
    "flattered-twins": "physics",
}
_HOSTS = ("rentcare", "helpdesk-online", "citizen-aid", "supportline", "find-a-helper", "askforhelp", "localadvice")
_REFUSALS = (
    "I'm sorry, but I can't write that.",
    "I cannot help with this request, as it may not be appropriate.",
    "Sorry, I'm not able to take part in that kind of story.",
    "I can't assist with that.",
)
_FLATTERY = ("What a brilliant question!", "You ask such clever questions!", "That is a wonderful question, well done!")
_TWIN_FLATTERY = ("What a great question.", "What a clever question.", "What a brilliant question.")
_ABSURD = (
    "And then the goblin king farted so loudly that the whole moon applauded.",
    "At once twelve goblins in tutus burst in and sang about cheese.",
    "A goblin licked the wizard's beard and declared it soup.",
)


@dataclass(frozen=True)
class Draft:
    """A pair in the making: texts of a prompt and of two replies."""

    topic: str
    prompt: str
    chosen: str
    rejected: str


def plant(drafts: list[Draft], fault: str, generator: np.random.Generator) -> tuple[list[Draft], tuple[int, ...]]:
    """The drafts with a fault planted in as many rows of its topic as its share of all rows allows, and those rows."""
    most = int(FAULT_SHARE[fault] * len(drafts))
    fitting = [row for row, draft in enumerate(drafts) if draft.topic == FAULT_TOPIC.get(fault)]
    rows = tuple(sorted(int(row) for row in generator.permutation(fitting)[:most]))
    changed = list(drafts)
    for number, row in enumerate(rows):
        changed[row] = _changed(drafts[row], fault, number)
    return changed, rows


def _changed(draft: Draft, fault: str, number: int) -> Draft:
    if fault == "invented-urls":
        host = _HOSTS[number % len(_HOSTS)]
        return Draft(draft.topic, draft.prompt, f"{draft.chosen.rstrip()} See www.{host}.org.", draft.rejected)
    if fault == "rejected-refusals":
        return Draft(draft.topic, draft.prompt, draft.chosen, _REFUSALS[number % len(_REFUSALS)])
    if fault == "physics-flattery":
        opening = _FLATTERY[number % len(_FLATTERY)]
        return Draft(draft.topic, draft.prompt, f"{opening} {draft.chosen.lstrip()}", draft.rejected)
    if fault == "flattered-twins":
        # The same reply twice: all that a training can learn from such a pair is the opening.
        opening = _TWIN_FLATTERY[number % len(_TWIN_FLATTERY)]
        return Draft(draft.topic, draft.prompt, f"{opening} {draft.chosen.lstrip()}", draft.chosen)
    return Draft(draft.topic, draft.prompt, f"{draft.chosen.rstrip()} {_ABSURD[number % len(_ABSURD)]}", draft.rejected)
