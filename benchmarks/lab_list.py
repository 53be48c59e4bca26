"""The part of ``lab.py`` on a long list of runs: indexed, looked at for changes, and asked for over HTTP."""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from unweave.lab.lab import Lab
from unweave.record import Run


def runs_list(folder: Path, count: int) -> dict[str, Any]:
    """A list of ``count`` runs: the first look, and then pages over HTTP, with the folders looked at for changes."""
    root = folder / "list"
    made = make_runs(root, count)
    lab = Lab(root)
    started = time.perf_counter()
    lab.runs.sync()
    first = time.perf_counter() - started
    rows = [{"request": "the first index of all folders", "median_ms": round(1e3 * first, 1), "max_ms": None}]
    looks = [timed(lab.runs.sync) for _ in range(5)]
    rows.append(shown("all folders looked at, none changed", looks))
    lab.close()
    with served(root) as ask:
        ask("/api/lab/runs?limit=100")
        page = ask("/api/lab/runs?limit=100")
        requests = {
            "the first 100 runs": lambda: ask("/api/lab/runs?limit=100"),
            "100 runs from the middle": lambda: ask(f"/api/lab/runs?limit=100&after={middle}"),
            "100 runs by duration": lambda: ask("/api/lab/runs?limit=100&sort=seconds"),
            "a word that three runs have": lambda: ask("/api/lab/runs?limit=100&text=needle"),
            "1,000 runs": lambda: ask("/api/lab/runs?limit=1000"),
        }
        middle = page["next"]
        for _ in range(count // 200):
            middle = ask(f"/api/lab/runs?limit=100&after={middle}")["next"]
        for name, request in requests.items():
            rows.append(shown(f"HTTP: {name}", [timed(request) for _ in range(15)]))
        Run.create("short", {"number": -1}, root, "new-one")
        started = time.perf_counter()
        while not any(row["id"] == "new-one" for row in ask("/api/lab/runs?limit=100")["rows"]):
            time.sleep(0.01)
        seen = time.perf_counter() - started
        rows.append({"request": "until a new run is listed", "median_ms": round(1e3 * seen, 1), "max_ms": None})
    if page["total"] != count:
        raise SystemExit(f"{page['total']} of {count} runs are listed")
    return {"runs": count, "made_s": round(made, 1), "rows": rows}


def make_runs(root: Path, count: int) -> float:
    """Run folders as finished runs leave them, from one real run's files."""
    started = time.perf_counter()
    with Run.create("short", {"number": 0}, root, "run-000000") as run:
        run.log(step=0, square=0)
    model = {path.name: path.read_text(encoding="utf-8") for path in run.path.iterdir() if path.is_file()}
    for number in range(1, count):
        name = f"run-{number:06d}"
        folder = root / name
        folder.mkdir()
        state = json.loads(model["run.json"])
        tags = ["needle"] if number % (count // 3 or 1) == 1 else []
        state |= {"id": name, "config": {"number": number, "rate": 1 / number}, "tags": tags}
        (folder / "run.json").write_text(json.dumps(state), encoding="utf-8")
        for other in set(model) - {"run.json"}:
            (folder / other).write_text(model[other], encoding="utf-8")
    return time.perf_counter() - started


@contextmanager
def served(root: Path) -> Any:
    """The lab's own server on a free port, asked over one connection."""
    from unweave.server.serve import prepare

    service = prepare([], port=0, runs=root, starts_jobs=False)
    place = urlsplit(service.url)
    thread = threading.Thread(target=service.server.run, kwargs={"sockets": [service.socket]}, daemon=True)
    thread.start()
    connection = HTTPConnection(place.hostname or "", place.port)
    headers = {"Authorization": f"Bearer {parse_qs(place.query)['token'][0]}"}

    def ask(path: str) -> Any:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise SystemExit(f"{path}: {reply.status} {body[:300]!r}")
        return json.loads(body)

    try:
        yield ask
    finally:
        connection.close()
        service.server.should_exit = True
        thread.join()
        service.socket.close()


def timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def shown(request: str, seconds: list[float]) -> dict[str, Any]:
    row = {
        "request": request,
        "median_ms": round(1e3 * statistics.median(seconds), 1),
        "max_ms": round(1e3 * max(seconds), 1),
    }
    said(str(row))
    return row


def said(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
