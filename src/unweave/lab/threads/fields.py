"""What a field of an event may hold."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from unweave.base.errors import UnweaveError, nearest
from unweave.record.table import check_name

LONGEST = 200_000
_DIGEST = re.compile(r"[0-9a-f]{64}")


def text_field(value: Any, what: str, longest: int = LONGEST, empty: bool = False) -> None:
    """Refuses what is not text, too long, or (unless ``empty``) blank."""
    if not isinstance(value, str):
        raise UnweaveError(f"the {what} is {value!r}: give text")
    if not empty and not value.strip():
        raise UnweaveError(f"the {what} is empty: write it")
    if len(value) > longest:
        raise UnweaveError(f"the {what} has {len(value):,} characters, and {longest:,} is the most: shorten it")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnweaveError(f"the {what} is not valid Unicode ({error.reason}): remove those characters") from error


def id_field(value: Any, what: str) -> None:
    """Refuses what cannot be the id of a run, a thread or a row."""
    check_name(value, what)


def choice_field(value: Any, choices: Collection[str], what: str) -> None:
    """Refuses what is not one of ``choices``."""
    if value not in choices:
        raise UnweaveError(f"{value!r} is not a {what}; {nearest(str(value), choices, len(choices))}")


def digest_field(value: Any, what: str) -> None:
    """Refuses what is not a sha256 in hexadecimal."""
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise UnweaveError(f"{value!r} is not the sha256 of a {what}: give its 64 hexadecimal digits")


def json_field(value: Any, what: str, longest: int = LONGEST) -> dict[str, Any]:
    """A copy of ``value`` as plain JSON; refuses what is not a JSON object of bounded size."""
    if not isinstance(value, Mapping):
        raise UnweaveError(f"the {what} is {type(value).__name__}: give a JSON object")
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnweaveError(f"the {what} is not plain JSON ({error})") from error
    if len(text) > longest:
        raise UnweaveError(f"the {what} has {len(text):,} bytes as JSON, and {longest:,} is the most: shorten it")
    return json.loads(text)
