"""Preference pairs: a conversation and two replies to it, one of which somebody preferred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: str
    """``system``, ``user``, ``assistant``, or whatever the data calls it."""
    content: str


@dataclass(frozen=True)
class PreferencePair:
    """A conversation up to the reply, the reply that was preferred, and the one that was not."""

    id: str
    """The data's own id, else ``<file>:<row>``; names the row in every table."""
    prompt: tuple[Turn, ...]
    chosen: str
    rejected: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The data's other columns, as they are."""
