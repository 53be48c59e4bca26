"""The graph of one prompt: which subcomponents fire where, and how much each adds to what comes after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unweave.base.errors import UnweaveError, nearest
from unweave.base.files import read_json, write_json

FORMAT = 1


@dataclass(frozen=True)
class Node:
    """A subcomponent at a position, an embedding that was looked up there, or the logit of a token that may follow."""

    name: str
    """``site:index``; for an embedding its module and the index looked up, for a logit ``logits:token``."""
    position: int
    token: str
    """The token at the position; of a logit the token that it speaks for."""
    kind: Literal["subcomponent", "embedding", "logit"]
    importance: float
    """Causal importance; the probability of a logit's token; 1 for an embedding."""
    activation: float
    """``||u|| v . x``; a logit less the mean logit; an embedding's norm."""
    effect: float = 0.0
    """By gradient, how much it moves the graph's logits by all ways together: absolute values, weighted by the tokens'
    probabilities. A logit has its own probability."""

    @property
    def id(self) -> str:
        return f"{self.name}@{self.position}"


@dataclass(frozen=True)
class Inflow:
    """Where a node's activation comes from: gradient times what was added, summed over all that is before it."""

    subcomponents: float
    """Those that fire, each times its importance: all that edges can show."""
    embeddings: float
    rest: float
    """Subcomponents that do not fire, and the part of those that fire which their importance leaves out."""
    delta: float
    bias: float
    size: float
    """Sum of the absolute values of all edges that end here, shown or not."""

    @property
    def total(self) -> float:
        """What all of it adds up to. It is the activation itself where the way is linear (scales of norms given) and
        every bias on it belongs to a site of the decomposition."""
        return self.subcomponents + self.embeddings + self.rest + self.delta + self.bias


