"""A corpus from a person's own files: found, decoded, and given to parts."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.corpora.bundled import CORPORA
from unweave.corpora.splits import Piece, assign
from unweave.corpora.text import PARTS, Corpus
from unweave.corpora.text_file import read_text_file

if TYPE_CHECKING:
    from collections.abc import Iterator

PART_LOOKALIKES = {"train", "test", "valid", "validation", "dev", "eval", "val"}
LAYOUT = "use a folder with one subfolder or one text file per label, or a .jsonl file of label and text"


@dataclass(frozen=True)
class Row:
    """One line of a JSONL corpus, an object with these fields; the last two are optional."""

    label: str
    text: str
    document: str | None = None
    part: str | None = None


def load_corpus(spec: str | os.PathLike[str], seed: int = 0) -> Corpus:
    """A bundled corpus by its name (``parallel``, ``declaration``), or ``read_corpus`` of a path.

    A folder that has a bundled corpus's name is meant by ``./parallel`` or by a ``Path``.
    """
    if isinstance(spec, str) and spec in CORPORA:
        return CORPORA[spec]()
    if not Path(spec).expanduser().exists():
        raise UnweaveError(
            f"corpus {os.fspath(spec)!r} is neither a bundled corpus nor a path that exists; "
            f"{nearest(os.fspath(spec), CORPORA)}, or {LAYOUT}"
        )
    return read_corpus(spec, seed)


def read_corpus(path: str | os.PathLike[str], seed: int = 0) -> Corpus:
    """A corpus from a folder of label folders, a folder of one text file per label, or a JSONL file.

    A file or JSONL document is a document; rows of JSONL with the same ``document`` are joined by line breaks. Parts
    are given by folders named after them above the labels (``path/evaluation/de/...``) or the ``part`` field, or else
    assigned (``splits.assign``): whole documents, seeded, or blocks of them where there are few. A paragraph that
    would stand in two parts is kept in one. Files and folders whose names start with a dot or ``__`` are skipped.
    Raises ``UnweaveError`` for a missing path, an empty label, fewer than two labels, bytes that are not UTF-8, one
    text under two labels, and too little text.
    """
    root = Path(path).expanduser()
    if root.is_dir():
        pieces = dict(_folder(root))
    elif root.suffix.lower() == ".jsonl" and root.is_file():
        pieces = _jsonl(root)
    elif root.exists():
        raise UnweaveError(f"{root} is a single file, not a corpus: {LAYOUT}")
    else:
        raise UnweaveError(f"{root} does not exist: {LAYOUT}")
    empty = sorted(label for label, texts in pieces.items() if not any(piece.text.strip() for piece in texts))
    if empty:
        raise UnweaveError(f"label {empty[0]!r} of {root} has no text: give it some, or remove it")
    if len(pieces) < 2:
        found = f"only the label {next(iter(pieces))!r}" if pieces else "no text"
        raise UnweaveError(f"{root} holds {found}, and a contrast needs at least two labels: {LAYOUT}")
    name = root.resolve().name
    return Corpus(name.removesuffix(".jsonl"), assign(pieces, seed), source=name)


def _folder(root: Path) -> Iterator[tuple[str, list[Piece]]]:
    pieces: dict[str, list[Piece]] = defaultdict(list)
    part_folders = [folder for folder in _visible(root) if folder.is_dir() and folder.name in PARTS]
    for folder in part_folders:
        for label, file in _labelled(folder, _visible(folder)):
            pieces[label] += [Piece(read_text_file(file), folder.name)] if file else []
    for label, file in _labelled(root, [entry for entry in _visible(root) if entry not in part_folders]):
        pieces[label] += [Piece(read_text_file(file))] if file else []
    yield from sorted(pieces.items())


def _labelled(root: Path, entries: list[Path]) -> Iterator[tuple[str, Path | None]]:
    """Label and file for every file below; a label folder without files comes once, with None."""
    folders = [entry for entry in entries if entry.is_dir()]
    files = [entry for entry in entries if entry.is_file()]
    if folders and files:
        raise UnweaveError(
            f"{root} mixes label folders ({folders[0].name}) and files ({files[0].name}): give every label a folder"
        )
    for file in files:
        yield file.stem, file
    for folder in folders:
        if folder.name in PART_LOOKALIKES:
            raise UnweaveError(
                f"{folder} would be a label and looks like a part: rename it to one of {', '.join(PARTS)}"
            )
        for part in PARTS:
            if (folder / part).is_dir():
                raise UnweaveError(
                    f"{folder / part} has its part below its label: put it the other way round, "
                    f"as {root / part / folder.name}"
                )
        below = [file for file in _walk(folder) if file.is_file()]
        for file in below or [None]:
            yield folder.name, file


def _walk(folder: Path) -> Iterator[Path]:
    for entry in _visible(folder):
        if entry.is_dir():
            if entry.is_symlink():  # it may lead back up
                continue
            yield from _walk(entry)
        else:
            yield entry


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__")))
    except OSError as error:
        raise oserror_line(error, folder) from error


def _jsonl(path: Path) -> dict[str, list[Piece]]:
    documents: dict[tuple[str, str | None, object], list[str]] = defaultdict(list)
    parts_of: dict[tuple[str, str], str | None] = {}
    for number, line in enumerate(read_text_file(path).split("\n"), start=1):
        if not line.strip():
            continue
        row = _row(line, f"{path} line {number}")
        if row.document is not None and parts_of.setdefault((row.label, row.document), row.part) != row.part:
            raise UnweaveError(f"{path} line {number}: document {row.document!r} stands in two parts; give it one part")
        # A row that names no document is one by itself.
        documents[row.label, row.part, number if row.document is None else row.document].append(row.text)
    pieces: dict[str, list[Piece]] = defaultdict(list)
    for (label, part, _), texts in documents.items():
        pieces[label].append(Piece("\n".join(texts), part))
    return dict(sorted(pieces.items()))


def _row(line: str, where: str) -> Row:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise UnweaveError(f"{where} is not valid JSON ({error.msg}): one object a line is expected") from error
    if not isinstance(value, dict):
        raise UnweaveError(f'{where} is {type(value).__name__}, not an object: use {{"label": "de", "text": "..."}}')
    for field in ("label", "text"):
        if not isinstance(value.get(field), str) or (field == "label" and not value[field].strip()):
            raise UnweaveError(f"{where}: {field!r} must be a non-empty string, and is {value.get(field)!r}")
    if any("\ud800" <= character <= "\udfff" for character in value["text"]):
        raise UnweaveError(f"{where}: 'text' has half of a surrogate pair, which is no character; write the file anew")
    part = value.get("part")
    if part is not None and part not in PARTS:
        raise UnweaveError(f"{where}: part {part!r} is not one of the parts of a corpus; {nearest(str(part), PARTS)}")
    document = value.get("document")
    return Row(value["label"], value["text"], None if document is None else str(document), part)
