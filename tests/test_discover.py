from __future__ import annotations

import hashlib
import sys
from importlib import metadata

import pytest

from unweave.base.errors import UnweaveError
from unweave.studies import discover, registry
from unweave.studies.discover import load_source, named_in, source_hash

STUDY = """
from __future__ import annotations
from dataclasses import dataclass
from unweave.studies.registry import study

@dataclass(frozen=True)
class Config:
    times: int = 2
    '''How often.'''

@study("echo", "Does it come back?", Config)
def echo(config, run=None):
    return config.times * 10
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    registry.all_studies()  # imported here they would be lost with the patch
    monkeypatch.setattr(registry, "_STUDIES", dict(registry._STUDIES))
    yield
    for name in [name for name in sys.modules if name.startswith("unweave_user_")]:
        sys.modules.pop(name)


def written(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_files_studies_are_registered_with_typed_configs_and_meanings(tmp_path):
    found = load_source(written(tmp_path, STUDY))
    assert list(found) == ["echo"]
    study = registry.find_study("echo")
    assert study.function(study.configure({"times": "4"})) == 40
    assert study.fields()[0].meaning == "How often."


def test_a_changed_file_replaces_what_it_registered(tmp_path):
    path = written(tmp_path, STUDY)
    load_source(path)
    written(tmp_path, STUDY.replace("* 10", "* 100").replace('"echo"', '"echoed"'))
    assert list(load_source(path)) == ["echoed"]
    assert "echo" not in registry.registered()
    assert registry.find_study("echoed").function(registry.find_study("echoed").configure({})) == 200


def test_what_runs_are_the_bytes_that_were_hashed_and_no_cached_code(tmp_path):
    path = written(tmp_path, STUDY)
    load_source(path)
    assert not list(tmp_path.rglob("*.pyc"))
    assert source_hash(path) == hashlib.sha256(STUDY.encode()).hexdigest()


def test_what_a_file_registers_is_read_without_running_it(tmp_path):
    text = "open('ran', 'w')\n" + STUDY + STUDY.replace('@study("echo"', '@registry.study("other"') + "1 / 0\n"
    assert named_in(written(tmp_path, text)) == ["echo", "other"]
    assert not (tmp_path / "ran").exists()
    named = '@study(question="?", config=Config, name="third")\ndef f(): ...\n'
    assert named_in(written(tmp_path, named)) == ["third"]
    assert named_in(written(tmp_path, "@study(NAME)\ndef f(): ...\n@other('x')\ndef g(): ...\n")) == []
    for wrong in ("def f(:", "x = '\0'"):
        with pytest.raises(UnweaveError, match=r"mine.py is not Python"):
            named_in(written(tmp_path, wrong))


def test_two_files_of_one_name_in_two_folders_do_not_mix(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    load_source(written(tmp_path / "a", STUDY))
    load_source(written(tmp_path / "b", STUDY.replace('"echo"', '"other"')))
    assert {"echo", "other"} <= set(registry.registered())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", r"mine.py registers no study: decorate a function with @study"),
        ("1 / 0\n", r"mine.py does not load: division by zero \(ZeroDivisionError\)"),
        ("def f(:\n", r"mine.py does not load: .*\(SyntaxError\)"),
        ("import nowhere_at_all\n", r"mine.py does not load: No module named 'nowhere_at_all'"),
    ],
)
def test_a_file_that_is_no_study_is_refused_and_registers_nothing(tmp_path, text, said):
    before = set(registry.registered())
    with pytest.raises(UnweaveError, match=said):
        load_source(written(tmp_path, text))
    assert set(registry.registered()) == before


def test_a_file_that_fails_after_registering_leaves_nothing_registered(tmp_path):
    with pytest.raises(UnweaveError, match="does not load: stop"):
        load_source(written(tmp_path, STUDY + "\nraise RuntimeError('stop')\n"))
    assert "echo" not in registry.registered()


def test_a_file_cannot_take_the_name_of_a_study_from_elsewhere(tmp_path):
    known = next(iter(registry.all_studies()))
    with pytest.raises(UnweaveError, match=f"study '{known}' is registered by unweave.studies"):
        load_source(written(tmp_path, STUDY.replace('"echo"', f'"{known}"')))
    assert registry.find_study(known).function.__module__.startswith("unweave.studies")


def test_other_endings_and_missing_files_are_refused(tmp_path):
    with pytest.raises(UnweaveError, match="is not a Python file"):
        load_source(written(tmp_path, STUDY, "mine.txt"))
    with pytest.raises(UnweaveError, match="it does not exist"):
        load_source(tmp_path / "missing.py")


class Point:
    def __init__(self, value, load):
        self.value, self.load = value, load


def test_an_installed_packages_studies_are_found_by_entry_point_and_a_broken_one_is_said(tmp_path, monkeypatch):
    def broken():
        raise ImportError("its library is missing")

    path = written(tmp_path, STUDY)
    points = [Point("theirs:broken", broken), Point("theirs:good", lambda: load_source(path))]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == discover.GROUP else [])
    discover.load_entry_points.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="'theirs:broken' do not load: its library is missing"):
            assert "echo" in registry.all_studies()
    finally:
        discover.load_entry_points.cache_clear()
