"""The check of preference pairs before they are used: one pass, whatever their number."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.base.seeds import numpy_generator
from unweave.corpora.language import language_judge
from unweave.corpora.pairs.lengths import Lengths
from unweave.corpora.pairs.repeats import OtherDataset, Seen, marks
from unweave.corpora.pairs.report import SEVERITIES, LanguageSample, Leak, PairReport, Problem, Severity
from unweave.corpora.pairs.source import EXAMPLES, PairSource
from unweave.corpora.pairs.value import PreferencePair
from unweave.stats.proportion import wilson_interval

LANGUAGE_SAMPLE = 500
_CLIPPED = 1000
_FEWEST_LETTERS = 20
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NO_CHARACTER = re.compile("[\ufffd\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_PROBLEMS: dict[str, tuple[Severity, str]] = {
    "broken row": ("error", "it is no pair and was left out"),
    "contradiction": ("error", "an earlier row prefers the other of the same two replies"),
    "identical replies": ("error", "chosen and rejected are the same text"),
    "empty reply": ("error", "chosen or rejected holds nothing but white space"),
    "empty prompt": ("warning", "no turn before the reply holds any text"),
    "duplicate": ("warning", "an earlier row has the same prompt and the same replies"),
    "repeated id": ("warning", "an earlier row has this id, so that tables cannot tell them apart"),
    "control character": ("warning", "a control character stands in a prompt or reply"),
    "broken Unicode": ("warning", "U+FFFD, half of a surrogate pair or a code that is no character"),
    "two languages": ("warning", "chosen and rejected are in two languages, of the rows looked at"),
    "repeated prompt": ("note", "an earlier row has the prompt, with other replies"),
}
_REPEATS = {"id": "repeated id", "pair": "duplicate", "contradiction": "contradiction", "prompt": "repeated prompt"}


class _Findings:
    """Counts of each kind of fault, with the first rows that have it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.known = dict(_PROBLEMS)

    def add(self, kind: str, id: str) -> None:
        self.note(kind, 1, [id])

    def note(self, kind: str, count: int, examples: Sequence[str]) -> None:
        self.counts[kind] += count
        kept = self.examples.setdefault(kind, [])
        kept += examples[: EXAMPLES - len(kept)]

    def problems(self) -> tuple[Problem, ...]:
        found = []
        for kind, count in self.counts.items():
            severity, meaning = self.known[kind]
            found.append(Problem(kind, severity, count, meaning, tuple(self.examples[kind])))
        return tuple(sorted(found, key=lambda each: (SEVERITIES.index(each.severity), -each.count, each.kind)))


