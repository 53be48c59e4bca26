"""The novels' reader, on a package of two short novels made here in R's own format."""

from __future__ import annotations

import gzip
import struct
import sys
import zlib

import pytest

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import Chapter, read_austen

EMMA = ["EMMA", "", "By Jane Austen", "", "CHAPTER I", "", "Emma Woodhouse was rich. She", "was clever.", "", "FINIS"]
PERSUASION = ["Persuasion", "", "Chapter 1", "", "Sir Walter read.", "", "Chapter 2", "", "The sea; it was cold.", ""]
NULL, REFERENCE, SYMBOL, PAIRS, CHARACTERS, INTEGERS, STRINGS, LIST = 254, 255, 1, 2, 9, 13, 16, 19
HAS_ATTRIBUTES, HAS_TAG, UTF8 = 1 << 9, 1 << 10, 1 << 15


def integers(*values):
    return struct.pack(f">{len(values)}i", *values)


def text(value):
    data = value.encode()
    return integers(CHARACTERS | UTF8, len(data)) + data


def strings(values):
    return integers(STRINGS, len(values)) + b"".join(map(text, values))


def named(symbol, **values):
    """A list with names, each value already serialised; ``symbol`` is the tag of the attribute."""
    body = integers(LIST | HAS_ATTRIBUTES, len(values)) + b"".join(values.values())
    return body + integers(PAIRS | HAS_TAG) + symbol + strings(list(values)) + integers(NULL)


NAMES, NAMES_AGAIN = integers(SYMBOL) + text("names"), integers(1 << 8 | REFERENCE)
"""A symbol is written out once, and then called by its number."""


def serialised(value):
    return b"X\n" + integers(2, 0x40201, 0x20300) + value


@pytest.fixture
def package(tmp_path):
    data = tmp_path / "janeaustenr" / "data"
    data.mkdir(parents=True)
    values, places = b"", {}
    for name, lines in {"emma": EMMA, "persuasion": PERSUASION}.items():
        raw = serialised(strings(lines))
        packed = struct.pack(">I", len(raw)) + zlib.compress(raw)
        places[name] = integers(INTEGERS, 2, len(values), len(packed))
        values += packed
    (data / "Rdata.rdb").write_bytes(values)
    write_index(data.parent, named(NAMES_AGAIN, variables=named(NAMES, **places)))
    return data.parent


def write_index(package, value):
    (package / "data" / "Rdata.rdx").write_bytes(gzip.compress(serialised(value)))


@pytest.fixture
def rdata():
    return pytest.importorskip("rdata")


@pytest.mark.usefixtures("rdata")
def test_a_novel_is_read_without_its_title_page_and_end(package):
    emma = read_austen("emma", package)
    assert emma.title == "Emma"
    assert emma.chapters == (Chapter("CHAPTER I", ("Emma Woodhouse was rich.", "She was clever.")),)
    assert [chapter.title for chapter in read_austen("persuasion", package).chapters] == ["Chapter 1", "Chapter 2"]


@pytest.mark.usefixtures("rdata")
def test_an_unknown_novel_is_refused_with_the_nearest(package):
    with pytest.raises(UnweaveError, match=r"novel 'ema' is not in .*data; nearest: 'emma'"):
        read_austen("ema", package)


@pytest.mark.usefixtures("rdata")
def test_damaged_files_are_refused(package):
    values = (package / "data" / "Rdata.rdb").read_bytes()
    (package / "data" / "Rdata.rdb").write_bytes(values[:60])
    with pytest.raises(UnweaveError, match=r"data is damaged .*apt-get"):
        read_austen("emma", package)
    write_index(package, strings(["variables"]))
    with pytest.raises(UnweaveError, match=r"Rdata.rdx does not say where the novels are"):
        read_austen("emma", package)
    (package / "data" / "Rdata.rdx").write_bytes(b"not gzip")
    with pytest.raises(UnweaveError, match=r"data is damaged"):
        read_austen("emma", package)


def test_a_missing_package_is_refused_with_the_commands_that_fetch_it(tmp_path):
    with pytest.raises(
        UnweaveError, match=r"Rdata\.rdx does not exist.*apt-get install r-cran-janeaustenr.*dpkg-deb -x"
    ):
        read_austen(path=tmp_path)


def test_a_missing_extra_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdata", None)
    with pytest.raises(UnweaveError, match=r"needs rdata: pip install 'unweave\[austen\]'"):
        read_austen("emma", package)
