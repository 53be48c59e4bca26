from __future__ import annotations

from dataclasses import dataclass

import pytest

from unweave.base.errors import UnweaveError
from unweave.studies import registry


@dataclass(frozen=True)
class Config:
    language: str = "de"
    """The label to remove."""


@pytest.fixture
def studies(monkeypatch):
    registry.all_studies()  # imported under the patch they would be lost with it
    monkeypatch.setattr(registry, "_STUDIES", {})
    return registry._STUDIES


def question(config, run=None):
    return config.language


def test_a_decorated_function_is_a_study_and_stays_a_function(studies):
    assert registry.study("remove-word", "Can a word go?", Config)(question) is question
    found = studies["remove-word"]
    assert (found.name, found.question, found.config) == ("remove-word", "Can a word go?", Config)
    assert found.function(found.configure({"language": "fr"})) == "fr"
    assert found.fields()[0].meaning == "The label to remove."


def test_the_rooms_own_studies_are_found_and_sorted():
    names = list(registry.all_studies())
    assert names == sorted(names)


def test_an_unknown_study_names_the_nearest(studies):
    registry.study("zz-remove-word", "Can a word go?", Config)(question)
    with pytest.raises(UnweaveError, match=r"study 'zz-remove-wrd' is not registered; nearest: 'zz-remove-word'"):
        registry.find_study("zz-remove-wrd")


def test_a_config_must_be_a_dataclass(studies):
    with pytest.raises(TypeError, match="must be a dataclass"):
        registry.study("x", "?", dict)


def test_two_modules_cannot_share_a_name(studies, monkeypatch):
    registry.study("x", "?", Config)(question)
    registry.study("x", "?", Config)(question)

    def other(config, run=None):
        return None

    monkeypatch.setattr(other, "__module__", "elsewhere")
    with pytest.raises(TypeError, match="registered by test_registry already"):
        registry.study("x", "?", Config)(other)


def test_a_refusal_names_the_study(studies):
    registry.study("remove-word", "Can a word go?", Config)(question)
    with pytest.raises(UnweaveError, match=r"study 'remove-word' has no field 'langage'; nearest: 'language'"):
        studies["remove-word"].configure({"langage": "fr"})
