"""Stories: how they move through a model's states, and what draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.shapes.stories.scene import Ghost, Mesh, Scene, Scenes, Series, scenes_from_run

_HOME = {
    "Ghost": "scene",
    "Mesh": "scene",
    "Scene": "scene",
    "Scenes": "scene",
    "Series": "scene",
    "scenes_from_run": "scene",
}
__all__ = ["Ghost", "Mesh", "Scene", "Scenes", "Series", "scenes_from_run"]

__getattr__ = lazy_exports(__name__, _HOME)
