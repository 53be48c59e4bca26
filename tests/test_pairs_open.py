from __future__ import annotations

import gzip
import json
import math

import pyarrow as pa
import pytest
from pair_files import assistant, conversational, standard, user, write_lines
from pyarrow import parquet

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs import Turn, open_pairs

HH = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: What is a lion?\n\nAssistant:"
ASKED = (Turn("user", "Why?"),)


def read(path, rows, **options):
    source = open_pairs(write_lines(path / "rows.jsonl", rows), **options)
    return source, list(source)


@pytest.mark.parametrize(
    ("row", "layout", "prompt"),
    [
        ({"prompt": "Why?", "chosen": "So.", "rejected": "No."}, "standard", ASKED),
        ({"question": "Why?", "response_j": "So.", "response_k": "No."}, "standard", ASKED),
        (
            {"system": "Be brief.", "question": "Why?", "chosen": "So.", "rejected": "No."},
            "standard",
            (Turn("system", "Be brief."), *ASKED),
        ),
        (
            {"instruction": "Sum up:", "input": "A text.", "chosen": "So.", "rejected": "No."},
            "standard",
            (Turn("user", "Sum up:\n\nA text."),),
        ),
        ({"instruction": "Why?", "input": "", "chosen": "So.", "rejected": "No."}, "standard", ASKED),
        ({"input": "Why?", "chosen": "So.", "rejected": "No."}, "standard", ASKED),
        ({"chosen": "Why? So.", "rejected": "Why? No."}, "standard, prompt implicit", ASKED),
        (
            {"prompt": [user("Why?")], "chosen": [assistant("So.")], "rejected": [assistant("No.")]},
            "conversational",
            ASKED,
        ),
        (
            {
                "prompt": [user("Why?")],
                "chosen": [user("Why?"), assistant("So.")],
                "rejected": [user("Why?"), assistant("No.")],
            },
            "conversational",
            ASKED,
        ),
        (
            {"chosen": [user("Why?"), assistant("So.")], "rejected": [user("Why?"), assistant("No.")]},
            "conversational, prompt implicit",
            ASKED,
        ),
        (
            {
                "prompt": "Why?",
                "chosen": [user("Why?"), assistant("So.")],
                "rejected": [user("Why?"), assistant("No.")],
            },
            "conversational, prompt as text too",
            ASKED,
        ),
        (
            {"prompt": "Why?", "chosen": [assistant("So.")], "rejected": [assistant("No.")]},
            "conversational, prompt as text too",
            ASKED,
        ),
        (
            {"prompt": [user("Why?")], "chosen": "So.", "rejected": "No."},
            "conversational prompt, replies as text",
            ASKED,
        ),
        (
            {"chosen": f"{HH} So.", "rejected": f"{HH} No."},
            "transcripts",
            (Turn("user", "Hi"), Turn("assistant", "Hello."), Turn("user", "What is a lion?")),
        ),
        (
            {"prompt": HH, "chosen": "So.", "rejected": "No."},
            "transcript prompt, replies as text",
            (Turn("user", "Hi"), Turn("assistant", "Hello."), Turn("user", "What is a lion?")),
        ),
        (
            {
                "prompt": [{"from": "human", "value": "Why?"}],
                "chosen": {"from": "gpt", "value": "So."},
                "rejected": {"from": "gpt", "value": "No."},
            },
            "conversational",
            ASKED,
        ),
    ],
)
def test_every_layout_is_recognised_and_gives_the_same_pair(tmp_path, row, layout, prompt):
    source, (pair,) = read(tmp_path, [row])
    assert source.describe().layout == layout
    assert (pair.prompt, pair.chosen.strip(), pair.rejected.strip()) == (prompt, "So.", "No.")
    assert pair.extra == {}


def test_an_ultrafeedback_row_keeps_its_scores_and_its_id(tmp_path):
    turns = [user("Why?"), assistant("So.")]
    row = {
        "prompt": "Why?",
        "prompt_id": "abc",
        "chosen": turns,
        "rejected": [user("Why?"), assistant("No.")],
        "messages": turns,
        "score_chosen": 8.5,
        "score_rejected": 3.0,
    }
    source, (pair,) = read(tmp_path, [row])
    assert pair.id == "abc"
    assert pair.extra == {"messages": turns, "score_chosen": 8.5, "score_rejected": 3.0}
    assert source.describe().columns == {
        "prompt": "prompt", "chosen": "chosen", "rejected": "rejected", "id": "prompt_id",
    }  # fmt: skip


