from __future__ import annotations

from itertools import pairwise

import pytest

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import Chapter, book_from_markdown, book_from_text, read_book, sliding_windows

GUTENBERG = """The Project Gutenberg eBook of A Tale. Do not read this.

*** START OF THE PROJECT GUTENBERG EBOOK A TALE ***

A TALE

CONTENTS

CHAPTER I. The Storm
CHAPTER II. The Calm

CHAPTER I. The Storm

It rained. Part of the roof
fell in.

Chapter and verse were quoted at length.

chapter two — The Calm

The sun came out.

THE END

*** END OF THE PROJECT GUTENBERG EBOOK A TALE ***

Send money. Thank you.
"""


def test_plain_text_is_read_by_chapter_without_what_gutenberg_adds(tmp_path):
    path = tmp_path / "tale.txt"
    path.write_text(GUTENBERG)
    book = read_book(path)
    assert book.title == "tale"
    assert book.chapters == (
        Chapter("", ("A TALE", "CONTENTS")),
        Chapter(
            "CHAPTER I. The Storm",
            ("It rained.", "Part of the roof fell in.", "Chapter and verse were quoted at length."),
        ),
        Chapter("chapter two — The Calm", ("The sun came out.",)),
    )
    assert book.sentences[2:4] == ("It rained.", "Part of the roof fell in.")


@pytest.mark.parametrize(
    "heading", ["CHAPTER 1", "Letter the Second", "Part IV: The Sea", "Stave One.", "PROLOGUE", "Act 2"]
)
def test_headings(heading):
    (chapter,) = book_from_text(f"{heading}\n\nHe went.").chapters
    assert chapter == Chapter(heading, ("He went.",))


@pytest.mark.parametrize(
    "line", ["Part of it was gone.", "Book me a seat, he said.", "Chapter", "The letter the second wrote."]
)
def test_lines_that_only_begin_like_headings_are_text(line):
    (chapter,) = book_from_text(f"{line}\n\nHe went.").chapters
    assert chapter.title == ""
    assert chapter.sentences == (line, "He went.")


MARKDOWN = """# The *Fox*

He saw **Dr. Fox**,
and [ran](http://x.y/z). It\\* was `late`.

- One. Two.

> Three.

```
Code. Is not read.
```

| a table | is not |
|---|---|
| Read. | Either. |

<!-- Nor. This. -->

Home
====

![A picture.](p.png) He slept.
"""


def test_markdown_is_read_as_what_it_shows(tmp_path):
    path = tmp_path / "fox.md"
    path.write_text(MARKDOWN)
    assert read_book(path).chapters == (
        Chapter("The Fox", ("He saw Dr. Fox, and ran.", "It* was late.", "One.", "Two.", "Three.")),
        Chapter("Home", ("He slept.",)),
    )


def test_what_is_no_book_is_refused(tmp_path):
    with pytest.raises(UnweaveError, match=r"ends in '\.pdf': save it as plain text \(\.txt\) or Markdown"):
        read_book(tmp_path / "a.pdf")
    with pytest.raises(UnweaveError, match=r"a\.txt: it does not exist"):
        read_book(tmp_path / "a.txt")
    with pytest.raises(UnweaveError, match=r"'empty' has no sentence"):
        book_from_text("CHAPTER I\n\n* * *", "empty")
    with pytest.raises(UnweaveError, match=r"'the text' has no sentence"):
        book_from_markdown("# Only a heading")


def test_windows_slide_by_the_stride_and_reach_the_end():
    sentences = [f"S{number}." for number in range(10)]
    windows = sliding_windows(sentences, 4, 3)
    assert [(window.start, window.stop) for window in windows] == [(0, 4), (3, 7), (6, 10)]
    assert windows[1].text == "S3. S4. S5. S6."
    assert [(window.start, window.stop) for window in sliding_windows(sentences, 4, 4)] == [(0, 4), (4, 8), (6, 10)]
    assert [(window.start, window.stop) for window in sliding_windows(sentences, 20, 5)] == [(0, 10)]


@pytest.mark.parametrize("count", range(1, 12))
def test_every_sentence_is_in_a_window_and_no_window_comes_twice(count):
    for length in range(1, 6):
        for stride in range(1, length + 1):
            windows = sliding_windows(["A."] * count, length, stride)
            starts = [window.start for window in windows]
            assert starts == sorted(set(starts))
            assert all(later - earlier <= stride for earlier, later in pairwise(starts))
            assert (starts[0], windows[-1].stop) == (0, count)
            assert all(window.stop - window.start == min(length, count) for window in windows)


@pytest.mark.parametrize(
    ("sentences", "length", "stride", "message"),
    [
        ([], 3, 1, "no sentences to slide over"),
        (["A."], 0, 1, "a window of 0 sentences"),
        (["A."], 3, 0, "stride 0 is not from 1"),
        (["A."], 3, 4, "stride 4 is not from 1 to the window's length, 3"),
    ],
)
def test_windows_that_would_skip_are_refused(sentences, length, stride, message):
    with pytest.raises(UnweaveError, match=message):
        sliding_windows(sentences, length, stride)
