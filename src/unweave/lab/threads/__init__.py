"""Lines of research: question, hypotheses, plan, runs, notes, conclusions, reviews."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.lab.threads.events import (
        Approval,
        Conclusion,
        Event,
        Hypothesis,
        Link,
        Note,
        PaperAdded,
        Plan,
        Question,
        Reference,
        Review,
        RowVerdict,
        StateChange,
        ThreadRun,
        Tried,
        event_from_json,
    )
    from unweave.lab.threads.store import ThreadRow, Threads
    from unweave.lab.threads.thread import Backlink, Thread

_HOME = {
    "Approval": "events",
    "Backlink": "thread",
    "Conclusion": "events",
    "Event": "events",
    "Hypothesis": "events",
    "Link": "events",
    "Note": "events",
    "PaperAdded": "events",
    "Plan": "events",
    "Question": "events",
    "Reference": "events",
    "Review": "events",
    "RowVerdict": "events",
    "StateChange": "events",
    "Thread": "thread",
    "ThreadRow": "store",
    "ThreadRun": "events",
    "Threads": "store",
    "Tried": "events",
    "event_from_json": "events",
}
__all__ = [
    "Approval",
    "Backlink",
    "Conclusion",
    "Event",
    "Hypothesis",
    "Link",
    "Note",
    "PaperAdded",
    "Plan",
    "Question",
    "Reference",
    "Review",
    "RowVerdict",
    "StateChange",
    "Thread",
    "ThreadRow",
    "ThreadRun",
    "Threads",
    "Tried",
    "event_from_json",
]

__getattr__ = lazy_exports(__name__, _HOME)
