"""The same code on a real PostgreSQL server, started for these tests where its programs are installed."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event, func, select, text, update
from sqlalchemy.exc import DBAPIError

from mission_control_desktop.control.keys import Keys
from mission_control_desktop.control.retention import Retention
from mission_control_desktop.domain.chain import ChainCheck, row_of
from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.domain.profiles import LaunchProfile
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.record import draft
from mission_control_desktop.record.ops import PutApproval, PutMessage, PutReceipt, PutSession, RecordOp
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database, SystemClock, Uuid7, open_database
from mission_control_desktop.storage.audit import append_audit
from mission_control_desktop.storage.audit_check import verify
from mission_control_desktop.storage.master_keys import EnvironmentKeys, MasterKeys, open_sealer
from mission_control_desktop.storage.retention import ADVISORY_LOCK
from mission_control_desktop.storage.tables import launch_profiles, metadata
from mission_control_desktop.storage.written import session_from
from support import aged
from support.records import (
    PATIENCE,
    SEALER,
    START,
    Client,
    Errors,
    append,
    approval,
    audit_draft,
    message,
    on_record,
    receipt,
    recording,
    session,
    until,
)
from support.tampering import CASES

T = TypeVar("T")


def _program(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")]))


pytestmark = [
    pytest.mark.skipif(
        _program("initdb") is None,
        reason="PostgreSQL's server programs are missing: install the package postgresql (Debian, Ubuntu)",
    ),
]


class Server:
    """A cluster in a directory of its own, on a socket there and on no port."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # PostgreSQL refuses to run as root.
        self._user: str | None = None
        if os.geteuid() == 0:
            self._user = next((name for name in ("postgres", "nobody") if _exists(name)), None)
            if self._user is None:
                pytest.skip("runs as root, and there is no other account to run PostgreSQL under")
            shutil.chown(directory, self._user)
        self._process: subprocess.Popen[bytes] | None = None
        initdb = _program("initdb")
        assert initdb is not None
        command = [initdb, "-D", str(directory / "data"), "-U", "mission", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd="/")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://mission@/postgres?host={self._directory}"

    def start(self) -> None:
        postgres = _program("postgres")
        assert postgres is not None
        command = [postgres, "-D", str(self._directory / "data"), "-k", str(self._directory), "-c", "listen_addresses="]
        self._process = subprocess.Popen(
            command, user=self._user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                open_database(self.url).close_now()
            except Unavailable:
                assert time.monotonic() < deadline, "PostgreSQL does not start"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE)
            self._process = None


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # Not below pytest's own directory: that is closed to other accounts.
    directory = Path(tempfile.mkdtemp(prefix="record-pg-"))
    running = Server(directory)
    yield running
    running.stop()
    shutil.rmtree(directory)


