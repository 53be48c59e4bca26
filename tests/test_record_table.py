from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.record import Table

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
kinds = [text, st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)]


@st.composite
def tables(draw):
    columns = draw(st.lists(text.filter(bool), min_size=1, max_size=4, unique=True))
    cells = [st.one_of(st.none(), draw(st.sampled_from(kinds))) for _ in columns]
    rows = draw(st.lists(st.tuples(*cells), max_size=6))
    units = {column: draw(text.filter(bool)) for column in columns if draw(st.booleans())}
    return Table("t", tuple(columns), tuple(rows), units, draw(text), {columns[0]: 2})


@given(tables())
@settings(max_examples=150, deadline=None)
def test_saving_and_loading_gives_back_every_value(tmp_path_factory, table):
    folder = tmp_path_factory.mktemp("t")
    digest = table.save(folder)
    loaded = Table.load(folder, "t")
    assert repr(loaded.rows) == repr(table.rows)
    assert loaded == table
    assert loaded.kinds == table.kinds
    assert loaded.sha256 == digest == table.sha256


def test_csv_is_exact_and_tells_empty_text_from_a_missing_value(tmp_path):
    table = Table("t", ("a", "b"), (("", 0.1 + 0.2), (None, 1e-300), ('say "hi", you\nthere', -0.0)))
    assert table.csv == b'"a","b"\n"",0.30000000000000004\n,1e-300\n"say ""hi"", you\nthere",-0.0\n'
    table.save(tmp_path)
    assert Table.load(tmp_path, "t").column("a") == ("", None, 'say "hi", you\nthere')


def test_what_is_not_finite_is_missing():
    table = Table("t", ("a",), ((math.nan,), (np.float32("inf"),), (np.float64(1.5),)))
    assert table.column("a") == (None, None, 1.5)
    assert type(table.rows[2][0]) is float


def test_numpy_scalars_become_plain_values():
    table = Table("t", ("i", "b"), ((np.int64(3), np.bool_(True)),))
    assert table.rows == ((3, True),)
    assert [type(value) for value in table.rows[0]] == [int, bool]


def test_integers_among_numbers_are_numbers():
    assert Table("t", ("a",), ((1,), (2.5,))).rows == ((1.0,), (2.5,))
    assert Table("t", ("a",), ((1,), (2.5,))).csv == b'"a"\n1.0\n2.5\n'


def test_a_changed_file_is_noticed(tmp_path):
    Table("t", ("a",), ((0.12,),)).save(tmp_path)
    path = tmp_path / "t.csv"
    path.write_bytes(path.read_bytes().replace(b"0.12", b"0.11"))
    with pytest.raises(UnweaveError, match="was changed after it was saved"):
        Table.load(tmp_path, "t")


def test_a_damaged_description_is_one_line(tmp_path):
    Table("t", ("a",), ((0.12,),)).save(tmp_path)
    for content in ("{", "[]", '{"sha256": 1}', "null"):
        (tmp_path / "t.json").write_text(content)
        with pytest.raises(UnweaveError) as caught:
            Table.load(tmp_path, "t")
        assert "\n" not in str(caught.value)


def test_missing_table_names_the_nearest(tmp_path):
    Table("effects", ("a",), ((1,),)).save(tmp_path)
    with pytest.raises(UnweaveError, match="nearest: 'effects'"):
        Table.load(tmp_path, "effect")


def test_description_carries_units_kinds_and_caption(tmp_path):
    Table("t", ("a", "n"), ((0.5, 3),), {"a": "nats"}, "What it says.", {"a": 2}).save(tmp_path)
    described = json.loads((tmp_path / "t.json").read_text())
    assert described["caption"] == "What it says."
    assert described["columns"][0] == {"name": "a", "kind": "number", "unit": "nats", "digits": 2}
    assert described["columns"][1]["kind"] == "integer"


def test_markdown_escapes_aligns_and_rounds():
    table = Table(
        "t", ("name", "a|b", "n"), (("x|y\nz", 0.04449, 12000), (None, -0.0001, 7)), {"n": "tokens"}, "Caption"
    )
    assert table.to_markdown(digits=3).splitlines() == [
        "| name | a\\|b | n (tokens) |",
        "| --- | ---: | ---: |",
        "| x\\|y z | 0.044 | 12,000 |",
        "| – | 0.000 | 7 |",
        "",
        "Caption",
    ]


def test_small_values_are_not_hidden_unless_decimals_were_asked_for():
    assert Table("t", ("a",), ((3e-5,),)).shown("a", 3e-5) == "3e-05"
    assert Table("t", ("a",), ((3e-5,),), digits={"a": 2}).shown("a", 3e-5) == "0.00"


def test_rows_are_found_by_value_or_by_a_list_of_values():
    table = Table.from_records("t", [{"m": "a", "k": 1}, {"m": "b", "k": 1}, {"m": "c", "k": 2}])
    assert table.find({"m": ["a", "c"]}) == [0, 2]
    assert table.find({"m": "b", "k": 1}) == [1]
    assert table.find({"k": True}) == []
    with pytest.raises(UnweaveError, match="no column 'method'"):
        table.find({"method": "a"})


def test_records_give_columns_in_order_of_first_appearance():
    table = Table.from_records("t", [{"b": 1}, {"a": 2.0, "b": 3}])
    assert table.columns == ("b", "a")
    assert table.records() == [{"b": 1, "a": None}, {"b": 3, "a": 2.0}]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("../t", ("a",), ()), "table name '../t'"),
        (("t", (), ()), "give each column a name"),
        (("t", ("a", "a"), ()), "names column 'a' twice"),
        (("t", ("a",), ((1, 2),)), "row 0 of table 't' has 2 values for 1 columns"),
        (("t", ("a",), ((1,), ("x",))), "column 'a' of table 't' mixes int and str"),
        (("t", ("a",), ((True,), (2,))), "mixes bool and int"),
        (("t", ("a",), (([1],),)), r"a cell holds \[1\]"),
        (("t", ("change",), (), {"chnge": "nats"}), "nearest: 'change'"),
    ],
)
def test_refusals_name_what_is_wrong(arguments, words):
    with pytest.raises(UnweaveError, match=words):
        Table(*arguments)


def test_text_that_is_not_unicode_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UnweaveError, match="not valid Unicode"):
        Table("t", ("a",), (("\ud800",),)).save(tmp_path)
    assert list(tmp_path.iterdir()) == []
