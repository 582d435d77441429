"""Secrets in a real database: sealed, taken over from one that had them in clear, and given another key, even by a
process that is killed in the middle of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import LargeBinary, create_engine, insert, select
from structlog.testing import capture_logs

from mission_control_desktop.control.keys import Keys
from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.domain.profiles import LaunchProfile
from mission_control_desktop.storage import Database, open_database
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.audit import append_audit
from mission_control_desktop.storage.master_keys import KEYS_FILE, EnvironmentKeys, MasterKeys, open_sealer
from mission_control_desktop.storage.schema import MIGRATIONS
from mission_control_desktop.storage.sealed import ADAPTER_SECRETS, CREDENTIALS, SCRUB, SEALED
from mission_control_desktop.storage.sealing import MasterKey, Sealer, key_id_of
from support.records import SEALER, audit_draft

CANARY = "canary-51f2c0de"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
PROFILE = LaunchProfile(name="mine", command=("true",), env={"API_KEY": CANARY}, title="Mine")
NOT_SECRET = {("kill_alls", "runner_state"), ("idempotency_keys", "response"), ("operator_audit_heads", "mac")}


@contextmanager
def opened(directory: Path) -> Iterator[tuple[Database, MasterKeys]]:
    keys = MasterKeys(directory, EnvironmentKeys({}))
    database = open_database(directory / "record.db", open_sealer(keys))
    try:
        yield database, keys
    finally:
        database.close_now()


async def fill(database: Database) -> None:
    """A value in every sealed column."""
    await database.profiles.put(PROFILE)
    sealer = database.sealer
    values = {
        "id": "c1",
        "workspace_id": "w",
        "name": "claw",
        "provider": "x",
        "gateway_url": "",
        "credentials": sealer.seal(b"credentials", place=CREDENTIALS.place("c1")),
        "adapter_secrets": sealer.seal(b"device", place=ADAPTER_SECRETS.place("c1")),
        "created_at": NOW,
        "updated_at": NOW,
    }
    await database.access.write(lambda c: c.execute(insert(t.provider_configs), values))


async def holds(database: Database) -> set[str | None]:
    """Everything is as `fill` put it; the ids of the keys that seal it."""
    assert await database.profiles.get("mine") == PROFILE
    found = await database.access.read(lambda c: {one: one.values(c) for one in SEALED})
    assert database.sealer.open(found[CREDENTIALS][0][1], place=CREDENTIALS.place("c1")) == b"credentials"
    assert database.sealer.open(found[ADAPTER_SECRETS][0][1], place=ADAPTER_SECRETS.place("c1")) == b"device"
    return {key_id_of(sealed) for values in found.values() for _, sealed in values}


def raw(path: Path) -> bytes:
    """The database's file with its log and index."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


