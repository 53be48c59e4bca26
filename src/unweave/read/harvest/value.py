"""The harvest as a value: what every feature does, read back from its folder."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.base.files import file_hash
from unweave.read.harvest.partners import Partners
from unweave.read.harvest.store import HarvestFacts, read_facts
from unweave.read.harvest.tally import ACTIVATION_EDGES, IMPORTANCE_EDGES


class TokenCounts(NamedTuple):
    """Token ids with how often each was counted; -1 stands for all tokens that were not told apart."""

    tokens: np.ndarray
    counts: np.ndarray


class TokenTable(NamedTuple):
    """How tokens go with a feature, most informative first; arrays of one length."""

    tokens: np.ndarray
    counts: np.ndarray
    precision: np.ndarray
    """Of the token's occurrences (or draws), the share on which the feature fires."""
    recall: np.ndarray
    """Of the feature's firings (or draws there), the share that is this token."""
    pmi: np.ndarray
    """ln of how many times more often the token is seen with the feature than anywhere."""


@dataclass(frozen=True)
class Example:
    """One firing in its context. ``offset`` is the firing token's place in ``tokens``."""

    row: int
    window: int
    position: int
    offset: int
    label: int
    held: bool
    tokens: np.ndarray
    importance: np.ndarray
    activation: np.ndarray


@dataclass(frozen=True)
class Vocabulary:
    """Text of each token id, how often it stands in shown windows, and how often the model would say it there."""

    text: list[str]
    count: np.ndarray
    draws: np.ndarray
    own_column: np.ndarray
    """bool: tokens that the tables tell apart; of the others ``count`` and ``draws`` are 0."""
    count_total: int
    """All tokens in shown windows, whether they are told apart or not."""
    draws_total: int


