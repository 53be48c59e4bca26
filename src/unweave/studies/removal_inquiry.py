"""How a planner may ask ``remove-language``: words of questions, what may vary, and what counts as removed."""

from __future__ import annotations

from unweave.corpora.bundled import LANGUAGES
from unweave.studies.inquiry import Inquiry, Knob, Outcome, Several

REMOVED = 0.9
"""A label below this many ln V is not called removed."""
HARMED = 0.06
"""Nats per token by which no other label may rise."""

_METHODS = {
    "one number": ("factor",),
    "single number": ("factor",),
    "one factor": ("factor",),
    "factor": ("factor",),
    "subcomponent": ("factor",),
    "several factors": ("factors-16",),
    "least variance": ("least-variance",),
    "closed form": ("least-variance",),
    "mean difference": ("mean-difference",),
    "lora": Several((("lora-1-here",), ("lora-1",))),
    "adapter": Several((("lora-1-here",), ("lora-1",))),
    "lora of rank 4": ("lora-4",),
}
_UNSEEDED = "it draws nothing at random, so that it has one number where a plan compares several seeds"
_ROW = {"method": "{methods[0]}"}

INQUIRY = Inquiry(
    topics=("remove", "removes", "removing", "removed", "unlearn", "forget", "erase", "language", "suppress"),
    effect=Outcome("level of the removed language", "seeds", "level", _ROW, "higher", REMOVED, "ln V"),
    knobs=(
        Knob(
            "language",
            words={name.lower(): label for label, name in LANGUAGES.items()},
            required=True,
            after=("remove", "removing", "unlearn", "forget", "erase", "suppress"),
        ),
        Knob("target", words={"polyglot": "polyglot", "smollm2": "smollm2"}, after=("from", "in")),
        Knob(
            "methods",
            values=(("factor",), ("least-variance",), ("lora-1-here",), ("lora-1",), ("mean-difference",)),
            words=_METHODS,
            refused={"ablation": _UNSEEDED, "ablating": _UNSEEDED},
            searched=True,
        ),
        Knob("tokens"),
    ),
    harms=(
        Outcome("harm to the retained language", "seeds", "retained", _ROW, "lower", HARMED, "nats"),
        Outcome("harm to the worst other language", "seeds", "worst other", _ROW, "lower", HARMED, "nats"),
    ),
    equal=(Outcome("loss tokens", "seeds", "tokens", _ROW, "lower"),),
    null={"shuffle": True},
    control={"methods": ("random-subcomponent",)},
    cheap={"windows": 6, "selection_windows": 12},
    settings={"strict": False, "left_out": ()},
    examples=(
        "Can one number remove Spanish from polyglot without harming the others?",
        "Does LoRA do better than one number at removing German at equal tokens?",
    ),
)
