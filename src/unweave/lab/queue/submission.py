"""What is settled before a job is written: its config, what it needs, what pays for it, and that it can ever start."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.configs import plain_config
from unweave.base.errors import UnweaveError
from unweave.base.needs import Needs
from unweave.lab.queue.admission import too_large
from unweave.lab.queue.budget import Budget, BudgetExhausted, Line
from unweave.lab.queue.estimate import DEFAULT, estimate
from unweave.lab.queue.executor import Node
from unweave.lab.queue.job import Kind
from unweave.lab.queue.resources import machine

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.studies.registry import Study

MOST_SECONDS = 1e9
ROUNDING = 1e-6


@dataclass(frozen=True)
class Terms:
    """What a job needs, the names among that which are limits, and what its account sets aside."""

    needs: Needs
    given: tuple[str, ...]
    reserved: Mapping[str, float]


def checked_config(
    study: str, config: Mapping[str, Any], kind: Kind, source: object, sandboxed: bool
) -> tuple[Study | None, Any]:
    """The registered study and its typed config; only the plain config of what is not read in this process."""
    if kind != "study" or sandboxed:
        return None, dict(config)
    from unweave.studies.registry import find_study

    if source is not None:
        from unweave.studies.discover import load_source

        load_source(Path(str(source)))
    registered = find_study(study)
    return registered, registered.configure(config)


def plain(settings: Any) -> Mapping[str, Any]:
    """A config as JSON values."""
    return settings if isinstance(settings, Mapping) else plain_config(settings)


def terms(
    lab: Lab,
    study: str,
    registered: Study | None,
    settings: Any,
    kind: Kind,
    asked: Needs | Mapping[str, float] | None,
    account: str | None,
) -> Terms:
    """What was asked for, completed by what is estimated.

    Where the account's seconds are limited so are the job's, or they could be overspent. A job that submits others has
    no such limit: those are paid for by themselves. Raises ``BudgetExhausted`` where too few seconds are left.
    """
    needs, given = _needs(lab, study, registered, settings, kind, asked)
    check_limits(needs, given)
    if account is None:
        return Terms(needs, given, {})
    lines = Budget(lab, account).lines()
    seconds = lines.get("seconds")
    asked_for = "seconds" in given and math.isfinite(needs.seconds)
    if seconds is None or seconds.left is None or (kind != "study" and not asked_for):
        return Terms(needs, given, {"runs": 1.0})
    runs = lines["runs"].left if "runs" in lines else None
    limit = min(needs.seconds if asked_for else _share(account, seconds, runs, needs.seconds), MOST_SECONDS)
    limited = (*(name for name in given if name != "seconds"), "seconds")
    return Terms(replace(needs, seconds=limit), limited, {"runs": 1.0, "seconds": limit})


def _share(account: str, seconds: Line, runs: float | None, expected: float) -> float:
    """How many seconds are set aside for a job that named no limit: enough, and not what other runs will need."""
    left = seconds.left or 0.0
    # What others give back may be enough for it; a job that is cut short for certain is not worth its run.
    least = expected if seconds.reserved and math.isfinite(expected) else 0.0
    if left < max(least, ROUNDING):
        raise BudgetExhausted(
            f"budget of {account!r}: {left:g} seconds left of {seconds.granted:g} ({seconds.spent:g} spent, "
            f"{seconds.reserved:g} set aside for what runs now), too few for another run: wait for those that run, "
            "grant more, or ask for fewer"
        )
    share = left if runs is None else left / max(runs, 1.0)
    return min(left, share if math.isinf(expected) else max(expected, min(3 * expected, share)))


def _needs(
    lab: Lab,
    study: str,
    registered: Study | None,
    settings: Any,
    kind: Kind,
    asked: Needs | Mapping[str, float] | None,
) -> tuple[Needs, tuple[str, ...]]:
    if isinstance(asked, Needs):
        return asked, tuple(asked.to_json())
    if kind != "study":
        # It waits for the runs that it submits, and would wait for ever if it held their thread.
        reckoned = replace(DEFAULT, threads=0.0)
    else:
        reckoned, _ = estimate(lab.database, study, registered, settings)
    if not asked:
        return reckoned, ()
    return Needs.from_json({**reckoned.to_json(), **asked}), tuple(asked)


def check_limits(needs: Needs, given: Collection[str]) -> None:
    """Raises ``UnweaveError`` for a limit that nothing could hold a job to."""
    for name in ("tokens", "dollars"):
        if name in given and 0 < getattr(needs, name) < math.inf:
            raise UnweaveError(
                f"{name}={getattr(needs, name):g} is no limit of a job: no study asks a language model. An agent does: "
                "grant them to its account, with Budget.grant or where it is started"
            )


def check_fits(lab: Lab, study: str, needs: Needs, nodes: Sequence[Node]) -> None:
    """Raises ``UnweaveError``, with the number, for a job that no machine could run; ``nodes`` are those known."""
    totals = [node.total for node in nodes] or [machine(lab.root, needs.gpu_gb)]
    lacking = min((needs.lacking(total) for total in totals), key=len)
    if lacking:
        name = lacking[0]
        most = max(getattr(total, name) for total in totals)
        raise UnweaveError(too_large(study, name, getattr(needs, name), most))
