"""Whether what is in a bundle is what it says it is: runs, a thread's history, and tensors that can be read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from unweave.base.errors import UnweaveError
from unweave.lab.bundle.archive import Archive
from unweave.lab.bundle.members import shown
from unweave.lab.threads import log
from unweave.lab.threads.thread import Thread
from unweave.record.run import ENDINGS

LARGEST_JSON = 64 << 20
LARGEST_HEADER = 100_000_000  # as in the safetensors library
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


def check_contents(archive: Archive) -> None:
    """Refuses a run that is none or has not ended, a thread without its runs, and damaged tensors."""
    manifest = archive.manifest
    for run in manifest.runs:
        _check_run(archive, run)
    for name in manifest.files:
        if name.endswith(".safetensors"):
            with archive.opened(name) as source:
                check_tensors(source, manifest.files[name][1], shown(name))
    if manifest.kind == "thread":
        _check_thread(archive)


def check_tensors(source: IO[bytes], size: int, name: str) -> None:
    """Refuses a safetensors file whose header is not one, or whose tensors do not fill the rest of it exactly."""
    length = int.from_bytes(source.read(8), "little")
    if size < 8 or length > min(LARGEST_HEADER, size - 8):
        raise UnweaveError(f"{name} says that its header has {length:,} bytes, and has {size:,} itself: it is damaged")
    header = _json(source.read(length), name)
    spans = []
    for tensor, what in header.items():
        if tensor == "__metadata__":
            if not isinstance(what, dict) or not all(isinstance(value, str) for value in what.values()):
                raise UnweaveError(f"{name} has metadata that are not text: it is damaged")
            continue
        spans.append(_span(what, name, tensor))
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise UnweaveError(f"{name} has tensors that overlap or leave a gap at byte {end:,}: it is damaged")
        end = stop
    if end != size - 8 - length:
        raise UnweaveError(f"{name} has {size - 8 - length:,} bytes of tensors and lists {end:,}: it was cut off")


def _span(what: Any, name: str, tensor: str) -> tuple[int, int]:
    try:
        bits, shape, (start, stop) = BITS[what["dtype"]], what["shape"], what["data_offsets"]
        sizes = [*shape, start, stop]
        if not all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in sizes):
            raise ValueError("a size that is none")
        if (stop - start) * 8 != math.prod(shape) * bits:
            raise ValueError("another size than its shape has")
    except (KeyError, TypeError, ValueError) as error:
        raise UnweaveError(f"{name} describes tensor {shown(tensor)} wrongly ({error}): it is damaged") from error
    return start, stop


def _check_run(archive: Archive, run: str) -> None:
    name = f"runs/{run}/run.json"
    if archive.manifest.files.get(name, ("", LARGEST_JSON + 1))[1] > LARGEST_JSON:
        raise UnweaveError(f"the bundle's run {run!r} has no run.json that could be read: it is refused whole")
    with archive.opened(name) as source:
        state = _json(source.read(), name)
    kinds = {"study": str, "config": dict, "status": str, "created": str, "environment": dict, "process": dict}
    wrong = next((key for key, kind in kinds.items() if not isinstance(state.get(key), kind)), None)
    if wrong or state.get("id") != run or state["status"] not in ENDINGS:
        what = f"lacks {wrong!r}" if wrong else f"is {shown(str(state.get('id')))}, {shown(str(state['status']))}"
        raise UnweaveError(f"the bundle's run {run!r} {what}, not a run of that id that ended: it is refused whole")


def _check_thread(archive: Archive) -> None:
    """The thread's history is whole, and exactly the runs that it speaks of came with it."""
    manifest = archive.manifest
    name = f"threads/{manifest.id}/{log.FILE}"
    if manifest.files.get(name, ("", LARGEST_JSON + 1))[1] > LARGEST_JSON:
        raise UnweaveError(f"the bundle's thread {manifest.id!r} has no events that could be read: it is refused whole")
    with archive.opened(name) as source:
        content = source.read()
    thread = Thread(manifest.id, tuple(log.parse(content, name)))
    if not thread.events or not content.endswith(b"\n"):
        raise UnweaveError(f"the bundle's thread {manifest.id!r} ends in the middle of an event: it is refused whole")
    for run in sorted({one.run for one in thread.runs} ^ set(manifest.runs)):
        raise UnweaveError(f"the bundle has run {run!r} and not its thread, or the other way: it is refused whole")


def _json(content: bytes, name: str) -> Mapping[str, Any]:
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnweaveError(f"{name} is not valid JSON ({error}): it is damaged") from error
    if not isinstance(value, dict):
        raise UnweaveError(f"{name} is not a JSON object: it is damaged")
    return value
