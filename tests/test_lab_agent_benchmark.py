"""The record of the agent's benchmark: what made each answer, and which wrong answers are counted."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "agent"


def loaded(name):
    """A module of the benchmark; its folder is not on the path, where its ``planted`` would be the tests'."""
    spec = importlib.util.spec_from_file_location(f"agent_benchmark_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_answers_of_other_code_or_another_budget_are_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))  # so that what the module adds to the path is taken back
    kept, made = loaded("__main__")._kept, {"commit": "a" * 40, "code": "b" * 64, "budget": 90}
    rows = tmp_path / "rows.jsonl"
    assert kept(rows, made) == []
    rows.write_text(json.dumps({**made, "answer": "yes"}) + "\n")
    assert kept(rows, made) == [{**made, "answer": "yes"}]
    for changed in ({"commit": "c" * 40}, {"code": "c" * 64}, {"budget": 91}):
        with pytest.raises(SystemExit, match="use a new file"):
            kept(rows, {**made, **changed})
    rows.write_text(json.dumps({"answer": "yes"}) + "\n")
    with pytest.raises(SystemExit, match="answers of commit None"):
        kept(rows, made)


def test_wrong_answers_about_an_effect_are_counted_beside_false_discoveries():
    summing = loaded("summing")
    about = {"planner": "builtin", "seed": 0, "runs": 10}
    rows = [
        {**about, "kind": "best", "right": False, "effect": True, "false discovery": False, "wrong claim": True},
        {**about, "kind": "best", "right": False, "effect": True, "false discovery": False, "wrong claim": False},
        {**about, "kind": "none", "right": False, "effect": False, "false discovery": True, "wrong claim": False},
    ]
    whole = summing.summary(rows)[0]
    assert (whole["false discoveries"], whole["of"], whole["wrong claims"], whole["of effects"]) == (1, 1, 1, 2)
    assert summing.texts(whole)[1:3] == ("1 of 1", "1 of 2")
    assert {"commit", "code"} == set(summing.made_by())
