"""Reading a question with the words that the studies' inquiries know; what no study knows is said, not guessed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unweave.lab.agent.planner import CannotPlan, LabView
from unweave.studies.inquiry import Inquiry, Knob, Several

if TYPE_CHECKING:
    from unweave.studies.registry import Study

_NEGATED = re.compile(r"\b(not|never|cannot|neither|nor|no (better|worse|more|less|difference))\b|n['\u2019]t\b", re.I)
BETWEEN = ("or", "than", "versus", "vs")
"""What stands between two values of a field that must be given, where one is compared with the other."""
_TOKEN = re.compile(r"[\w./~+-]*[\w~]=?[\w./,+-]*|[,;?.]")
COMPARE = (
    "better than", "better", "worse than", "worse", "versus", "vs", "compare", "beat", "beats", "outperform",
    "outperforms", "more than", "less than", "rather than", "differ", "difference",
)  # fmt: skip
WORSE = ("worse than", "worse", "less than")
WHICH = ("which", "what", "where", "best", "least", "most", "find")
HARMLESS = ("without", "harmless", "harming", "harm", "sparing", "leaving", "keeping", "intact", "unharmed", "alone")
LEAST_HARM = ("least harm", "less harm", "fewest side effects", "least damage", "least side effects", "harms least")
EQUAL = ("equal", "same", "as many", "equally many")
ASKING = ("does", "do", "is", "are", "can", "could", "would", "will", "which", "what")
FILLER = frozenset({
    "a", "against", "all", "also", "among", "an", "and", "any", "are", "as", "at", "be", "between", "by", "can",
    "cost", "costs", "could", "damage", "did", "do", "does", "each", "effects", "even", "every", "for", "from",
    "get", "gets", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "just", "make",
    "makes", "more", "much", "no", "not", "of", "on", "one", "only", "or", "other", "others", "out", "please",
    "should", "show", "side", "so", "some", "still", "tell", "test", "than", "that", "the", "their", "then", "there",
    "these", "this", "those", "to", "try", "up", "use", "used", "using", "way", "ways", "we", "well", "when",
    "whether", "while", "will", "with", "without", "would", "you",
})  # fmt: skip


@dataclass(frozen=True)
class Understood:
    """A question as a study's settings: what is fixed, what is to be searched, and what is to be compared."""

    question: str
    study: Study
    fixed: Mapping[str, Any]
    named: frozenset[str]
    """The fields of which the question's own words give a value; ``fixed`` has the inquiry's settings as well."""
    searched: Mapping[str, tuple[Any, ...]]
    contrasts: tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...]
    apart: bool
    """Whether what is compared with is asked about itself, in a clause of its own."""
    which: bool
    harmless: bool
    least_harm: bool
    equal: bool
    ignored: tuple[str, ...]


@dataclass
class _Reading:
    """Where each known phrase stands in the question, clause by clause."""

    words: list[str]
    values: list[tuple[int, int, Knob, Any, str]] = field(default_factory=list)
    """(position, clause, knob, value, phrase)"""
    grammar: list[tuple[int, int, str]] = field(default_factory=list)
    topics: int = 0
    """Words that are about the study: its topics, and fields of it that are set by name."""
    ignored: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """A word of a value that no plan can answer with, and why."""
    unknown: dict[str, str] = field(default_factory=dict)
    """A field, and the word in its place that is none of its values."""


def understand(question: str, view: LabView) -> Understood:
    """The study and settings that a question asks for. Raises ``CannotPlan`` saying what was and was not understood."""
    negated = _NEGATED.search(question)
    if negated:
        raise CannotPlan(f"{negated[0]!r} turns the question round, and that is not understood: ask without it")
    tokens, clauses = _tokens(question)
    readings = {
        name: _read(tokens, clauses, study.inquiry, {field.name for field in study.fields()})
        for name, study in view.studies.items()
        if study.inquiry is not None
    }
    scored = sorted(
        (
            (one.topics + len({knob.field for _, _, knob, _, _ in one.values}), -len(one.unknown), name)
            for name, one in readings.items()
            if one.topics
        ),
        reverse=True,
    )
    if not scored:
        raise CannotPlan(f"no study is about {question.strip()!r}: {_askable(view)}")
    if len(scored) > 1 and scored[0][:2] == scored[1][:2]:
        raise CannotPlan(
            f"{question.strip()!r} could be for {scored[0][2]!r} or {scored[1][2]!r}: say more. {_askable(view)}"
        )
    study = view.study(scored[0][2])
    return _settled(question, study, readings[study.name], view)


