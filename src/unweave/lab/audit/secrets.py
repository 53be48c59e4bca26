"""Keys in texts that are passed on: blanked out by what keys look like."""

from __future__ import annotations

import re

# What common services prefix their keys with, a bearer's token, and a value given to something called a key.
_KEYS = re.compile(
    r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}"
    r"|\bhf_[A-Za-z0-9]{16,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\bAIza[0-9A-Za-z_-]{30,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    r"|(?<=Bearer )[A-Za-z0-9._~+/-]{12,}=*"
    r"|(?<=PRIVATE KEY-----)[^-]+"
    r"|(?i:(?<=api_key=)|(?<=token=)|(?<=password=)|(?<=secret=))[^\s\"'&,;]{6,}"
)


def without_keys(text: str) -> str:
    """``text`` with every key that looks like one replaced by ``[key]``."""
    return _KEYS.sub("[key]", text)
