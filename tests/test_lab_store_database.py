from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest

from unweave.base.errors import UnweaveError
from unweave.base.files import sole_writer
from unweave.lab.store import connection as connection_module
from unweave.lab.store import database as database_module
from unweave.lab.store.database import Database
from unweave.lab.store.migrations import MIGRATIONS

FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None
forks = pytest.mark.skipif(FORK is None, reason="processes are forked")


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".lab" / "lab.db"


@pytest.fixture
def database(path):
    opened = Database(path)
    yield opened
    opened.close()


def spend(database, account, amount=1.0, **options):
    with database.write(**options) as connection:
        connection.execute(
            "INSERT INTO spending (account, resource, spent) VALUES (?, 'runs', ?) "
            "ON CONFLICT (account, resource) DO UPDATE SET spent = spent + excluded.spent",
            (account, amount),
        )


def spent(database, account):
    rows = database.read("SELECT spent FROM spending WHERE account = ?", (account,))
    return rows[0]["spent"] if rows else None


def tables(path):
    connection = sqlite3.connect(path)
    found = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return found


def started(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_transaction_is_whole_or_nothing(database):
    spend(database, "a", 2.0)

    def refused():
        with database.write() as connection:
            connection.execute("UPDATE spending SET spent = 9")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        refused()
    assert spent(database, "a") == 2.0
    spend(database, "a")
    assert spent(database, "a") == 3.0


def test_inside_a_transaction_its_own_writes_are_read_and_another_one_joins_it(database):
    def refused():
        with database.write():
            spend(database, "a")
            assert spent(database, "a") == 1.0
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        refused()
    assert spent(database, "a") is None


def test_a_broken_constraint_stays_what_it_is(database):
    def twice():
        with database.write() as connection:
            for _ in range(2):
                connection.execute("INSERT INTO seals VALUES ('a', 'b', 'c')")

    with pytest.raises(sqlite3.IntegrityError):
        twice()
    assert database.read("SELECT * FROM seals") == []


def test_f3_15_every_file_is_its_owners_alone_whatever_the_umask(path):
    before = os.umask(0)
    try:
        database = Database(path)
        spend(database, "a")
        database.copy_to(path.parent / "backups" / "copy.db")
        found = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.rglob("*")}
        assert {"lab.db", "lab.db-wal", "lab.db-shm", "lab.db.lock", "copy.db"} <= set(found)
        database.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {name: mode for name, mode in found.items() if mode & 0o077} == {}


