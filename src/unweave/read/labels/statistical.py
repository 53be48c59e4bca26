"""The labeler that needs no model and no network: tests on tokens, their neighbours, kinds, languages and positions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom, norm

from unweave.read.labels.evidence import Evidence, Places, ShownText
from unweave.read.labels.labeler import UNCLEAR, Confidence, Label, make_label
from unweave.read.labels.learner import DEPTH, LARGEST, Sample, cross_validated, learn, refine
from unweave.read.labels.outputs import read_outputs
from unweave.read.labels.predicate import Predicate, Question, to_json, ways
from unweave.read.labels.wording import describe_way, kind_words, list_tokens
from unweave.stats.permutation import exceeds_null

FEWEST_FIRINGS = 10
LEVEL = 1e-3
WEAK, CLEAR = 0.6, 0.7
"""Cross-validated balanced accuracy on shown text from which a predicate says something, and says it clearly."""
ONLY, MOSTLY, EVERYWHERE = 0.85, 0.5, 0.8
"""Share of firing rate from which a feature is some labels' only; how far from an even share to all of it from which it
is mostly theirs; rate from which it is everywhere there."""
MANY_WINDOWS = 30
COVERS = 0.15
"""Share of firings that a way to yes must cover to be told."""
ALIKE = 0.8
"""Share of tokens of one kind from which the kind is named."""
MORE_TEXT = 4
"""The table of input tokens is used where it counts so many times more firings than the sample has."""


@dataclass(frozen=True)
class Language:
    """Which labels a feature keeps to, by number; whether only to them, and whether it fires all over them."""

    labels: tuple[int, ...]
    only: bool
    everywhere: bool


class StatisticalLabeler:
    """Learns a small predicate on shown text; the label is that predicate in words, and what the model says there."""

    name = "statistical"

    def settings(self) -> dict[str, Any]:
        return {"depth": DEPTH, "largest_set": LARGEST, "level": LEVEL, "weak": WEAK, "clear": CLEAR}

    def spent(self) -> dict[str, Any]:
        return {}

    def label(self, evidence: Evidence) -> Label:
        attributes, writes = evidence.text.attributes, _writes(evidence)
        if not len(evidence.others):
            return make_label("", writes, UNCLEAR, "fires everywhere: shown text has no place where it does not")
        if len(evidence.fires) < FEWEST_FIRINGS:
            return make_label("", writes, UNCLEAR, f"fires too rarely: {evidence.firing_shown} times in shown text")
        language = find_language(evidence)
        sample = _sample(evidence, evidence.others)
        accuracy, p = cross_validated_accuracy(sample)
        learned: Predicate = True
        if p <= LEVEL and accuracy >= WEAK:
            found = refine(learn(sample), _sample(evidence, evidence.alike))
            # Halves may each have had a question where the whole has none; yes or no alone says nothing.
            learned = found if isinstance(found, Question) else True
        reason = f"balanced accuracy {accuracy:.2f}, cross-validated on shown text (p {p:.1g})"
        predicate = learned
        if language is not None and language.only:
            predicate = Question("language", language.labels, learned, False)
        where = _language_words(evidence.text, language)
        writes = writes or (where and f"{where} words")
        if learned is True:
            # Mostly one language and nothing else is true of it, and too little to be a label.
            if language is None or not language.only:
                return make_label("", writes, UNCLEAR, reason)
            confidence: Confidence = "clear" if language.everywhere else "weak"
            return make_label(f"{where} text", writes, confidence, reason, to_json(predicate, attributes))
        everywhere = language is not None and language.everywhere
        confidence = "clear" if accuracy >= CLEAR or everywhere else "weak"
        told = _reads(evidence, sample, learned)
        reads = f"{where} text: {told}" if everywhere else f"{where} {told}".strip()
        return make_label(reads, writes, confidence, reason, to_json(predicate, attributes))


def _sample(evidence: Evidence, others: Places) -> Sample:
    """Firings and other places as the learner takes them; the language is left out, which both have alike."""
    attributes, fires = evidence.text.attributes, evidence.fires
    codes = {
        name: np.concatenate([attributes.of(name, places.contexts) for places in (fires, others)])
        for name in attributes.all
        if name != "language"
    }
    window = np.concatenate([fires.window, others.window])
    table = None
    if evidence.firing_shown >= MORE_TEXT * len(fires):
        inputs = evidence.inputs
        table = inputs.tokens, evidence.text.vocabulary_count[inputs.tokens], inputs.counts
    return Sample.of(codes, np.arange(len(window)) < len(fires), window, table)


def cross_validated_accuracy(sample: Sample) -> tuple[float, float]:
    """Balanced accuracy of trees on the half of the windows that they were not learned from, and its p over windows.

    Firings clump in windows, so a window counts as one: the test is a score test whose variance is the sum over windows
    of their squared parts in the accuracy (Liang and Zeger, 1986), and no set of n windows gives more than sqrt(n)
    standard deviations. p is 1 where a half is told no better than by chance: two trees that always give one answer,
    one of them yes and the other no, tell the halves apart and nothing else.
    """
    said, fires = cross_validated(sample), sample.fires
    hit_rate, alarm_rate = said[fires].mean(), said[~fires].mean()
    accuracy = float(hit_rate + 1 - alarm_rate) / 2
    for half in (0, 1):
        mine, others = fires & (sample.half == half), ~fires & (sample.half == half)
        if not mine.any() or not others.any() or said[mine].mean() <= said[others].mean():
            return accuracy, 1.0
    centred = (said - said.mean()) * np.where(fires, 1 / fires.sum(), -1 / (~fires).sum())
    parts = np.bincount(sample.window, centred)
    return accuracy, float(norm.sf(parts.sum() / np.sqrt((parts**2).sum())))


def find_language(evidence: Evidence) -> Language | None:
    """The labels a feature keeps to: those where its rate is at least half of the highest; none where they are many.

    Tested at ``LEVEL``, corrected for the search over sets of as many labels.

    Where it fires in many shown windows: does one label's rate exceed the rest by more than under any shuffle of the
    windows' labels? Else: is one label's share of the windows it fires in larger than its share of the text (binomial)?
    """
    text = evidence.text
    rate = evidence.firing_by_label / np.maximum(text.tokens_by_label, 1)
    if len(rate) < 2 or not rate.sum():
        return None
    chosen = tuple(np.flatnonzero(rate >= rate.max() / 2).tolist())
    share = float(rate[list(chosen)].sum() / rate.sum())
    even = len(chosen) / len(rate)
    if len(chosen) > len(rate) // 2 or share < even + MOSTLY * (1 - even) or language_p(evidence, chosen) > LEVEL:
        return None
    everywhere = bool(share >= ONLY and rate[list(chosen)].min() >= EVERYWHERE)
    return Language(chosen, share >= ONLY, everywhere)


def language_p(evidence: Evidence, chosen: tuple[int, ...]) -> float:
    """How probable it is that some set of as many labels as were chosen has such a part of the firings by chance."""
    text = evidence.text
    inside = np.isin(text.window_label, chosen)
    if (evidence.firing_by_window > 0).sum() >= MANY_WINDOWS and 0 < inside.sum() < len(inside):
        counts = evidence.firing_by_window.astype(np.float32)
        size = np.maximum(np.bincount(text.window_label, minlength=len(text.labels)), 1)
        own = np.bincount(text.window_label, counts, len(text.labels)) / size
        # The best choice of as many labels under each shuffle: labels were searched for, too.
        best = -np.sort(-(text.dealt @ counts), 1)[:, : len(chosen)].sum(1)
        return exceeds_null(float(own[list(chosen)].sum()), best).p
    windows, first = np.unique(evidence.fires.window, return_index=True)
    hits = int(np.isin(evidence.fires.label[first], chosen).sum())
    share = float(text.tokens_by_label[list(chosen)].sum() / max(text.tokens_by_label.sum(), 1))
    return float(min(1.0, math.comb(len(text.labels), len(chosen)) * binom.sf(hits - 1, len(windows), share)))


def _language_words(text: ShownText, language: Language | None) -> str:
    if language is None:
        return ""
    names = " and ".join(text.label_names[label] for label in language.labels)
    return names if language.only else f"mostly {names}"


def _reads(evidence: Evidence, sample: Sample, learned: Predicate) -> str:
    """The ways to yes that cover most firings, in words."""
    attributes, fires = evidence.text.attributes, sample.fires
    said: list[tuple[float, str]] = []
    for way in ways(learned):
        taken = fires.copy()
        for condition in way:
            row = sample.names.index(condition.attribute)
            inside = np.isin(sample.values[row], condition.codes)[sample.which[row]]
            taken &= inside == condition.holds
        covered = taken.sum() / fires.sum()
        often = {name: _commonest(sample, row, taken) for row, name in enumerate(sample.names)}
        words = describe_way(attributes, way, often)
        by_token = any(condition.attribute == "token" and condition.holds for condition in way)
        kind = _kind_of_tokens(attributes, often["token"]) if by_token else ""
        said.append((covered, f"{kind} {words}".strip()))
    said.sort(key=lambda each: -each[0])
    told = [words for covered, words in said if covered >= COVERS and words][:2] or [said[0][1]]
    return "; or ".join(dict.fromkeys(told))


def _commonest(sample: Sample, row: int, taken: np.ndarray) -> np.ndarray:
    counts = np.bincount(sample.which[row][taken], minlength=len(sample.values[row]))
    order = np.argsort(-counts, kind="stable")
    return sample.values[row][order[counts[order] > 0]]


def _kind_of_tokens(attributes: Any, tokens: np.ndarray) -> str:
    """The kind that nearly all of several tokens are of, where it says more than that they are words or pieces."""
    tokens = tokens[tokens >= 0]
    if len(tokens) < 3:
        return ""
    kind, count = Counter(attributes.kind(tokens)).most_common(1)[0]
    telling = kind not in ("word lower", "piece lower", "punctuation", "digits")
    return kind_words(kind) if telling and count >= ALIKE * len(tokens) else ""


def _writes(evidence: Evidence) -> str:
    """What is promoted, by kind where the tokens are of one, and what is suppressed."""
    found, attributes = read_outputs(evidence), evidence.text.attributes
    said = []
    if found.promoted:
        kind = _kind_of_tokens(attributes, np.array(found.promoted[:12]))
        said.append(f"{kind}: " * bool(kind) + list_tokens(attributes, found.promoted, 3, count=False))
    if found.suppressed:
        said.append(f"not {list_tokens(attributes, found.suppressed, 2, count=False)}")
    return "; ".join(said)
