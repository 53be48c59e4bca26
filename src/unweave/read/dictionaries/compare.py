"""Dictionaries of any kind side by side on the same text: how sparse they are, and what is lost with them in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.decompose.masked import Mask, MaskedTarget, Pieces
from unweave.decompose.ruler import LEFT_OUT, following_tokens
from unweave.models.target import Target
from unweave.read.dictionaries.coder import Coder, CoderDictionary
from unweave.read.features import Dictionary, Place, Reading, SubcomponentDictionary, fires
from unweave.read.observe import hook_place, observe, seen, written
from unweave.record.table import Table

BATCH = 16
COLUMNS = (
    "dictionary",
    "kind",
    "groups",
    "features",
    "alive",
    "l0",
    "explained",
    "ce",
    "ce_mean_ablated",
    "ce_target",
    "recovered",
    "tokens",
)
Logits = Float[Tensor, "n p v"]


def compare_dictionaries(
    target: Target,
    dictionaries: Mapping[str, Dictionary],
    windows: Int[Tensor, "n t"] | np.ndarray,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> Table:
    """One row a dictionary, all on the same windows; the first position of a window is neither counted nor replaced.

    - ``l0``: features firing on a token, all groups together; ``alive``: share of features that fire at least once.
    - ``explained``: 1 minus squared error of what is written over its variance (FVU), the mean of the groups. Every
      group reads the target's own values. For subcomponents it is the sites' outputs under importance masks.
    - ``ce``: cross-entropy of the next token with all groups spliced in at once. A coder reads what coders before it
      have left; subcomponents are masked by importances of the target's own values, as everywhere.
    - ``recovered``: where ``ce`` is between the means of all places written to (0) and the target (1).

    Probes write nothing, so these are missing. Raises ``UnweaveError`` for no dictionaries and too few tokens.
    """
    tokens = torch.as_tensor(windows, dtype=torch.long)
    if not dictionaries:
        raise UnweaveError("there are no dictionaries to compare: give one or more by name")
    if tokens.dim() != 2 or not len(tokens) or tokens.shape[1] < 3:
        raise UnweaveError(f"windows are {tuple(tokens.shape)}: give [windows, tokens] with 3 tokens or more in each")
    progress = progress or Silent()
    rows = []
    for done, (name, dictionary) in enumerate(dictionaries.items()):
        progress.update(done, len(dictionaries), name)
        rows.append(_row(target, name, dictionary, tokens.split(batch)))
    return Table(
        "dictionaries",
        COLUMNS,
        tuple(tuple(row[column] for column in COLUMNS) for row in rows),
        {"ce": "nats", "ce_mean_ablated": "nats", "ce_target": "nats"},
        f"Windows of {tokens.shape[1]} tokens, first positions left alone. explained: 1 - FVU of what is written. "
        "ce: all groups spliced in at once. recovered: from the places' means (0) to the target (1).",
    )


class _Moments:
    """Sums over tokens of one group: firings, squared errors, and what the variance and mean need."""

    def __init__(self, count: int) -> None:
        self.fired = torch.zeros(count, dtype=torch.float64)
        self.error = self.square = 0.0
        self.total: Tensor | None = None
        self.tokens = 0

    def add(self, reading: Reading, wanted: Tensor | None, made: Tensor | None) -> None:
        flat = fires(reading).flatten(0, -2)
        self.fired += flat.sum(0).double().cpu()
        self.tokens += len(flat)
        if wanted is None or made is None:
            return
        wanted = wanted.flatten(0, -2).double()
        self.error += float((wanted - made.flatten(0, -2).double()).square().sum())
        self.square += float(wanted.square().sum())
        total = wanted.sum(0)
        self.total = total if self.total is None else self.total + total

    def mean(self) -> Tensor | None:
        return None if self.total is None else self.total / self.tokens

    def explained(self) -> float | None:
        if self.total is None:
            return None
        variance = self.square - float(self.total.square().sum()) / self.tokens
        return 1.0 - self.error / variance if variance > 0 else None


def _row(target: Target, name: str, dictionary: Dictionary, batches: tuple[Tensor, ...]) -> dict[str, Any]:
    splicer = _splicer(target, dictionary)
    moments = {group: _Moments(len(features)) for group, features in dictionary.groups.items()}
    for tokens in batches:
        _measure(target, dictionary, splicer, moments, tokens)
    fired = torch.cat([each.fired for each in moments.values()])
    tokens_counted = next(iter(moments.values())).tokens
    clean = _entropy(batches, target.logits)
    row: dict[str, Any] = {
        "dictionary": name,
        "kind": dictionary.kind,
        "groups": len(moments),
        "features": len(fired),
        "alive": float((fired > 0).double().mean()),
        "l0": float(fired.sum()) / tokens_counted,
        "explained": None,
        "ce": None,
        "ce_mean_ablated": None,
        "ce_target": clean,
        "recovered": None,
        "tokens": tokens_counted,
    }
    if splicer is None:
        return row
    explained = [each.explained() for each in moments.values()]
    if all(each is not None for each in explained):
        row["explained"] = float(np.mean(explained))  # type: ignore[arg-type]
    means = {group: each.mean() for group, each in moments.items()}
    places = {group: features.writes for group, features in dictionary.groups.items()}
    with _held(target, {places[group]: mean for group, mean in means.items() if mean is not None}) as logits:
        ablated = _entropy(batches, logits)
    with splicer.spliced() as logits:
        found = _entropy(batches, logits)
    recovered = (ablated - found) / (ablated - clean) if ablated > clean else None
    return row | {"ce": found, "ce_mean_ablated": ablated, "recovered": recovered}


def _measure(
    target: Target, dictionary: Dictionary, splicer: _Splicer | None, moments: Mapping[str, _Moments], tokens: Tensor
) -> None:
    """One forward of the target; readings and reconstructions of its own values."""
    places = {f"reads {name}": features.reads for name, features in dictionary.groups.items()}
    places |= {f"writes {name}": features.writes for name, features in dictionary.groups.items()}
    values = observe(target, places, tokens, logits=False).values
    with torch.no_grad():
        inputs = {name: values[f"reads {name}"] for name in dictionary.groups}
        readings = dictionary.encode(inputs)
        for name, each in moments.items():
            reading = Reading(*(part[:, 1:] for part in readings[name]))
            if splicer is None:
                each.add(reading, None, None)
            else:
                made = splicer.made(name, inputs[name], readings[name])
                each.add(reading, splicer.wanted(name, values[f"writes {name}"])[:, 1:], made[:, 1:])


class _Splicer:
    """Puts what a dictionary writes where the target would have written."""

    def wanted(self, name: str, value: Tensor) -> Tensor:
        """The part of what the target writes that the group is to make."""
        del name
        return value.float()

    def made(self, name: str, inputs: Tensor, reading: Reading) -> Tensor:
        """What the group writes there."""
        raise NotImplementedError

    def spliced(self) -> Any:
        """A context that gives a function from tokens to logits."""
        raise NotImplementedError


def _splicer(target: Target, dictionary: Dictionary) -> _Splicer | None:
    if isinstance(dictionary, SubcomponentDictionary):
        return _Subcomponents(target, dictionary)
    return _Coders(target, dictionary) if isinstance(dictionary, CoderDictionary) else None


class _Coders(_Splicer):
    def __init__(self, target: Target, dictionary: CoderDictionary) -> None:
        self.target, self.coders = target, dictionary.groups

    def made(self, name: str, inputs: Tensor, reading: Reading) -> Tensor:
        del reading
        return self.coders[name].reconstruct(inputs)

    @contextmanager
    def spliced(self) -> Iterator[Callable[[Tensor], Logits]]:
        def logits(tokens: Tensor) -> Logits:
            with ExitStack() as stack:
                for coder in self.coders.values():
                    _splice(stack, self.target, coder, tokens)
                return self.target.logits(tokens)

        yield logits


def _splice(stack: ExitStack, target: Target, coder: Coder, tokens: Tensor) -> None:
    read: list[Tensor] = []

    def keep(value: Any) -> None:
        read[:] = [seen(coder.reads, value, tokens)]

    def write(value: Any) -> Any:
        own = seen(coder.writes, value, tokens)
        if coder.reads != coder.writes and not read:
            raise UnweaveError(f"{coder.name} writes to {coder.writes.module!r} before it has read")
        # A coder of one place sees its value here; another's input was kept when its module was called.
        made = coder.reconstruct(own if coder.reads == coder.writes else read[0]).to(own.dtype)
        return written(coder.writes, value, torch.cat([own[:, :1], made[:, 1:]], 1))

    if coder.reads != coder.writes:
        stack.callback(hook_place(target, coder.reads, keep).remove)
    stack.callback(hook_place(target, coder.writes, write).remove)


class _Subcomponents(_Splicer):
    """Masks by importance, without the delta, as the quality ladder's."""

    def __init__(self, target: Target, dictionary: SubcomponentDictionary) -> None:
        self.target, self.made_of = target, dictionary.decomposition
        if self.made_of.base is not None:
            raise UnweaveError(
                f"{dictionary.name} takes apart the difference from an earlier checkpoint, so without the rest of the "
                "weights it writes nothing that could be spliced in: measure it with `unweave evaluate`"
            )
        self.sites = {name: target.site(name) for name in dictionary.groups}

    def wanted(self, name: str, value: Tensor) -> Tensor:
        bias = self.target.bias(self.sites[name])
        return value.float() if bias is None else value.float() - bias.float()

    def made(self, name: str, inputs: Tensor, reading: Reading) -> Tensor:
        pieces = self.made_of.site(name)
        return (inputs.float() @ pieces.V * reading.importance) @ pieces.U

    @contextmanager
    def spliced(self) -> Iterator[Callable[[Tensor], Logits]]:
        pieces = {name: Pieces(each.V, each.U) for name, each in self.made_of.sites.items()}
        model = MaskedTarget(self.target, list(self.sites.values()))

        def logits(tokens: Tensor) -> Logits:
            on_device = tokens.to(self.target.device)
            _, inputs = model.clean(on_device)
            masks = {}
            for name, g in self.made_of.importances(inputs).items():
                delta = torch.zeros_like(g[..., :1])
                masks[name] = Mask(_first_on(g, tokens), _first_on(delta, tokens))
            return model.masked(on_device, pieces, masks)

        with model.attached():
            yield logits


