"""The method finds answers that are known: the command, as a person would give it, on one seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        pytest.param("tms-5-2", 0, marks=pytest.mark.slow),
        pytest.param("tms-40-10", 2, marks=pytest.mark.slow),
        pytest.param("planted-languages", 0, marks=pytest.mark.slow),
    ],
)
def test_the_known_answer_is_found(name, allowed, tmp_path):
    """On the first seed: one subcomponent for each feature in both matrices (SPD, section 4.1), or each planted piece.

    With forty features one or two of the eighty importances can be astray where a processor rounds otherwise (they were
    in three seeds of five at two thirds of the length), so the larger model is allowed that; a method that does not
    work has forty and more.
    """
    command = [sys.executable, "-m", "unweave.cli", "validate", name, "--seeds", "1", "--json", "--runs", str(tmp_path)]
    # Matrices this small gain nothing from a second thread, and on a busy machine two wait for each other.
    environment = {**os.environ, "UNWEAVE_COMPILE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    found = json.loads(done.stdout)
    assert found["errors"] <= allowed, (found, done.stderr[-2000:])
    assert done.returncode == (0 if found["passed"] else 1)
    assert found["mmcs"] >= 0.99
    assert 0.97 <= found["ml2r"] <= 1.03
