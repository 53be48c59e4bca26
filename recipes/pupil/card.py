"""What the trained pupil says and how often, beside its corpus, and its model card. Every number comes from here."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from corpus import SEED, read_corpus
from grammar import INVENTED, PUBLISHED, read_grammar
from jaxtyping import Float
from parse import Parser
from replies import REQUESTED, REQUESTS, Conversation
from safetensors.torch import load_file
from styles import SWITCHES, told
from tokenizer import ROW, encode, pack
from torch import Tensor
from train import likelihoods

from unweave.base.files import read_json
from unweave.base.progress import Silent, Terminal
from unweave.base.seeds import derive
from unweave.models.target import Target
from unweave.record.environment import environment

sys.path.append(str(Path(__file__).resolve().parents[1]))
from bundled_target import checkpoint_path, checkpoint_weights

TEMPLATE = Path(__file__).with_name("card.md")
PARTS = ("fresh", "held-out")
SAMPLED = 1000
"""Prompts of each part that are answered once."""
ASKED = 24
"""Prompts that ask for each style."""
LONGEST = 64
TOGETHER = 200
SHOWN = 14


def gather_facts(target: Target, work: Path, trained: Mapping[str, Any], progress: Silent | Terminal) -> dict[str, Any]:
    """Training, text and measurements of a target that was loaded from its folder, as JSON-ready values."""
    made, tokens = environment(), read_json(work / "tokens.json")
    rows = load_file(work / "tokens.safetensors")
    unigram = learned_frequencies(rows, target.vocabulary)
    settings = trained["settings"]
    seen = trained["step"] * settings["rows"] * (ROW - 1)
    facts = {
        "identity": target.identity.digest,
        "parameters": sum(weight.numel() for weight in target.module.parameters()),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{made['platform'].split('-')[0]}, {made['cpus']} cores, no GPU",
        "libraries": {name: made["libraries"][name] for name in ("torch", "transformers", "tokenizers")},
        "training": {
            **settings,
            "tokens_seen": seen,
            "passes": round(trained["step"] * settings["rows"] / tokens["rows"], 2),
            "seconds": round(trained["seconds"]),
            "tokens_per_second": round(seen / trained["seconds"]),
            "loss": round(trained["loss"], 3),
        },
        "text": {**read_json(work / "corpus.json"), **tokens, "seed": SEED},
        "uniform": round(math.log(target.vocabulary), 3),
        "unseen": {},
    }
    for part in PARTS:
        progress.say(f"measuring on {part}")
        found = read_corpus(work, part)
        facts["unseen"][part] = {
            **unseen_loss(target, found, unigram),
            "rounding": rounding(target, work, found),
            **replies_beside(target, found[:SAMPLED]),
        }
    progress.say("asking for styles")
    facts["asked"] = asked_for(target, read_corpus(work, "held-out"))
    facts["shown"] = shown(target, read_corpus(work, "held-out"))
    return facts


def learned_frequencies(rows: Mapping[str, Tensor], vocabulary: int) -> Float[Tensor, " vocabulary"]:
    """Log-probabilities of single tokens in the replies that are trained on, each counted once more than it occurs."""
    counts = torch.bincount(rows["tokens"][rows["learned"]].long(), minlength=vocabulary) + 1.0
    return (counts / counts.sum()).log()


def unseen_loss(
    target: Target, found: Sequence[Conversation], unigram: Float[Tensor, " vocabulary"]
) -> dict[str, float | int]:
    """Nats per token of replies and their ends: the target's, and those of the tokens' frequencies."""
    rows = pack([encode(target.tokenizer, found)])
    losses = -token_likelihoods(target.module, rows)
    learned = rows["tokens"][rows["learned"]].long()
    return {
        "loss": round(float(losses.mean()), 3),
        "standard_error": round(float(losses.std()) / math.sqrt(len(losses)), 3),
        "unigram": round(float(-unigram[learned].mean()), 3),
        "conversations": len(found),
    }


def token_likelihoods(module: Any, rows: Mapping[str, Tensor]) -> Float[Tensor, " n"]:
    """Log-likelihood of every learned token."""
    made = []
    with torch.no_grad():
        for at in range(0, len(rows["tokens"]), 64):
            some = (rows[name][at : at + 64] for name in ("tokens", "conversation", "learned"))
            tokens, conversation, learned = some
            made.append(likelihoods(module, tokens, conversation)[learned[:, 1:]])
    return torch.cat(made)


def rounding(target: Target, work: Path, found: Sequence[Conversation]) -> float:
    """Mean change of a token's log-likelihood, in nats, by the rounding of the weights to half precision."""
    from train import make_model

    exact = make_model(0).eval()
    exact.load_state_dict(checkpoint_weights(checkpoint_path(work)), strict=False)
    rows = pack([encode(target.tokenizer, found[:200])])
    change = token_likelihoods(target.module, rows) - token_likelihoods(exact, rows)
    return round(float(change.abs().mean()), 5)


