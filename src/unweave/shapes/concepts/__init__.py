"""Concepts whose values have a place of their own: read from a target, and the shape that they have in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.shapes.concepts.bundled import bundled_concept, find_concept
    from unweave.shapes.concepts.concept import Concept, Value
    from unweave.shapes.concepts.layout import read_concept
    from unweave.shapes.concepts.shape import ConceptShape, concept_shape
    from unweave.shapes.concepts.states import ConceptStates, read_states

_HOME = {
    "Concept": "concept",
    "ConceptShape": "shape",
    "ConceptStates": "states",
    "Value": "concept",
    "bundled_concept": "bundled",
    "concept_shape": "shape",
    "find_concept": "bundled",
    "read_concept": "layout",
    "read_states": "states",
}
__all__ = [
    "Concept",
    "ConceptShape",
    "ConceptStates",
    "Value",
    "bundled_concept",
    "concept_shape",
    "find_concept",
    "read_concept",
    "read_states",
]

__getattr__ = lazy_exports(__name__, _HOME)
