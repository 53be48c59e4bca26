"""Takes the bundled polyglot target apart, all matrices together; the same command goes on where a killed one stopped.

    python recipes/polyglot/decompose.py

The text is what the target was trained on (1 Samuel and Acts among it, the decomposition part of the bundled parallel
corpus); the books that are held out there are not in it. Windows are crops of 64 tokens, on average as many of each
language in a batch, drawn by seed and step alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from corpus import HELD_OUT, LANGUAGES, work_folder
from jaxtyping import Int
from safetensors.torch import load_file
from torch import Tensor

from unweave.base.configs import parse_settings, plain_config, typed_config
from unweave.base.errors import UnweaveError
from unweave.base.memory import keep_freed_memory
from unweave.base.progress import Terminal
from unweave.base.seeds import numpy_generator
from unweave.corpora import parallel
from unweave.decompose import Decomposition, WholeModelConfig, decompose
from unweave.models import Target, load_target

BUNDLED = Path(__file__).resolve().parents[2] / "src" / "unweave" / "decompose" / "bundled" / "polyglot"
SETTINGS: dict[str, Any] = {"learning_rate": 5e-3, "faithfulness": 300.0, "sparsity": 1.2e-4, "prune_at": ()}
"""What differs from the defaults of ``WholeModelConfig``: those of when the bundled one was made, and no pruning."""


@dataclass(frozen=True)
class Crops:
    """Batches of crops from the languages' token streams."""

    streams: dict[str, Int[Tensor, " n"]]
    batch: int
    length: int
    seed: int

    @property
    def name(self) -> str:
        digest = hashlib.sha256()
        for label, stream in self.streams.items():
            digest.update(label.encode() + stream.numpy().tobytes())
        return digest.hexdigest()[:16]

    def __call__(self, step: int) -> Int[Tensor, "batch length"]:
        generator = numpy_generator(self.seed, "crops", step)
        labels = list(self.streams)
        offset = int(generator.integers(len(labels)))
        rows = []
        for row in generator.permutation(self.batch):
            stream = self.streams[labels[(row + offset) % len(labels)]]
            start = int(generator.integers(len(stream) - self.length + 1))
            rows.append(stream[start : start + self.length].long())
        return torch.stack(rows)


def facts_of_text(streams: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the card says of the text: its tokens, and the parts of the bundled corpus that are not among it."""
    corpus = parallel()
    return {
        "corpus": "58 books of five Bibles, on which the target was trained",
        "labels": list(streams),
        "tokens": sum(len(stream) for stream in streams.values()),
        "unseen": {part: corpus.fingerprint(part) for part in HELD_OUT},
    }


def _training(
    target: Target, streams: dict[str, Tensor], config: WholeModelConfig, folder: Path, progress: Terminal
) -> Decomposition:
    def log(row: dict[str, float]) -> None:
        with open(folder.with_suffix(".curve.jsonl"), "a", encoding="utf-8") as written:
            written.write(json.dumps(row) + "\n")

    if folder.exists():
        found = Decomposition.load(folder)
        if found.card["config"] != plain_config(config.resolved()):
            raise UnweaveError(f"{folder} was made with other settings: remove it, or set what it was made with")
        return found
    crops = Crops(streams, config.batch, config.window_length, config.seed)
    return decompose(target, crops, config, out=folder, progress=progress, log=log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=work_folder(), help="folder with the tokens, and for the training")
    parser.add_argument("--out", type=Path, default=BUNDLED)
    parser.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[], help="another setting")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_freed_memory()
    progress = Terminal("decompose")
    target = load_target("polyglot", progress=progress)
    streams = load_file(arguments.work / "tokens.safetensors")
    streams = {label: streams[label] for label in LANGUAGES}
    settings = {**SETTINGS, **parse_settings(arguments.set)}
    config = typed_config(WholeModelConfig, settings, "the decomposition")
    folder = arguments.work / f"{arguments.out.name}.decomp"
    made = _training(target, streams, config, folder, progress)
    made = replace(made, card={**made.card, **facts_of_text(streams)})
    made.save(arguments.out, replace=True, half=True)
    shutil.rmtree(folder)
    if arguments.json:
        json.dump(dict(made.card), sys.stdout)
    else:
        print(f"wrote {arguments.out.name}: {made}")


if __name__ == "__main__":
    main()
