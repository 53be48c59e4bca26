"""A subject of live views: a finished run that read stories, with its scenes and, to read other texts, its target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.read.opened_subject import OpenedSubject, find_target
from unweave.record.run import Run
from unweave.shapes.stories.reader import READINGS, StoryReader
from unweave.shapes.stories.scene import PATHS, SENTENCES, Scenes, readouts_of, scenes_from_run, target_of

if TYPE_CHECKING:
    from unweave.models.target import Target
    from unweave.read.features import Dictionary

KIND = "stories"


@dataclass(frozen=True)
class StoriesSummary:
    """What a list of subjects shows of one."""

    id: str
    title: str
    target: str
    kind: str
    stories: int
    sentences: int


class StorySubject(OpenedSubject):
    """A finished run of stories, opened; its target is loaded when a text is first read."""

    kind_of_subject = KIND

    def __init__(self, run: Run, device: str | None = None) -> None:
        super().__init__(run.path, target_of(run), f"run {run.id!r}", "run the study again", device)
        self.run = run
        self.config: Mapping[str, Any] = run.config
        sentences, paths = run.load_table(SENTENCES), run.load_table(PATHS)
        self.readouts = readouts_of(sentences.columns)
        self.layers = list(dict.fromkeys(int(str(layer)) for layer in paths.column("layer")))
        self.stories, self.sentences = len(set(sentences.column("story"))), len(sentences.rows)
        self.scenes()

    @property
    def title(self) -> str:
        return f"{self.run.id} on {self.target_title}"

    @property
    def target_digest(self) -> str | None:
        """Of the target that read the stories, as the run recorded it."""
        found = [one["sha256"] for one in self.run.state().get("identities", []) if one["kind"] == "target"]
        return str(found[0]) if found else None

    def summary(self) -> StoriesSummary:
        return StoriesSummary(self.id, self.title, self.target_title, KIND, self.stories, self.sentences)

    def scenes(self, layer: int | None = None, readout: str | None = None) -> Scenes:
        """The run's scenes at a depth, by a readout; those of the first are kept."""
        if layer in (None, self.layers[0]) and readout in (None, self.readouts[0]):
            return self.kept("scenes", lambda: scenes_from_run(self.run))
        return scenes_from_run(self.run, layer, readout)

    @property
    def reader(self) -> StoryReader:
        """Reads any text as the run read its stories; raises ``UnweaveError`` where the run or its target cannot."""
        return self.kept("reader", lambda: StoryReader(self.run, self.target))

    def without_reading(self) -> str:
        """Why no text can be read, as far as that shows without loading the target; else empty."""
        if not any(self.run.path.glob(f"{READINGS}/*/readings.json")):
            return "the run's folder does not hold the states that it read"
        if self.target_digest is None:
            return "the run did not record which target read the stories"
        try:
            find_target(self._target_source, "run")
        except UnweaveError as error:
            return str(error)
        return ""

    @property
    def _target_source(self) -> str:
        return str(self.config.get("target", ""))

    def _load_target(self) -> Target:
        if reason := self.without_reading():
            raise UnweaveError(f"run {self.run.id!r} can read no text: {reason}")
        dtype = str(self.config.get("dtype") or "float32")
        return self._target_at(find_target(self._target_source, "run"), str(self.target_digest), dtype)

    def _load_dictionary(self) -> Dictionary:
        raise UnweaveError(f"run {self.run.id!r} read stories without a dictionary of features")


def open_stories(path: Path | str, device: str | None = None) -> StorySubject:
    """Opens the folder of a finished run that read stories, without loading a target.

    Raises ``UnweaveError`` for a run that is not finished, and one whose tables make no scenes.
    """
    run = Run.open(Path(path))
    if run.status != "finished":
        raise UnweaveError(f"run {run.id!r} is {run.status}: it can be looked at when it is finished")
    return StorySubject(run, device)
