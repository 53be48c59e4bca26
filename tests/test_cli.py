from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import torch

from unweave.base.errors import DecompositionFailed, NothingFound, UnweaveError
from unweave.cli import main
from unweave.edit import FactorEdit
from unweave.record import Run, Table, find_run
from unweave.studies import registry

HEAVY = ("torch", "transformers", "matplotlib", "pydantic", "numpy")


@dataclass(frozen=True)
class Config:
    """What the study below is asked."""

    language: str = "de"
    """The label to remove."""
    tokens: tuple[int, ...] = (4,)
    device: str = "auto"


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Calls the command line in an empty folder and gives exit code, output and error output."""
    monkeypatch.chdir(tmp_path)
    for name in ("UNWEAVE_OFFLINE", "HF_HUB_OFFLINE", "UNWEAVE_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path / "cache"))

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def study(monkeypatch):
    """Registers a function as the only study, ``remove-word``."""
    monkeypatch.setattr(registry, "_STUDIES", {})
    monkeypatch.setattr(registry, "iter_modules", lambda _: ())
    return registry.study("remove-word", "Can a word go?", Config)


def measure(config, run=None):
    print("a library prints this")
    run.save_table(Table("summary", ("language", "change"), ((config.language, 5.25),), units={"change": "nats"}))
    run.claim("It rose by {value} nats.", "summary", {"language": config.language}, "change", digits=2)
    (run.path / "report.html").write_text("<html></html>", encoding="utf-8")


def in_a_process(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("arguments", [["--help"], ["studies"], ["runs"], ["--version"], ["run", "--help"]])
def test_looking_around_loads_no_heavy_library(arguments, tmp_path):
    code = (
        f"import os, sys; os.chdir({str(tmp_path)!r})\n"
        f"from unweave.cli import main\ntry: main({arguments})\nexcept SystemExit: pass\n"
        f"print('loaded', [name for name in {HEAVY} if name in sys.modules])"
    )
    assert in_a_process(code).endswith("loaded []\n")


def test_help_lists_every_command(cli, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for command in ("demo", "scan", "decompose", "run", "studies", "runs", "open", "export", "inspect"):
        assert f"    {command} " in shown


def test_the_version_is_printed(cli):
    assert cli("--version") == (0, "unweave 0.1.0\n", "")
    assert json.loads(cli("--version", "--json")[1]) == {"version": "0.1.0"}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "give a command: demo, scan"),
        (["exprot"], "command 'exprot' is not known; nearest: 'export'"),
        (["run"], "which study? nearest: 'remove-word'"),
        (["run", "remove-wrod"], "study 'remove-wrod' is not registered; nearest: 'remove-word'"),
        (["studies", "remove-wrod"], "study 'remove-wrod' is not registered; nearest: 'remove-word'"),
        (["run", "remove-word", "--set", "langage=fr"], "study 'remove-word' has no field 'langage'; nearest: 'lang"),
        (
            ["run", "remove-word", "--set", "tokens=x"],
            "study 'remove-word': tokens is 'x': input should be a valid int",
        ),
        (["run", "remove-word", "--set", "tokens"], "setting 'tokens' is not of the form field=value"),
        (["run", "remove-word", "--dtype", "int8"], "study 'remove-word' has no field 'dtype'; nearest: "),
        (["run", "--resume", "last"], "there are no runs in runs"),
        (["open", "nothing"], "there is no run 'nothing' in runs"),
        (["scan", "smollm2"], "the following arguments are required: --contrast"),
        (["scan", "no-such-target", "--contrast", "language=fr"], "target 'no-such-target' is no known name"),
        (["scan", "x", "--contrast", "a=b", "--corpus", "paralel"], "corpus 'paralel' is neither a bundled corpus"),
        (
            ["decompose", "x", "--sites", "*", "--out", "o", "--set", "stepz=1"],
            "a site-local decomposition has no field 'stepz'",
        ),
        (["decompose", "x", "--sites", "*", "--out", "o", "--set", "steps=0"], "steps is 0, and it must be at least 1"),
        (["decompose", "x", "--sites", "*", "--out", "."], ". already exists: choose another --out"),
        (["export", "last", "--format", "onnx", "--out", "o"], "--format 'onnx' is not known; nearest"),
        (["export", "last", "--format", "merged", "--with-base", "--out", "o"], "--with-base is for --format peft"),
        (["inspect", "fr.decomp"], "fr.decomp is not a decomposition"),
        (["inspect", "nothing"], "no decomposition of 'nothing' is bundled"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_bad_input_is_one_line_and_leaves_nothing(cli, study, tmp_path, arguments, line, as_json):
    study(measure)
    code, out, err = cli(*arguments, *["--json"] * as_json)
    assert code == 2
    assert err.startswith(f"unweave: {line}")
    assert err.count("\n") == 1
    if as_json:
        assert json.loads(out) == {"error": err.removeprefix("unweave: ").strip(), "exit_code": 2}
    else:
        assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_study_runs_with_its_settings_and_says_what_it_found(cli, study):
    study(measure)
    code, out, _ = cli("run", "remove-word", "--set", "language=fr", "--set", "tokens=4,64", "--name", "first")
    assert code == 0
    assert "language  change (nats)\nfr                5.250\n\n" in out
    assert "It rose by 5.25 nats.\nrun first: summary\nruns/first/report.html\n" in out.replace(os.sep, "/")
    run = find_run("first")
    assert run.status == "finished"
    assert run.config == {"language": "fr", "tokens": [4, 64], "device": "auto"}


def test_with_json_a_run_is_one_object(cli, study):
    study(measure)
    code, out, err = cli("run", "remove-word", "--json", "--name", "first", "--device", "cpu")
    value = json.loads(out)
    assert code == 0
    assert "a library prints this" in err
    assert (value["run"], value["status"], value["tables"]) == ("first", "finished", ["summary"])
    assert value["claims"][0]["sentence"] == "It rose by 5.25 nats."
    assert Path(value["report"]).is_file()
    assert find_run("first").config["device"] == "cpu"


@pytest.mark.parametrize("position", ["before", "after"])
def test_general_options_stand_before_or_after_the_command(cli, study, tmp_path, position):
    study(measure)
    options = ["--json", "--runs", "elsewhere", "--offline", "--cache", "here"]
    command = ["run", "remove-word", "--name", "first"]
    code, out, _ = cli(*[*options, *command] if position == "before" else [*command, *options])
    assert code == 0
    assert json.loads(out)["path"] == str(Path("elsewhere/first"))
    assert (tmp_path / "elsewhere" / "first" / "run.json").is_file()
    assert os.environ["UNWEAVE_OFFLINE"] == "1"
    assert os.environ["UNWEAVE_CACHE"] == "here"


def test_ctrl_c_marks_the_run_and_a_resume_finishes_it(cli, study):
    asked = []

    def measured_at_the_second_try(config, run=None):
        asked.append(config)
        run.put_cell("effects", "de", {"change": 1.0})
        if len(asked) == 1:
            raise KeyboardInterrupt

    study(measured_at_the_second_try)
    code, out, err = cli("run", "remove-word", "--set", "language=it", "--name", "first")
    assert (code, out) == (130, "")
    assert err == ("unweave: interrupted; run first keeps what it wrote; go on with `unweave run --resume first`\n")
    assert find_run("first").status == "interrupted"
    assert cli("run", "--resume", "first")[0] == 0
    assert asked == [Config("it"), Config("it")]
    assert find_run("first").status == "finished"
    code, _, err = cli("run", "--resume", "first")
    assert (code, err) == (2, "unweave: run 'first' is finished: only a run that stopped early can be resumed\n")


@pytest.mark.parametrize("extra", [["--set", "language=fr"], ["--name", "second"], ["--device", "cpu"], ["other"]])
def test_a_resumed_run_keeps_its_settings(cli, study, extra):
    study(measure)
    with pytest.raises(KeyboardInterrupt), Run.create("remove-word", {}, name="first"):
        raise KeyboardInterrupt
    code, _, err = cli("run", "--resume", "first", *extra)
    assert code == 2
    assert "run 'first' is resumed with its own study 'remove-word', settings and name" in err


def test_a_scan_is_not_resumed_but_given_again(cli):
    with pytest.raises(KeyboardInterrupt), Run.create("scan", {}, name="first"):
        raise KeyboardInterrupt
    code, _, err = cli("run", "--resume", "first")
    assert code == 2
    assert "run 'first' is of `unweave scan`, which is not resumed: give the same command again" in err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_a_signal_in_the_middle_leaves_no_traceback(tmp_path):
    code = (
        "import os, signal, sys, time\nfrom dataclasses import dataclass\n"
        # A shell's job in the background ignores the signal, and so would all that it starts.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from unweave.cli import main\nfrom unweave.studies.registry import study\n"
        "@dataclass\nclass Config: ...\n"
        "@study('remove-word', '?', Config)\ndef wait(config, run=None):\n"
        "    print('ready', flush=True)\n    time.sleep(60)\n"
        f"os.chdir({str(tmp_path)!r})\nsys.exit(main(['run', 'remove-word', '--name', 'first']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.startswith("unweave: interrupted; run first keeps")
    assert find_run("first", tmp_path / "runs").status == "interrupted"


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (NothingFound("no label stands out"), 1, "finished"),
        (DecompositionFailed("no better than an SVD"), 1, "failed"),
        (ZeroDivisionError("division by zero"), 70, "failed"),
    ],
)
def test_how_a_study_ends_is_in_its_run_and_its_exit_code(cli, study, error, code, status):
    def end(config, run=None):
        raise error

    study(end)
    got, out, err = cli("run", "remove-word", "--name", "first", "--json")
    assert got == code
    assert str(error) in json.loads(out)["error"]
    assert "Traceback" not in err
    assert (find_run("first").status, find_run("first").state()["note"]) == (status, str(error))


def test_studies_are_listed_and_their_fields_shown(cli, study):
    study(measure)
    assert cli("studies") == (0, "remove-word  Can a word go?\n", "")
    code, out, _ = cli("studies", "remove-word")
    assert code == 0
    assert "language: str = 'de'\n    The label to remove.\ntokens: tuple[int, ...] = (4,)\n" in out
    value = json.loads(cli("studies", "remove-word", "--json")[1])
    assert value["fields"][0] == {
        "name": "language",
        "type": "str",
        "default": "de",
        "required": False,
        "meaning": "The label to remove.",
    }
    (listed,) = json.loads(cli("studies", "--json")[1])["studies"]
    assert (listed["name"], listed["question"], listed["planned"]) == ("remove-word", "Can a word go?", False)
    assert not Path("runs").exists()


def test_runs_are_listed_and_opened(cli, study, monkeypatch):
    shown = []
    monkeypatch.setattr(webbrowser, "open", shown.append)
    assert cli("runs") == (0, "There are no runs in runs.\n", "")
    study(measure)
    cli("run", "remove-word", "--name", "first")
    Run.create("scan", {}, name="second").finish("failed", "no text")
    code, out, _ = cli("runs")
    head, first, second = out.splitlines()
    assert code == 0
    assert head.split() == ["run", "study", "status", "created", "note"]
    assert first.split()[:3] == ["first", "remove-word", "finished"]
    assert second.endswith("no text")
    assert [row["run"] for row in json.loads(cli("runs", "--json")[1])["runs"]] == ["first", "second"]
    assert cli("open", "first") == (0, f"{Path('runs/first/report.html')}\n", "")
    assert shown == []
    cli("open", "first", "--browser")
    assert shown == [Path("runs/first/report.html").resolve().as_uri()]
    code, out, err = cli("open", "last")
    assert (code, out) == (0, f"{Path('runs/.lab/pages/second.html')}\n"), err
    assert "no text" in Path("runs/.lab/pages/second.html").read_text()
    opened = json.loads(cli("open", "last", "--json")[1])
    assert (opened["run"], opened["status"], opened["report"]) == ("second", "failed", None)
    assert opened["copy"] == str(Path("runs/.lab/pages/second.html"))
    shutil.copytree("runs/second", "alone/second")
    assert cli("open", "alone/second")[:2] == (0, f"{Path('alone/second')} (no tables)\n")
    assert [path.name for path in Path("alone").iterdir()] == ["second"]


CAT, MOON = "the cat sat on the mat", "Mond und Sterne standen hell am Himmel"


@pytest.fixture
def saved(llama, tmp_path, capsys):
    """A tiny real target's folder, and text for it under two labels."""
    folder = tmp_path / "tiny"
    llama.module.save_pretrained(folder)
    llama.tokenizer.save_pretrained(folder)
    for corpus, texts in {"text": (CAT, MOON), "same": (CAT, CAT)}.items():
        for label, words in zip(("cat", "moon"), texts, strict=True):
            random = Random(label)
            for number in range(10):
                path = tmp_path / corpus / label / f"{number}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                lines = [f"{words} {''.join(random.choices('abcdefgh ', k=12))}" for _ in range(120)]
                path.write_text("\n".join(lines), encoding="utf-8")
    capsys.readouterr()  # what transformers says while it saves
    return folder