def test_an_olmo_row_keeps_its_other_columns_and_messages_lose_their_other_keys(tmp_path):
    def told(message):
        return {**message, "function_calls": None, "functions": None}

    row = {
        "id": 7,
        "source": "wildchat",
        "chosen": [told({"role": "system", "content": None}), told(user("Why?")), told(assistant("So."))],
        "rejected": [told({"role": "system", "content": None}), told(user("Why?")), told(assistant("No."))],
    }
    _, (pair,) = read(tmp_path, [row])
    assert pair.prompt == (Turn("system", ""), *ASKED)
    assert (pair.id, pair.extra) == ("7", {"source": "wildchat"})


def test_contents_of_text_parts_are_joined_and_pictures_refused(tmp_path):
    parts = [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}]
    row = {"prompt": [user(parts)], "chosen": [assistant("So.")], "rejected": [assistant("No.")]}
    assert read(tmp_path, [row])[1][0].prompt == ASKED
    picture = {**row, "prompt": [user([{"type": "image"}])]}
    with pytest.raises(UnweaveError, match=r"row 2 column 'prompt' has a message with the part .*image.*only text"):
        read(tmp_path, [row, picture])


def test_conversations_that_part_before_the_last_turn_keep_the_later_turns_in_the_reply(tmp_path):
    chosen = [user("Why?"), assistant("So."), user("Sure?"), assistant("Yes.")]
    _, (pair,) = read(tmp_path, [{"chosen": chosen, "rejected": [user("Why?"), assistant("No.")]}])
    assert pair.prompt == ASKED
    assert pair.chosen == "So.\n\n[user]\nSure?\n\n[assistant]\nYes."
    assert pair.rejected == "No."


def test_answers_to_two_prompts_are_no_pair(tmp_path):
    rows = [
        {"chosen": f"{HH} So.", "rejected": f"{HH} No."},
        {"chosen": "\n\nHuman: A\n\nAssistant: a", "rejected": "\n\nHuman: B\n\nAssistant: b"},
    ]
    with pytest.raises(UnweaveError, match=r"row 2 columns 'chosen' or 'rejected': .*'user', 'A'.*two prompts.*skip"):
        read(tmp_path, rows)
    source, pairs = read(tmp_path, rows, broken="skip")
    assert (len(pairs), source.broken.count) == (1, 1)


def test_columns_are_taken_as_told_and_a_wrong_one_is_refused(tmp_path):
    row = {"prompt": "no", "ask": "Why?", "good": "So.", "bad": "No."}
    columns = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
    _, (pair,) = read(tmp_path, [row], columns=columns)
    assert (pair.prompt, pair.chosen, pair.rejected, pair.extra) == (ASKED, "So.", "No.", {"prompt": "no"})
    with pytest.raises(UnweaveError, match="no column 'god' to take as chosen; nearest: 'good'"):
        read(tmp_path, [row], columns={**columns, "chosen": "god"})
    with pytest.raises(UnweaveError, match="'chosn', which is no part of a pair; nearest: 'chosen'"):
        read(tmp_path, [row], columns={"chosn": "good"})
    with pytest.raises(UnweaveError, match="no column holds the chosen reply, of 'prompt', 'ask', 'good', 'bad'"):
        read(tmp_path, [row])
    # The remedy of either way in, with a column that is nothing else yet.
    with pytest.raises(UnweaveError, match=r"\{'rejected': 'good'\} or .* --column rejected=good"):
        read(tmp_path, [row], columns={"chosen": "bad"})


def test_an_id_is_the_data_s_own_or_the_file_and_row(tmp_path):
    rows = standard(3)
    rows[0]["id"], rows[1]["id"] = "first", None
    source, pairs = read(tmp_path, rows)
    assert [pair.id for pair in pairs] == ["first", "rows.jsonl:2", "rows.jsonl:3"]
    assert [pair.id for pair in source] == [pair.id for pair in pairs]  # read anew


BROKEN = [
    (b'{"prompt": "a", "chosen": "b"}', "row 2 column 'rejected' is missing: text is expected"),
    (b'{"prompt": "a", "chosen": 3, "rejected": "c"}', "row 2 column 'chosen' is 3: text is expected"),
    (b'{"prompt": "a", "chosen": "b", "rejec', r"row 2 is not valid JSON \(.*\), b'.*': one object a line"),
    (b'["a", "b"]', "row 2 is list, .* and not an object"),
    (b'{"prompt": "\xff"}', "row 2 is not UTF-8: byte 0xff at 12"),
    (b"[" * 100_000, "row 2 is not valid JSON"),
]


