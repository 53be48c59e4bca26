"""A made-up subject: answers of the right shape to every live view, some of them hostile, for tests of the page."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.edit import view_models as edit
from unweave.read import view_models as read

HOSTILE = (
    "<script>window.struck=1</script><img src=x onerror='window.struck=1'>\u202ejavascript:window.struck=1\x1b[31m"
)
LABELS = ["de", "en", "es", "fr", "it"]
GROUPS = [
    f"model.layers.{layer}.{site}"
    for layer in range(4)
    for site in ("self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")
]
MADE_AT = "2026-05-01T10:00:00+00:00"
WORDS = [
    "Der",
    " Hund",
    " läuft",
    " durch",
    " den",
    " Wald",
    ",",
    " und",
    "\n",
    " the",
    " dog",
    " house",
    "سلام",
    " 犬",
    " \u202eevil",
    "'s",
]


class Made:
    """One made-up subject of ``count`` features; the third is hostile in every text it has."""

    title = "polyglot, all matrices"

    def __init__(self, count: int = 20_000) -> None:
        self.lock = threading.RLock()
        rng = random.Random(0)
        each = -(-count // len(GROUPS))
        self.rows = [self._row(row, rng, each) for row in range(count)]
        self.by_name = {row.name: row for row in self.rows}
        self.edits: list[edit.EditEntry] = []
        self.graphs: dict[str, read.GraphDocument] = {}
        self.asked: list[tuple[str, Any]] = []
        self.delay: dict[float, float] = {}
        self.slow_pages = 0.0
        self.labels_note = ""

    def summary(self) -> dict[str, Any]:
        return {"target": "polyglot", "kind": "subcomponents", "features": len(self.rows)}

    def _row(self, row: int, rng: random.Random, each: int) -> read.FeatureRow:
        group = GROUPS[row // each]
        language = LABELS[row % 5]
        by_label: list[float | None] = [round(rng.random() ** 6, 4) for _ in LABELS]
        by_label[row % 5] = round(0.4 + 0.6 * rng.random(), 4)
        dead = row % 11 == 10
        confidence = ("clear", "weak", "unclear")[rng.choice((0, 0, 1, 2))]
        name = f"{group}:{row % each}"
        label = f"{language}: fires on nouns after an article, number {row} → endings"
        if row == 2:
            name, label = f"{group}:{row}<b onclick=alert(1)>", HOSTILE
        return read.FeatureRow(
            row=row,
            name=name,
            group=group,
            label="" if dead else label,
            confidence=None if dead else confidence,
            density=0.0 if dead else round(10 ** (-4 + 3.5 * rng.random()), 6),
            firing=0 if dead else rng.randrange(1, 9000),
            importance=None if dead else round(0.2 + 0.8 * rng.random(), 3),
            activation=None if dead else rng.gauss(0, 3),
            detection=None if dead else round(0.5 + 0.5 * rng.random(), 3),
            fuzzing=None,
            contrast=None,
            by_label=by_label,
        )

    def overview(self, _: read.OverviewRequest) -> read.OverviewAnswer:
        yes = read.Available(available=True)
        return read.OverviewAnswer(
            id="made",
            title="polyglot, all matrices",
            target="polyglot",
            target_digest="0" * 12,
            kind="subcomponents",
            dictionary="whole model",
            dictionary_digest="1" * 12,
            features=len(self.rows),
            alive=len(self.rows) * 10 // 11,
            tokens=1_200_000,
            windows=9000,
            length=128,
            fires=0.1,
            groups=[read.GroupSummary(name=group, features=1000, alive=900) for group in GROUPS],
            corpus_labels=[read.CorpusLabel(name=label, tokens=240_000) for label in LABELS],
            labels_note=self.labels_note,
            labels=read.LabelTotals(labeler="statistical", clear=9000, weak=5000, unclear=4000, median_detection=0.78),
            live=yes,
            graph=yes,
            edit=yes,
        )

    def features(self, ask: read.FeaturesRequest) -> read.FeaturesAnswer:
        if ask.offset:
            time.sleep(self.slow_pages)
        if ask.group == "nowhere":
            raise UnweaveError("group 'nowhere' matches nothing")
        words = ask.query.lower().split()
        rows = [
            row
            for row in self.rows
            if all(word in f"{row.name} {row.label}".lower() for word in words)
            and (not ask.group or row.group == ask.group)
            and (not ask.confidence or row.confidence in ask.confidence)
            and ask.min_density <= row.density <= ask.max_density
            and (row.firing or not ask.alive)
        ]
        if ask.contrast:
            at = LABELS.index(ask.contrast)
            rows = [
                row.model_copy(
                    update={"contrast": row.by_label[at] - max(x for i, x in enumerate(row.by_label) if i != at)}
                )
                for row in rows
            ]
        column = ask.sort if ask.sort != "match" else "row"
        if column.startswith("on:"):
            at = LABELS.index(column[3:])
            rows.sort(key=lambda row: row.by_label[at], reverse=ask.descending)
        else:
            known = [row for row in rows if getattr(row, column) is not None]
            known.sort(key=lambda row: getattr(row, column), reverse=ask.descending)
            rows = known + [row for row in rows if getattr(row, column) is None]
        page = rows[ask.offset : ask.offset + ask.limit]
        return read.FeaturesAnswer(total=len(rows), offset=ask.offset, corpus_labels=LABELS, rows=page)

    def feature(self, ask: read.FeatureRequest) -> read.FeatureAnswer:
        if ask.name not in self.by_name:
            raise UnweaveError(f"no feature {ask.name!r} is in this harvest")
        row = self.by_name[ask.name]
        rng = random.Random(row.row)
        near = [
            read.Neighbour(row=r.row, name=r.name, label=r.label, cosine=0.9 - 0.1 * i)
            for i, r in enumerate(self.rows[:6])
        ]
        label = None
        if row.label:
            label = read.Label(
                text=row.label,
                reads="nouns after an article" if row.row != 2 else HOSTILE,
                writes="promotes -en, -er; suppresses ,",
                confidence=row.confidence or "weak",
                predicate={"kind": "tokens", "any": WORDS[:3]},
                labeler="statistical",
                reason="412 of 500 firings, 3 of 500 others",
                scores={
                    "detection": 0.81,
                    "detection_low": 0.77,
                    "detection_high": 0.85,
                    "detection_trials": 43,
                    "fuzzing": 0.7,
                    "fuzzing_low": 0.6,
                    "fuzzing_high": 0.8,
                    "intruder": 0.66,
                    "intruder_low": 0.5,
                    "intruder_high": 0.8,
                    "intruder_control": 0.2,
                    "intruder_control_low": 0.1,
                    "intruder_control_high": 0.3,
                },
            )
        bell = [int(4000 * 2.7 ** (-(((b - 30) / 6) ** 2))) for b in range(49)]
        background = [int(9000 * 2.7 ** (-(((b - 24) / 3) ** 2))) for b in range(49)]
        edges = [(-24.5 + b) / 2 for b in range(50)]
        return read.FeatureAnswer(
            feature=row,
            corpus_labels=LABELS,
            label=label,
            activation_positive=0.93,
            importance_histogram=read.Histogram(
                edges=[b / 20 for b in range(21)], counts=[40000 // (1 + b * b) + 10 * b for b in range(20)]
            ),
            activation_histogram=read.Histogram(edges=edges, counts=bell),
            background_histogram=read.Histogram(edges=edges, counts=background),
            tokens_in=[
                read.TokenRow(
                    token=i, text=t, count=900 - 20 * i, precision=0.9 - i / 20, recall=0.3 / (1 + i), pmi=4.2 - i / 9
                )
                for i, t in enumerate(WORDS)
            ],
            tokens_out=[
                read.TokenRow(token=i, text=t, count=800 - 9 * i, precision=None, recall=0.2 / (1 + i), pmi=2.1 - i / 9)
                for i, t in enumerate(WORDS[::-1])
            ],
            shown_tokens=900_000,
            by_label=[
                read.LabelDensity(
                    label=label,
                    tokens=240_000,
                    firing=int(9000 * (row.by_label[i] or 0)),
                    density=(row.by_label[i] or 0) / 26,
                    importance=row.by_label[i],
                )
                for i, label in enumerate(LABELS)
            ],
            by_position=[rng.randrange(400, 700) for _ in range(128)],
            examples=[self._example(i, rng) for i in range(ask.examples)] if row.firing else [],
            partners=[
                read.Partner(row=r.row, name=r.name, label=r.label, together=400 - i, jaccard=0.4 / (1 + i), pmi=3.2)
                for i, r in enumerate(self.rows[20:26])
            ],
            pool_tokens=65_536,
            reads=read.PlaceAnswer(module="model.layers.0.mlp.up_proj", side="input", width=576),
            writes=read.PlaceAnswer(module="model.layers.0.mlp.up_proj", side="output", width=1536),
            nearest_read=near,
            nearest_write=near[::-1],
            directions_note="",
        )

    def _example(self, number: int, rng: random.Random) -> read.ExampleWindow:
        tokens = []
        offset = 20 - 7 * (number % 2 == 0)
        for at in range(41):
            strong = at == offset or rng.random() < 0.15
            importance = rng.uniform(0.15, 1) if strong else (0.0 if rng.random() < 0.7 else rng.uniform(0, 0.1))
            tokens.append(
                read.TokenReading(
                    token=at,
                    text=rng.choice(WORDS),
                    importance=importance,
                    activation=rng.gauss(3 if strong else 0, 1.5),
                )
            )
        return read.ExampleWindow(
            window=100 + number,
            position=40,
            offset=offset,
            label=rng.choice(LABELS),
            held=number % 4 == 3,
            tokens=tokens,
        )

    def fires(self, ask: read.FiresRequest) -> read.FiresAnswer:
        texts = [(" " if i else "") + word for i, word in enumerate(ask.text.split())] or [" "]
        tokens = []
        for at, text in enumerate(texts):
            rng = random.Random(text)
            picked = [self.rows[i] for i in rng.sample(range(len(self.rows)), 12)] + [self.rows[2], self.rows[5]]
            found = [
                read.Firing(
                    row=r.row,
                    name=r.name,
                    label=r.label,
                    importance=rng.uniform(0.1, 1),
                    activation=rng.gauss(0, 3),
                    density=r.density,
                )
                for r in picked
            ]
            tokens.append(read.FiringToken(token=at, text=text, firing=rng.randrange(14, 60), features=found))
        seen = {f.name: f for token in tokens for f in token.features}
        features = [
            read.TextFeature(
                row=f.row,
                name=f.name,
                label=f.label,
                tokens=sum(f.name in {g.name for g in t.features} for t in tokens),
                importance=f.importance,
                activation=f.activation,
                density=f.density,
            )
            for f in seen.values()
        ]
        traced = None
        if ask.trace:
            firing = [next((f for f in token.features if f.name == ask.trace), None) for token in tokens]
            traced = read.TracedFeature(
                name=ask.trace,
                importance=[f.importance if f else 0.05 for f in firing],
                activation=[f.activation if f else -0.5 for f in firing],
            )
            for token in tokens:  # what is listed for a token need not have it
                token.features[:] = [f for f in token.features if f.name != ask.trace]
        return read.FiresAnswer(
            tokens=tokens,
            traced=traced,
            groups=[
                read.GroupFiring(name=g, firing=[random.Random(g + t).randrange(9) for t in texts]) for g in GROUPS
            ],
            features=sorted(features, key=lambda f: (-f.tokens, -f.importance))[:100],
            truncated=False,
            edits=[e.name for e in self.edits if e.active] if ask.with_edits else [],
        )

    def graph(self, ask: read.GraphRequest) -> read.GraphAnswer:
        tokens = [(" " if i else "") + word for i, word in enumerate(ask.text.split())]
        rng = random.Random(ask.text)
        last = len(tokens) - 1
        nodes = [
            read.GraphNode(
                id=f"t{i}",
                kind="token",
                name=t,
                row=None,
                label="",
                group="embedding",
                layer=None,
                position=i,
                importance=None,
                activation=None,
                contribution=abs(rng.gauss(0, 0.2)),
                shown=None,
            )
            for i, t in enumerate(tokens)
        ]
        for number in range(ask.nodes):
            row = self.rows[2] if number == 0 else self.rows[rng.randrange(len(self.rows))]
            position = min(last, int(len(tokens) * rng.random() ** 0.6))
            nodes.append(
                read.GraphNode(
                    id=f"f{number}",
                    kind="feature",
                    name=row.name,
                    row=row.row,
                    label=row.label,
                    group=row.group,
                    layer=int(row.group.split(".")[2]),
                    position=position,
                    importance=rng.random(),
                    activation=rng.gauss(0, 2),
                    contribution=abs(rng.gauss(0, 1)) + 2 * (number == 0),
                    shown=rng.random(),
                )
            )
        nodes.append(
            read.GraphNode(
                id="a",
                kind="answer",
                name=ask.answer or " Wald",
                row=None,
                label="",
                group="logits",
                layer=None,
                position=last,
                importance=None,
                activation=None,
                contribution=None,
                shown=0.6,
            )
        )
        height = {"token": -1, "feature": 0, "answer": 99}
        level = {n.id: (GROUPS.index(n.group) if n.group in GROUPS else height[n.kind]) for n in nodes}
        edges = []
        while len(edges) < ask.edges:
            a, b = rng.sample(nodes, 2)
            if level[a.id] < level[b.id] and a.position <= b.position:
                # Weights are in each target's own units, and say little about how much an edge matters.
                strength = 0.03 + 0.97 * rng.random() ** 2
                weight = rng.choice((-1, 1)) * strength * 10 ** rng.uniform(-2, 2)
                edges.append(read.GraphEdge(source=a.id, target=b.id, weight=weight, strength=strength))
        return read.GraphAnswer(
            tokens=tokens,
            answer=ask.answer or " Wald",
            answer_token=5,
            probability=0.42,
            nodes=nodes,
            edges=edges,
            all_nodes=4000,
            method="gradient times activation of the answer's logit, attention patterns included",
            edits=[],
        )

    def list_graphs(self, _: read.GraphsRequest) -> read.GraphsAnswer:
        return read.GraphsAnswer(
            graphs=[
                read.SavedGraph(id=g.id, title=g.title, text=g.request.text, saved=g.saved, nodes=len(g.graph.nodes))
                for g in self.graphs.values()
            ]
        )

    def save_graph(self, ask: read.SaveGraphRequest) -> read.GraphDocument:
        name = f"graph-{len(self.graphs)}"
        self.graphs[name] = read.GraphDocument(
            id=name,
            title=ask.title,
            saved=MADE_AT,
            request=ask.request,
            graph=ask.graph,
            hidden=ask.hidden,
            places=ask.places,
            pins=ask.pins,
            keep=ask.keep,
            least=ask.least,
        )
        return self.graphs[name]

    def load_graph(self, ask: read.LoadGraphRequest) -> read.GraphDocument:
        return self.graphs[ask.id]

    def drop_graph(self, ask: read.DropGraphRequest) -> read.GraphsAnswer:
        self.graphs.pop(ask.id)
        return self.list_graphs(read.GraphsRequest())

    def factor(self, ask: edit.FactorRequest) -> edit.FactorAnswer:
        time.sleep(self.delay.get(next(iter(ask.factors.values())), 0.0))
        moved = 1 - sum(ask.factors.values()) / len(ask.factors)
        return edit.FactorAnswer(
            tokens=ask.text.split(),
            truncated=False,
            next=[
                edit.NextToken(token=i, text=t, before=0.4 / (1 + i), after=max(0.0, 0.4 / (1 + i) - 0.05 * moved))
                for i, t in enumerate(WORDS[: ask.top])
            ],
            divergence=0.2 * moved**2,
            by_label=[
                edit.LabelChange(
                    label=label,
                    windows=40,
                    tokens=5000,
                    before=2.5,
                    after=2.5 + moved * (0.9 if label == "de" else -0.01),
                    change=moved * (0.9 if label == "de" else -0.01),
                    error=0.034,
                )
                for label in LABELS
            ]
            if ask.by_label
            else [],
            seconds=0.01,
            edits=[e.name for e in self.edits if e.active] if ask.with_edits else [],
        )

    def list_edits(self, _: edit.EditsRequest) -> edit.EditsAnswer:
        return edit.EditsAnswer(edits=self.edits)

    def make_edit(self, ask: edit.MakeEditRequest) -> edit.EditsAnswer:
        if any(entry.name == ask.name for entry in self.edits):
            raise UnweaveError(f"an edit named {ask.name!r} is already applied: undo it first, or rename this one")
        self.edits.append(edit.EditEntry(name=ask.name, factors=ask.factors, active=True, made=MADE_AT))
        return edit.EditsAnswer(edits=self.edits)

    def _switch(self, name: str | None, active: bool) -> edit.EditsAnswer:
        candidates = [entry.name for entry in self.edits if entry.active is not active]
        chosen = name or candidates[-1]
        self.edits = [
            entry.model_copy(update={"active": active}) if entry.name == chosen else entry for entry in self.edits
        ]
        return edit.EditsAnswer(edits=self.edits)

    def undo_edit(self, ask: edit.UndoEditRequest) -> edit.EditsAnswer:
        return self._switch(ask.name, False)

    def redo_edit(self, ask: edit.RedoEditRequest) -> edit.EditsAnswer:
        return self._switch(ask.name, True)

    def drop_edit(self, ask: edit.DropEditRequest) -> edit.EditsAnswer:
        self.edits = [entry for entry in self.edits if entry.name != ask.name]
        return edit.EditsAnswer(edits=self.edits)
