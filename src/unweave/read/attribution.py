"""Attribution on one prompt: gradient times activation, from subcomponent to subcomponent and on to the logits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError, nearest
from unweave.base.memory import available_memory
from unweave.base.progress import Progress, Silent
from unweave.decompose.decomposition import Decomposition
from unweave.models.target import Target
from unweave.read.cut import Attention, CutTarget, Norms, Pass, Written
from unweave.read.features import SubcomponentDictionary
from unweave.read.graph import Inflow, Node, PromptGraph

NODES, EDGES, LOGITS = 300, 3000, 5
_SHARE = 0.8
"""Part of the free memory that a graph may take."""


def prompt_graph(
    target: Target,
    decomposition: Decomposition | SubcomponentDictionary,
    prompt: str | Sequence[int] | Int[Tensor, " t"],
    *,
    logits: int | Sequence[int] = LOGITS,
    position: int = -1,
    nodes: int | None = NODES,
    edges: int | None = EDGES,
    threshold: float = 0.0,
    keep: Iterable[str] = (),
    attention: Attention = "through",
    norms: Norms = "frozen",
    progress: Progress | None = None,
) -> PromptGraph:
    """Edges between the subcomponents that fire on a prompt, from its embeddings, and to logits at one position.

    An edge c' -> c is ``(d a_c / d a_c') a_c' g_c'``, gradients stopped at every other subcomponent (VPD, prompt
    graphs): a is ``||u|| v . x``, g the causal importance. ``logits`` are tokens, or how many of the likeliest; each
    counts less the mean logit. ``nodes`` keeps those subcomponents of the largest effect on them, ids in ``keep`` stay
    whatever theirs is (None: all that fire); ``edges`` and ``threshold`` prune as ``PromptGraph.pruned`` does.
    ``attention="values only"`` takes attention patterns as given; ``norms="frozen"`` the scales of norms, so that what
    flows into a node adds up to it, while ``"through"`` gives the plain gradient (into what reads an RMSNorm that adds
    up to about 0, because its output does not depend on its input's size).

    Raises ``UnweaveError`` for a prompt without tokens, an unknown id in ``keep``, or too little memory.
    """
    made = decomposition.decomposition if isinstance(decomposition, SubcomponentDictionary) else decomposition
    if nodes is not None and nodes < 0:
        raise UnweaveError(f"nodes is {nodes}, and it must not be negative")
    tokens, keep = prompt_tokens(target, prompt), list(keep)
    model = CutTarget(target, made, attention, norms)
    places = _Places(tokens.shape[1], position)
    whole = model.run(tokens, cut=False)
    ends = places.logits(target, whole, logits)
    effects = _effects(_sources(model, whole, tokens.shape[1]), whole, ends)
    del whole
    cut = model.run(tokens)
    sources = _sources(model, cut, tokens.shape[1])
    chosen = _choose(sources, effects, nodes, keep)
    _check_memory(sources, sum(map(len, chosen.values())) + len(ends))
    found = _Tracer(target, model, cut, tokens, sources).graph(ends, effects, chosen, progress or Silent())
    return found.pruned(None, edges, threshold, keep)


def node_effects(
    target: Target,
    decomposition: Decomposition,
    tokens: Sequence[int],
    positions: Sequence[int] = (-1,),
    among: Sequence[int] | None = None,
) -> dict[str, float]:
    """Gradient times activation of every subcomponent that fires on a prompt, by id.

    It is ``Node.effect`` with plain gradients, on the five likeliest logits at each position, or on those ``among``,
    less their mean; summed over positions.
    """
    window = prompt_tokens(target, tokens)
    model = CutTarget(target, decomposition, norms="through")
    whole = model.run(window, cut=False)
    sources = _sources(model, whole, window.shape[1])
    found: dict[str, float] = {}
    for position in positions:
        ends = _Places(window.shape[1], position).logits(target, whole, LOGITS if among is None else among, among)
        effects = _effects(sources, whole, ends)
        for name, source in sources.items():
            if not source.embedding:
                for node, size in zip(source.ids(name), effects[name].tolist(), strict=True):
                    found[node] = found.get(node, 0.0) + size
    return found


def prompt_tokens(target: Target, prompt: str | Sequence[int] | Tensor) -> Int[Tensor, "1 t"]:
    """A prompt as one window of tokens; raises ``UnweaveError`` for one without any."""
    if isinstance(prompt, str):
        if target.tokenizer is None:
            raise UnweaveError(f"{target.name} has no tokenizer: give the prompt as token numbers")
        prompt = target.tokenizer(prompt, verbose=False)["input_ids"]
    tokens = torch.as_tensor(prompt, dtype=torch.long).reshape(1, -1)
    if not tokens.numel():
        raise UnweaveError("the prompt has no tokens: give some text")
    return tokens


def token_text(target: Target, token: int) -> str:
    """How a token reads."""
    return str(token) if target.tokenizer is None else target.tokenizer.decode([token])


class End(NamedTuple):
    """A logit that edges end at: its token, its position, its probability, and its value less the mean logit."""

    token: int
    position: int
    probability: float
    value: Tensor


class _Places:
    """Positions of a prompt: logits and sites may be there for its last tokens only."""

    def __init__(self, count: int, position: int) -> None:
        if not -count <= position < count:
            raise UnweaveError(f"position {position} is not in the prompt, which has {count} tokens")
        self.count, self.position = count, position % count

    def logits(
        self, target: Target, whole: Pass, wanted: int | Sequence[int], among: Sequence[int] | None = None
    ) -> list[End]:
        """The likeliest tokens or those wanted, with probabilities and mean over all tokens or those ``among``."""
        place = self.position - (self.count - whole.logits.shape[1])
        if place < 0:
            raise UnweaveError(f"{target.name} predicts nothing at position {self.position}: choose a later one")
        row = whole.logits[0, place]
        probabilities = row.detach().softmax(-1)
        if isinstance(wanted, int):
            tokens = probabilities.topk(min(wanted, len(row))).indices.tolist()
        else:
            tokens = [int(token) for token in wanted]
        for token in tokens:
            if not 0 <= token < len(row):
                raise UnweaveError(f"token {token} has no logit: {target.name} has tokens 0 to {len(row) - 1}")
        if not tokens:
            raise UnweaveError("a graph needs at least one logit to end at: set logits to 1 or more")
        if among is not None:
            probabilities = torch.zeros_like(probabilities).index_copy(
                0, torch.tensor(among, device=row.device), row.detach()[list(among)].softmax(-1)
            )
        centred = row - (row if among is None else row[list(among)]).mean()
        return [End(token, self.position, float(probabilities[token]), centred[token]) for token in tokens]


class _Source(NamedTuple):
    """All edges' beginnings at one place where gradients stop: subcomponents that fire at a site, or embeddings."""

    rows: Int[Tensor, " k"]
    index: Int[Tensor, " k"]
    """Of the subcomponent, or of what was looked up."""
    vectors: Float[Tensor, "k d"]
    """What each adds there, by its importance."""
    offset: int
    """Tokens before the first row."""
    embedding: bool

    def ids(self, name: str) -> list[str]:
        pairs = zip(self.index.tolist(), self.rows.tolist(), strict=True)
        return [f"{name}:{index}@{row + self.offset}" for index, row in pairs]


def _sources(model: CutTarget, passed: Pass, count: int) -> dict[str, _Source]:
    """Embeddings first, then sites in the order that they are called in."""
    found = {}
    for name, (looked_up, vectors) in passed.embeddings.items():
        # Whatever is looked up otherwise than once a token (a token type for the whole text) is a constant.
        if looked_up.numel() == count:
            rows = torch.arange(count, device=vectors.device)
            flat = vectors.detach().reshape(count, -1).float()
            found[name] = _Source(rows, looked_up.flatten(), flat, 0, True)
    for name, site in passed.sites.items():
        rows, index = site.fires[0].nonzero(as_tuple=True)
        vectors = model.writers[name][index] * site.weighted[0, rows, index, None]
        found[name] = _Source(rows, index, vectors, count - passed.rows, False)
    return found


def _products(source: _Source, gradient: Tensor) -> Float[Tensor, " k"]:
    rows = gradient.reshape(-1, gradient.shape[-1])
    return (rows[source.rows] * source.vectors).sum(-1)


def _effects(sources: Mapping[str, _Source], whole: Pass, ends: Sequence[End]) -> dict[str, Float[Tensor, " k"]]:
    """For each beginning how much it moves the logits by all ways together (see ``Node.effect``)."""
    found = {name: torch.zeros(len(source.rows), device=source.vectors.device) for name, source in sources.items()}
    for end in ends:
        for name, gradient in whole.gradients(end.value).items():
            if name in sources:
                found[name] += end.probability * _products(sources[name], gradient).abs()
    return found


def _choose(
    sources: Mapping[str, _Source], effects: Mapping[str, Tensor], count: int | None, keep: Sequence[str]
) -> dict[str, Int[Tensor, " m"]]:
    """Which beginnings are nodes: all embeddings, the ``count`` subcomponents of the largest effect, and ``keep``."""
    names = [name for name, source in sources.items() if not source.embedding]
    sizes = torch.cat([effects[name].cpu() for name in names])
    stays = torch.zeros(len(sizes), dtype=torch.bool)
    stays[sizes.argsort(descending=True, stable=True)[: len(sizes) if count is None else count]] = True
    ids = [each for name in names for each in sources[name].ids(name)]
    place = {each: number for number, each in enumerate(ids)}
    for each in keep:
        if each in place:
            stays[place[each]] = True
        elif not any(each in s.ids(n) for n, s in sources.items() if s.embedding) and not each.startswith("logits:"):
            raise UnweaveError(f"{each!r} does not fire in this prompt; {nearest(each, place)}")
    parts = stays.split([len(sources[name].rows) for name in names])
    found = {name: torch.arange(len(source.rows)) for name, source in sources.items() if source.embedding}
    return found | {name: part.nonzero()[:, 0] for name, part in zip(names, parts, strict=True)}


def _check_memory(sources: Mapping[str, _Source], nodes: int) -> None:
    device = next(iter(sources.values())).vectors.device
    # Every pair may be an edge of a weight and two ends, copied once when it is pruned.
    needed, free = 2 * 20 * nodes * nodes // 2, available_memory(torch.device("cpu"))
    held = sum(2 * source.vectors.numel() * 4 for source in sources.values())
    needed += held if device.type == "cpu" else 0
    if free is not None and needed > _SHARE * free:
        raise UnweaveError(
            f"a graph of {nodes:,} nodes may take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: set nodes "
            "lower"
        )


class _Tracer:
    """Follows gradients from every node back to where they stop."""

    def __init__(
        self, target: Target, model: CutTarget, cut: Pass, tokens: Tensor, sources: Mapping[str, _Source]
    ) -> None:
        self.target, self.model, self.cut, self.tokens, self.sources = target, model, cut, tokens, sources
        self.written: dict[str, Written] = {name: model.written(name, site) for name, site in cut.sites.items()}

    def graph(
        self,
        ends: Sequence[End],
        effects: Mapping[str, Tensor],
        chosen: Mapping[str, Tensor],
        progress: Progress,
    ) -> PromptGraph:
        nodes = [node for name in self.sources for node in self._nodes(name, chosen[name], effects[name])]
        first, count = {}, 0
        for name in self.sources:
            first[name], count = count, count + len(chosen[name])
        found: list[tuple[np.ndarray, int, np.ndarray]] = []
        inflows = {}

        def trace(gradients: Mapping[str, Tensor], here: Node, number: int) -> None:
            products = {n: _products(self.sources[n], g) for n, g in gradients.items() if n in self.sources}
            inflows[here.id] = self._inflow(gradients, products)
            for name, values in products.items():
                kept = values[chosen[name].to(values.device)].cpu().numpy()
                live = np.flatnonzero(kept)
                found.append((first[name] + live, number, kept[live]))

        total = len(nodes) + len(ends)
        for name, site in self.cut.sites.items():
            source, reader = self.sources[name], self.model.readers[name]
            for place, each in enumerate(chosen[name].tolist()):
                number = first[name] + place
                along = torch.zeros_like(site.input)
                along[0, source.rows[each]] = reader[:, source.index[each]].to(along.dtype)
                trace(self.cut.gradients(site.input, along), nodes[number], number)
                progress.update(number, total, name)
        again = self._ends(ends)
        for end in again:
            nodes.append(
                Node(
                    f"logits:{end.token}", end.position, token_text(self.target, end.token), "logit", end.probability,
                    float(end.value.detach()), end.probability,
                )
            )  # fmt: skip
            trace(self.cut.gradients(end.value), nodes[-1], len(nodes) - 1)
        progress.update(total, total, "logits")
        ids = self.tokens[0].tolist()
        return PromptGraph(
            tokens=tuple(token_text(self.target, token) for token in ids),
            token_ids=tuple(ids),
            nodes=tuple(nodes),
            sources=np.concatenate([s for s, _, _ in found]) if found else np.zeros(0, np.int64),
            targets=np.concatenate([np.full(len(s), t) for s, t, _ in found]) if found else np.zeros(0, np.int64),
            weights=np.concatenate([w for _, _, w in found]) if found else np.zeros(0, np.float32),
            inflows=inflows,
            target=self.target.identity.digest,
            target_name=self.target.name,
            decomposition=self.model.decomposition.digest(),
            attention=self.model.attention,
            norms=self.model.norms,
            passed_through=tuple(self.model.passed_through),
            fired=sum(len(source.rows) for source in self.sources.values() if not source.embedding),
        )

    def _ends(self, ends: Sequence[End]) -> list[End]:
        """The same logits in the pass whose gradients stop."""
        logits = self.cut.logits[0]
        found = []
        for end in ends:
            row = logits[end.position - (self.tokens.shape[1] - len(logits))]
            found.append(end._replace(value=row[end.token] - row.mean()))
        return found

    def _nodes(self, name: str, chosen: Tensor, effects: Tensor) -> list[Node]:
        source = self.sources[name]
        rows, index = source.rows.cpu()[chosen], source.index.cpu()[chosen]
        if source.embedding:
            importance, activation = torch.ones(len(chosen)), source.vectors.norm(dim=-1).cpu()[chosen]
        else:
            site = self.cut.sites[name]
            importance, activation = site.importance[0].cpu()[rows, index], site.activation[0].cpu()[rows, index]
        ids = self.tokens[0].tolist()
        columns = (rows + source.offset, index, importance, activation, effects.cpu()[chosen])
        return [
            Node(
                f"{name}:{number}", position, token_text(self.target, ids[position]),
                "embedding" if source.embedding else "subcomponent", g, a, effect,
            )
            for position, number, g, a, effect in zip(*(column.tolist() for column in columns), strict=True)
        ]  # fmt: skip

    def _inflow(self, gradients: Mapping[str, Tensor], products: Mapping[str, Tensor]) -> Inflow:
        sums = dict.fromkeys(("subcomponents", "embeddings", "rest", "delta", "bias", "size"), 0.0)
        for name, gradient in gradients.items():
            if name in products:
                sums["size"] += float(products[name].abs().sum())
            if name in self.cut.embeddings:
                vectors = self.cut.embeddings[name][1].detach().float()
                sums["embeddings"] += float((gradient * vectors).sum())
                continue
            written = self.written[name]
            sums["subcomponents"] += float(products[name].sum())
            for part in ("rest", "delta", "bias"):
                sums[part] += float((gradient * getattr(written, part)).sum())
        return Inflow(**sums)
