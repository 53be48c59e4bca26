"""How a command ends: what it prints for a person or a program, and the exit code of whatever went wrong."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext, redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.settings import launched_process
from unweave.base.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERRUPTED, BROKEN_PIPE, INTERNAL = 130, 141, 70


@dataclass(frozen=True)
class Output:
    """What a command has to say: ``value`` as JSON, ``lines`` for a person.

    ``then`` is what it goes on to do once that is printed (a server serves); the command ends with what it returns.
    """

    value: dict[str, Any]
    lines: Sequence[str] = field(default_factory=tuple)
    exit_code: int = 0
    then: Callable[[], int] | None = None


def conclude(command: Callable[[], Output], as_json: bool = False, kept: Sequence[str] = ()) -> int:
    """Runs a command, prints its output or one line on standard error, and returns the exit code.

    With ``as_json`` standard output gets exactly one JSON object, ``{"error": ...}`` after a failure, and whatever
    else is printed meanwhile goes to standard error. ``kept`` is what an interruption leaves behind, read when it
    happens. A traceback is shown only where ``UNWEAVE_TRACEBACK`` is 1.
    """
    try:
        for stream in (sys.stdout, sys.stderr):
            # A terminal that cannot show a character shows a question mark instead.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            output = command()
        lines = [json.dumps(output.value, allow_nan=False, default=str)] if as_json else output.lines
        for line in lines:
            print(printable(line))
        sys.stdout.flush()
        if output.then is None:
            return output.exit_code
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            return output.then()
    except KeyboardInterrupt as error:
        return _fail("; ".join(["interrupted", *kept]), INTERRUPTED, as_json, error)
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except UnweaveError as error:
        return _fail(str(error), error.exit_code, as_json, error)
    except OSError as error:
        # Libraries raise OSError with a text and no number for what is no fault of the system.
        refusal = oserror_line(error, error.filename or "a file") if error.errno else error
        return _fail(_first_line(refusal), UnweaveError.exit_code, as_json, error)
    except MemoryError as error:
        line = "out of memory: use fewer windows, a smaller batch or a smaller target"
        return _fail(line, UnweaveError.exit_code, as_json, error)
    except Exception as error:  # a fault in the program still owes its user one line
        line = f"internal error, {type(error).__name__}: {_first_line(error)} (UNWEAVE_TRACEBACK=1 shows where)"
        return _fail(line, INTERNAL, as_json, error)


def _fail(message: str, code: int, as_json: bool, error: BaseException) -> int:
    line = printable(" ".join(message.split()))
    with suppress(BrokenPipeError):
        if os.environ.get("UNWEAVE_TRACEBACK") == "1":
            import traceback

            traceback.print_exception(error)
        rank, count = launched_process()
        name = "unweave" if count == 1 else f"unweave, process {rank} of {count}"
        print(f"{name}: {line}", file=sys.stderr, flush=True)
    try:
        if as_json:
            print(json.dumps({"error": line, "exit_code": code}), flush=True)
    except BrokenPipeError:
        _silence_stdout()
    return code


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _silence_stdout() -> None:
    # Python flushes standard output once more at exit, and would complain about the pipe again.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
