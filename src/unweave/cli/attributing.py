"""The commands that trace what feeds what: the graph of a prompt, edges over text, and the circuit of a behaviour."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.arguments import count, names, whole
from unweave.base.configs import parse_settings, plain_config, typed_config
from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output
from unweave.base.progress import Terminal
from unweave.cli.shared import (
    Command,
    grid,
    hardware_options,
    new_run,
    open_corpus,
    open_decomposition,
    open_target,
    run_value,
    set_option,
)

if TYPE_CHECKING:
    from unweave.models import Target
    from unweave.read.graph import PromptGraph

SHOWN_EDGES = 6


def _subject_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="polyglot, pupil, smollm2, a folder, a hub id or a .gguf file")
    parser.add_argument("decomposition", metavar="DECOMPOSITION", help="its folder, or the name of a bundled one")
    hardware_options(parser)


def _attribute_options(parser: argparse.ArgumentParser) -> None:
    _subject_options(parser)
    parser.add_argument("--text", help="the prompt whose graph is wanted")
    parser.add_argument("--position", type=int, default=-1, help="token that the logits follow (default: -1, the last)")
    parser.add_argument("--logits", type=count, default=5, help="likeliest next tokens to trace (default: 5)")
    parser.add_argument("--nodes", type=whole, default=300, help="subcomponents of the largest effect (default: 300)")
    parser.add_argument("--edges", type=whole, default=3000, help="strongest edges between them (default: 3000)")
    parser.add_argument("--keep", metavar="ID", action="append", default=[], help="a node to keep: SITE:INDEX@POSITION")
    parser.add_argument(
        "--corpus", help="instead of a prompt: sum the edges over text, parallel, declaration, or the path of your own"
    )
    parser.add_argument("--windows", type=count, default=4, help="with --corpus: windows for each label (default: 4)")
    parser.add_argument("--targets", type=names, help="with --corpus: SITE:INDEX,... to trace (default: all that fire)")
    parser.add_argument(
        "--attention",
        choices=("through", "values only"),
        default="through",
        help="through: effects by way of attention patterns count; values only: patterns are taken as given",
    )
    parser.add_argument(
        "--norms",
        choices=("frozen", "through"),
        default="frozen",
        help="frozen: the scales of norms are taken as given, so that edges add up; through: the plain gradient",
    )
    parser.add_argument("--out", metavar="PATH", type=Path, help="where to: a JSON file, with --corpus a new folder")


def _attribute(args: argparse.Namespace) -> Output:
    if (args.text is None) == (args.corpus is None):
        raise UnweaveError("give a prompt with --text, or text to sum over with --corpus")
    if args.corpus is not None:
        return _attribute_corpus(args)
    from unweave.read import prompt_graph

    made, target = open_decomposition(args.decomposition), open_target(args)
    graph = prompt_graph(
        target,
        made,
        args.text,
        logits=args.logits,
        position=args.position,
        nodes=args.nodes,
        edges=args.edges,
        keep=args.keep,
        attention=args.attention,
        norms=args.norms,
        progress=Terminal("attribute"),
    )
    lines = _shown(graph)
    if args.out is not None:
        graph.save(args.out)
        lines.append(f"the graph is in {args.out}")
    return Output(graph.as_dict(), lines)


def _shown(graph: PromptGraph) -> list[str]:
    kinds = [node.kind for node in graph.nodes]
    lines = [
        f"{graph.fired} subcomponents fire, a position each; {kinds.count('subcomponent')} nodes and "
        f"{len(graph.weights)} edges are kept. Attention: {graph.attention}. Norms: {graph.norms}.",
    ]
    if graph.passed_through:
        lines.append(f"Edges pass {len(graph.passed_through)} matrices that are not taken apart.")
    for logit in graph.logits:
        inflow, (part, _) = graph.inflows[logit.id], graph.shown(logit.id)
        lines += [
            "",
            f"{logit.token!r}, probability {logit.importance:.3f}, logit {logit.activation:+.2f}: subcomponents "
            f"{inflow.subcomponents:+.2f}, embeddings {inflow.embeddings:+.2f}, pieces that do not count "
            f"{inflow.rest:+.2f}, deltas {inflow.delta:+.2f}, biases {inflow.bias:+.2f}; {part:.0%} of its edges shown",
        ]
        lines += [
            f"  {weight:+8.3f}  {node.name} at {node.position}, {node.token!r}"
            for node, weight in graph.edges_into(logit.id)[:SHOWN_EDGES]
        ]
    return lines


def _attribute_corpus(args: argparse.Namespace) -> Output:
    import torch

    from unweave.corpora.windows import windows_by_label
    from unweave.read.attribution_data import dataset_attribution

    if args.out is None:
        raise UnweaveError("edges over text need a place: give a new folder with --out")
    corpus, made, target = open_corpus(args), open_decomposition(args.decomposition), open_target(args)
    windows = windows_by_label(target.tokenizer, corpus, "selection", at_most=args.windows)
    chosen = {"targets": args.targets, "attention": args.attention, "norms": args.norms}
    settings = {"target": args.target, "decomposition": args.decomposition, "corpus": corpus.name, **chosen}
    settings |= {"windows": args.windows, "out": str(args.out), "identity": target.identity.digest}
    args.kept.append(f"the same command goes on from {args.out}.parts")
    with new_run(args, "attribute", settings) as run:
        table = dataset_attribution(
            target,
            made,
            torch.cat([torch.as_tensor(rows) for rows in windows.values()]),
            **chosen,
            out=args.out,
            progress=run.progress,
        )
        run.log(edges=len(table), tokens=table.tokens)
    value = {"edges": len(table), "tokens": table.tokens, "edges_path": str(args.out)}
    return Output(run_value(run) | value, [f"{len(table)} edges over {table.tokens} tokens are in {args.out}"])


def _circuit_options(parser: argparse.ArgumentParser) -> None:
    _subject_options(parser)
    parser.add_argument("--text", required=True, help="the prompt whose next token is the behaviour")
    parser.add_argument(
        "--positions", metavar="N,...", type=names, default=["-1"], help="positions it is at (default: -1, the last)"
    )
    parser.add_argument(
        "--among", metavar="WORD", action="append", help="only the choice between these next tokens counts; repeat it"
    )
    parser.add_argument("--alone", action="store_true", help="leave out the circuits that it is compared with")
    parser.add_argument("--out", metavar="FILE", type=Path, help="also save the circuit as JSON there")
    set_option(parser)


def _circuit(args: argparse.Namespace) -> Output:
    from unweave.read.circuit import behaviour_circuit
    from unweave.read.circuit_search import CircuitConfig

    config = typed_config(CircuitConfig, parse_settings(args.set), "a circuit")
    try:
        positions = [int(position) for position in args.positions]
    except ValueError as error:
        raise UnweaveError(f"--positions {','.join(args.positions)} are not whole numbers") from error
    made, target = open_decomposition(args.decomposition), open_target(args)
    among = None if args.among is None else [_one_token(target, word) for word in args.among]
    settings = {
        "target": args.target,
        "decomposition": args.decomposition,
        "text": args.text,
        "positions": positions,
        "among": args.among,
        "compare": not args.alone,
        "identity": target.identity.digest,
        "config": plain_config(config),
    }
    with new_run(args, "circuit", settings) as run:
        found = behaviour_circuit(
            target,
            made,
            args.text,
            positions=positions,
            among=among,
            config=config,
            compare=not args.alone,
            progress=run.progress,
        )
        table = found.table()
        run.save_table(table)
        for path in [run.path / "circuit.json", *([] if args.out is None else [args.out])]:
            found.save(path)
    value: dict[str, Any] = {"circuit": found.as_dict(), "table": table.records()}
    lines = [f"{table.caption}:", *grid(table), "", f"nodes in {run.path / 'circuit.json'}"]
    return Output(run_value(run) | value, lines)


def _one_token(target: Target, word: str) -> int:
    ids = target.tokenizer(word, add_special_tokens=False, verbose=False)["input_ids"]
    if len(ids) != 1:
        raise UnweaveError(f"{word!r} is {len(ids)} tokens of {target.name}, and one is needed (with its space?)")
    return int(ids[0])


COMMANDS = {
    "attribute": Command(
        _attribute, "trace what feeds what, from a prompt's tokens to its next one", _attribute_options
    ),
    "circuit": Command(
        _circuit, "find the fewest subcomponents that keep a prediction under an adversary", _circuit_options
    ),
}
