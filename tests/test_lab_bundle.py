from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from lab_places import ANN, BOB, CARL, small_lab, small_run
from safetensors.numpy import save

from unweave.base import files
from unweave.base.errors import UnweaveError
from unweave.lab import Lab
from unweave.lab.agent.lab_journal import LabJournal
from unweave.lab.bundle import archive as archives
from unweave.lab.bundle import export_bundle, exporting, import_bundle, importing
from unweave.lab.bundle.contents import check_contents
from unweave.lab.threads import Approval, Conclusion, Note, Plan, Review, ThreadRun
from unweave.record import Run, Table, audit_run
from unweave.record.seal import check_seal, read_seal, seal_run


@pytest.fixture
def lab(tmp_path):
    lab = small_lab(tmp_path / "here", first=0.98, second=0.5)
    yield lab
    lab.close()


@pytest.fixture
def there(tmp_path):
    lab = Lab(tmp_path / "there" / "runs")
    yield lab
    lab.close()


@pytest.fixture
def thread(lab):
    id = lab.threads.create("Can one number remove Spanish?", by=ANN, id="spanish").id
    lab.threads.add(id, Plan({"seeds": 3}), CARL)
    lab.threads.add(id, Approval(lab.threads.get(id).plan.sha256), BOB)
    lab.threads.add(id, ThreadRun("first", "screen"), CARL)
    lab.threads.add(id, ThreadRun("second", "null"), CARL)
    lab.threads.add(id, Note("# Notes\nIt works."), CARL)
    lab.threads.add(id, Conclusion("It leaves 0.970 ln V.", (("first", 0),)), CARL)
    lab.threads.add(id, Review("accept", "yes"), BOB)
    return id


