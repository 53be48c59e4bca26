"""Text that a terminal shows and does not obey."""

from __future__ import annotations

import re

# Control characters but tab and newline, marks that reorder or hide the text around them, and lone surrogates.
_ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
_BREAKS = str.maketrans({"\n": "\\n", "\t": "\\t"})


def printable(text: str) -> str:
    """``text`` with escape sequences, other controls and reordering marks written out: ESC becomes ``\\x1b``.

    Token texts, labels and names come from models and files, and a terminal would obey the sequences in them (it can
    be told to change its title, its clipboard and what was printed before). Tabs and newlines stay.
    """
    return _ACTIVE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """``printable`` text whose tabs and newlines are written out too: a table's cell."""
    return printable(text).translate(_BREAKS)
