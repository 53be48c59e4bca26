"""What is made once and kept, whoever asks first."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, TypeVar

Value = TypeVar("Value")


@dataclass
class _Slot:
    lock: RLock = field(default_factory=RLock)
    value: Any = None
    made: bool = False
    stamp: Hashable = None


class Kept:
    """Values by name, each made when it is first asked for; several threads may ask at once."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}
        self._adding = RLock()

    def kept(self, name: str, make: Callable[[], Value], stamp: Hashable = None) -> Value:
        """What ``make`` returned when first asked for ``name``; others that ask meanwhile wait for it.

        With another ``stamp`` it is made anew. A failure is not kept, so that what was missing can be put in its place.
        """
        with self._adding:
            slot = self._slots.setdefault(name, _Slot())
        with slot.lock:
            if not slot.made or slot.stamp != stamp:
                slot.value, slot.made, slot.stamp = make(), True, stamp
            return slot.value
