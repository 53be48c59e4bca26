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
    "unweave.corpora.pairs",
    "unweave.corpora.pairs.check",
    "unweave.corpora.stories",
    "unweave.corpora.stories.value",
    "unweave.decompose",
    "unweave.decompose.config",
    "unweave.edit",
    "unweave.lab",
    "unweave.lab.sweeps.comparison_record",
    "unweave.lab.tracking",
    "unweave.read.dictionaries",
    "unweave.read.labels",
    "unweave.read.labels.labeler",
    "unweave.server.mcp_http",
    "unweave.server.serve",
    "unweave.studies.registry",
]


@pytest.mark.parametrize("name", LIGHT)
def test_importing_it_does_not_load_torch(name):
    script = f"import sys, {name}; print(sorted({{'torch', 'transformers', 'peft'}} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_listing_the_operations_and_what_they_answer_of_a_lab_does_not_load_torch(tmp_path):
    script = (
        "import sys\nfrom unweave.lab import Lab\nfrom unweave.lab.operations.registry import all_operations, perform\n"
        f"lab = Lab({str(tmp_path / 'runs')!r})\n"
        "for name in ('lab', 'studies', 'runs', 'threads', 'queue', 'resources', 'replications', 'people', 'deeds'):\n"
        "    perform(lab, lab.people.here(), name, all_operations()[name].request())\n"
        "print(sorted({'torch', 'transformers', 'peft', 'ray'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


ROOMS = [
    "unweave",
    "unweave.models",
    "unweave.corpora.pairs",
    "unweave.corpora.stories",
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
