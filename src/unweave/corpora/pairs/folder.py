"""Where a dataset's rows lie: a file, or a folder of files by split as ``datasets`` and the hub have them."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.base.files import read_json
from unweave.corpora.pairs.rows import KINDS, DataFile, suffix_of

FORMS = "use JSON lines (.jsonl, .jsonl.gz), Parquet, or a folder of them or of `datasets.save_to_disk`"
_DICT, _STATE = "dataset_dict.json", "state.json"
_METADATA = {_DICT, _STATE, "dataset_info.json", "dataset_infos.json"}
_SHARD = re.compile(r"(?P<split>.+?)-\d{5}-of-\d{5}(-[0-9a-f]+)?")
_TELL_NOTHING = ("", "data", "part")
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}


def split_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The splits of a dataset's folder or file, by name; raises ``UnweaveError`` where there is no data."""
    return tuple(find_splits(Path(path).expanduser()))


def choose_files(root: Path, split: str | None) -> tuple[str, tuple[DataFile, ...]]:
    """The split that is meant and its files in order. Several splits and none chosen are refused, and named."""
    splits = find_splits(root)
    if split is None:
        if len(splits) > 1:
            names = ", ".join(map(repr, splits))
            raise UnweaveError(f"{root} has the splits {names}: choose one, as in split={next(iter(splits))!r}")
        split = next(iter(splits))
    if split not in splits:
        raise UnweaveError(f"{root} has no split {split!r}; {nearest(split, splits)}")
    files = splits[split]
    kinds = sorted({suffix_of(file.path) for file in files})
    if len({KINDS[kind] for kind in kinds}) > 1:
        raise UnweaveError(f"{root} has the split {split!r} as {' and as '.join(kinds)}: give the path of one of them")
    return split, files


def find_splits(root: Path) -> dict[str, tuple[DataFile, ...]]:
    """Files by split: of ``save_to_disk`` by its own lists, else by the names of files and folders.

    Names are read as the hub reads them: ``train-00000-of-00002.parquet``, ``test.jsonl``, ``validation/0.parquet``;
    a file whose name says no split is one of its own. Nothing is executed, and cards are not read.
    """
    try:
        if root.is_file():
            return {_split(root.parent, root): (_file(root.parent, root),)}
        if not root.is_dir():
            raise UnweaveError(f"{root} does not exist: {FORMS}")
        if (root / _DICT).is_file():
            return {name: _saved(root, root / name) for name in _listed(root / _DICT, "splits")}
        if (root / _STATE).is_file():
            return {_split_of_words([root.resolve().name]) or "train": _saved(root, root)}
        found: dict[str, list[DataFile]] = defaultdict(list)
        for path in _data_files(root):
            found[_split(root, path)].append(_file(root, path))
    except OSError as error:
        raise oserror_line(error, root) from error
    if not found:
        raise UnweaveError(f"{root} holds no data file: {FORMS}")
    return {name: tuple(files) for name, files in sorted(found.items(), key=_usual_order)}


def _usual_order(item: tuple[str, object]) -> tuple[int, str]:
    name = item[0]
    return next((i for i, each in enumerate(_SPLITS) if name.startswith(each)), len(_SPLITS)), name


def _saved(root: Path, folder: Path) -> tuple[DataFile, ...]:
    """The Arrow files that ``save_to_disk`` lists in a folder, in its order."""
    return tuple(_file(root, folder / name) for name in _listed(folder / _STATE, "_data_files"))


def _listed(path: Path, field: str) -> list[str]:
    """Names of files or folders beside ``path`` that it lists under ``field``."""
    value = read_json(path)
    found = value.get(field) if isinstance(value, dict) else None
    if not isinstance(found, list) or not found:
        raise UnweaveError(f"{path}: {field!r} is {found!r} and not a list of what is there: copy the folder again")
    names = []
    for each in found:
        name = each.get("filename") if isinstance(each, dict) else each
        if not isinstance(name, str) or Path(name).name != name or not (path.parent / name).exists():
            raise UnweaveError(f"{path} lists {name!r}, which is not beside it: copy the folder again")
        names.append(name)
    return names


def _file(root: Path, path: Path) -> DataFile:
    suffix = suffix_of(path)
    if suffix not in KINDS:
        raise UnweaveError(f"{path} is not a file of pairs ({suffix or 'no ending'}): {FORMS}")
    return DataFile(path, path.relative_to(root).as_posix(), KINDS[suffix])


def _data_files(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__")):
            continue
        if entry.is_dir():
            if not entry.is_symlink():  # it may lead back up
                yield from _data_files(entry)
        elif suffix_of(entry) in KINDS and entry.name not in _METADATA:
            yield entry


def _split(root: Path, path: Path) -> str:
    stem = path.name[: len(path.name) - len(suffix_of(path))]
    folders = list(reversed(path.relative_to(root).parts[:-1]))
    shard = _SHARD.fullmatch(stem)
    # `save_to_disk` calls every shard "data": its folder tells more.
    if shard and shard["split"] != "data":
        return shard["split"]
    own = re.sub(r"[-_.]?\d+$", "", shard["split"] if shard else stem)
    telling = (name for name in (own, *folders) if name not in _TELL_NOTHING)
    return _split_of_words([stem, *folders]) or next(telling, "train")


def _split_of_words(names: list[str]) -> str | None:
    for name in names:
        words = set(re.split(r"[^a-z]+", name.lower()))
        for split, keywords in _SPLITS.items():
            if words & set(keywords):
                return split
    return None
