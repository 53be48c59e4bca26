"""A run or a thread as one HTML file that opens without a network, a server or a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.lab.static_copy.markdown import markdown_html
    from unweave.lab.static_copy.writing import static_copy

_HOME = {"markdown_html": "markdown", "static_copy": "writing"}
__all__ = ["markdown_html", "static_copy"]

__getattr__ = lazy_exports(__name__, _HOME)
