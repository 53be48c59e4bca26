"""The threads of a lab: folders of events on the disk, with an index that notices a history that was changed."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest
from unweave.base.files import atomic_folder, atomic_path, sole_writer
from unweave.lab.people import person_behind
from unweave.lab.threads import log
from unweave.lab.threads.conclusions import checked_conclusion
from unweave.lab.threads.events import (
    Approval,
    Conclusion,
    Event,
    Link,
    Note,
    Question,
    Review,
    ThreadRun,
    event_from_json,
)
from unweave.lab.threads.fields import id_field
from unweave.lab.threads.thread import Backlink, Thread

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person

LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class ThreadRow:
    """One line of the list of threads. ``broken`` says what is wrong with its history, where something is."""

    id: str
    question: str
    state: str
    by: str
    created: str
    changed: str
    events: int
    runs: int
    broken: str | None = None


class Threads:
    """What a lab keeps of its threads, in ``root/threads``. Several processes may add to one thread at a time."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.root = lab.root / "threads"

    def create(
        self,
        question: str,
        *,
        context: str = "",
        by: Person | None = None,
        id: str | None = None,
        links: Iterable[Link] = (),
    ) -> Thread:
        """Opens a thread with a question; ``links`` say what it extends, replicates or contradicts."""
        author = self._author(by)
        author.must(Question.scope)
        first = _signed(Question(question, context), author)
        name = id or _new_id(question)
        id_field(name, "thread")
        if (self.root / name).exists():
            raise UnweaveError(f"there is a thread {name!r} already: choose another id")
        for link in links:
            self._existing(link.to)
        # Whatever the umask leaves to others in the lab's folder, threads are its owner's to write.
        self.root.mkdir(mode=0o700, exist_ok=True)
        with atomic_folder(self.root / name) as folder:
            log.append(folder, first, None)
        self._note_change(name)
        for link in links:
            self.add(name, link, author)
        return self.get(name)

    def get(self, id: str) -> Thread:
        """The thread of that id. Raises ``UnweaveError`` when there is none and when its history was changed."""
        folder = self._existing(id)
        events = log.read(folder)
        self.sync()
        return Thread(id, tuple(events), tuple(self._linked_from(id)), log.imported(folder))

    def list(self) -> list[ThreadRow]:
        """Every thread, the one that changed last first."""
        self.sync()
        rows = self.lab.database.read("SELECT * FROM threads ORDER BY changed DESC, id")
        return [
            ThreadRow(
                row["id"], row["question"], row["state"], row["author"], row["created"], row["changed"], row["events"],
                row["runs"], row["broken"],
            )
            for row in rows
            if (self.root / row["id"]).is_dir()
        ]  # fmt: skip

    def add(self, id: str, event: Event | Mapping[str, Any], by: Person | None = None) -> Event:
        """Adds what ``by`` did, who is the person at this machine by default; returns the event with its place.

        ``event`` is one of the values of ``unweave.lab.threads.events``, or the same as JSON with its ``kind``. It is
        on the disk when this returns. Refuses what the role of ``by`` does not allow, an approval of a plan that is
        not there, a review by an author, a conclusion whose claims do not hold, and a run or thread that is not there.
        """
        author = self._author(by)
        given = event if isinstance(event, Event) else event_from_json(event)
        author.must(given.scope)
        if isinstance(given, Question):
            raise UnweaveError("a thread has one question, its first event: start another thread for another question")
        folder = self._existing(id)
        with sole_writer(folder / log.FILE, LOCK_SECONDS):
            thread = Thread(id, tuple(self._unchanged(id)))
            checked = self._checked(thread, _signed(given, author))
            if isinstance(checked, Note):
                checked = self._kept(folder, checked, len(thread.events) + 1)
            added = log.append(folder, checked, thread.events[-1])
        self._note_change(id)
        return added

    def path(self, id: str) -> Path:
        """The folder of a thread."""
        return self._existing(id)

    def check(self, id: str) -> str | None:
        """What is wrong with a thread's history, read anew: a line that was changed, left out, added or cut off."""
        known = self.lab.database.read("SELECT events, head FROM threads WHERE id = ?", (id,))
        count, head = (known[0]["events"], known[0]["head"]) if known else (0, "")
        if not (self.root / id).is_dir():
            return f"{self.root / id} is gone: restore it from a bundle"
        return log.check(self.root / id, count, head)

    def check_all(self) -> dict[str, str]:
        """What is wrong, by thread; a thread with nothing wrong is left out."""
        known = {row["id"] for row in self.lab.database.read("SELECT id FROM threads")}
        found = {id: self.check(id) for id in sorted(known | set(self._folders()))}
        return {id: wrong for id, wrong in found.items() if wrong}

    def sync(self) -> None:
        """Brings the index up to date with the folders: reads what has another size or time than when last seen."""
        known = {row["id"]: row for row in self.lab.database.read("SELECT id, stamp FROM threads")}
        changed = [id for id in self._folders() if id not in known or known[id]["stamp"] != self._stamp(id)]
        if not changed:
            return
        with self.lab.database.write(derived=True) as connection:
            for id in changed:
                self._index(connection, id)

    def _checked(self, thread: Thread, event: Event) -> Event:
        """The event with what only the thread or its runs can fill in, or a refusal."""
        if isinstance(event, Approval) and event.sha256 not in {plan.sha256 for plan in thread.plans}:
            raise UnweaveError(f"thread {thread.id!r} has no plan {event.sha256[:12]}: approve one that was proposed")
        if isinstance(event, ThreadRun):
            self.lab.runs.open(event.run)
        if isinstance(event, Link):
            if event.to == thread.id:
                raise UnweaveError(f"thread {thread.id!r} cannot be linked to itself: name another thread")
            self._existing(event.to)
        if isinstance(event, Conclusion):
            return checked_conclusion(self.lab, event)
        if isinstance(event, Review):
            return self._checked_review(thread, event)
        return event

    def _checked_review(self, thread: Thread, review: Review) -> Review:
        if person_behind(review.by) in thread.authors(self.runners(thread)):
            raise UnweaveError(
                f"{review.by!r} planned, ran or concluded in thread {thread.id!r}: let another review it"
            )
        known = {event.digest for event in thread.events} | {plan.sha256 for plan in thread.plans}
        if review.of and review.of not in known:
            raise UnweaveError(f"{review.of[:12]} is no plan or event of thread {thread.id!r}: review what is there")
        return replace(review, of=review.of or thread.content)

    def runners(self, thread: Thread) -> set[str]:
        """Who started the runs of a thread, as the runs themselves say."""
        found = set()
        for run in thread.runs:
            with suppress(UnweaveError):
                found.add(str(self.lab.runs.open(run.run).state().get("person")))
        return found

    def _unchanged(self, id: str) -> Sequence[Event]:
        """The events, for somebody who is about to add one: refused where the history is not the one known before."""
        events = log.read(self.root / id)
        for row in self.lab.database.read("SELECT events, head, broken FROM threads WHERE id = ?", (id,)):
            short = len(events) < row["events"]
            if row["broken"] or short or (row["events"] and events[row["events"] - 1].digest != row["head"]):
                wrong = row["broken"] or self.check(id)
                raise UnweaveError(f"thread {id!r} is closed to additions, because its history was changed: {wrong}")
        return events

    def _kept(self, folder: Path, note: Note, number: int) -> Note:
        name = f"notes/{number:04}.md"
        with atomic_path(folder / name) as temporary:
            temporary.write_text(note.text, encoding="utf-8")
        return replace(note, file=name)

    def _existing(self, id: str) -> Path:
        id_field(id, "thread")
        folder = self.root / id
        if folder.is_symlink() or not (folder / log.FILE).is_file():
            raise UnweaveError(f"there is no thread {id!r} in this lab; {nearest(id, self._folders())}")
        return folder

    def _folders(self) -> Sequence[str]:
        return sorted(path.parent.name for path in self.root.glob(f"[!.]*/{log.FILE}"))

    def _stamp(self, id: str) -> str:
        found = (self.root / id / log.FILE).stat()
        return f"{found.st_size}-{found.st_mtime_ns}"

    def _author(self, by: Person | None) -> Person:
        return by if by is not None else self.lab.people.here()

    def _note_change(self, id: str) -> None:
        """Indexes one thread. The event is on the disk already, so a failure here is left to the next ``sync``."""
        with suppress(UnweaveError, sqlite3.Error), self.lab.database.write(derived=True) as connection:
            self._index(connection, id)

    def _index(self, connection: sqlite3.Connection, id: str) -> None:
        """Writes a thread's row. One whose history was changed keeps its old count and hash, which say so."""
        stamp = self._stamp(id)
        row = connection.execute("SELECT events, head FROM threads WHERE id = ?", (id,)).fetchone()
        wrong = log.check(self.root / id, *((row["events"], row["head"]) if row else (0, "")))
        if wrong:
            connection.execute(
                "INSERT INTO threads (id, question, state, author, created, changed, events, runs, head, links, stamp, "
                "broken) VALUES (?, '', 'open', '', '', '', 0, 0, '', '[]', ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET stamp = excluded.stamp, broken = excluded.broken",
                (id, stamp, wrong),
            )
            return
        thread = Thread(id, tuple(log.read(self.root / id)))
        links = json.dumps([[link.to, link.relation] for link in thread.links])
        connection.execute(
            "INSERT OR REPLACE INTO threads (id, question, state, author, created, changed, events, runs, head, links, "
            "stamp, broken) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                id, thread.question, thread.state, thread.by, thread.created, thread.changed, len(thread.events),
                len(thread.runs), thread.head, links, stamp,
            ),
        )  # fmt: skip

    def _linked_from(self, id: str) -> Iterable[Backlink]:
        query = "SELECT id, question, links FROM threads WHERE links != '[]' ORDER BY created, id"
        for row in self.lab.database.read(query):
            for to, relation in json.loads(row["links"]):
                if to == id:
                    yield Backlink(row["id"], relation, row["question"])


def _signed(event: Event, author: Person) -> Event:
    return replace(event, by=author.name, role=author.role, at=datetime.now(UTC).isoformat())


def _new_id(question: str) -> str:
    words = "-".join(re.findall("[a-z0-9]+", question.lower()))[:48].strip("-") or "thread"
    return f"{words}-{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(2)}"
