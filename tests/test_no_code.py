"""Nothing in the package can open a pickle, run remote code or build a YAML object; data with code is refused."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import unweave
from unweave.base.errors import UnweaveError
from unweave.corpora import load_corpus

SOURCES = sorted(Path(unweave.__file__).parent.rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            parts = []
            function = node.func
            while isinstance(function, ast.Attribute):
                parts.append(function.attr)
                function = function.value
            parts.append(function.id if isinstance(function, ast.Name) else "?")
            yield ".".join(reversed(parts)), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_f3_18_no_module_can_open_a_pickle_or_run_code_that_comes_with_data(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not FORBIDDEN_MODULES & {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN_MODULES
        if isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "allow_pickle"):
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
    for name, node in calls(tree):
        assert name not in ("torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "os.system"), name
        # A user's own file is run on purpose, and nothing else is.
        assert name != "exec" or path.name == "source_file.py"
        assert not any(word.arg == "shell" for word in node.keywords), name


def test_f3_20_a_dataset_with_a_loading_script_is_refused_and_the_script_does_not_run(tmp_path):
    marker = tmp_path / "ran"
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "dataset.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (folder / "README.md").write_text("a: !!python/object/apply:os.system ['touch " + str(marker) + "']\n")
    for spec in (folder, folder / "dataset.py"):
        with pytest.raises(UnweaveError):
            load_corpus(spec)
    assert not marker.exists()


def test_f3_20_yaml_is_not_a_format_that_anything_here_reads(tmp_path):
    path = tmp_path / "corpus.yaml"
    path.write_text("x: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UnweaveError, match="is a single file, not a corpus"):
        load_corpus(path)
