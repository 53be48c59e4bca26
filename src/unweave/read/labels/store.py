"""Labels of a harvest's features with their scores, as a table and a description."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import atomic_path, file_hash, read_json, write_json

if TYPE_CHECKING:
    from unweave.read.harvest.value import Harvest

FORMAT = 1
TABLE, DESCRIPTION = "labels.parquet", "labels.json"
SCORES = ("detection", "fuzzing", "intruder", "intruder_control")


@dataclass(frozen=True)
class LabelRow:
    """The label of one feature, and its scores; a score that could not be made is None, with 0 trials."""

    row: int
    name: str
    text: str
    reads: str
    writes: str
    confidence: str
    reason: str
    predicate: str
    """As JSON; empty where the label has none."""
    labeler: str
    detection: float | None = None
    detection_low: float | None = None
    detection_high: float | None = None
    detection_trials: int = 0
    fuzzing: float | None = None
    fuzzing_low: float | None = None
    fuzzing_high: float | None = None
    fuzzing_trials: int = 0
    intruder: float | None = None
    intruder_low: float | None = None
    intruder_high: float | None = None
    intruder_trials: int = 0
    intruder_control: float | None = None
    intruder_control_low: float | None = None
    intruder_control_high: float | None = None
    intruder_control_trials: int = 0


@dataclass(frozen=True)
class LabelFacts:
    """What labels are of and how they were made and scored."""

    harvest: str
    """The harvest's digest."""
    target: str
    target_name: str
    dictionary: str
    dictionary_name: str
    labeler: str
    settings: Mapping[str, Any]
    judge: str
    intruder_by: str
    """What the intruder judge goes by."""
    seed: int
    totals: Mapping[str, Any]
    spent: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class Labels:
    """Labels by a feature's row in its harvest."""

    facts: LabelFacts
    rows: Mapping[int, LabelRow]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[LabelRow]:
        return iter(self.rows.values())

    def __contains__(self, row: int) -> bool:
        return row in self.rows

    def __getitem__(self, row: int) -> LabelRow:
        if row not in self.rows:
            raise UnweaveError(f"feature {row} has no label here: features that never fire have none")
        return self.rows[row]

    def get(self, row: int) -> LabelRow | None:
        return self.rows.get(row)

    def check_harvest(self, harvest: Harvest) -> None:
        """Raises ``UnweaveError`` when these are labels of another harvest."""
        if self.facts.harvest != harvest.digest:
            raise UnweaveError(
                f"these labels are of harvest {self.facts.harvest}, not of {harvest.digest}: run `unweave label` on it"
            )

    def save(self, folder: Path | str) -> None:
        """Writes ``labels.parquet`` and ``labels.json``; the second is what says that both are there."""
        import pyarrow.parquet as pq

        folder = Path(folder)
        with atomic_path(folder / TABLE) as temporary:
            pq.write_table(_table(list(self)), temporary, compression="zstd")
        described = {"format": FORMAT, **asdict(self.facts), "sha256": file_hash(folder / TABLE)}
        write_json(folder / DESCRIPTION, described)

    @classmethod
    def load(cls, folder: Path | str) -> Labels:
        """Reads labels back. Raises ``UnweaveError`` for a folder without any, a newer format, or damage."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = Path(folder)
        if not (folder / DESCRIPTION).is_file():
            raise UnweaveError(f"{folder} has no labels: make them with `unweave label {folder}`")
        described = read_json(folder / DESCRIPTION)
        found = described.get("format") if isinstance(described, dict) else None
        if found != FORMAT:
            raise UnweaveError(f"{folder} has labels of format {found}, and this version reads {FORMAT}")
        try:
            if file_hash(folder / TABLE) != described["sha256"]:
                raise UnweaveError(f"{folder / TABLE} is not the table that {DESCRIPTION} describes: label anew")
            facts = LabelFacts(**{each.name: described[each.name] for each in fields(LabelFacts)})
            rows = [LabelRow(**each) for each in pq.read_table(folder / TABLE).to_pylist()]
        except OSError as error:
            raise oserror_line(error, folder / TABLE) from error
        except (KeyError, TypeError, pa.ArrowException) as error:
            raise UnweaveError(f"the labels in {folder} are damaged ({error}): label anew") from error
        return cls(facts, {each.row: each for each in rows})


def export_labels(labels: Labels, harvest: Harvest, folder: Path | str) -> tuple[Path, Path]:
    """Writes ``features.parquet`` and ``features.json``: each labelled feature's label, scores and statistics."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels.check_harvest(harvest)
    folder = Path(folder)
    records = [asdict(each) | _statistics(harvest, each.row) for each in labels]
    table, listed = folder / "features.parquet", folder / "features.json"
    with atomic_path(table) as temporary:
        pq.write_table(pa.Table.from_pylist(records, schema=_schema(records)), temporary, compression="zstd")
    write_json(listed, {"labels": asdict(labels.facts), "features": records})
    return table, listed


def _statistics(harvest: Harvest, row: int) -> dict[str, Any]:
    density = harvest.firing_by_label[row] / harvest.tokens_by_label.clip(1)
    names = harvest.facts.labels
    return {
        "site": harvest.groups[harvest.site_of[row]][0],
        "index": int(harvest.index_of[row]),
        "density": float(harvest.density[row]),
        "firing": int(harvest.firing[row]),
        "importance_mean": float(harvest.importance_mean[row]),
        "activation_mean": float(harvest.activation_mean[row]),
        "activation_positive": float(harvest.activation_positive[row]),
        "input_tokens": _tokens(harvest, harvest.input_table(row)),
        "output_tokens": _tokens(harvest, harvest.output_table(row)),
        **{f"density_{name}": float(value) for name, value in zip(names, density, strict=True)},
    }


def _tokens(harvest: Harvest, table: Any, limit: int = 10) -> list[str]:
    return [harvest.vocabulary.text[token] for token in table.tokens[:limit]]


def _table(rows: Sequence[LabelRow]) -> Any:
    import pyarrow as pa

    records = [asdict(each) for each in rows]
    for record in records:
        for name, value in record.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UnweaveError(f"feature {record['name']!r} has {name} {value}: a score is a number or none")
    return pa.Table.from_pylist(records, schema=_schema(records))


def _schema(records: Sequence[Mapping[str, Any]]) -> Any:
    import pyarrow as pa

    kinds = {"str": pa.string(), "int": pa.int64(), "float | None": pa.float64()}
    known = {each.name: kinds[str(each.type)] for each in fields(LabelRow)}
    for name, value in (records[0] if records else {}).items():
        if name not in known:
            found = {list: pa.list_(pa.string()), str: pa.string(), int: pa.int64(), float: pa.float64()}
            known[name] = found[type(value)]
    return pa.schema(list(known.items()))


def predicate_text(predicate: Any) -> str:
    """A predicate's JSON in one line; empty for none."""
    return "" if predicate is None else json.dumps(predicate, ensure_ascii=False, separators=(",", ":"))
