from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.read.labels.attributes import Attributes, token_kind
from unweave.read.labels.contexts import contexts_at
from unweave.read.labels.language import fit_language
from unweave.read.labels.predicate import Question, from_json, holds, to_json, ways
from unweave.read.labels.wording import list_tokens, quoted

TEXTS = [" und", " Gott", "en", ".", "7", " der", "\n", " не", "ß", " EIN"]
GENERATOR = np.random.default_rng(0)
LABEL = np.arange(12) % 2
WINDOWS = np.where(LABEL[:, None] == 0, GENERATOR.integers(0, 6, (12, 30)), GENERATOR.integers(4, len(TEXTS), (12, 30)))
ATTRIBUTES = Attributes(TEXTS, fit_language(WINDOWS, LABEL, ("de", "xx"), ("German", "Other"), len(TEXTS)))
PLACES = contexts_at(WINDOWS, np.arange(WINDOWS.size))


def questions(depth):
    if depth == 0:
        return st.booleans()
    below = questions(depth - 1)

    def of(name):
        most = ATTRIBUTES.count(name) or 8
        codes = st.sets(st.integers(0, most - 1), min_size=1, max_size=4).map(lambda found: tuple(sorted(found)))
        return st.builds(Question, st.just(name), codes, below, below)

    return st.one_of(st.booleans(), st.sampled_from(ATTRIBUTES.all).flatmap(of))


@given(questions(3))
def test_a_predicate_comes_back_from_json_and_holds_where_one_of_its_ways_does(predicate):
    again = from_json(json.loads(json.dumps(to_json(predicate, ATTRIBUTES))), ATTRIBUTES)
    said = holds(predicate, ATTRIBUTES, PLACES)
    assert (holds(again, ATTRIBUTES, PLACES) == said).all()
    by_way = np.zeros(len(PLACES), int)
    for way in ways(predicate):
        found = np.ones(len(PLACES), bool)
        for condition in way:
            found &= np.isin(ATTRIBUTES.of(condition.attribute, PLACES), condition.codes) == condition.holds
        by_way += found
    assert ((by_way > 0) == said).all()
    assert by_way.max(initial=0) <= 1


@pytest.mark.parametrize(
    "damage",
    [
        None,
        3,
        "token",
        {"attribute": "token"},
        {"attribute": "nothing", "in": [1], "then": True, "else": False},
        {"attribute": "kind", "in": ["no such kind"], "then": True, "else": False},
        {"attribute": "token", "in": "12", "then": True, "else": False},
        {"attribute": "token", "in": [[]], "then": True, "else": False},
        {"attribute": "token", "in": [1], "then": 1, "else": False},
    ],
)
def test_what_is_no_predicate_is_refused(damage):
    with pytest.raises(UnweaveError, match="not a predicate"):
        from_json(damage, ATTRIBUTES)


def test_a_predicate_nested_without_end_is_refused():
    nested = True
    for _ in range(50):
        nested = {"attribute": "token", "in": [1], "then": nested, "else": False}
    with pytest.raises(UnweaveError, match="not a predicate"):
        from_json(nested, ATTRIBUTES)


def test_attributes_look_at_the_token_and_beside_it():
    places = contexts_at(WINDOWS, np.array([0, 31, 59]))
    flat = WINDOWS.ravel()
    assert ATTRIBUTES.of("token", places).tolist() == flat[[0, 31, 59]].tolist()
    assert ATTRIBUTES.of("previous", places).tolist() == [-1, flat[30], flat[58]]
    assert ATTRIBUTES.of("next", places).tolist() == [flat[1], flat[32], -1]
    assert ATTRIBUTES.values("kind before", ATTRIBUTES.of("kind before", places)[:1]) == ["edge of the window"]


def test_kinds_tell_words_pieces_case_script_digits_and_punctuation():
    found = [token_kind(text, starts_words=True) for text in TEXTS]
    assert found == [
        "word lower",
        "word capitalised",
        "piece lower",
        "punctuation",
        "digits",
        "word lower",
        "space",
        "word cyrillic",
        "piece lower",
        "word capitals",
    ]
    assert token_kind("en", starts_words=False) == "word lower"


def test_the_language_is_told_from_the_tokens():
    said = ATTRIBUTES.of("language", PLACES).reshape(WINDOWS.shape)
    assert (said == LABEL[:, None]).mean() > 0.99
    assert ATTRIBUTES.values("language", [1]) == ["xx"]


def test_words_and_pieces_are_written_apart_and_nothing_odd_gets_through():
    assert [quoted(text) for text in (" und", "en", ".", "\n", " ", '"', "a\x1bb")] == [
        '"und"',
        '"-en"',
        '"."',
        "line break",
        "space",
        "'\"'",
        '"-a\N{REPLACEMENT CHARACTER}b"',
    ]
    assert list_tokens(ATTRIBUTES, [0, 1, 2, 3, 4, 5]) == '"und", "Gott", "-en", "." (+2)'
