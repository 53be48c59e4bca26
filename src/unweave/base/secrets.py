"""Keys and passwords that must not be written down: those of this process's environment, and what looks like one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

HIDDEN = "(hidden)"
_SHORTEST = 8
_WORDS = {"key", "keys", "apikey", "token", "secret", "password", "passwd", "passphrase", "credentials", "pat"}
# What keys look like wherever they stand: a vendor's prefix, a bearer token, a key in a URL or an assignment.
_LOOKS = (
    r"\b(?:sk|pk|rk|hf|ghp|gho|ghs|github_pat|glpat|xox[abprs]|AKIA|ASIA|AIza)[-_A-Za-z0-9]{12,}"
    r"|\bbearer\s+[^\s\"',;)]{8,}"
    r"|\b(?:api[_-]?key|token|secret|password)\s*[=:]\s*[^\s\"',;)]{6,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*"
    r"|//[^/\s:@]+:[^/\s@]+@"
)
_TEXT, _BYTES = re.compile(_LOOKS, re.IGNORECASE), re.compile(_LOOKS.encode(), re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a field or a variable of that name holds a secret: ``OPENAI_API_KEY``, ``token``, not ``tokens``."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return any(word.lower() in _WORDS for word in words) or name.lower() in ("authorization", "cookie", "pin")


def known_secrets(environment: Mapping[str, str] | None = None) -> list[str]:
    """The values of secret environment variables, the longest first."""
    found = (os.environ if environment is None else environment).items()
    values = {value.strip() for name, value in found if is_secret_name(name)}
    return sorted((value for value in values if len(value) >= _SHORTEST), key=lambda value: (-len(value), value))


def scrubbed(text: str) -> str:
    """``text`` without secrets: this environment's, and what looks like a key."""
    for secret in known_secrets():
        text = text.replace(secret, HIDDEN)
    return _TEXT.sub(HIDDEN, text)


def scrub_file(path: Path, secrets: Iterable[str] | None = None) -> bool:
    """Writes asterisks over secrets in a file, whose length and line ends stay; returns whether there were any."""
    try:
        with open(path, "rb+") as file:
            content = file.read()
            clean = content
            for secret in known_secrets() if secrets is None else secrets:
                value = secret.encode("utf-8", "surrogateescape")
                clean = clean.replace(value, b"*" * len(value))
            clean = _BYTES.sub(lambda match: b"*" * len(match[0]), clean)
            if clean != content:
                file.seek(0)
                file.write(clean)
            return clean != content
    except FileNotFoundError:
        return False
