"""Elementwise work compiled into one pass over memory, with a way back where no compiler works.

Only such functions are compiled, not whole steps: matrix products are as fast eagerly, and a step of a model with
eighteen sites took more than ten minutes to compile in one piece.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from unweave.base.device import compiler_works
from unweave.base.errors import first_line

Function = TypeVar("Function", bound=Callable[..., Any])


RECOMPILE_LIMIT = 64
"""Versions of one function: sides of sites that happen to be equal, and what needs a gradient, make one each. Torch's
own limit of 8 is soon reached, and what comes after runs eagerly."""


def fused(function: Function) -> Function:
    """``function`` compiled once for all shapes at its first call, or as it is where compilation is not possible."""
    fast: Callable[..., Any] | None = None
    broken = False

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal fast, broken
        if broken or torch.compiler.is_compiling() or not compiler_works():
            return function(*arguments)
        fast = fast or torch.compile(function, dynamic=True, **_limits())
        try:
            return fast(*arguments)
        except Exception as error:  # whatever the device's compiler lacks
            failed = first_line(error)
        found = function(*arguments)  # a fault of the function itself is raised here, as what it is
        broken = True
        warnings.warn(f"torch.compile failed ({failed}): going on eagerly, slower", stacklevel=2)
        return found

    return call  # type: ignore[return-value]


def _limits() -> dict[str, Any]:
    known = inspect.signature(torch.compile).parameters
    return {"recompile_limit": RECOMPILE_LIMIT} if "recompile_limit" in known else {}  # not in older releases
