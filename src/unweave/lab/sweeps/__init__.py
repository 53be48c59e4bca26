"""Many runs of one study over a space of configs, and their comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.lab.sweeps.comparison import Comparison, compare
    from unweave.lab.sweeps.comparison_record import comparison_table, save_comparison
    from unweave.lab.sweeps.halving import Halving
    from unweave.lab.sweeps.measure import Measure
    from unweave.lab.sweeps.plan import SweepPlan, estimate_cost
    from unweave.lab.sweeps.space import Space
    from unweave.lab.sweeps.sweep import submit_sweep

_HOME = {
    "Comparison": "comparison",
    "Halving": "halving",
    "Measure": "measure",
    "Space": "space",
    "SweepPlan": "plan",
    "compare": "comparison",
    "comparison_table": "comparison_record",
    "estimate_cost": "plan",
    "save_comparison": "comparison_record",
    "submit_sweep": "sweep",
}
__all__ = [
    "Comparison",
    "Halving",
    "Measure",
    "Space",
    "SweepPlan",
    "compare",
    "comparison_table",
    "estimate_cost",
    "save_comparison",
    "submit_sweep",
]

__getattr__ = lazy_exports(__name__, _HOME)
