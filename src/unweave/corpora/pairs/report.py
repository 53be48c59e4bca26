"""What a check of preference pairs has found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from unweave.corpora.pairs.lengths import LengthSummary
from unweave.corpora.pairs.source import SourceDescription
from unweave.stats.bootstrap import Interval

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Problem:
    """One kind of fault: what it is, in how many rows, and the ids of the first few of them."""

    kind: str
    severity: Severity
    """``error`` makes the data wrong, ``warning`` may, ``note`` is worth knowing."""
    count: int
    meaning: str
    examples: tuple[str, ...]
    """Ids of rows; for broken rows, what is wrong with them."""


@dataclass(frozen=True)
class LanguageSample:
    """Languages of the replies of some rows drawn at random, by py3langid's code.

    ``?`` where it gives its best guess less than a half, ``too short`` below twenty letters.
    """

    rows: int
    """How many rows were looked at."""
    chosen: Mapping[str, int]
    rejected: Mapping[str, int]
    differing: int
    """Rows whose two replies are in two languages, both of them told with confidence."""


@dataclass(frozen=True)
class Leak:
    """Rows that another dataset or split has too, but for case, white space and system turns."""

    other: str
    prompts: int
    """Rows whose prompt is there."""
    replies: int
    """Rows whose prompt is there with one of the same replies, as its chosen or its rejected one."""


@dataclass(frozen=True)
class PairReport:
    """Everything that ``check_pairs`` counts."""

    source: SourceDescription | None
    """What was read, where it was a ``PairSource``."""
    rows: int
    """Pairs that were read; broken rows are not among them."""
    prompts: int
    """Different prompts among them, but for case, white space and system turns."""
    chosen: LengthSummary
    rejected: LengthSummary
    longer_chosen: Interval | None
    """Share of pairs whose longer reply, in characters, was chosen, with its 95 % interval; None where none differ."""
    languages: LanguageSample
    leaks: tuple[Leak, ...]
    problems: tuple[Problem, ...]
    """The worst first."""

    @property
    def passed(self) -> bool:
        """Whether no problem is an error."""
        return all(problem.severity != "error" for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        return {"passed": self.passed, **asdict(self)}

    def lines(self) -> list[str]:
        """The report for a person."""
        lines = self.source.lines() if self.source is not None else []
        lines.append(f"{self.rows} pairs read, of {self.prompts} prompts")
        for side, found in (("chosen", self.chosen), ("rejected", self.rejected)):
            lines.append(
                f"{side}: {_lengths(found.words)} words, {_lengths(found.characters)} characters; "
                f"{found.unended:.1%} end without a mark of the end"
            )
        if self.longer_chosen is not None:
            share = self.longer_chosen
            lines.append(
                f"the longer reply was chosen in {share.mean:.1%} of {share.n} pairs ({share.low:.1%} to "
                f"{share.high:.1%}; the others' are of one length)"
            )
        lines.append(
            f"languages of {self.languages.rows} rows drawn at random: chosen {_counts(self.languages.chosen)}; "
            f"rejected {_counts(self.languages.rejected)}"
        )
        for leak in self.leaks:
            lines.append(f"also in {leak.other}: {leak.prompts} prompts, {leak.replies} prompts with a reply")
        lines += ["", *(_problem_lines(self.problems) or ["No problem was found."])]
        return lines

    def error_lines(self) -> list[str]:
        """Of the report's lines those of problems that are errors."""
        return _problem_lines([problem for problem in self.problems if problem.severity == "error"])


def _problem_lines(problems: Sequence[Problem]) -> list[str]:
    lines: list[str] = []
    for problem in problems:
        lines.append(f"{problem.severity}: {problem.count} × {problem.kind}: {problem.meaning}")
        lines.append(f"    {', '.join(problem.examples)}{', ...' if problem.count > len(problem.examples) else ''}")
    return lines


def _lengths(found: tuple[float, float, float, int]) -> str:
    mean, median, _, largest = found
    return f"{mean:.0f} (median {median:.0f}, largest {largest})"


def _counts(found: Mapping[str, int]) -> str:
    shown = [f"{name} {count}" for name, count in list(found.items())[:5]]
    return ", ".join(shown + (["..."] if len(found) > 5 else []))
