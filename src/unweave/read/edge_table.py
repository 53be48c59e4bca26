"""Edges between subcomponents summed over text, as a value: what feeds a subcomponent, and what it feeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unweave.base.errors import UnweaveError, nearest
from unweave.base.files import atomic_folder, read_json, write_json

FORMAT = 1
COLUMNS: tuple[str, ...] = ("target", "source", "signed", "toward", "absolute")


class Edge(NamedTuple):
    """One edge over a text. ``share`` and ``toward_share`` are the signed and toward sums a unit of source importance
    and of the target's root mean square."""

    source: str
    target: str
    signed: float
    toward: float
    absolute: float
    share: float
    toward_share: float


@dataclass(frozen=True)
class EdgeTable:
    """Summed edges, the largest sources of each target.

    ``signed`` adds up what the source adds to the target's activation where that fires. ``toward`` counts what makes it
    larger whichever its sign is as positive (the gradient of ``|a|``: the sign of a rank-one piece says nothing by
    itself). ``absolute`` adds up absolute values, by position of the source and by sign of the target.
    """

    names: tuple[str, ...]
    """All sources: every subcomponent in order, then embeddings, by module."""
    subcomponents: int
    columns: Mapping[str, np.ndarray]
    """``COLUMNS``: rows of target and source among ``names``, and the three sums."""
    importance: np.ndarray
    """Sum of importances where each source fires; of an embedding, how often it was read."""
    rms: np.ndarray
    """Root mean square of each subcomponent's activation where it fires."""
    firing: np.ndarray
    tokens: int
    target: str
    target_name: str
    decomposition: str
    attention: str
    norms: str
    passed_through: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.columns["target"])

    def __repr__(self) -> str:
        return f"EdgeTable({len(self)} edges of {self.subcomponents} subcomponents over {self.tokens} tokens)"

    def row(self, name: str) -> int:
        """The place of a subcomponent or an embedding among ``names``."""
        try:
            return self.names.index(name)
        except ValueError as error:
            raise UnweaveError(f"{name!r} is not in this attribution; {nearest(name, self.names)}") from error

    def scale(self) -> np.ndarray:
        """What an edge's sums are divided by: the source's sum of importances times the target's root mean square."""
        return self.importance[self.columns["source"]] * self.rms[self.columns["target"]]

    def into(self, name: str, count: int | None = None, by: str = "absolute") -> list[Edge]:
        """The edges that end at a subcomponent, largest first."""
        return self._edges("target", name, count, by)

    def out_of(self, name: str, count: int | None = None, by: str = "absolute") -> list[Edge]:
        """The edges that begin at a subcomponent or an embedding, largest first, of those that are among their targets'
        largest."""
        return self._edges("source", name, count, by)

    def _edges(self, side: str, name: str, count: int | None, by: str) -> list[Edge]:
        where = np.flatnonzero(self.columns[side] == self.row(name))
        scale = self.scale()[where]
        signed, toward, absolute = (self.columns[key][where] for key in ("signed", "toward", "absolute"))
        sums = np.stack([signed, toward, absolute, signed / scale, toward / scale], 1)
        ends = ([self.names[row] for row in self.columns[key][where]] for key in ("source", "target"))
        found = [Edge(*pair, *values) for *pair, values in zip(*ends, sums.tolist(), strict=True)]
        if by not in Edge._fields[2:]:
            raise UnweaveError(f"edges have no {by!r}; {nearest(by, Edge._fields[2:])}")
        return sorted(found, key=lambda edge: -abs(getattr(edge, by)))[:count]

    def save(self, folder: Path) -> None:
        """Writes ``attribution.json``, ``edges.parquet`` and ``subcomponents.parquet``, whole or not at all."""
        import pyarrow as pa
        from pyarrow import parquet

        facts: dict[str, Any] = {
            "format": FORMAT,
            "target": self.target,
            "target_name": self.target_name,
            "decomposition": self.decomposition,
            "tokens": self.tokens,
            "subcomponents": self.subcomponents,
            "attention": self.attention,
            "norms": self.norms,
            "passed_through": list(self.passed_through),
        }
        rest = len(self.names) - self.subcomponents
        nodes = {
            "name": list(self.names),
            "importance": self.importance,
            "rms": np.concatenate([self.rms, np.zeros(rest, self.rms.dtype)]),
            "firing": np.concatenate([self.firing, np.zeros(rest, self.firing.dtype)]),
        }
        with atomic_folder(Path(folder)) as temporary:
            parquet.write_table(pa.table(dict(self.columns)), temporary / "edges.parquet")
            parquet.write_table(pa.table(nodes), temporary / "subcomponents.parquet")
            write_json(temporary / "attribution.json", facts)

    @classmethod
    def load(cls, folder: Path) -> EdgeTable:
        """Reads what ``save`` wrote; raises ``UnweaveError`` for another format, or what is damaged."""
        import pyarrow as pa
        from pyarrow import parquet

        folder = Path(folder)
        facts = read_json(folder / "attribution.json")
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise UnweaveError(f"{folder} is not an attribution of format {FORMAT}: make it again")
        try:
            edges = parquet.read_table(folder / "edges.parquet")
            nodes = parquet.read_table(folder / "subcomponents.parquet")
            count = facts["subcomponents"]
            return cls(
                tuple(nodes["name"].to_pylist()),
                count,
                {name: edges[name].to_numpy() for name in COLUMNS},
                nodes["importance"].to_numpy(),
                nodes["rms"].to_numpy()[:count],
                nodes["firing"].to_numpy()[:count],
                facts["tokens"],
                facts["target"],
                facts["target_name"],
                facts["decomposition"],
                facts["attention"],
                facts["norms"],
                tuple(facts["passed_through"]),
            )
        except (OSError, KeyError, pa.ArrowException) as error:
            raise UnweaveError(f"{folder} is damaged ({error}): make it again") from error
