from __future__ import annotations

import hashlib
import itertools
import os
import sqlite3

import pytest
from pydantic import BaseModel

from unweave.base.errors import UnweaveError
from unweave.lab import Lab, deeds, people
from unweave.lab.people import SCOPES, NotAllowed, Person

ANN = Person("ann", "owner")
KEYS = ("sk-proj-abcdefghijklmnop1234", "hf_abcdefghijklmnopqrstuv", "ghp_0123456789abcdefghij", "AKIA0123456789ABCDEF")


@pytest.fixture
def lab(tmp_path):
    with Lab(tmp_path / "runs") as opened:
        yield opened


def everything_written(lab):
    return b"".join(path.read_bytes() for path in lab.root.rglob("*") if path.is_file())


def test_roles_allow_more_and_more():
    allowed = [SCOPES[role] for role in ("reader", "runner", "reviewer", "owner")]
    assert all(set(fewer) < set(more) for fewer, more in itertools.pairwise(allowed))
    for role, scopes in SCOPES.items():
        for scope in ("read", "run", "review", "own"):
            assert Person("x", role).may(scope) is (scope in scopes)
    with pytest.raises(NotAllowed, match="'eve' is a reader, and this needs a runner: ask an owner"):
        Person("eve", "reader").must("run")
    with pytest.raises(NotAllowed, match="this needs an owner"):
        Person("eve", "reader").must("own")


def test_an_account_has_a_token_of_256_bits_that_is_kept_as_a_hash(lab):
    token = lab.people.add("ann", "owner")
    assert len(token) == 43
    assert lab.people.by_token(token) == ANN
    assert token.encode() not in everything_written(lab)
    assert hashlib.sha256(token.encode()).hexdigest().encode() in everything_written(lab)
    assert lab.people.add("bob", "reader") != token


@pytest.mark.parametrize("token", ["", "x", "\ud800", "a" * 10_000, hashlib.sha256(b"").hexdigest()])
def test_nobody_has_another_token(lab, token):
    kept = lab.people.add("ann", "owner")
    assert lab.people.by_token(token) is None
    # The hash is no token, whoever reads the file.
    assert lab.people.by_token(hashlib.sha256(kept.encode()).hexdigest()) is None


def test_f3_5_tokens_are_compared_in_constant_time_and_all_of_them(lab, monkeypatch):
    token = lab.people.add("ann", "owner")
    lab.people.add("bob", "reader")
    compared = []
    honest = people.hmac.compare_digest
    monkeypatch.setattr(people.hmac, "compare_digest", lambda a, b: compared.append(a) or honest(a, b))
    assert lab.people.by_token(token).name == "ann"
    assert len(compared) == 2


def test_f3_6_another_token_ends_the_old_one(lab):
    old = lab.people.add("ann", "owner")
    new = lab.people.rotate_token("ann")
    assert (lab.people.by_token(old), lab.people.by_token(new)) == (None, ANN)
    with Lab(lab.root) as other:
        assert other.people.by_token(new) == ANN


def test_an_owner_remains(lab):
    with pytest.raises(UnweaveError, match="needs an owner among them"):
        lab.people.add("bob", "runner")
    assert lab.people.list() == []
    lab.people.add("ann", "owner")
    lab.people.add("bob", "runner")
    for change in (lambda: lab.people.remove("ann"), lambda: lab.people.set_role("ann", "reviewer")):
        with pytest.raises(UnweaveError, match="needs an owner among them: make somebody an owner first"):
            change()
    assert lab.people.list() == [ANN, Person("bob", "runner")]
    assert lab.people.set_role("bob", "owner") == Person("bob", "owner")
    lab.people.remove("ann")
    with pytest.raises(UnweaveError, match="needs an owner"):
        lab.people.set_role("bob", "reader")


def test_who_is_removed_gets_in_no_more(lab):
    lab.people.add("ann", "owner")
    token = lab.people.add("bob", "runner")
    lab.people.remove("bob")
    assert lab.people.by_token(token) is None
    with pytest.raises(UnweaveError, match="there is no account 'bobb'; nearest: 'ann'"):
        lab.people.get("bobb")
    for change in (lab.people.remove, lab.people.rotate_token, lambda name: lab.people.set_role(name, "owner")):
        with pytest.raises(UnweaveError, match="there is no account 'bob'"):
            change("bob")


@pytest.mark.parametrize(
    ("name", "role", "line"),
    [
        ("Ann", "owner", "person name 'Ann'"),
        ("../x", "owner", "person name"),
        ("agent", "owner", "the lab's own agent"),
        ("critic", "reviewer", "the lab's own critic"),
        ("bob.mcp", "reviewer", "would be the agent of 'bob'"),
        ("b" * 97, "reviewer", "longer than 96 characters"),
        ("bob", "boss", "'boss' is not a role; nearest: "),
        ("ann", "owner", "there is an account 'ann' already"),
    ],
)
def test_an_account_that_cannot_be_is_refused(lab, name, role, line):
    lab.people.add("ann", "owner")
    with pytest.raises(UnweaveError, match=line):
        lab.people.add(name, role)
    assert [person.name for person in lab.people.list()] == ["ann"]


