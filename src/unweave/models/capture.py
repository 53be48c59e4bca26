"""Inputs of sites, captured in one pass over token windows: to memory, or to disk in half precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import atomic_path, read_json, write_json
from unweave.base.progress import Progress, Silent
from unweave.models.sites import Site
from unweave.models.target import Target, _Enough

HALF_LIMIT = 65504.0
_RESCALED_AT_ONCE = 64


def stream_inputs(
    target: Target, sites: Sequence[Site], tokens: Int[Tensor, "n t"], batch: int = 16
) -> Iterator[tuple[slice, dict[str, Float[Tensor, "b t d_in"]]]]:
    """Yields, per batch of windows, each site's input. The forward stops once the last of the sites was reached."""
    with torch.no_grad():
        for start in range(0, len(tokens), batch):
            window = tokens[start : start + batch]
            yield slice(start, start + len(window)), capture_inputs(target, sites, window)


def as_windows(values: Tensor, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t d"] | None:
    """Values of a site by window and token: some models hand theirs over flattened, some only part of them (None)."""
    if values.dim() == 2 and len(values) == tokens.numel():
        return values.unflatten(0, tuple(tokens.shape))
    return values if values.dim() == 3 and values.shape[:2] == tokens.shape else None


def inputs_by_label(
    target: Target, site: Site, windows: Mapping[str, np.ndarray]
) -> dict[str, Float[Tensor, "n d_in"]]:
    """A site's inputs on labelled windows, float32 on the CPU, a row a token; position 0 is left out."""
    found = {}
    for label, tokens in windows.items():
        parts = [x[site.name] for _, x in stream_inputs(target, [site], torch.as_tensor(tokens))]
        found[label] = torch.cat(parts)[:, 1:].flatten(0, 1).float().cpu()
    return found


def capture_inputs(
    target: Target, sites: Sequence[Site], tokens: Int[Tensor, "n t"]
) -> dict[str, Float[Tensor, "n t d_in"]]:
    """Each site's input for one batch of windows, by site name."""
    kept: dict[str, Tensor] = {}
    wanted = len({site.name for site in sites})
    handles = []

    def keeper(name: str):
        def keep(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            by_token = as_windows(args[0].detach(), tokens)
            if by_token is None:
                raise UnweaveError(f"site {name!r} does not see every token (an expert?): its input is {args[0].shape}")
            kept[name] = by_token
            if len(kept) == wanted:
                raise _Enough

        return keep

    for site in sites:
        handles.append(target.module.get_submodule(site.module).register_forward_pre_hook(keeper(site.name)))
    try:
        target.module(tokens.to(target.device), **target._forward_options())
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    missing = [site.name for site in sites if site.name not in kept]
    if missing:
        raise UnweaveError(f"site {missing[0]!r} is never called in a forward pass, so it has no input to capture")
    return kept


@dataclass(frozen=True)
class CaptureIndex:
    """What a capture on disk holds. ``scale``: stored half-precision values times this are the activations."""

    site: str
    target: str
    data: str
    windows: int
    length: int
    width: int
    scale: float = 0.0
    done: int = 0


class Capture:
    """A site's inputs on disk: ``inputs.f16`` (windows, length, width), memory-mapped, with ``index.json``."""

    def __init__(self, folder: Path, index: CaptureIndex) -> None:
        self.folder, self.index = folder, index
        shape = (index.windows, index.length, index.width)
        path = folder / "inputs.f16"
        expected = int(np.prod(shape)) * 2
        try:
            if not path.exists() and index.done == 0:
                _create(path, expected)
            if path.stat().st_size != expected:
                raise UnweaveError(
                    f"{path} has {path.stat().st_size} bytes where its index says {expected}: "
                    "remove the folder and capture again"
                )
            self.values = np.memmap(path, dtype=np.float16, mode="r+", shape=shape)
        except OSError as error:
            raise oserror_line(error, path) from error

    def __len__(self) -> int:
        return self.index.done

    def write(self, rows: slice, values: Float[Tensor, "b t d_in"]) -> None:
        """Stores a batch. A value beyond half precision's range under the present scale rescales what is stored."""
        flat = values.detach().float().cpu().numpy()
        largest = float(np.abs(flat).max())
        if not np.isfinite(largest):
            raise UnweaveError(f"site {self.index.site!r}: an activation is NaN or infinite in windows {rows}")
        scale = self.index.scale or max(largest, 1e-6) / 1024.0
        while largest / scale > HALF_LIMIT / 2:
            scale *= 4.0
        if self.index.scale and scale != self.index.scale:
            self._rescale(scale)
        self.values[rows] = (flat / scale).astype(np.float16)
        self.values.flush()
        self.index = replace(self.index, scale=scale, done=rows.stop)
        write_json(self.folder / "index.json", asdict(self.index))

    def _rescale(self, scale: float) -> None:
        # Marked as empty until it is over: stopped half-way, it is captured again instead of read at the wrong scale.
        write_json(self.folder / "index.json", asdict(replace(self.index, scale=0.0, done=0)))
        for start in range(0, self.index.done, _RESCALED_AT_ONCE):
            rows = slice(start, min(start + _RESCALED_AT_ONCE, self.index.done))
            stored = self.values[rows].astype(np.float32) * (self.index.scale / scale)
            self.values[rows] = stored.astype(np.float16)

    def read(self, windows: np.ndarray | slice) -> Float[Tensor, "n t d_in"]:
        """Activations of some windows in float32."""
        return torch.from_numpy(self.values[windows].astype(np.float32)) * self.index.scale


def capture_to_disk(
    target: Target,
    site: Site,
    tokens: Int[Tensor, "n t"],
    folder: Path,
    data: str,
    batch: int = 16,
    progress: Progress | None = None,
) -> Capture:
    """Captures a site's inputs into ``folder``, continuing where an interrupted capture stopped.

    ``data`` identifies the windows (a fingerprint); a folder that holds another target's or text's capture is
    refused. Memory use is one batch; disk use is ``windows * length * d_in * 2`` bytes, reserved at the start.
    """
    return capture_together(target, {site: folder}, tokens, data, batch, progress)[site.name]


def capture_together(
    target: Target,
    folders: Mapping[Site, Path],
    tokens: Int[Tensor, "n t"],
    data: str,
    batch: int = 16,
    progress: Progress | None = None,
) -> dict[str, Capture]:
    """Captures the inputs of several sites in one pass over the windows, each into a folder of its own.

    The pass begins where the capture that is furthest behind stopped; sites that are complete are left alone.
    """
    progress = progress or Silent()
    captures = {site.name: _open(target, site, tokens, folder, data) for site, folder in folders.items()}
    waiting = [site for site in folders if len(captures[site.name]) < len(tokens)]
    done = min((len(captures[site.name]) for site in waiting), default=len(tokens))
    for rows, inputs in stream_inputs(target, waiting, tokens[done:], batch):
        for site in waiting:
            captures[site.name].write(slice(rows.start + done, rows.stop + done), inputs[site.name])
        progress.update(rows.stop + done, len(tokens), "windows captured")
    return captures


def _open(target: Target, site: Site, tokens: Int[Tensor, "n t"], folder: Path, data: str) -> Capture:
    """The capture in ``folder``, as far as it got, or a new one."""
    wanted = CaptureIndex(site.name, target.identity.digest, data, len(tokens), tokens.shape[1], site.d_in)
    index_path = folder / "index.json"
    if index_path.exists():
        found = read_index(folder)
        if replace(found, scale=0.0, done=0) != wanted:
            raise UnweaveError(f"{folder} holds another capture (of {found.site!r}): choose another folder")
        return Capture(folder, found)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise oserror_line(error, folder) from error
    capture = Capture(folder, wanted)
    write_json(index_path, asdict(wanted))
    return capture


def read_index(folder: Path) -> CaptureIndex:
    """What the capture in ``folder`` holds; raises ``UnweaveError`` where there is none."""
    try:
        return CaptureIndex(**read_json(folder / "index.json"))
    except TypeError as error:
        raise UnweaveError(f"{folder / 'index.json'} is not the index of a capture: choose another folder") from error


def _create(path: Path, size: int) -> None:
    # Under another name first: a file cut short by a full disk must not be taken for a capture later.
    with atomic_path(path) as temporary, open(temporary, "wb") as created:
        _reserve(created.fileno(), size)


def _reserve(descriptor: int, size: int) -> None:
    import os

    # Reserving now makes a full disk fail here, in one line, and not as a bus error inside a memory map later.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)
