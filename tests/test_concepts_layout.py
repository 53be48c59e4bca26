from __future__ import annotations

import json

import pytest
from planted_concept import TEMPLATES

from unweave.base.errors import UnweaveError
from unweave.shapes.concepts.bundled import BUNDLED, bundled_concept, find_concept
from unweave.shapes.concepts.layout import parse_concept, read_concept
from unweave.studies.concept_geometry import CONCEPTS

HEAD = f'name = "meals"\ntemplates = {json.dumps(TEMPLATES)}\n'
ROUND = HEAD + 'metric = { name = "circular", period = 4 }\n[values]\nbreakfast = 0\nlunch = 1\ntea = 2\nsupper = 3\n'


def test_toml_and_json_say_the_same(tmp_path):
    (tmp_path / "meals.toml").write_text(ROUND)
    values = {"breakfast": 0, "lunch": 1, "tea": 2, "supper": 3}
    same = {"name": "meals", "templates": TEMPLATES, "metric": {"name": "circular", "period": 4}, "values": values}
    (tmp_path / "meals.json").write_text(json.dumps(same))
    one, other = (read_concept(tmp_path / f"meals.{ending}") for ending in ("toml", "json"))
    assert one == other
    assert one.labels == ("breakfast", "lunch", "tea", "supper")
    assert one.distances()[0].tolist() == [0, 1, 2, 1]
    assert find_concept(str(tmp_path / "meals.toml")) == one


def test_values_may_be_places_paths_and_nothing():
    def read(values):
        return parse_concept(HEAD + values).values

    assert read('values = ["a", "b", "c", "d"]')[0].known is None
    assert read("[values]\na = [1, 2.5]\nb = [0, 0]\nc = [1, 1]\nd = [2, 2]")[0].known == (1.0, 2.5)
    assert read('[values]\na = ["r", "a"]\nb = ["r", "b"]\nc = ["r", "c"]\nd = ["r", "d"]')[0].known == ("r", "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "values = [1 2]\n", "text is not TOML: .*line 3"),
        (HEAD + 'metrik = "linear"\nvalues = []', "line 3: 'metrik' is not something.*nearest: 'metric'"),
        (HEAD, "has no values"),
        (HEAD.replace('"meals"', "7") + 'values = ["a"]', "line 1: name is 7"),
        (HEAD + "values = 4", "line 3: values is"),
        (HEAD + "[values]\na = 1\nb = true", "line 5: 'b' is True"),
        (HEAD + '[values]\na = 1\nb = [1, "x"]', "line 5: 'b' is .*numbers only"),
        (HEAD + "metric = 5\nvalues = []", "line 3: metric is 5"),
        (HEAD + 'metric = { name = "circular", period = "7" }\nvalues = []', "line 3: period of the metric is '7'"),
        (HEAD + 'values = ["a", "b", "c", "a"]', "line 3: .*the value 'a' twice"),
        (HEAD + '[values]\na = 1\nb = 2\nc = 3\n"d " = 4', "line 7: .*a label is 'd '"),
        (HEAD.replace('"one {}"', '"one {} more"') + 'values = ["a", "b", "c", "d"]', "line 2: .*must end in its only"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, message):
    with pytest.raises(UnweaveError, match=message):
        parse_concept(text)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(UnweaveError, match="neither TOML nor JSON"):
        read_concept(tmp_path / "meals.yaml")
    with pytest.raises(UnweaveError, match="does not exist"):
        read_concept(tmp_path / "meals.toml")
    (tmp_path / "bad.json").write_text('{\n"name": }')
    with pytest.raises(UnweaveError, match="line 2 is not JSON"):
        read_concept(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(UnweaveError, match="holds a list"):
        read_concept(tmp_path / "list.json")


def test_an_unknown_concept_names_near_ones_and_how_to_give_ones_own():
    with pytest.raises(UnweaveError, match=r"nearest: 'weekdays'.* a file that ends in \.toml or \.json"):
        find_concept("weekdys")


def test_all_bundled_concepts_can_be_read_and_are_what_they_say():
    found = {name: bundled_concept(name) for name in BUNDLED}
    assert CONCEPTS == BUNDLED
    assert all(each.name == name for name, each in found.items())
    assert {name: len(each) for name, each in found.items() if len(each) >= 28} == {
        "years": 34, "colours": 102, "hues": 42, "cities": 200, "organisms": 65, "emotions": 28,
    }  # fmt: skip
    assert all(len(each.templates) == 12 for each in found.values())
    assert found["emotions"].metric is None
    assert found["hours"].distances()[found["hours"].labels.index("11 pm"), found["hours"].labels.index("1 am")] == 2
    cities = found["cities"]
    apart = cities.distances()[cities.labels.index("Berlin"), cities.labels.index("Sydney")]
    assert apart * 6371 == pytest.approx(16_094, rel=0.01)
    organisms = found["organisms"]
    place = organisms.labels.index
    assert organisms.distances()[place("dog"), place("wolf")] < organisms.distances()[place("dog"), place("oak")]
    assert found["months"].angles()[3] == pytest.approx(1.5708, abs=1e-3)
    with pytest.raises(UnweaveError, match="nearest: 'weekdays'"):
        bundled_concept("weekday")
