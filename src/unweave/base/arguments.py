"""Reading a command line: refusals in one line with the nearest names, and the kinds of value options take."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from unweave.base.errors import UnweaveError, nearest

_CHOICE = re.compile(r"argument (\S+): invalid choice: '([^']*)' \(choose from (.*)\)")
_WORD = r"[\w-]+"


class Parser(argparse.ArgumentParser):
    """argparse that takes no abbreviations and raises ``UnweaveError`` instead of printing its usage and exiting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        choice = _CHOICE.match(message)
        if choice:
            name, value, listed = choice.groups()
            message = f"{name.lower()} {value!r} is not known; {nearest(value, re.findall(_WORD, listed))}"
        raise UnweaveError(f"{message} (see `{self.prog} --help`)")


def names(text: str) -> list[str]:
    """``en,de`` as a list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def count(text: str) -> int:
    """A whole number above 0."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def whole(text: str) -> int:
    """A whole number, 0 included."""
    return 0 if text == "0" else count(text)
