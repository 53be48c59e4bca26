"""What is settled before a job is written: its config, what it needs, what pays for it, and that it can ever start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.configs import plain_config
from unweave.base.errors import UnweaveError
from unweave.base.needs import Needs
from unweave.lab.queue.admission import too_large
from unweave.lab.queue.budget import Budget
from unweave.lab.queue.estimate import DEFAULT, estimate
from unweave.lab.queue.executor import Node
from unweave.lab.queue.job import Kind
from unweave.lab.queue.resources import machine

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.studies.registry import Study

MOST_SECONDS = 1e9


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

    Where the account's seconds are limited so are the job's, or they could be overspent.
    """
    needs, given = _needs(lab, study, registered, settings, kind, asked)
    if account is None:
        return Terms(needs, given, {})
    left = Budget(lab, account).left("seconds")
    if left is None:
        return Terms(needs, given, {"runs": 1.0})
    limit = needs.seconds if "seconds" in given else min(left, 3 * needs.seconds)
    limit = min(limit, MOST_SECONDS)
    limited = (*(name for name in given if name != "seconds"), "seconds")
    return Terms(replace(needs, seconds=limit), limited, {"runs": 1.0, "seconds": limit})


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


def check_fits(lab: Lab, study: str, needs: Needs, nodes: Sequence[Node]) -> None:
    """Raises ``UnweaveError``, with the number, for a job that no machine could run; ``nodes`` are those known."""
    totals = [node.total for node in nodes] or [machine(lab.root, needs.gpu_gb)]
    lacking = min((needs.lacking(total) for total in totals), key=len)
    if lacking:
        name = lacking[0]
        most = max(getattr(total, name) for total in totals)
        raise UnweaveError(too_large(study, name, getattr(needs, name), most))
