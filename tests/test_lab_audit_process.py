from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from audited import CONFIG, LEVELS, finished, plan, started

from unweave.base.errors import UnweaveError
from unweave.lab.audit import process
from unweave.lab.audit.auditor import audit_folder
from unweave.lab.audit.confine import confine
from unweave.lab.audit.process import audit, audit_process, auditor_environment
from unweave.lab.lab import Lab
from unweave.record.seal import seal_run

SOURCES = Path(process.__file__).resolve().parents[3]
KEYS = {
    "OPENAI_API_KEY": "sk-proj-0123456789abcdefghij",
    "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwx",
    "GITHUB_TOKEN": "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
    "UNWEAVE_TOKEN": "not-of-a-known-form",
}


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path / "runs")
    yield lab
    lab.close()


def in_a_process(*lines):
    """What a confined process says of an attempt."""
    code = "\n".join(("import os, sys, pathlib", "from unweave.lab.audit.confine import confine", "confine()", *lines))
    environment = {"PYTHONPATH": str(SOURCES), "PATH": os.environ["PATH"]}
    return subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, env=environment)


def command(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), **options.pop("more", {})}
    line = [sys.executable, "-m", "unweave.lab.audit", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, **options)


def test_the_process_finds_what_the_auditor_finds(tmp_path):
    run = finished(tmp_path)
    assert audit_process(run.path, tmp_path) == audit_folder(run.path)
    (run.path / "tables" / "summary.csv").write_text("x")
    assert audit_process(run.path, tmp_path) == audit_folder(run.path)


def test_a_run_of_the_lab_is_audited_and_an_invalid_one_is_marked(lab):
    run = finished(lab.root)
    assert audit(lab, "one").verdict == "valid"
    assert lab.runs.get("one").valid
    path = run.path / "tables" / "summary.csv"
    path.write_bytes(path.read_bytes().replace(b"0.9421", b"0.9999"))
    assert audit(lab, "one").verdict == "invalid"
    row = lab.runs.get("one")
    assert not row.valid
    assert "tables/summary.csv was changed" in str(row.reason)


def test_a_run_that_was_sealed_anew_is_caught_by_the_labs_ledger(lab):
    run = finished(lab.root)
    assert audit(lab, "one").verdict == "valid"
    (run.path / "seal.json").unlink()
    run.log(seed=4, loss=0.0)
    seal_run(run)
    assert audit_folder(run.path).verdict == "valid"
    assert "another one than when this run was first seen" in audit(lab, "one").reasons[0]


def test_a_run_that_is_not_finished_is_not_marked(lab):
    run = started(lab.root, about={"plan": plan(study="other"), "seeds": list(LEVELS)})
    assert audit(lab, "one").verdict == "invalid"
    assert lab.runs.get("one").valid
    run.finish()
    assert audit(lab, "one").verdict == "invalid"
    assert not lab.runs.get("one").valid


def test_what_was_queued_is_compared_with_what_the_folder_says(lab):
    from unweave.studies import registry

    name = "remove-language"
    assert name in registry.all_studies()
    job = lab.queue.submit(name, {}, name="queued", seeds=[0], plan={"study": name})
    assert audit(lab, job.run).findings[0].kind == "unfinished"
    assert audit(lab, job.run).verdict == "not finished"
    path = lab.root / "queued" / "run.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "seeds": [3], "plan": {"study": name, "seeds": [3]}}))
    found = audit(lab, job.run)
    assert [one.where for one in found.findings if one.kind == "plan"] == ["plan", "seeds"]
    assert "the lab queued [0], and the run says [3]" in str(found.findings)


def test_there_is_no_audit_of_a_path_or_of_a_run_that_is_not_there(lab):
    for name in ("nobody", "../one", "/etc"):
        with pytest.raises(UnweaveError):
            audit(lab, name)


def test_the_auditor_has_an_allow_list_of_variables_and_none_of_the_callers_search_path(tmp_path, monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "evil"))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "evil" / "json.py"))
    for module in ("json", "unweave", "sitecustomize", "usercustomize"):
        marker = f"import pathlib; pathlib.Path({str(tmp_path / 'marker')!r}).write_text('x')\n"
        (tmp_path / "evil").mkdir(exist_ok=True)
        (tmp_path / "evil" / f"{module}.py").write_text(marker)
        (tmp_path / "runs").mkdir(exist_ok=True)
        (tmp_path / "runs" / f"{module}.py").write_text(marker)
    run = finished(tmp_path / "runs")
    monkeypatch.chdir(tmp_path / "runs")
    assert set(auditor_environment()) <= set(process.ENVIRONMENT)
    assert audit_process(run.path, tmp_path / "runs").verdict == "valid"
    assert not (tmp_path / "marker").exists()


