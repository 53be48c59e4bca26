"""Warm workers on the machines of a Ray cluster, and on this one."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

from unweave.base.errors import UnweaveError, first_line
from unweave.base.files import write_json
from unweave.base.needs import Needs
from unweave.lab.queue.executor import Event, Node, Usage, Work
from unweave.lab.queue.pool import LocalPool
from unweave.lab.queue.ray_cluster import connect
from unweave.lab.queue.transfer import BLOCK, add_news, blocks, listing, receive
from unweave.record.environment import environment

LOOK_EVERY = 5.0
"""Seconds between two looks for machines that have joined the cluster."""
CALL_SECONDS = 60.0
POLL_SECONDS = 1.0


@dataclass
class Away:
    """A machine of the cluster: Ray's handle on it, what it said of itself, and the jobs that it has."""

    name: str
    actor: Any
    waits_for: Any
    """The call that is under way: first its description, then one poll after another."""
    node: Node | None = None
    shared: bool = False
    jobs: dict[str, Work] = field(default_factory=dict)
    usage: dict[str, Usage] = field(default_factory=dict)


class RayPool:
    """Runs jobs on every machine of a cluster; scheduling is the scheduler's, and Ray only keeps a process on each.

    ``address`` is that of the cluster's head, ``HOST:PORT``; this machine must belong to the cluster too. Without one a
    cluster of this machine alone is started, on the loopback address and without a dashboard. No environment variable
    and no file names another cluster. ``shared`` says whether the other machines see the lab's folder; else it is tried
    out. Jobs of an agent, and of code in the sandbox, stay on this machine.
    """

    def __init__(
        self,
        home: Path,
        address: str | None = None,
        capacity: Needs | None = None,
        shared: bool | None = None,
    ) -> None:
        self.home = Path(home).resolve()
        self.here = LocalPool(self.home, capacity)
        self.ray = connect(address)
        self._shared = shared
        self._nonce = self.home / f"nonce-{secrets.token_hex(8)}"
        self._code = environment()["code"]
        self._away: dict[str, Away] = {}
        self._where: dict[str, Away] = {}
        self._refused: dict[str, str] = {}
        self._fetched: SimpleQueue[Event] = SimpleQueue()
        self._looked = -LOOK_EVERY
        self._nonce.touch(0o600)
        self._nonce.write_text(self._nonce.name, encoding="ascii")
        self._look()
        self._get_to_know()

    def nodes(self) -> Sequence[Node]:
        away = [each.node for each in self._away.values() if each.node is not None]
        return [*self.here.nodes(), *away]

    def refused(self) -> Mapping[str, str]:
        """Machines of the cluster that no job is given, and why."""
        return dict(self._refused)

    def claim(self, work: Work, node: str) -> Mapping[str, Any]:
        away = self._away.get(node)
        if away is None:
            return self.here.claim(work, node)
        if not away.shared:
            self._send(away, work)
        plain = asdict(work) | {"folder": str(work.folder), "needs": work.needs.to_json()}
        plain |= {"lab": str(work.lab) if work.lab else None, "used": dict(work.used)}
        identity = self._ask(away, "claim", plain)
        away.jobs[work.job] = work
        self._where[work.job] = away
        return {**identity, "node": away.name}

    def start(self, job: str) -> None:
        self._pass_on(job, "start", lambda: self.here.start(job))

    def release(self, job: str) -> None:
        self._pass_on(job, "release", lambda: self.here.release(job))
        away = self._where.pop(job, None)
        if away is not None:
            away.jobs.pop(job, None)

    def poll(self, seconds: float) -> list[Event]:
        if time.monotonic() - self._looked > LOOK_EVERY:
            self._look()
        events: list[Event] = []
        pending = {each.waits_for: each for each in self._away.values()}
        if not pending:
            events += self.here.poll(seconds)
        else:
            events += self.here.poll(0)
            ready, _ = self.ray.wait(list(pending), num_returns=1, timeout=0 if events else seconds)
            for reference in ready:
                events += self._hear(pending[reference], reference)
        while True:
            try:
                events.append(self._fetched.get_nowait())
            except Empty:
                return events

    def usage(self, job: str) -> Usage | None:
        away = self._where.get(job)
        return self.here.usage(job) if away is None else away.usage.get(job)

    def stop(self, job: str, how: Literal["ask", "interrupt", "terminate", "kill"]) -> None:
        self._pass_on(job, "stop", lambda: self.here.stop(job, how), how)

    def suspend(self, job: str) -> None:
        self._pass_on(job, "suspend", lambda: self.here.suspend(job))

    def unsuspend(self, job: str) -> None:
        self._pass_on(job, "unsuspend", lambda: self.here.unsuspend(job))

    def close(self) -> None:
        self.here.close()
        for away in self._away.values():
            try:
                self._ask(away, "close")
            except UnweaveError:
                # It is gone already.
                continue
            finally:
                self.ray.kill(away.actor)
        self._away.clear()
        self._nonce.unlink(missing_ok=True)
        self.ray.shutdown()

    def _look(self) -> None:
        """Puts a keeper on every machine of the cluster that has none; this one's workers need none."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from unweave.lab.queue.ray_node import RayNode

        self._looked = time.monotonic()
        own = self.ray.get_runtime_context().get_node_id()
        for found in self.ray.nodes():
            identity, has = found["NodeID"], found["Resources"]
            name = f"{found['NodeManagerHostname']}-{identity[:8]}"
            threads = float(has.get("CPU", 0))
            if not found["Alive"] or identity == own or name in self._away or name in self._refused or threads < 1:
                continue
            options = {
                "num_cpus": threads,
                "num_gpus": has.get("GPU", 0),
                # What waits for news must not keep an order waiting.
                "max_concurrency": 8,
                "max_restarts": 0,
                "scheduling_strategy": NodeAffinitySchedulingStrategy(identity, soft=False),
                "runtime_env": {"env_vars": {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}},
            }
            keeper = self.ray.remote(RayNode).options(**options)
            nonce = None if self._shared is False else (str(self._nonce), self._nonce.name)
            actor = keeper.remote(name, str(self.home), nonce, threads)
            self._away[name] = Away(name, actor, actor.describe.remote())

    def _get_to_know(self) -> None:
        """Waits for what the machines say of themselves: a job that fits none of those known would start alone here."""
        pending = {each.waits_for: each for each in self._away.values()}
        ready, _ = self.ray.wait(list(pending), num_returns=len(pending), timeout=CALL_SECONDS) if pending else ((), ())
        for reference in ready:
            self._hear(pending[reference], reference)

    def _hear(self, away: Away, reference: Any) -> list[Event]:
        try:
            said = self.ray.get(reference)
        except Exception as error:  # Ray has a dozen kinds of them for a machine or a process that is no more
            return self._lost(away, first_line(error))
        if away.node is None and not self._introduce(away, said):
            return []
        away.waits_for = away.actor.poll.remote(POLL_SECONDS)
        if "total" in said and away.node is not None:
            away.node = Node(away.name, Needs.from_json(said["total"]), said["memory_left_gb"], plain_only=True)
        away.usage |= {job: Usage(**used) for job, used in said.get("usage", {}).items()}
        for job, news in said.get("news", {}).items():
            if job in away.jobs:
                add_news(away.jobs[job].folder, news)
        return [event for one in said.get("events", ()) for event in self._happened(away, Event(**one))]

    def _introduce(self, away: Away, said: Mapping[str, Any]) -> bool:
        """False, and the machine is refused, where it runs other code than this."""
        other = said["environment"]
        if other["code"] != self._code:
            self._refused[away.name] = (
                f"it runs unweave {other['unweave']} of other code than this process: install the same on both"
            )
            self._away.pop(away.name)
            self.ray.kill(away.actor)
            return False
        away.shared = said["shared"]
        away.node = Node(away.name, Needs.from_json(said["total"]), said["memory_left_gb"], plain_only=True)
        return True

    def _happened(self, away: Away, event: Event) -> list[Event]:
        work = away.jobs.get(event.job)
        if work is None:
            return []
        if away.shared:
            if event.kind != "began":
                self._forget(away, event.job)
            return [event]
        if event.kind == "began":
            # A machine that does not answer is gone, and the next poll says so.
            with suppress(UnweaveError):
                write_json(work.folder / "run.json", self._there(away, event.job))
            return [event]
        # Fetching may take a while, and other jobs go on meanwhile.
        threading.Thread(target=self._fetch, args=(away, work, event), name=f"fetch {event.job}", daemon=True).start()
        return []

    def _there(self, away: Away, job: str) -> Any:
        import json

        return json.loads(self._ask(away, "read", job, "run.json", 0, BLOCK))

    def _send(self, away: Away, work: Work) -> None:
        self._ask(away, "open", work.job)
        for name, (_, size) in listing(work.folder).items():
            start = 0
            for block in blocks(work.folder / name, size) if size else (b"",):
                self._ask(away, "write", work.job, name, start, block)
                start += len(block)

    def _fetch(self, away: Away, work: Work, event: Event) -> None:
        try:
            wanted = self._ask(away, "listing", work.job)

            def fetch(name: str, start: int, size: int) -> bytes:
                return self._ask(away, "read", work.job, name, start, size)

            receive(work.folder, wanted, fetch, work.job)
            self._ask(away, "forget", work.job)
        except (UnweaveError, OSError) as error:
            event = Event(work.job, "lost", note=f"what it made did not arrive: {first_line(error)}")
        self._forget(away, work.job)
        self._fetched.put(event)

    def _forget(self, away: Away, job: str) -> None:
        away.jobs.pop(job, None)
        away.usage.pop(job, None)
        self._where.pop(job, None)

    def _lost(self, away: Away, why: str) -> list[Event]:
        self._away.pop(away.name, None)
        if away.node is None:
            self._refused[away.name] = why
        lost = list(away.jobs)
        for job in lost:
            self._forget(away, job)
        return [Event(job, "lost", note=f"machine {away.name} left the cluster") for job in lost]

    def _pass_on(self, job: str, what: str, here: Callable[[], None], *arguments: Any) -> None:
        away = self._where.get(job)
        if away is None:
            here()
            return
        try:
            self._ask(away, what, job, *arguments)
        except UnweaveError:
            # The next poll says that the machine is gone.
            return

    def _ask(self, away: Away, what: str, *arguments: Any) -> Any:
        try:
            return self.ray.get(getattr(away.actor, what).remote(*arguments), timeout=CALL_SECONDS)
        except Exception as error:  # as in _hear
            raise UnweaveError(f"machine {away.name} does not answer: {first_line(error)}") from error
