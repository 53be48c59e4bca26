"""The commands that start many runs: the agent with its approval, sweeps, and papers."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from small_lab import make_lab, write_study

from unweave.cli import main
from unweave.lab.lab import Lab
from unweave.lab.operations.registry import all_operations, perform
from unweave.lab.people import Person
from unweave.record import find_run
from unweave.studies import registry

QUESTION = "Which strength of pushing moves it?"
RUNNER = Person("rita", "runner")


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Calls the command line in a folder with a study that a planner can ask."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_STUDIES", dict(registry.all_studies()))
    for name in ("UNWEAVE_ENDPOINT", "UNWEAVE_MODEL", "UNWEAVE_KEY_ENV"):
        monkeypatch.delenv(name, raising=False)
    write_study(tmp_path, planned=True)

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    yield call
    if (tmp_path / "runs").is_dir():
        Lab(tmp_path / "runs").queue.close()


def ask(lab, name, **fields):
    return perform(lab, RUNNER, name, all_operations()[name].request(**fields))


def test_the_agent_waits_for_its_plan_to_be_approved_and_then_answers(cli):
    code, out, err = cli("agent", QUESTION, "--source", "push.py", "--wait-for-approval", "--name", "asked")
    assert code == 0, err
    assert "plan " in out
    assert "candidate strength=4.0" in out
    lab = Lab("runs")
    thread = lab.threads.list()[0].id
    assert [job.kind for job in lab.queue.list()] == ["agent"]
    approve = next(line for line in out.splitlines() if line.startswith("unweave thread approve"))
    assert cli(*approve.split()[1:])[0] == 0
    code, out, err = cli("queue", "wait", "asked")
    assert code == 0, err
    shown = cli("thread", "show", thread)[1]
    assert "concluded by agent: Which strength of pushing moves it? Yes." in shown
    assert "held: `strength=4.0`" in shown
    code, out, _ = cli("audit", "asked")
    assert (code, out.startswith("asked: valid")) == (0, True)
    stopped = ask(lab, "stop-agent", thread=thread)
    assert [job.state for job in stopped.jobs] == ["finished"]
    lab.close()


def test_an_agent_is_stopped_before_it_has_run_anything(cli):
    code, out, err = cli("agent", QUESTION, "--source", "push.py", "--queue", "--name", "asked", "--json")
    assert code == 0, err
    thread = json.loads(out)["thread"]
    assert cli("agent", "--stop", thread)[0] == 0
    lab = Lab("runs")
    assert lab.threads.get(thread).state == "stopped"
    assert cli("queue", "wait", "asked")[0] in (0, 1)
    assert [job.id for job in lab.queue.list()] == ["asked"]
    lab.close()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "what is the question? unweave agent QUESTION"),
        (["Why?", "--stop", "x"], "--stop ends a session, and a question begins one"),
        (
            ["Why?", "--planner", "language-model", "--endpoint", "http://127.0.0.1:1/v1"],
            "needs an endpoint and a model",
        ),
        (["Why?", "--endpoint", "http://127.0.0.1:1/v1"], "--endpoint is for --planner language-model"),
        (["Why?", "--model", "some"], "--model is for --planner language-model"),
        (["Why?", "--planner", "language-model", "--key-env", "KEY"], "needs an endpoint and a model"),
        (["Why?", "--planner", "language-model"], "set UNWEAVE_ENDPOINT and UNWEAVE_MODEL there"),
        (["Why?", "--runs-at-most", "0"], "is not a whole number above 0"),
    ],
)
def test_what_the_agent_refuses_is_one_line_and_submits_nothing(cli, tmp_path, arguments, line):
    code, out, err = cli("agent", *arguments)
    assert (code, out) == (2, "")
    assert line in err
    assert not [path for path in (tmp_path / "runs").glob("*") if (path / "run.json").exists()]


def test_a_flag_of_the_language_model_replaces_what_the_environment_says_and_is_recorded(cli, monkeypatch):
    monkeypatch.setenv("UNWEAVE_ENDPOINT", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("UNWEAVE_MODEL", "usual")
    model = ["--planner", "language-model", "--model", "another", "--key-env", "MY_KEY", "--source", "push.py"]
    assert cli("agent", QUESTION, *model, "--queue", "--name", "asked")[0] == 0
    with Lab("runs") as lab:
        config = lab.queue.get("asked").config
        asked = (config["endpoint"], config["model"], config["key_variable"])
        assert asked == ("http://127.0.0.1:1/v1", "another", "MY_KEY")
        detail = lab.people.deeds(1)[0].detail
        assert (detail["endpoint"], detail["model"], detail["source"]) == (*asked[:2], "push.py")


def test_the_agents_example_in_the_documentation_can_be_followed(cli, tmp_path):
    text = (Path(__file__).parents[1] / "docs" / "lab.md").read_text(encoding="utf-8")
    [study] = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "@study" in block]
    (tmp_path / "push.py").write_text(study)
    command = next(line for line in text.splitlines() if line.startswith("unweave agent "))
    code, _, err = cli(*shlex.split(command)[1:], "--queue")
    assert code == 0, err


def test_a_file_whose_studies_cannot_be_asked_is_named_in_the_refusal(cli, tmp_path):
    write_study(tmp_path)
    code, _, err = cli("agent", "Which strength of zorbing zorbs it?", "--source", "push.py")
    assert (code, "'push' of push.py cannot be asked: give @study an inquiry" in err) == (2, True), err


def test_over_the_network_no_address_and_no_file_is_named(tmp_path):
    lab = make_lab(tmp_path / "runs")
    for name, extra in (
        ("start-agent", {"question": "?", "endpoint": "http://169.254.169.254/v1"}),
        ("start-agent", {"question": "?", "source": "/etc/passwd"}),
        ("start-run", {"study": "push", "source": "/etc/passwd"}),
        ("start-sweep", {"study": "push", "source": "/etc/passwd"}),
        ("replicate", {"paper": "/etc/passwd"}),
        ("replicate", {"paper": "../../secret.json"}),
    ):
        with pytest.raises(ValueError, match=r"Extra inputs|should match pattern"):
            all_operations()[name].request(**extra)
    lab.close()


def test_a_sweep_is_planned_run_and_compared(cli):
    sweep = ["sweep", "push.py", "--over", "strength=1,2", "--seeds", "3"]
    code, out, _ = cli(*sweep, "--dry-run")
    assert (code, out.startswith("6 runs, ")) == (0, True)
    code, out, err = cli(*sweep, "--name", "swept")
    assert code == 0, err
    # The measure is the one that the study answers with.
    assert "summary.moved: strength=2.0 less strength=1.0 is +10.00 over 3 seeds." in out
    assert find_run("swept").status == "finished"
    assert cli("audit", "swept")[0] == 0


def test_papers_are_listed_and_shown_without_a_lab(cli, tmp_path):
    code, out, err = cli("replicate")
    assert code == 0, err
    assert "german-removal" in out
    code, out, _ = cli("replicate", "german-removal", "--show")
    assert code == 0
    assert "four-tokens" in out
    assert not (tmp_path / "runs").exists()
    code, _, err = cli("replicate", "germn-removal", "--show")
    assert (code, "nearest: 'german-removal'" in err) == (2, True)
    assert cli("replicate", "german-removal", "--judge")[2].startswith("unweave: --judge needs the thread")