def test_no_other_variable_reaches_the_process(tmp_path, monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    run = finished(tmp_path)
    monkeypatch.setattr(process, "_START", "import os, sys; sys.exit(','.join(sorted(os.environ)))")
    with pytest.raises(UnweaveError, match="the auditor of one failed") as error:
        audit_process(run.path, tmp_path)
    seen = str(error.value).partition("(")[2].partition(")")[0].split(",")
    assert set(seen) <= {*process.ENVIRONMENT, "LC_CTYPE"}
    assert "PATH" in seen


def test_the_auditor_loads_no_model_library_and_no_database(tmp_path):
    run = finished(tmp_path)
    code = (
        "import sys; from unweave.lab.audit.__main__ import main; code = main(sys.argv[1:]); "
        "print(sorted({'torch', 'transformers', 'numpy', 'sqlite3', 'pydantic', 'fastapi'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(SOURCES), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(run.path)], capture_output=True, text=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize(
    "attempt",
    [
        "open('x', 'w')",
        "open('x', 'ab')",
        "os.open('x', os.O_CREAT | os.O_WRONLY)",
        "pathlib.Path('x').touch()",
        "os.mkdir('x')",
        "os.rename('x', 'y')",
        "os.remove('x')",
        "import socket; socket.socket()",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import subprocess; subprocess.run(['true'])",
        "os.system('true')",
        "os.fork()",
        "import sqlite3; sqlite3.connect(':memory:')",
        "import urllib.request; urllib.request.urlopen('http://localhost')",
    ],
)
def test_a_confined_process_only_reads(attempt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = in_a_process(attempt)
    assert "PermissionError: the auditor only reads" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_confined_process_imports_no_torch_and_reads_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "the auditor needs no torch" in in_a_process("import torch").stderr
    (tmp_path / "x").write_text("read")
    assert in_a_process("print(open('x').read())").stdout == "read\n"
    assert callable(confine)


def test_the_command_prints_verdicts_and_ends_with_one_where_a_run_is_invalid(tmp_path):
    run, other = finished(tmp_path), finished(tmp_path, "other")
    done = command(run.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "one: valid"
    assert done.stdout.splitlines()[1].startswith("  held: One factor leaves Spanish at 0.94 ln V.")
    (other.path / "log.txt").write_text("not sealed")
    (other.path / "metrics.jsonl").unlink()
    done = command(run.path, other.path, "--json")
    assert done.returncode == 1
    assert [one["verdict"] for one in json.loads(done.stdout)] == ["valid", "invalid"]
    assert command(run.path, "--seal", "0" * 64).returncode == 1
    assert json.loads(command(run.path, "--json").stdout)["findings"] == []
    assert command().returncode == 2


def test_an_auditor_that_fails_is_one_line(tmp_path, monkeypatch):
    run = finished(tmp_path)
    monkeypatch.setattr(process, "_START", "raise SystemExit('no')")
    with pytest.raises(UnweaveError, match=r"the auditor of one failed \(no\)"):
        audit_process(run.path, tmp_path)
    monkeypatch.setattr(process, "_START", "import time; time.sleep(30)")
    monkeypatch.setattr(process, "_SECONDS", 0.2)
    with pytest.raises(UnweaveError, match=r"did not end within 0.2 s"):
        audit_process(run.path, tmp_path)


def test_f3_44_the_auditors_output_holds_no_key(tmp_path, monkeypatch):
    """Keys in the environment do not reach the auditor, and those in a run's own texts do not leave it."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    run = started(tmp_path, config={**CONFIG, "endpoint": "https://x?api_key=abcdef123456"})
    run.claim(f"With {KEYS['OPENAI_API_KEY']} it is {{value}}.", "summary", {"method": "factor"}, "level")
    run.deviate("code", f"token {KEYS['HF_TOKEN']}")
    run.claim(f"{KEYS['UNWEAVE_TOKEN']} gives {{value}}, or 0.99.", "summary", {"method": "factor"}, "level")
    (run.path / "report.md").write_text(f"Bearer {KEYS['GITHUB_TOKEN']} gave 0.99 with AKIAABCDEFGHIJKLMNOP.")
    run.finish()
    found = json.dumps(audit_process(run.path, tmp_path).to_json())
    printed = command(run.path).stdout + command(run.path, "--json").stdout
    assert KEYS["UNWEAVE_TOKEN"] not in found
    assert "(hidden)" in found
    for key in (*KEYS.values(), "AKIAABCDEFGHIJKLMNOP", "abcdef123456"):
        assert key not in found + printed
