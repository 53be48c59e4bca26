"""The planner that is a language model: it speaks through typed calls only, and the lab holds it to its budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.lab.agent.language.meter import BudgetMeter, Meter, Prices
    from unweave.lab.agent.language.planner import LanguageModelPlanner
    from unweave.lab.agent.language.talk import TalkedOut, TalkTerms
    from unweave.lab.agent.language.tools import LabTools, NoTools, Tools

_HOME = {
    "BudgetMeter": "meter",
    "LabTools": "tools",
    "LanguageModelPlanner": "planner",
    "Meter": "meter",
    "NoTools": "tools",
    "Prices": "meter",
    "TalkTerms": "talk",
    "TalkedOut": "talk",
    "Tools": "tools",
}
__all__ = [
    "BudgetMeter",
    "LabTools",
    "LanguageModelPlanner",
    "Meter",
    "NoTools",
    "Prices",
    "TalkTerms",
    "TalkedOut",
    "Tools",
]

__getattr__ = lazy_exports(__name__, _HOME)