def test_a_scan_is_a_recorded_run_with_a_table(cli, saved):
    arguments = ["scan", saved, "--contrast", "topic=cat", "--corpus", "text", "--windows", "16"]
    code, out, err = cli(*arguments)
    assert code == 0, err
    run = find_run("last")
    table = run.load_table("scan")
    assert (run.status, run.study, run.config["contrast"]) == ("finished", "scan", "topic=cat")
    assert out.splitlines()[1].split()[0] == table.records()[0]["site"]
    assert len(table.rows) == 28
    tried = run.load_table("trials")
    assert set(tried.column("site")) == set(table.column("site")[:4])
    assert len(out.splitlines()) == 14 + 5 + len(tried.rows)
    assert "At none of these does one direction bring 'cat' to ln V." in out  # random weights: nothing to remove
    assert f"--sites {tried.records()[0]['site']} --out cat.decomp" in out
    value = json.loads(cli(*arguments, "--json")[1])
    assert value["sites"] == table.records()
    assert value["trials"] == tried.records()
    assert value["found"] is True


def test_a_scan_without_trials_names_the_site_that_ranks_first(cli, saved):
    code, out, err = cli("scan", saved, "--contrast", "cat", "--corpus", "text", "--windows", "16", "--try", "0")
    assert code == 0, err
    assert len(out.splitlines()) == 14
    run = find_run("last")
    assert run.tables() == ["scan"]
    assert f"--sites {run.load_table('scan').records()[0]['site']} --out cat.decomp" in out


