from __future__ import annotations

import json

import pytest
from pair_files import standard, write_lines

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs import PreferencePair, Turn, check_pairs, open_pairs
from unweave.corpora.pairs.lengths import ends

GERMAN = "Der Löwe ist eine große Katze, die in Afrika lebt und in Rudeln jagt."
ENGLISH = "The lion is a large cat that lives in Africa and hunts together with its pride."


def pair(id, prompt="Why?", chosen="So it is.", rejected="It is not so."):
    return PreferencePair(id, (Turn("user", prompt),), chosen, rejected)


def good(count, start=0):
    return [pair(f"g{i}", f"What is {i}?", f"It is {i}, of course.", f"Not {i}.") for i in range(start, start + count)]


def found(pairs, **options):
    return {each.kind: each for each in check_pairs(pairs, **options).problems}


def test_a_clean_dataset_has_no_problem():
    report = check_pairs(good(40))
    assert (report.problems, report.passed, report.rows, report.prompts) == ((), True, 40, 40)
    assert report.lines()[-1] == "No problem was found."


def test_rows_that_repeat_others_are_told_apart():
    rows = [
        pair("a"),
        pair("b"),
        pair("c", chosen="It is not so.", rejected="So it is."),
        pair("d", chosen="Another."),
        pair("e", prompt=" WHY?\n", chosen="Yet another."),
        pair("a", prompt="Where?"),
    ]
    problems = found(rows)
    assert {kind: each.examples for kind, each in problems.items()} == {
        "contradiction": ("c",),
        "duplicate": ("b",),
        "repeated id": ("a",),
        "repeated prompt": ("d", "e"),
    }
    assert check_pairs(rows).prompts == 2
    assert [problems[kind].severity for kind in ("contradiction", "duplicate", "repeated prompt")] == [
        "error", "warning", "note",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (pair("x", chosen="It is.", rejected="It is."), "identical replies"),
        (pair("x", chosen=" \n"), "empty reply"),
        (pair("x", rejected=""), "empty reply"),
        (pair("x", prompt=" "), "empty prompt"),
        (pair("x", rejected="A bell\x07."), "control character"),
        (pair("x", prompt="Next\x85line?"), "control character"),
        (pair("x", chosen="Caf\ufffd."), "broken Unicode"),
        (pair("x", prompt="Half \ud83d?"), "broken Unicode"),
        (pair("x", chosen=GERMAN, rejected=ENGLISH), "two languages"),
    ],
)
def test_a_fault_of_one_row_is_found_and_no_other(bad, kind):
    problems = found([*good(20), bad, *good(20, 20)])
    assert {name: (each.count, each.examples) for name, each in problems.items()} == {kind: (1, ("x",))}


def test_tabs_line_breaks_emoji_and_other_scripts_are_no_fault():
    assert found([pair("x", "Cómo\té?\r\n", "好。\n\n- 👩‍👩‍👧", "मैं हूँ।")]) == {}


def test_problems_are_counted_whole_and_shown_by_a_few_the_worst_first():
    report = check_pairs(
        [*good(3), *(pair(f"x{i}", f"Where is {i}?", rejected="") for i in range(9)), pair("y"), pair("y")]
    )
    assert [(each.kind, each.count) for each in report.problems] == [
        ("empty reply", 9), ("duplicate", 1), ("repeated id", 1),
    ]  # fmt: skip
    assert report.problems[0].examples == tuple(f"x{i}" for i in range(5))
    assert not report.passed


def cut(count, length):
    return [pair(f"c{i}", f"Tell {i}.", rejected=("word " * length)[: 5 * length - 1 - i % 3]) for i in range(count)]


def test_replies_cut_off_at_a_shared_maximum_are_found():
    problems = found([*good(60), *cut(8, 48)])
    assert set(problems) == {"rejected reply cut off"}
    cut_off = problems["rejected reply cut off"]
    assert cut_off.count == 8
    assert set(cut_off.examples) <= {f"c{i}" for i in range(8)}
    assert "239 characters and 48 words" in cut_off.meaning


def test_one_long_reply_or_text_without_end_marks_is_not_cut_off():
    assert found([*good(60), *cut(1, 48)]) == {}
    bare = [pair(f"b{i}", f"Tell {i}.", "yes", "no") for i in range(60)]
    assert found(bare) == {}
    ended = [pair(f"e{i}", f"Tell {i}.", rejected="word " * 48 + ".") for i in range(9)]
    assert found([*good(60), *ended]) == {}


