"""Which columns a planted fault shows in: for scoring only, never for predicting."""

from __future__ import annotations

FAULT_COLUMNS = {
    "invented-urls": ("urls",),
    "rejected-refusals": ("refusal",),
    "physics-flattery": ("flattery",),
    "absurd-fan-fiction": ("goblins",),
    "flattered-twins": ("flattery",),
}
