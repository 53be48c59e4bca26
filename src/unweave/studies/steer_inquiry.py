"""How a planner may ask ``steer-manifold``: words of systems, and when the manifold is called better than the line."""

from __future__ import annotations

from unweave.studies.inquiry import Inquiry, Knob, Outcome

LOST = 0.01
"""Nats a waypoint by which the manifold's answers may stray more than the line's among near values."""

_SYSTEMS = {
    "mountain-car": ("mountain-car",),
    "mountain car": ("mountain-car",),
    "car": ("mountain-car",),
    "modular-addition": ("modular-addition",),
    "modular addition": ("modular-addition",),
    "days": ("days-successor",),
    "weekdays": ("days-successor",),
    "months": ("months-successor",),
    "numbers": ("numbers-successor",),
    "letters": ("letters-successor",),
    **{
        name: (name,)
        for name in (
            "days-successor", "months-successor", "numbers-successor", "letters-successor", "days-identity",
            "months-identity", "numbers-identity", "letters-identity", "days-sentence", "days-arithmetic",
        )
    },
}  # fmt: skip
_NEAR = (
    "the effect is of values far apart, and near ones are what must not be lost: ask about far values, 'without losing "
    "near values'"
)
_RIVAL = "the manifold is held against the straight line in its own subspace; table tests of a run has the other ways"

INQUIRY = Inquiry(
    topics=(
        "manifold", "curve", "straight", "straight line", "line", "chord", "steer", "steers", "steering", "far",
        "far values", "values", "losing near", "losing near values", "harming near", "harming near values",
    ),
    # Rows are not told apart by system: a run of several has no one answer, and is refused.
    # No bar: what a nat is worth differs by system, so a gain is held against that of exchanged names, seed by seed.
    effect=Outcome(
        "energy saved over the straight line, far values", "gains", "saved", {"distance": "far"}, "higher",
        unit="nats a waypoint",
    ),
    knobs=(
        Knob(
            "systems",
            values=(("mountain-car",), ("modular-addition",), ("days-successor",), ("months-successor",)),
            words=_SYSTEMS,
            searched=True,
            after=("in", "along", "through"),
        ),
        Knob("target", words={"smollm2": "smollm2", "polyglot": "polyglot"}, after=("of", "inside")),
        Knob(
            "pairs",
            refused={
                **dict.fromkeys(("near", "neighbours", "neighbors", "neighbouring", "close"), _NEAR),
                **dict.fromkeys(("renormed", "shuffled"), _RIVAL),
            },
        ),
        Knob("waypoints"),
        Knob("layers"),
    ),
    harms=(
        Outcome(
            "energy saved over the straight line, near values", "gains", "saved", {"distance": "near"}, "higher",
            -LOST, "nats a waypoint",
        ),
    ),
    null={"exchanged": True},
    # No control: of the ways that a run takes none must fail at beating the straight line, shuffled curves neither.
    cheap={"waypoints": 11, "pairs": 16},
    # Shuffled curves are of an answer that this one does not read.
    settings={"shuffles": 1},
    examples=(
        "Does the manifold beat the straight line for far values in mountain-car?",
        "Does the manifold beat the straight line in modular-addition without losing near values?",
    ),
)  # fmt: skip