def _settled(question: str, study: Study, reading: _Reading, view: LabView) -> Understood:
    inquiry = study.asked()
    for name, word in reading.unknown.items():
        raise CannotPlan(
            f"{study.name} would be asked, but {word!r} is no {name} that it knows: {_values(inquiry, name)}"
        )
    for word, why in reading.refused.items():
        raise CannotPlan(f"{study.name} would be asked, but {word!r} cannot be planned for: {why}")
    grammar = {phrase for _, _, phrase in reading.grammar}
    contrasts, apart = _contrasts(reading)
    _refuse_guessed(study, reading, contrasts)
    contrasted = {name for pair in contrasts for name in pair[0]}
    fixed: dict[str, Any] = dict(inquiry.settings)
    searched: dict[str, tuple[Any, ...]] = {}
    known = {knob.field for knob in inquiry.knobs}
    for _, _, knob, value, _ in reading.values:
        if knob.field not in known and knob.field not in (inquiry.first_seed, inquiry.seeds):
            fixed[knob.field] = value
    for knob in inquiry.knobs:
        if knob.field in contrasted:
            continue
        named = [
            value
            for _, _, one, value, _ in sorted(reading.values, key=lambda found: found[0])
            if one.field == knob.field
        ]
        several = tuple(dict.fromkeys(_hashable(each) for value in named for each in _each(value)))
        if len(several) == 1:
            fixed[knob.field] = several[0]
        elif several:
            searched[knob.field] = several
        elif knob.required:
            raise CannotPlan(
                f"{study.name} would be asked, and the question names no {knob.field}: {_values(inquiry, knob.field)}"
            )
        elif knob.searched and not contrasts:
            searched[knob.field] = tuple((value,) for value in knob.values) if knob.joint else tuple(knob.values)
    numbers = [word for word in reading.ignored if any(mark.isdigit() for mark in word)]
    if numbers:
        raise CannotPlan(
            f"{study.name} would be asked, but {numbers[0]!r} belongs to none of its fields: write field=value or "
            f"'field value' with one of {', '.join(knob.field for knob in inquiry.knobs)}"
        )
    least = bool(grammar & set(LEAST_HARM))
    understood = {phrase for _, _, _, _, phrase in reading.values} | grammar
    if len(reading.ignored) > len(understood) + reading.topics:
        raise CannotPlan(
            f"too little of {question.strip()!r} is understood ({', '.join(sorted(understood)) or 'one topic'}), and "
            f"not {', '.join(map(repr, reading.ignored))}: {_askable(view)}"
        )
    return Understood(
        question=question,
        study=study,
        fixed=fixed,
        named=frozenset(knob.field for _, _, knob, _, _ in reading.values),
        searched=searched,
        contrasts=contrasts,
        apart=apart,
        which=bool(grammar & set(WHICH)) or least,
        harmless=least or bool(grammar & set(HARMLESS)),
        least_harm=least,
        equal=bool(grammar & set(EQUAL)),
        ignored=tuple(reading.ignored),
    )


def _contrasts(reading: _Reading) -> tuple[tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...], bool]:
    """Pairs of settings of which it is asked whether the first does better, and whether they stand in two clauses."""
    places = [clause for _, clause, phrase in reading.grammar if phrase in COMPARE]
    if not places:
        return (), False
    clause = places[0]
    values = sorted(reading.values, key=lambda found: found[0])
    fields = list(dict.fromkeys(knob.field for _, _, knob, _, _ in values))
    for name in sorted(fields, key=lambda one: -sum(knob.field == one for _, _, knob, _, _ in values)):
        here = [(value, at) for at, where, knob, value, _ in values if knob.field == name and where == clause]
        before = [(value, at) for at, where, knob, value, _ in values if knob.field == name and where < clause]
        if len(here) >= 2:
            first, second = here[0][0], here[1][0]
            before = []
        elif len(here) == 1 and before and _hashable(here[0][0]) != _hashable(before[-1][0]):
            first, second = here[0][0], before[-1][0]
        else:
            continue
        if any(phrase in WORSE for _, _, phrase in reading.grammar):
            first, second = second, first
        pairs = tuple(({name: one}, {name: two}) for one in _each(first) for two in _each(second) if one != two)
        return pairs, bool(before)
    return (), False


def _refuse_guessed(study: Study, reading: _Reading, contrasts: Sequence[tuple[Mapping[str, Any], Any]]) -> None:
    """Of two values of a field that must be given, one may be what is removed and the other what is harmed."""
    required = {knob.field for knob in study.asked().knobs if knob.required}
    for name in {name for pair in contrasts for name in pair[0]} & required:
        placed = sorted((at, phrase) for at, _, knob, _, phrase in reading.values if knob.field == name)
        for (at, one), (to, two) in itertools.pairwise(placed):
            if not set(BETWEEN) & set(reading.words[at:to]):
                raise CannotPlan(
                    f"{study.name} would be asked, and whether {one!r} is compared with {two!r} is not clear: put "
                    f"{' or '.join(map(repr, BETWEEN[:2]))} between them, and name no other {name}"
                )