@pytest.mark.parametrize(
    "text", ["Yes.", "Yes!**", 'He said "no."', "```\ncode\n```", "| a | b |", "好。", "Hi 😀", "", "(so)"]
)
def test_these_texts_have_an_end(text):
    assert ends(text)
    assert not ends(f"{text} and then")


def test_lengths_and_the_share_of_longer_chosen_replies():
    rows = [pair(str(i), f"Tell {i}.", "one two three.", "one.") for i in range(30)]
    rows += [pair(f"s{i}", f"Say {i}.", "one.", "one two.") for i in range(10)]
    rows += [pair(f"e{i}", f"Ask {i}.", "ten.", "one.") for i in range(5)]
    report = check_pairs(rows)
    assert report.longer_chosen is not None
    assert (report.longer_chosen.mean, report.longer_chosen.n) == (0.75, 40)
    assert 0.58 < report.longer_chosen.low < 0.75 < report.longer_chosen.high < 0.87
    mean, median, high, largest = report.chosen.words
    assert (mean, median, high, largest) == (pytest.approx((90 + 15) / 45), 3, 3, 3)
    assert report.rejected.characters[3] == 8
    assert check_pairs(rows[-5:]).longer_chosen is None


def test_leaks_are_found_whatever_the_case_white_space_and_system_turn():
    system = (Turn("system", "Be brief."), Turn("user", "what  is 3?"))
    others = [
        [PreferencePair("o", system, "another reply.", "it is 3, OF course."), *good(1, 5)],
        good(5, 100),
    ]
    report = check_pairs(good(10), others)
    assert [(leak.prompts, leak.replies) for leak in report.leaks] == [(2, 2), (0, 0)]
    assert {each.kind: each.examples for each in report.problems} == {"reply also in other dataset 1": ("g3", "g5")}
    report = check_pairs(good(10), [[pair("o", "What is 4?", "New.", "Other.")]])
    assert [(each.kind, each.severity) for each in report.problems] == [("prompt also in other dataset 1", "warning")]
    assert (report.leaks[0].prompts, report.leaks[0].replies) == (1, 0)


def test_the_language_sample_is_drawn_over_the_whole_and_told_to_be_one(monkeypatch):
    monkeypatch.setattr("unweave.corpora.pairs.check.LANGUAGE_SAMPLE", 40)
    rows = [pair(str(i), f"Tell {i}.", GERMAN if i % 2 else ENGLISH, ENGLISH) for i in range(200)]
    sample = check_pairs(rows).languages
    assert sample.rows == 40
    assert dict(sample.rejected) == {"en": 40}
    assert sample.chosen["de"] + sample.chosen["en"] == 40
    assert 10 <= sample.chosen["de"] <= 30
    assert sample.differing == sample.chosen["de"]
    assert check_pairs(rows).languages == sample
    assert found(rows, seed=1)["two languages"].examples != found(rows)["two languages"].examples


def test_short_replies_are_given_no_language():
    assert dict(check_pairs(good(3)).languages.rejected) == {"too short": 3}


def test_broken_rows_are_reported_with_what_is_wrong(tmp_path):
    path = write_lines(tmp_path / "rows.jsonl", [*standard(3), ["no"], {"prompt": "a"}])
    report = check_pairs(open_pairs(path, broken="skip"))
    (problem,) = report.problems
    assert (problem.kind, problem.severity, problem.count, report.rows) == ("broken row", "error", 2, 3)
    assert "rows.jsonl row 5 column 'chosen' is missing" in problem.examples[1]
    assert report.source is not None
    assert report.source.layout == "standard"
    with pytest.raises(UnweaveError, match="row 4 is list"):
        check_pairs(open_pairs(path))


def test_the_report_is_json_and_names_its_rows_for_a_person(tmp_path):
    path = write_lines(tmp_path / "rows.jsonl", [*standard(3), {**standard(1)[0], "rejected": " "}])
    other = write_lines(tmp_path / "other.jsonl", standard(1))
    report = check_pairs(open_pairs(path), [open_pairs(other)])
    told = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert told["passed"] is False
    assert {each["kind"]: each["examples"] for each in told["problems"]}["empty reply"] == ["rows.jsonl:4"]
    assert told["source"]["columns"]["prompt"] == "prompt"
    text = "\n".join(report.lines())
    assert "error: 1 × empty reply: chosen or rejected holds nothing but white space\n    rows.jsonl:4" in text
    assert "languages of 4 rows drawn at random" in text
    assert f"also in {other}, split other: 2 prompts, 2 prompts with a reply" in text


def test_nothing_to_check_is_refused():
    with pytest.raises(UnweaveError, match="there is no pair to check"):
        check_pairs([])
