"""Refusals and faults as ``application/problem+json`` (RFC 9457): one line, never a stack trace."""

from __future__ import annotations

import json
import logging
import re
import secrets
from http import HTTPStatus
from pathlib import Path

from pydantic import BaseModel

PROBLEM_TYPE = "application/problem+json"
_log = logging.getLogger("unweave.server")


class Problem(BaseModel):
    """What went wrong with a request."""

    title: str
    status: int
    detail: str


class Refused(Exception):
    """A request that is not served: the status, one line for the person, and headers of the reply."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def problem(status: int, detail: str) -> bytes:
    """The body of a reply with ``status``."""
    made = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    # ASCII, because a refused text may hold what is no Unicode.
    return json.dumps(made.model_dump()).encode("ascii")


def without_place(line: str, root: Path) -> str:
    """A refusal that names the lab's folder by its last part: where it stands is the business of this machine alone."""
    for place in dict.fromkeys((str(root.resolve()), str(root))):
        if Path(place).name:
            line = re.sub(rf"{re.escape(place)}(?![\w.-])", lambda _, name=Path(place).name: name, line)
    return line


def fault(error: BaseException) -> bytes:
    """The body of a 500 for an error that nobody foresaw; the log has its traceback under the same number."""
    number = secrets.token_hex(4)
    _log.error("fault %s", number, exc_info=error)
    return problem(500, f"the server failed on this; its log says why under {number}")
