"""The reading room's views against the harvest, the decomposition and the target themselves."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import planted
import pytest
import torch
from asking import ask
from labelled import write_labels
from pydantic import ValidationError

from unweave.base.errors import UnweaveError
from unweave.base.views import all_views
from unweave.models.capture import capture_inputs
from unweave.read import graph_store
from unweave.read.attribution import prompt_graph
from unweave.read.features import FIRES, Place, Reading
from unweave.read.subject import open_subject
from unweave.read.typed_text import LONGEST, typed_text

TRAINED = planted.SITE
TEXT = " ".join(planted.words()[5:17])


@pytest.fixture
def labelled(subject):
    """The subject with some labels."""
    texts = {0: "commas", 1: "Beta words", 3: "alpha and commas", 5: "unclear"}
    scores = {"detection": {0: 0.8, 3: 0.9}, "confidence": {1: "weak", 5: "unclear"}}
    write_labels(subject.folder, texts, **scores)
    opened = open_subject(subject.folder)
    opened.kept("target", lambda: subject.target)
    return opened


@pytest.fixture
def readings(subject):
    """Importance and activation [t, c] of typed text over all features, by the plain way; and its tokens."""
    target, decomposition = subject.target, subject.dictionary.decomposition
    tokens = torch.as_tensor(target.tokenizer(TEXT)["input_ids"])[None]
    with torch.no_grad():
        inputs = capture_inputs(target, [target.site(name) for name in decomposition.sites], tokens)
        importance = decomposition.importances(inputs)
        activation = {name: decomposition.site(name).activations(x) for name, x in inputs.items()}
    parts = [torch.cat([one[name][0] for name in decomposition.sites], -1).numpy() for one in (importance, activation)]
    return parts[0], parts[1], tokens[0].tolist()


def test_every_view_says_what_it_does_and_refuses_what_it_does_not_know():
    for view in all_views().values():
        assert view.summary
        with pytest.raises(ValidationError, match="extra"):
            view.request.model_validate({"surprise": 1})
        view.response.model_json_schema()


def test_the_overview_counts(labelled):
    found, harvest = ask(labelled, "overview"), labelled.harvest
    assert (found.features, found.alive) == (len(harvest), int((harvest.firing > 0).sum()))
    assert (found.title, found.target) == ("three on target", "target")  # and no folder of this machine
    assert [(group.name, group.features) for group in found.groups] == list(harvest.groups)
    assert sum(group.alive for group in found.groups) == found.alive
    assert {label.name: label.tokens for label in found.corpus_labels} == dict(
        zip(planted.LABELS, harvest.tokens_by_label.tolist(), strict=True)
    )
    totals = found.labels
    assert totals is not None
    assert (totals.clear, totals.weak, totals.unclear) == (2, 1, 1)
    assert totals.median_detection == pytest.approx(0.85)
    assert found.live.available
    assert found.edit.available


def test_the_overview_without_labels_or_dictionary_says_so(subject, tmp_path):
    assert ask(subject, "overview").labels is None
    path = subject.folder / "harvest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dictionary_source": str(tmp_path / "gone")}))
    found = ask(open_subject(subject.folder), "overview")
    assert not found.live.available
    assert "gone" in found.live.reason


def test_labels_that_do_not_match_block_no_view(labelled):
    assert ask(labelled, "overview").labels_note == ""
    path = labelled.folder / "harvest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": 0.5}))
    opened = open_subject(labelled.folder)
    found = ask(opened, "overview")
    assert found.labels is None
    assert f"not of {opened.harvest.digest}: run `unweave label`" in found.labels_note
    assert {row.label for row in ask(opened, "features").rows} == {""}
    assert ask(opened, "feature", name=opened.harvest.name(3)).label is None
    assert ask(opened, "search", words="mlp").hits


def rows_of(answer):
    return [row.row for row in answer.rows]


def test_the_table_filters_as_a_loop_would(labelled):
    harvest, everything = labelled.harvest, ask(labelled, "features", limit=500)
    assert everything.total == len(harvest)
    assert rows_of(everything) == list(range(len(harvest)))
    middle = float(np.median(harvest.density))
    expected = [row for row in range(len(harvest)) if middle <= harvest.density[row] <= 0.9]
    assert rows_of(ask(labelled, "features", min_density=middle, max_density=0.9, limit=500)) == expected
    alive = [row for row in range(len(harvest)) if harvest.firing[row] > 0]
    assert rows_of(ask(labelled, "features", alive=True, limit=500)) == alive
    here = [row for row in range(len(harvest)) if harvest.name(row).startswith(f"{TRAINED}:")]
    assert rows_of(ask(labelled, "features", group=TRAINED, limit=500)) == here
    assert rows_of(ask(labelled, "features", group="*o_proj", limit=500)) == here
    assert rows_of(ask(labelled, "features", query="COMMAS")) == [0, 3]
    assert rows_of(ask(labelled, "features", query="commas alpha")) == [3]
    assert rows_of(ask(labelled, "features", query=f"{TRAINED}:7")) == [
        row for row in here if f":{harvest.index_of[row]}".startswith(":7")
    ]
    assert rows_of(ask(labelled, "features", confidence=["weak", "unclear"])) == [1, 5]


def test_the_table_sorts_by_every_column_with_what_has_no_value_last(labelled):
    harvest = labelled.harvest
    density = rows_of(ask(labelled, "features", sort="density", descending=True, limit=500))
    assert density == sorted(range(len(harvest)), key=lambda row: (-harvest.density[row], row))
    activation = ask(labelled, "features", sort="activation", limit=500).rows
    values = [row.activation for row in activation]
    known = [value for value in values if value is not None]
    assert known == sorted(known)
    assert values[len(known) :] == [None] * (len(values) - len(known))
    assert rows_of(ask(labelled, "features", sort="detection", limit=3)) == [0, 3, 1]
    assert rows_of(ask(labelled, "features", sort="detection", descending=True, limit=3)) == [3, 0, 1]
    assert rows_of(ask(labelled, "features", sort="label", limit=5)) == [3, 1, 0, 5, 2]
    assert rows_of(ask(labelled, "features", sort="confidence", descending=True, limit=4)) == [0, 3, 1, 5]
    by_name = [row.name for row in ask(labelled, "features", sort="name", limit=500).rows]
    assert by_name == sorted(by_name, key=lambda name: (name.rpartition(":")[0], int(name.rpartition(":")[2])))
    assert [row.name for row in ask(labelled, "features", sort="name", descending=True, limit=500).rows] == by_name[
        ::-1
    ]
    on = ask(labelled, "features", sort="on:qb", descending=True, limit=1).rows[0].row
    assert on == int(harvest.importance_by_label[:, 1].argmax())
    assert rows_of(ask(labelled, "features", query="commas", sort="match", descending=True)) == [3, 0]


def test_the_table_by_contrast_puts_the_planted_feature_first(labelled):
    harvest = labelled.harvest
    best = ask(labelled, "features", contrast="qb", sort="contrast", descending=True, limit=1).rows[0]
    own = harvest.importance_by_label
    selectivity = own[:, 1] - np.delete(own, 1, 1).max(1)
    assert best.row == int(selectivity.argmax())
    assert best.contrast == pytest.approx(selectivity.max())
    pair = ask(labelled, "features", contrast="qb:qa", limit=1).rows[0]
    assert pair.contrast == pytest.approx(own[0, 1] - own[0, 0])


def test_pages_of_the_table_are_cut_without_gaps(labelled):
    whole = rows_of(ask(labelled, "features", sort="density", limit=500))
    pages = [ask(labelled, "features", sort="density", offset=start, limit=7) for start in range(0, len(whole), 7)]
    assert [row for page in pages for row in rows_of(page)] == whole
    assert all(page.total == len(whole) for page in pages)
    assert ask(labelled, "features", offset=10_000).rows == []


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"sort": "size"}, "column 'size' is not in the table"),
        ({"sort": "on:xx"}, "label 'xx' is not in this harvest"),
        ({"sort": "contrast"}, "sorting by contrast needs a contrast"),
        ({"sort": "match"}, "sorting by match needs a query"),
        ({"group": "nowhere"}, "group 'nowhere' matches nothing"),
    ],
)
def test_the_table_refuses_what_is_not_there(subject, request_, said):
    with pytest.raises(UnweaveError, match=said):
        ask(subject, "features", **request_)


def test_a_features_page_has_all_that_is_known_of_it(labelled):
    harvest = labelled.harvest
    row = int(harvest.firing.argmax())
    found = ask(labelled, "feature", name=harvest.name(row), examples=3, tokens=5, partners=4)
    assert found.feature.row == row
    assert found.feature.density == harvest.firing[row] / harvest.facts.tokens
    table = harvest.input_table(row)
    assert [(one.token, one.count, one.pmi) for one in found.tokens_in] == list(
        zip(table.tokens[:5].tolist(), table.counts[:5].tolist(), table.pmi[:5].tolist(), strict=True)
    )
    assert found.tokens_in[0].text == planted.words()[found.tokens_in[0].token]
    assert [one.token for one in found.tokens_out] == harvest.output_table(row).tokens[:5].tolist()
    for histogram in (found.importance_histogram, found.activation_histogram, found.background_histogram):
        assert len(histogram.edges) == len(histogram.counts) + 1
    assert sum(found.activation_histogram.counts) == sum(found.by_position) == found.feature.firing
    assert sum(one.firing for one in found.by_label) == found.feature.firing
    one = found.by_label[1]
    assert one.density == one.firing / one.tokens == harvest.firing_by_label[row, 1] / harvest.tokens_by_label[1]
    shown, held = harvest.examples(row, False), harvest.examples(row, True)
    assert [example.held for example in found.examples] == [False] * min(3, len(shown)) + [True] * min(3, len(held))
    for example, kept in zip(found.examples, [*shown[:3], *held[:3]], strict=True):
        at = example.tokens[example.offset]
        assert at.importance > FIRES
        assert at.activation == pytest.approx(float(kept.activation[kept.offset]))
        assert at.text == planted.words()[at.token]
        assert example.label in planted.LABELS
    partners = harvest.partners(row)
    assert [(one.row, one.together) for one in found.partners] == list(
        zip(partners.partner[:4].tolist(), partners.together[:4].tolist(), strict=True)
    )


def test_a_features_neighbours_are_those_of_largest_cosine(subject):
    name = f"{TRAINED}:2"
    found, site = ask(subject, "feature", name=name), subject.dictionary.decomposition.site(TRAINED)
    assert (found.reads.module, found.reads.side, found.reads.width) == (TRAINED, "input", site.V.shape[0])
    assert (found.writes.side, found.writes.width) == ("output", site.U.shape[1])
    V = torch.nn.functional.normalize(site.V, dim=0)
    cosines = (V.T @ V[:, 2]).abs()
    cosines[2] = -1
    same = [one for one in found.nearest_read if one.name.startswith(f"{TRAINED}:")]
    assert same[0].name == f"{TRAINED}:{int(cosines.argmax())}"
    assert abs(same[0].cosine) == pytest.approx(float(cosines.max()), abs=1e-5)
    assert name not in [one.name for one in found.nearest_read + found.nearest_write]


def test_a_feature_that_never_fires_has_no_means(subject):
    harvest = subject.harvest
    harvest.firing = harvest.firing * (np.arange(len(harvest)) != 4)
    found = ask(subject, "feature", name=harvest.name(4))
    assert (found.feature.importance, found.feature.activation, found.activation_positive) == (None, None, None)


def test_a_labels_scores_are_those_that_were_measured(labelled):
    found = ask(labelled, "feature", name=labelled.harvest.name(3)).label
    assert (found.text, found.confidence, found.scores) == ("alpha and commas", "clear", {"detection": 0.9})
    assert ask(labelled, "feature", name=labelled.harvest.name(2)).label is None


def test_a_feature_is_shown_without_its_dictionary_and_the_page_says_why(subject, tmp_path):
    path = subject.folder / "harvest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dictionary_source": str(tmp_path / "gone")}))
    found = ask(open_subject(subject.folder), "feature", name=f"{TRAINED}:0")
    assert found.tokens_in
    assert (found.reads, found.nearest_read) == (None, [])
    assert "gone is not there" in found.directions_note


def test_an_unknown_feature_is_refused(subject):
    for name in ("nowhere:0", f"{TRAINED}:100000", f"{TRAINED}:-1", f"{TRAINED}:x"):
        with pytest.raises(UnweaveError, match=f"feature '{name}' is not in this harvest"):
            ask(subject, "feature", name=name)


def test_typed_text_shows_what_fires_as_the_decomposition_says(subject, readings):
    importance, activation, tokens = readings
    found = ask(subject, "fires", text=TEXT, limit=3)
    assert [token.token for token in found.tokens] == tokens
    assert " ".join(token.text for token in found.tokens) == TEXT
    assert [token.firing for token in found.tokens] == (importance > np.float32(FIRES)).sum(1).tolist()
    rarity = -np.log(np.maximum(subject.harvest.density, 1 / (subject.facts.tokens + 1)))
    told = np.where(importance > np.float32(FIRES), importance * rarity, 0)
    for at, token in enumerate(found.tokens):
        top = np.sort(told[at])[::-1][:3]
        np.testing.assert_allclose([told[at, one.row] for one in token.features], top, atol=1e-6)
        for one in token.features:
            assert one.importance == pytest.approx(importance[at, one.row], abs=1e-6)
            assert one.activation == pytest.approx(activation[at, one.row], abs=1e-4)
            assert one.name == subject.harvest.name(one.row)
    by_group = np.array([group.firing for group in found.groups])
    assert by_group.sum(0).tolist() == [token.firing for token in found.tokens]
    first = found.features[0]
    times = (importance > FIRES).sum(0)
    assert first.row == told.sum(0).argmax()
    assert first.tokens == times[first.row]
    assert first.density == subject.harvest.density[first.row]
    assert first.importance == pytest.approx(importance[:, first.row].max(), abs=1e-6)
    assert first.activation == pytest.approx(activation[importance[:, first.row].argmax(), first.row], abs=1e-4)
    assert not found.truncated
    assert found.edits == []


def test_typed_text_can_be_asked_of_one_group(subject):
    found = ask(subject, "fires", text=TEXT, group=TRAINED, limit=100)
    assert [group.name for group in found.groups] == [TRAINED]
    assert all(one.name.startswith(f"{TRAINED}:") for token in found.tokens for one in token.features)
    assert [len(token.features) for token in found.tokens] == found.groups[0].firing


def test_text_that_is_too_long_is_cut_and_text_without_tokens_refused(subject):
    long = " ".join(planted.words()[2:50] * 10)
    found = ask(subject, "fires", text=long, limit=1)
    assert found.truncated
    assert len(found.tokens) == LONGEST
    end = typed_text(subject.target, long, end=True)
    assert end.tokens[0, -1] == subject.target.tokenizer(long)["input_ids"][-1]
    with pytest.raises(UnweaveError, match="has no token"):
        ask(subject, "fires", text="  ")


def test_search_is_a_view(labelled):
    assert [hit.row for hit in ask(labelled, "search", words="alpha").hits] == [3]


def test_a_prompt_graph_is_that_of_attribution(subject):
    found = ask(subject, "graph", text=TEXT, nodes=8, edges=20)
    tokens = typed_text(subject.target, TEXT).tokens[0]
    expected = prompt_graph(subject.target, subject.dictionary, tokens, logits=1, nodes=8, edges=20)
    assert [node.id for node in found.nodes] == [node.id for node in expected.nodes]
    assert {(edge.source, edge.target) for edge in found.edges} == {
        (expected.nodes[s].id, expected.nodes[t].id) for s, t in zip(expected.sources, expected.targets, strict=True)
    }
    with torch.no_grad():
        chance = subject.target.logits(tokens[None])[0, -1].softmax(-1)
    assert (found.answer_token, found.answer) == (int(chance.argmax()), planted.words()[int(chance.argmax())])
    assert found.probability == pytest.approx(float(chance.max()), rel=1e-4)
    features = [node for node in found.nodes if node.kind == "feature"]
    assert len(features) == 8 < found.all_nodes
    assert all(subject.harvest.name(node.row) == node.name for node in features)
    assert {node.layer for node in features} <= {0, 1, 2}
    effects = {node.id: node.effect for node in expected.nodes}
    assert features[0].contribution == pytest.approx(effects[features[0].id] / found.probability, rel=1e-3)


def test_a_graphs_answer_can_be_chosen_and_must_be_one_token(subject):
    word = planted.words()[9]
    found = ask(subject, "graph", text=TEXT, answer=word, nodes=4)
    assert (found.answer, found.answer_token) == (word, 9)
    with pytest.raises(UnweaveError, match="is 2 tokens"):
        ask(subject, "graph", text=TEXT, answer=f"{word} {word}")
    with pytest.raises(UnweaveError, match="more than 64 tokens"):
        ask(subject, "graph", text=" ".join(planted.words()[2:70]))


def test_graphs_are_kept_listed_opened_and_dropped(subject):
    request = {"text": TEXT, "nodes": 4, "edges": 9}
    made = ask(subject, "graph", **request)
    for title in ("My graph!", "My graph!", "../../etc/passwd", "☃"):
        saved = ask(
            subject, "save-graph", title=title, request=request, graph=made.model_dump(),
            hidden=[made.nodes[0].id], places={made.nodes[1].id: [1.5, -2]},
        )  # fmt: skip
        assert saved.title == title
    listed = ask(open_subject(subject.folder), "graphs").graphs
    assert {one.id for one in listed} == {"my-graph", "my-graph-2", "etc-passwd", "graph"}
    assert {path.parent for path in subject.folder.rglob("etc-passwd.json")} == {subject.folder / "graphs"}
    opened = ask(open_subject(subject.folder), "load-graph", id="my-graph-2")
    assert opened.graph == made
    assert (opened.hidden, opened.places) == ([made.nodes[0].id], {made.nodes[1].id: (1.5, -2.0)})
    assert "my-graph" not in {one.id for one in ask(subject, "drop-graph", id="my-graph").graphs}
    with pytest.raises(UnweaveError, match="graph 'my-graph' is not saved here"):
        ask(subject, "load-graph", id="my-graph")


@pytest.mark.parametrize("name", ["../harvest", "a/b", "A", "", "-a", "x" * 81, "a.json"])
def test_only_ids_name_graphs(subject, name):
    for view in ("load-graph", "drop-graph"):
        with pytest.raises(ValidationError):
            ask(subject, view, id=name)


def test_a_damaged_graph_is_said_to_be_and_hides_no_other(subject):
    made = ask(subject, "graph", text=TEXT, nodes=4)
    ask(subject, "save-graph", title="good", request={"text": TEXT}, graph=made.model_dump())
    (subject.folder / "graphs" / "bad.json").write_text('{"id": "bad"}')
    assert [one.id for one in ask(subject, "graphs").graphs] == ["good"]
    with pytest.raises(UnweaveError, match="graph 'bad' is damaged"):
        ask(subject, "load-graph", id="bad")


@pytest.fixture
def saved(subject):
    """A function that saves one graph under a title, and gives its id."""
    made = ask(subject, "graph", text=TEXT, nodes=4).model_dump()

    def save(title):
        return ask(subject, "save-graph", title=title, request={"text": TEXT}, graph=made).id

    return save


def test_f3_11_links_among_the_graphs_are_neither_listed_nor_opened_nor_dropped(subject, saved, tmp_path):
    saved("own")
    folder, outside = subject.folder / "graphs", tmp_path / "outside.json"
    (folder / "own.json").rename(outside)
    (folder / "linked.json").symlink_to(outside)
    assert ask(subject, "graphs").graphs == []
    for view in ("load-graph", "drop-graph"):
        with pytest.raises(UnweaveError, match="graph 'linked' is not saved here"):
            ask(subject, view, id="linked")
    assert saved("linked") == "linked-2"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert ask(subject, "graphs").graphs == []
    with pytest.raises(UnweaveError, match="graph 'linked-2' is not saved here"):
        ask(subject, "load-graph", id="linked-2")
    for write in (lambda: saved("more"), lambda: ask(subject, "drop-graph", id="linked-2")):
        with pytest.raises(UnweaveError, match="graphs is a symlink, and links are not followed"):
            write()
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {"linked.json", "linked-2.json"}


@pytest.mark.parametrize("swapped", ["own.json", "."])
def test_f3_12_a_graph_swapped_for_a_link_after_the_check_is_not_followed(
    subject, saved, tmp_path, monkeypatch, swapped
):
    saved("own")
    folder = subject.folder / "graphs"
    read = graph_store.read_json_inside

    def swap(*where):
        away, here = tmp_path / "away", folder / swapped
        here.rename(away)
        here.symlink_to(away)
        return read(*where)

    monkeypatch.setattr(graph_store, "read_json_inside", swap)
    with pytest.raises(UnweaveError, match=r"own\.json is no file of its own, and links are not followed"):
        ask(subject, "load-graph", id="own")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_f3_15_graphs_are_the_owners_alone_under_umask_000(subject, saved):
    before = os.umask(0)
    try:
        saved("own")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in subject.folder.rglob("*")}
    assert (modes["graphs"], modes["own.json"], modes["graphs.lock"]) == (0o700, 0o600, 0o600)


def test_saving_and_dropping_graphs_waits_for_nothing_that_runs_the_target(subject, saved):
    with ThreadPoolExecutor(8) as pool, subject.lock:
        ids = [pool.submit(saved, "the same") for _ in range(8)]
        try:
            assert len({one.result(timeout=5) for one in ids}) == 8
            dropped = pool.submit(ask, subject, "drop-graph", id="the-same").result(timeout=5)
        except TimeoutError:
            pytest.fail("it waits")
    assert len(dropped.graphs) == 7


class Probe:
    """One direction of another kind: it is read where the planted site writes, and writes there."""

    kind, name, digest, target = "probe", "a probe", "feedfeedfeedfeed", None

    def __init__(self):
        self.name = "probe"
        self.reads = self.writes = Place(TRAINED, "output", 64)
        self.groups = {"probe": self}

    def __len__(self):
        return 1

    def read_directions(self):
        return torch.ones(1, 64)

    write_directions = read_directions

    def encode(self, values):
        activation = values["probe"].sum(-1, keepdim=True)
        return {"probe": Reading((activation > 0).float(), activation)}


@pytest.fixture
def probed(planted_target, planted_text, planted_target_folder, tmp_path):
    from unweave.read.harvest import HarvestConfig, harvest

    config = HarvestConfig(length=32, windows=8, pool=8)
    sources = (str(planted_target_folder), str(tmp_path))
    harvest(planted_target, Probe(), planted_text, config, out=tmp_path / "probe.harvest", sources=sources)
    opened = open_subject(tmp_path / "probe.harvest")
    opened.kept("target", lambda: planted_target)
    opened.kept("dictionary", Probe)
    return opened


def test_other_dictionaries_have_the_reading_views_and_no_edits(probed):
    found = ask(probed, "overview")
    assert (found.kind, found.features, found.live.available) == ("probe", 1, True)
    assert (found.edit.available, found.graph.available) == (False, False)
    assert "no pieces of weight" in found.edit.reason
    assert ask(probed, "features").rows[0].name == "probe:0"
    page = ask(probed, "feature", name="probe:0")
    assert (page.reads.side, page.nearest_read) == ("output", [])
    fired = ask(probed, "fires", text=TEXT)
    assert {one.name for token in fired.tokens for one in token.features} <= {"probe:0"}
    with pytest.raises(UnweaveError, match="a prompt graph is made of subcomponents"):
        ask(probed, "graph", text=TEXT)
    for view, request in (
        ("factor", {"factors": {"probe:0": 0.0}, "text": TEXT}),
        ("make-edit", {"name": "x", "factors": {"probe:0": 0.0}}),
        ("edits", {}),
    ):
        with pytest.raises(UnweaveError, match="kind probe are no pieces of the target's weights"):
            ask(probed, view, **request)