def test_f3_37_a_newer_schema_is_refused_with_both_versions(path):
    Database(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(
        UnweaveError, match=f"has schema 99, and this unweave knows up to {len(MIGRATIONS)}: use a newer"
    ):
        Database(path)


def test_f3_37_a_process_left_behind_by_a_migration_writes_nothing(database, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(database_module, "MIGRATIONS", (*MIGRATIONS, lambda connection: None))
        Database(path).close()
    with pytest.raises(UnweaveError, match=f"has schema {len(MIGRATIONS) + 1}"):
        spend(database, "a")
    assert spent(database, "a") is None


def test_f3_37_a_copy_is_kept_before_a_migration_and_can_be_gone_back_to(path, monkeypatch):
    database = Database(path)
    spend(database, "a", 5.0)
    database.close()

    def added(connection):
        connection.execute("CREATE TABLE more (a TEXT)")
        connection.execute("DELETE FROM spending")

    with monkeypatch.context() as patch:
        patch.setattr(database_module, "MIGRATIONS", (*MIGRATIONS, added))
        newer = Database(path)
        assert newer.version() == len(MIGRATIONS) + 1
        newer.close()
    copy = path.parent / "backups" / f"lab-{len(MIGRATIONS)}.db"
    with pytest.raises(UnweaveError, match="put back a copy from"):
        Database(path)
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    os.replace(copy, path)
    assert spent(Database(path), "a") == 5.0


def test_a_migration_that_fails_leaves_the_version_before_and_can_be_tried_again(path, monkeypatch):
    Database(path).close()

    def half(connection):
        connection.execute("CREATE TABLE half (a TEXT)")
        raise sqlite3.OperationalError("no such thing")

    with monkeypatch.context() as patch:
        patch.setattr(database_module, "MIGRATIONS", (*MIGRATIONS, half))
        with pytest.raises(UnweaveError, match="no such thing"):
            Database(path)
    assert "half" not in tables(path)
    assert Database(path).version() == len(MIGRATIONS)


def test_f3_37_of_two_that_migrate_at_once_one_does_it_and_the_other_finds_it_done(path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from unweave.lab.store import database as d\n"
        "from unweave.lab.store.migrations import MIGRATIONS\n"
        "def slow(connection):\n"
        "    time.sleep(0.2); connection.execute('CREATE TABLE once (a TEXT)'); print('migrated')\n"
        "d.MIGRATIONS = (*MIGRATIONS, slow)\n"
        "sys.stdin.readline()\n"
        "print(d.Database(Path(sys.argv[1])).version())"
    )
    for fresh in (True, False):
        if not fresh:
            path.unlink()
            Database(path).close()
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(3)
        ]
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        said = [racer.communicate(timeout=60)[0].split() for racer in racers]
        assert [racer.returncode for racer in racers] == [0, 0, 0]
        assert sorted(line for lines in said for line in lines) == [str(len(MIGRATIONS) + 1)] * 3 + ["migrated"]


def test_f3_36_writers_wait_for_each_other_and_readers_for_nobody(path, database):
    code = (
        "import sys; from pathlib import Path; from unweave.lab.store.database import Database\n"
        "database = Database(Path(sys.argv[1]))\n"
        "for _ in range(25):\n"
        "    with database.write() as connection:\n"
        "        connection.execute(\"INSERT INTO spending (account, resource, spent) VALUES ('a', 'runs', 1) \"\n"
        "            'ON CONFLICT (account, resource) DO UPDATE SET spent = spent + 1')\n"
        "    database.read('SELECT * FROM spending')\n"
        "    database.close()"
    )
    writers = [started(code, path) for _ in range(6)]
    while any(writer.poll() is None for writer in writers):
        # Opened anew each time: the moments in which SQLite itself would say that it is locked.
        reader = Database(path)
        assert spent(reader, "a") in (None, *map(float, range(151)))
        reader.close()
    assert [writer.communicate()[1] for writer in writers] == [""] * 6
    assert spent(database, "a") == 150.0
    assert database.problems() == []


def test_a_writer_waits_at_the_lock_and_not_in_sqlite(database, path):
    with sole_writer(path):
        waiting = threading.Thread(target=spend, args=(database, "a"))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert spent(database, "a") is None
    waiting.join(10)
    assert spent(database, "a") == 1.0


def test_threads_share_one_database(database):
    def work():
        for _ in range(20):
            spend(database, "a", derived=True)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert spent(database, "a") == 120.0
    assert len(database._connections._idle) <= connection_module._MOST_IDLE


@forks
def test_a_connection_does_not_cross_a_fork(database, path):
    spend(database, "a")
    inherited = [id(one) for one in database._connections._idle]
    assert inherited

    def child():
        with database._connections.one() as connection:
            assert id(connection) not in inherited
        spend(database, "a")
        database.close()

    process = FORK.Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert path.with_name("lab.db-wal").exists()
    assert spent(database, "a") == 2.0
    spend(database, "a")
    assert spent(Database(path), "a") == 3.0


@forks
def test_a_fork_inside_a_transaction_neither_ends_nor_joins_it(database):
    def child():
        # What the parent has written and not finished is not this process's.
        os._exit(0 if database.read("SELECT count(*) FROM spending")[0][0] == 0 else 1)

    with database.write() as connection:
        connection.execute("INSERT INTO spending (account, resource) VALUES ('a', 'runs')")
        process = FORK.Process(target=child)
        process.start()
        process.join(60)
    assert process.exitcode == 0
    assert spent(database, "a") == 0.0


def test_another_program_that_holds_the_file_is_named_after_a_while(path, database, monkeypatch):
    monkeypatch.setattr(database_module, "WRITE_SECONDS", 0.1)
    impatient = Database(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnweaveError, match=r"lab\.db: another program than unweave holds it open to write"):
        spend(impatient, "a")
    assert spent(impatient, "a") is None
    other.execute("ROLLBACK")
    other.close()
    spend(impatient, "a")
    impatient.close()


def test_f3_39_what_is_no_database_is_refused_with_the_remedy(path):
    path.parent.mkdir()
    path.write_bytes(b"this is a text, not a database; " * 400)
    with pytest.raises(UnweaveError, match=r"lab\.db: it is damaged .*unweave doctor --repair"):
        Database(path)


def test_f3_39_a_damaged_page_is_found(path):
    database = Database(path)
    with database.write() as connection:
        connection.executemany("INSERT INTO seals VALUES (?, ?, ?)", [(f"r-{n}", "d" * 200, "t") for n in range(500)])
    database.copy_to(path.with_name("copy.db"))
    database.close()
    content = bytearray(path.with_name("copy.db").read_bytes())
    content[-3 * 4096 : -2 * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    assert Database(path).problems() != []


def test_f3_38_a_full_disk_is_one_line_and_nothing_of_the_change_is_there(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk of a chosen size can be mounted here")
    try:
        database = Database(disk / "lab.db")
        spend(database, "a")

        def too_much():
            with database.write() as connection:
                connection.execute("DELETE FROM spending")
                for number in range(3000):
                    connection.execute("INSERT INTO seals VALUES (?, ?, '')", (f"r-{number}", "d" * 300))

        with pytest.raises(UnweaveError, match=r"lab\.db.*the disk is full"):
            too_much()
        assert spent(database, "a") == 1.0
        assert database.read("SELECT count(*) FROM seals")[0][0] == 0
        assert database.problems() == []
        spend(database, "a")
        database.close()
        assert spent(Database(disk / "lab.db"), "a") == 2.0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_f3_38_in_a_read_only_folder_the_lab_is_read_and_nothing_is_written(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        # Killed, so that what it wrote is still in the log beside the file.
        code = (
            "import os, signal, sys; from pathlib import Path; from unweave.lab.store.database import Database\n"
            "database = Database(Path(sys.argv[1]))\n"
            "with database.write() as connection:\n"
            "    connection.execute(\"INSERT INTO spending (account, resource, spent) VALUES ('a', 'runs', 1)\")\n"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        started(code, disk / "lab.db").communicate(timeout=60)
        assert (disk / "lab.db-wal").stat().st_size
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        reader = Database(disk / "lab.db")
        assert (reader.read_only, spent(reader, "a")) == (True, 1.0)
        with pytest.raises(UnweaveError, match="cannot be written to: the lab is open to read only"):
            spend(reader, "a")
        spend(reader, "a", derived=True)
        assert (spent(reader, "a"), spent(Database(disk / "lab.db"), "a")) == (2.0, 1.0)
        folder = reader._file.parent
        reader.close()
        del reader
        assert not folder.exists()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_file_that_is_gone_is_not_silently_begun_again_where_a_copy_is_kept(path):
    database = Database(path)
    spend(database, "a")
    database.copy_to(path.parent / "backups" / "lab-latest.db")
    database.close()
    path.unlink()
    with pytest.raises(UnweaveError, match="is gone or empty: `unweave doctor --repair` makes it anew"):
        Database(path)


def test_a_killed_writer_leaves_the_lock_to_the_next(path, database):
    code = (
        "import os, signal, sys; from pathlib import Path; from unweave.lab.store.database import Database\n"
        "with Database(Path(sys.argv[1])).write() as connection:\n"
        "    connection.execute(\"INSERT INTO spending (account, resource) VALUES ('a', 'runs')\")\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    started(code, path).wait(60)
    spend(database, "b")
    assert (spent(database, "a"), spent(database, "b")) == (None, 1.0)


def test_a_folder_in_the_place_of_the_file_is_refused(path):
    path.mkdir(parents=True)
    with pytest.raises(UnweaveError, match=r"lab\.db"):
        Database(path)


def test_opening_the_lab_loads_nothing_heavy(tmp_path):
    code = (
        "import sys; from pathlib import Path; from unweave.lab import Lab; lab = Lab(Path(sys.argv[1]))\n"
        "lab.runs.sync(); lab.people.here()\n"
        "print([name for name in ('torch', 'numpy', 'transformers', 'fastapi') if name in sys.modules])"
    )
    assert started(code, tmp_path / "runs").communicate(timeout=60)[0].strip() == "[]"
