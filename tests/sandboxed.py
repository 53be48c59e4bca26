"""A study's source round a few lines that misbehave, and one call that runs it in the sandbox to its end."""

from __future__ import annotations

import hashlib
from textwrap import dedent, indent

import pytest

from unweave.lab.sandbox import Limits, SandboxedStudy, unavailable
from unweave.record.run import Run

needs_sandbox = pytest.mark.skipif(unavailable() is not None, reason=f"no sandbox here: {unavailable()}")

HEAD = """
from __future__ import annotations
from dataclasses import dataclass
from unweave.studies.registry import study
from unweave.record.table import Table

@dataclass(frozen=True)
class Config:
    text: str = ""

@study("probe", "What can code in here do?", Config)
def probe(config, run=None):
"""


def source_of(body):
    return HEAD + indent(dedent(body).strip(), "    ") + "\n"


def started(tmp_path, body, limits=None, config=None, hidden=(), name="probe.py", run=None, progress=None):
    """(run, study) of a study whose function's body is ``body``; the lab is ``tmp_path/lab``, and ``run`` one of it."""
    lab = tmp_path / "lab"
    home = lab / ".lab"
    home.mkdir(parents=True, exist_ok=True)
    source = tmp_path / name
    source.write_text(source_of(body), encoding="utf-8")
    run = run or Run.create("probe", config or {}, lab)
    study = SandboxedStudy(
        run.path,
        source,
        hashlib.sha256(source.read_bytes()).hexdigest(),
        "probe",
        config or {},
        limits or Limits(seconds=30),
        home,
        hidden=(lab, *hidden),
        progress=progress,
    )
    return run, study


def ended(study):
    """How a study that was started ended."""
    while (result := study.poll()) is None:
        study.inside.selector.select(0.05)
    return result


def sandboxed(tmp_path, body, limits=None, **options):
    """(run, result) of a study whose function's body is ``body``; the lab is ``tmp_path/lab``."""
    run, study = started(tmp_path, body, limits, **options)
    return run, ended(study)


def log_of(result):
    return result.ended.output.decode("utf-8", "replace")
