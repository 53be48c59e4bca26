"""The lab's commands, on small runs of a user's file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import webbrowser

import pytest
from serving import HOSTILE
from small_lab import make_lab, write_study

from unweave.cli import lab_runs, main
from unweave.cli.lab_shared import told
from unweave.lab.lab import Lab
from unweave.lab.operations.registry import all_operations, perform
from unweave.lab.sandbox.approval import Approvals
from unweave.lab.serving import announced, served_at
from unweave.record import Run, find_run
from unweave.studies import registry

HEAVY = ("torch", "transformers", "numpy", "pydantic", "fastapi", "mcp", "sqlite3")


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Calls the command line in a folder that holds a study's file, and gives exit code, output and error output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_STUDIES", dict(registry.all_studies()))
    for name in ("UNWEAVE_OFFLINE", "HF_HUB_OFFLINE", "UNWEAVE_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    write_study(tmp_path)

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def value(cli):
    """The same with ``--json``: what it printed, as a value; the command must succeed."""

    def call(*arguments):
        code, out, err = cli(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return call


@pytest.fixture
def small(tmp_path, cli):
    """A lab with two runs and a thread, in the folder that commands use."""
    made = make_lab(tmp_path / "runs")
    made.close()
    return made


@pytest.mark.parametrize(
    "command", ["queue", "thread", "people", "bundle", "audit", "compare", "serve", "mcp", "doctor"]
)
def test_help_loads_no_heavy_library(command, tmp_path):
    code = (
        f"import os, sys; os.chdir({str(tmp_path)!r})\nfrom unweave.cli import main\n"
        f"try: main([{command!r}, '--help'])\nexcept SystemExit: pass\n"
        f"print('loaded', [name for name in {HEAVY} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("loaded []\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["queue"], "what? queue takes one of list, cancel, pause, resume, priority, wait, work"),
        (["thread"], "what? thread takes one of new, list, show"),
        (["thread", "shwo", "x"], "what 'shwo' is not known; nearest: 'show'"),
        (
            ["thread", "show", "x"],
            "there is no lab in runs: start a run with `unweave run STUDY`, or give --runs FOLDER",
        ),
        (["queue", "list"], "there is no lab in runs"),
        (["audit"], "there is no lab in runs"),
        (["doctor"], "there is no lab in runs"),
        (["compare", "a"], "there is no lab in runs"),
        (["people", "list"], "there is no lab in runs"),
        (["run", "remove-language", "--priority", "3"], "--priority is for runs in the queue: add --queue"),
        (["run", "remove-language", "--study", "x"], "--study 'x' is for a file that registers several studies"),
        (["run", "nothing.py"], "nothing.py: it does not exist: check the path"),
        (["run", "push.py", "--set", "strenth=1"], "study 'push' has no field 'strenth'; nearest: 'strength'"),
        (["run", "push.py", "--study", "pull"], "push.py registers no study 'pull'; nearest: 'push'"),
        (["run", "push.py", "--queue", "--needs", "memory_gb=x"], "--needs memory_gb='x': give a number"),
        (["run", "push.py", "--queue", "--part", "bogus"], "--part 'bogus' is not known"),
    ],
)
def test_bad_input_is_one_line_and_makes_no_lab(cli, tmp_path, arguments, line):
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


# Runs


def test_a_study_from_a_file_runs_here_and_is_recorded_in_the_lab(cli, value, tmp_path):
    code, out, _ = cli("run", "./push.py", "--set", "strength=2", "--name", "first")
    assert code == 0
    assert "It moved by 20.31 cm.\nrun first: summary" in out
    run = find_run("first")
    assert run.state()["source"]["file"] == "code/push.py"
    assert (run.path / "code" / "push.py").read_text() == (tmp_path / "push.py").read_text()
    assert run.state()["person"] == Lab("runs").people.here().name
    assert value("runs")["runs"][0]["run"] == "first"
    deed = value("people", "deeds")["deeds"][0]
    assert (deed["deed"], deed["subject"], deed["detail"]["settings"]) == ("run", "first", {"strength": "2"})


def test_a_run_of_a_file_is_resumed_with_the_code_that_it_was_started_with(cli, tmp_path):
    stop_early(cli, tmp_path, "first")
    (tmp_path / "push.py").unlink()
    code, _, err = cli("run", "--resume", "first")
    assert code == 0, err
    assert find_run("first").status == "finished"
    deed = Lab("runs").people.deeds()[0]
    assert (deed.deed, deed.subject) == ("resume-run", "first")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"file": "../other/code/push.py"}, "holds no copy of the file of its study"),
        ({"file": "{absolute}"}, "holds no copy of the file of its study"),
        ({"file": "code/link.py"}, "holds no copy of the file of its study"),
        ({"sha256": "0" * 64}, "push.py was changed since the run was started"),
        ({"sha256": None}, "push.py was changed since the run was started"),
    ],
)
def test_a_resume_loads_no_file_but_the_runs_own_as_it_was(cli, tmp_path, changes, line):
    run = stop_early(cli, tmp_path, "first")
    strange = f"open({str(tmp_path / 'ran')!r}, 'w')\n" + (run.path / "code" / "push.py").read_text()
    for place in (tmp_path / "strange.py", tmp_path / "runs" / "other" / "code" / "push.py"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(strange)
    (run.path / "code" / "link.py").symlink_to(tmp_path / "strange.py")
    if "sha256" in changes:
        (run.path / "code" / "push.py").write_text(strange)
    state = json.loads((run.path / "run.json").read_text())
    state["source"] |= {
        name: value and value.format(absolute=tmp_path / "strange.py") for name, value in changes.items()
    }
    (run.path / "run.json").write_text(json.dumps(state))
    code, _, err = cli("run", "--resume", "first")
    assert (code, line in err) == (2, True), err
    assert not (tmp_path / "ran").exists()


def test_resuming_a_run_of_the_queue_loads_nothing_of_its_file_here(cli, value, tmp_path):
    (tmp_path / "push.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + (tmp_path / "push.py").read_text())
    value("run", "push.py", "--queue", "--sandbox", "--name", "strange")
    value("queue", "cancel", "strange")
    assert value("run", "--resume", "strange")["jobs"][0]["state"] == "waiting"
    # Nor where the run itself does not say any more that it is the queue's.
    value("queue", "cancel", "strange")
    described = tmp_path / "runs" / "strange" / "run.json"
    described.write_text(json.dumps({**json.loads(described.read_text()), "job": None}))
    assert value("run", "--resume", "strange")["jobs"][0]["sandboxed"] is True
    assert not (tmp_path / "ran").exists()


def test_proposed_code_is_resumed_in_the_sandbox_only(cli, tmp_path):
    run = stop_early(cli, tmp_path, "first")
    Approvals(Lab("runs").home).propose("push.py", (run.path / "code" / "push.py").read_text(), "agent", "why not")
    code, _, err = cli("run", "--resume", "first")
    assert (code, "runs in the sandbox only" in err) == (2, True)


def stop_early(cli, tmp_path, name):
    """A run of the study's file that failed; its study is not registered any more, as in another command's process."""
    stuck = f"if not Path({str(tmp_path / 'go')!r}).exists():"
    text = (tmp_path / "push.py").read_text().replace("if config.fail:", stuck)
    (tmp_path / "push.py").write_text(text.replace("import random", "import random\nfrom pathlib import Path"))
    assert cli("run", "push.py", "--name", name)[0] == 70
    (tmp_path / "go").touch()
    registry.unregister("push")
    assert find_run(name).status == "failed"
    return find_run(name)


def test_a_file_of_several_studies_needs_the_name_of_one(cli, tmp_path):
    text = (tmp_path / "push.py").read_text()
    twice = text + text[text.index("@study") :].replace('"push"', '"pull"').replace("def push", "def pull")
    (tmp_path / "push.py").write_text(twice)
    code, _, err = cli("run", "push.py")
    assert (code, "push.py registers several studies: choose one with --study" in err) == (2, True)
    assert cli("run", "push.py", "--study", "pull", "--name", "first")[0] == 0
    assert find_run("first").study == "pull"


def test_runs_are_listed_with_filters_and_the_newest_last(cli, value, small):
    out = cli("runs")[1]
    head, first, second = out.splitlines()
    assert (head.split()[0], first.split()[0], second.split()[0]) == ("run", "first", "second")
    assert [row["run"] for row in value("runs", "--text", "second")["runs"]] == ["second"]
    assert value("runs", "--limit", "1") == {**value("runs", "--limit", "1"), "total": 2}
    assert "1 of 2: --limit shows more" in cli("runs", "--limit", "1")[1]
    assert value("runs", "--status", "failed")["runs"] == []
    for nothing in (["--text", "%"], ["--status", "failed"], ["--thread", "other"]):
        assert cli("runs", *nothing) == (0, "No run in runs fits.\n", "")
    (small.root / "first" / "tables" / "summary.csv").write_text("changed")
    (small.root / "first" / "run.json").touch()
    assert "finished, NOT VALID" in cli("runs")[1]
    shown = value("runs")
    rows = perform(small, small.people.here(), "runs", all_operations()["runs"].request()).rows
    assert shown == {"runs": [{"run": row.id, **told(row)} for row in reversed(rows)], "total": 2, "next": None}
    assert [(row["status"], row["valid"]) for row in shown["runs"]] == [("finished", False), ("finished", True)]


def test_a_list_longer_than_a_page_is_read_to_its_end(cli, value, small, monkeypatch):
    monkeypatch.setattr(lab_runs, "PAGE", 1)
    assert [row["run"] for row in value("runs", "--limit", "100000")["runs"]] == ["first", "second"]
    one = value("runs", "--limit", "1")
    assert ([row["run"] for row in one["runs"]], one["next"] is None) == (["second"], False)


def test_what_only_looks_makes_a_lab_of_no_folder(cli, tmp_path):
    (tmp_path / "plain" / "below").mkdir(parents=True)
    for command in (["thread", "list"], ["queue", "list"], ["people", "list"], ["audit"], ["doctor"]):
        code, _, err = cli("--runs", "plain", *command)
        assert (code, "there is no lab in plain" in err) == (2, True)
    assert cli("--runs", "plain", "runs") == (0, "There are no runs in plain.\n", "")
    assert not (tmp_path / "plain" / ".lab").exists()
    code, _, err = cli("--runs", "push.py", "runs")
    assert (code, "push.py is a file, not a folder of runs" in err) == (2, True)


def test_studies_as_json_are_the_labs_answer(value, small):
    for arguments, name, fields in ((["remove-language"], "study", {"name": "remove-language"}), ([], "studies", {})):
        answer = perform(small, small.people.here(), name, all_operations()[name].request(**fields))
        assert value("studies", *arguments) == told(answer)


def test_f3_16_what_runs_and_threads_say_is_inert_in_a_terminal(cli, small, tmp_path):
    lab = Lab(tmp_path / "runs")
    attack = f"{HOSTILE}\nunweave: all is well\x1b[31m"
    Run.create("measure-word", {}, lab.root, "hostile").finish("failed", attack)
    cli("thread", "new", attack, "--id", "hostile")
    for command in (
        ["note", "hostile", attack],
        ["hypothesis", "hostile", attack, "--predicted", attack],
        ["tried", "hostile", attack, "--why", attack],
    ):
        assert cli("thread", *command)[0] == 0
    for command in (["runs"], ["thread", "list"], ["thread", "show", "hostile"], ["people", "deeds"]):
        code, out, _ = cli(*command)
        assert code == 0
        assert not set(out) & set("\x1b\x07\u202e\r")
        assert "\nunweave: all is well" not in out
    assert lab.threads.get("hostile").notes[0].text == attack


def test_a_runs_page_is_opened_where_a_server_runs_and_else_its_report(cli, small, monkeypatch):
    shown = []
    monkeypatch.setattr(webbrowser, "open", shown.append)
    assert cli("open", "first", "--page") == (0, f"{os.path.join('runs', 'first', 'report.html')}\n", "")
    assert shown.pop().startswith("file://")
    with Lab(small.root) as lab, announced(lab, "http://127.0.0.1:8765/?token=SECRET"):
        assert oct((lab.home / "server.json").stat().st_mode)[-3:] == "600"
        code, out, _ = cli("open", "first", "--page")
        assert (code, out) == (0, "http://127.0.0.1:8765/lab/runs/first\n")
        assert shown.pop() == "http://127.0.0.1:8765/?token=SECRET&to=%2Flab%2Fruns%2Ffirst"
    assert served_at(small.root) is None
    assert cli("open", "first", "--page")[1].endswith("report.html\n")


# The queue


def test_a_run_is_submitted_waited_for_and_listed(cli, value):
    submitted = value("run", "push.py", "--queue", "--name", "queued", "--priority", "3", "--needs", "memory_gb=2")
    assert (submitted["jobs"][0]["state"], submitted["jobs"][0]["priority"]) == ("waiting", 3)
    assert submitted["jobs"][0]["needs"]["memory_gb"] == 2
    listed = cli("queue", "list")[1]
    assert listed.splitlines()[1].split()[:4] == ["queued", "push", "waiting", "3"]
    assert "Nothing starts these jobs: run `unweave queue work`, or `unweave serve`." in listed
    assert value("queue", "priority", "queued", "--to", "5")["jobs"][0]["priority"] == 5
    assert value("queue", "pause", "queued")["jobs"][0]["state"] == "paused"
    assert value("queue", "resume", "queued")["jobs"][0]["state"] == "waiting"
    code, out, err = cli("queue", "wait", "queued")
    assert (code, "finished" in out) == (0, True), err
    assert find_run("queued").status == "finished"
    assert value("queue", "list")["jobs"] == []
    assert value("queue", "list", "--all")["by_state"] == {"finished": 1}
    code, _, err = cli("queue", "cancel", "nothing")
    assert (code, "there is no run 'nothing' in this lab" in err) == (2, True)


def test_a_file_for_the_sandbox_is_not_loaded_here(cli, value, tmp_path):
    own = (tmp_path / "push.py").read_text()
    (tmp_path / "strange.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + own)
    job = value("run", "strange.py", "--queue", "--sandbox", "--name", "strange")["jobs"][0]
    assert (job["study"], job["state"]) == ("push", "waiting")
    assert not (tmp_path / "ran").exists()
    assert "push" not in registry.registered()
    assert cli("run", "remove-language", "--queue", "--sandbox")[2].count("--sandbox is for a Python file") == 1
    # A name that the file computes can be given, and is checked inside.
    assert value("run", "strange.py", "--study", "pull", "--queue", "--sandbox")["jobs"][0]["study"] == "pull"


@pytest.mark.parametrize(
    "command",
    [
        ["run", "push.py", "--queue"],
        ["run", "push.py", "--queue", "--sandbox"],
        ["run", "push.py"],
        ["sweep", "push.py", "--over", "strength=1,2", "--queue"],
    ],
)
def test_a_thread_that_is_not_there_is_said_before_anything_waits_or_is_made(cli, tmp_path, command):
    code, out, err = cli(*command, "--thread", "nope", "--name", "first")
    assert (code, out, "there is no thread 'nope'" in err) == (2, "", True)
    assert Lab("runs").queue.list() == []
    assert not (tmp_path / "runs" / "first").exists()


def test_a_cancelled_job_never_starts(cli, value):
    value("run", "push.py", "--queue", "--name", "queued")
    assert value("queue", "cancel", "queued")["jobs"][0]["state"] == "cancelled"
    assert value("queue", "list")["jobs"] == []
    assert find_run("queued").status == "cancelled"
    code, out, _ = cli("audit", "queued")
    assert (code, out.startswith("queued: not finished, 0 of 0 claims held")) == (1, True)


# Threads


def test_a_thread_from_question_to_review(cli, value, small, tmp_path):
    assert value("thread", "new", "Does it move?", "--id", "moves")["thread"] == "moves"
    value("thread", "hypothesis", "moves", "It moves.", "--predicted", "more than 0", "--name", "h")
    (tmp_path / "plan.json").write_text(json.dumps({"runs": ["first"]}))
    sha256 = value("thread", "plan", "moves", "plan.json")["sha256"]
    assert value("thread", "list")["threads"][0]["waits"] is True
    code, _, err = cli("thread", "approve", "moves", sha256[:4])
    assert (code, "names 1 plans" in err) == (2, True)
    value("thread", "approve", "moves", sha256[:12])
    value("thread", "run", "moves", "first", "--hypothesis", "h")
    value("thread", "tried", "moves", "to push harder", "--why", "it broke", "--run", "second")
    value("thread", "conclude", "moves", "It moves: 0.333.", "--claim", "first:0")
    (tmp_path / "note.md").write_text("# Seen\n\nIt **moved**.")
    value("thread", "note", "moves", "--file", "note.md")
    value("thread", "link", "moves", "extends", "words")
    value("thread", "state", "moves", "concluded", "--why", "all is said")
    code, _, err = cli("thread", "review", "moves", "accept", "Good.")
    assert (code, "let another review it" in err) == (2, True)
    shown = cli("thread", "show", "moves")[1]
    for part in (
        "Does it move?", "concluded, asked by", "expected (h): It moves.", "    if it holds: more than 0",
        f"plan {sha256[:12]} by ", "first", "tried: to push harder", "    why it failed: it broke",
        "It moves: 0.333.", "    held: Seed 1 reached 0.333 nats. (first, claim 0)", "    It **moved**.",
        "extends words",
    ):  # fmt: skip
        assert part in shown
    assert "moves extends this" in cli("thread", "show", "words")[1]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["show", "nothing"], "there is no thread 'nothing' in this lab; nearest: 'words'"),
        (["show", "../words"], "thread is '../words': string should match pattern"),
        (["note", "words"], "give the note's TEXT, or --file FILE"),
        (["run", "words", "nothing"], "there is no run 'nothing' in this lab; nearest: "),
        (["conclude", "words", "It went.", "--claim", "first"], "--claim 'first' is not of the form RUN:NUMBER"),
        (["conclude", "words", "It went.", "--claim", "first:9"], "run 'first' has 2 claims"),
        (["plan", "words", "missing.json"], "missing.json: it does not exist"),
        (["run", "words", "first", "--part", "other"], "part is 'other': input should be 'screen'"),
    ],
)
def test_what_a_thread_refuses_is_one_line(cli, small, arguments, line):
    code, out, err = cli("thread", *arguments)
    assert (code, out) == (2, "")
    assert line in err


# Comparisons, audits, bundles, the doctor, people


def test_runs_are_compared_over_seeds_and_the_comparison_is_kept(cli, value):
    runs = [f"s{strength}-{seed}" for strength in (1, 2) for seed in range(3)]
    for name in runs:
        strength, seed = name[1:].split("-")
        settings = ("--set", f"strength={strength}", "--set", f"seed={seed}")
        assert cli("run", "push.py", "--name", name, *settings)[0] == 0
    found = value("compare", *runs, "--measure", "summary.moved")
    assert [arm["verdict"] for arm in found["arms"]] == ["baseline", "better"]
    assert found["arms"][1]["difference"] == pytest.approx(10)
    out = cli("compare", *runs, "--measure", "summary.moved", "--keep")[1]
    kept = find_run(out.strip().rpartition(" ")[2])
    assert (kept.study, len(kept.claims()), kept.state()["parents"]) == ("comparison", 2, runs)
    assert "too few seeds" in cli("compare", *runs[:2], *runs[3:5], "--measure", "summary.moved")[1]
    code, _, err = cli("compare", *runs)
    assert (code, "does not say what it answers with: give a measure" in err) == (2, True)


def test_an_audit_recomputes_and_says_what_was_changed(cli, value, small):
    audits = value("audit")["audits"]
    assert {found["run"]: found["verdict"] for found in audits} == {"first": "valid", "second": "valid"}
    table = small.root / "first" / "tables" / "summary.csv"
    table.write_text(table.read_text().replace("0.3333", "0.9333"))
    code, out, _ = cli("audit", "first")
    assert code == 1
    assert out.startswith("first: invalid, 1 of 2 claims held\n")
    assert "summary.csv" in out


def test_a_bundle_travels_to_another_lab(cli, value, small):
    made = value("bundle", "export", "words")
    assert (made["kind"], made["bundle"]) == ("thread", "words.zip")
    brought = value("bundle", "import", "words.zip", "--runs", "other")
    assert set(brought["new"]) == {"runs/first", "threads/words"}
    assert set(value("bundle", "import", "words.zip", "--runs", "other")["known"]) == {"runs/first", "threads/words"}
    assert value("audit", "first", "--runs", "other")["audits"][0]["verdict"] == "valid"
    assert value("people", "deeds", "--runs", "other")["deeds"][0]["deed"] == "import-bundle"
    assert value("thread", "show", "words", "--runs", "other")["runs"][0]["run"] == "first"


def test_the_doctor_says_what_is_wrong_and_puts_right_what_it_can(cli, value, small):
    assert value("doctor") == {"findings": []}
    (small.home / "lab.db").chmod(0o644)
    code, out, _ = cli("doctor")
    assert code == 1
    assert "unweave doctor --repair puts right what can be." in out
    assert cli("doctor", "--repair")[0] == 0
    assert value("people", "deeds")["deeds"][0]["deed"] == "repair"
    assert value("doctor") == {"findings": []}


def test_the_doctor_puts_back_a_copy_of_the_database(cli, value, small):
    value("people", "add", "olga", "owner")
    assert value("doctor", "--repair") == {"findings": []}
    value("people", "add", "rob", "reader")
    copy = small.home / "backups" / "lab-latest.db"
    small.close()
    assert value("doctor", "--restore", str(copy)) == {"findings": []}
    assert [one["name"] for one in value("people", "list")["people"]] == ["olga"]


def test_a_damaged_database_is_made_anew_by_the_doctor(cli, value, small):
    small.close()
    (small.home / "lab.db").write_bytes(b"no database" * 1000)
    for log in small.home.glob("lab.db-*"):
        log.unlink()
    assert cli("doctor")[0] == 1
    assert all(one["repaired"] for one in value("doctor", "--repair")["findings"])
    assert value("doctor") == {"findings": []}
    assert "repair" in cli("people", "deeds")[1]
    assert {one["id"] for one in value("runs")["runs"]} >= {"first"}


def test_people_get_accounts_roles_and_tokens(cli, value, small):
    made = value("people", "add", "olga", "owner")
    assert Lab(small.root).people.by_token(made["token"]).name == "olga"
    value("people", "add", "rob", "reader")
    assert value("people", "role", "rob", "runner") == {"name": "rob", "role": "runner"}
    again = value("people", "token", "rob")["token"]
    assert Lab(small.root).people.by_token(again).role == "runner"
    assert [one["name"] for one in value("people", "list")["people"]] == ["olga", "rob"]
    assert value("people", "remove", "rob")["name"] == "rob"
    out = cli("people", "deeds")[1]
    assert [line.split()[4] for line in out.splitlines()[1:]] == [
        "add-person", "add-person", "set-role", "rotate-token", "remove-person",
    ]  # fmt: skip
    assert made["token"] not in out
    value("people", "add", "rob", "reader")
    code, _, err = cli("people", "remove", "olga")
    assert (code, "needs an owner" in err) == (2, True)


def test_who_may_not_is_told_who_may(cli, small, monkeypatch):
    from unweave.lab.people import People, Person

    monkeypatch.setattr(People, "here", lambda _: Person("rob", "reader"))
    for command in (
        ["thread", "new", "May I?"], ["run", "push.py"], ["run", "push.py", "--queue"], ["people", "add", "x", "owner"],
        ["run", "--resume", "first"], ["queue", "work", "--until-empty"], ["queue", "wait"], ["doctor", "--repair"],
    ):  # fmt: skip
        code, _, err = cli(*command)
        assert (code, "'rob' is a reader, and this needs a" in err) == (2, True)
    assert cli("thread", "show", "words")[0] == 0