def test_every_column_of_bytes_is_sealed_or_known_to_hold_no_secret() -> None:
    found = {
        (table.name, column.name)
        for table in t.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    sealed = {(one.table.name, one.column) for one in SEALED}
    assert found == sealed | NOT_SECRET
    assert not sealed & NOT_SECRET
    for one in SEALED:
        assert [column.name for column in one.table.primary_key.columns] == [one.key]


async def test_nothing_of_an_environment_is_in_the_files_and_lists_need_no_key(tmp_path: Path) -> None:
    with opened(tmp_path) as (database, _):
        await database.profiles.put(PROFILE)
        assert await database.profiles.get("mine") == PROFILE
        assert CANARY.encode() not in raw(tmp_path / "record.db")
    assert CANARY.encode() not in raw(tmp_path / "record.db")
    other = open_database(tmp_path / "record.db", Sealer([MasterKey.generate()]))
    try:
        (shown,) = await other.profiles.all()
        assert (shown.title, shown.env_names) == ("Mine", ("API_KEY",))
    finally:
        await other.close()


def old_database(path: Path) -> None:
    """As the first version left it after a crash: an environment in clear, one that was replaced, one deleted."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    body = json.loads(msgspec.json.encode(PROFILE))
    big = {**body, "env": {f"V{number}": CANARY * 50 for number in range(40)}}
    old = sqlite3.connect(path)
    old.execute("PRAGMA journal_mode=WAL")
    old.execute("PRAGMA wal_autocheckpoint=0")
    old.execute("PRAGMA secure_delete=OFF")  # as most builds have it
    for name in ("gone", "mine"):
        old.execute("INSERT INTO launch_profiles VALUES (?, ?)", (name, json.dumps(big)))
    old.execute("INSERT INTO meta VALUES ('epoch', 'e'), ('wseq', '0')")
    old.commit()
    old.execute("PRAGMA wal_checkpoint")
    old.execute("UPDATE launch_profiles SET body = ? WHERE name = 'mine'", (json.dumps(body),))
    old.execute("DELETE FROM launch_profiles WHERE name = 'gone'")
    old.commit()
    left = {name: (path.parent / name).read_bytes() for name in (path.name, f"{path.name}-wal")}
    old.close()
    for name, content in left.items():
        (path.parent / name).write_bytes(content)


async def test_environments_of_an_older_database_are_sealed_and_leave_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    old_database(path)
    assert raw(path).count(CANARY.encode()) > 1_000
    with opened(tmp_path) as (database, _):
        assert {file.name for file in tmp_path.glob("record.db*")} == {"record.db", "record.db-wal", "record.db-shm"}
        assert CANARY.encode() not in raw(path)
        assert await database.profiles.get("mine") == PROFILE
        assert [one.name for one in await database.profiles.all()] == ["mine"]
        kept = await database.access.read(lambda c: list(c.execute(select(t.meta.c.key)).scalars()))
        assert SCRUB not in kept
    assert CANARY.encode() not in raw(path)


async def test_without_a_key_an_older_database_stays_as_it_is_until_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    old_database(path)
    without = open_database(path)
    assert await without.profiles.get("mine") == PROFILE
    await without.close()
    with opened(tmp_path) as (database, _):
        assert await database.profiles.get("mine") == PROFILE
        assert CANARY.encode() not in raw(path)


def test_a_scrub_that_cannot_be_done_is_said_and_done_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.db"
    old_database(path)

    def full(*_: object) -> None:
        raise Unavailable("The disk is full.")

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr("mission_control_desktop.storage.access.Access._rewrite_file", full)
        open_database(path, SEALER).close_now()
    assert [entry for entry in logs if entry.get("problem") == "The disk is full."]
    assert CANARY.encode() in raw(path)
    open_database(path, SEALER).close_now()
    assert CANARY.encode() not in raw(path)


async def test_a_lost_key_is_named_with_the_way_out_and_nothing_is_overwritten(tmp_path: Path) -> None:
    with opened(tmp_path) as (database, _):
        await fill(database)
        (lost,) = await holds(database)
    kept = (tmp_path / KEYS_FILE).read_bytes()
    (tmp_path / KEYS_FILE).unlink()
    with opened(tmp_path) as (database, keys):
        with pytest.raises(Unavailable, match="MISSION_CONTROL_MASTER_KEY_PREVIOUS") as refused:
            await database.profiles.get("mine")
        assert "'mine'" in refused.value.message
        assert str(lost) in refused.value.message
        watched = Keys(database, keys)
        with capture_logs() as logs:
            await watched.check()
        assert {entry["place"] for entry in logs if "place" in entry} == {
            "agent_provider_configs/c1/credentials",
            "agent_provider_configs/c1/adapter_secrets",
            "launch_profiles/mine/sealed_env",
        }
        assert watched.closed == 3
        done = await watched.rotate()
        assert (done.resealed, len(done.left)) == (0, 3)
        assert len((await watched.status()).unopenable) == 3
    (tmp_path / KEYS_FILE).write_bytes(kept)
    with opened(tmp_path) as (database, _):
        assert await holds(database) == {lost}


async def test_a_rotation_seals_everything_anew_and_forgets_the_old_key(tmp_path: Path) -> None:
    with opened(tmp_path) as (database, keys):
        await fill(database)
        old = database.sealer.key_id
        done = await Keys(database, keys).rotate()
        assert (done.resealed, done.left, done.forgotten, done.previous_key_id) == (3, (), (old,), old)
        assert await holds(database) == {done.key_id}
        assert database.sealer.key_ids == (done.key_id,)
    with opened(tmp_path) as (database, _):
        assert await holds(database) == {done.key_id}


async def test_a_process_with_the_old_key_in_memory_notices_the_new_one(tmp_path: Path) -> None:
    with opened(tmp_path) as (database, keys):
        await fill(database)
        with opened(tmp_path) as (stale, _):
            await Keys(database, keys).rotate()
            await holds(stale)
            assert stale.sealer.key_id == database.sealer.key_id


async def test_what_is_written_after_another_process_changed_the_key_is_sealed_with_the_new_one(
    tmp_path: Path,
) -> None:
    """Another process in earnest; and a second rotation at once, by another database on the same directory."""
    with opened(tmp_path) as (database, keys):
        sealer = database.sealer
        await fill(database)
        old = sealer.key_id
        askers: set[str] = set()

        def named() -> str | None:
            askers.add(threading.current_thread().name)
            return keys.current_id()

        sealer._named = named
        (config,) = await database.provider_configs.everywhere()
        other = await asyncio.create_subprocess_exec(sys.executable, "-c", ROTATE, str(tmp_path), "to the end")
        async with asyncio.timeout(100):
            assert await other.wait() == 0
        assert sealer.key_id == old, "nothing was asked of it yet"

        async def write_everything(number: int) -> set[str | None]:
            await database.profiles.put(PROFILE)
            assert await database.provider_configs.update(config, credentials=b"credentials")
            assert await database.provider_configs.keep_adapter_secrets("c1", b"device")
            draft = audit_draft(id=f"row-{number}")
            await database.access.write(lambda c: append_audit(c, sealer, "w", draft, number))
            ends = await database.access.read(lambda c: set(c.execute(select(t.audit_heads.c.key_id)).scalars()))
            return await holds(database) | ends

        assert await write_everything(1) == {keys.current_id()}
        assert sealer.key_id != old
        with opened(tmp_path) as (second, its_keys):
            done = await Keys(second, its_keys).rotate()
            assert await write_everything(2) == {done.key_id}
        assert (await database.audit.verify("w")).valid
        assert {name.rpartition("_")[0] for name in askers} == {"record-writer"}
    with opened(tmp_path) as (database, _):
        assert await holds(database) == {done.key_id}


ROTATE = """
import asyncio, os, signal, sys
from pathlib import Path
from mission_control_desktop.control import keys as control
from mission_control_desktop.storage import open_database
from mission_control_desktop.storage import master_keys as module

directory, step = Path(sys.argv[1]), sys.argv[2]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def after(owner, name):
    real = getattr(owner, name)
    def wrapped(*args, **more):
        real(*args, **more)
        die()
    setattr(owner, name, wrapped)

keys = module.MasterKeys(directory, module.EnvironmentKeys({}))
database = open_database(directory / "record.db", module.open_sealer(keys))
if step == "storing the key":
    module.os.replace = die
elif step == "the key is stored":
    after(keys, "begin_rotation")
elif step == "not committed":
    after(control, "reseal_all")
elif step == "committed":
    control.keys_in_use = die
elif step == "forgetting":
    keys.forget = die
elif step == "forgotten":
    after(keys, "forget")
asyncio.run(control.Keys(database, keys).rotate())
"""
STEPS = ["storing the key", "the key is stored", "not committed", "committed", "forgetting", "forgotten"]


async def test_a_rotation_that_is_killed_anywhere_loses_nothing(tmp_path: Path) -> None:
    before: dict[str, set[str | None]] = {}
    for step in STEPS:
        (tmp_path / step).mkdir()
        with opened(tmp_path / step) as (database, _):
            await fill(database)
            before[step] = await holds(database)
    killed = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", ROTATE, str(tmp_path / step), step) for step in STEPS
    ]
    async with asyncio.timeout(100):
        assert {await one.wait() for one in killed} == {-signal.SIGKILL}
    for step in STEPS:
        with opened(tmp_path / step) as (database, keys):
            found = await holds(database)
            assert (found == before[step]) == (step in STEPS[:3]), step
            assert len(database.sealer.key_ids) == (1 if step in ("storing the key", "forgotten") else 2), step
            done = await Keys(database, keys).rotate()
            assert await holds(database) == {done.key_id}, step
            assert database.sealer.key_ids == (done.key_id,), step


def test_no_file_is_open_to_others(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        with opened(tmp_path):
            assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    finally:
        os.umask(previous)
