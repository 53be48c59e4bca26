from __future__ import annotations

import datetime
import math
import os
from decimal import Decimal

import pytest
from datasets import load_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair_files import write_large
from trl.data_utils import is_conversational

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs import PreferencePair, Turn, open_pairs, write_pairs

ASKED = (Turn("user", "Why?"),)


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


def pair(id="1", prompt=ASKED, **extra):
    return PreferencePair(id, prompt, "So.", "No.", extra)


texts = st.text(max_size=20)
turns = st.builds(Turn, st.sampled_from(["system", "user", "assistant"]), texts)
prompts = st.lists(turns, min_size=1, max_size=3).map(tuple)
values = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
nested = st.recursive(
    values, lambda each: st.lists(each, max_size=2) | st.dictionaries(texts, each, max_size=2), max_leaves=4
)
names = st.sampled_from(["score", "tags", "prompt_id", "question", "messages", "naïve column"])


def pairs_with(prompt, extra):
    one = st.builds(PreferencePair, st.text(min_size=1, max_size=8), prompt, texts, texts, extra)
    return st.lists(one, min_size=1, max_size=4)


def read_back(tmp_path_factory, pairs, name, layout):
    path = tmp_path_factory.mktemp("written") / name
    assert write_pairs(iter(pairs), path, layout) == len(pairs)
    return list(open_pairs(path))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(pairs=pairs_with(prompts, st.dictionaries(names, nested, max_size=3)))
def test_conversational_lines_read_back_equal(tmp_path_factory, pairs):
    assert read_back(tmp_path_factory, pairs, "a.jsonl", "conversational") == pairs


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    pairs=pairs_with(
        texts.filter(lambda text: not text.lstrip().startswith(("Human:", "Assistant:"))).map(
            lambda text: (Turn("user", text),)
        ),
        st.dictionaries(names, nested, max_size=3),
    )
)
def test_standard_lines_read_back_equal(tmp_path_factory, pairs):
    assert read_back(tmp_path_factory, pairs, "a.jsonl.gz", "standard") == pairs


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    pairs=pairs_with(
        prompts,
        st.fixed_dictionaries(
            {
                "score": st.none() | st.integers(-9, 9),
                "tags": st.lists(texts, max_size=2),
                "of": st.fixed_dictionaries({"a": texts}),
            }
        ),
    )
)
def test_conversational_parquet_reads_back_equal(tmp_path_factory, pairs):
    assert read_back(tmp_path_factory, pairs, "a.parquet", "conversational") == pairs


def test_parquet_finds_the_types_that_hold_all_rows(tmp_path):
    def made(i):
        extra = {
            "late": None if i < 4000 else "text",
            "score": 1 if i < 2500 else 0.5,
            "tags": [] if i < 3000 else ["a"],
        }
        return pair(str(i), **(extra | ({"last": i} if i == 4999 else {})))

    pairs = [made(i) for i in range(5000)]
    write_pairs(pairs, tmp_path / "a.parquet")
    found = list(open_pairs(tmp_path / "a.parquet"))
    assert [each.extra for each in found] == [{**each.extra, "last": each.extra.get("last")} for each in pairs]
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_what_is_written_is_trl_s_and_the_datasets_library_reads_it(tmp_path):
    long = (Turn("system", "Be brief."), *ASKED, Turn("assistant", "What?"), Turn("user", "That!"))
    for name, kind in (("a.jsonl", "json"), ("a.parquet", "parquet")):
        write_pairs([pair("1", long, score=1.5), pair("2", score=2.0)], tmp_path / name)
        rows = load_dataset(kind, data_files=str(tmp_path / name), split="train", cache_dir=str(tmp_path / "cache"))
        assert rows.column_names == ["id", "prompt", "chosen", "rejected", "score"]
        assert all(is_conversational({column: rows[0][column]}) for column in ("prompt", "chosen", "rejected"))
        assert rows[0]["prompt"][3] == {"role": "user", "content": "That!"}
        assert rows[1]["chosen"] == [{"role": "assistant", "content": "So."}]


def test_a_dataset_in_another_layout_is_converted_whole(tmp_path):
    source = open_pairs(write_large(tmp_path / "big.parquet", 300))
    assert write_pairs(source, tmp_path / "out.jsonl.gz", "standard") == 300
    assert list(open_pairs(tmp_path / "out.jsonl.gz")) == list(source)


def test_what_json_cannot_hold_is_written_as_said(tmp_path):
    extra = {"nan": [math.nan, {"a": math.inf}], "day": datetime.date(2026, 1, 2), "price": Decimal("1.50")}
    half = PreferencePair("\ud800", ASKED, "half \udc00 of é", "No.", extra)
    write_pairs([half], tmp_path / "a.jsonl")
    (found,) = open_pairs(tmp_path / "a.jsonl")
    assert (found.id, found.chosen) == ("\ud800", "half \udc00 of é")
    assert found.extra == {"nan": [None, {"a": None}], "day": "2026-01-02", "price": "1.50"}
    assert "é" in (tmp_path / "a.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("pairs", "name", "layout", "said"),
    [
        ([], "a.jsonl", "standard", "no pairs to write"),
        ([], "a.parquet", "standard", "no pairs to write"),
        ([pair()], "a.csv", "standard", "does not end in .jsonl, .jsonl.gz, .parquet"),
        ([pair()], "a.jsonl", "standrad", "layout 'standrad' is not known; nearest: 'standard'"),
        ([pair(prompt=(*ASKED, *ASKED))], "a.jsonl", "standard", r"'1' has a prompt of turns \(user, user"),
        ([pair(chosen="x")], "a.jsonl", "conversational", "'1' has an extra column 'chosen'"),
        ([pair(system="x")], "a.jsonl", "standard", "'1' has an extra column 'system'"),
        ([pair(raw=b"x")], "a.jsonl", "conversational", "'1' cannot be written as JSON: .*bytes"),
        ([pair(), pair("2", a="x"), pair("3", a=1)], "a.parquet", "conversational", "column 'a' of the pairs '1' to"),
        ([pair(a={})], "a.parquet", "conversational", "column 'a' .*an object without fields"),
        ([pair(a="\ud800")], "a.parquet", "conversational", "column 'a' "),
        ([pair(a=2**70)], "a.parquet", "conversational", "column 'a' "),
        ([*[pair(a="x")] * 2000, pair(a=1)], "a.parquet", "standard", "a column changes its type .*write .jsonl"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_and_leaves_what_was_there(tmp_path, pairs, name, layout, said):
    (tmp_path / name).write_text("old")
    with pytest.raises(UnweaveError, match=said):
        write_pairs(pairs, tmp_path / name, layout)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "old")]
