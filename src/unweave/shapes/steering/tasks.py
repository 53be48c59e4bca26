"""Tasks that ask a language model for a value: the one that follows, the same one, or one so many steps on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.distances import value_distances

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

TRIES = 50
"""Draws for each context that is wanted."""

SUCCESSOR, IDENTITY, ARITHMETIC = "successor", "identity", "arithmetic"


@dataclass(frozen=True)
class Question:
    """A prompt up to where the answer begins: what stands before the value that is asked about, it, and the rest."""

    before: str
    value: str
    after: str
    answer: int

    @property
    def text(self) -> str:
        return self.before + self.value + self.after


@dataclass(frozen=True)
class Task:
    """Values, which come round or not, and a frame in which they are asked for.

    ``frame`` holds ``{x}``, and in an arithmetic task ``{n}``; ``join`` stands between an example with its answer and
    the next. ``shots`` examples of other values are put before each question.
    """

    name: str
    values: tuple[str, ...]
    closed: bool
    kind: str
    frame: str
    join: str
    shots: int

    @property
    def first(self) -> int:
        """The number of the first value that is an answer: nothing is followed by the first of a line."""
        return 0 if self.closed or self.kind == IDENTITY else 1

    @property
    def answers(self) -> tuple[str, ...]:
        """The values that are answers, which a question's ``answer`` counts."""
        return self.values[self.first :]

    @property
    def metric(self) -> Float64[np.ndarray, "w w"]:
        """Known distances of the answers, in steps."""
        places = np.arange(len(self.answers), dtype=np.float64)
        if self.closed:
            return value_distances("circular", places, period=len(places))
        return value_distances("linear", places)

    def follows(self, value: int, steps: int = 1) -> int | None:
        """The number of the value that answers, or None where a line has ended."""
        found = value + {SUCCESSOR: 1, IDENTITY: 0}.get(self.kind, steps)
        if self.closed:
            return found % len(self.values)
        return found if found < len(self.values) else None

    def contexts(self, count: int, seed: int = 0, barred: Collection[str] = ()) -> list[list[Question]]:
        """``count`` contexts, no two alike; each asks once for every value that is an answer.

        A context's examples are drawn once; where one of them is what is asked, another takes its place. An arithmetic
        context has its own number of steps, 1 to 12. Questions whose text is ``barred`` do not come. Raises
        ``UnweaveError`` where the task has no more contexts.
        """
        generator = numpy_generator(seed, self.name, "contexts")
        known, found = set(barred), []
        for _ in range(TRIES * count):
            if len(found) == count:
                break
            order = generator.permutation(len(self.values)).tolist()
            steps = int(generator.integers(len(NUMBERS))) + 1
            asked = [value for value in range(len(self.values)) if self.follows(value, steps) is not None]
            new = [self._question(value, [each for each in order if each in asked], steps) for value in asked]
            texts = {each.text for each in new}
            if not texts & known:
                known |= texts
                found.append(new)
        if len(found) < count:
            raise UnweaveError(f"task {self.name!r} has only {len(found)} contexts that differ: {count} are needed")
        return found

    def _question(self, value: int, order: Sequence[int], steps: int) -> Question:
        answer = self.follows(value, steps)
        examples = [each for each in order if each != value][: self.shots]
        if len(examples) < self.shots or answer is None:
            raise UnweaveError(f"task {self.name!r} has too few values for {self.shots} examples: give fewer shots")
        said = "".join(
            f"{self._framed(each, steps)[0]}{self.values[each]}{self._framed(each, steps)[1]} "
            f"{self.values[self.follows(each, steps) or 0]}{self.join}"
            for each in examples
        )
        before, after = self._framed(value, steps)
        return Question(said + before, self.values[value], after, answer - self.first)

    def _framed(self, value: int, steps: int) -> tuple[str, str]:
        before, _, after = self.frame.partition("{x}")
        return before.replace("{n}", NUMBERS[steps - 1]), after.replace("{n}", NUMBERS[steps - 1])


_PLAIN = (("days", DAYS, True), ("months", MONTHS, True), ("numbers", NUMBERS, False), ("letters", LETTERS, False))
TASKS: dict[str, Task] = {
    **{
        f"{name}-successor": Task(f"{name}-successor", values, closed, SUCCESSOR, "{x},", "\n", 2)
        for name, values, closed in _PLAIN
    },
    **{
        f"{name}-identity": Task(f"{name}-identity", values, closed, IDENTITY, "{x} =", "\n", 2)
        for name, values, closed in _PLAIN
    },
    "days-sentence": Task("days-sentence", DAYS, True, SUCCESSOR, "Today is {x}. Tomorrow is", ".\n", 2),
    "days-arithmetic": Task(
        "days-arithmetic", DAYS, True, ARITHMETIC, "Q: What day is {n} days after {x}? A:", "\n", 0
    ),
}
"""By name. The frame of the successor tasks is the one of seven that SmolLM2-135M answered best in a pilot; their
contexts are drawn with another seed than the pilot's. ``days-arithmetic`` is the task of arXiv 2605.05115."""


def find_task(name: str) -> Task:
    """The task called ``name``, or ``UnweaveError`` with the nearest."""
    if name not in TASKS:
        raise UnweaveError(f"no task is named {name!r}; {nearest(name, TASKS)}")
    return TASKS[name]