def contents(folder):
    """Every file below a folder with its hash, without what belongs to a lab and not to its runs and threads."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".") and path.suffix != ".lock"
    }


def unchanged(lab):
    """What a refused import must leave as it was: the runs and threads, and nothing aside."""
    return contents(lab.root), list(lab.home.glob("import-*"))


def unpacked(path):
    with zipfile.ZipFile(path) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def packed(path, members, listed=None, seals=None):
    """A bundle with these members, its list made to fit unless ``listed`` is given."""
    members = dict(members)
    manifest = json.loads(members.pop("manifest.json"))
    sizes = {name: [hashlib.sha256(content).hexdigest(), len(content)] for name, content in members.items()}
    manifest["files"] = sizes if listed is None else listed
    manifest["seals"] = seals if seals is not None else manifest["seals"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in members.items():
            bundle.writestr(plain_entry(name), content)
        bundle.writestr(plain_entry("manifest.json"), json.dumps(manifest))
    return path


def plain_entry(name):
    entry = archives.entry(name if isinstance(name, str) else "x", 0)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def refused(lab, path, says):
    before = unchanged(lab)
    with pytest.raises(UnweaveError, match=says):
        import_bundle(lab, path)
    assert unchanged(lab) == before


def test_f3_42_a_run_and_a_thread_keep_every_hash_there_and_back(lab, there, thread, tmp_path):
    out = export_bundle(lab, thread, tmp_path / "out.zip")
    assert out.manifest.kind == "thread"
    assert out.manifest.runs == ["first", "second"]
    found = import_bundle(there, out.path)
    assert found.new == ("runs/first", "runs/second", f"threads/{thread}")
    here, copied = contents(lab.root), contents(there.root)
    mark = f"threads/{thread}/imported.json"
    assert copied.pop(mark)
    assert copied == here
    assert audit_run(Run.open(there.root / "first")) == []
    told, other = (one.threads.get(thread).to_json() for one in (lab, there))
    assert told["head"] == other["head"]
    assert there.threads.check_all() == {}
    # Out again from there: the same file, byte for byte.
    again = export_bundle(there, thread, tmp_path / "again.zip")
    assert again.path.read_bytes() == out.path.read_bytes()
    # And in again: nothing to do.
    assert import_bundle(there, again.path).new == ()
    one = export_bundle(lab, "second", tmp_path / "one.zip")
    assert import_bundle(there, one.path).known == ("runs/second",)


def test_the_same_content_gives_the_same_bytes(lab, thread, tmp_path):
    first = export_bundle(lab, thread, tmp_path / "a.zip").path
    for path in lab.root.rglob("*"):
        os.utime(path, (1, 1))
    (lab.root / "first" / "cancel").touch()
    (lab.root / "first" / "progress.json").write_text("{}")
    assert export_bundle(lab, thread, tmp_path / "b.zip").path.read_bytes() == first.read_bytes()


def test_f3_42_what_is_sealed_travels_whatever_it_is_called(lab, there, tmp_path):
    with Run.create("s", {}, root=lab.root, name="third") as run:
        for name in ("poetry.lock", "cancel", "progress.json", "imported.json"):
            (run.path / "files").mkdir(exist_ok=True)
            (run.path / "files" / name).write_text(name)
    import_bundle(there, export_bundle(lab, "third", tmp_path / "out.zip").path)
    assert check_seal(there.root / "third", read_seal(run.path)) == []
    assert (there.root / "third" / "files" / "poetry.lock").read_text() == "poetry.lock"


@pytest.mark.parametrize("name", [".hidden", "tables/.seeds.next/seeds.csv"])
def test_f3_42_what_cannot_travel_is_said(lab, tmp_path, name):
    path = lab.root / "first" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    with pytest.raises(UnweaveError, match=f"{name} is hidden, and a bundle takes nothing hidden"):
        export_bundle(lab, "first", tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


def test_names_in_an_imported_thread_are_no_accounts_here(lab, there, thread, tmp_path):
    import_bundle(there, export_bundle(lab, thread, tmp_path / "out.zip").path)
    found = there.threads.get(thread)
    assert lab.threads.get(thread).approved(found.plan.sha256)
    assert found.approved(found.plan.sha256) is None
    assert found.imported == len(found.events)
    session = LabJournal(there, Run.open(there.root / "first"), thread, BOB)
    assert (len(found.approvals), found.approvals_here, session.events()) == (1, (), [])
    there.threads.add(thread, Approval(found.plan.sha256), BOB)
    assert there.threads.get(thread).approved(found.plan.sha256)
    assert session.events() == [{"kind": "approval", "sha256": found.plan.sha256}]


def test_seals_enter_the_ledger_as_imported(lab, there, tmp_path):
    digest = read_seal(lab.root / "first")
    import_bundle(there, export_bundle(lab, "first", tmp_path / "out.zip").path)
    (row,) = there.database.read("SELECT digest, seen FROM seals WHERE run = 'first'")
    assert row["digest"] == digest
    assert row["seen"].startswith("imported 20")
    assert there.runs.get("first").valid


def test_f3_30_a_run_changed_after_it_finished_is_invalid_where_it_comes_from_and_where_it_goes(lab, there, tmp_path):
    lab.runs.sync()
    folder = lab.root / "first"
    Table.from_records("seeds", [{"seed": 0, "level": 0.999}]).save(folder / "tables")
    seal_run(Run.open(folder))
    import_bundle(there, export_bundle(lab, "first", tmp_path / "out.zip").path)
    for one in (lab, there):
        assert not one.runs.get("first").valid
        assert "seal.json is another one" in one.runs.get("first").reason


def test_a_run_that_was_here_before_with_other_content_is_refused(lab, there, tmp_path):
    small_run(there.root, "first", 0.7)
    there.runs.sync()
    shutil.rmtree(there.root / "first")
    refused(there, export_bundle(lab, "first", tmp_path / "out.zip").path, "was here before with other content")


def test_an_id_that_is_here_with_other_content_is_refused_whole(lab, there, thread, tmp_path):
    out = export_bundle(lab, thread, tmp_path / "out.zip").path
    small_run(there.root, "second", 0.7)
    refused(there, out, "run second is here already, with other content")
    shutil.rmtree(there.root / "second")
    (there.root / "second").mkdir()
    refused(there, out, "run second is here already")
    (there.root / "second").rmdir()
    (there.root / "second").symlink_to(lab.root / "second")
    refused(there, out, "run second is here already")
    (there.root / "second").unlink()
    import_bundle(there, out)
    there.threads.add(thread, Note("from here"), CARL)
    refused(there, out, f"thread {thread} is here already")


def test_a_table_that_a_killed_process_left_beside_its_place_travels_in_it(lab, there, tmp_path):
    run = Run.create("probe", {}, root=lab.root, name="killed")
    run.save_table(Table("seeds", ("seed",), ((1,),)))
    waiting = run.path / "tables" / ".seeds.next"
    waiting.mkdir()
    for file in list((run.path / "tables").glob("seeds.*")):
        file.rename(waiting / file.name)
    run.finish("failed", "killed")
    import_bundle(there, export_bundle(lab, "killed", tmp_path / "killed.zip").path)
    assert Run.open(there.root / "killed").load_table("seeds").rows == ((1,),)


def test_what_cannot_be_exported_is_said(lab, thread, tmp_path):
    with pytest.raises(UnweaveError, match=r"no run or thread 'firts'.*nearest: 'first'"):
        export_bundle(lab, "firts", tmp_path / "a.zip")
    for id in ("../here", "", "threads", ".lab"):
        with pytest.raises(UnweaveError):
            export_bundle(lab, id, tmp_path / "a.zip")
    Run.create("s", {}, root=lab.root, name="going")
    with pytest.raises(UnweaveError, match="run 'going' is running: wait"):
        export_bundle(lab, "going", tmp_path / "a.zip")
    (tmp_path / "there.zip").touch()
    with pytest.raises(UnweaveError, match="already exists"):
        export_bundle(lab, "first", tmp_path / "there.zip")
    (lab.root / "first" / "aux.txt").touch()
    with pytest.raises(UnweaveError, match="device on Windows"):
        export_bundle(lab, "first", tmp_path / "a.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "there.zip"]


def test_f3_12_a_link_among_the_files_is_not_followed_when_exporting(lab, tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    link = lab.root / "first" / "tables" / "extra.csv"
    link.symlink_to(secret)
    with pytest.raises(UnweaveError, match="is a link or a device"):
        export_bundle(lab, "first", tmp_path / "a.zip")
    link.unlink()
    os.mkfifo(link)
    with pytest.raises(UnweaveError, match="is a link or a device"):
        export_bundle(lab, "first", tmp_path / "a.zip")
    link.unlink()

    # Between the look at the folder and the opening, a file and then its folder become links.
    real = exporting.members_of
    for swapped in ("tables/seeds.csv", "tables"):

        def swap(folder, swapped=swapped):
            found = real(folder)
            target = folder / swapped
            target.rename(tmp_path / "kept")
            target.symlink_to(secret if swapped.endswith("csv") else tmp_path / "kept")
            return found

        with monkeypatch.context() as patch:
            patch.setattr(exporting, "members_of", swap)
            with pytest.raises(UnweaveError):
                export_bundle(lab, "first", tmp_path / "a.zip")
        (lab.root / "first" / swapped).unlink()
        (tmp_path / "kept").rename(lab.root / "first" / swapped)
    assert not (tmp_path / "a.zip").exists()
    export_bundle(lab, "first", tmp_path / "a.zip")
    assert b"secret" not in (tmp_path / "a.zip").read_bytes()


def test_f3_12_a_link_put_in_the_way_is_not_followed_when_importing(lab, there, thread, tmp_path, monkeypatch):
    out = export_bundle(lab, "first", tmp_path / "out.zip").path
    outside = tmp_path / "outside"
    outside.mkdir()
    real = importing._unpack

    def swap(*arguments):
        real(*arguments)
        (there.root / "first").symlink_to(outside, target_is_directory=True)

    with monkeypatch.context() as patch:
        patch.setattr(importing, "_unpack", swap)
        with pytest.raises(UnweaveError, match="appeared while the bundle was read"):
            import_bundle(there, out)
    assert list(outside.iterdir()) == []
    assert not list(there.home.glob("import-*"))

    # The same files, but one of them is a link to its like: not the same.
    (there.root / "first").unlink()
    import_bundle(there, out)
    file = there.root / "first" / "run.json"
    file.rename(outside / "run.json")
    file.symlink_to(outside / "run.json")
    with pytest.raises(UnweaveError, match="is a link"):
        import_bundle(there, out)


def test_a_bundle_that_changes_under_the_reader_is_refused(lab, there, tmp_path, monkeypatch):
    out = export_bundle(lab, "first", tmp_path / "out.zip").path
    real = importing.check_contents

    def swap(archive):
        real(archive)
        content = bytearray(out.read_bytes())
        content[200] ^= 1
        out.write_bytes(content)

    monkeypatch.setattr(importing, "check_contents", swap)
    refused(there, out, "refused whole")


NAMES = {
    "parent": ("runs/first/../../../escaped.txt", "leaves its folder"),
    "only parent": ("../escaped.txt", "leaves its folder"),
    "parent of the lab": ("runs/../escaped.txt", "leaves its folder"),
    "absolute": ("/escaped/a/b.txt", "leaves its folder"),
    "drive": ("C:/escaped/a.txt", "character that some system forbids"),
    "drive inside": ("runs/first/C:escaped.txt", "character that"),
    "backslashes": ("runs\\first\\..\\..\\escaped.txt", "character that"),
    "server": ("\\\\server/share/escaped.txt", "character that"),
    "dot": ("runs/first/./a.txt", "leaves its folder"),
    "empty part": ("runs/first//a.txt", "leaves its folder"),
    "control": ("runs/first/a\x1b[2J.txt", "character that"),
    "newline": ("runs/first/a\nb.txt", "character that"),
    "right to left": ("runs/first/\u202etxt.exe", "character that"),
    "stream": ("runs/first/run.json:hidden", "character that"),
    "trailing dot": ("runs/first/a.", "character that"),
    "trailing space": ("runs/first/a.txt ", "character that"),
    "device": ("runs/first/NUL", "device on Windows"),
    "device with an ending": ("runs/first/com1.csv", "device on Windows"),
    "device with a superscript": ("runs/first/LPT².csv", "device on Windows"),
    "device folder": ("runs/first/aux/a.txt", "device on Windows"),
    "wildcard": ("runs/first/*.txt", "character that"),
    "hidden": ("runs/first/.git/hooks/pre-commit", "hidden file"),
    "the lab itself": (".lab/lab.db/x", "hidden file"),
    "no folder": ("escaped.txt", "not below a run"),
    "another place": ("elsewhere/first/a.txt", "neither a run nor a thread"),
    "another run": ("runs/other/run.json", "holds others"),
    "a run called threads": ("runs/threads/run.json", "neither a run nor"),
    "capital letters": ("runs/First/run.json", "one file on some systems"),
    "a long part": ("runs/first/" + "x" * 201, "too long a part"),
    "a long name": ("runs/first/" + "/".join(["x" * 100] * 6), "is too long"),
    "another spelling": ("runs/first/e\u0301.txt", "another spelling"),
    "a lock": ("runs/first/run.json.lock", "one machine"),
    "a request to stop": ("runs/first/cancel", "one machine"),
    "a mark of import": ("runs/first/imported.json", "one machine"),
    "a folder": ("runs/first/folder/", "leaves its folder"),
    "a file as a folder": ("runs/first/run.json/x", "is a file and a folder"),
    "another case": ("runs/first/RUN.json", "one file on some systems"),
    "another case of a folder": ("runs/first/Tables/other.csv", "two spellings"),
}


@pytest.mark.parametrize(("name", "says"), [pytest.param(*case, id=what) for what, case in NAMES.items()])
def test_f3_13_a_name_that_is_not_below_its_run_or_is_anothers_is_refused_whole(lab, there, tmp_path, name, says):
    out = export_bundle(lab, "first", tmp_path / "out.zip").path
    refused(there, packed(tmp_path / "bad.zip", {**unpacked(out), name: b"x"}), says)
    assert not list(tmp_path.rglob("*escaped*"))


def test_f3_13_names_that_fold_to_one_are_one(lab, there, tmp_path):
    out = export_bundle(lab, "first", tmp_path / "out.zip").path
    both = {"runs/first/stra\u00dfe.txt": b"x", "runs/first/STRASSE.txt": b"y"}
    refused(there, packed(tmp_path / "bad.zip", {**unpacked(out), **both}), "one file on some systems")


def altered(path, out, change, name="runs/first/run.json"):
    """The bundle ``out`` with one entry changed by ``change(entry)``."""
    members = unpacked(out)
    with zipfile.ZipFile(path, "w") as bundle:
        for member, content in members.items():
            entry = plain_entry(member)
            if member == name:
                change(entry)
            bundle.writestr(entry, content)
    return path


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK], ids=oct
)
def test_f3_13_links_folders_and_devices_are_refused_whole(lab, there, tmp_path, kind):
    out = export_bundle(lab, "first", tmp_path / "out.zip").path

    def change(entry):
        entry.external_attr = (kind | 0o777) << 16

    refused(there, altered(tmp_path / "bad.zip", out, change), "is a link, a folder, a device")


@pytest.mark.parametrize("extra", [b"\x75\x6e\x04\x00abcd", b"\x0d\x00\x04\x00abcd", b"\x01", b"\x55\x54\xff\xff"])
def test_f3_13_fields_that_could_be_a_hard_link_are_refused_whole(lab, there, tmp_path, extra):
    out = export_bundle(lab, "first", tmp_path / "out.zip").path

    def change(entry):
        entry.extra = extra

    refused(there, altered(tmp_path / "bad.zip", out, change), "has fields that bundles have not|not a whole bundle")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_f3_13_other_packings_are_refused_whole(lab, there, tmp_path, method):
    out = export_bundle(lab, "first", tmp_path / "out.zip").path

    def change(entry):
        entry.compress_type = method

    refused(there, altered(tmp_path / "bad.zip", out, change), "packed in a way")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_f3_13_a_name_that_occurs_twice_is_refused_whole(lab, there, tmp_path):
    members = unpacked(export_bundle(lab, "first", tmp_path / "out.zip").path)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bundle:
        for name, content in [*members.items(), ("runs/first/run.json", b"{}")]:
            bundle.writestr(plain_entry(name), content)
    refused(there, tmp_path / "bad.zip", "one file on some systems")


def test_f3_13_a_nul_in_a_name_is_refused_whole(lab, there, tmp_path):
    members = unpacked(export_bundle(lab, "first", tmp_path / "out.zip").path)
    packed(tmp_path / "bad.zip", {**members, "runs/first/a_txt": b"x"})
    content = (tmp_path / "bad.zip").read_bytes().replace(b"runs/first/a_txt", b"runs/first/a\0txt")
    (tmp_path / "bad.zip").write_bytes(content)
    refused(there, tmp_path / "bad.zip", r"a\\x00txt")


def test_f3_42_a_log_of_one_line_over_and_over_travels(lab, there, tmp_path):
    log = lab.root / "first" / "log.txt"
    log.write_text(
        "a warning that is the same each time it is written, whatever came before it and after it\n" * 60_000
    )
    out = export_bundle(lab, "first", tmp_path / "out.zip").path
    assert out.stat().st_size < log.stat().st_size / 200
    import_bundle(there, out)
    assert (there.root / "first" / "log.txt").read_bytes() == log.read_bytes()


def test_more_files_than_a_bundle_may_hold_are_refused_when_it_is_written(lab, there, tmp_path, monkeypatch):
    out = export_bundle(lab, "first", tmp_path / "out.zip").path
    monkeypatch.setattr(archives, "MOST_FILES", 5)
    with pytest.raises(UnweaveError, match="5 is the most"):
        export_bundle(lab, "second", tmp_path / "other.zip")
    assert not (tmp_path / "other.zip").exists()
    refused(there, out, "5 is the most")


def test_f3_13_ten_gigabytes_of_nothing_are_refused_before_they_are_read(lab, there, tmp_path, monkeypatch):
    members = unpacked(export_bundle(lab, "first", tmp_path / "out.zip").path)
    bomb = archives.entry("runs/first/bomb.json", 64 << 20)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bundle:
        for name, content in members.items():
            bundle.writestr(plain_entry(name), content)
        with bundle.open(bomb, "w") as sink:
            for _ in range(64):
                sink.write(bytes(1 << 20))
    before = unchanged(there)
    with monkeypatch.context() as patch:
        patch.setattr(archives.Archive, "opened", lambda *_: pytest.fail("it was read"))
        with pytest.raises(UnweaveError, match=r"unpacks to 0\.1 GB, and 0\.1 GB is"):
            import_bundle(there, tmp_path / "bad.zip", largest_gb=0.06)
    assert unchanged(there) == before
    # What it says it unpacks to is more than can be packed in so few bytes.
    content = (tmp_path / "bad.zip").read_bytes()
    more = content.replace((64 << 20).to_bytes(4, "little"), (80 << 20).to_bytes(4, "little"))
    assert more != content
    (tmp_path / "bad.zip").write_bytes(more)
    refused(there, tmp_path / "bad.zip", "lies about its size")

    # Sparse and stored: no disk is used here, and nothing is read there.
    sparse = archives.entry("runs/first/sparse.bin", 10 << 30)
    with zipfile.ZipFile(tmp_path / "sparse.zip", "w") as bundle:
        for name, content in members.items():
            bundle.writestr(plain_entry(name), content)
    with open(tmp_path / "sparse.zip", "rb+") as file, zipfile.ZipFile(file, "a") as bundle:
        sparse.header_offset, sparse.compress_size, sparse.CRC = bundle.start_dir, sparse.file_size, 0
        bundle.filelist.append(sparse)
        bundle.start_dir += (10 << 30) + 1000
        bundle._didModify = True
    assert (tmp_path / "sparse.zip").stat().st_size > 10 << 30
    refused(there, tmp_path / "sparse.zip", "unpacks to 10.7 GB, and 8.0 GB is the most")


@pytest.mark.parametrize("relist", [False, True], ids=["listed truly", "listed falsely"])
@pytest.mark.parametrize("delta", [-1, 1, 1000])
@pytest.mark.parametrize("offset", [20, 24], ids=["packed", "unpacked"])
def test_f3_13_a_size_that_lies_is_refused_whole(lab, there, tmp_path, offset, delta, relist):
    members = unpacked(export_bundle(lab, "first", tmp_path / "out.zip").path)
    name = next(iter(members))
    listed = json.loads(members["manifest.json"])["files"]
    listed[name][1] += delta if relist else 0
    path = packed(tmp_path / "bad.zip", members, listed)
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\x01\x02") + offset
    content[start : start + 4] = (int.from_bytes(content[start : start + 4], "little") + delta).to_bytes(4, "little")
    path.write_bytes(content)
    refused(there, path, "refused|damaged")


def test_f3_13_two_members_over_the_same_bytes_are_refused_whole(lab, there, tmp_path):
    out = export_bundle(lab, "first", tmp_path / "out.zip").path
    with zipfile.ZipFile(out, "a") as bundle:
        one = bundle.getinfo("runs/first/run.json")
        bundle.filelist.append(one)
        two = archives.entry("runs/first/two.json", one.file_size)
        two.compress_size, two.CRC, two.header_offset = one.compress_size, one.CRC, one.header_offset
        bundle.filelist[-1] = two
        bundle._didModify = True
    refused(there, out, "shares bytes")


def test_f3_13_what_stands_before_or_after_is_refused_or_ignored_whole(lab, there, tmp_path):
    out = export_bundle(lab, "first", tmp_path / "out.zip").path
    (tmp_path / "before.zip").write_bytes(b"#!/bin/sh\n" + out.read_bytes())
    refused(there, tmp_path / "before.zip", "refused")
    for cut in (10, 100, out.stat().st_size // 2):
        (tmp_path / "cut.zip").write_bytes(out.read_bytes()[:-cut])
        refused(there, tmp_path / "cut.zip", "not a whole bundle")
    (tmp_path / "empty.zip").write_bytes(b"")
    refused(there, tmp_path / "empty.zip", "not a whole bundle")
    (tmp_path / "text.zip").write_bytes(b"hello" * 1000)
    refused(there, tmp_path / "text.zip", "not a whole bundle")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as bundle:
        bundle.writestr(plain_entry("runs/first/run.json"), b"{}")
    refused(there, tmp_path / "other.zip", "no manifest.json")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update(schema=2), "schema 2, and this unweave reads 1"),
        (lambda m: m.update(schema="1"), "does not say its schema"),
        (lambda m: m.update(kind="lab"), "wrong entry"),
        (lambda m: m.update(kind="thread"), "holds 0 threads"),
        (lambda m: m.update(id="second"), "holds others"),
        (lambda m: m.update(more=1), "wrong entry"),
        (lambda m: m.pop("seals"), "wrong seals"),
        (lambda m: m["seals"].update(other="0" * 64), "seal of 'other'"),
        (lambda m: m["seals"].update(first="0"), "seal of 'first'"),
        (lambda m: m["files"].update({"runs/first/more.txt": ["0" * 64, 1]}), "listed and not there"),
        (lambda m: m["files"].pop("runs/first/claims.json"), "there and not listed"),
        (lambda m: m["files"]["runs/first/run.json"].__setitem__(1, 3), "another size than listed"),
        (lambda m: m["files"]["runs/first/run.json"].__setitem__(1, True), "no sha256 and size"),
        (lambda m: m["files"]["runs/first/run.json"].__setitem__(1, -1), "no sha256 and size"),
        (lambda m: m["files"].update({"runs/first/run.json": "x"}), "no sha256 and size"),
    ],
)
def test_f3_13_a_list_that_is_not_the_bundles_is_refused_whole(lab, there, tmp_path, change, says):
    members = unpacked(export_bundle(lab, "first", tmp_path / "out.zip").path)
    manifest = json.loads(members["manifest.json"])
    change(manifest)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bundle:
        for name, content in members.items():
            bundle.writestr(plain_entry(name), json.dumps(manifest) if name == "manifest.json" else content)
    refused(there, tmp_path / "bad.zip", says)


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"[" * 100_000, b'{"schema": 1, "schema": 1}'])
def test_f3_13_a_list_that_is_not_one_is_refused_whole(lab, there, tmp_path, content):
    members = unpacked(export_bundle(lab, "first", tmp_path / "out.zip").path)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bundle:
        for name, was in members.items():
            bundle.writestr(plain_entry(name), content if name == "manifest.json" else was)
    refused(there, tmp_path / "bad.zip", "manifest.json|does not say its schema")


def test_f3_14_a_wrong_hash_is_refused_and_nothing_is_left(lab, there, tmp_path):
    members = unpacked(export_bundle(lab, "first", tmp_path / "out.zip").path)
    listed = json.loads(members["manifest.json"])["files"]
    claims = members["runs/first/claims.json"].replace(b"0.97", b"0.99")
    assert claims != members["runs/first/claims.json"]
    bad = packed(tmp_path / "bad.zip", {**members, "runs/first/claims.json": claims}, listed)
    refused(there, bad, r"claims.json' in the bundle has another sha256")


def tensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(start, stop, shape=None, dtype="F32"):
    return {"dtype": dtype, "shape": [(stop - start) // 4] if shape is None else shape, "data_offsets": [start, stop]}


DAMAGED = {
    "empty": b"",
    "four bytes": b"\0\0\0\0",
    "a header of 2**63 bytes": tensors({"a": tensor(0, 8)}, bytes(8), 2**63),
    "a header longer than the file": tensors({"a": tensor(0, 8)}, bytes(8), 1000),
    "not JSON": tensors(b"{'a'}", b""),
    "a list": tensors(b"[]", b""),
    "deep": tensors(b"[" * 100_000),
    "cut off": tensors({"a": tensor(0, 8)}, bytes(7)),
    "too long": tensors({"a": tensor(0, 8)}, bytes(9)),
    "overlapping": tensors({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12)),
    "a gap": tensors({"a": tensor(0, 8), "b": tensor(12, 16)}, bytes(16)),
    "backwards": tensors({"a": tensor(8, 0, [0])}, bytes(8)),
    "negative": tensors({"a": tensor(-8, 0, [2])}, bytes(8)),
    "another shape": tensors({"a": tensor(0, 8, [3])}, bytes(8)),
    "a huge shape": tensors({"a": tensor(0, 8, [2**62, 2**62, 0, 2])}, bytes(8)),
    "an unknown kind": tensors({"a": tensor(0, 8, [2], "F33")}, bytes(8)),
    "an unhashable kind": tensors({"a": tensor(0, 8, [2], [])}, bytes(8)),
    "text for offsets": tensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": "08"}}, bytes(8)),
    "metadata that are no text": tensors({"__metadata__": {"a": 1}}),
}


@pytest.mark.parametrize("content", [pytest.param(content, id=what) for what, content in DAMAGED.items()])
def test_f3_14_damaged_tensors_are_refused_and_nothing_is_left(lab, there, tmp_path, content):
    members = unpacked(export_bundle(lab, "first", tmp_path / "out.zip").path)
    bad = packed(tmp_path / "bad.zip", {**members, "runs/first/edits/a.safetensors": content})
    refused(there, bad, "a.safetensors")


def test_whole_tensors_pass(lab, there, tmp_path):
    (lab.root / "first" / "edits").mkdir()
    content = save({"a": np.ones((2, 3), np.float32), "b": np.zeros(0, np.int8)}, {"what": "an edit"})
    (lab.root / "first" / "edits" / "a.safetensors").write_bytes(content)
    (lab.root / "first" / "edits" / "none.safetensors").write_bytes(tensors({}))
    import_bundle(there, export_bundle(lab, "first", tmp_path / "out.zip").path)
    assert (there.root / "first" / "edits" / "a.safetensors").read_bytes() == content


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (b"[]", "not a JSON object"),
        (b"{}", "lacks 'study'"),
        (b"\xff", "not valid JSON"),
        ({"id": "other"}, "is 'other'"),
        ({"status": "running"}, "'running'"),
        ({"config": []}, "lacks 'config'"),
    ],
)
def test_a_run_that_is_none_is_refused_whole(lab, there, tmp_path, state, says):
    members = unpacked(export_bundle(lab, "first", tmp_path / "out.zip").path)
    was = json.loads(members["runs/first/run.json"])
    content = state if isinstance(state, bytes) else json.dumps({**was, **state}).encode()
    refused(there, packed(tmp_path / "bad.zip", {**members, "runs/first/run.json": content}), says)


def test_a_thread_with_a_changed_history_or_without_its_runs_is_refused_whole(lab, there, thread, tmp_path):
    members = unpacked(export_bundle(lab, thread, tmp_path / "out.zip").path)
    name = f"threads/{thread}/events.jsonl"
    lines = members[name].splitlines(keepends=True)
    for bad, says in (
        (b"".join([lines[0], *lines[2:]]), "does not follow"),
        (lines[0].replace(b"Spanish", b"English") + b"".join(lines[1:]), "does not follow"),
        (b"", "ends in the middle"),
        (members[name][:-5], "ends in the middle"),
        (b"".join(lines[:4]), "'second'"),
    ):
        refused(there, packed(tmp_path / "bad.zip", {**members, name: bad}), says)
    refused(there, packed(tmp_path / "bad.zip", {k: v for k, v in members.items() if "second" not in k}), "'second'")


def test_a_bundle_larger_than_allowed_or_than_the_disk_is_refused(lab, there, tmp_path, monkeypatch):
    out = export_bundle(lab, "first", tmp_path / "out.zip").path
    before = unchanged(there)
    with pytest.raises(UnweaveError, match=r"and 0\.0 GB is the most"):
        import_bundle(there, out, largest_gb=1e-6)
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(importing.shutil, "disk_usage", lambda _: usage._replace(free=10))
        with pytest.raises(UnweaveError, match="free some space"):
            import_bundle(there, out)
    assert unchanged(there) == before


def test_f3_38_a_disk_that_fills_up_leaves_nothing_of_the_bundle(lab, there, thread, tmp_path, monkeypatch):
    out = export_bundle(lab, thread, tmp_path / "out.zip").path
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 5:
            raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        refused(there, out, "the disk is full")

    # And when the last of three moves fails, the two before it are taken back.
    renames, real_rename = [], os.rename

    def third(source, target):
        renames.append(target)
        if len(renames) == 3:
            raise OSError(28, "No space left on device")
        real_rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", third)
        refused(there, out, "the disk is full")
    import_bundle(there, out)


def test_f3_30_an_import_that_is_killed_before_its_end_lets_no_changed_run_in(lab, there, tmp_path, monkeypatch):
    out = export_bundle(lab, "first", tmp_path / "out.zip").path
    folder = lab.root / "first"
    Table.from_records("seeds", [{"seed": 0, "level": 0.999}]).save(folder / "tables")
    seal_run(Run.open(folder))
    changed = packed(
        tmp_path / "changed.zip",
        {
            **unpacked(out),
            **{f"runs/first/{name}": (folder / name).read_bytes() for name in importing.members_of(folder)},
        },
    )
    process = os.fork()
    if process == 0:
        try:
            move = importing._move
            importing._move = lambda *arguments: (move(*arguments), os.kill(os.getpid(), signal.SIGKILL))
            import_bundle(Lab(there.root), changed)
        finally:
            os._exit(1)
    os.waitpid(process, 0)
    assert (there.root / "first").exists()
    there.runs.sync()
    assert not there.runs.get("first").valid

    # One that is refused leaves no seal behind.
    def refuse(*_):
        raise UnweaveError("no")

    monkeypatch.setattr(importing, "_move", refuse)
    with pytest.raises(UnweaveError, match="no"):
        import_bundle(there, export_bundle(lab, "second", tmp_path / "second.zip").path)
    assert not (there.root / "second").exists()
    assert there.runs.sealed("second") is None


IMPORTER = """
import sys
from unweave.lab import Lab
from unweave.lab.bundle import import_bundle
lab = Lab(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
import_bundle(lab, sys.argv[2])
"""


@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_f3_35_killed_while_it_imports_a_folder_is_whole_or_absent(lab, thread, tmp_path, rounds):
    # Large enough that the kills fall into every part of the work.
    chance = random.Random(0)
    for run in ("first", "second"):
        (lab.root / run / "more.txt").write_bytes(chance.randbytes(8 << 20))
    out = export_bundle(lab, thread, tmp_path / "out.zip").path
    whole = contents(lab.root)
    for number in range(rounds):
        there = Lab(tmp_path / f"there-{number}")
        one = subprocess.Popen(
            [sys.executable, "-c", IMPORTER, str(there.root), str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        one.stdout.readline()
        one.stdin.write(b"\n")
        one.stdin.flush()
        time.sleep(chance.random() * 0.5)
        os.kill(one.pid, signal.SIGKILL)
        one.communicate()
        found = contents(there.root)
        found.pop(f"threads/{thread}/imported.json", None)
        folders = {str(Path(name).parts[0]) if "threads" not in name else "threads" for name in found}
        for folder in folders:
            expected = {name: what for name, what in whole.items() if Path(name).parts[0] == folder}
            assert {name: what for name, what in found.items() if Path(name).parts[0] == folder} == expected
        import_bundle(there, out)
        assert {**contents(there.root)}.keys() == {*whole, f"threads/{thread}/imported.json"}
        assert not list(there.home.glob("import-*"))
        there.close()
        shutil.rmtree(there.root)


@pytest.mark.parametrize("rounds", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_f3_14_a_flipped_byte_is_refused_or_changes_nothing(lab, thread, tmp_path, rounds):
    out = export_bundle(lab, thread, tmp_path / "out.zip")
    chance, whole = random.Random(0), out.path.read_bytes()
    passed = 0
    for _ in range(rounds):
        content = bytearray(whole)
        place = chance.randrange(len(content))
        content[place] ^= 1 << chance.randrange(8)
        try:
            archive = archives.Archive(io.BytesIO(content), 1 << 30)
            archive.check()
            check_contents(archive)
        except UnweaveError:
            continue
        passed += 1
        assert archive.manifest == out.manifest
    # Dates, versions and permissions: fields that nothing reads.
    assert passed < rounds / 5


def test_members_of_more_than_two_gigabytes_are_read_as_they_are_written(lab, there, tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    out = export_bundle(lab, "first", tmp_path / "out.zip").path
    monkeypatch.undo()
    assert b"\xff" * 8 in out.read_bytes()
    import_bundle(there, out)
    assert contents(there.root) == {name: what for name, what in contents(lab.root).items() if "second" not in name}


def test_open_inside_reads_where_read_inside_reads(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"x" * 10)
    with files.open_inside(tmp_path, "a/b") as source:
        assert source.read(4) == b"xxxx"
    with pytest.raises(FileNotFoundError), files.open_inside(tmp_path, "../b"):
        pass