def _first_on(mask: Float[Tensor, "*rows c"], tokens: Int[Tensor, "n t"]) -> Float[Tensor, "*rows c"]:
    """The mask with everything on at the first position; a site may see windows flattened."""
    by_window = mask.reshape(*tokens.shape, -1)
    return torch.cat([torch.ones_like(by_window[:, :1]), by_window[:, 1:]], 1).reshape(mask.shape)


@contextmanager
def _held(target: Target, means: Mapping[Place, Tensor]) -> Iterator[Callable[[Tensor], Logits]]:
    """Places held at a value, but at the first position."""

    def logits(tokens: Tensor) -> Logits:
        def holder(place: Place, mean: Tensor) -> Callable[[Any], Any]:
            def hold(value: Any) -> Any:
                own = seen(place, value, tokens)
                return written(place, value, torch.cat([own[:, :1], mean.to(own).expand_as(own)[:, 1:]], 1))

            return hold

        with ExitStack() as stack:
            for place, mean in means.items():
                stack.callback(hook_place(target, place, holder(place, mean)).remove)
            return target.logits(tokens)

    yield logits


def _entropy(batches: tuple[Tensor, ...], logits: Callable[[Tensor], Logits]) -> float:
    """Mean cross-entropy of the next token in nats, of tokens that have a logit; what is said first is left out."""
    total, count = 0.0, 0
    with torch.no_grad():
        for tokens in batches:
            found = logits(tokens).float()
            following = following_tokens(tokens.to(found.device), found.shape[1], found.shape[2])[:, 1:]
            total += float(
                torch.nn.functional.cross_entropy(
                    found[:, 1:-1].flatten(0, 1), following.flatten(), reduction="sum", ignore_index=LEFT_OUT
                )
            )
            count += int((following != LEFT_OUT).sum())
    return total / count
