"""The database file: made from nothing, private, at the schema of the models, refused if it is not ours to use."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from mission_control_desktop.domain.errors import BadInput, Unavailable
from mission_control_desktop.storage import open_database
from mission_control_desktop.storage.schema import HEAD, MIGRATIONS
from mission_control_desktop.storage.tables import metadata


def test_a_new_database_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "record.db"
    previous = os.umask(0)
    try:
        database = open_database(path)
    finally:
        os.umask(previous)
    database.access.write_now(lambda c: c.execute(text("UPDATE meta SET value = '1' WHERE key = 'wseq'")))
    try:
        for name in ("record.db", "record.db-wal", "record.db-shm"):
            assert (path.parent / name).stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700

        def settings(connection: Connection) -> list[object]:
            names = ("journal_mode", "foreign_keys", "busy_timeout")
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

        assert database.access.write_now(settings) == ["wal", 1, 5000]
        assert database.access.read_now(settings) == ["wal", 1, 5000]
    finally:
        database.close_now()


def test_an_open_file_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    open_database(path).close_now()
    path.chmod(0o644)
    open_database(str(path)).close_now()
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_migrations_build_what_the_models_say(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'record.db'}")

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))

    try:
        assert database.access.read_now(differences) == []
    finally:
        database.close_now()


def test_the_known_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_an_up_to_date_database_opens_without_alembic(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    open_database(path).close_now()
    program = (
        "import sys; from mission_control_desktop.storage import open_database; "
        "open_database(sys.argv[1]).close_now(); print('alembic' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


def test_two_processes_may_create_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    program = (
        "import sys; from mission_control_desktop.storage import open_database; open_database(sys.argv[1]).close_now()"
    )
    command = [sys.executable, "-c", program, str(path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM meta").fetchone() == (2,)
    connection.close()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    database = open_database(path)
    database.access.write_now(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    database.close_now()
    with pytest.raises(Unavailable, match="newer version"):
        open_database(path)


@pytest.mark.parametrize("address", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "http://localhost"])
def test_another_kind_of_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput) as refused:
        open_database(address)
    assert refused.value.field == "database_url"


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    path.write_bytes(b"not a database at all, and long enough to be sure of it" * 50)
    with pytest.raises(Unavailable, match="damaged"):
        open_database(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="file"):
        open_database(tmp_path / "file" / "record.db")