def test_a_scan_that_finds_nothing_says_so(cli, saved):
    code, out, _ = cli("scan", saved, "--contrast", "cat", "--corpus", "same", "--sites", "*.o_proj", "--windows", "16")
    assert code == 1
    assert out.splitlines()[-1].startswith("Nothing found: no site exceeds")
    assert find_run("last").status == "finished"


def test_a_label_without_text_is_refused_by_a_scan(cli, saved):
    code, _, err = cli("scan", saved, "--contrast", "topic=dog", "--corpus", "text")
    assert code == 2
    assert "label 'dog' is not in corpus 'text'; nearest" in err


SITE = "model.layers.1.self_attn.o_proj"
DECOMPOSE = ["--corpus", "text", "--sites", SITE, "--set", "steps=2", "--set", "windows=4", "--set", "batch=32"]


@pytest.fixture
def short_check(monkeypatch):
    """A site-local decomposition is not compiled, and checked on two windows a label by an adversary of two steps."""
    from unweave.decompose import quality, site_local_run

    monkeypatch.setenv("UNWEAVE_COMPILE", "0")
    monkeypatch.setattr(quality, "ATTACK_STEPS", 2)
    for name in ("ATTACK_STEPS", "CHECK_WINDOWS"):
        monkeypatch.setattr(site_local_run, name, 2)


