"""Studies: questions that can be asked, registered with one decorator line. Light to import: no torch."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from unweave.base.configs import Field, config_fields, typed_config
from unweave.base.errors import UnweaveError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from unweave.base.needs import Needs
    from unweave.studies.inquiry import Inquiry


@dataclass(frozen=True)
class Study:
    """A registered question: its name, what it answers in one line, its config type, and the function that runs it."""

    name: str
    question: str
    config: type
    function: Callable[..., Any]
    needs: Callable[[Any], Needs] | None = None
    """What a run of a config needs of the machine, reckoned before it starts; None where nothing says."""
    inquiry: Inquiry | None = None
    """How a planner may ask this study; None where only a person can."""

    def configure(self, settings: Mapping[str, Any]) -> Any:
        """A typed config from settings by field name; see ``typed_config``."""
        return typed_config(self.config, settings, f"study {self.name!r}")

    def asked(self) -> Inquiry:
        """How a planner may ask this study, or ``UnweaveError`` where it may not."""
        if self.inquiry is None:
            raise UnweaveError(f"study {self.name!r} has no inquiry, so a planner cannot ask it")
        return self.inquiry

    def fields(self) -> list[Field]:
        """The fields of the config, with defaults and meanings."""
        return config_fields(self.config)


_STUDIES: dict[str, Study] = {}


def study(
    name: str,
    question: str,
    config: type,
    needs: Callable[[Any], Needs] | None = None,
    inquiry: Inquiry | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function ``(config, run=None) -> result`` as a study."""
    if not is_dataclass(config):
        raise TypeError(f"the config of study {name!r} must be a dataclass")

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        known = _STUDIES.get(name)
        if known is not None and known.function.__module__ != function.__module__:
            raise TypeError(f"study {name!r} is registered by {known.function.__module__} already")
        _STUDIES[name] = Study(name, question, config, function, needs, inquiry)
        return function

    return register


def registered() -> Mapping[str, Study]:
    """What is registered so far, whoever did it."""
    return MappingProxyType(_STUDIES)


def unregister(name: str) -> None:
    """Takes a study out, so that a changed file may register it anew."""
    _STUDIES.pop(name, None)


def all_studies() -> dict[str, Study]:
    """Every study by name: each module of ``unweave.studies`` may register some, and so may installed packages."""
    import unweave.studies as room
    from unweave.studies.discover import load_entry_points

    for module in iter_modules(room.__path__):
        import_module(f"unweave.studies.{module.name}")
    load_entry_points()
    return dict(sorted(_STUDIES.items()))


def registered_by(module: str) -> list[str]:
    """The names of the studies that a module has registered."""
    return [name for name, known in _STUDIES.items() if known.function.__module__ == module]


def find_study(name: str) -> Study:
    """The study called ``name``, or ``UnweaveError`` with the nearest."""
    studies = all_studies()
    if name not in studies:
        raise UnweaveError(f"study {name!r} is not registered; {nearest(name, studies)}")
    return studies[name]
