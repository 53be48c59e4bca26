"""A direction of the residual stream along which a target's own replies have more or less of a behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress
from unweave.base.seeds import numpy_generator
from unweave.models.target import Target
from unweave.preferences.encoding import encode_prompt
from unweave.preferences.shaping.states import reply_states
from unweave.preferences.truth.answers import Answered, question_numbers

HELD_OUT = 1 / 3
"""Share of the prompts on which a direction is tried, and not found."""


@dataclass(frozen=True)
class Direction:
    """A unit vector of the stream entering a block, and how well projections on it tell replies apart."""

    name: str
    layer: int
    vector: Float32[np.ndarray, " d"] = field(repr=False)
    stream: float
    """Mean length of the stream over tokens of replies there: the unit of a steering's strength."""
    auroc: float
    """Of replies above their prompt's mean of the behaviour against those below it, each prompt by itself, on
    prompts that the direction was not found on."""
    held_out: int
    """Replies that this is over."""


class DirectionWithControl(NamedTuple):
    """A direction, and a random one of the same length tried on the same replies."""

    found: Direction
    control: Direction


def find_direction(
    target: Target,
    layer: int,
    behaviour: str,
    answers: Sequence[Answered],
    values: Float[np.ndarray, " s"],
    seed: int = 0,
    progress: Progress | None = None,
) -> DirectionWithControl:
    """The difference of means of replies' mean states, above less below their prompt's mean of a behaviour.

    ``answers`` are the untrained target's own; ``values`` is the behaviour of each of their replies, answer by answer.
    Every prompt weighs the same; one whose replies have all the same value says nothing, nor does an empty reply.
    Source: Bergen et al., "Anatomy of Post-Training", 2026 (trait vectors from response-token means), within prompts.
    Raises ``UnweaveError`` where fewer than two prompts say anything.
    """
    prompt_of = question_numbers(answers)
    if len(values) != len(prompt_of):
        raise UnweaveError(f"{len(values)} values of {behaviour!r} for {len(prompt_of)} replies: give one for each")
    prompts = [encode_prompt(target, each.question.turns) for each in answers]
    replies = [reply.tokens for each in answers for reply in each.replies]
    side = _sides(np.asarray(values, np.float64), np.where([len(reply) > 0 for reply in replies], prompt_of, -1))
    telling = np.unique(prompt_of[side != 0])
    if len(telling) < 2:
        raise UnweaveError(
            f"replies to {len(telling)} of {len(answers)} prompts differ in {behaviour!r}, and a direction needs two: "
            "sample more replies to a prompt, or choose a behaviour that varies"
        )
    used = np.flatnonzero(side != 0)
    means, norms, tokens = {}, 0.0, 0
    given = [prompts[prompt_of[index]] for index in used], [replies[index] for index in used]
    for place, states in reply_states(target, layer, *given, progress=progress):
        means[place] = states.mean(0, dtype=np.float64)
        norms, tokens = norms + float(np.linalg.norm(states, axis=1).sum()), tokens + len(states)
    states, side, prompt_of = np.stack([means[place] for place in range(len(used))]), side[used], prompt_of[used]

    shuffled = numpy_generator(seed, "direction", behaviour).permutation(telling)
    tried = np.isin(prompt_of, shuffled[: max(1, int(len(telling) * HELD_OUT))])
    difference = np.mean(
        [
            states[here & (side > 0)].mean(0) - states[here & (side < 0)].mean(0)
            for here in (prompt_of == prompt for prompt in np.unique(prompt_of[~tried]))
        ],
        axis=0,
    )
    random = numpy_generator(seed, "random direction", layer).normal(size=len(difference))

    def direction(name: str, vector: np.ndarray) -> Direction:
        size = float(np.linalg.norm(vector))
        if not size > 0:
            raise UnweaveError(f"states at layer {layer} do not differ with {behaviour!r}: choose a later layer")
        unit = (vector / size).astype(np.float32)
        auroc = _auroc(states[tried] @ unit, side[tried], prompt_of[tried])
        return Direction(f"{name} at layer {layer}", layer, unit, norms / tokens, auroc, int(tried.sum()))

    return DirectionWithControl(direction(behaviour, difference), direction(f"random direction {seed}", random))


def _sides(values: Float[np.ndarray, " s"], prompt_of: Int[np.ndarray, " s"]) -> Int[np.ndarray, " s"]:
    """1 above the prompt's mean, -1 below, 0 at it; 0 where there is no prompt (-1)."""
    side = np.zeros(len(values), np.int64)
    for prompt in np.unique(prompt_of[prompt_of >= 0]):
        here = prompt_of == prompt
        away = values[here] - values[here].mean()
        side[here] = np.where(np.abs(away) > 1e-9 * max(1.0, np.abs(values[here]).max()), np.sign(away), 0)
    return side


def _auroc(projection: Float[np.ndarray, " s"], side: Int[np.ndarray, " s"], prompt_of: Int[np.ndarray, " s"]) -> float:
    """Share of pairs of replies to one prompt in which the upper one projects higher: what prompts differ by is out."""
    won, pairs = 0.0, 0
    for prompt in np.unique(prompt_of):
        here = prompt_of == prompt
        lead = projection[here & (side > 0)][:, None] - projection[here & (side < 0)][None]
        won, pairs = won + float((lead > 0).sum() + (lead == 0).sum() / 2), pairs + lead.size
    return won / pairs
