"""What a session found, in words: each sentence follows from the judgement, and says no more than it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from unweave.lab.agent.plan import BEST, Plan, Prediction

if TYPE_CHECKING:
    from unweave.lab.agent.planner import Results
    from unweave.lab.agent.verdicts import Contrast, Judgement

RELATIONS = {
    "better": "does better than",
    "worse": "does worse than",
    "no difference": "shows no difference past the noise from",
    "mixed": "is better in one thing and worse in another than",
    "not comparable": "could not be compared with",
}


def answer_word(plan: Plan, found: Judgement) -> str:
    """The answer in a word or two: how two compared arms stand, else ``yes``, ``nothing found`` or ``undecided``."""
    if plan.kind == "compare":
        return (
            found.contrasts[0].relation
            if len(found.contrasts) == 1
            else {"yes": "better", "no": "no better"}.get(found.answer, "undecided")
        )
    return {"yes": "yes", "no": "nothing found", "unclear": "undecided"}[found.answer]


def answer_sentence(plan: Plan, found: Judgement) -> str:
    """The answer as a sentence without numbers that nothing stands behind."""
    parts = []
    if plan.kind != "compare":
        parts.append(_own(plan, found))
    parts += [contrast_sentence(one) for one in found.contrasts]
    return " ".join(parts)


def contrast_sentence(one: Contrast) -> str:
    """How two arms stand to each other."""
    return f"{named(one.first)} {RELATIONS[one.relation]} {named(one.second)}: {one.why}."


def named(*arms: str | None) -> str:
    """Arms as a text names them: in backticks, so that the numbers in them are names and not results."""
    return ", ".join(f"`{arm}`" for arm in arms if arm)


def _own(plan: Plan, found: Judgement) -> str:
    asked = [one for one in found.standings if plan.arm(one.arm).role == "candidate"]
    if found.answer == "yes":
        also = f" It is not told apart from {named(*found.tied)}." if found.tied else ""
        if plan.kind == "which" and len(plan.of_role("candidate")) > len(asked):
            also += " The others were screened out on few seeds."
        what = "is the best" if plan.kind == "which" else "does it"
        harms = " and keeps every harm within its bar" if plan.criterion.harmless and plan.criterion.harms else ""
        if plan.criterion.effect.bar is None:
            return f"{named(found.best)} {what} by {plan.criterion.effect.name}, past the noise of fresh seeds.{also}"
        effect = plan.criterion.effect.name
        return f"{named(found.best)} {what}: it reaches the bar of {effect}{harms} on fresh seeds.{also}"
    if found.answer == "no":
        tied = f": {named(*found.tied)} are not told apart" if found.tied else ""
        reasons = [f"{named(one.arm)}: {one.why}" for one in asked if one.verdict == "fails"]
        why = f" ({'; '.join(reasons)})" if reasons else ""
        return f"Nothing was found that does it past the noise{tied}{why}."
    reasons = [f"{named(one.arm)}: {one.why}" for one in asked if one.verdict != "fails"]
    return f"It is not decided{': ' + '; '.join(reasons) if reasons else ''}."


def observed(plan: Plan, found: Judgement, results: Results, prediction: Prediction) -> str:
    """What became of a prediction, in the words that it was made in; ``not tested`` where nothing speaks to it."""
    leading = found.best or (found.standings[0].arm if found.standings else None)
    arm = leading if prediction.arm == BEST else prediction.arm
    if prediction.than == BEST:
        prediction = replace(prediction, than=leading)
    if arm is None:
        # Of a search in which screening left nothing to confirm, nothing reached the bar.
        return "not reached" if prediction.arm == BEST and results.measured else "not tested"
    if prediction.than is not None and prediction.expected in ("better", "worse", "no difference"):
        return _relation(found, arm, prediction)
    rows = [one for one in found.tested if one.arm == arm and one.outcome == prediction.outcome]
    if not rows:
        nothing = any(one.nothing for one in results.measured if one.arm == arm and one.stage == "confirm")
        return "not reached" if nothing else "not tested"
    verdicts = {one.verdict for one in rows}
    if verdicts == {"reached"}:
        return "reached"
    return "unclear" if "unclear" in verdicts else "not reached"


def _relation(found: Judgement, arm: str, prediction: Prediction) -> str:
    for one in found.compared:
        if (one.first, one.second, one.outcome) == (arm, prediction.than, prediction.outcome):
            return one.verdict
        if (one.second, one.first, one.outcome) == (arm, prediction.than, prediction.outcome):
            return {"better": "worse", "worse": "better"}.get(one.verdict, one.verdict)
    standing = found.standing(arm)
    if standing is None and prediction.than is not None and arm in ("null", "control"):
        # Said from the other side: the null or control against the arm that it belongs to.
        back = _relation(found, prediction.than, replace(prediction, arm=prediction.than, than=arm))
        return {"better": "worse", "worse": "better"}.get(back, back)
    if standing is not None and prediction.than in ("null", "control"):
        return "better" if standing.verdict == "holds" and prediction.than not in standing.lacking else "no difference"
    return "not tested"


def digits_of(error: float) -> int:
    """Decimals that show two digits of a standard error; three where there is none."""
    if not math.isfinite(error) or error <= 0:
        return 3
    return min(max(1 - math.floor(math.log10(error)), 0), 8)
