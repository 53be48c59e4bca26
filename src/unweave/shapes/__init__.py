"""Shapes: how stories move through a model's states, and which curves and surfaces concepts lie on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.shapes.concepts.concept import Concept
    from unweave.shapes.concepts.layout import read_concept
    from unweave.shapes.concepts.shape import concept_shape
    from unweave.shapes.concepts.states import read_states
    from unweave.shapes.manifolds.choice import Choice, choose
    from unweave.shapes.manifolds.family import fit
    from unweave.shapes.manifolds.fitted import Fitted
    from unweave.shapes.steering.move import move
    from unweave.shapes.steering.paths import fit_manifold
    from unweave.shapes.stories.readings import StoryReadings
    from unweave.shapes.stories.scene import Scenes, scenes_from_run
    from unweave.shapes.stories.states import story_states

_HOME = {
    "Choice": "manifolds.choice",
    "Concept": "concepts.concept",
    "Fitted": "manifolds.fitted",
    "Scenes": "stories.scene",
    "StoryReadings": "stories.readings",
    "choose": "manifolds.choice",
    "concept_shape": "concepts.shape",
    "fit": "manifolds.family",
    "fit_manifold": "steering.paths",
    "move": "steering.move",
    "read_concept": "concepts.layout",
    "read_states": "concepts.states",
    "scenes_from_run": "stories.scene",
    "story_states": "stories.states",
}
__all__ = [
    "Choice",
    "Concept",
    "Fitted",
    "Scenes",
    "StoryReadings",
    "choose",
    "concept_shape",
    "fit",
    "fit_manifold",
    "move",
    "read_concept",
    "read_states",
    "scenes_from_run",
    "story_states",
]

__getattr__ = lazy_exports(__name__, _HOME)
