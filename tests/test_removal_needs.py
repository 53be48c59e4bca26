"""What the study is reckoned to need: without torch, and in line with what its runs used."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from unweave.edit.methods import METHODS
from unweave.studies.removal_needs import CELL_SECONDS, cell_counts, removal_needs, target_parameters
from unweave.studies.remove_language import RECORD, RemoveLanguage, plan


def test_torch_is_not_imported_to_reckon():
    code = (
        "import sys\nfrom unweave.studies.registry import find_study\nstudy = find_study('remove-language')\n"
        "print(study.needs(study.configure({'target': 'polyglot'})).memory_gb, 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said[1] == "False"


def test_every_method_has_its_seconds_and_cells_are_counted_as_they_are_planned():
    assert set(CELL_SECONDS) == set(RECORD) <= set(METHODS)
    for config in (RemoveLanguage(), RemoveLanguage(seeds=5, tokens=(4, 64)), RemoveLanguage(setting="record")):
        config = config.resolved()
        assert sum(cell_counts(config).values()) == pytest.approx(len(plan(config)), rel=0.1)


@pytest.mark.parametrize(
    ("target", "parameters"),
    [
        ("polyglot", 1.058e6),
        ("org/model-135M-chat", 135e6),
        ("org/a-1.5B", 1.5e9),
        ("org/v2b-mbase", 5e8),
        ("org/x", 5e8),
    ],
)
def test_the_size_of_a_target_is_that_of_its_files_or_in_its_name(target, parameters):
    assert target_parameters(target) == pytest.approx(parameters, rel=0.01)


def test_more_work_needs_more():
    small = RemoveLanguage(target="polyglot")
    large = RemoveLanguage(target="org/model-1B")
    assert removal_needs(small).memory_gb < 1 < 4 < removal_needs(large).memory_gb
    assert removal_needs(replace(large, dtype="bfloat16")).memory_gb < removal_needs(large).memory_gb
    assert removal_needs(replace(small, seeds=6)).seconds > removal_needs(small).seconds
    assert removal_needs(replace(large, methods=("factor",))).seconds < removal_needs(large).seconds
    on_gpu = removal_needs(replace(large, device="cuda"))
    assert on_gpu.gpu_gb > 4
    assert removal_needs(replace(large, device="cpu")).gpu_gb == 0


def test_runs_on_a_small_target_take_one_thread_and_go_beside_each_other(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert removal_needs(RemoveLanguage(target="polyglot")).threads == 1
    assert removal_needs(RemoveLanguage(target="org/model-135M")).threads == 2
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert removal_needs(RemoveLanguage(target="org/model-135M")).threads == 1


def test_it_is_in_line_with_what_was_measured():
    # README: 31 cells on polyglot took three minutes on two threads.
    needs = removal_needs(RemoveLanguage(target="polyglot", seeds=5))
    assert 120 < needs.seconds < 360
    assert 0.54 < needs.memory_gb < 0.7
    # SmolLM2 is 134.5 million numbers, in float32.
    for methods, most in ((("factor",), 1.03), (("lora-1",), 1.69)):
        needs = removal_needs(RemoveLanguage(target="org/smol-134M", methods=methods))
        assert most < needs.memory_gb < 1.5 * most
