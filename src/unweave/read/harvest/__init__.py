"""Harvest: what every feature of a dictionary does on a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.read.harvest.config import HarvestConfig
    from unweave.read.harvest.run import harvest, read_shard
    from unweave.read.harvest.value import Example, Harvest, Pool, TokenCounts, TokenTable, token_table

_HOME = {
    "Example": "value",
    "Harvest": "value",
    "HarvestConfig": "config",
    "Pool": "value",
    "TokenCounts": "value",
    "TokenTable": "value",
    "harvest": "run",
    "read_shard": "run",
    "token_table": "value",
}
__all__ = [
    "Example",
    "Harvest",
    "HarvestConfig",
    "Pool",
    "TokenCounts",
    "TokenTable",
    "harvest",
    "read_shard",
    "token_table",
]

__getattr__ = lazy_exports(__name__, _HOME)
