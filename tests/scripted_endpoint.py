"""A real HTTP server on the loopback address that plays a chat endpoint, well or badly, as a test tells it to."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Play:
    """What the server answers, one entry a request, the last again and again; and the requests that it got.

    An entry is a text (a good answer that says it), a status, ``(status, headers)`` or ``(status, headers, body)``,
    bytes (a raw body), a callable of the request's JSON that gives the text or bytes, ``"hang"``, or ``"flood"``.
    """

    answers: list[Any]
    usage: Any = field(default_factory=lambda: {"prompt_tokens": 100, "completion_tokens": 10})
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


def _completion(text, usage):
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}).encode()


def calling(*calls, text=None, usage=None):
    """A body that calls tools: each of ``calls`` is (name, arguments), the arguments an object or a raw text."""
    listed = [
        {
            "id": f"call-{number}",
            "type": "function",
            "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
        }
        for number, (name, given) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": text, "tool_calls": listed}
    usage = usage if usage is not None else {"prompt_tokens": 100, "completion_tokens": 10}
    return json.dumps({"choices": [{"message": message}], "usage": usage}).encode()


@contextmanager
def playing(*answers, **settings):
    """Yields a play whose ``url`` is served until the block ends."""
    play = Play(list(answers), **settings)
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            play.requests.append(json.loads(body))
            play.headers.append(dict(self.headers.items()))
            answer = play.answers[min(len(play.requests), len(play.answers)) - 1]
            try:
                self.play(answer)
            except OSError:
                self.close_connection = True  # whoever asked has gone

        def do_GET(self):
            play.requests.append({"path": self.path})
            play.headers.append(dict(self.headers.items()))
            self.send(200, _completion("{}", {}))

        def play(self, answer):
            if answer == "hang":
                stop.wait(5)
            elif answer == "flood":
                self.send_response(200)
                self.end_headers()
                while not stop.is_set():
                    self.wfile.write(b" " * (1 << 20))
            elif answer == "drip":
                self.send_response(200)
                self.end_headers()
                while not stop.is_set():
                    self.wfile.write(b" ")
                    time.sleep(0.02)
            elif isinstance(answer, bytes):
                self.send(200, answer)
            elif isinstance(answer, int):
                self.send(answer, b"{}")
            elif isinstance(answer, tuple):
                self.send(answer[0], answer[2] if len(answer) > 2 else b"{}", answer[1])
            else:
                text = answer(play.requests[-1]) if callable(answer) else answer
                self.send(200, text if isinstance(text, bytes) else _completion(text, play.usage))

        def send(self, status, body, headers=()):
            self.send_response(status)
            for name, value in dict(headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    play.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield play
    finally:
        stop.set()
        server.shutdown()
        thread.join()
        server.server_close()
