"""The live views of stories; other programs call them on a ``StorySubject``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.views import view
from unweave.read.view_models import Available
from unweave.shapes.stories.export import story_page
from unweave.shapes.stories.subject import KIND
from unweave.shapes.stories.view_models import (
    StoriesFileAnswer,
    StoriesFileRequest,
    StoriesOverviewAnswer,
    StoriesOverviewRequest,
    StoriesReadAnswer,
    StoriesReadRequest,
    StoriesScenesAnswer,
    StoriesScenesRequest,
)

if TYPE_CHECKING:
    from unweave.shapes.stories.subject import StorySubject


@view(
    "stories-overview",
    "what stories a run read, and what can be asked of it",
    StoriesOverviewRequest,
    StoriesOverviewAnswer,
    subject=KIND,
)
def overview(subject: StorySubject, _: StoriesOverviewRequest) -> StoriesOverviewAnswer:
    reason = subject.without_reading()
    return StoriesOverviewAnswer(
        id=subject.id,
        title=subject.title,
        run=subject.run.id,
        target=subject.target_title,
        target_digest=subject.target_digest,
        layers=subject.layers,
        readouts=subject.readouts,
        stories=subject.stories,
        sentences=subject.sentences,
        reading=Available.unless(reason),
    )


@view(
    "stories-scenes",
    "the stories as scenes: sentences, what was read after each, and a path in three dimensions",
    StoriesScenesRequest,
    StoriesScenesAnswer,
    subject=KIND,
)
def scenes(subject: StorySubject, request: StoriesScenesRequest) -> StoriesScenesAnswer:
    return StoriesScenesAnswer(scenes=subject.scenes(request.layer, request.readout))


@view(
    "stories-file",
    "stories as one HTML file that plays them without a server",
    StoriesFileRequest,
    StoriesFileAnswer,
    subject=KIND,
)
def file(subject: StorySubject, request: StoriesFileRequest) -> StoriesFileAnswer:
    chosen = subject.scenes(request.layer, request.readout).only(request.stories)
    return StoriesFileAnswer(html=story_page(chosen))


@view(
    "stories-read",
    "a text of one's own, read by the run's target as it read the stories",
    StoriesReadRequest,
    StoriesReadAnswer,
    exclusive=True,
    subject=KIND,
)
def read(subject: StorySubject, request: StoriesReadRequest) -> StoriesReadAnswer:
    drawn = subject.scenes(request.layer, request.readout)
    return StoriesReadAnswer(scene=subject.reader.read(request.text, drawn.layer, drawn.readout, request.protagonist))
