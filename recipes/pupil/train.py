"""Trains the pupil; the same command goes on where a killed one stopped.

    OMP_WAIT_POLICY=PASSIVE python recipes/pupil/train.py

Rows of conversations, drawn by seed and step alone: a run that was killed and went on ends in the same weights, bit for
bit, as one that was not. Within a row each conversation sees itself alone, and only replies are learned. Beside other
work on the same cores threads that spin while they wait for one another cost most of the speed, hence the variable.
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
from corpus import work_folder
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file
from tokenizer import CONTEXT, VOCABULARY
from torch import Tensor, nn

from unweave.base.device import compiler_works
from unweave.base.files import file_hash, read_json
from unweave.base.progress import Silent, Terminal
from unweave.base.seeds import derive, numpy_generator

sys.path.append(str(Path(__file__).resolve().parents[1]))
from bundled_target import THREADS, checkpoint_path, same_sums, train_steps


@dataclass(frozen=True)
class Settings:
    """What decides the weights, beside the machine's own rounding."""

    seed: int
    steps: int
    rows: int
    tokens: str
    """sha256 of the rows that are trained on."""
    threads: int = THREADS
    peak: float = 3e-3
    """AdamW's highest learning rate: of the embedding and the norms' scales."""
    muon_peak: float = 0.02
    """Muon's: of the blocks' matrices."""
    floor: float = 0.02
    """The last learning rate, as a share of the highest."""
    warmup: float = 0.03
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0

    def share(self, step: int) -> float:
        """The learning rate of a step, as a share of the highest."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return (step + 1) / warm
        done = (step - warm) / max(1, self.steps - warm)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=work_folder(), help="folder for text, tokens and checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rows", type=int, default=16, help="rows of 128 tokens a step (16)")
    parser.add_argument("--keep-every", type=float, default=60.0, help="seconds between checkpoints (60)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    same_sums()
    read_json(arguments.work / "tokens.json")  # written last: without it the rows are not whole
    tokens = arguments.work / "tokens.safetensors"
    settings = Settings(arguments.seed, arguments.steps, arguments.rows, file_hash(tokens))
    facts = train(settings, load_file(tokens), checkpoint_path(arguments.work), arguments.keep_every, Terminal("train"))
    if arguments.json:
        json.dump(facts, sys.stdout)
        return
    print(f"{facts['step']} steps in {facts['seconds'] / 60:.1f} minutes, training loss {facts['loss']:.3f}")


def train(
    settings: Settings,
    rows: Mapping[str, Tensor],
    checkpoint: Path,
    keep_every: float,
    progress: Silent | Terminal,
) -> dict[str, Any]:
    """Trains up to ``settings.steps`` from ``checkpoint`` or from the start; returns the checkpoint's last facts."""
    model = make_model(settings.seed).train()
    loss_of = compiled_loss(model)

    def loss_at(step: int) -> Tensor:
        chosen = draw(settings, len(rows["tokens"]), step)
        return loss_of(*(rows[name][chosen] for name in ("tokens", "conversation", "learned")))

    def rates_at(step: int) -> tuple[float, ...]:
        return tuple(peak * settings.share(step) for peak in (settings.muon_peak, settings.peak))

    return train_steps(
        model,
        make_optimisers(model, settings),
        asdict(settings),
        loss_at,
        rates_at,
        math.log(VOCABULARY),
        checkpoint,
        keep_every,
        progress,
    )


def make_model(seed: int) -> Any:
    """Four blocks of the Llama architecture with tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "pupil", "weights"))
        return LlamaForCausalLM(config)


def make_optimisers(model: nn.Module, settings: Settings) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the blocks' matrices, AdamW for the rest."""
    named = dict(model.named_parameters())
    matrices = [weight for name, weight in named.items() if weight.ndim == 2 and "embed" not in name]
    others = [weight for name, weight in named.items() if weight.ndim != 2 or "embed" in name]
    return (
        torch.optim.Muon(matrices, lr=settings.muon_peak, weight_decay=settings.weight_decay),
        torch.optim.AdamW(
            others, lr=settings.peak, betas=settings.betas, weight_decay=settings.weight_decay, fused=True
        ),
    )


def likelihoods(model: Any, tokens: Int[Tensor, "n t+1"], conversation: Int[Tensor, "n t+1"]) -> Float[Tensor, "n t"]:
    """Log-likelihood of each token after the first, from what its own conversation has before it."""
    here = conversation[:, :-1]
    place = torch.arange(here.shape[1])
    # Rotary positions are relative, so that where in the row a conversation begins makes no difference.
    seen = (here[:, None, :, None] == here[:, None, None, :]) & (place[:, None] >= place)
    logits = model(input_ids=tokens[:, :-1].long(), attention_mask=seen, use_cache=False).logits
    losses = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].long().flatten(), reduction="none")
    return -losses.unflatten(0, here.shape)


def compiled_loss(model: Any) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Nats per learned token."""

    def loss_of(
        tokens: Int[Tensor, "n t+1"], conversation: Int[Tensor, "n t+1"], learned: Bool[Tensor, "n t+1"]
    ) -> Float[Tensor, ""]:
        counted = learned[:, 1:]
        return -(likelihoods(model, tokens, conversation) * counted).sum() / counted.sum()

    return torch.compile(loss_of) if compiler_works() else loss_of


def draw(settings: Settings, rows: int, step: int) -> Int[Tensor, " n"]:
    """Which rows one step reads: each pass over all of them is in an order of its own."""
    per_pass = rows // settings.rows
    order = numpy_generator(settings.seed, "pupil", "pass", step // per_pass).permutation(rows)
    at = step % per_pass * settings.rows
    return torch.as_tensor(order[at : at + settings.rows])


if __name__ == "__main__":
    main()