@pytest.fixture
def attacks(monkeypatch):
    """Adversaries of a twentieth of the steps; the list of those that the commands asked for."""
    import unweave.decompose
    from unweave.decompose import ladder

    asked = []

    def evaluate(*arguments, attack_steps=ladder.ATTACK_STEPS, **options):
        asked.append(attack_steps)
        return ladder.evaluate(*arguments, attack_steps=tuple(steps // 20 for steps in attack_steps), **options)

    monkeypatch.setattr(unweave.decompose, "evaluate", evaluate, raising=False)
    return asked


def test_a_decomposition_that_fails_its_check_is_kept_and_says_so(cli, saved, short_check):
    code, out, err = cli("decompose", saved, *DECOMPOSE, "--out", "cat.decomp")
    assert (code, out) == (1, "")
    assert err.startswith("1 site, 64 subcomponents; expected on two cores, compiled: capturing ")
    assert "unweave: the decomposition failed its check" in err.splitlines()[-1]
    assert find_run("last").status == "failed"
    code, out, _ = cli("inspect", "cat.decomp")
    assert code == 0
    assert out.startswith(f"cat.decomp, of {saved} (")
    assert any(line.split()[:2] == [SITE, "64"] for line in out.splitlines())
    value = json.loads(cli("inspect", "cat.decomp", "--json")[1])
    assert value["sites"][0]["subcomponents"] == 64
    assert value["card"]["config"]["steps"] == 2


def test_sites_that_fail_do_not_hide_what_was_measured_of_all_of_them(cli, saved, short_check):
    both = f"{SITE},model.layers.2.mlp.down_proj"
    arguments = ["--corpus", "text", "--sites", both, "--set", "steps=2", "--set", "windows=4", "--set", "batch=32"]
    code, out, err = cli("decompose", saved, *arguments, "--out", "two.decomp", "--json")
    assert code == 1, err
    assert "unweave: " not in err.splitlines()[-1]
    found = json.loads(out)
    assert found["card"]["failures"]
    assert len(found["card"]["together"]["sites"]) == 2
    code, out, _ = cli("inspect", "two.decomp")
    assert "all 2 sites masked at once:" in out
    assert "adversary of 2 steps: KL " in out


def test_a_decomposition_takes_labels_and_the_declarations(cli, saved, monkeypatch):
    import unweave.decompose

    calls = []

    def decompose(target, corpus, config, *, labels, out, jobs, checkpoint_seconds, progress, log):
        calls.append((corpus.labels("decomposition"), config.sites, config.steps, labels, out))
        raise KeyboardInterrupt

    monkeypatch.setattr(unweave.decompose, "decompose", decompose, raising=False)
    arguments = [*DECOMPOSE, "--out", "cat.decomp", "--labels", "cat", "--also", "nl,sv"]
    code, _, err = cli("decompose", saved, *arguments)
    assert code == 130
    assert "cat.decomp.training" in err
    assert calls == [(("cat", "moon", "nl", "sv"), SITE, 2, ["cat", "nl", "sv"], Path("cat.decomp"))]


def test_all_sites_are_taken_apart_together_measured_and_the_curve_is_kept(cli, saved, attacks):
    small = {"steps": 3, "batch": 2, "hidden": 4, "subcomponents": 4, "window_length": 8, "faithfulness_steps": 0}
    settings = [part for name, value in small.items() for part in ("--set", f"{name}={value}")]
    arguments = [saved, "--corpus", "text"]
    code, out, err = cli(
        "decompose", *arguments, "--method", "whole-model", "--sites", "*", "--out", "all.decomp", *settings, "--json"
    )
    assert code == 0, err
    made = json.loads(out)
    assert made["card"]["method"] == "whole-model"
    assert {row["subcomponents"] for row in made["sites"]} == {4}
    # It is not checked site by site, so that a table of sites has nothing else to show.
    assert all(set(row) == {"site", "subcomponents"} for row in made["sites"])
    metrics = [json.loads(line) for line in (Path(made["path"]) / "metrics.jsonl").read_text().splitlines()]
    assert metrics[-1]["step"] == 3
    assert metrics[-1]["l0"] > 0
    code, out, err = cli("evaluate", *arguments, "all.decomp", "--windows", "1", "--json")
    assert code == 0, err
    ladder = json.loads(out)["ladder"]
    assert ladder["rungs"][0]["masks"] == "target"
    assert ladder["rungs"][0]["kl"] == 0
    assert attacks == [(20, 40, 80, 160, 320)]
    assert sorted(map(int, ladder["attacks"])) == [1, 2, 4, 8, 16]
    assert [control["pieces"] for control in ladder["controls"]] == ["svd", "random"]
    assert ladder["passed"] == (not ladder["failures"])
    measured = json.loads(out)
    assert measured["report"] == str(Path(measured["path"]) / "report.html")
    assert measured["card"] == str(Path("all.decomp") / "card.md")
    assert (Path(measured["path"]) / "card.json").read_text() == Path("all.decomp/card.json").read_text()
    assert cli("inspect", "all.decomp")[0] == 0


SMALL = {"steps": 6, "batch": 2, "hidden": 4, "subcomponents": 4, "window_length": 8, "faithfulness_steps": 0}
SETTINGS = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]


def test_an_interrupted_decomposition_is_gone_on_with_in_the_same_run_and_can_be_looked_at_meanwhile(
    cli, saved, monkeypatch
):
    from unweave.decompose.whole_model import Training

    step = Training.step

    def stopping(self, number):
        if number == 4:
            raise KeyboardInterrupt
        return step(self, number)

    command = ["decompose", saved, "--corpus", "text", "--method", "whole-model", "--sites", SITE, *SETTINGS]
    command += ["--out", "all.decomp", "--checkpoint-seconds", "0"]
    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", stopping)
        assert cli(*command)[0] == 130
    interrupted = find_run("last")
    assert interrupted.config["config"]["anneal_to"] == 0.05  # a number, where the default hangs on the penalty
    # Logged after the checkpoint, as when a run is killed between two of them.
    interrupted.log(5, reconstruction=9.0, l0=9.0)
    code, out, err = cli("open", "last", "--json")
    assert code == 0, err
    drawn = ("alive", "error", "faithfulness", "l0", "penalty")
    assert json.loads(out)["figures"] == [f"curve-{name}" for name in drawn]
    assert "interrupted, 5 of 6 steps done" in Path(json.loads(out)["report"]).read_text(encoding="utf-8")

    code, out, err = cli(*command, "--json")
    assert code == 0, err
    made = json.loads(out)
    assert (made["run"], made["status"]) == (interrupted.id, "finished")
    assert len(find_run("last").state()["resumed"]) == 1
    curves = find_run("last").load_table("curves")
    assert curves.column("step") == (1, 2, 3, 4, 5, 6)
    assert curves.column("l0")[4] != 9.0
    assert "The run is finished." in Path(made["report"]).read_text(encoding="utf-8")
    # With another --out it is another run.
    assert json.loads(cli(*command[:-4], "--out", "other.decomp", "--json")[1])["run"] != interrupted.id


def test_the_curves_of_a_site_local_decomposition_are_drawn_too(cli, saved, short_check):
    assert cli("decompose", saved, *DECOMPOSE, "--out", "cat.decomp")[0] == 1  # it fails its check
    code, out, err = cli("open", "last", "--json")
    assert code == 0, err
    assert find_run("last").load_table("curves").column("site") == (SITE, SITE)
    assert json.loads(out)["figures"] == ["curve-error", "curve-faithfulness", "curve-l0"]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("capacity", "capacity is 0.0, and it must be above 0"),
        ("subcomponents", "subcomponents is 0, and a site needs at least 1"),
        ("empty text", "label 'cat' of empty has no text: give it some, or remove it"),
        ("nan", f"weight '{SITE}.weight' has NaN or infinite values: the model's file is"),
        ("integers", "its weight is int8"),
        ("integers in the file", f"has weight '{SITE}.weight' in I8, and floating-point weights are needed"),
        ("tied", "share one storage (tied weights, or slices of one matrix): take only one of them apart"),
    ],
)
def test_what_cannot_be_taken_apart_is_one_line_and_leaves_nothing(cli, saved, monkeypatch, case, line, as_json):
    from safetensors.torch import load_file, save_file

    import unweave.models

    weights, load = saved / "model.safetensors", unweave.models.load_target
    settings, corpus, sites = [], "text", SITE
    if case in ("capacity", "subcomponents"):
        settings = ["--set", f"{case}=0"]
    elif case == "empty text":
        corpus = "empty"
        for label in ("cat", "moon"):
            Path(corpus, label).mkdir(parents=True)
            Path(corpus, label, "0.txt").write_text("\n" if label == "cat" else "moon\n" * 3000)
    elif case in ("nan", "integers in the file"):
        tensors = load_file(weights)
        if case == "nan":
            tensors[f"{SITE}.weight"][0, 0] = float("nan")
        else:
            tensors[f"{SITE}.weight"] = (100 * tensors[f"{SITE}.weight"]).to(torch.int8)
        save_file(tensors, weights, {"format": "pt"})
    else:
        sites = "*.o_proj" if case == "tied" else SITE

        def changed(*arguments, **options):
            target = load(*arguments, **options)
            first, second = (target.module.model.layers[number].self_attn.o_proj for number in (1, 2))
            if case == "tied":
                second.weight = first.weight
            else:
                first.weight.data = first.weight.data.to(torch.int8)
            return target

        monkeypatch.setattr(unweave.models, "load_target", changed)
    command = ["decompose", saved, "--corpus", corpus, "--method", "whole-model", "--sites", sites, *settings]
    code, out, err = cli(*command, "--out", "cat.decomp", *["--json"] * as_json)
    assert code == 2
    assert line in err.splitlines()[-1]
    assert (json.loads(out)["exit_code"] == 2) if as_json else not out
    assert not list(Path().glob("*.decomp*"))
    assert cli("runs")[1] == "There are no runs in runs.\n"


