"""Claims of a paper, the run that tests each, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.lab.replication.judging import judge_replication
    from unweave.lab.replication.markdown import replication_markdown, replication_tables
    from unweave.lab.replication.paper import Paper, Row, read_paper
    from unweave.lab.replication.replication import Replication, replicate, replications
    from unweave.lab.replication.starting import Started, start_replication

_HOME = {
    "Paper": "paper",
    "Replication": "replication",
    "Row": "paper",
    "Started": "starting",
    "judge_replication": "judging",
    "read_paper": "paper",
    "replicate": "replication",
    "replication_markdown": "markdown",
    "replication_tables": "markdown",
    "replications": "replication",
    "start_replication": "starting",
}
__all__ = [
    "Paper",
    "Replication",
    "Row",
    "Started",
    "judge_replication",
    "read_paper",
    "replicate",
    "replication_markdown",
    "replication_tables",
    "replications",
    "start_replication",
]

__getattr__ = lazy_exports(__name__, _HOME)
