"""What a store of features is of, in its ``features.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from unweave.base.errors import UnweaveError
from unweave.base.files import file_hash, read_json, write_json
from unweave.preferences.features.shards import Shard

FORMAT = 1
FACTS = "features.json"
PROMPT = "prompt"


@dataclass(frozen=True)
class ShardFacts:
    """One file of a store, and what is counted in it by span."""

    file: str
    rows: int
    bytes: int
    sha256: str
    tokens: Mapping[str, int]
    cut: Mapping[str, int]
    """Prompts and replies that were longer than their limit."""

    @classmethod
    def of(cls, path: Path, rows: int, sides: Sequence[str]) -> Self:
        """Those of a shard that is written."""
        shard = Shard(path)
        tokens, cut = (
            {span: int(shard[f"{span}.{name}"].sum()) for span in (PROMPT, *sides)} for name in ("tokens", "cut")
        )
        return cls(path.name, rows, path.stat().st_size, file_hash(path), tokens, cut)


@dataclass(frozen=True)
class FeatureFacts:
    """What a store is of: target and dictionary by identity, where they were read, and the columns."""

    format: int
    target: str
    target_name: str
    layer: int
    width: int
    sides: tuple[str, ...]
    """``chosen`` and ``rejected``, or ``reply``."""
    behaviours: tuple[str, ...]
    kind: str | None
    dictionary: str | None
    """Digest of the dictionary; None where no features were read."""
    dictionary_name: str | None
    features: Mapping[str, int]
    """How many features each group of the dictionary has; a feature's number counts through all of them."""
    max_prompt: int
    max_reply: int
    shard_rows: int

    def identity(self) -> dict[str, Any]:
        """What must be equal for two shards to be of one reading: all but what things are called."""
        return {name: value for name, value in asdict(self).items() if not name.endswith("_name")}

    def columns(self) -> dict[str, Any]:
        """What must be equal for two stores to have the same columns."""
        return {name: getattr(self, name) for name in ("target", "layer", "dictionary", "behaviours")}


def write_facts(folder: Path, facts: FeatureFacts, shards: Sequence[ShardFacts]) -> None:
    """Writes ``features.json``, which makes a folder of shards a store."""
    write_json(folder / FACTS, {**asdict(facts), "shards": [asdict(shard) for shard in shards]})


def read_facts(folder: Path) -> tuple[FeatureFacts, list[ShardFacts]]:
    """What a store is of, and its shards.

    Raises ``UnweaveError`` for a folder that is no whole store, another format, and shards that are not there.
    """
    path = folder / FACTS
    if not path.is_file():
        what = (
            "its reading was interrupted: read again" if any(folder.glob("shard-*")) else "it is no store of features"
        )
        raise UnweaveError(f"{folder} has no {FACTS}: {what}")
    given = read_json(path)
    found = given.get("format") if isinstance(given, dict) else None
    if found not in (None, FORMAT):
        raise UnweaveError(f"{folder} has feature format {found}, and this version reads {FORMAT}")
    try:
        values: dict[str, Any] = {each.name: given[each.name] for each in fields(FeatureFacts)}
        values |= {name: tuple(values[name]) for name in ("sides", "behaviours")}
        facts, shards = FeatureFacts(**values), [ShardFacts(**shard) for shard in given["shards"]]
    except (KeyError, TypeError) as error:
        raise UnweaveError(f"{path} is damaged ({error}): read again") from error
    for shard in shards:
        file = folder / shard.file
        if not file.is_file() or file.stat().st_size != shard.bytes:
            raise UnweaveError(f"{file} is not there, or not of the {shard.bytes} bytes that {FACTS} says: read again")
    return facts, shards
