"""The novels of Jane Austen from the Debian package ``r-cran-janeaustenr``, read without R."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError, first_line, nearest, oserror_line
from unweave.corpora.stories.book import Book, book_from_text

SITE_LIBRARY = Path("/usr/lib/R/site-library/janeaustenr")
_FETCH = (
    "install it with `apt-get install r-cran-janeaustenr`, or, without R, run `apt-get download r-cran-janeaustenr` "
    "and `dpkg-deb -x r-cran-janeaustenr_*.deb FOLDER`, and give FOLDER/usr/lib/R/site-library/janeaustenr as the path"
)
_TITLES = {
    "emma": "Emma",
    "mansfieldpark": "Mansfield Park",
    "northangerabbey": "Northanger Abbey",
    "persuasion": "Persuasion",
    "prideprejudice": "Pride and Prejudice",
    "sensesensibility": "Sense and Sensibility",
}


def read_austen(novel: str = "northangerabbey", path: str | os.PathLike[str] = SITE_LIBRARY) -> Book:
    """A novel, by the package's name for it, as chapters of sentences; all six are in the public domain.

    The title page and the publisher's notes are left out. ``path`` is the package's folder, below which its novels lie
    in R's lazy-load format: ``data/Rdata.rdx``, which says where each lies, and ``data/Rdata.rdb``, the novels as
    vectors of lines. Needs the extra ``austen``. Raises ``UnweaveError`` where the package or the extra is missing, for
    a novel it lacks, and for damaged files.
    """
    folder = Path(path).expanduser() / "data"
    if not (folder / "Rdata.rdx").is_file():
        raise UnweaveError(f"{folder / 'Rdata.rdx'} does not exist, so the novels are not there: {_FETCH}")
    index, values = _read(folder / "Rdata.rdx"), _read(folder / "Rdata.rdb")
    places = _unserialised(index, folder)
    variables = places.get("variables") if isinstance(places, dict) else None
    if not isinstance(variables, dict):
        raise UnweaveError(f"{folder / 'Rdata.rdx'} does not say where the novels are: {_FETCH}")
    if novel not in variables:
        raise UnweaveError(f"novel {novel!r} is not in {folder}; {nearest(novel, map(str, variables))}")
    start, length = (int(number) for number in variables[novel])
    # Four bytes say how long the value is when unpacked.
    lines = _unserialised(values[start + 4 : start + length], folder)
    book = book_from_text("\n".join(map(str, lines)), _TITLES.get(novel, novel))
    return Book(book.title, tuple(chapter for chapter in book.chapters if chapter.title.lower().startswith("chapter")))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise oserror_line(error, path) from error


def _unserialised(packed: bytes, folder: Path) -> Any:
    try:
        import rdata  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise UnweaveError("reading R's files needs rdata: pip install 'unweave[austen]'") from error
    try:
        data = zlib.decompress(packed, wbits=zlib.MAX_WBITS | 32)  # zlib or gzip
        return rdata.conversion.convert(rdata.parser.parse_data(data, extension=".rds"))
    except Exception as error:  # of many types: the parser asserts and indexes as it goes
        raise UnweaveError(f"{folder} is damaged ({first_line(error)}): {_FETCH}") from error
