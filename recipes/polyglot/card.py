"""What the trained polyglot target does on text it never saw, and its model card. Every number comes from here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from corpus import LANGUAGES
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor
from train import CROP

from unweave.base.files import read_json
from unweave.base.progress import Silent, Terminal
from unweave.corpora.bundled import CORPORA, language_name
from unweave.corpora.windows import token_windows
from unweave.edit.continuations import language_judge
from unweave.edit.measure import measure, uniform_cross_entropy
from unweave.models.prefix import cache_prefix
from unweave.models.target import Target
from unweave.record.environment import environment

TEMPLATE = Path(__file__).with_name("card.md")
HELD_OUT = {
    "mark": ("parallel", "evaluation"),
    "judges": ("parallel", "training"),
    "rights": ("declaration", "evaluation"),
}
CHAPTERS = (0, 7)
PROMPT_WORDS, CONTINUATION_TOKENS = 10, 24


def gather_facts(target: Target, work: Path, trained: Mapping[str, Any], progress: Silent | Terminal) -> dict[str, Any]:
    """Training, text and held-out measurements of a target that was loaded from its folder, as JSON-ready values."""
    made, tokens = environment(), read_json(work / "tokens.json")
    seen = trained["step"] * trained["settings"]["crops"] * len(LANGUAGES) * CROP
    streams = load_file(work / "tokens.safetensors")
    unigrams = {label: unigram(streams[label], target.vocabulary) for label in LANGUAGES}
    held_out = {}
    for name, place in HELD_OUT.items():
        progress.say(f"measuring on {name}")
        held_out[name] = {label: held_out_loss(target, *place, label, unigrams[label]) for label in LANGUAGES}
    return {
        "identity": target.identity.digest,
        "parameters": sum(weight.numel() for weight in target.module.parameters()),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{made['platform'].split('-')[0]}, {made['cpus']} cores, no GPU",
        "libraries": {name: made["libraries"][name] for name in ("torch", "transformers", "tokenizers")},
        "training": {
            **trained["settings"],
            "tokens_seen": seen,
            "passes": round(seen / sum(tokens["tokens"].values()), 2),
            "seconds": round(trained["seconds"]),
            "tokens_per_second": round(seen / trained["seconds"]),
            "loss": round(trained["loss"], 3),
        },
        "text": read_json(work / "text.json") | tokens,
        "uniform": round(uniform_cross_entropy(target), 3),
        "held_out": held_out,
        "continuations": [continuation(target, label, chapter) for label in LANGUAGES for chapter in CHAPTERS],
    }


def unigram(stream: Int[Tensor, " tokens"], vocabulary: int) -> Float[Tensor, " vocabulary"]:
    """Log-probabilities of single tokens in a language's training text, each counted once more than it occurs."""
    counts = torch.bincount(stream.long(), minlength=vocabulary) + 1.0
    return (counts / counts.sum()).log()


def held_out_loss(
    target: Target, corpus: str, part: str, label: str, log_frequencies: Float[Tensor, " vocabulary"]
) -> dict[str, float | int]:
    """Nats per token after the first of each window, the model's and those of the language's token frequencies."""
    windows = torch.as_tensor(token_windows(target.tokenizer, CORPORA[corpus](), part, label, CROP))
    losses = measure(target, cache_prefix(target, windows, None)).cross_entropy
    return {
        "loss": round(float(losses.mean()), 3),
        "standard_error": round(float(losses.std()) / math.sqrt(len(losses)), 3),
        "unigram": round(float(-log_frequencies[windows[:, 1:]].mean()), 3),
        "windows": len(windows),
    }


def continuation(target: Target, label: str, chapter: int) -> dict[str, str]:
    """What the target writes, greedily, after the first words of a chapter of the held-out book."""
    text = CORPORA["parallel"]().documents("evaluation", label)[0].split("\n")[chapter]
    prompt = " ".join(text.split()[:PROMPT_WORDS])
    encoded = target.tokenizer(prompt, return_tensors="pt")
    written = target.module.generate(**encoded, do_sample=False, max_new_tokens=CONTINUATION_TOKENS)  # type: ignore[operator]
    after = target.tokenizer.decode(written[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
    return {"label": label, "prompt": prompt, "continuation": after, "taken_for": language_judge()(after)}


def render(facts: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """``card.md`` with its fields filled in."""
    training, text = facts["training"], facts["text"]
    return TEMPLATE.read_text(encoding="utf-8").format(
        facts=facts,
        config=config,
        training=training,
        text=text,
        crop=CROP,
        millions=facts["parameters"] / 1e6,
        seen=training["tokens_seen"] / 1e6,
        minutes=training["seconds"] / 60,
        package=text["source"].replace("==", " "),
        held_out_books=", ".join(text["held_out"]),
        libraries=", ".join(f"{name} {version}" for name, version in facts["libraries"].items()),
        architecture=_architecture(config),
        editions=_text_table(text),
        **{name: _loss_table(facts["held_out"][name]) for name in HELD_OUT},
        continuation_tokens=CONTINUATION_TOKENS,
        prompt_words=PROMPT_WORDS,
        chapters=" and ".join(str(chapter + 1) for chapter in CHAPTERS),
        continuations=_continuations(facts["continuations"]),
    )


def _architecture(config: Mapping[str, Any]) -> str:
    special = f"`<|endoftext|>` ({config['eos_token_id']}) is the one special token"
    rows = {
        "class": f"`{config['architectures'][0]}`: Llama-like with RMSNorm and rotary positions, no biases",
        "layers": config["num_hidden_layers"],
        "hidden size": config["hidden_size"],
        "attention heads": f"{config['num_attention_heads']} of {config['head_dim']}, none grouped",
        "MLP": f"{config['intermediate_size']}, {config['hidden_act']}, without gate",
        "vocabulary": f"{config['vocab_size']}, byte-level BPE; {special}",
        "embeddings": "tied" if config["tie_word_embeddings"] else "untied",
        "positions": config["max_position_embeddings"],
    }
    return "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def _text_table(text: Mapping[str, Any]) -> str:
    editions = CORPORA["parallel"]().source.split(", ")
    return "\n".join(
        f"| {label} | {edition} | {text['characters'][label]:,} | {text['tokens'][label]:,} "
        f"| {text['characters_per_token'][label]:.2f} |"
        for label, edition in zip(LANGUAGES, editions, strict=True)
    )


def _loss_table(losses: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        f"| {language_name(label)} | {found['loss']:.3f} ± {found['standard_error']:.3f} | {found['unigram']:.3f} "
        f"| {found['windows']} |"
        for label, found in losses.items()
    ]
    return "\n".join(["| | loss | unigram | windows |", "|---|---:|---:|---:|", *rows])


def _continuations(found: list[dict[str, str]]) -> str:
    # HTML's bold: Markdown's own stars do not open between a letter and a comma.
    return "\n".join(
        f"- {one['prompt']}<b>{one['continuation'].replace(chr(10), ' ')}</b> [{one['taken_for']}]" for one in found
    )