@pytest.mark.parametrize(("line", "said"), BROKEN)
def test_a_broken_row_in_the_middle_is_named_or_skipped_and_counted(tmp_path, line, said):
    good = [json.dumps(row).encode() for row in standard(3)]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join([good[0], line, b"", *good[1:]]))
    with pytest.raises(UnweaveError, match=f"rows.jsonl {said}"):
        list(open_pairs(path))
    source = open_pairs(path, broken="skip")
    for _ in range(2):
        assert [pair.id for pair in source] == ["rows.jsonl:1", "rows.jsonl:4", "rows.jsonl:5"]
        assert source.broken.count == len(source.broken.examples) == 1


def test_the_first_rows_may_be_broken(tmp_path):
    source, pairs = read(
        tmp_path, [["no"], {"prompt": "a", "chosen": None, "rejected": "c"}, *standard(2)], broken="skip"
    )
    assert (len(pairs), source.broken.count) == (2, 2)


def test_a_broken_message_is_named(tmp_path):
    for bad, said in [
        ([{"role": "assistant"}], "column 'chosen' has the message .*give it 'role' and 'content'"),
        ([assistant(5)], "column 'chosen' has a message whose content is 5"),
        ("So.", "column 'chosen' is 'So.': a list of messages"),
        ([], "columns 'chosen' or 'rejected': has no message"),
    ]:
        with pytest.raises(UnweaveError, match=f"row 3 {said}"):
            read(tmp_path, [*conversational(2), {**conversational(1)[0], "chosen": bad}])


def test_files_that_hold_no_pairs_are_refused(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "wrong.parquet").write_text("text")
    (tmp_path / "folder").mkdir()
    for name, said in [
        ("empty.jsonl", "has no rows"),
        ("notes.txt", "is not a file of pairs .*use JSON lines"),
        ("wrong.parquet", "cannot be read as Parquet"),
        ("nothing", "does not exist"),
        ("folder", "holds no data file"),
    ]:
        with pytest.raises(UnweaveError, match=said):
            open_pairs(tmp_path / name)
    with pytest.raises(UnweaveError, match="broken is 'ignore'"):
        open_pairs(write_lines(tmp_path / "a.jsonl", standard(1)), broken="ignore")


def test_a_json_array_is_streamed_whatever_its_spacing(tmp_path):
    rows = standard(3000)
    for i, text in enumerate((json.dumps(rows), json.dumps(rows, indent=2), "\ufeff [\n" + json.dumps(rows)[1:])):
        path = tmp_path / f"{i}.json"
        path.write_text(text, encoding="utf-8")
        assert [pair.chosen for pair in open_pairs(path)] == [row["chosen"] for row in rows]
    path.write_text(json.dumps(rows)[:-40])
    with pytest.raises(UnweaveError, match=r"2\.json element 3000 is not valid JSON"):
        list(open_pairs(path))


def test_gzip_is_read_and_a_torn_one_refused(tmp_path):
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(packed := gzip.compress(b"\n".join(json.dumps(row).encode() for row in standard(500))))
    source = open_pairs(path)
    assert (source.split, source.describe().format) == ("train", ".jsonl.gz")
    assert len(list(source)) == 500
    path.write_bytes(packed[: len(packed) - 300])
    with pytest.raises(UnweaveError, match="ends too early"):
        list(open_pairs(path))


def test_parquet_rows_are_counted_and_keep_their_values(tmp_path):
    rows = [{**row, "score": i / 2, "tags": ["a"] * i, "none": None} for i, row in enumerate(conversational(700))]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=300)
    source = open_pairs(tmp_path / "a.parquet")
    pairs = list(source)
    assert source.rows == len(pairs) == 700
    assert pairs[699].extra == {"score": 349.5, "tags": ["a"] * 699, "none": None}
    assert pairs[699].id == "a.parquet:700"


def test_a_parquet_file_with_a_null_reply_has_a_broken_row(tmp_path):
    rows = [*standard(2), {"prompt": "a", "chosen": None, "rejected": "b"}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    with pytest.raises(UnweaveError, match=r"a\.parquet row 3 column 'chosen' is missing"):
        list(open_pairs(tmp_path / "a.parquet"))


def test_a_score_that_is_no_number_is_left_as_it_is(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c", "score": NaN}')
    assert math.isnan(next(iter(open_pairs(path))).extra["score"])
