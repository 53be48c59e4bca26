from __future__ import annotations

import subprocess
import sys

import pytest

from unweave.base.secrets import HIDDEN, is_secret_name, known_secrets, scrub_file, scrubbed
from unweave.record import Run

KEYS = (
    "sk-proj-abcdefghijklmnop1234",
    "hf_abcdefghijklmnopqrstuv",
    "ghp_0123456789abcdefghij",
    "AKIA0123456789ABCDEF",
    "xoxb-0123456789-abcdef",
)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("OPENAI_API_KEY", True),
        ("apiKey", True),
        ("HF_TOKEN", True),
        ("token", True),
        ("Authorization", True),
        ("db_password", True),
        ("tokens", False),
        ("TOKENIZERS_PARALLELISM", False),
        ("SSH_AUTH_SOCK", False),
        ("keyboard", False),
        ("monkey", False),
        ("seeds", False),
    ],
)
def test_names_tell_what_is_secret(name, secret):
    assert is_secret_name(name) is secret


def test_secrets_of_the_environment_are_its_long_values_under_such_names():
    environment = {
        "A_KEY": "longer-than-that",
        "B_TOKEN": "  longer-than  ",
        "C_SECRET": "short",
        "HOME": "/home/somebody",
    }
    assert known_secrets(environment) == ["longer-than-that", "longer-than"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("text", ["{}", "use {} please", "https://host/?a={}&b=1", '"key": "{}"', "[{},"])
def test_f3_44_what_looks_like_a_key_is_hidden_wherever_it_stands(key, text):
    assert key not in scrubbed(text.format(key))
    assert HIDDEN in scrubbed(text.format(key))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer abcdefgh12345", f"Authorization: {HIDDEN}"),
        ("password = hunter22, next", f"{HIDDEN}, next"),
        ("https://me:pass@host/x", f"https:{HIDDEN}host/x"),
        ("the token ids are 4, 17", "the token ids are 4, 17"),
        ("a sketch of sk learn", "a sketch of sk learn"),
        ("layers.3.mlp.down_proj:17", "layers.3.mlp.down_proj:17"),
    ],
)
def test_what_is_no_key_is_left(text, left):
    assert scrubbed(text) == left


def test_f3_44_a_secret_of_the_environment_is_hidden_in_what_a_run_says_of_its_end(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_PASSWORD", "correct horse battery")
    with pytest.raises(ValueError, match="horse"), Run.create("s", {}, root=tmp_path, name="one"):
        raise ValueError("login as correct horse battery failed")
    assert Run.open(tmp_path / "one").state()["note"] == f"login as {HIDDEN} failed"


def test_f3_44_nothing_that_a_study_prints_leaves_a_key_in_its_log(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from unweave.lab.queue.live import Log\n"
        "with Log(Path(sys.argv[1]), 10_000):\n"
        "    print('env', os.environ['LAB_SECRET']); os.system('echo $LAB_SECRET'); print('key', sys.argv[2], 'ünd')"
    )
    path = tmp_path / "log.txt"
    environment = {"LAB_SECRET": "correct horse battery", "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", code, str(path), KEYS[0]], env=environment, check=True)
    content = path.read_text(encoding="utf-8")
    assert "horse" not in content
    assert KEYS[0] not in content
    lines = content.splitlines()
    assert sorted(lines) == sorted([f"env {'*' * 21}", "*" * 21, f"key {'*' * len(KEYS[0])} ünd"])


def test_a_file_keeps_its_length_and_one_without_secrets_is_not_written(tmp_path):
    path = tmp_path / "log.txt"
    path.write_bytes(b"a secret-value \xff\n" * 3)
    assert scrub_file(path, ["secret-value"])
    assert path.read_bytes() == b"a ************ \xff\n" * 3
    path.chmod(0o600)
    before = path.stat().st_mtime_ns
    assert not scrub_file(path, ["secret-value"])
    assert path.stat().st_mtime_ns == before
    assert not scrub_file(tmp_path / "none.txt")
