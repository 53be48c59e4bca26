"""The attribution graph of typed text, as the page shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.read.features import SubcomponentDictionary
from unweave.read.typed_text import typed_text
from unweave.read.view_models import GraphAnswer, GraphEdge, GraphNode, GraphRequest

if TYPE_CHECKING:
    from unweave.read.graph import Node, PromptGraph
    from unweave.read.subject import Subject

TOKENS = 64
"""A graph grows with the square of its text."""
_KINDS = {"embedding": "token", "subcomponent": "feature", "logit": "answer"}


def graph_of(subject: Subject, request: GraphRequest) -> GraphAnswer:
    """Edges between the subcomponents that fire on a text and one next token.

    Raises ``UnweaveError`` for a dictionary that is not of subcomponents, a text of more than ``TOKENS`` tokens, and an
    answer that is not one token.
    """
    from unweave.read.attribution import prompt_graph

    target, dictionary = subject.target, subject.dictionary
    if not isinstance(dictionary, SubcomponentDictionary):
        raise UnweaveError(
            f"a prompt graph is made of subcomponents, and {dictionary.name} holds another kind: {dictionary.kind}"
        )
    tokens = typed_text(target, request.text).tokens[0]
    if len(tokens) > TOKENS:
        raise UnweaveError(f"the text has more than {TOKENS} tokens: a graph of so many cannot be read, so shorten it")
    with subject.running(request.with_edits) as edits:
        found = prompt_graph(
            target,
            dictionary,
            tokens,
            logits=1 if request.answer is None else [answer_token(subject, request.answer)],
            nodes=request.nodes,
            edges=request.edges,
            attention="through" if request.attention else "values only",
        )
    return _answer(subject, found, edits)


def answer_token(subject: Subject, text: str) -> int:
    """The one token that a text is; raises ``UnweaveError`` where it is more or none."""
    ids = subject.target.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    if len(ids) != 1:
        split = [subject.target.tokenizer.decode([token]) for token in ids]
        raise UnweaveError(f"answer {text!r} is {len(ids)} tokens {split}, and must be one: mind the space before it")
    return int(ids[0])


def _answer(subject: Subject, graph: PromptGraph, edits: list[str]) -> GraphAnswer:
    end = graph.logits[0]
    ids = [node.id for node in graph.nodes]
    passed = ", ".join(graph.passed_through[:3]) + (" and others" if len(graph.passed_through) > 3 else "")
    return GraphAnswer(
        tokens=list(graph.tokens),
        answer=end.token,
        answer_token=int(end.name.rpartition(":")[2]),
        probability=end.importance,
        nodes=[_node(subject, graph, node, end.importance) for node in graph.nodes],
        edges=[
            GraphEdge(source=ids[source], target=ids[target], weight=float(weight), strength=float(strength))
            for source, target, weight, strength in zip(
                graph.sources, graph.targets, graph.weights, graph.strengths(), strict=True
            )
        ],
        all_nodes=graph.fired,
        method=f"gradient times activation, stopped at every other feature; attention {graph.attention}, "
        f"norms {graph.norms}{f'; gradients pass {passed}' if passed else ''}",
        edits=edits,
    )


def _node(subject: Subject, graph: PromptGraph, node: Node, probability: float) -> GraphNode:
    is_feature = node.kind == "subcomponent"
    row = subject.harvest.row(node.name) if is_feature else None
    group = node.name.rpartition(":")[0] if is_feature else ""
    return GraphNode(
        id=node.id,
        kind=_KINDS[node.kind],  # type: ignore[arg-type]
        name=node.name if is_feature else node.token,
        row=row,
        label="" if row is None else subject.labels.text[row],
        group=group,
        layer=subject.target.site(group).layer if is_feature else None,
        position=node.position,
        importance=node.importance if is_feature else None,
        activation=node.activation,
        # The graph weighs effects by the answer's probability.
        contribution=None if node.kind == "logit" else node.effect / max(probability, 1e-30),
        shown=graph.shown(node.id)[0] if node.id in graph.inflows else None,
    )
