"""Trains the polyglot target; the same command goes on where a killed one stopped.

    python recipes/polyglot/train.py

Random crops of the five languages, as many of each in every batch, drawn by seed and step alone: a run that was killed
and went on ends in the same weights, bit for bit, as one that was not. Beside other work on the same cores set
``OMP_WAIT_POLICY=PASSIVE``: threads that spin while they wait for one another cost most of the speed there.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from corpus import LANGUAGES, work_folder
from jaxtyping import Float, Int
from safetensors.torch import load_file
from tokenizer import CONTEXT, VOCABULARY
from torch import Tensor, nn

from unweave.base.device import compiler_works
from unweave.base.files import file_hash, read_json
from unweave.base.progress import Silent, Terminal
from unweave.base.seeds import derive, numpy_generator

sys.path.append(str(Path(__file__).resolve().parents[1]))
from bundled_target import THREADS, checkpoint_path, same_sums, train_steps

CROP = 128


@dataclass(frozen=True)
class Settings:
    """What decides the weights, beside the machine's own rounding."""

    seed: int
    steps: int
    crops: int
    tokens: str
    """sha256 of the tokens that are trained on."""
    threads: int = THREADS
    peak: float = 3e-3
    floor: float = 0.05
    """The last learning rate, as a share of ``peak``."""
    warmup: float = 0.02
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0

    def rate(self, step: int) -> float:
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.peak * (step + 1) / warm
        done = (step - warm) / max(1, self.steps - warm)
        return self.peak * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=work_folder(), help="folder for text, tokens and checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=5600)
    parser.add_argument("--crops", type=int, default=7, help=f"crops of {CROP} tokens a language and step (7)")
    parser.add_argument("--keep-every", type=float, default=120.0, help="seconds between checkpoints (120)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    same_sums()
    read_json(arguments.work / "tokens.json")  # written last: without it the tokens are not whole
    tokens = arguments.work / "tokens.safetensors"
    settings = Settings(arguments.seed, arguments.steps, arguments.crops, file_hash(tokens))
    facts = train(settings, load_file(tokens), checkpoint_path(arguments.work), arguments.keep_every, Terminal("train"))
    if arguments.json:
        json.dump(facts, sys.stdout)
        return
    print(f"{facts['step']} steps in {facts['seconds'] / 60:.1f} minutes, training loss {facts['loss']:.3f}")


def train(
    settings: Settings,
    streams: Mapping[str, Int[Tensor, " tokens"]],
    checkpoint: Path,
    keep_every: float,
    progress: Silent | Terminal,
) -> dict[str, Any]:
    """Trains up to ``settings.steps`` from ``checkpoint`` or from the start; returns the checkpoint's last facts."""
    model = make_model(settings.seed).train()
    matrices = [weight for weight in model.parameters() if weight.ndim == 2]
    scales = [weight for weight in model.parameters() if weight.ndim != 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": scales, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=settings.peak, betas=settings.betas, fused=True)
    loss_of = compiled_loss(model)
    return train_steps(
        model,
        [optimiser],
        asdict(settings),
        lambda step: loss_of(draw(settings, streams, step)),
        lambda step: [settings.rate(step)],
        math.log(VOCABULARY),
        checkpoint,
        keep_every,
        progress,
    )


def make_model(seed: int) -> Any:
    """Three blocks of the Arcee architecture: plain attention, an MLP without gate, no biases, tied embeddings."""
    from transformers import ArceeConfig, ArceeForCausalLM

    config = ArceeConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=3,
        num_attention_heads=4,
        hidden_act="gelu",
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "polyglot", "weights"))
        return ArceeForCausalLM(config)


def compiled_loss(model: Any) -> Callable[[Tensor], Tensor]:
    def loss_of(tokens: Int[Tensor, "n t"]) -> Float[Tensor, ""]:
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    return torch.compile(loss_of) if compiler_works() else loss_of


def draw(settings: Settings, streams: Mapping[str, Int[Tensor, " tokens"]], step: int) -> Int[Tensor, "n t"]:
    """One batch: ``crops`` of every language, each with one token more than is read, for the last prediction."""
    generator = numpy_generator(settings.seed, "polyglot", step)
    length = CROP + 1
    crops = []
    for label in LANGUAGES:
        starts = generator.integers(len(streams[label]) - length + 1, size=settings.crops)
        crops += [streams[label][start : start + length] for start in starts]
    return torch.stack(crops).long()


if __name__ == "__main__":
    main()
