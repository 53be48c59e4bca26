from __future__ import annotations

import itertools
import json
import random
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.corpora import PARTS, Corpus, load_corpus, read_corpus
from unweave.corpora.splits import LEAST_CHARACTERS, SHARES, Piece, assign, paragraphs

if TYPE_CHECKING:
    from pathlib import Path


def prose(label: str, blocks: int, seed: int = 0) -> str:
    chooser = random.Random(f"{label} {seed}")
    words = [f"{label}{number}" for number in range(200)]
    return "\n\n".join(
        f"{number} " + " ".join(chooser.choices(words, k=30)) + f" end of {label} {seed}." for number in range(blocks)
    )


def put(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    put(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def shares(corpus: Corpus, label: str) -> dict[str, float]:
    sizes = {part: corpus.characters(part, label) for part in PARTS}
    return {part: size / sum(sizes.values()) for part, size in sizes.items()}


def no_paragraph_in_two_parts(corpus: Corpus) -> bool:
    part_of: dict[str, str] = {}
    return all(
        part_of.setdefault(" ".join(paragraph.split()), part) == part
        for part in PARTS
        for label in corpus.labels(part)
        for text in corpus.documents(part, label)
        for paragraph in paragraphs(text)
    )


@pytest.fixture
def folders(tmp_path) -> Path:
    for label, suffix in (("legal", "txt"), ("medical", "md")):
        for number in range(40):
            put(tmp_path / label / f"{number:02d}.{suffix}", prose(label, 4, number))
    put(tmp_path / ".hidden" / "x.txt", "hidden")
    put(tmp_path / "legal" / "__pycache__" / "x.pyc", b"\xff\x00")
    return tmp_path


def test_folder_of_label_folders_keeps_documents_whole(folders):
    corpus = read_corpus(folders)
    assert corpus.labels() == ("legal", "medical")
    assert corpus.name == folders.name
    read = {text for part in PARTS for text in corpus.documents(part, "legal")}
    assert read == {prose("legal", 4, number) for number in range(40)}
    for label in corpus.labels():
        assert all(SHARES[part] / 2 <= share <= SHARES[part] * 2 for part, share in shares(corpus, label).items())


def test_the_seed_alone_decides_the_split(folders):
    assert read_corpus(folders, seed=3).fingerprint() == read_corpus(folders, seed=3).fingerprint()
    assert read_corpus(folders, seed=3).fingerprint() != read_corpus(folders, seed=4).fingerprint()
    assert load_corpus(str(folders), seed=3).fingerprint() == read_corpus(folders, seed=3).fingerprint()


def test_nested_files_belong_to_the_top_label(folders):
    put(folders / "legal" / "deeper" / "below.txt", prose("deeper", 4))
    assert any("end of deeper" in text for part in PARTS for text in read_corpus(folders).documents(part, "legal"))


def test_one_file_per_label_is_cut_into_contiguous_blocks(tmp_path):
    for label in ("de", "nl"):
        put(tmp_path / f"{label}.txt", prose(label, 200))
    corpus = load_corpus(tmp_path)
    assert corpus.labels() == ("de", "nl")
    for label in corpus.labels():
        found = shares(corpus, label)
        assert all(abs(found[part] - SHARES[part]) < 0.02 for part in PARTS)
        blocks = [corpus.documents(part, label)[0] for part in PARTS]
        assert all(block in prose(label, 200) for block in blocks)
        assert sorted(p for block in blocks for p in paragraphs(block)) == sorted(paragraphs(prose(label, 200)))


@pytest.mark.parametrize("joint", ["\n", " ", ""])
def test_a_text_without_paragraphs_is_cut_at_the_best_border_there_is(tmp_path, joint):
    for label in ("a", "b"):
        sentences = [f"{label} word{number:04d} and so on and on." for number in range(300)]
        put(tmp_path / f"{label}.txt", joint.join(sentences))
    corpus = read_corpus(tmp_path)
    for part in PARTS:
        (text,) = corpus.documents(part, "a")
        assert abs(shares(corpus, "a")[part] - SHARES[part]) < 0.02
        assert text.strip().startswith("a word")
        assert text.strip().endswith("on.")


def test_a_few_short_documents_are_cut_as_little_as_possible(tmp_path):
    for label in ("a", "b"):
        for number in range(8):
            put(tmp_path / label / f"{number}.txt", prose(label, 2, number))
    corpus = read_corpus(tmp_path)
    blocks = [text for part in PARTS for text in corpus.documents(part, "a")]
    assert all(corpus.labels(part) == ("a", "b") for part in PARTS)
    assert len(blocks) <= 8 + 4
    assert len({prose("a", 2, number) for number in range(8)} & set(blocks)) >= 4


def test_short_documents_beside_a_long_one_stay_whole(tmp_path):
    notes = {label: [f"{label} note {number:02d} " + "word " * 17 for number in range(40)] for label in ("a", "b")}
    rows = [{"label": label, "text": text} for label in notes for text in [prose(label, 200), *notes[label]]]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    for label, seed in itertools.product(notes, range(5)):
        corpus = read_corpus(path, seed)
        blocks = {text for part in PARTS for text in corpus.documents(part, label)}
        assert blocks >= set(notes[label])
        assert len(blocks) == 40 + 5


def test_jsonl_rows(tmp_path):
    rows = [{"label": label, "text": prose(label, 3, n)} for label in "ab" for n in range(30)]
    corpus = read_corpus(write_jsonl(tmp_path / "rows.jsonl", rows))
    assert corpus.name == "rows"
    assert corpus.labels() == ("a", "b")
    assert sum(len(corpus.documents(part, "a")) for part in PARTS) == 30


def test_jsonl_rows_of_a_document_stay_together(tmp_path):
    rows = [{"label": label, "text": prose(label, 1, n), "document": n // 3} for label in "ab" for n in range(90)]
    corpus = read_corpus(write_jsonl(tmp_path / "rows.jsonl", rows))
    documents = [text for part in PARTS for text in corpus.documents(part, "b")]
    assert len(documents) == 30
    assert "\n".join(prose("b", 1, n) for n in (3, 4, 5)) in documents


def test_named_parts_are_honoured(tmp_path):
    for label in ("de", "nl"):
        put(tmp_path / label / "book.txt", prose(label, 100))
        put(tmp_path / "evaluation" / label / "held.txt", prose(f"held {label}", 2))
    corpus = read_corpus(tmp_path)
    assert corpus.labels() == ("de", "nl")
    assert corpus.documents("evaluation", "de") == (prose("held de", 2),)
    assert all(corpus.labels(part) == ("de", "nl") for part in PARTS)
    assert not any("held" in text for part in PARTS[:-1] for text in corpus.documents(part, "de"))


def test_named_parts_may_be_all_there_is(tmp_path):
    rows = [{"label": x, "text": f"{x} {part}", "part": part} for x in "ab" for part in ("tuning", "evaluation")]
    corpus = read_corpus(write_jsonl(tmp_path / "rows.jsonl", rows))
    assert corpus.labels("decomposition") == ()
    assert corpus.documents("tuning", "b") == ("b tuning",)
    for label in "ab":
        put(tmp_path / "folder" / "selection" / f"{label}.txt", f"only {label}")
    assert read_corpus(tmp_path / "folder").documents("selection", "a") == ("only a",)


def test_repeated_paragraphs_stay_in_one_part(folders):
    notice = "All rights reserved by somebody or other."
    for file in (folders / "legal").glob("*.txt"):
        put(file, notice + "\n\n" + file.read_text())
    corpus = read_corpus(folders)
    assert no_paragraph_in_two_parts(corpus)
    holders = [part for part in PARTS if any(notice in text for text in corpus.documents(part, "legal"))]
    assert holders == ["evaluation"]


def test_repeated_documents_count_once(folders):
    put(folders / "legal" / "copy.txt", prose("legal", 4, 7) + "\n")
    documents = [text.strip() for part in PARTS for text in read_corpus(folders).documents(part, "legal")]
    assert documents.count(prose("legal", 4, 7)) == 1
    assert len(documents) == 40


def test_a_document_named_into_two_parts_is_refused(tmp_path):
    for part in ("training", "evaluation"):
        put(tmp_path / part / "de" / "x.txt", "The same document.")
        put(tmp_path / part / "nl" / "x.txt", f"Another one for {part}.")
    with pytest.raises(UnweaveError, match=r"'The same document\.' stands in the evaluation and in the training part"):
        read_corpus(tmp_path)


def test_a_document_under_two_labels_is_refused(folders):
    put(folders / "medical" / "copy.md", prose("legal", 4, 7))
    with pytest.raises(UnweaveError, match="stands under the labels 'legal' and 'medical'"):
        read_corpus(folders)


def test_code_keeps_its_lines_and_indentation(tmp_path):
    for suffix in ("py", "c"):
        functions = [f"{suffix} function_{n}():\n    first = {n}\n    return first\n" for n in range(120)]
        put(tmp_path / suffix / f"all.{suffix}", "\n\n".join(functions).replace("\n", "\r\n"))
    corpus = read_corpus(tmp_path)
    for part in PARTS:
        (text,) = corpus.documents(part, "py")
        assert re.fullmatch(r"(py function_\d+\(\):\n    first = \d+\n    return first(\n{3}|\Z))+", text)


def test_byte_order_mark_is_dropped(tmp_path):
    put(tmp_path / "a.txt", b"\xef\xbb\xbf" + prose("a", 60).encode())
    put(tmp_path / "b.txt", prose("b", 60))
    assert not any("\ufeff" in text for part in PARTS for text in read_corpus(tmp_path).documents(part, "a"))


def test_bytes_that_are_not_text_name_file_and_offset(folders):
    put(folders / "legal" / "bad.txt", b"Stra\xdfe")
    with pytest.raises(UnweaveError, match=r"bad\.txt is not UTF-8 text: byte 0xdf at offset 4"):
        read_corpus(folders)
    put(folders / "legal" / "bad.txt", b"ab\0c")
    with pytest.raises(UnweaveError, match=r"bad\.txt is not text: a zero byte at offset 2"):
        read_corpus(folders)


def test_layouts_that_cannot_be_meant_are_refused(tmp_path):
    with pytest.raises(UnweaveError, match="nothing does not exist: use a folder"):
        read_corpus(tmp_path / "nothing")
    with pytest.raises(UnweaveError, match="holds no text"):
        read_corpus(tmp_path)
    put(tmp_path / "a.txt", prose("a", 60))
    with pytest.raises(UnweaveError, match=r"a\.txt is a single file"):
        read_corpus(tmp_path / "a.txt")
    with pytest.raises(UnweaveError, match="only the label 'a', and a contrast needs at least two"):
        read_corpus(tmp_path)
    put(tmp_path / "b.txt", " \n")
    with pytest.raises(UnweaveError, match=r"label 'b' of .* has no text"):
        read_corpus(tmp_path)
    (tmp_path / "c").mkdir()
    with pytest.raises(UnweaveError, match=r"mixes label folders \(c\) and files \(a\.txt\)"):
        read_corpus(tmp_path)


def test_folders_that_look_like_parts_are_not_taken_for_labels(tmp_path):
    for part in ("train", "test"):
        put(tmp_path / part / "de" / "x.txt", prose(part, 60))
    with pytest.raises(UnweaveError, match="looks like a part: rename it to one of decomposition"):
        read_corpus(tmp_path)
    put(tmp_path / "other" / "de" / "evaluation" / "x.txt", prose("de", 60))
    put(tmp_path / "other" / "nl" / "x.txt", prose("nl", 60))
    with pytest.raises(UnweaveError, match="has its part below its label"):
        read_corpus(tmp_path / "other")


def test_an_empty_label_folder_is_refused(folders):
    (folders / "empty").mkdir()
    with pytest.raises(UnweaveError, match=r"label 'empty' of .* has no text"):
        read_corpus(folders)


def test_too_little_text_is_refused(tmp_path):
    put(tmp_path / "a.txt", prose("a", 60))
    put(tmp_path / "b.txt", "Too short.")
    with pytest.raises(UnweaveError, match="label 'b' has 10 characters to be split into parts, and at least 2000"):
        read_corpus(tmp_path)
    put(tmp_path / "b.txt", "The same line again and again.\n" * 400)
    with pytest.raises(UnweaveError, match="label 'b' has too little text of its own for the decomposition part"):
        read_corpus(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not valid JSON"),
        ("[1]", "line 2 is list, not an object"),
        ('{"text": "x"}', "line 2: 'label' must be a non-empty string, and is None"),
        ('{"label": "a", "text": 3}', "line 2: 'text' must be a non-empty string, and is 3"),
        ('{"label": "a", "text": "x", "part": "test"}', "line 2: part 'test' is not one of the parts"),
        ('{"label": "a", "text": "\\ud83d"}', "line 2: 'text' has half of a surrogate pair"),
        ('{"label": "a", "text": "x", "document": 1, "part": "tuning"}', "line 2: document '1' stands in two parts"),
    ],
)
def test_bad_jsonl_names_the_line(tmp_path, line, message):
    put(tmp_path / "rows.jsonl", '{"label": "a", "text": "fine", "document": 1}\n' + line + "\n")
    with pytest.raises(UnweaveError, match=message):
        read_corpus(tmp_path / "rows.jsonl")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(0, 5))
def test_every_paragraph_ends_in_exactly_one_part(sizes, seed):
    documents = {label: [prose(label, size, n) for n, size in enumerate(sizes)] for label in ("x", "y")}
    if sum(map(len, documents["x"])) < LEAST_CHARACTERS:
        return
    parts = assign({label: [Piece(text) for text in texts] for label, texts in documents.items()}, seed)
    for label, texts in documents.items():
        words = [word for text in texts for word in text.split()]
        dealt = [word for part in PARTS for text in parts[part][label] for word in text.split()]
        assert sorted(dealt) == sorted(words)
        assert all(parts[part][label] for part in PARTS)
    assert no_paragraph_in_two_parts(Corpus("c", parts))
