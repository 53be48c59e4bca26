"""Models trained here whose answer is known: a world model of Mountain Car and a network that adds modulo a prime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.shapes.worlds.addition import AdditionConfig
    from unweave.shapes.worlds.addition_system import AdditionSystem, modular_addition
    from unweave.shapes.worlds.car_system import CarSystem, mountain_car
    from unweave.shapes.worlds.frame_model import WorldConfig

_HOME = {
    "AdditionConfig": "addition",
    "AdditionSystem": "addition_system",
    "CarSystem": "car_system",
    "WorldConfig": "frame_model",
    "modular_addition": "addition_system",
    "mountain_car": "car_system",
}
__all__ = ["AdditionConfig", "AdditionSystem", "CarSystem", "WorldConfig", "modular_addition", "mountain_car"]

__getattr__ = lazy_exports(__name__, _HOME)
