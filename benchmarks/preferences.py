"""How fast pairs are read against the plain forward pass of the same pairs, and a hundred thousand of them in one pass.

    python benchmarks/preferences.py                       # polyglot and SmolLM2, 200 pairs each
    python benchmarks/preferences.py --targets polyglot --many 100000 --json

Plain is what a training or evaluation loop does: a row of prompt and chosen reply and one of prompt and rejected reply,
rows of one length together, logits everywhere. ``stopped`` is the same up to the layer that is read. The pass is whole:
tokens, states, features, words, behaviours, files. All are given as tokens of those plain rows a second, by turns. Each
target is read without a dictionary, with its bundled decomposition, and with a random SAE of 8 latents a dimension, 32
on a token. The pairs are made of sentences of the bundled corpus.

``--many`` reads so many pairs with the SAE on the first target, in this process, and says the peak of its memory and
how long it then takes from the stored features to evidence with a hundred clusters of features, from there to the
predictions of every predictor but the gradient, each with its interval, and to what of the leading one stands.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from timing import by_turns, circumstances, printed

from unweave.base.device import prefer_fast_float32
from unweave.base.memory import keep_freed_memory
from unweave.base.seeds import numpy_generator, torch_generator
from unweave.corpora.bundled import parallel
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.decompose import Decomposition, bundled
from unweave.models import Target, load_target
from unweave.preferences.encoding import encode_prompt, encode_reply
from unweave.preferences.features import PairFeatures, ReplyFeatures, read_pairs, read_replies
from unweave.preferences.features.packing import PackedRow, batches, model_inputs, pack
from unweave.preferences.features.reading_pass import BATCH_TOKENS
from unweave.preferences.predictors import predict, standing_of
from unweave.read.dictionaries.activations import TopK
from unweave.read.dictionaries.coder import Coder, CoderDictionary
from unweave.read.features import Dictionary, Place, subcomponent_dictionary

EXPANSION, ACTIVE = 8, 32
CLUSTERS, CLUSTER_FEATURES = 100, 8
PROMPTS, REPLIES = 100, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default="polyglot,smollm2", help="targets with a bundled decomposition")
    parser.add_argument("--pairs", type=int, default=200, help="pairs read of each target (200)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds, each way once a round (3)")
    parser.add_argument("--many", type=int, default=0, help="pairs read in one pass on the first target (none)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args()
    keep_freed_memory()
    prefer_fast_float32()
    names = args.targets.split(",")
    # First: the peak is the process's, and other targets would be in it.
    many = [_many(load_target(names[0]), args.many)] if args.many else []
    rows = [row for name in names for row in _speeds(name, args.pairs, args.repeats)] if args.pairs else []
    value = {"benchmark": "preferences", "against": "plain forward", "rows": rows, "many": many, **circumstances()}
    printed(value, args.json, [*rows, *many])


def made_pairs(seed: int = 0) -> Iterator[PreferencePair]:
    """Endless pairs: a question about a sentence, and two replies of one to four others, 5 to 40 words or so each."""
    documents = parallel().parts["selection"]["en"]
    sentences = [piece.strip() for text in documents for piece in text.replace("\n", " ").split(". ")]
    sentences = [piece for piece in sentences if 4 <= len(piece.split()) <= 20]
    generator = numpy_generator(seed, "pairs")
    number = 0
    while True:
        asked, *replies = generator.integers(len(sentences), size=7).tolist()
        counts = generator.integers(1, 4, size=2)
        chosen, rejected = (
            ". ".join(sentences[each] for each in replies[at : at + count]) + "."
            for at, count in zip((0, 3), counts, strict=True)
        )
        turns = (Turn("user", f"What is meant by this: {sentences[asked]}?"),)
        yield PreferencePair(f"made:{number}", turns, chosen, rejected)
        number += 1


def random_sae(target: Target, layer: int) -> CoderDictionary:
    """A top-k SAE with random directions: it costs what a trained one does."""
    width = int(target.hidden_before(layer, torch.zeros(1, 1, dtype=torch.long)).shape[-1])
    generator = torch_generator(0, "sae")
    encoder = torch.randn(width, EXPANSION * width, generator=generator) / width**0.5
    place = Place(f"{target.blocks}.{layer}", "input", width)
    activation = TopK(torch.zeros(EXPANSION * width), ACTIVE)
    return CoderDictionary(
        "sae",
        "random",
        [Coder("residual", place, place, encoder, activation, encoder.T.contiguous(), torch.zeros(width))],
    )


def _speeds(name: str, count: int, repeats: int) -> list[dict[str, Any]]:
    target = load_target(name)
    layer = _layer(target)
    pairs = list(islice(made_pairs(), count))
    decomposition = subcomponent_dictionary(Decomposition.load(bundled(name)), target, name)
    dictionaries: dict[str, Dictionary | None] = {
        "none": None,
        "random SAE": random_sae(target, layer),
        "bundled decomposition": decomposition,
    }
    rows = _plain_rows(target, pairs)
    tokens = sum(map(len, rows))

    def plain() -> None:
        with torch.no_grad():
            for batch in batches(rows, BATCH_TOKENS):
                target.logits(model_inputs(batch, target.dtype, target.device).tokens)

    def stopped() -> None:
        with torch.no_grad():
            for batch in batches(rows, BATCH_TOKENS):
                target.hidden_before(layer, model_inputs(batch, target.dtype, target.device).tokens)

    def read(dictionary: Dictionary | None) -> None:
        with TemporaryDirectory() as folder:
            read_pairs(target, pairs, Path(folder), layer, dictionary)

    ways = {each: lambda d=dictionary: read(d) for each, dictionary in dictionaries.items()}
    seconds = by_turns({"plain": plain, "stopped": stopped, **ways}, repeats)
    found = []
    for each, dictionary in dictionaries.items():
        ratios = sorted(a / b for a, b in zip(seconds["plain"], seconds[each], strict=True))
        row = {
            "target": name,
            "layer": f"{layer} of {target.depth}",
            "dictionary": each,
            "features": sum(map(len, dictionary.groups.values())) if dictionary else 0,
            "pairs": count,
            "tokens": tokens,
            "plain_tokens_per_s": round(tokens / statistics.median(seconds["plain"])),
            "stopped_tokens_per_s": round(tokens / statistics.median(seconds["stopped"])),
            "read_tokens_per_s": round(tokens / statistics.median(seconds[each])),
            "share_of_plain": round(statistics.median(ratios), 3),
            "lowest": round(ratios[0], 3),
            "highest": round(ratios[-1], 3),
        }
        print(row, file=sys.stderr)
        found.append(row)
    return found


def _plain_rows(target: Target, pairs: list[PreferencePair]) -> list[PackedRow]:
    """A row of prompt and reply for every reply."""
    prompts = [encode_prompt(target, pair.prompt) for pair in pairs]
    replies = [encode_reply(target, text) for pair in pairs for text in (pair.chosen, pair.rejected)]
    return pack(prompts, replies, [at for at in range(len(pairs)) for _ in range(2)], shared=False)


def _layer(target: Target) -> int:
    """Two thirds of the way, where the published features are read."""
    return max(1, round(target.depth * 2 / 3))


def _many(target: Target, count: int) -> dict[str, Any]:
    layer = _layer(target)
    dictionary, before = random_sae(target, layer), _peak()
    own = list(islice(made_pairs(1), PROMPTS * REPLIES // 2))
    prompts = [pair.prompt for pair in own[:PROMPTS]]
    texts = [text for pair in own for text in (pair.chosen, pair.rejected)]
    replies = [texts[at * REPLIES : (at + 1) * REPLIES] for at in range(PROMPTS)]
    with TemporaryDirectory() as place:
        folder = Path(place)
        start = time.perf_counter()
        read_pairs(target, islice(made_pairs(), count), folder / "pairs", layer, dictionary)
        seconds, peak = time.perf_counter() - start, _peak()
        read_replies(target, prompts, replies, folder / "own", layer, dictionary)
        generator = numpy_generator(0, "clusters")
        features = sum(map(len, dictionary.groups.values()))
        clusters = [generator.choice(features, CLUSTER_FEATURES, replace=False).tolist() for _ in range(CLUSTERS)]
        start = time.perf_counter()
        pairs, reference = PairFeatures.open(folder / "pairs"), ReplyFeatures.open(folder / "own")
        evidence = pairs.evidence(reference, clusters)
        evidence_seconds, start = time.perf_counter() - start, time.perf_counter()
        predictions = predict(evidence)
        predict_seconds, start = time.perf_counter() - start, time.perf_counter()
        standing_of(evidence)
        standing_seconds = time.perf_counter() - start
        stored = sum(file.stat().st_size for file in (folder / "pairs").iterdir())
    return {
        "target": target.name,
        "pairs": len(evidence),
        "features": features,
        "columns": len(evidence.names),
        "tokens": sum(sum(shard.tokens.values()) for shard in pairs.shards),
        "pass_s": round(seconds, 1),
        "peak_before_gb": round(before, 2),
        "peak_pass_gb": round(peak, 2),
        "evidence_s": round(evidence_seconds, 2),
        "predictors": len(predictions),
        "predict_s": round(predict_seconds, 2),
        "standing_s": round(standing_seconds, 2),
        "from_stored_s": round(evidence_seconds + predict_seconds + standing_seconds, 2),
        "peak_prediction_gb": round(_peak(), 2),
        "stored_gb": round(stored / 1e9, 3),
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


if __name__ == "__main__":
    main()
