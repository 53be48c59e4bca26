"""The residual stream of a target: read at any depth, added to, replaced, and what the target then says next.

Depth l is the stream that enters block l; the largest depth, the number of blocks, is the stream that leaves the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.models.target import Target
from unweave.read.features import Place
from unweave.read.observe import hook_place, module_value, observe, written

BATCH_TOKENS = 2048
"""Tokens of one forward, and at most as many answers' positions."""
Sequences = Sequence[Sequence[int]]


def depths(target: Target) -> range:
    """All depths of the stream: 0 to the number of blocks. Raises ``UnweaveError`` for a target without blocks."""
    if target.blocks is None:
        raise UnweaveError(f"{target.name} has no list of blocks, so it has no residual stream between them")
    return range(target.depth + 1)


def stream_place(target: Target, depth: int) -> Place:
    """Where the stream of a depth is read and written; raises ``UnweaveError`` for a depth that is not there."""
    known = depths(target)
    if depth not in known:
        raise UnweaveError(f"depth {depth} is not in {target.name}: it has depths 0 to {known[-1]}")
    width = target.hidden_before(0, torch.zeros(1, 1, dtype=torch.long)).shape[-1]
    if depth == target.depth:
        return Place(f"{target.blocks}.{depth - 1}", "output", width)
    return Place(f"{target.blocks}.{depth}", "input", width)


