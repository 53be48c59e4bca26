"""A subject of live views: a finished run that found the shapes of concepts, or steered a model along them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.base.kept import Kept
from unweave.read.opened_subject import subject_id
from unweave.record.run import Run
from unweave.shapes.concept_runs.drawings import CONCEPT, TASK, RunTables, distinct
from unweave.shapes.stories.scene import target_of

KIND = "concepts"


@dataclass(frozen=True)
class ConceptsSummary:
    """What a list of subjects shows of one."""

    id: str
    title: str
    target: str
    kind: str
    about: str


class ConceptSubject(Kept):
    """A finished run of concepts or of steering, opened. Whoever runs the model it steered holds ``lock`` meanwhile."""

    kind_of_subject = KIND

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.id, self.run, self.lock = subject_id(run.path), run, RLock()
        self.config: Mapping[str, Any] = run.config
        self.tables = RunTables(run)
        # Steering draws centroids too, of tasks.
        self.concepts = [str(name) for name in distinct(self.tables.rows("centroids"), CONCEPT)]
        self.tasks = [str(name) for name in distinct(self.tables.rows("answers"), TASK)]
        if not self.concepts and not self.tasks:
            raise UnweaveError(f"run {run.id!r} drew no concept and steered nothing: run the study again")

    @property
    def title(self) -> str:
        return f"{self.run.id} on {self.target_title}" if self.target_title else self.run.id

    @property
    def target_title(self) -> str:
        """The target's name; empty where the run steered models of its own only."""
        return target_of(self.run)

    def summary(self) -> ConceptsSummary:
        counts = [(self.concepts, "concept", ""), (self.tasks, "task", " steered")]
        about = ", ".join(f"{len(names)} {what}{'s' * (len(names) > 1)}{done}" for names, what, done in counts if names)
        return ConceptsSummary(self.id, self.title, self.target_title or "models trained here", KIND, about)


def open_concepts(path: Path | str) -> ConceptSubject:
    """Opens the folder of a finished run of concepts or of steering, without loading a model.

    Raises ``UnweaveError`` for a run that is not finished, and for one that drew nothing.
    """
    run = Run.open(Path(path))
    if run.status != "finished":
        raise UnweaveError(f"run {run.id!r} is {run.status}: it can be looked at when it is finished")
    return ConceptSubject(run)
