"""The views of a prediction: tables joined with what was measured, filters, pages, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import asking
import pytest
from preference_run import PAIRS, REMOVED, TOPICS, pairs
from pydantic import ValidationError

from unweave.base.errors import UnweaveError
from unweave.base.views import HARVEST, all_views
from unweave.preferences.subject import open_preferences

VIEWS = {name: view for name, view in all_views().items() if view.subject == "preferences"}


@pytest.fixture(scope="module")
def subject(foreseen):
    return open_preferences(foreseen)


@pytest.fixture
def ask(subject):
    return lambda name, **question: asking.ask(subject, f"preferences-{name}", **question)


def test_each_kind_of_subject_has_views_of_its_own():
    assert set(VIEWS) == {
        f"preferences-{name}" for name in ("overview", "columns", "column", "pairs", "pair", "removed", "map")
    }
    assert all(not view.writes for view in VIEWS.values())
    assert VIEWS["preferences-pair"].exclusive
    assert {view.subject for name, view in all_views().items() if not name.startswith("preferences-")} == {
        HARVEST,
        "concepts",
        "stories",
    }


def test_the_overview_says_what_there_is(ask, subject):
    found = ask("overview")
    assert (found.pairs, found.prompts, found.columns, found.stands, found.clusters) == (PAIRS, PAIRS, 5, 2, 2)
    assert (found.data, found.target, found.unit, found.removed) == ("pairs.jsonl", "polyglot", "spreads", 2)
    assert [topic.name for topic in found.topics] == list(TOPICS)
    assert {each.of: each.points for each in found.maps} == {"rows": PAIRS, "features": 8}
    assert found.texts.available
    assert found.tokens.available
    assert not found.cleaned


def test_columns_are_ranked_filtered_and_sorted(ask):
    def names(**question):
        return [row.column for row in ask("columns", **question).rows]

    ranked = names()
    assert ranked == ["exclamations", "cluster:0", "words", "cluster:1", "emoji"]
    assert names(stands=True) == ranked[:2]
    assert names(stands=False) == ranked[2:]
    assert names(kind="cluster") == ["cluster:0", "cluster:1"]
    assert names(query="MARKS how") == ["exclamations"]
    assert names(query="rivers") == ["cluster:0", "cluster:1"]
    # What is not known is last in either order.
    assert names(sort="change") == ["cluster:0", "cluster:1", "words", "exclamations", "emoji"]
    assert names(sort="change", descending=True) == ["exclamations", "words", "cluster:1", "cluster:0", "emoji"]
    assert names(leans="neither") == ["emoji"]
    page = ask("columns", offset=1, limit=2)
    assert (page.total, [row.rank for row in page.rows], page.most) == (5, [2, 3], 1.9)
    assert ask("columns", limit=1).rows[0].leans == "chosen"


def test_a_column_is_counted_by_side_and_topic(ask):
    found = ask("column", column="exclamations", rows=3)
    made = pairs()
    on = [(bool(pair.chosen.count("!")), bool(pair.rejected.count("!"))) for pair in made]
    sides = found.sides
    assert sides.chosen == sum(one and not other for one, other in on) == PAIRS - 1
    assert (sides.rejected, sides.both, sides.neither) == (0, 0, 1)
    assert (sides.lean, sides.more_chosen, sides.more_rejected) == (1.0, PAIRS - 1, 0)
    assert 0.8 < sides.lean_low < 0.9
    assert {topic.topic: (topic.rows, topic.sides.chosen) for topic in found.topics} == {
        TOPICS[0]: (12, 12),
        TOPICS[1]: (12, 11),
    }
    assert found.topics_of == PAIRS
    assert [(row.id, row.rank, row.removed, row.side) for row in found.rows] == [
        ("row-0", 1, False, "chosen"),
        ("row-1", 2, False, "chosen"),
        ("row-2", 3, True, "chosen"),
    ]
    assert (found.unit, found.removed, found.feature_count) == ("per reply", 2, 0)
    assert {each.name: each.change for each in found.predictors} == {"tilt": -3.0, "length-only": 0.0}
    cluster = ask("column", column="cluster:1")
    assert (cluster.feature_count, len(cluster.features), cluster.rows) == (4, 4, [])


def test_pairs_are_filtered_by_side_topic_text_and_removal(ask):
    def rows(**question):
        return [row.row for row in ask("pairs", **question).rows]

    assert rows(column="exclamations", side="neither") == [3]
    assert rows(topic=TOPICS[1]) == list(range(1, PAIRS, 2))
    assert rows(topic=TOPICS[1], column="exclamations", side="neither") == [3]
    assert rows(topic=TOPICS[0], column="exclamations", side="neither") == []
    assert rows(removed=True) == list(REMOVED)
    assert len(rows(removed=False)) == PAIRS - 2
    assert rows(text="ROW-7 SCRIPT") == [7]
    page = ask("pairs", offset=22, limit=5)
    assert (page.total, [row.id for row in page.rows]) == (PAIRS, ["row-22", "row-23"])
    first = ask("pairs", limit=1).rows[0]
    assert (first.prompt, first.chosen, first.topic) == (
        pairs()[0].prompt[0].content,
        pairs()[0].chosen,
        TOPICS[0],
    )


def test_a_pair_is_read_in_words_in_tokens_or_plain(ask):
    words = ask("pair", row=4, column="exclamations")
    assert (words.id, words.read, words.side, words.note) == ("row-4", "words", "chosen", "")
    assert [part.text for part in words.chosen.parts if part.value > 0] == ["!", "!"]
    assert {value.column: (value.chosen, value.rejected) for value in words.values}["exclamations"] == (2, 0)
    assert words.values[0].column == "exclamations"
    tokens = ask("pair", id="row-4", column="cluster:0")
    assert tokens.read == "tokens"
    assert tokens.prompt is not None
    fired = [part for part in tokens.chosen.parts if part.value > 0]
    assert all("cluster:0" in {each.column for each in part.firing} for part in fired)
    value = {value.column: value.chosen for value in tokens.values}["cluster:0"]
    assert max(part.value for part in fired) <= value + 1e-6
    everything = ask("pair", row=4, tokens=True)
    assert everything.read == "tokens"
    assert {part.value for part in everything.chosen.parts} == {0.0}
    assert any(part.firing for part in everything.chosen.parts)
    plain = ask("pair", row=2)
    assert (plain.read, plain.removed) == ("nothing", True)
    assert plain.chosen.parts[0].text == pairs()[2].chosen
    assert "teaches exclamations" in plain.why[0]


def test_maps_have_points_with_groups(ask):
    rows, features = ask("map", of="rows", limit=4), ask("map", of="features")
    assert (rows.total, len(rows.points)) == (PAIRS, 4)
    assert (rows.points[3].name, rows.points[3].row, rows.points[3].group) == ("row-3", 3, TOPICS[1])
    assert [(group.name, group.points) for group in features.groups] == [("cluster:0", 4), ("cluster:1", 4)]
    assert features.groups[1].lean == 1.0


def test_removed_rows_have_their_reason(ask):
    found = ask("removed", offset=1)
    assert (found.total, [(row.row, row.id, row.column) for row in found.rows]) == (2, [(5, "row-5", "exclamations")])


@pytest.mark.parametrize(
    ("view", "question", "line"),
    [
        ("column", {"column": "exclamation"}, "'exclamation' was not predicted; nearest: 'exclamations'"),
        ("pairs", {"column": "nothing"}, "column 'nothing' was not measured"),
        ("pairs", {"side": "chosen"}, "name the column too"),
        ("pairs", {"topic": "tea"}, "no row is of topic 'tea'; nearest: 'tea, kettle'"),
        ("pair", {}, "give the id of a pair, or its row"),
        ("pair", {"id": "row-1", "row": 1}, "give the id of a pair, or its row"),
        ("pair", {"row": PAIRS}, f"row {PAIRS} is not among"),
        ("pair", {"id": "../../etc/passwd"}, "no pair '../../etc/passwd' was read"),
        ("pair", {"row": 1, "column": "cluster:9"}, "column 'cluster:9' was not measured"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is_near(ask, view, question, line):
    with pytest.raises(UnweaveError) as caught:
        ask(view, **question)
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("view", "question"),
    [
        ("map", {"of": "rows", "limit": 3001}),
        ("map", {"of": "secrets"}),
        ("pairs", {"limit": 201}),
        ("pairs", {"offset": -1}),
        ("columns", {"sort": "path"}),
        ("column", {"column": "x" * 201}),
        ("pair", {"row": 1, "path": "/etc/passwd"}),
    ],
)
def test_questions_out_of_bounds_are_refused(view, question):
    with pytest.raises(ValidationError):
        VIEWS[f"preferences-{view}"].request(**question)


def test_without_the_data_everything_but_texts_is_there(foreseen, monkeypatch):
    moved = open_preferences(foreseen)
    monkeypatch.setitem(moved.config, "data", "nowhere.jsonl")
    view = VIEWS["preferences-pairs"]
    found = view.function(moved, view.request(column="exclamations", side="neither"))
    assert ([row.id for row in found.rows], found.rows[0].chosen) == (["row-3"], "")
    assert "are not there" in found.texts.reason
    with pytest.raises(UnweaveError, match="are not there"):
        view.function(moved, view.request(text="tea"))


def test_a_behaviour_of_a_persons_own_is_not_executed_here(foreseen, monkeypatch):
    own = open_preferences(foreseen)
    names = ("mentions-tea", *own.store.names[1:])
    monkeypatch.setattr(own.store, "facts", replace(own.store.facts, behaviours=names))
    view = VIEWS["preferences-pair"]
    found = view.function(own, view.request(row=1, column="mentions-tea"))
    assert found.read == "nothing"
    assert "'mentions-tea' is not one of this package's" in found.note
