"""A run's folder between machines that share no disk: whole, checked, and nowhere else."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import pytest
from queued import SOURCE

from unweave.base.errors import UnweaveError
from unweave.base.files import read_json
from unweave.base.needs import Needs
from unweave.lab.queue import transfer
from unweave.lab.queue.executor import Event, Work
from unweave.lab.queue.ray_node import RayNode
from unweave.lab.queue.ray_pool import Away, RayPool
from unweave.lab.queue.transfer import Growth, add_news, blocks, inside, listing, receive
from unweave.record.run import Run


@pytest.fixture
def there(tmp_path):
    folder = tmp_path / "there"
    (folder / "cells").mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "seal.json").write_text("[]")
    (folder / "empty").touch()
    (folder / "cells" / "steps.jsonl").write_bytes(b'{"a": 1}\n' * 1000)
    (folder / "progress.json").write_text("{}")
    (folder / ".half.abcdefgh.part").mkdir()
    (folder / ".half.abcdefgh.part" / "x").write_text("no")
    (folder / "tables" / ".t.next").mkdir(parents=True)
    (folder / "tables" / ".t.next" / "t.csv").write_text("a")
    (folder / "link").symlink_to(tmp_path)
    return folder


def reader(folder, seen=None):
    def fetch(name, start, size):
        if seen is not None:
            seen.append((name, start, size))
        return inside(folder, name).read_bytes()[start : start + size]

    return fetch


def test_a_folder_arrives_in_blocks_with_the_final_word_last(there, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "BLOCK", 4000)
    here, seen = tmp_path / "here", []
    here.mkdir()
    receive(here, listing(there), reader(there, seen), "one")
    assert listing(here) == listing(there)
    assert set(listing(here)) == {"run.json", "seal.json", "empty", "cells/steps.jsonl", "tables/.t.next/t.csv"}
    assert [name for name, _, _ in seen] == ["cells/steps.jsonl"] * 3 + [
        "tables/.t.next/t.csv",
        "seal.json",
        "run.json",
    ]
    seen.clear()
    receive(here, listing(there), reader(there, seen), "one")
    assert seen == []
    assert b"".join(blocks(there / "cells" / "steps.jsonl", 5000)) == (b'{"a": 1}\n' * 1000)[:5000]


def test_damaged_bytes_replace_nothing(there, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    (here / "run.json").write_text("old")
    wanted = listing(there)
    with pytest.raises(UnweaveError, match=r"cells/steps.jsonl of run 'one' was damaged on its way"):
        receive(here, wanted, lambda name, start, size: b"x" * size, "one")
    with pytest.raises(UnweaveError, match="was damaged"):
        receive(here, {"run.json": wanted["run.json"]}, lambda name, start, size: b"", "one")
    assert (here / "run.json").read_text() == "old"
    assert not (here / "cells" / "steps.jsonl").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", ".", "a\\b", "C:x", "a\0", "link/x", "link"])
def test_f3_11_no_name_leads_out_of_the_run(there, tmp_path, name):
    with pytest.raises(UnweaveError):
        inside(there, name)
    with pytest.raises(UnweaveError):
        receive(there, {name: ("0" * 64, 1)}, lambda *_: b"x", "one")
    with pytest.raises(UnweaveError):
        add_news(there, [(name, 0, b"x")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]


def test_what_grows_is_told_piece_by_piece(there, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    growth = Growth(tmp_path / "nothing")
    growth.folder = there
    add_news(here, growth.news())
    assert (here / "cells" / "steps.jsonl").read_bytes() == (there / "cells" / "steps.jsonl").read_bytes()
    assert growth.news() == []
    with open(there / "cells" / "steps.jsonl", "ab") as file:
        file.write(b'{"half"')
    (there / "progress.json").write_text('{"done": 1}')
    (there / "log.txt").write_text("a line\n")
    add_news(here, growth.news())
    (there / "log.txt").write_text("cut")
    with open(there / "cells" / "steps.jsonl", "ab") as file:
        file.write(b": 2}\n")
    add_news(here, growth.news())
    assert (here / "cells" / "steps.jsonl").read_bytes() == (there / "cells" / "steps.jsonl").read_bytes()
    assert (here / "progress.json").read_text() == '{"done": 1}'
    # A gap is left for the end, when whole files arrive.
    add_news(here, [("metrics.jsonl", 5, b"x")])
    assert (here / "metrics.jsonl").read_bytes() == b""


@pytest.fixture
def waiting(tmp_path):
    def make(name, **config):
        about = {"job": name, "source": str(SOURCE)}
        return Run.create("act", config, tmp_path / "runs", name, about=about, status="waiting")

    (tmp_path / "runs" / ".lab").mkdir(parents=True)
    return make


def ended(node, seconds=30):
    until, news = time.monotonic() + seconds, []
    while time.monotonic() < until:
        said = node.poll(0.5)
        news += [each for job in said["news"].values() for each in job]
        for event in said["events"]:
            if event["kind"] != "began":
                return event, news
    raise AssertionError("nothing ended")


@pytest.mark.parametrize("shared", [True, False])
def test_a_machine_works_in_the_lab_where_it_sees_it_and_else_in_a_copy(waiting, tmp_path, shared):
    home = tmp_path / "runs" / ".lab"
    nonce = home / "nonce"
    nonce.write_text("here" if shared else "another lab's")
    run = waiting("one", do="look_around", seconds=0.5)
    node = RayNode("other", str(home), (str(nonce), "here"), 1.0)
    try:
        told = node.describe()
        assert told["shared"] is shared
        assert told["total"]["threads"] == 1.0
        assert told["environment"]["code"]
        if not shared:
            node.open("one")
            for name in listing(run.path):
                node.write("one", name, 0, (run.path / name).read_bytes())
        work = Work(
            "one", run.path, "study", Needs(), source=str(run.path / "code" / SOURCE.name), start_in=os.getcwd()
        )
        plain = vars(work) | {"folder": str(work.folder), "needs": work.needs.to_json(), "lab": None}
        assert node.claim(plain)["pid"] != os.getpid()
        node.start("one")
        event, news = ended(node)
        assert (event["kind"], event["status"]) == ("ended", "finished")
        if not shared:
            assert run.status == "waiting"
            add_news(run.path, news)
            assert (run.path / "log.txt").read_text().startswith("doing look_around")
            assert read_json(run.path / "progress.json")["done"] > 0
            receive(run.path, node.listing("one"), lambda *where: node.read("one", *where), "one")
            node.forget("one")
            assert not list(node.home.glob("runs/*"))
        assert run.status == "finished"
        assert len(run.cells("steps")) == 50
    finally:
        node.close()
    assert home.exists()
    assert shared or not node.home.exists()


def test_a_machine_that_dies_as_a_job_begins_there_stops_no_other(tmp_path):
    def dead(*_, **__):
        raise ConnectionError("the actor died")

    pool = object.__new__(RayPool)
    pool.ray = SimpleNamespace(get=dead)
    work = Work("one", tmp_path, "study", Needs())
    actor = SimpleNamespace(read=SimpleNamespace(remote=lambda *_: None))
    away = Away("there", actor, None, jobs={"one": work})
    began = Event("one", "began")
    assert pool._happened(away, began) == [began]
