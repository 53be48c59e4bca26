"""Trains the polyglot target's tokenizer and writes the text's tokens.

    python recipes/polyglot/tokenizer.py

A byte-level BPE of 4,096 tokens, one of them special: ``<|endoftext|>`` (0), which stands between books and serves as
start, end and padding. Nothing is added to an encoded text. The text holds the same verses in every language, so that
each language weighs the same in the merges.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from corpus import LANGUAGES, work_folder
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from unweave.base.files import atomic_folder, atomic_path, read_json, save_tensors, write_json
from unweave.base.progress import Terminal

VOCABULARY = 4096
CONTEXT = 256
END = "<|endoftext|>"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=work_folder(), help="folder for text, tokens and checkpoint")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    progress = Terminal("tokenizer")
    books = read_books(arguments.work)
    progress.say("training the tokenizer")
    tokenizer = train([book for label in LANGUAGES for book in books[label]])
    with atomic_folder(arguments.work / "tokenizer", replace=True) as folder:
        tokenizer.save_pretrained(folder)
    streams = {}
    for done, label in enumerate(LANGUAGES, 1):
        streams[label] = stream(tokenizer, books[label])
        progress.update(done, len(LANGUAGES), "languages encoded")
    with atomic_path(arguments.work / "tokens.safetensors") as temporary:
        save_tensors(streams, temporary)
    facts = {
        "vocabulary": len(tokenizer),
        "tokens": {label: len(tokens) for label, tokens in streams.items()},
        "characters_per_token": {
            label: round(sum(map(len, books[label])) / len(streams[label]), 3) for label in LANGUAGES
        },
    }
    write_json(arguments.work / "tokens.json", facts)
    if arguments.json:
        json.dump(facts, sys.stdout)
        return
    print(f"{facts['vocabulary']} tokens; the text has {sum(map(len, streams.values())):,}")


def read_books(work: Path) -> dict[str, list[str]]:
    read_json(work / "text.json")  # written last: without it the text is not whole
    texts = {label: (work / "text" / f"{label}.txt").read_text(encoding="utf-8") for label in LANGUAGES}
    return {label: text.strip("\n").split("\n\n") for label, text in texts.items()}


def train(texts: list[str]) -> Any:
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
    )


def stream(tokenizer: Any, books: list[str]) -> torch.Tensor:
    """The language's tokens in one row, ``<|endoftext|>`` after every book."""
    # The library below: transformers' own call warns of texts that are longer than the model's context.
    encoded = tokenizer.backend_tokenizer.encode_batch(books, add_special_tokens=False)
    end = tokenizer.eos_token_id
    return torch.tensor([token for book in encoded for token in (*book.ids, end)], dtype=torch.int16)


if __name__ == "__main__":
    main()