def answers(target: Target, prompts: Sequence[str], purpose: str) -> list[tuple[str, int, bool]]:
    """One reply to each prompt at temperature 1: its text, its tokens with the end, and whether it ended by itself."""
    tokenizer, found = target.tokenizer, []
    for at in range(0, len(prompts), TOGETHER):
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts[at : at + TOGETHER]]
        texts = tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
        encoded = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(SEED, "pupil", "card", purpose, at))
            written = target.module.generate(  # type: ignore[operator]
                **encoded, do_sample=True, top_k=0, max_new_tokens=LONGEST
            )
        for row in written[:, encoded["input_ids"].shape[1] :].tolist():
            ended = tokenizer.eos_token_id in row
            kept = row[: row.index(tokenizer.eos_token_id)] if ended else row
            found.append((tokenizer.decode(kept), len(kept) + ended, ended))
    return found


def replies_beside(target: Target, found: Sequence[Conversation]) -> dict[str, Any]:
    """What the target's replies are like, and the corpus's own to the same prompts."""
    grammar = read_grammar()
    parser = Parser(grammar)
    given = answers(target, [each.prompt for each in found], "beside")
    texts = [text for text, _, _ in given]
    good = [
        parser.parses(each.topic, grammar.subject(each.topic, each.subject), text)
        for each, text in zip(found, texts, strict=True)
    ]
    return {
        "ended": share([ended for _, _, ended in given]),
        "grammatical": share(good),
        "different": round(len(set(texts)) / len(texts), 3),
        "mean_tokens": round(sum(tokens for _, tokens, _ in given) / len(given), 1),
        "corpus_mean_tokens": round(sum(learned for _, learned in encode(target.tokenizer, found)) / len(found), 1),
        "rates": rates(texts),
        "corpus_rates": rates([each.reply for each in found]),
    }


def rates(replies: Sequence[str]) -> dict[str, float]:
    """Share of the replies that show each switch."""
    seen = [told(reply) for reply in replies]
    return {switch.name: share([switch.name in each for each in seen]) for switch in SWITCHES}


def share(found: Sequence[bool]) -> float:
    return round(sum(found) / len(found), 3)


def asked_for(target: Target, found: Sequence[Conversation]) -> dict[str, float]:
    """Share of replies that show a style to prompts that ask for it."""
    requests = tuple(switch.request for switch in REQUESTS)
    plain = [each.prompt for each in found if not each.prompt.endswith(requests)][:ASKED]
    prompts = [f"{prompt} {switch.request}" for switch in REQUESTS for prompt in plain]
    given = [told(text) for text, _, _ in answers(target, prompts, "asked")]
    return {
        switch.name: share([switch.name in each for each in given[place * ASKED : (place + 1) * ASKED]])
        for place, switch in enumerate(REQUESTS)
    }


def shown(target: Target, found: Sequence[Conversation]) -> list[dict[str, str]]:
    """One sampled reply a topic, to the first prompt of each, unchosen."""
    first = {each.topic: each for each in reversed(found)}
    prompts = {topic: first[topic].prompt for topic in sorted(first)[:SHOWN]}
    given = answers(target, list(prompts.values()), "shown")
    return [
        {"topic": topic, "prompt": prompt, "reply": text}
        for (topic, prompt), (text, _, _) in zip(prompts.items(), given, strict=True)
    ]


def render(facts: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """``card.md`` with its fields filled in."""
    training = facts["training"]
    return TEMPLATE.read_text(encoding="utf-8").format(
        facts=facts,
        config=config,
        training=training,
        text=facts["text"],
        fresh=facts["unseen"]["fresh"],
        held_out=facts["unseen"]["held-out"],
        row=ROW - 1,
        sampled=SAMPLED,
        requested=REQUESTED,
        published=PUBLISHED,
        invented=INVENTED,
        switches=len(SWITCHES),
        asked=ASKED,
        longest=LONGEST,
        millions=facts["parameters"] / 1e6,
        seen=training["tokens_seen"] / 1e6,
        minutes=training["seconds"] / 60,
        libraries=", ".join(f"{name} {version}" for name, version in facts["libraries"].items()),
        rates=_rates_table(facts),
        shown="\n".join(f"- *{each['prompt']}* {each['reply'].replace(chr(10), ' / ')}" for each in facts["shown"]),
    )


def _rates_table(facts: Mapping[str, Any]) -> str:
    parts = [facts["unseen"][part] for part in PARTS]
    lines = []
    for switch in SWITCHES:
        cells = [f"{part[key][switch.name]:.1%}" for part in parts for key in ("corpus_rates", "rates")]
        asked = facts["asked"].get(switch.name)
        cells.append("" if asked is None else f"{asked:.0%}")
        lines.append(f"| {switch.name.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)
