"""A harvest on disk: Parquet tables, the pool as safetensors, and what it is of as JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_folder, file_hash, read_json, write_json
from unweave.read.harvest.columns import Columns
from unweave.read.harvest.partners import find_partners
from unweave.read.harvest.reservoir import NONE, Reservoir
from unweave.read.harvest.tally import FIXED, Tally
from unweave.read.harvest.text import HarvestText

FORMAT = 1
_ROWS_AT_ONCE = 1024
FILES = (
    "features.parquet",
    "tokens_in.parquet",
    "tokens_out.parquet",
    "vocabulary.parquet",
    "examples.parquet",
    "partners.parquet",
    "pool.safetensors",
)


@dataclass(frozen=True)
class HarvestFacts:
    """What a harvest is of: target and dictionary with their identities, the text, the settings."""

    target: str
    target_name: str
    target_source: str
    """As ``load_target`` takes it, or ``./`` and a path from the folder that the harvest stands in."""
    dtype: str
    kind: str
    dictionary: str
    dictionary_name: str
    dictionary_source: str
    """As ``load_dictionary`` takes it, or ``./`` and a path from the folder that the harvest stands in."""
    groups: Mapping[str, int]
    corpus: str
    text: str
    labels: tuple[str, ...]
    label_names: tuple[str, ...]
    windows: int
    length: int
    tokens: int
    settings: Mapping[str, Any]
    seconds: float
    tokens_read_here: int
    """Fewer than ``tokens`` where shards were merged or the harvest went on after a stop."""
    tokens_by_label: tuple[int, ...]
    shown_tokens_by_label: tuple[int, ...]
    count_total: int
    """Tokens in shown windows, those that the tables do not tell apart among them."""
    draws_total: int
    """The same of draws from what the model says next."""


_TUPLES = ("labels", "label_names", "tokens_by_label", "shown_tokens_by_label")


def read_facts(folder: Path) -> tuple[HarvestFacts, dict[str, str]]:
    """What the harvest in ``folder`` is of, and the sha256 of its files by name.

    Raises ``UnweaveError`` for a folder that is no harvest, another format, or a ``harvest.json`` that lacks something.
    """
    if not (folder / "harvest.json").is_file():
        what = "it has no harvest.json" if folder.exists() else "there is no such folder"
        raise UnweaveError(f"{folder} is not a harvest: {what}; make one with `unweave harvest`")
    described = read_json(folder / "harvest.json")
    found = described.get("format") if isinstance(described, dict) else None
    if found not in (None, FORMAT):
        raise UnweaveError(f"{folder} has harvest format {found}, and this version reads {FORMAT}")
    try:
        given: Any = {each.name: described[each.name] for each in fields(HarvestFacts)}
        given |= {name: tuple(given[name]) for name in _TUPLES}
        facts, digests, _ = HarvestFacts(**given), dict(described["sha256"]), described["format"]
    except (KeyError, TypeError) as error:
        raise UnweaveError(f"{folder} is damaged: its harvest.json lacks {error}; make it again") from error
    return facts, digests


def relative_source(source: str, out: Path) -> str:
    """A target or dictionary as a harvest in ``out`` remembers it: a path from there, any other name as it is."""
    if not Path(source).exists():
        return source
    try:
        return f"./{Path(os.path.relpath(Path(source).resolve(), out.parent.resolve())).as_posix()}"
    except ValueError:  # on another drive
        return str(Path(source).resolve())


def found_source(source: str, harvest: Path) -> str:
    """What ``relative_source`` remembered, as it is found from here."""
    return str(harvest.parent / source) if source.startswith("./") else source


def write_harvest(
    out: Path,
    facts: HarvestFacts,
    text: HarvestText,
    columns: Columns,
    pool: np.ndarray,
    tally: Tally,
    tokenizer: Any,
    partners: int,
    check: Callable[[Path], object],
) -> None:
    """Writes the folder, whole or not at all; ``check`` sees it before it gets its name, and raises if it is wrong."""
    fired = tally.pooled()
    positions = len(pool) * text.length
    together = find_partners(fired["feature"], fired["position"], tally.shape.features, positions, partners)
    with atomic_folder(out) as folder:
        _write(folder / "features.parquet", _features(facts, tally))
        for name in ("in", "out"):
            _write_tokens(folder / f"tokens_{name}.parquet", tally.sums[f"table_{name}"], columns)
        _write(folder / "vocabulary.parquet", _vocabulary(tally, columns, tokenizer))
        _write(folder / "examples.parquet", _examples(tally, text))
        _write(folder / "partners.parquet", together._asdict())
        _write_pool(folder / "pool.safetensors", tally, text, pool, fired)
        hashes = {name: file_hash(folder / name) for name in FILES}
        write_json(folder / "harvest.json", {"format": FORMAT, **asdict(facts), "sha256": hashes})
        check(folder)


def _write(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: _arrow(values) for name, values in columns.items()}), path, compression="zstd")


def _arrow(values: Any) -> Any:
    import pyarrow as pa

    if not isinstance(values, np.ndarray) or values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def _features(facts: HarvestFacts, tally: Tally) -> dict[str, Any]:
    sums = tally.sums
    return {
        "group": np.repeat(list(facts.groups), list(facts.groups.values())).tolist(),
        "index": np.concatenate([np.arange(count) for count in facts.groups.values()]),
        "firing": sums["firing_by_label"].sum(1),
        "shown_by_label": sums["shown_by_label"],
        "shown_by_position": sums["shown_by_position"],
        "importance_sum": sums["importance_sum"] / FIXED,
        "activation_sum": sums["activation_sum"] / FIXED,
        "activation_positive": sums["activation_positive"],
        "firing_by_label": sums["firing_by_label"],
        "importance_by_label": sums["importance_by_label"] / FIXED,
        "firing_by_position": sums["firing_by_position"],
        "importance_histogram": sums["importance_histogram"],
        "activation_histogram": sums["activation_histogram"],
        "background_histogram": sums["background_histogram"],
    }


def _write_tokens(path: Path, table: np.ndarray, columns: Columns) -> None:
    """Row, token and count of every entry that is not 0, some features at a time: all would outweigh the table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tokens = np.append(columns.tokens, -1).astype(np.int32)  # -1: all tokens without a column of their own
    schema = pa.schema([("row", pa.int32()), ("token", pa.int32()), ("count", pa.int32())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(table), _ROWS_AT_ONCE):
            row, column = np.nonzero(table[start : start + _ROWS_AT_ONCE])
            count = table[start + row, column]
            parts = [pa.array((row + start).astype(np.int32)), pa.array(tokens[column]), pa.array(count)]
            writer.write_table(pa.table(parts, schema=schema))


def _vocabulary(tally: Tally, columns: Columns, tokenizer: Any) -> dict[str, Any]:
    size = len(columns.of_token)
    counts, draws = np.zeros(size, np.int64), np.zeros(size, np.int64)
    counts[columns.tokens] = tally.sums["vocabulary_count"][:-1]
    draws[columns.tokens] = tally.sums["vocabulary_draws"][:-1]
    own = np.zeros(size, bool)
    own[columns.tokens] = True
    return {"text": token_texts(tokenizer, size), "count": counts, "draws": draws, "own_column": own}


def token_texts(tokenizer: Any, size: int) -> list[str]:
    """The text of each token id, with the space before a word; part of a character as the tokenizer spells it."""
    if tokenizer is None:
        return [str(index) for index in range(size)]
    spelled = tokenizer.convert_ids_to_tokens(list(range(min(size, len(tokenizer)))))
    found = []
    for index, spelling in enumerate(spelled):
        text = tokenizer.decode([index])
        spelling = spelling if isinstance(spelling, str) else str(index)
        if spelling.startswith("\u2581") and not text.startswith(" "):
            text = " " + text  # sentencepiece drops the space of a token that stands alone
        found.append(spelling if "\ufffd" in text or not text else text)
    return found + [str(index) for index in range(len(found), size)]


def _examples(tally: Tally, text: HarvestText) -> dict[str, Any]:
    import pyarrow as pa

    kinds: list[tuple[Reservoir, bool]] = [(tally.shown, False), (tally.held, True)]
    parts = []
    for reservoir, held in kinds:
        arrays = reservoir.arrays()
        row, place = np.nonzero(arrays["priority"] != NONE)
        parts.append((row, place, arrays, np.full(len(row), held)))
    row = np.concatenate([part[0] for part in parts])
    taken = {
        name: np.concatenate([part[2][name][part[0], part[1]] for part in parts])
        for name in ("window", "position", "importance", "activation")
    }
    held = np.concatenate([part[3] for part in parts])
    order = np.lexsort((held, row))
    row, held = row[order], held[order]
    window, position = taken["window"][order].astype(np.int64), taken["position"][order].astype(np.int64)
    context = tally.shape.context
    around = position[:, None] + np.arange(-context, context + 1)
    inside = (around >= 0) & (around < text.length)
    tokens = text.tokens[window[:, None], np.clip(around, 0, text.length - 1)]
    borders = np.concatenate([[0], np.cumsum(inside.sum(1))]).astype(np.int32)

    def lists(values: np.ndarray) -> Any:
        return pa.ListArray.from_arrays(pa.array(borders), pa.array(values[inside]))

    return {
        "row": row.astype(np.int32),
        "held": held,
        "window": window.astype(np.int32),
        "position": position.astype(np.int32),
        "offset": np.minimum(position, context).astype(np.int32),
        "label": text.label[window].astype(np.int32),
        "tokens": lists(tokens),
        "importance": lists(taken["importance"][order].astype(np.float32)),
        "activation": lists(taken["activation"][order]),
    }


def _write_pool(path: Path, tally: Tally, text: HarvestText, pool: np.ndarray, fired: Mapping[str, np.ndarray]) -> None:
    import torch

    from unweave.base.files import save_tensors

    found = {
        "tokens": text.tokens[pool],
        "label": text.label[pool].astype(np.int32),
        "held": text.held[pool],
        "window": pool.astype(np.int64),
        "predicted": tally.predicted,
        "fired.starts": np.searchsorted(fired["feature"], np.arange(tally.shape.features + 1)),
        "fired.position": fired["position"],
        "fired.importance": fired["importance"],
        "fired.activation": fired["activation"],
    }
    save_tensors({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in found.items()}, path)
