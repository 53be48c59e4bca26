"""The shape room's live views: of stories that a run read, and of concepts that it found the shapes of or steered."""

from unweave.shapes.concept_runs import views as concepts
from unweave.shapes.stories import views as stories

__all__ = ["concepts", "stories"]