def test_who_is_at_this_machine(lab, monkeypatch):
    me = people.system_user()
    assert lab.people.here() == Person(me, "owner")
    lab.people.add("ann", "owner")
    assert lab.people.here() == Person(me, "owner")  # the files are this user's own
    monkeypatch.setattr(people.os, "getuid", lambda: os.geteuid() + 4242)
    monkeypatch.setattr(people, "system_user", lambda: "visitor")
    assert lab.people.here() == Person("visitor", "reader")
    lab.people.add("visitor", "runner")
    assert lab.people.here() == Person("visitor", "runner")


def test_the_systems_user_name_is_not_taken_from_the_environment(monkeypatch):
    before = people.system_user()
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert people.system_user() == before


class Ask(BaseModel):
    run: str
    settings: dict
    api_key: str = ""


def test_deeds_are_kept_in_order_and_read_newest_first(lab):
    lab.people.record(ANN, "start-run", Ask(run="one", settings={"tokens": [4, 64]}))
    lab.people.record(Person("bob", "runner"), "cancel-run", {"run": "one"}, subject="by hand")
    lab.people.record(ANN, "doctor")
    found = lab.people.deeds()
    assert [(deed.number, deed.person, deed.deed, deed.subject) for deed in found] == [
        (3, "ann", "doctor", ""),
        (2, "bob", "cancel-run", "by hand"),
        (1, "ann", "start-run", "one"),
    ]
    assert found[2].detail == {"run": "one", "settings": {"tokens": [4, 64]}, "api_key": "(hidden)"}
    assert [deed.number for deed in lab.people.deeds(limit=2)] == [3, 2]
    assert [deed.number for deed in lab.people.deeds(after=2)] == [1]
    assert [deed.number for deed in lab.people.deeds(person="ann")] == [3, 1]
    assert [deed.number for deed in lab.people.deeds(subject="one")] == [1]
    assert lab.people.deeds(person="' OR 1=1 --") == []


def test_f3_44_no_key_is_written_with_a_deed_wherever_it_stands(lab):
    asked = {
        "question": f"use {KEYS[0]} please",
        "token": KEYS[1],
        "headers": {"Authorization": f"Bearer {KEYS[2]}", "x": [f"api_key={KEYS[3]}"]},
        "url": f"https://user:{KEYS[2]}@host/path",
        "password": ["a-secret-word"],
        "settings": {"openai_api_key": "plain-secret-7", "seeds": 3, "key": None},
    }
    lab.people.record(ANN, "start-agent", asked, subject=f"for {KEYS[0]}")
    written = everything_written(lab)
    for key in (*KEYS, "a-secret-word", "plain-secret-7"):
        assert key.encode() not in written
    (deed,) = lab.people.deeds()
    assert deed.detail["question"] == "use (hidden) please"
    assert deed.detail["settings"] == {"openai_api_key": "(hidden)", "seeds": 3, "key": None}


def test_long_requests_are_kept_in_short(lab):
    lab.people.record(ANN, "add-note", {"thread": "t", "text": "x" * 100_000, "deep": {"a": {"b": [["c" * 500]]}}})
    lab.people.record(ANN, "start-sweep", {f"field-{number}": "y" * 150 for number in range(200)})
    lab.people.record(ANN, "odd", {"text": "\ud800", "list": list(range(1000)), "object": object()})
    odd, sweep, note = lab.people.deeds()
    assert note.detail["text"].startswith("x" * 200 + "… (100,000 characters, sha256 ")
    assert sweep.detail["long"] is True
    assert odd.detail["text"] == "?"
    assert len(odd.detail["list"]) == 50
    assert all(len(str(deed.detail)) < 6000 for deed in (odd, sweep, note))


def test_deeds_are_only_added_to_and_a_change_by_other_means_shows(lab):
    for number in range(4):
        lab.people.record(ANN, f"deed-{number}")
    for change in ("UPDATE deeds SET person = 'eve'", "DELETE FROM deeds WHERE number = 2"):
        with pytest.raises(sqlite3.IntegrityError, match="only ever added to"), lab.database.write() as connection:
            connection.execute(change)
    assert deeds.broken_chain(lab.database) is None
    with lab.database.write() as connection:
        connection.execute("DROP TRIGGER deeds_no_update")
        connection.execute("UPDATE deeds SET person = 'eve' WHERE number = 3")
    assert deeds.broken_chain(lab.database) == 3
    with lab.database.write() as connection:
        connection.execute("UPDATE deeds SET person = 'ann' WHERE number = 3")
    assert deeds.broken_chain(lab.database) is None
    with lab.database.write() as connection:
        connection.execute("DROP TRIGGER deeds_no_delete")
        connection.execute("DELETE FROM deeds WHERE number = 2")
    assert deeds.broken_chain(lab.database) == 3


def test_the_last_deed_cannot_be_taken_out_unseen(lab):
    for number in range(3):
        lab.people.record(ANN, f"deed-{number}")
    with lab.database.write() as connection:
        connection.execute("DROP TRIGGER deeds_no_delete")
        connection.execute("DELETE FROM deeds WHERE number = 3")
    assert deeds.broken_chain(lab.database) == 3
