"""What the live views of stories are asked and what they answer, as typed values."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unweave.read.view_models import Answer, Available, Request
from unweave.shapes.stories.scene import Scene, Scenes

LONGEST_TEXT = 6000
StoryId = Annotated[str, Field(min_length=1, max_length=300)]


class StoriesOverviewRequest(Request):
    """Nothing to choose."""


class StoriesOverviewAnswer(Answer):
    id: str
    title: str
    run: str
    target: str
    target_digest: str | None
    layers: list[int] = Field(description="depths that paths are drawn at; the first is shown unless another is chosen")
    readouts: list[str] = Field(description="ways in which feelings were read; the first is shown likewise")
    stories: int
    sentences: int
    reading: Available = Field(description="a text of one's own, by the run's target")


class DrawnRequest(Request):
    layer: int | None = Field(default=None, ge=0, description="a depth; the first of the run by default")
    readout: str | None = Field(default=None, max_length=100, description="the first of the run by default")


class StoriesScenesRequest(DrawnRequest):
    """Which drawing."""


class StoriesScenesAnswer(Answer):
    scenes: Scenes


class StoriesFileRequest(DrawnRequest):
    stories: list[StoryId] = Field(min_length=1, max_length=1000, description="ids, in the order of the file")


class StoriesFileAnswer(Answer):
    html: str = Field(description="a whole page that needs no server")


class StoriesReadRequest(DrawnRequest):
    text: str = Field(min_length=1, max_length=LONGEST_TEXT)
    protagonist: str | None = Field(
        default=None, min_length=1, max_length=60, description="whose feelings; the name that the text uses most"
    )


class StoriesReadAnswer(Answer):
    scene: Scene
