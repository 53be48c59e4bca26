from __future__ import annotations

import pytest
from sandboxed import needs_sandbox, source_of

from unweave.base.errors import UnweaveError
from unweave.lab import Lab
from unweave.lab.agent.language import LabTools
from unweave.lab.operations.registry import all_operations, perform
from unweave.lab.people import NotAllowed, Person

ANNE, BEN, AGENT = Person("anne", "owner"), Person("ben", "reader"), Person("agent", "runner")


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "lab")


def do(lab, person, name, /, **fields):
    return perform(lab, person, name, all_operations()[name].request(**fields))


def proposed(lab, body="run.log(x=1)"):
    return do(lab, AGENT, "propose-code", name="mine.py", source=source_of(body), why="a control")


@needs_sandbox
def test_proposed_code_is_read_allowed_and_run_in_the_sandbox(lab):
    made = proposed(lab)
    assert do(lab, ANNE, "proposals").proposals == [made]
    assert "run.log(x=1)" in do(lab, BEN, "proposal", sha256=made.sha256).source
    with pytest.raises(UnweaveError, match="was not allowed to run"):
        do(lab, AGENT, "run-code", sha256=made.sha256, study="probe")
    assert do(lab, ANNE, "allow-code", sha256=made.sha256).allowed_by == "anne"
    job = do(lab, AGENT, "run-code", sha256=made.sha256, study="probe").jobs[0]
    assert lab.queue.wait([job.id], 60)[0].state == "finished"
    deeds = [(deed.person, deed.deed) for deed in lab.people.deeds()]
    assert ("anne", "allow-code") in deeds
    assert ("agent", "run-code") in deeds


def test_f3_28_an_agent_cannot_allow_its_own_code_and_a_reader_proposes_none(lab):
    made = proposed(lab)
    with pytest.raises(NotAllowed, match="'agent' is a runner, and this needs a reviewer"):
        do(lab, AGENT, "allow-code", sha256=made.sha256)
    with pytest.raises(NotAllowed):
        do(lab, BEN, "propose-code", name="a.py", source="x = 1")
    assert do(lab, ANNE, "proposals").proposals[0].allowed_by is None


@pytest.mark.parametrize(("proposes", "allows"), [("anne.mcp", "anne"), ("anne", "anne.mcp"), ("anne", "anne")])
def test_nobody_allows_what_they_or_their_own_agent_proposed(lab, proposes, allows):
    made = do(lab, Person(proposes, "runner"), "propose-code", name="mine.py", source="x = 1", why="a control")
    with pytest.raises(UnweaveError, match="somebody else has to allow it"):
        do(lab, Person(allows, "reviewer"), "allow-code", sha256=made.sha256)


def test_f3_28_a_planners_tools_only_read(lab):
    tools = LabTools(lab, AGENT)
    offered = {one["function"]["name"] for one in tools.functions()}
    assert {"runs", "run", "table", "studies"} <= offered
    assert all(all_operations()[name.replace("_", "-")].scope == "read" for name in offered)
    for name in ("start_run", "cancel_run", "approve_plan", "allow_code", "run_code", "add_person", "shell"):
        with pytest.raises(UnweaveError, match="there is no tool"):
            tools.call(name, {})
    assert tools.call("runs", {"limit": 5})["rows"] == []
    with pytest.raises(UnweaveError, match="limit"):
        tools.call("runs", {"limit": "all"})
