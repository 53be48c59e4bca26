"""How a planner may ask ``concept-geometry``: words of concepts, and what counts as a known order that was found."""

from __future__ import annotations

from unweave.shapes.concepts.names import BUNDLED
from unweave.studies.concept_tables import PAST
from unweave.studies.inquiry import Inquiry, Knob, Outcome

DISTANCE = "distance r"
WITHOUT_ORDER = ("emotions",)
"""Bundled concepts of whose values nothing is known."""

_ORDERED = tuple(name for name in BUNDLED if name not in WITHOUT_ORDER)
_WORDS = {
    **{name: (name,) for name in _ORDERED},
    "days of the week": ("weekdays",),
    "days": ("weekdays",),
    "months of the year": ("months",),
    "hours of the day": ("hours",),
    "alphabet": ("letters",),
    "colors": ("colours",),
    "animals": ("organisms",),
}
_SHAPE = (
    "what is answered is whether distances follow the known ones; of the shape a run's tables scores and families tell"
)

INQUIRY = Inquiry(
    topics=(
        "concept", "concepts", "known order", "known distances", "distances", "order", "ordered", "geometry",
    ),
    # Of one number of values an r means more than of another, and so r itself compares no concepts. Rows are not told
    # apart by concept: a run of several has no one answer, and is refused.
    effect=Outcome("distance r past its null", "scores", PAST, {"score": DISTANCE}, "higher", 0.0, "r"),
    knobs=(
        Knob(
            "concepts",
            values=tuple((name,) for name in _ORDERED),
            words=_WORDS,
            refused={
                **dict.fromkeys(WITHOUT_ORDER, "nothing is known of how far its values are apart"),
                **dict.fromkeys(("ring", "circle", "helix", "tree", "curve"), _SHAPE),
            },
            searched=True,
            after=("concept", "of"),
        ),
        Knob("target", words={"smollm2": "smollm2", "polyglot": "polyglot"}, after=("in", "inside")),
        Knob("shuffles"),
    ),
    null={"dealt": True},
    # No control: no setting must fail at distances that are there. The last token alone has them of some concepts.
    cheap={"shuffles": 199},
    # Surrogates are of scores that this answer does not read.
    settings={"surrogates": 19},
    examples=(
        "Which concept has its known order in smollm2: weekdays, months or letters?",
        "Do months have their known order in smollm2?",
    ),
)  # fmt: skip