@pytest.fixture
async def database(server: Server) -> AsyncIterator[Database]:
    opened = open_database(server.url, SEALER)
    await opened.access.write(lambda c: c.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public")))
    await opened.close()
    opened = open_database(server.url, SEALER)
    yield opened
    await opened.close()


async def test_the_migrations_build_what_the_models_say(database: Database) -> None:
    assert (
        await database.access.read(
            lambda c: list(compare_metadata(MigrationContext.configure(c, opts={"compare_type": True}), metadata))
        )
        == []
    )


async def test_what_happens_is_recorded_shown_and_resumed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "FOLD_CHUNKS", 5)
    async with recording(database) as recorder:
        record = recorder.provider_record("internal")
        live, returning = Client(), Client()
        await record.apply("s", [PutSession(session=session(title="a\0é"))], cursor=1, durable=True)

        async def follow() -> None:
            async with recorder.stream_session("internal:s", replay=10) as stream:
                async for event in stream:
                    live.take(event.event)

        following = asyncio.get_running_loop().create_task(follow())
        await record.apply("s", [PutMessage(message=message("m", "a\0b\ud800é😀"))], cursor=2, durable=True)
        async with recorder.stream_session("internal:s", replay=10) as stream:
            for event in await stream.batch():
                returning.take(event.event)
        offset = 6
        for n in range(40):
            await record.apply("s", [append("m", offset, f"é{n}")], cursor=3 + n, durable=n % 3 == 0)
            offset += len(f"é{n}")
        bad = append("m", 999, "gap")
        others: list[RecordOp] = [PutReceipt(receipt=receipt("r")), PutApproval(approval=approval("p")), bad]
        await record.apply("s", others, cursor=100, durable=True)
        last = PutMessage(message=message("end", metadata={"kind": "text", "complete": True, "raw": "\0\ud800"}))
        await record.apply("s", [last], cursor=101, durable=True)
        await until(lambda: "end" in live.messages, "the listener is level")
        following.cancel()
        async with recorder.stream_session("internal:s", returning.last_id) as stream:
            for event in await stream.batch():
                returning.take(event.event)
        transcript = await on_record(database, "internal:s")
        assert transcript[0].content == "a�b�é😀" + "".join(f"é{n}" for n in range(40))
        assert live.transcript() == returning.transcript() == transcript
        assert live.receipts == returning.receipts == {"r": receipt("r")}
        assert [one.metadata["kind"] for one in transcript] == ["text", "notice", "text"]
        assert await record.cursor("s") == 101
        assert (await database.sessions.page(q="É")).items[0].title == "a�é"
        assert len(await database.sessions.tree()) == 1