def test_decompositions_are_compared_with_each_other_and_a_bundled_folder_gets_no_card(
    cli, saved, attacks, monkeypatch
):
    from unweave.decompose import decomposition

    monkeypatch.setattr(decomposition, "is_bundled", lambda folder: True)
    small = {"steps": 2, "batch": 2, "hidden": 4, "subcomponents": 4, "window_length": 8, "faithfulness_steps": 0}
    settings = [part for name, value in small.items() for part in ("--set", f"{name}={value}")]
    for seed in (0, 1):
        out = ["--out", f"{seed}/made", "--set", f"seed={seed}"]
        done = cli("decompose", saved, "--corpus", "text", "--method", "whole-model", "--sites", SITE, *out, *settings)
        assert done[0] == 0, done
    arguments = [saved, "--corpus", "text", "--windows", "1"]
    code, out, err = cli("evaluate", *arguments, "0/made", "--against", "1/made", "--against", "0/made", "--json")
    assert code == 0, err
    found = json.loads(out)
    # The last parts of the paths are the same, so that the whole paths name them.
    assert list(found["compared"]) == ["1/made", "0/made"]
    assert [max(steps) for steps in attacks] == [320, 20, 20]
    assert found["compared"]["0/made"]["matched"] == pytest.approx(1, abs=1e-5)
    assert found["compared"]["1/made"]["matched"] < 0.9
    assert {"compared", "matches"} <= set(found["tables"])
    said = json.loads(Path(found["card"]).with_suffix(".json").read_text())["limits"]
    assert [limit.split()[0] for limit in said if "same seed" in limit] == ["0/made"]
    assert found["card"] == str(Path(found["path"]) / "card.md")
    assert not Path("0/made/card.md").exists()
    code, out, _ = cli("evaluate", *arguments, "0/made", "--against", "1/made")
    assert "matched" in out
    assert out.splitlines()[-1].endswith("report.html")


