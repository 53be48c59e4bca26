from __future__ import annotations

import pytest

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import parse_stories, read_stories

GOOD = """# My stories.
story: one
title: The Fox: a Tale
arc: fall-rise
topic: forest
protagonist: Ada

-0.7 sadness=0.7 fear=.3 | Ada sat alone: story: none | nobody came.
  1 happiness=1 |   Then they came.
# Between two stories.
story: two
title: Two
topic: sea
kind: neutral
source: one
0 | A boat lay there.
"""


def test_a_file_is_read_as_the_format_says(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("\ufeff" + GOOD.replace("\n", "\r\n"), "utf-8")
    one, two = read_stories(path)
    assert (one.id, one.title, one.arc, one.topic, one.kind) == ("one", "The Fox: a Tale", "fall-rise", "forest", "arc")
    assert (one.source_id, one.protagonist) == (None, "Ada")
    assert [sentence.text for sentence in one.sentences] == [
        "Ada sat alone: story: none | nobody came.",
        "Then they came.",
    ]
    assert one.valence.tolist() == [-0.7, 1.0]
    assert one.sentences[0].emotions == {
        "surprise": 0, "disgust": 0, "anger": 0, "happiness": 0, "sadness": 0.7, "fear": 0.3
    }  # fmt: skip
    assert (two.arc, two.kind, two.source_id, two.protagonist) == (None, "neutral", "one", "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-0.7 ", "-1.7 ", r"line 8: valence is -1.7: give a number from -1 to 1"),
        ("-0.7 ", "nan ", r"line 8: valence is nan: give a number from -1 to 1"),
        ("-0.7 ", "bad ", r"line 8: valence is 'bad', which is no number; write one, such as 0.3"),
        ("-0.7 sadness=0.7 fear=.3 ", "", r"line 8: there is no valence before the bar"),
        ("fear=.3", "fear=1.3", r"line 8: fear is 1.3: give a number from 0 to 1"),
        ("fear=.3", "fear", r"line 8: 'fear' is not an emotion and its level"),
        ("fear=.3", "fears=.3", r"line 8: emotion 'fears' is not one of the six; nearest: 'fear'"),
        ("fear=.3", "sadness=.3", r"line 8: 'sadness' is given twice"),
        ("   Then they came.", "", r"line 9: a sentence has no text"),
        ("arc: fall-rise", "arc: fall-rises", r"line 2: arc 'fall-rises' is not one of the six; nearest: 'fall-rise'"),
        ("kind: neutral", "kind: neutrl", r"line 11: kind 'neutrl' is not a kind of story; nearest: 'neutral'"),
        ("topic: forest", "topik: forest", r"line 5: 'topik' is not a name that a story has; nearest: 'topic'"),
        ("topic: forest", "topic:", r"line 5: 'topic' has no value"),
        ("topic: forest", "title: Again", r"line 5: 'title' is given twice in one story"),
        ("topic: forest\n", "", r"line 2: story 'one' has no topic; add a line 'topic: ...'"),
        ("title: Two\n", "", r"line 11: story 'two' has no title"),
        ("story: two", "story: one", r"line 11: there are two stories 'one'"),
        ("story: one\n", "", r"line 2: 'title: The Fox: a Tale' stands before the first story"),
        ("0 | A boat", "0 A boat", r"line 16: '0 A boat lay there.' is neither 'name: value' nor a sentence"),
        ("0 | A boat lay there.", "", r"line 11: story 'two' has no sentences"),
        ("# Between", "protagonist: Bea\n#", r"line 10: 'protagonist' comes after sentences; put it above them"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line_and_a_remedy(old, new, message):
    assert GOOD.count(old) == 1
    with pytest.raises(UnweaveError, match="mine.txt " + message):
        parse_stories(GOOD.replace(old, new), "mine.txt")


def test_files_that_hold_no_story_are_refused(tmp_path):
    path = tmp_path / "x.txt"
    with pytest.raises(UnweaveError, match=r"x\.txt: it does not exist"):
        read_stories(path)
    path.write_text("# nothing yet\n")
    with pytest.raises(UnweaveError, match=r"x\.txt holds no story: begin one with a line 'story: ID'"):
        read_stories(path)
    path.write_bytes(b"story: a\xff")
    with pytest.raises(UnweaveError, match=r"not UTF-8 text: byte 0xff at offset 8"):
        read_stories(path)
