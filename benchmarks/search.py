"""Search and the table of features at 20,000 features, from the index and by scanning everything at each query.

python benchmarks/search.py [--repeats 5] [--json]

The harvest is made up: 20 groups of 1000 features of width 768, five labels, 512 windows of 64 tokens of which every
firing is kept, labels of words drawn from 2000, and a density, tokens and language for each feature.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from timing import arguments, by_turns, circumstances, printed

from unweave.read.directions import Directions
from unweave.read.feature_labels import FeatureLabels
from unweave.read.feature_table import FeatureTable
from unweave.read.harvest import TokenCounts
from unweave.read.labels.store import LabelRow
from unweave.read.search import SearchIndex
from unweave.read.view_models import FeaturesRequest, SearchRequest
from unweave.read.views import features

GROUPS, SIZE, WIDTH = 20, 1000, 768
FEATURES = GROUPS * SIZE
LABELS, NAMES = ("en", "de", "fr", "es", "it"), ("English", "German", "French", "Spanish", "Italian")
WINDOWS, LENGTH, VOCABULARY, TOKENS_EACH, WORDS_EACH = 512, 64, 4096, 100, 6
NAME = "layers.3:17"


class MadeUp:
    """Looks like ``Harvest`` to the index."""

    def __init__(self, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self.groups = tuple((f"layers.{group}", SIZE) for group in range(GROUPS))
        self.facts = SimpleNamespace(labels=LABELS, label_names=NAMES)
        self.tokens_by_label = np.full(len(LABELS), WINDOWS * LENGTH // len(LABELS))
        self.language = draw.integers(-20, len(LABELS), FEATURES)
        density = 10 ** draw.uniform(-4, -1.3, FEATURES)
        self.density, self.firing = density, np.rint(density * 1e6).astype(int)
        self.importance_mean, self.activation_mean = draw.random(FEATURES), draw.normal(size=FEATURES)
        self.importance_by_label = draw.random((FEATURES, len(LABELS))) * density[:, None]
        about = self.language >= 0
        self.importance_by_label[about, self.language[about]] += draw.random(about.sum())
        self.vocabulary = SimpleNamespace(
            text=[f"token{number}" for number in range(VOCABULARY)], count=draw.integers(1, 1000, VOCABULARY)
        )
        self.tokens = draw.integers(0, VOCABULARY, (FEATURES, TOKENS_EACH))
        self.counts = draw.integers(1, 50, (FEATURES, TOKENS_EACH))
        self.pool = self._pool(draw)

    def _pool(self, draw: np.random.Generator) -> SimpleNamespace:
        owner = draw.integers(0, len(LABELS), WINDOWS)
        of_label = [np.flatnonzero(owner == label) for label in range(len(LABELS))]
        rows, positions = [], []
        for row, many in enumerate(np.rint(self.density * WINDOWS * LENGTH).astype(int)):
            within = of_label[self.language[row]] if self.language[row] >= 0 else np.arange(WINDOWS)
            found = np.unique(draw.choice(within, many) * LENGTH + draw.integers(0, LENGTH, many))
            rows.append(np.full(len(found), row))
            positions.append(found)
        row, position = np.concatenate(rows), np.concatenate(positions)
        importance = draw.uniform(0.1, 1, len(row)).astype(np.float32)
        self.starts = np.searchsorted(row, np.arange(FEATURES + 1))
        entries = (row, position, importance, importance)
        return SimpleNamespace(tokens=np.zeros((WINDOWS, LENGTH), int), label=owner, entries=lambda: entries)

    def __len__(self) -> int:
        return FEATURES

    def row(self, name: str) -> int:
        group, _, index = name.rpartition(":")
        return int(group.rpartition(".")[2]) * SIZE + int(index)

    def input_tokens(self, row: int) -> TokenCounts:
        tokens, place = np.unique(self.tokens[row], return_index=True)
        return TokenCounts(tokens, self.counts[row][place])

    def partners(self, row: int) -> SimpleNamespace:
        others = (row + 1 + np.arange(32)) % FEATURES
        jaccard = np.linspace(0.5, 0.1, 32)
        return SimpleNamespace(partner=others, together=np.arange(50, 18, -1), jaccard=jaccard)


def made_up_labels(harvest: MadeUp) -> FeatureLabels:
    draw = np.random.default_rng(1)
    vocabulary = np.array([f"word{number}" for number in range(2000)])
    rows = []
    for row, words in enumerate(vocabulary[draw.integers(0, 2000, (FEATURES, WORDS_EACH))]):
        language = [NAMES[harvest.language[row]]] if harvest.language[row] >= 0 else []
        text = " ".join([*language, *words])
        name = f"layers.{row // SIZE}:{row % SIZE}"
        rows.append(LabelRow(row, name, text, text, "", "clear", "", "", "made up", detection=float(draw.random())))
    return FeatureLabels.of(FEATURES, rows)


def scans(
    harvest: MadeUp, table: FeatureTable, groups: list[tuple[torch.Tensor, torch.Tensor]]
) -> dict[str, Callable[[], object]]:
    """What each query costs without an index: every label, token table or direction is looked at."""
    by_label = harvest.importance_by_label

    def words(*wanted: str) -> Callable[[], object]:
        def scan() -> object:
            scored = [(sum(word in text.lower().split() for word in wanted), row) for row, text in texts]
            return sorted((each for each in scored if each[0]), reverse=True)[:20]

        return scan

    def token() -> object:
        found = []
        for row in range(FEATURES):
            counts = harvest.input_tokens(row)
            here = counts.counts[counts.tokens == 7].sum()
            if here:
                found.append((here / counts.counts.sum(), row))
        return sorted(found, reverse=True)[:20]

    def contrast() -> object:
        scored = [(by_label[row, 1] - max(np.delete(by_label[row], 1)), row) for row in range(FEATURES)]
        return sorted(scored, reverse=True)[:20]

    def like() -> object:
        one = groups[3][0][17]
        return torch.cat([torch.nn.functional.cosine_similarity(reads, one[None]) for reads, _ in groups]).topk(20)

    def co_firing() -> object:
        row, position, _, _ = harvest.pool.entries()
        own = harvest.row(NAME)
        mine = position[harvest.starts[own] : harvest.starts[own + 1]]
        return np.bincount(row[np.isin(position, mine)], minlength=FEATURES).argsort()[-20:]

    texts = list(enumerate(table.labels.text))
    return {
        "a language's name": words("german"),
        "three words": words("word1", "word2", "word3"),
        "a token": token,
        "a contrast": contrast,
        "like a feature": like,
        "firing with a feature": co_firing,
    }


def main() -> None:
    args = arguments(__doc__, repeats=5)
    harvest = MadeUp()
    generator = torch.Generator().manual_seed(0)
    groups = [tuple(torch.randn(SIZE, WIDTH, generator=generator) for _ in range(2)) for _ in range(GROUPS)]
    table = FeatureTable(harvest, made_up_labels(harvest))  # type: ignore[arg-type]
    directions = Directions(groups, signed=False)  # type: ignore[arg-type]
    index = SearchIndex(table, lambda: directions)
    started = time.perf_counter()
    index.prepare()
    built = time.perf_counter() - started
    subject = SimpleNamespace(table=table, index=index)
    requests = {
        "a language's name": SearchRequest(words="German"),
        "three words": SearchRequest(words="word1 word2 word3"),
        "a token": SearchRequest(token="token7"),  # noqa: S106
        "a contrast": SearchRequest(contrast="de"),
        "like a feature": SearchRequest(like=NAME),
        "firing with a feature": SearchRequest(co_fires=NAME),
        "words, contrast and site": SearchRequest(words="word1", contrast="de:en", site="layers.1*"),
    }
    tables = {
        "the table by density": FeaturesRequest(sort="density", descending=True),
        "the table by words and contrast": FeaturesRequest(query="word1", contrast="de", sort="contrast", limit=500),
    }
    ways: dict[str, Callable[[], object]] = {
        name: lambda request=request: index.search(request) for name, request in requests.items()
    }
    ways |= {name: lambda request=request: features(subject, request) for name, request in tables.items()}
    plain = scans(harvest, table, groups)  # type: ignore[arg-type]
    seconds = by_turns(ways, args.repeats)
    slow = by_turns(plain, max(1, args.repeats // 2))
    rows = [
        {
            "query": name,
            "median_ms": round(1e3 * statistics.median(found), 2),
            "max_ms": round(1e3 * max(found), 2),
            "scan_ms": round(1e3 * statistics.median(slow[name]), 2) if name in slow else None,
        }
        for name, found in seconds.items()
    ]
    value = {"benchmark": "search", "features": FEATURES, "index_s": round(built, 2), "rows": rows, **circumstances()}
    printed(value, args.json, [{key: part for key, part in value.items() if key != "rows"}, *rows])


if __name__ == "__main__":
    main()
