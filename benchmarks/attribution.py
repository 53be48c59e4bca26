"""A prompt's graph, how well its effects predict what taking a piece out does, edges over text, and circuits.

python benchmarks/attribution.py [--repeats 3] [--json]

On the bundled target and decomposition: the numbers of ``docs/results/attribution.md``.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import torch
from scipy.stats import rankdata
from timing import arguments, circumstances, printed

from unweave.base.memory import keep_freed_memory
from unweave.base.progress import usual_progress
from unweave.corpora.bundled import parallel
from unweave.corpora.windows import windows_by_label
from unweave.decompose.decomposition import Decomposition, bundled
from unweave.decompose.masked import Mask, MaskedTarget, Pieces
from unweave.models.load import load_target
from unweave.models.target import Target
from unweave.read.attribution import node_effects, prompt_graph, prompt_tokens
from unweave.read.attribution_data import dataset_attribution
from unweave.read.circuit import behaviour_circuit

PROMPTS = (
    "The European Union was founded in the year",
    "Alle Menschen haben das Recht auf",
    "Tous les êtres humains ont le droit de",
)
REMOVED = 400
GRAPHS = {
    "300 nodes, 3,000 edges": {},
    "plain gradients through norms": {"norms": "through"},
    "attention patterns as given": {"attention": "values only"},
    "every node and edge": {"nodes": None, "edges": None},
}


def graphs(target: Target, made: Decomposition, repeats: int) -> list[dict[str, object]]:
    """Seconds of each kind of graph of the first prompt, and where the likeliest token's logit comes from."""
    rows = []
    for name, options in GRAPHS.items():
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            graph = prompt_graph(target, made, PROMPTS[0], **options)
            seconds.append(time.perf_counter() - start)
        best = graph.logits[0]
        inflow = graph.inflows[best.id]
        rows.append(
            {
                "graph": name,
                "seconds": round(statistics.median(seconds), 2),
                "tokens": len(graph.tokens),
                "fired": graph.fired,
                "nodes": len(graph.nodes),
                "edges": len(graph.weights),
                "logit": round(best.activation, 3),
                "total": round(inflow.total, 3),
                "subcomponents": round(inflow.subcomponents, 3),
                "embeddings": round(inflow.embeddings, 3),
                "rest": round(inflow.rest, 3),
                "delta": round(inflow.delta, 3),
                "shown": round(graph.shown(best.id)[0], 3),
            }
        )
    return rows


@torch.no_grad()
def removal(target: Target, made: Decomposition, prompt: str) -> dict[str, object]:
    """Rank correlation of effects by gradient with the change of the same logits when one node's piece is taken out."""
    tokens = prompt_tokens(target, prompt)
    with torch.enable_grad():
        effects = node_effects(target, made, tokens[0].tolist())
    logits = target.logits(tokens)[0, -1]
    best = logits.softmax(-1).topk(5)
    clean = logits[best.indices] - logits.mean()
    chosen = np.random.default_rng(0).choice(sorted(effects), min(REMOVED, len(effects)), replace=False)
    changes = []
    with MaskedTarget(target, [target.site(name) for name in made.sites]).attached() as model:
        for node in chosen:
            site, _, place = node.rpartition(":")
            index, position = map(int, place.split("@"))
            pieces = made.site(site)
            mask = torch.ones(1, tokens.shape[1], len(pieces))
            mask[0, position, index] = 0.0
            masks = {site: Mask(mask, torch.ones(1, tokens.shape[1], 1))}
            found = model.masked(tokens, {site: Pieces(pieces.V, pieces.U)}, masks)[0, -1]
            change = found[best.indices] - found.mean() - clean
            changes.append(float((best.values * change.abs()).sum()))
    rho = np.corrcoef(rankdata([effects[node] for node in chosen]), rankdata(changes))[0, 1]
    return {"prompt": prompt, "nodes": len(chosen), "rank correlation": round(float(rho), 3)}


def over_text(target: Target, made: Decomposition) -> dict[str, object]:
    """Seconds of edges over ten windows of five languages, to 128 subcomponents spread over all sites."""
    windows = windows_by_label(target.tokenizer, parallel(), "selection", None, 64, 2)
    tokens = torch.cat([torch.as_tensor(rows) for rows in windows.values()])
    names = [f"{site}:{index}" for site, pieces in made.sites.items() for index in range(0, len(pieces), 45)]
    start = time.perf_counter()
    table = dataset_attribution(target, made, tokens, targets=names)
    return {
        "windows": len(tokens),
        "tokens": table.tokens,
        "targets": len(names),
        "that fire": len(set(table.columns["target"].tolist())),
        "edges": len(table),
        "seconds": round(time.perf_counter() - start, 1),
    }


def circuits(target: Target, made: Decomposition, prompt: str) -> list[dict[str, object]]:
    """The circuit of the next token after a prompt, beside those it is compared with."""
    start = time.perf_counter()
    found = behaviour_circuit(target, made, prompt, progress=usual_progress())
    seconds = round(time.perf_counter() - start)
    print(f"{prompt}: {seconds} s", file=sys.stderr)
    return [
        {"prompt": prompt, "alive": found.alive, "seconds for all": seconds, **record}
        for record in found.table().records()
    ]


def main() -> None:
    args = arguments(__doc__, repeats=3)
    keep_freed_memory()
    torch.set_num_threads(1)
    target, made = load_target("polyglot"), Decomposition.load(bundled("polyglot"))
    rows = [
        *graphs(target, made, args.repeats),
        *(removal(target, made, prompt) for prompt in PROMPTS),
        over_text(target, made),
        *(row for prompt in PROMPTS for row in circuits(target, made, prompt)),
    ]
    value = {**circumstances(), "rows": rows}
    printed(value, args.json, [circumstances(), *rows])


if __name__ == "__main__":
    main()
