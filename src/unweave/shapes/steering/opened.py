"""Systems by name: a target under a task, with its questions dealt to what they are for, or a model trained here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from unweave.base.errors import UnweaveError, nearest
from unweave.base.progress import Progress, Silent
from unweave.base.seeds import numpy_generator
from unweave.models.target import Target
from unweave.shapes.steering.system import System
from unweave.shapes.steering.target_system import Position, TargetSystem
from unweave.shapes.steering.tasks import TASKS, Question, Task

SCANNED, FITTED, STEERED = 3, 5, 4
"""Contexts in which the layer is sought, the manifold is fitted, and states are replaced: no two are alike."""


class Dealt(NamedTuple):
    """Questions by what they are for. ``scan`` is the same for every seed."""

    scan: list[Question]
    fit: list[Question]
    base: list[Question]
    every: list[Question]
    """All contexts whole: what the gate asks."""


def dealt_questions(task: Task, seed: int, bases: int = 8) -> Dealt:
    """Contexts of a task drawn for a seed; ``bases`` questions about different values where they can be."""
    scan = [each for context in task.contexts(SCANNED, 0) for each in context]
    drawn = task.contexts(FITTED + STEERED, seed + 1, {each.text for each in scan})
    fit = [each for context in drawn[:FITTED] for each in context]
    steered = drawn[FITTED:]
    order = numpy_generator(seed, task.name, "bases").permutation(len(steered[0]))
    if not 1 <= bases <= STEERED * len(order):
        raise UnweaveError(f"bases is {bases}: {task.name} has 1 to {STEERED * len(order)} of them")
    base = [steered[number % STEERED][int(order[number // STEERED % len(order)])] for number in range(bases)]
    return Dealt(scan, fit, base, [*scan, *(each for context in drawn for each in context)])


def open_target_system(
    target: Target, task: Task, seed: int, position: Position, layers: Sequence[int], bases: int = 8,
    progress: Progress | None = None,
) -> TargetSystem:  # fmt: skip
    """The system of a target under a task, with the questions of a seed."""
    questions = dealt_questions(task, seed, bases)
    return TargetSystem(target, task, questions.fit, questions.base, position, layers, progress)


def _mountain_car(seed: int, progress: Progress) -> System:
    from unweave.shapes.worlds.car_system import mountain_car
    from unweave.shapes.worlds.frame_model import WorldConfig

    return mountain_car(WorldConfig(seed=seed), progress)


def _modular_addition(seed: int, progress: Progress) -> System:
    from unweave.shapes.worlds.addition import AdditionConfig
    from unweave.shapes.worlds.addition_system import modular_addition

    return modular_addition(AdditionConfig(seed=seed), progress)


WORLDS: dict[str, Callable[[int, Progress], System]] = {
    "mountain-car": _mountain_car,
    "modular-addition": _modular_addition,
}
"""Models trained here, by name; the seed is that of the training."""


def open_world(name: str, seed: int, progress: Progress | None = None) -> System:
    """The world called ``name``, trained where it is not in the cache; ``UnweaveError`` for another name."""
    check_system(name)
    if name not in WORLDS:
        raise UnweaveError(f"{name!r} is a task of targets: open it with one")
    return WORLDS[name](seed, progress or Silent())


def check_system(name: str) -> None:
    """Raises ``UnweaveError`` with the nearest for a name that is neither of a task nor of a world."""
    if name not in TASKS and name not in WORLDS:
        raise UnweaveError(f"no task or world is named {name!r}; {nearest(name, [*TASKS, *WORLDS])}")