def _tokens(question: str) -> tuple[list[str], list[int]]:
    """The words, and the number of the clause that each stands in: ``, ; ? .`` and ``and does`` begin a new one."""
    found: list[str] = []
    clauses: list[int] = []
    clause = 0
    for match in _TOKEN.finditer(question):
        text = match[0].rstrip(",;?.")
        if text.lower() in ASKING and found and found[-1].lower() == "and":
            clause += 1
        if text:
            found.append(text)
            clauses.append(clause)
        clause += len(text) < len(match[0])
    return found, clauses


def _read(tokens: Sequence[str], clauses: Sequence[int], inquiry: Inquiry, fields: set[str]) -> _Reading:
    lower = [token.lower() for token in tokens]
    reading = _Reading(lower)
    phrases: list[tuple[tuple[str, ...], str, Any]] = []
    for knob in inquiry.knobs:
        phrases += [(tuple(phrase.split()), "value", (knob, value)) for phrase, value in knob.words.items()]
        phrases += [
            (tuple(value.lower().split()), "value", (knob, (value,) if knob.joint else value))
            for value in knob.values
            if isinstance(value, str) and str(value).lower() not in knob.words
        ]
    phrases += [
        (tuple(phrase.split()), "grammar", phrase) for phrase in (*COMPARE, *WHICH, *HARMLESS, *LEAST_HARM, *EQUAL)
    ]
    phrases += [(tuple(topic.split()), "topic", topic) for topic in inquiry.topics]
    phrases.sort(key=lambda one: -len(one[0]))
    at = 0
    while at < len(tokens):
        matches = [one for one in phrases if tuple(lower[at : at + len(one[0])]) == one[0]]
        matches = [one for one in matches if len(one[0]) == len(matches[0][0])]
        if not matches:
            at += _other(tokens, clauses, at, inquiry, fields, reading)
            continue
        for phrase, kind, content in matches:
            if kind == "value":
                reading.values.append((at, clauses[at], content[0], content[1], " ".join(phrase)))
            elif kind == "grammar":
                reading.grammar.append((at, clauses[at], content))
            else:
                reading.topics += 1
        at += len(matches[0][0])
    return reading


def _other(
    tokens: Sequence[str], clauses: Sequence[int], at: int, inquiry: Inquiry, fields: set[str], reading: _Reading
) -> int:
    """Reads a word that is in nobody's list: a number with its field, ``field=value``, a path, or nothing known."""
    token = tokens[at]
    name, equals, text = token.partition("=")
    for knob in inquiry.knobs:
        word = text if equals and name == knob.field else token
        if word.lower() in knob.refused:
            reading.refused[word] = knob.refused[word.lower()]
            return 1
    if equals and name in fields:
        # Any field may be set by name; who asks for the seeds gets those of the plan.
        knob = next((knob for knob in inquiry.knobs if knob.field == name), Knob(name))
        reading.values.append((at, clauses[at], knob, text, token))
        reading.topics += 1
        return 1
    for knob in inquiry.knobs:
        if token.lower() == knob.field and at + 1 < len(tokens) and _number(tokens[at + 1]) is not None:
            reading.values.append((at, clauses[at], knob, _number(tokens[at + 1]), f"{token} {tokens[at + 1]}"))
            return 2
        if (
            _number(token) is not None
            and at + 1 < len(tokens)
            and tokens[at + 1].lower() in (knob.field, f"{knob.field}s")
        ):
            reading.values.append((at, clauses[at], knob, _number(token), f"{token} {tokens[at + 1]}"))
            return 2
    if token.lower() in FILLER:
        return 1
    for knob in inquiry.knobs:
        before = tokens[at - 1].lower() if at else ""
        if before in knob.after and not any(found[2].field == knob.field for found in reading.values):
            if "/" in token or token.endswith(".gguf"):
                reading.values.append((at, clauses[at], knob, token, token))
            else:
                reading.unknown.setdefault(knob.field, token)
            return 1
    if not any(token.lower() == knob.field for knob in inquiry.knobs):
        reading.ignored.append(token)
    return 1


def _each(value: Any) -> tuple[Any, ...]:
    return value.values if isinstance(value, Several) else (value,)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _values(inquiry: Inquiry, name: str) -> str:
    knob = next(one for one in inquiry.knobs if one.field == name)
    known = [*knob.words, *(str(value) for value in knob.values if isinstance(value, str))]
    return f"it knows {', '.join(dict.fromkeys(known))}; or write {name}=VALUE" if known else f"write {name}=VALUE"


def _askable(view: LabView) -> str:
    examples = [example for study in view.studies.values() if study.inquiry for example in study.inquiry.examples]
    if not view.studies:
        return "no registered study can be asked by a planner"
    return "what can be asked: " + " ".join(examples or [study.question for study in view.studies.values()])