async def test_pages_of_sessions_come_from_their_index(database: Database) -> None:
    ops = [PutSession(session=session(f"s{n}", spawned_at=START + timedelta(seconds=n // 3))) for n in range(2_000)]
    async with recording(database) as recorder:
        await recorder.provider_record("internal").apply("s", ops, durable=True)
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        asked.append((statement, parameters))

    engine = database.access._reader_engine
    event.listen(engine, "before_cursor_execute", note)
    found: list[str] = []
    cursor = None
    while True:
        page = await database.sessions.page(workspace_id="default", limit=500, cursor=cursor)
        found += [one.session_id for one in page.items]
        if (cursor := page.next_cursor) is None:
            break
    event.remove(engine, "before_cursor_execute", note)
    assert len(found) == len(set(found)) == 2_000
    one = page.items[-1]
    assert session_from(one) == await database.sessions.get(one.session_id)
    statement, parameters = asked[-1]

    def plan(connection: Connection) -> str:
        # What a small table makes cheapest says nothing: whether the index has the order is asked.
        connection.exec_driver_sql("SET LOCAL enable_sort TO off")
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())

    told = await database.access.read(plan)
    assert "Index Scan Backward using ix_agent_session_tree_pages" in told, told
    assert "Sort" not in told, told


async def test_the_audit_log_is_closed_to_sql(database: Database) -> None:
    async with recording(database) as recorder:
        for n in range(5):
            await recorder.audit.append("default", audit_draft(n, metadata={"f": 1.5, "é": "\0"}))
        for statement in (
            "UPDATE operator_audit_log SET content = 'forged'",
            "DELETE FROM operator_audit_log WHERE seq = 1",
            "TRUNCATE operator_audit_log",
        ):
            with pytest.raises(DBAPIError, match="append-only"):
                await database.access.write(lambda c, statement=statement: c.execute(text(statement)))  # type: ignore[misc]
        rows = [row async for row in recorder.audit.rows("default")]
        assert ChainCheck().feed(map(row_of, rows)) is None
        assert len(rows) == 5
        assert (await recorder.audit.verify("default")).valid


class OnPostgresql:
    """An attacker whose every step is undone, and a reader that sees it before."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, statement: str, *values: Any) -> list[Any]:
        given = tuple(
            json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else value for value in values
        )
        result = self._connection.exec_driver_sql(statement.replace("?", "%s"), given)
        return [tuple(found) for found in result] if result.returns_rows else []

    async def read(self, work: Callable[[Connection], T]) -> T:
        return work(self._connection)


async def test_tampering_behind_the_triggers_is_named_here_too(database: Database, server: Server) -> None:
    async with recording(database) as recorder:
        for n in range(1, 9):
            metadata: dict[str, Any] = {"n": 1} if n == 4 else {"reason": "because", "intentId": f"i{n}", "f": 0.5 * n}
            draft_ = audit_draft(n, metadata=metadata, content="" if n == 3 else f"say {n} é", session_id="internal:s")
            await recorder.audit.append("default", draft_)
        assert (await recorder.audit.verify("default")).valid
    engine = create_engine(server.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        for name, tamper, fault, seq in CASES:
            attacker = OnPostgresql(connection)
            attacker.run("ALTER TABLE operator_audit_log DISABLE TRIGGER ALL")
            tamper(attacker)
            report = await verify(attacker, database.audit.keys, "default")
            connection.rollback()
            assert report.first_bad is not None, name
            assert (report.first_bad.fault.value, report.first_bad.seq) == (fault, seq), (name, report.first_bad)
    engine.dispose()


async def test_two_processes_write_one_chain(database: Database, server: Server) -> None:
    """Without a recorder: what each transaction does is enough."""
    other = open_database(server.url, SEALER)

    async def write(opened: Database) -> None:
        for _ in range(20):

            def work(connection: Connection) -> None:
                append_audit(connection, SEALER, "default", audit_draft(id=Uuid7().new()), 0)

            await opened.access.write(work)

    await asyncio.gather(write(database), write(other))
    rows = [row async for row in database.audit.rows("default")]
    assert ChainCheck().feed(map(row_of, rows)) is None
    assert len(rows) == 40
    await other.close()


async def test_the_role_of_the_application_need_not_own_the_log(database: Database, server: Server) -> None:
    """As the documentation tells a database's administrator: the owner migrates, the application appends."""
    await database.access.write(
        lambda c: [
            c.execute(text(statement))
            for statement in (
                "DROP ROLE IF EXISTS mission_app",
                "CREATE ROLE mission_app LOGIN",
                "GRANT USAGE ON SCHEMA public TO mission_app",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO mission_app",
                "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO mission_app",
                "REVOKE UPDATE, DELETE, TRUNCATE ON operator_audit_log FROM mission_app",
                "REVOKE DELETE, TRUNCATE ON operator_audit_heads FROM mission_app",
            )
        ]
    )
    application = open_database(server.url.replace("mission@", "mission_app@"), SEALER)
    async with recording(application) as recorder:
        await recorder.audit.append("default", audit_draft())
        assert (await recorder.audit.verify("default")).valid
        for statement in (
            "UPDATE operator_audit_log SET content = 'x'",
            "DELETE FROM operator_audit_log",
            "TRUNCATE operator_audit_log",
            "ALTER TABLE operator_audit_log DISABLE TRIGGER ALL",
            "DROP TABLE operator_audit_log",
            "DELETE FROM operator_audit_heads",
        ):
            with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
                await application.access.write(lambda c, statement=statement: c.execute(text(statement)))  # type: ignore[misc]
    await application.close()
    await database.access.write(lambda c: c.execute(text("DROP OWNED BY mission_app")))


async def test_old_messages_leave_this_record_too_by_one_process_at_a_time(database: Database, server: Server) -> None:
    async with recording(database) as recorder:
        retention = Retention(database.retention, recorder, aged.At(aged.NOW), Uuid7())
        await aged.what_goes_and_what_stays(database, recorder, retention)
        await aged.talk(recorder, "more", SessionStatus.COMPLETED, *(40 + n for n in range(20)))
        engine = create_engine(server.url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect() as other:
            other.execute(select(func.pg_advisory_lock(ADVISORY_LOCK)))
            await retention.once()
            assert len(await aged.ids(database, "more")) == 20, "another process was at it"
            # Given back here: when only the connection is closed, the server may let go of it a moment later.
            other.execute(select(func.pg_advisory_unlock(ADVISORY_LOCK)))
        engine.dispose()
        assert (await retention.once())["default"].messages >= 20
        assert await aged.ids(database, "more") == []
        assert (await recorder.audit.verify("default")).valid


async def test_the_key_is_changed_and_nothing_stays_in_clear(server: Server, tmp_path: Path) -> None:
    keys = MasterKeys(tmp_path, EnvironmentKeys({}))
    first = open_database(server.url, SEALER)
    await first.access.write(lambda c: c.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public")))
    await first.close()
    database = open_database(server.url, open_sealer(keys))
    profile = LaunchProfile(name="mine", command=("true",), env={"KEY": "in-clear"})
    await database.profiles.put(msgspec.structs.replace(profile, env={}))
    clear = update(launch_profiles).values(body=msgspec.to_builtins(profile))
    await database.access.write(lambda c: c.execute(clear))

    async def on_disk() -> bytes:
        await database.access.maintain("CHECKPOINT")
        read = text("SELECT pg_read_binary_file(pg_relation_filepath('launch_profiles'))")
        return bytes(await database.access.read(lambda c: c.execute(read).scalar_one()))

    assert b"in-clear" in await on_disk()
    await database.close()
    database = open_database(server.url, open_sealer(keys))  # it seals what stood in clear, and writes the table anew
    found = await on_disk()
    assert b"mine" in found
    assert b"in-clear" not in found
    assert await database.profiles.get("mine") == profile
    async with recording(database) as recorder:
        await recorder.audit.append("default", audit_draft())
        old = database.sealer.key_id
        done = await Keys(database, keys).rotate()
        assert (done.resealed, done.refreshed, done.left, done.forgotten) == (1, 1, (), (old,))
        assert await database.profiles.get("mine") == profile
        assert (await recorder.audit.verify("default")).valid
        await recorder.audit.append("default", audit_draft())
    await database.close()
    database = open_database(server.url, open_sealer(keys))
    assert database.sealer.key_ids == (done.key_id,)
    assert await database.profiles.get("mine") == profile
    assert (await database.audit.verify("default")).valid
    await database.close()


async def test_an_idempotency_key_is_taken_once(database: Database) -> None:
    keys = database.idempotency
    taken = [await keys.reserve("ada", "k", "hash", at=START) for _ in range(2)]
    assert taken[0] is None
    assert taken[1] is not None
    await keys.complete("ada", "k", status=200, body=b"\0")
    again = await keys.reserve("ada", "k", "hash", at=START)
    assert again is not None
    assert again.body == b"\0"


async def test_one_recorder_per_record(database: Database, server: Server) -> None:
    other = open_database(server.url, SEALER)
    second = Recorder(other, SystemClock(), Uuid7(), Errors())
    async with recording(database):
        with pytest.raises(Unavailable, match="Another control plane"):
            await second.start()
    await second.close()
    async with recording(other):
        pass
    await other.close()


async def test_a_server_that_goes_away_and_comes_back_costs_nothing(database: Database, server: Server) -> None:
    async with recording(database) as recorder:
        record = recorder.provider_record("internal")
        client = Client()
        await record.apply("s", [PutSession(session=session()), PutMessage(message=message("m"))], durable=True)

        async def follow() -> None:
            async with recorder.stream_session("internal:s", replay=10) as stream:
                async for event in stream:
                    client.take(event.event)

        following = asyncio.get_running_loop().create_task(follow())
        await until(lambda: "m" in client.messages, "the listener is level")
        await asyncio.to_thread(server.stop)
        for n in range(50):
            await record.apply("s", [append("m", n, "x")], cursor=n + 1)
        await until(lambda: recorder.health().state == "degraded", "the loss is noticed")
        assert recorder.health().detail == "The record cannot be written now: the database server does not answer."
        await asyncio.to_thread(server.start)
        await record.apply("s", [append("m", 50, "!")], cursor=51, durable=True)
        assert recorder.health().state == "ok"
        await until(lambda: client.messages["m"].content.endswith("!"), "the listener is level again")
        following.cancel()
        [whole] = await on_record(database, "internal:s")
        assert whole.content == "x" * 50 + "!"
        assert client.transcript() == [whole]