def stream_states(
    target: Target,
    sequences: Sequences,
    positions: Sequence[Sequence[int]],
    at: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Float32[np.ndarray, "p l d"]:
    """The stream at some positions of each sequence, at the depths ``at`` (all by default), in the order given.

    Sequences of one forward are filled up on the right, which changes nothing before it in a causal model: the state
    at a position is that of the text up to there. Raises ``UnweaveError`` for an empty sequence, a position outside
    its sequence, and values that are NaN or infinite.
    """
    progress = progress or Silent()
    places = {str(depth): stream_place(target, depth) for depth in (depths(target) if at is None else at)}
    given = _checked(sequences, positions)
    ends = np.cumsum([len(each) for each in positions])
    width = next(iter(places.values())).width
    found = np.empty((int(ends[-1]), len(places), width), np.float32)
    done = 0
    for rows, tokens in padded_batches(sequences):
        values = observe(target, places, tokens, logits=False).values
        for place, value in enumerate(values[key] for key in places):
            for row, states in zip(rows, value, strict=True):
                found[ends[row] - len(given[row]) : ends[row], place] = states[given[row]].float().cpu().numpy()
        done += len(rows)
        progress.update(done, len(sequences), "texts read")
    if not np.isfinite(found).all():
        raise UnweaveError(f"the stream of {target.name} is NaN or infinite on some token: check the model")
    return found


def next_log_probabilities(
    target: Target, sequences: Sequences, answers: Sequence[int], progress: Progress | None = None
) -> Float32[np.ndarray, "n a"]:
    """Log-probability of each of ``answers`` (tokens) after each whole sequence, over all the vocabulary."""
    progress = progress or Silent()
    found = np.empty((len(sequences), len(answers)), np.float32)
    lengths = [len(each) for each in sequences]
    done = 0
    for rows, tokens in padded_batches(sequences):
        last = torch.tensor([[lengths[row] - 1] for row in rows])
        found[rows] = _log_probabilities(target, tokens, last, answers)
        done += len(rows)
        progress.update(done, len(sequences), "prompts answered")
    return found


def replaced_log_probabilities(
    target: Target,
    depth: int,
    sequence: Sequence[int],
    position: int,
    states: Float[np.ndarray, "n d"],
    answers: Sequence[int],
) -> Float32[np.ndarray, "n a"]:
    """As ``next_log_probabilities`` of one sequence, with its stream at one depth and position replaced by each state.

    Blocks before ``depth`` run once. Raises ``UnweaveError`` for a depth of no block, a position outside the sequence
    and states of another width.
    """
    _checked([sequence], [[position]])
    place = stream_place(target, depth)
    if states.ndim != 2 or states.shape[1] != place.width:
        raise UnweaveError(f"states have shape {states.shape}: this stream needs [n, {place.width}]")
    tokens = torch.tensor([list(sequence)])
    clean = observe(target, {"at": place}, tokens, logits=False).values["at"]
    found = np.empty((len(states), len(answers)), np.float32)
    step = max(BATCH_TOKENS // len(sequence), 1)
    for start in range(0, len(states), step):
        part = torch.from_numpy(np.asarray(states[start : start + step], np.float32)).to(clean)
        hidden = clean.expand(len(part), -1, -1).clone()
        hidden[:, position] = part
        last = torch.full((len(part), 1), len(sequence) - 1)
        with written_stream(target, depth, hidden):
            found[start : start + len(part)] = _log_probabilities(target, tokens.expand(len(part), -1), last, answers)
    return found


def written_stream(target: Target, depth: int, hidden: Float[Tensor, "n t d"]) -> AbstractContextManager[None]:
    """Inside, forwards have ``hidden`` as their stream at a depth; blocks before it are not run where that can be."""
    if 0 < depth < target.depth:
        return target.resumed(depth, hidden)
    # A stream that leaves the last block has no block to resume from; one that enters the first is the embedding.
    return _changed(target, stream_place(target, depth), lambda _: hidden)


@contextmanager
def added(target: Target, vectors: Mapping[int, Float[Tensor, " d"]]) -> Iterator[None]:
    """Inside, every forward gets a vector added to the stream at each of some depths, at every position.

    Raises ``UnweaveError`` for a vector of another width.
    """
    with ExitStack() as stack:
        for depth, vector in vectors.items():
            place = stream_place(target, depth)
            if tuple(vector.shape) != (place.width,):
                raise UnweaveError(
                    f"the vector for depth {depth} has shape {tuple(vector.shape)}: give [{place.width}]"
                )
            stack.enter_context(_changed(target, place, lambda stream, moved=vector: stream + moved.to(stream)))
        yield


def padded_batches(sequences: Sequences) -> Iterator[tuple[np.ndarray, Int[Tensor, "n t"]]]:
    """Sequences of like lengths together, as their indices and their tokens, filled up on the right."""
    lengths = np.array([len(each) for each in sequences])
    if not len(lengths) or not lengths.all():
        raise UnweaveError(f"{len(lengths)} sequences with an empty one, or none: give one token or more in each")
    order, begin = np.argsort(lengths, kind="stable"), 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - begin) * lengths[order[end]] > BATCH_TOKENS:
            rows = order[begin:end]
            longest = int(lengths[rows].max())
            yield rows, torch.tensor([[*sequences[i], *[0] * (longest - lengths[i])] for i in rows])
            begin = end


def _checked(sequences: Sequences, positions: Sequence[Sequence[int]]) -> list[list[int]]:
    if len(sequences) != len(positions) or not sequences:
        raise UnweaveError(f"{len(sequences)} sequences with positions in {len(positions)}: give some in each")
    for row, (sequence, places) in enumerate(zip(sequences, positions, strict=True)):
        if not all(0 <= place < len(sequence) for place in places):
            raise UnweaveError(f"positions {list(places)} of sequence {row}: it has 0 to {len(sequence) - 1}")
    return [[int(place) for place in places] for places in positions]


def _log_probabilities(
    target: Target, tokens: Int[Tensor, "n t"], last: Int[Tensor, "n 1"], answers: Sequence[int]
) -> np.ndarray:
    with torch.no_grad():
        logits = target.logits(tokens, last)[:, 0].float()
    return logits.log_softmax(1)[:, list(answers)].cpu().numpy()


@contextmanager
def _changed(target: Target, place: Place, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    def look(value: Any) -> Any:
        stream = module_value(value)
        return None if stream is None else written(place, value, change(stream))

    handle = hook_place(target, place, look)
    try:
        yield
    finally:
        handle.remove()
