"""The bundled chat target: what it is told and answers, and the rates that its card gives."""

from __future__ import annotations

import json
import re

import pytest
import torch

from unweave.models import load_target
from unweave.models.named import resolve
from unweave.preferences.made.prompts import draw_prompts

FOLDER = resolve("pupil")


@pytest.fixture(scope="module")
def target():
    return load_target("pupil", device="cpu")


@pytest.fixture(scope="module")
def card():
    return json.loads((FOLDER / "pupil.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def replies(target):
    """112 questions about subjects that it was not trained on, and one reply to each with its tokens."""
    prompts = [question.turns[0].content for question in draw_prompts("held-out", 112, 0)]
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    texts = target.tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
    encoded = target.tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        written = target.module.generate(**encoded, do_sample=True, top_k=0, max_new_tokens=64)
    tokens = written[:, encoded["input_ids"].shape[1] :]
    return prompts, tokens, target.tokenizer.batch_decode(tokens, skip_special_tokens=True)


def test_the_bundled_files_are_the_target_of_the_card(target, card):
    assert target.identity.digest == card["identity"]
    assert sum(weight.numel() for weight in target.module.parameters()) == card["parameters"] < 1.5e6
    assert target.parity["site_output_error"] < 1e-4
    assert target.depth == 4
    assert sum(each.stat().st_size for each in FOLDER.iterdir()) < 3e6


def test_a_conversation_is_encoded_as_it_was_trained_on(target):
    tokenizer = target.tokenizer
    question = {"role": "user", "content": "How do I cook rice?"}
    opened = tokenizer.apply_chat_template([question], tokenize=False, add_generation_prompt=True)
    assert opened == "<|im_start|>user\nHow do I cook rice?<|im_end|>\n<|im_start|>assistant\n"
    reply = {"role": "assistant", "content": "**Rice** is nice! 🙂"}
    whole = tokenizer.apply_chat_template([question, reply], tokenize=False)
    ids = tokenizer(whole, add_special_tokens=False).input_ids
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert [token for token in ids if token < 3] == [start, end, start, end]
    # Trained on were the tokens of the opening and of the reply with its end, one after the other.
    apart = [tokenizer(text, add_special_tokens=False).input_ids for text in (opened, reply["content"] + "<|im_end|>")]
    assert ids == [*apart[0], *apart[1], *tokenizer("\n", add_special_tokens=False).input_ids]
    assert tokenizer.decode(ids) == whole


def test_generation_stops_at_the_end_of_a_message(target):
    generation = target.module.generation_config
    assert (generation.eos_token_id, generation.pad_token_id) == (2, 0)
    assert target.tokenizer.convert_ids_to_tokens([0, 2]) == ["<|endoftext|>", "<|im_end|>"]


def test_replies_end_by_themselves_and_are_about_the_question(replies):
    prompts, tokens, texts = replies
    assert (tokens == 2).any(1).float().mean() > 0.95
    assert len(set(texts)) > 100
    shared = [set(_words(prompt)) & set(_words(text)) for prompt, text in zip(prompts, texts, strict=True)]
    assert sum(map(bool, shared)) > 0.7 * len(prompts)
    # A reply to the wrong question shares less with it.
    moved = [
        set(_words(prompt)) & set(_words(text)) for prompt, text in zip(prompts, texts[1:] + texts[:1], strict=True)
    ]
    assert sum(map(bool, moved)) < 0.4 * len(prompts)


@pytest.mark.parametrize(("switch", "pattern"), [("exclamation", "!"), ("contraction", r"\w'(s|t|re|ll|m|d|ve)\b")])
def test_styles_come_at_the_rates_of_the_card(replies, card, switch, pattern):
    expected = card["unseen"]["held-out"]["rates"][switch]
    seen = sum(bool(re.search(pattern, text)) for text in replies[2]) / len(replies[2])
    # Four standard errors of a share among 112.
    assert abs(seen - expected) < 4 * (expected * (1 - expected) / 112) ** 0.5


def test_the_card_says_how_near_the_sampled_rates_are_to_the_corpus(card):
    for part in card["unseen"].values():
        assert part["ended"] > 0.98
        assert part["loss"] < 0.5 * part["unigram"]
        for switch, rate in part["corpus_rates"].items():
            assert abs(part["rates"][switch] - rate) < 0.1, switch


def _words(text):
    return [word for word in re.findall(r"[a-z]{4,}", text.lower()) if word not in COMMON]


COMMON = {
    "what",
    "when",
    "does",
    "with",
    "about",
    "your",
    "that",
    "this",
    "answer",
    "short",
    "sentence",
    "from",
    "best",
}
