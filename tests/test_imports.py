from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

LIGHT = [
    "unweave",
    "unweave.base.files",
    "unweave.models",
    "unweave.models.named",
    "unweave.decompose",
    "unweave.decompose.config",
    "unweave.edit",
    "unweave.lab.sweeps.comparison_record",
    "unweave.lab.tracking",
    "unweave.read.dictionaries",
    "unweave.read.labels",
    "unweave.read.labels.labeler",
    "unweave.studies.registry",
]


@pytest.mark.parametrize("name", LIGHT)
def test_importing_it_does_not_load_torch(name):
    script = f"import sys, {name}; print(sorted({{'torch', 'transformers', 'peft'}} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


ROOMS = [
    "unweave",
    "unweave.models",
    "unweave.decompose",
    "unweave.edit",
    "unweave.lab.sweeps",
    "unweave.read.dictionaries",
    "unweave.read.labels",
]


@pytest.mark.parametrize("name", ROOMS)
def test_every_public_name_can_be_had_and_a_wrong_one_is_refused(name):
    room = import_module(name)
    for each in room.__all__:
        assert getattr(room, each) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = room.nothing
