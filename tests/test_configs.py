from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.base.configs import config_fields, parse_settings, plain_config, typed_config
from unweave.base.errors import UnweaveError


@dataclass(frozen=True)
class Config:
    language: str
    """The label to remove,
    as the corpus names it."""
    tokens: tuple[int, ...] = (4,)
    """Tokens of that label in the loss."""
    rate: float = 0.5
    quick: bool = False
    decomposition: Path | None = None
    sites: str | tuple[str, ...] = "*"
    limit: int | tuple[int, ...] | None = None
    format: Literal["peft", "merged"] = "peft"
    labels: list[str] = field(default_factory=lambda: ["en"])
    """Labels kept."""

    def __post_init__(self):
        if self.rate > 1:
            raise UnweaveError(f"rate is {self.rate}, and it must be at most 1")
        if self.rate < 0:
            raise ValueError(f"rate is {self.rate}, and it must not be negative")


def made(**settings):
    return typed_config(Config, {"language": "de", **settings}, "study 'x'")


def test_settings_are_read_from_assignments():
    assert parse_settings(["language=fr", " tokens = 4,64 ", "rule=a=b"]) == {
        "language": "fr",
        "tokens": "4,64",
        "rule": "a=b",
    }


@pytest.mark.parametrize("wrong", ["language", "=fr", " =fr"])
def test_an_assignment_without_a_field_or_a_value_is_refused(wrong):
    with pytest.raises(UnweaveError, match=r"not of the form field=value"):
        parse_settings([wrong])


def test_a_field_set_twice_is_refused_with_both_values():
    with pytest.raises(UnweaveError, match=r"language is set twice, to 'fr' and to 'de'"):
        parse_settings(["language=fr", "language=de"])


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("tokens", "4", (4,)),
        ("tokens", "4, 64,", (4, 64)),
        ("tokens", "", ()),
        ("rate", "1e-3", 0.001),
        ("quick", "yes", True),
        ("decomposition", "fr.decomp", Path("fr.decomp")),
        ("decomposition", "None", None),
        ("language", "none", "none"),
        ("language", "a,b", "a,b"),
        ("sites", "a,b", "a,b"),
        ("limit", "3", 3),
        ("limit", "3,4", (3, 4)),
        ("limit", "none", None),
        ("labels", "en,fr", ["en", "fr"]),
        ("format", "merged", "merged"),
    ],
)
def test_text_is_read_by_the_type_of_its_field(name, text, value):
    assert getattr(made(**{name: text}), name) == value


def test_typed_values_pass_through_and_defaults_stand():
    config = made(tokens=[1, 2], rate=0.25)
    assert (config.tokens, config.rate, config.labels, config.sites) == ((1, 2), 0.25, ["en"], "*")


def test_an_unknown_field_names_the_owner_and_the_nearest():
    with pytest.raises(UnweaveError, match=r"study 'x' has no field 'langage'; nearest: 'language'"):
        made(langage="fr")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"tokens": "four"}, r"study 'x': tokens is 'four': .*integer"),
        ({"tokens": "4,x"}, r"study 'x': tokens is '4,x': .*integer"),
        ({"format": "onnx"}, r"study 'x': format is 'onnx': input should be 'peft' or 'merged'"),
        ({"rate": "2"}, r"^rate is 2.0, and it must be at most 1$"),
        ({"rate": "-1"}, r"study 'x': rate is -1.0, and it must not be negative"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_should_be(settings, line):
    with pytest.raises(UnweaveError, match=line) as refused:
        made(**settings)
    assert "\n" not in str(refused.value)


def test_a_field_without_a_default_is_asked_for():
    with pytest.raises(UnweaveError, match=r"study 'x': language has no default: give language=VALUE"):
        typed_config(Config, {}, "study 'x'")


@given(
    st.lists(st.integers(), max_size=4).map(tuple),
    st.none() | st.just(Path("a/b")),
    st.text(max_size=9),
    st.none() | st.integers() | st.lists(st.integers(), max_size=3).map(tuple),
)
def test_a_config_comes_back_from_its_json(tokens, decomposition, language, limit):
    config = Config(language, tokens, decomposition=decomposition, limit=limit)
    assert typed_config(Config, plain_config(config), "study 'x'") == config


def test_fields_are_described_with_defaults_and_meanings():
    described = {each.name: each for each in config_fields(Config)}
    assert list(described) == [
        "language", "tokens", "rate", "quick", "decomposition", "sites", "limit", "format", "labels",
    ]  # fmt: skip
    assert described["language"].meaning == "The label to remove, as the corpus names it."
    assert described["language"].required
    assert (described["tokens"].type, described["tokens"].default) == ("tuple[int, ...]", (4,))
    assert not described["tokens"].required
    assert described["rate"].meaning == ""
    assert (described["labels"].default, described["labels"].meaning) == (["en"], "Labels kept.")


def test_a_class_without_source_is_described_without_meanings():
    namespace: dict = {}
    exec("from dataclasses import dataclass\n@dataclass\nclass Made:\n    a: int = 1\n    'Never seen.'", namespace)  # noqa: S102
    (field_,) = config_fields(namespace["Made"])
    assert (field_.name, field_.type, field_.meaning) == ("a", "int", "")