@dataclass(frozen=True)
class Pool:
    """Windows of which every firing is kept: some shown, some held out. Positions count through all windows."""

    tokens: np.ndarray
    label: np.ndarray
    held: np.ndarray
    window: np.ndarray
    predicted: np.ndarray
    """int [p, t, draws]: tokens drawn from what the model expects next."""
    starts: np.ndarray
    """int64 [features + 1]: where each feature's firings begin in the three arrays after it."""
    _position: np.ndarray
    _importance: np.ndarray
    _activation: np.ndarray

    @property
    def positions(self) -> int:
        return self.tokens.size

    @property
    def length(self) -> int:
        return self.tokens.shape[1]

    @cached_property
    def _feature(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.starts) - 1, dtype=np.int32), np.diff(self.starts))

    @cached_property
    def _by_position(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self._position, kind="stable")
        return order, np.searchsorted(self._position[order], np.arange(self.positions + 1))

    def firing(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where a feature fires: flat positions (window times length plus place), importances, activations."""
        mine = slice(self.starts[row], self.starts[row + 1])
        return self._position[mine], self._importance[mine].astype(np.float32), self._activation[mine]

    def at(self, window: int, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What fires at one position: rows, importances, activations."""
        order, starts = self._by_position
        flat = window * self.length + place
        mine = order[starts[flat] : starts[flat + 1]]
        return self._feature[mine], self._importance[mine].astype(np.float32), self._activation[mine]

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Every firing: rows, flat positions, importances, activations, by row and then by position."""
        return self._feature, self._position, self._importance, self._activation


class Harvest:
    """What every feature of a dictionary does on a text. A feature's row counts through all groups in order."""

    IMPORTANCE_EDGES = IMPORTANCE_EDGES
    ACTIVATION_EDGES = ACTIVATION_EDGES

    def __init__(self, folder: Path, facts: HarvestFacts, digest: str) -> None:
        self.folder, self.facts, self.digest = folder, facts, digest
        self.groups = tuple(facts.groups.items())
        self._first = dict(zip(facts.groups, np.cumsum([0, *facts.groups.values()])[:-1].tolist(), strict=True))
        self.site_of = np.repeat(np.arange(len(self.groups)), list(facts.groups.values()))
        self.index_of = np.concatenate([np.arange(count) for count in facts.groups.values()])
        self._token_cache: dict[str, tuple[dict[str, np.ndarray], np.ndarray]] = {}
        table = self._table("features")
        self.firing, self.firing_shown = table["firing"], table["shown_by_label"].sum(1)
        self.shown_by_label, self.shown_by_position = table["shown_by_label"], table["shown_by_position"]
        self.firing_by_label, self.firing_by_position = table["firing_by_label"], table["firing_by_position"]
        self.importance_histogram = table["importance_histogram"]
        self.activation_histogram = table["activation_histogram"]
        self.background_histogram = table["background_histogram"]
        self.tokens_by_label = np.array(facts.tokens_by_label)
        self.shown_tokens_by_label = np.array(facts.shown_tokens_by_label)
        self.importance_by_label = table["importance_by_label"] / np.maximum(self.tokens_by_label, 1)
        self.density = self.firing / facts.tokens
        often = np.maximum(self.firing, 1)
        self.activation_mean = table["activation_sum"] / often
        self.activation_positive = table["activation_positive"] / often
        self.importance_mean = table["importance_sum"] / often

    def __repr__(self) -> str:
        facts = self.facts
        return f"Harvest({len(self)} features of {facts.dictionary_name} on {facts.tokens} tokens of {facts.corpus})"

    def __len__(self) -> int:
        return len(self.site_of)

    @classmethod
    def load(cls, folder: Path | str) -> Harvest:
        """Reads a harvest's folder. Raises ``UnweaveError`` for one that is none, a newer format, or damage."""
        folder = Path(folder)
        facts, digests = read_facts(folder)
        try:
            for name, digest in digests.items():
                if file_hash(folder / Path(name).name) != digest:
                    raise UnweaveError(f"{folder / name} is damaged: its sha256 is not the one in harvest.json")
            return cls(folder, facts, file_hash(folder / "harvest.json")[:16])
        except OSError as error:
            raise oserror_line(error, folder) from error

    def name(self, row: int) -> str:
        """``site:index``."""
        return f"{self.groups[self.site_of[row]][0]}:{self.index_of[row]}"

    def row(self, name: str) -> int:
        """The row of a feature by name; raises ``UnweaveError`` for one that is not here."""
        group, _, index = name.rpartition(":")
        if group not in self._first:
            raise UnweaveError(f"feature {name!r} is not in this harvest; {nearest(group, self._first)}")
        count = self.facts.groups[group]
        if not (index.isascii() and index.isdigit()) or int(index) >= count:
            raise UnweaveError(f"feature {name!r} is not in this harvest: {group} has 0 to {count - 1}")
        return self._first[group] + int(index)

    def rows(self, group: str) -> range:
        """All rows of a group."""
        if group not in self._first:
            raise UnweaveError(f"group {group!r} is not in this harvest; {nearest(group, self._first)}")
        return range(self._first[group], self._first[group] + self.facts.groups[group])

    @property
    def alive(self) -> np.ndarray:
        """bool [C]: features that fired at least once."""
        return self.firing > 0

    @cached_property
    def vocabulary(self) -> Vocabulary:
        import pyarrow.parquet as pq

        table = pq.read_table(self.folder / "vocabulary.parquet")
        count, draws, own = (table[name].to_numpy() for name in ("count", "draws", "own_column"))
        text, facts = table["text"].to_pylist(), self.facts
        return Vocabulary(text, count, draws, own, facts.count_total, facts.draws_total)

    def input_tokens(self, row: int) -> TokenCounts:
        """On which tokens a feature fires, and how often, in shown windows."""
        return self._tokens("tokens_in", row)

    def output_tokens(self, row: int) -> TokenCounts:
        """Draws from what the model says next where the feature fires, in shown windows."""
        return self._tokens("tokens_out", row)

    def input_table(self, row: int) -> TokenTable:
        """Input tokens with precision, recall and PMI."""
        counts = self.input_tokens(row)
        return token_table(counts, self.vocabulary.count, self.vocabulary.count_total)

    def output_table(self, row: int) -> TokenTable:
        """Output tokens with precision, recall and PMI."""
        counts = self.output_tokens(row)
        return token_table(counts, self.vocabulary.draws, self.vocabulary.draws_total)

    def examples(self, row: int, held: bool = False) -> list[Example]:
        """A uniform sample of a feature's firings: of shown windows, or of held-out ones."""
        return [one for one in self._examples_of(row) if one.held == held]

    def _examples_of(self, row: int) -> Iterator[Example]:
        columns, starts, borders = self._examples
        for at in range(starts[row], starts[row + 1]):
            inside = slice(borders[at], borders[at + 1])
            yield Example(
                row,
                int(columns["window"][at]),
                int(columns["position"][at]),
                int(columns["offset"][at]),
                int(columns["label"][at]),
                bool(columns["held"][at]),
                *(columns[name][inside] for name in ("tokens", "importance", "activation")),
            )

    @cached_property
    def pool(self) -> Pool:
        from safetensors.numpy import load_file

        stored = load_file(self.folder / "pool.safetensors")
        kept = (stored[name] for name in ("tokens", "label", "held", "window", "predicted"))
        fired = (stored[f"fired.{name}"] for name in ("starts", "position", "importance", "activation"))
        return Pool(*kept, *fired)

    def partners(self, row: int) -> Partners:
        """Features that fire together with this one, by falling Jaccard index, counted on the pool."""
        every, starts = self._partners
        mine = slice(starts[row], starts[row + 1])
        return Partners(*(array[mine] for array in every))

    @cached_property
    def _partners(self) -> tuple[Partners, np.ndarray]:
        table = self._table("partners")
        every = Partners(*(table[name] for name in Partners._fields))
        return every, np.searchsorted(every.row, np.arange(len(self) + 1))

    @cached_property
    def _examples(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        import pyarrow.parquet as pq

        table = pq.read_table(self.folder / "examples.parquet").combine_chunks()
        columns = {name: table[name].to_numpy() for name in ("row", "held", "window", "position", "offset", "label")}
        borders = np.zeros(1, np.int64)
        for name in ("tokens", "importance", "activation"):
            # A table without rows has no chunk to take the lists from.
            chunks = table[name].chunks
            columns[name] = chunks[0].values.to_numpy() if chunks else np.empty(0)
            borders = chunks[0].offsets.to_numpy() if chunks else borders
        return columns, np.searchsorted(columns["row"], np.arange(len(self) + 1)), borders

    def _tokens(self, name: str, row: int) -> TokenCounts:
        table, starts = self._token_tables(name)
        mine = slice(starts[row], starts[row + 1])
        return TokenCounts(table["token"][mine], table["count"][mine])

    def _token_tables(self, name: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        if name not in self._token_cache:
            table = self._table(name)
            self._token_cache[name] = table, np.searchsorted(table["row"], np.arange(len(self) + 1))
        return self._token_cache[name]

    def _table(self, name: str) -> dict[str, np.ndarray]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(self.folder / f"{name}.parquet").combine_chunks()
        found = {}
        for column in table.column_names:
            if pa.types.is_fixed_size_list(table[column].type):
                width = table[column].type.list_size
                found[column] = table[column].combine_chunks().flatten().to_numpy().reshape(-1, width)
            elif not pa.types.is_string(table[column].type):
                found[column] = table[column].to_numpy()
        return found


def token_table(counts: TokenCounts, totals: np.ndarray, everywhere: int) -> TokenTable:
    """Precision, recall and PMI of counted tokens, given how often each is seen at all ([V], by token id).

    ``everywhere`` is how many there are in all, with those that were not told apart.

    Sorted by recall times PMI, a token's share of the information: rare and frequent tokens both have to earn it.
    Tokens that were not told apart are left out, and count in the shares.
    """
    own = counts.tokens >= 0
    tokens, found = counts.tokens[own], counts.counts[own]
    together = max(int(counts.counts.sum()), 1)
    seen = np.maximum(totals[tokens], 1)
    recall = found / together
    pmi = np.log(np.maximum(recall, math.ulp(0.0)) * everywhere / seen)
    order = np.argsort(-recall * pmi, kind="stable")
    return TokenTable(*(array[order] for array in (tokens, found, found / seen, recall, pmi)))