def test_the_base_of_a_difference_is_given_and_the_adversary_reads_as_many_windows_as_it_is_told(cli, saved, attacks):
    from safetensors.torch import load_file, save_file

    from unweave.corpora import load_corpus
    from unweave.decompose import WholeModelConfig, decompose
    from unweave.models import load_target

    shutil.copytree(saved, "tuned")
    tensors = load_file("tuned/model.safetensors")
    tensors[f"{SITE}.weight"] += 0.1 * torch.randn(tensors[f"{SITE}.weight"].shape, generator=generator())
    save_file(tensors, "tuned/model.safetensors", {"format": "pt"})
    target, base = load_target("tuned"), load_target(saved)
    decompose(target, load_corpus("text"), WholeModelConfig(sites=SITE, **SMALL), out=Path("made"), base=base)
    arguments = ["evaluate", "tuned", "made", "--corpus", "text", "--windows", "2", "--attack-windows", "3"]
    code, _, err = cli(*arguments)
    assert code == 2
    assert f"from base {base.identity.digest}, and no base is given" in err.splitlines()[-1]
    assert "not from" in cli(*arguments, "--base", "tuned")[2].splitlines()[-1]
    assert cli("runs")[1] == "There are no runs in runs.\n"
    code, out, err = cli(*arguments, "--base", saved, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["ladder"]["attack_windows"], found["ladder"]["attack_tokens"]) == (3, 192)
    assert "The adversary reads 3 windows: 192 of the 256 tokens." in Path(found["card"]).read_text(encoding="utf-8")
    config = find_run("last").config
    assert (config["base"], config["base_identity"]) == (str(saved), base.identity.digest)