def check_pairs(
    source: Iterable[PreferencePair],
    others: Sequence[Iterable[PreferencePair]] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> PairReport:
    """What is wrong or remarkable in preference pairs, and what they share with ``others`` (other splits, say).

    Goes once through each. Of a row only hashes and lengths are kept, some hundred bytes, and the replies of
    ``LANGUAGE_SAMPLE`` rows drawn with ``seed``, whose language py3langid judges by the first thousand characters.
    Raises ``UnweaveError`` where there is no pair, and whatever reading a source raises.
    """
    progress = progress or Silent()
    elsewhere = [OtherDataset(_name(other, index), other) for index, other in enumerate(others, start=1)]
    leaked = [[0, 0] for _ in elsewhere]
    findings, seen = _Findings(), Seen()
    chosen, rejected = Lengths(), Lengths()
    sample = _Sample(seed)
    rows = prompts = longer = differing = 0
    total = source.rows if isinstance(source, PairSource) else None
    for pair in source:
        rows += 1
        found = marks(pair)
        repeated = seen.add(found)
        prompts += not {"pair", "contradiction", "prompt"} & set(repeated)
        for each in repeated:
            findings.add(_REPEATS[each], pair.id)
        for kind in _faults(pair):
            findings.add(kind, pair.id)
        for other, counts in zip(elsewhere, leaked, strict=True):
            if other.has_prompt(found):
                counts[0] += 1
                counts[1] += other.has_reply(found)
                _leak(findings, other, pair.id, other.has_reply(found))
        chosen.add(pair.id, pair.chosen)
        rejected.add(pair.id, pair.rejected)
        longer += len(pair.chosen) > len(pair.rejected)
        differing += len(pair.chosen) != len(pair.rejected)
        sample.offer(pair)
        if total is not None and rows % 1000 == 0:
            progress.update(rows, total, "pairs")
    if not rows:
        raise UnweaveError("there is no pair to check: give data that has some, or see what is broken in it")
    if isinstance(source, PairSource) and source.broken.count:
        findings.note("broken row", source.broken.count, source.broken.examples)
    for side, lengths in (("chosen", chosen), ("rejected", rejected)):
        cut = lengths.cut_off()
        if cut is not None:
            kind = f"{side} reply cut off"
            findings.known[kind] = ("warning", f"no mark of the end, at the largest length of {cut.limit}")
            findings.note(kind, cut.count, cut.examples)
    return PairReport(
        source.describe() if isinstance(source, PairSource) else None,
        rows,
        prompts,
        chosen.summary(),
        rejected.summary(),
        wilson_interval(longer, differing) if differing else None,
        sample.judged(findings),
        tuple(Leak(other.name, *counts) for other, counts in zip(elsewhere, leaked, strict=True)),
        findings.problems(),
    )


def _name(other: Iterable[PreferencePair], index: int) -> str:
    return f"{other.path}, split {other.split}" if isinstance(other, PairSource) else f"other dataset {index}"


def _leak(findings: _Findings, other: OtherDataset, id: str, with_reply: bool) -> None:
    kind = f"{'reply' if with_reply else 'prompt'} also in {other.name}"
    what = "the prompt with one of these replies" if with_reply else "the prompt, with other replies,"
    findings.known[kind] = ("error" if with_reply else "warning", f"{what} is there too")
    findings.add(kind, id)


def _faults(pair: PreferencePair) -> list[str]:
    asked = [turn.content for turn in pair.prompt]
    texts = [*asked, pair.chosen, pair.rejected]
    found = {
        "identical replies": pair.chosen == pair.rejected,
        "empty reply": not pair.chosen.strip() or not pair.rejected.strip(),
        "empty prompt": not any(text.strip() for text in asked),
        "control character": any(_CONTROL.search(text) for text in texts),
        "broken Unicode": any(_NO_CHARACTER.search(text) for text in texts),
    }
    return [kind for kind, there in found.items() if there]


class _Sample:
    """Replies of some rows, each row as likely as any other to be among them (Vitter's algorithm R, 1985)."""

    def __init__(self, seed: int) -> None:
        self.random = numpy_generator(seed, "language sample")
        self.rows: list[tuple[str, str, str]] = []
        self.offered = 0

    def offer(self, pair: PreferencePair) -> None:
        self.offered += 1
        place = len(self.rows) if len(self.rows) < LANGUAGE_SAMPLE else int(self.random.integers(self.offered))
        if place < LANGUAGE_SAMPLE:
            self.rows[place : place + 1] = [(pair.id, pair.chosen[:_CLIPPED], pair.rejected[:_CLIPPED])]

    def judged(self, findings: _Findings) -> LanguageSample:
        judge = language_judge()

        def judged(text: str) -> str:
            return judge(text) if sum(map(str.isalpha, text)) >= _FEWEST_LETTERS else "too short"

        languages = [(id, judged(chosen), judged(rejected)) for id, chosen, rejected in self.rows]
        unknown = {"?", "too short"}
        differing = [id for id, one, two in languages if one != two and not {one, two} & unknown]
        if differing:
            findings.note("two languages", len(differing), differing)
        chosen, rejected = (Counter(each[side] for each in languages).most_common() for side in (1, 2))
        return LanguageSample(len(languages), dict(chosen), dict(rejected), len(differing))
