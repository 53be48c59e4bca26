"""Writes the conversations that the pupil learns from, and two parts that it never sees.

    python recipes/pupil/corpus.py

One JSON object a line, with topic, subject, prompt and reply. ``train`` and ``fresh`` are about the same subjects, but
no conversation of ``fresh`` is one of ``train``; ``held-out`` is about the subjects that ``unweave.preferences.made``
holds out, on which ``train`` has nothing under their topic.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from grammar import read_grammar
from replies import Conversation, conversations

from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_path, check_writable, read_json, write_json
from unweave.base.progress import Terminal
from unweave.base.settings import cache_folder

TRAIN, UNSEEN = 120_000, 2_000
SEED = 0


def work_folder() -> Path:
    return cache_folder("recipes", "pupil")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=work_folder(), help="folder for text, tokens and checkpoint")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    check_writable(arguments.work)
    facts = write_corpus(arguments.work, Terminal("corpus"))
    if arguments.json:
        json.dump(facts, sys.stdout)
        return
    print(f"{facts['train']['conversations']:,} conversations, sha256 {facts['sha256'][:16]}")


def write_corpus(work: Path, progress: Terminal) -> dict[str, Any]:
    """Writes ``train.jsonl``, ``fresh.jsonl``, ``held-out.jsonl`` and ``corpus.json``; returns the latter's facts."""
    grammar = read_grammar()
    progress.say(f"drawing {TRAIN:,} conversations")
    train = list(islice(conversations(grammar, SEED, "train"), TRAIN))
    seen = set(train)
    parts = {
        "train": train,
        "fresh": list(islice((each for each in conversations(grammar, SEED, "fresh") if each not in seen), UNSEEN)),
        "held-out": list(islice(conversations(grammar, SEED, "held-out", held_out=True), UNSEEN)),
    }
    digest = hashlib.sha256()
    facts: dict[str, Any] = {}
    for part, found in parts.items():
        text = "".join(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in found)
        with atomic_path(work / f"{part}.jsonl") as temporary:
            temporary.write_text(text, encoding="utf-8")
        digest.update(text.encode())
        facts[part] = {"conversations": len(found), "different_replies": len({each.reply for each in found})}
    facts["sha256"] = digest.hexdigest()
    write_json(work / "corpus.json", facts)
    return facts


def read_corpus(work: Path, part: str) -> list[Conversation]:
    """A part as it was written; raises ``UnweaveError`` where the corpus is not whole."""
    if not (work / "corpus.json").exists():
        raise UnweaveError(f"{work} has no corpus.json: run corpus.py first")
    read_json(work / "corpus.json")  # written last
    lines = (work / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Conversation(**json.loads(line)) for line in lines]


if __name__ == "__main__":
    main()
