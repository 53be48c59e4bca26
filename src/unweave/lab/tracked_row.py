"""What a training script logs, as one flat row of JSON: nested names joined, tensors read, long lists summed up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

LONGEST_LIST = 64
"""Values of a list that is kept as it is; a longer one is summed up."""
BINS = 32
LONGEST_TEXT = 10_000
_TAKEN = ("time", "step", "self")


def flat_row(metrics: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """``metrics`` as a flat row, and what had no place in it: the kind of each value by its name.

    ``{"a": {"b": 1}}`` is ``a/b``. ``time`` and ``step`` are the row's own, so that such names become ``logged/time``.
    A number of any library is a number, and one that is not finite is None. Numbers in a list, array or tensor of more
    than ``LONGEST_LIST`` are summed up: how many, lowest, highest, mean, standard deviation, counts in ``BINS`` bins.
    """
    row: dict[str, Any] = {}
    strange: dict[str, str] = {}
    for name, value in _flat(metrics, ""):
        kind = type(value)
        if kind is float:
            kept = value if math.isfinite(value) else None
        elif kind is int or kind is bool or value is None:
            kept = value
        else:
            try:
                kept = _plain(value)
            except Exception:  # whatever a library's object does when it is asked for its numbers
                strange[name] = kind.__name__
                continue
        row[f"logged/{name}" if name in _TAKEN else name] = kept
    return row, strange


def plain_settings(settings: Any) -> dict[str, Any]:
    """A script's config as plain JSON: of a mapping, a dataclass or parsed arguments; what is not JSON as its text."""
    if is_dataclass(settings) and not isinstance(settings, type):
        settings = asdict(settings)
    elif not isinstance(settings, Mapping):
        settings = vars(settings)
    return {str(name): _setting(value) for name, value in settings.items()}


def _flat(metrics: Mapping[Any, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in metrics.items():
        whole = f"{before}{name}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{whole}/")
        else:
            yield whole, value


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value) if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}…"
    if isinstance(value, (list, tuple, range)):
        return _listed(value)
    if hasattr(value, "detach"):
        # A tensor: its gradient is not wanted, and half precision has no NumPy type.
        value = value.detach().cpu()
        value = (value.double() if value.is_floating_point() else value).numpy()
    if hasattr(value, "tolist") and getattr(value, "ndim", 0):
        return value.tolist() if value.size == 0 else _listed(value)
    return _scalar(value)


def _listed(values: Any) -> Any:
    import numpy as np

    if not isinstance(values, np.ndarray) and any(isinstance(value, str) or value is None for value in values):
        return [_scalar(value) for value in values[:LONGEST_LIST]]
    array = np.asarray([_scalar(value) for value in values] if isinstance(values, (list, tuple)) else values)
    if array.size <= LONGEST_LIST:
        return [_scalar(value) for value in array.ravel()]
    numbers = array.astype(np.float64).ravel()
    finite = numbers[np.isfinite(numbers)]
    summed: dict[str, Any] = {"values": int(numbers.size)}
    if finite.size < numbers.size:
        summed["not finite"] = int(numbers.size - finite.size)
    if finite.size:
        counts, edges = np.histogram(finite, BINS)
        low, high = float(edges[0]), float(edges[-1])
        mean, deviation = float(finite.mean()), float(finite.std())
        summed |= {"low": low, "high": high, "mean": mean, "deviation": deviation, "counts": counts.tolist()}
    return summed


def _scalar(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no number")


def _setting(value: Any) -> Any:
    if isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type)):
        return plain_settings(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_setting(item) for item in value]
    try:
        found = _scalar(value)
    except Exception:
        return str(value)
    return str(value) if found is None and value is not None else found
