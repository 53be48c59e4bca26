"""A made world in which what training on preferences does is known: gaussian replies, tilted exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from unweave.preferences.evidence import WORD_BUCKETS, Evidence, Replies


@dataclass(frozen=True)
class World:
    """Replies to a prompt are gaussian about the prompt's own mean, with one covariance; a reward is linear in them."""

    covariance: np.ndarray
    weights: np.ndarray
    beta: float = 1.0

    @property
    def change(self) -> np.ndarray:
        """The exact change of every column's mean: a gaussian tilted by exp(w . f / beta) moves by its covariance."""
        return self.covariance @ self.weights / self.beta

    def importance_change(self, count: int, seed: int = 0) -> np.ndarray:
        """The same by importance weights exp(w . f / beta), as it would be had for any distribution."""
        drawn = self.draw(count, np.random.default_rng(seed))
        weights = np.exp(drawn @ self.weights / self.beta)
        return (weights @ drawn) / weights.sum() - drawn.mean(0)

    def draw(self, count: int, generator: np.random.Generator) -> np.ndarray:
        return generator.multivariate_normal(np.zeros(len(self.weights)), self.covariance, count, method="cholesky")


def random_world(seed: int, columns: int = 20, rated: int = 4, strength: float = 0.5) -> World:
    """Columns that hang together in a few factors, of which a few are rated."""
    generator = np.random.default_rng(seed)
    loading = generator.normal(size=(columns, 4))
    covariance = loading @ loading.T + np.diag(generator.uniform(0.3, 1.0, columns))
    scale = np.sqrt(np.diag(covariance))
    covariance = covariance / np.outer(scale, scale)
    weights = np.zeros(columns)
    weights[generator.permutation(columns)[:rated]] = generator.choice([-1.0, 1.0], rated) * strength
    return World(covariance, weights)


def as_replies(values, states=None, tokens=None) -> Replies:
    """Replies whose states are a fixed rotation of their values, and whose words count what is above 0."""
    rotation = np.linalg.qr(np.random.default_rng(99).normal(size=(values.shape[1], values.shape[1])))[0]
    counts = np.round(np.clip(values + 2, 0, None)).astype(np.float32)
    words = csr_matrix((len(values), WORD_BUCKETS), dtype=np.float32)
    if len(values):
        words = csr_matrix(np.pad(counts, ((0, 0), (0, 40)))) @ csr_matrix(
            (np.ones(values.shape[1]), (np.arange(values.shape[1]), 7 * np.arange(values.shape[1]))),
            shape=(values.shape[1] + 40, WORD_BUCKETS),
        )
    return Replies(
        values.astype(np.float32),
        np.full(len(values), 20) if tokens is None else tokens.astype(np.int64),
        (values @ rotation if states is None else states).astype(np.float32),
        csr_matrix(words.astype(np.float32)),
    )


def evidence(
    world: World,
    pairs: int,
    seed: int,
    prompts: int = 100,
    samples: int = 8,
    off_policy: np.ndarray | None = None,
    null: bool = False,
    pairs_a_prompt: int = 1,
) -> Evidence:
    """Pairs rated by the world's reward, and the target's own replies to other prompts.

    ``off_policy``: the covariance of the replies that are rated, where they are not the target's own.
    """
    generator = np.random.default_rng(seed)
    columns = len(world.weights)
    source = world if off_policy is None else replace(world, covariance=off_policy)
    groups = np.arange(pairs) // pairs_a_prompt
    means = generator.normal(size=(groups.max() + 1, columns))[groups]
    first, second = means + source.draw(pairs, generator), means + source.draw(pairs, generator)
    margin = np.zeros(pairs) if null else (first - second) @ world.weights / world.beta
    wins = generator.random(pairs) < 1 / (1 + np.exp(-margin))
    chosen, rejected = np.where(wins[:, None], first, second), np.where(wins[:, None], second, first)
    reference_groups = np.repeat(np.arange(prompts), samples)
    own = generator.normal(size=(prompts, columns))[reference_groups] + world.draw(prompts * samples, generator)
    return Evidence(
        tuple(f"column-{index}" for index in range(columns)),
        as_replies(chosen),
        as_replies(rejected),
        groups,
        as_replies(own),
        reference_groups,
    )


def swapped(one: Evidence) -> Evidence:
    """The same pairs with every label turned round."""
    return replace(one, chosen=one.rejected, rejected=one.chosen)