def generator():
    return torch.Generator().manual_seed(0)


def test_a_decomposition_of_shuffled_weights_is_measured_on_them_and_is_a_row_of_that_name(cli, saved, attacks):
    from unweave.corpora import load_corpus
    from unweave.decompose import WholeModelConfig, decompose
    from unweave.decompose.shuffled import shuffled_target
    from unweave.models import load_target

    target, corpus, config = load_target(saved), load_corpus("text"), WholeModelConfig(sites=SITE, **SMALL)
    decompose(target, corpus, config, out=Path("made"))
    for name, twin in (("noise", shuffled_target(target)), ("more", shuffled_target(target, SITE))):
        decompose(twin, corpus, config, out=Path(name))
    decompose(shuffled_target(target, seed=1), corpus, config, out=Path("stranger"))
    arguments = ["evaluate", saved, "made", "--corpus", "text", "--windows", "1", "--against", "noise"]
    code, out, err = cli(*arguments, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert list(found["compared"]) == ["shuffled weights"]
    assert "matched" not in found["compared"]["shuffled weights"]
    noise = found["compared"]["shuffled weights"]["ladder"]
    assert noise["target_cross_entropy"] != found["ladder"]["target_cross_entropy"]
    assert find_run("last").load_table("compared").column("decomposition") == ("made", "shuffled weights")
    said = json.loads(Path("made/card.json").read_text())["limits"]
    assert not any("Shuffled weights were" in limit for limit in said)
    assert "noise and more are both of shuffled weights" in cli(*arguments, "--against", "more")[2]
    assert "belongs to target" in cli(*arguments, "--against", "stranger")[2]


def test_decompositions_began_alike_where_their_first_trainings_had_one_seed():
    from unweave.cli.evaluating import _began_alike

    def trained(*seeds):
        settings = [{"seed": seed} for seed in seeds]
        return SimpleNamespace(card={"config": settings[-1], **({"stages": settings} if len(settings) > 1 else {})})

    assert _began_alike(trained(0), trained(0))
    assert _began_alike(trained(0, 1), trained(0, 2))
    assert _began_alike(trained(0), trained(0, 1))
    assert not _began_alike(trained(0, 2), trained(1, 2))
    assert not _began_alike(trained(0, 1), trained(1))
    assert not _began_alike(SimpleNamespace(card={}), SimpleNamespace(card={}))


def test_the_cost_is_reckoned_without_loading_any_weights(cli):
    code, out, _ = cli("cost", "polyglot", "--json")
    assert code == 0
    assert json.loads(out)["sites"] == 18
    code, out, _ = cli("cost", "polyglot", "--set", "sites=*.o_proj")
    assert "of 3 sites" in out
    assert "GFLOP" in out


def test_a_validation_that_fails_says_so_and_ends_with_1(cli):
    code, out, err = cli("validate", "planted-languages", "--seeds", "1", "--set", "steps=2", "--json")
    assert code == 1, err
    found = json.loads(out)
    assert (found["name"], found["seeds"], found["passed"]) == ("planted-languages", 1, False)
    assert set(found) >= {"mmcs", "ml2r", "seconds"}
    assert found["tables"] == ["recovery"]


@pytest.fixture
def edited(cli, study, llama, decomposed, monkeypatch):
    """A finished run of a study that leaves edits by two methods."""
    study(measure)
    made = decomposed(llama, SITE)

    def edits_of(run, method="factor", budget=4):
        if method not in ("factor", "ablation"):
            raise UnweaveError(f"run {run.id!r} has no edit by {method!r}")
        return llama, [FactorEdit.of(made, {(SITE, 0): -float(budget)}, method)], {"loss": budget}

    monkeypatch.setattr(sys.modules[__name__], "edits_of", edits_of, raising=False)
    cli("run", "remove-word", "--name", "first")


def test_an_edit_is_exported_as_an_adapter_or_merged(cli, edited):
    assert cli("export", "first", "--format", "peft")[0] == 0
    assert (Path("first-peft") / "adapter_model.safetensors").is_file()
    assert "first-peft already exists" in cli("export", "first", "--format", "peft")[2]
    code, out, _ = cli("export", "first", "--format", "peft", "--out", "adapter")
    assert code == 0
    assert out.startswith("adapter: factor, logits within ")
    assert Path("adapter/adapter_model.safetensors").is_file()
    code, out, _ = cli(
        "export", "last", "--format", "merged", "--out", "model", "--method", "ablation", "--budget", "64", "--json"
    )
    value = json.loads(out)
    assert (code, value["edits"], value["format"], value["run"]) == (0, ["ablation"], "merged", "first")
    assert json.loads(Path("model/unweave.json").read_text())["edits"][0]["factors"][0]["factor"] == -64
    assert Path("model/model.safetensors").is_file()
    code, _, _ = cli("export", "first", "--format", "peft", "--with-base", "--out", "pair")
    assert Path("pair/base/model.safetensors").is_file()


def test_an_export_refuses_what_is_not_there(cli, edited):
    code, _, err = cli("export", "first", "--format", "peft", "--out", "x", "--method", "ablatoin")
    assert (code, err) == (2, "unweave: run 'first' has no edit by 'ablatoin'\n")
    Path("x").mkdir()
    assert "x already exists" in cli("export", "first", "--format", "peft", "--out", "x")[2]


def test_a_study_without_edits_cannot_be_exported(cli, study):
    study(measure)
    cli("run", "remove-word", "--name", "first")
    code, _, err = cli("export", "first", "--format", "peft", "--out", "x")
    assert code == 2
    assert "study 'remove-word', which makes no edit that could be exported" in err


def test_the_demo_prints_its_lines_and_gives_the_rest_as_json(cli, monkeypatch):
    import types

    def run_demo(progress, root):
        progress.say("step 1")
        return {"text": "German is gone.", "root": root}

    monkeypatch.setitem(sys.modules, "unweave.studies.demo", types.SimpleNamespace(run_demo=run_demo))
    assert cli("demo") == (0, "German is gone.\n", "step 1\n")
    assert json.loads(cli("demo", "--json", "--runs", "there")[1]) == {"root": "there"}
