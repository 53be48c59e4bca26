"""HTTP as uvicorn speaks it with h11, with a deadline for what must arrive before the application is asked."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from unweave.server.headers import secured
from unweave.server.problem import PROBLEM_TYPE, problem
from unweave.server.settings import Limits


def patient_protocol(limits: Limits) -> type[H11Protocol]:
    """A protocol class for uvicorn that closes connections which send no whole request head in time."""

    class Patient(H11Protocol):
        deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.abort()
            else:
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            self._wait()
            super().on_response_complete()

        def send_400_response(self, msg: str) -> None:
            # What h11 does not take for HTTP never reaches the application: a doubled Host, a bad header, a bad line.
            if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
                self.transport.abort()
                return
            headers = secured([(b"content-type", PROBLEM_TYPE.encode()), (b"connection", b"close")])
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=problem(400, msg)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

        def _wait(self) -> None:
            self._stop_waiting()
            self.deadline = self.loop.call_later(limits.header_seconds, self._expired)

        def _stop_waiting(self) -> None:
            if self.deadline is not None:
                self.deadline.cancel()
                self.deadline = None

        def _expired(self) -> None:
            # A request that is in hand has a deadline of its own for its body, and none for its answer.
            if self.cycle is None or self.cycle.response_complete:
                self.transport.abort()

    return Patient
