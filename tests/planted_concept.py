"""Concepts of made-up values, and states of them with a shape that is known."""

from __future__ import annotations

import numpy as np

from unweave.shapes.concepts.concept import Concept, Value
from unweave.shapes.concepts.states import ConceptStates

WORDS = ("the", "a", "one", "this", "that", "my", "your", "his", "her", "our", "their", "some")
TEMPLATES = tuple(f"{word} {{}}" for word in WORDS)
WIDTH = 24


def ring_concept(count=10, metric="circular", templates=TEMPLATES, name="ring"):
    """``count`` values on a circle, or in a row."""
    values = tuple(Value(f"value {chr(97 + place)}", float(place)) for place in range(count))
    options = {"period": float(count)} if metric == "circular" else {}
    return Concept(name, values, templates, metric, options)


def planted_states(concept, at=2, layers=4, noise=0.2, seed=0):
    """Noise at every depth, with templates that differ much, and a ring of the values in their order at one depth."""
    generator = np.random.default_rng(seed)
    count, templates = len(concept), len(concept.templates)
    states = noise * generator.standard_normal((count, templates, layers, WIDTH))
    states += 5 * generator.standard_normal((1, templates, layers, WIDTH))
    # What values have beside their ring is the same in all templates, as it is where tokens enter.
    states += 0.3 * generator.standard_normal((count, 1, layers, WIDTH))
    angle = np.arange(count) / count * 2 * np.pi
    frame = np.linalg.qr(generator.standard_normal((WIDTH, 2)))[0]
    if at is not None:
        states[:, :, at] += 3 * (np.stack([np.cos(angle), np.sin(angle)], 1) @ frame.T)[:, None]
    return ConceptStates(concept, tuple(range(layers)), states.astype(np.float32))
