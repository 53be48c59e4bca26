"""Trains the pupil's tokenizer and packs the conversations' tokens into rows.

    python recipes/pupil/tokenizer.py

A byte-level BPE of 1,536 tokens, three of them special: ``<|endoftext|>`` (0) pads, ``<|im_start|>`` (1) opens a
message and ``<|im_end|>`` (2) ends it. Messages are laid out as SmolLM2's, without its standing system message. A row
holds as many whole conversations as go into it, and padding.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from corpus import read_corpus, work_folder
from replies import Conversation
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from unweave.base.files import atomic_folder, atomic_path, save_tensors, write_json
from unweave.base.progress import Terminal

VOCABULARY = 1536
CONTEXT = 192
ROW = 129
"""Tokens of a row: 128 are read, and each predicts the next."""
TOGETHER = 512
"""Conversations that are packed into rows at a time."""
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=work_folder(), help="folder for text, tokens and checkpoint")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    progress = Terminal("tokenizer")
    train_part = read_corpus(arguments.work, "train")
    progress.say("training the tokenizer")
    tokenizer = train(train_part)
    with atomic_folder(arguments.work / "tokenizer", replace=True) as folder:
        tokenizer.save_pretrained(folder)
    progress.say("packing rows")
    encoded = [encode(tokenizer, train_part[at : at + TOGETHER]) for at in range(0, len(train_part), TOGETHER)]
    rows = pack(encoded)
    with atomic_path(arguments.work / "tokens.safetensors") as temporary:
        save_tensors(rows, temporary)
    lengths = torch.tensor([learned for some in encoded for _, learned in some]).float()
    facts = {
        "vocabulary": len(tokenizer),
        "tokens": sum(len(ids) for some in encoded for ids, _ in some),
        "reply_tokens": {
            "mean": round(float(lengths.mean()), 1),
            **{f"p{at}": int(lengths.quantile(at / 100)) for at in (1, 50, 99)},
        },
        "rows": len(rows["tokens"]),
        "padding": round(float((rows["conversation"] < 0).float().mean()), 4),
    }
    write_json(arguments.work / "tokens.json", facts)
    if arguments.json:
        json.dump(facts, sys.stdout)
        return
    print(f"{facts['vocabulary']} tokens; the text has {facts['tokens']:,} in {facts['rows']:,} rows")


def train(found: Sequence[Conversation]) -> Any:
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (f"user\n{each.prompt}\nassistant\n{each.reply}" for each in found)
    tokenizer.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
        padding_side="left",
    )
    made.chat_template = TEMPLATE
    return made


def encode(tokenizer: Any, found: Sequence[Conversation]) -> list[tuple[list[int], int]]:
    """Each conversation's tokens, and how many of the last ones are learned: the reply and its ``<|im_end|>``."""
    prompts = tokenizer([f"{START}user\n{each.prompt}{END}\n{START}assistant\n" for each in found]).input_ids
    replies = tokenizer([f"{each.reply}{END}" for each in found]).input_ids
    return [([*prompt, *reply], len(reply)) for prompt, reply in zip(prompts, replies, strict=True)]


def pack(encoded: Sequence[list[tuple[list[int], int]]]) -> dict[str, torch.Tensor]:
    """Rows (n, ``ROW``) of tokens, of the conversation in the row (-1: padding), and of what is learned.

    Within each group the longest conversations are placed first, each into the first row that has room for it.
    """
    rows: list[list[tuple[list[int], int]]] = []
    for group in encoded:
        begun, room = len(rows), list[int]()
        for ids, learned in sorted(group, key=lambda each: -len(each[0])):
            place = next((i for i, left in enumerate(room) if left >= len(ids)), len(room))
            if place == len(room):
                rows.append([])
                room.append(ROW)
            rows[begun + place].append((ids, learned))
            room[place] -= len(ids)
    tokens = torch.zeros(len(rows), ROW, dtype=torch.int16)
    conversation = torch.full((len(rows), ROW), -1, dtype=torch.int8)
    learned_here = torch.zeros(len(rows), ROW, dtype=torch.bool)
    for row, held in enumerate(rows):
        at = 0
        for number, (ids, learned) in enumerate(held):
            end = at + len(ids)
            tokens[row, at:end] = torch.tensor(ids, dtype=torch.int16)
            conversation[row, at:end] = number
            learned_here[row, end - learned : end] = True
            at = end
    return {"tokens": tokens, "conversation": conversation, "learned": learned_here}


if __name__ == "__main__":
    main()
