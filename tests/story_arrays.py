"""Made stories on arrays: sixty of them in five topics, with states that hold a valence, or nothing."""

from __future__ import annotations

import numpy as np

from unweave.corpora.stories.arcs import ARCS, arc_curve

TOPICS = ("sea", "farm", "music", "school", "cooking")
LENGTHS = (8, 9, 10, 11, 12)


class Made:
    """``per`` stories of every arc in every topic; rows are sentences."""

    def __init__(self, per: int = 1, seed: int = 0, topics: tuple[str, ...] = TOPICS, noise: float = 0.3) -> None:
        generator = np.random.default_rng(seed)
        stories, names, arcs, valence = [], [], [], []
        for topic in topics:
            for arc in ARCS:
                for number in range(per):
                    length = LENGTHS[generator.integers(len(LENGTHS))]
                    stories += [f"{topic}-{arc}-{number}"] * length
                    names += [topic] * length
                    arcs += [arc] * length
                    valence.append(arc_curve(arc, length) + noise * generator.standard_normal(length))
        self.stories, self.topics, self.arcs = stories, names, arcs
        self.valence = np.concatenate(valence)
        self.n = len(stories)

    def emotions(self, seed: int = 0) -> np.ndarray:
        """Six columns: four fall with valence, one rises, and one goes its own way."""
        generator = np.random.default_rng(seed)
        slopes = np.array([0.0, -0.4, -0.5, 0.9, -0.8, -0.6])
        return self.valence[:, None] * slopes + 0.5 * generator.standard_normal((self.n, 6))

    def states(self, width: int = 24, seed: int = 1, strength: float = 1.0) -> np.ndarray:
        """Noise [n, 1, width], with the valence along one direction at ``strength``."""
        generator = np.random.default_rng(seed)
        direction = generator.standard_normal(width) / np.sqrt(width)
        return (
            generator.standard_normal((self.n, width)) + 3 * strength * self.valence[:, None] * direction
        )[:, None]