@dataclass(frozen=True)
class PromptGraph:
    """Nodes and edges of one prompt. ``edges[i]`` goes from ``nodes[sources[i]]`` to ``nodes[targets[i]]``.

    An edge is the gradient of the target's activation along what the source writes, times the source's activation and
    importance: its direct effect, past no other subcomponent.
    """

    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    nodes: tuple[Node, ...]
    sources: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    inflows: Mapping[str, Inflow]
    """By the id of every node that is not an embedding."""
    target: str
    """Identity of the target."""
    target_name: str
    decomposition: str
    """Hash of the decomposition."""
    attention: str
    norms: str
    passed_through: tuple[str, ...]
    """Matrices that are not taken apart, which edges pass."""
    fired: int
    """Subcomponents that fire in the prompt, a position each: what the nodes were chosen from."""
    pinned: frozenset[str] = field(default_factory=frozenset)

    def __repr__(self) -> str:
        return f"PromptGraph({len(self.tokens)} tokens, {len(self.nodes)} nodes, {len(self.weights)} edges)"

    @property
    def logits(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.kind == "logit")

    def node(self, name: str) -> Node:
        """A node by its id."""
        by_id = {node.id: node for node in self.nodes}
        if name not in by_id:
            raise UnweaveError(f"node {name!r} is not in this graph; {nearest(name, by_id)}")
        return by_id[name]

    def edges_into(self, name: str) -> list[tuple[Node, float]]:
        """The shown edges that end at a node, largest first."""
        return self._beside(name, self.targets, self.sources)

    def edges_from(self, name: str) -> list[tuple[Node, float]]:
        """The shown edges that begin at a node, largest first."""
        return self._beside(name, self.sources, self.targets)

    def _beside(self, name: str, here: np.ndarray, there: np.ndarray) -> list[tuple[Node, float]]:
        index = self.nodes.index(self.node(name))
        found = [(self.nodes[there[edge]], float(self.weights[edge])) for edge in np.flatnonzero(here == index)]
        return sorted(found, key=lambda pair: -abs(pair[1]))

    def shown(self, name: str) -> tuple[float, float]:
        """Of all edges that end at a node, what part of their sum of absolute values is shown; and the shown sum."""
        weights = self.weights[self.targets == self.nodes.index(self.node(name))]
        size = self.inflows[name].size
        return (float(np.abs(weights).sum()) / size if size else 1.0), float(weights.sum())

    def strengths(self) -> np.ndarray:
        """How much each edge matters: its share of its target's inflow, times the target's effect on the logits."""
        size = np.array([self.inflows[node.id].size if node.id in self.inflows else 0.0 for node in self.nodes])
        effect = np.array([abs(node.effect) for node in self.nodes])
        scale = np.divide(effect, size, out=np.zeros_like(size), where=size > 0)
        return np.abs(self.weights) * scale[self.targets]

    def pruned(
        self,
        nodes: int | None = None,
        edges: int | None = None,
        threshold: float = 0.0,
        keep: Iterable[str] = (),
    ) -> PromptGraph:
        """The graph with fewer nodes and edges.

        ``nodes``: so many subcomponents and embeddings, those of the largest effect. ``edges``: so many edges, the
        strongest (see ``strengths``). ``threshold``: no edge whose absolute weight is below this part of its target's
        inflow. Nodes in ``keep`` (ids), those pinned before and logits stay, and so does the strongest edge at either
        side of a node in ``keep``.
        """
        pinned = self.pinned | {self.node(name).id for name in keep}
        for name, value in (("nodes", nodes), ("edges", edges), ("threshold", threshold)):
            if value is not None and value < 0:
                raise UnweaveError(f"{name} is {value}, and it must not be negative")
        free = [i for i, node in enumerate(self.nodes) if node.kind != "logit" and node.id not in pinned]
        free.sort(key=lambda index: -abs(self.nodes[index].effect))
        dropped = set(free[nodes:] if nodes is not None else [])
        stays = np.array([index not in dropped for index in range(len(self.nodes))], bool)
        kept = stays[self.sources] & stays[self.targets]
        size = np.array([self.inflows[node.id].size if node.id in self.inflows else 0.0 for node in self.nodes])
        kept &= np.abs(self.weights) >= threshold * size[self.targets]
        strengths = np.where(kept, self.strengths(), -1.0)
        if edges is not None and kept.sum() > edges:
            chosen = np.argsort(-strengths, kind="stable")[:edges]
            few = np.zeros_like(kept)
            few[chosen] = True
            for index in (i for i, node in enumerate(self.nodes) if node.id in pinned):
                for side in (self.sources, self.targets):
                    own = np.where(side == index, strengths, -1.0)
                    if len(own) and own.max() >= 0:
                        few[int(own.argmax())] = True
            kept &= few
        place = np.cumsum(stays) - 1
        remaining = tuple(node for node, stay in zip(self.nodes, stays, strict=True) if stay)
        ids = {node.id for node in remaining}
        return replace(
            self,
            nodes=remaining,
            sources=place[self.sources[kept]],
            targets=place[self.targets[kept]],
            weights=self.weights[kept],
            inflows={name: inflow for name, inflow in self.inflows.items() if name in ids},
            pinned=frozenset(pinned),
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON values: what ``save`` writes and the page shows."""
        ids = [node.id for node in self.nodes]
        return {
            "format": FORMAT,
            "target": self.target,
            "target_name": self.target_name,
            "decomposition": self.decomposition,
            "attention": self.attention,
            "norms": self.norms,
            "passed_through": list(self.passed_through),
            "tokens": list(self.tokens),
            "token_ids": list(self.token_ids),
            "fired": self.fired,
            "pinned": sorted(self.pinned),
            "nodes": [{"id": node.id, **asdict(node)} for node in self.nodes],
            "edges": [
                {"source": ids[source], "target": ids[target], "weight": float(weight)}
                for source, target, weight in zip(self.sources, self.targets, self.weights, strict=True)
            ],
            "inflows": {
                name: {**asdict(inflow), "total": inflow.total, "shown": self.shown(name)[0]}
                for name, inflow in self.inflows.items()
            },
        }

    def save(self, path: Path) -> None:
        """Writes the graph as JSON, whole or not at all."""
        write_json(path, self.as_dict())

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], where: str = "the graph") -> PromptGraph:
        """From what ``as_dict`` gives; raises ``UnweaveError`` for another format, or what is damaged."""
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            found = value.get("format") if isinstance(value, dict) else None
            raise UnweaveError(f"{where} is not a prompt graph of format {FORMAT} (it has {found}): make it again")
        try:
            nodes = tuple(Node(**{k: v for k, v in each.items() if k != "id"}) for each in value["nodes"])
            place = {node.id: index for index, node in enumerate(nodes)}
            edges = value["edges"]
            return cls(
                tuple(value["tokens"]),
                tuple(value["token_ids"]),
                nodes,
                np.array([place[edge["source"]] for edge in edges], np.int64),
                np.array([place[edge["target"]] for edge in edges], np.int64),
                np.array([edge["weight"] for edge in edges], np.float32),
                {
                    name: Inflow(**{k: v for k, v in each.items() if k not in ("total", "shown")})
                    for name, each in value["inflows"].items()
                },
                value["target"],
                value["target_name"],
                value["decomposition"],
                value["attention"],
                value["norms"],
                tuple(value["passed_through"]),
                value["fired"],
                frozenset(value["pinned"]),
            )
        except (KeyError, TypeError) as error:
            raise UnweaveError(f"{where} is damaged ({error}): make it again") from error

    @classmethod
    def load(cls, path: Path) -> PromptGraph:
        """Reads a saved graph."""
        return cls.from_dict(read_json(path), str(path))

    def check(self, target: str, decomposition: str) -> None:
        """Raises ``UnweaveError`` unless the graph is of that target and that decomposition."""
        if (target, decomposition) != (self.target, self.decomposition):
            raise UnweaveError(
                f"this graph is of target {self.target} with decomposition {self.decomposition}, not of {target} with "
                f"{decomposition}: make it again"
            )
