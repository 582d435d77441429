"""Whatever is done to the audit log behind our back is found, and the row is named."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import IntegrityError

from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome, ChainHead, Fault
from mission_control_desktop.domain.base import to_json
from mission_control_desktop.record.catchup import workspace_changes
from mission_control_desktop.storage import Database, open_database
from mission_control_desktop.storage.audit_check import verify
from support.records import SEALER, audit_draft, fresh_database, recording
from support.tampering import CASES, COLUMNS, Case, OnSqlite, insert, on_sqlite, recompute, remove, row, swap

ROWS = 8
T = TypeVar("T")


async def eight_rows(database: Database) -> None:
    async with recording(database) as recorder:
        for n in range(1, ROWS + 1):
            metadata: dict[str, Any] = {"n": 1} if n == 4 else {"reason": "because", "intentId": f"i{n}", "f": 0.5 * n}
            await recorder.audit.append(
                "default",
                audit_draft(n, metadata=metadata, content="" if n == 3 else f"say {n} é", session_id="internal:s"),
            )
        assert (await recorder.audit.append("other", audit_draft())).seq == 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("audit")
    database = fresh_database(directory)
    asyncio.run(eight_rows(database))
    database.close_now()
    return directory / "record.db"


@pytest.fixture
async def database(whole: Path, tmp_path: Path) -> AsyncIterator[Database]:
    shutil.copy(whole, tmp_path / "record.db")
    opened = open_database(tmp_path / "record.db", SEALER)
    yield opened
    await opened.close()


def path_of(database: Database) -> Path:
    assert database.path is not None
    return database.path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
async def test_each_kind_of_tampering_is_found_and_named(database: Database, case: Case) -> None:
    _, tamper, fault, seq = case
    before = await database.audit.verify("default")
    assert (before.valid, before.rows, before.first_bad) == (True, ROWS, None)
    with on_sqlite(path_of(database)) as attacker:
        attacker.run("DELETE FROM operator_audit_log WHERE workspace_id = 'other'")
        tamper(attacker)
    report = await database.audit.verify("default")
    assert not report.valid
    assert report.first_bad is not None, report
    assert (report.first_bad.fault.value, report.first_bad.seq) == (fault, seq), report.first_bad
    assert report.first_bad.problem
    # The log can still be written, which does not make it good.
    async with recording(database) as recorder:
        await recorder.audit.append("default", audit_draft(content="after"))
        again = await recorder.audit.verify("default")
    assert not again.valid, again
    assert again.first_bad is not None
    rows = [one async for one in database.audit.rows("default")]
    if fault in ("endMissing", "endForged", "keyLost") or case[0] in ("row added", "row removed, the rest moved up"):
        assert "chain-seal" in {one.action.value for one in rows}


async def test_no_column_can_hold_anything_else(database: Database) -> None:
    """SQLite stores any type in any column; whatever it is then, it is not the row that was written."""
    with on_sqlite(path_of(database)) as attacker:
        ((mark,),) = attacker.run("SELECT rowid FROM operator_audit_log WHERE content = 'say 5 é'")
        for column in COLUMNS:
            (old,) = attacker.run(f"SELECT {column} FROM operator_audit_log WHERE rowid = ?", mark)[0]
            for other in (b"\xff\xfe", 4.5, 2, "\x01 text", None):
                change = f"UPDATE operator_audit_log SET {column} = ? WHERE rowid = ?"
                if other is old:
                    continue
                try:
                    attacker.run(change, other, mark)
                except sqlite3.IntegrityError:
                    continue  # the table itself refuses it: NULL, or a number that is taken
                report = await database.audit.verify("default")
                assert not report.valid, (column, other)
                assert report.first_bad is not None
                if column not in ("seq", "workspace_id"):
                    assert report.first_bad.seq == 5, (column, other, report.first_bad)
                await readable(database, column, other)
                attacker.run(change, old, mark)
                assert (await database.audit.verify("default")).valid, (column, other)


async def readable(database: Database, column: str, value: object) -> None:
    """Nothing that stands in a row keeps anyone from reading it and the rows around it."""
    cursor: str | None = None
    paged: list[AuditEntry] = []
    while True:
        page = await database.audit.page("default", limit=1, cursor=cursor)
        paged += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    exported = [entry async for entry in database.audit.rows("default")]
    streamed = await database.access.read(lambda c: workspace_changes(c, "default", 0))
    assert paged == exported[::-1], (column, value)
    for entry in (*exported, *(item.data for item in streamed.items)):
        if isinstance(entry, AuditEntry):
            assert msgspec.json.decode(to_json(entry), type=AuditEntry) == entry, (column, value)
    seqs = {entry.seq for entry in exported}
    assert seqs >= set(range(1, ROWS + 1)) - {5}, (column, value)
    if column not in ("seq", "workspace_id"):
        (odd,) = (entry for entry in exported if entry.seq == 5)
        if column in ("action", "outcome", "actor_kind", "created_at"):
            assert odd.action is AuditAction.UNREADABLE, (column, value)
            assert column in odd.metadata["unreadable"], (column, value)
    await database.audit.all_open_intents()


async def test_text_that_is_no_text_is_named(database: Database) -> None:
    with on_sqlite(path_of(database)) as attacker:
        attacker.run("UPDATE operator_audit_log SET content = CAST(x'fffe' AS TEXT) WHERE seq = 6")
    report = await database.audit.verify("default")
    assert report.first_bad is not None
    assert (report.first_bad.fault, report.first_bad.seq) == (Fault.UNREADABLE, 6)
    shown = {entry.seq: entry async for entry in database.audit.rows("default")}
    assert shown[6].action is AuditAction.UNREADABLE
    assert shown[6].metadata == {"unreadable": {"action": "inject", "content": "\ufffd\ufffd"}}
    assert shown[6].id != shown[5].id
    assert shown[5].content == "say 5 é"


class Undone:
    """An attacker whose every step is undone after an example, and a reader that sees it before."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, statement: str, *values: Any) -> list[Any]:
        try:
            result = self._connection.exec_driver_sql(statement, values)
        except IntegrityError as error:
            raise sqlite3.IntegrityError from error
        return [tuple(found) for found in result] if result.returns_rows else []

    async def read(self, work: Callable[[Connection], T]) -> T:
        return work(self._connection)


@pytest.fixture
def undone(database: Database) -> Iterator[Connection]:
    with on_sqlite(path_of(database)) as attacker:
        attacker.run("DELETE FROM operator_audit_log WHERE workspace_id = 'other'")
    engine = create_engine(f"sqlite:///{path_of(database)}")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
CHANGES = st.one_of(
    st.tuples(
        st.just("change"),
        st.integers(1, ROWS),
        st.sampled_from([name for name in COLUMNS if name not in ("seq", "wseq", "workspace_id")]),
        st.one_of(TEXT, st.none(), st.integers(-5, 5), st.floats(allow_nan=False), st.binary(max_size=8)),
    ),
    st.tuples(st.just("remove"), st.integers(1, ROWS), st.booleans(), st.none()),
    st.tuples(st.just("insert"), st.integers(1, ROWS + 1), st.booleans(), st.none()),
    st.tuples(st.just("swap"), st.integers(1, ROWS), st.integers(1, ROWS), st.none()),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=CHANGES)
def test_any_single_change_is_found_and_named(
    undone: Connection, database: Database, change: tuple[str, int, Any, Any]
) -> None:
    kind, seq, what, value = change
    attacker = Undone(undone)
    undone.exec_driver_sql("BEGIN")
    expected: set[str] = set()
    changed = True
    match kind:
        case "change":
            old = row(attacker, seq)
            try:
                attacker.run(f"UPDATE operator_audit_log SET {what} = ? WHERE seq = ?", value, seq)
            except sqlite3.IntegrityError:
                changed = False  # not even the table takes it
            else:
                new = row(attacker, seq)[what]
                changed = new != old[what] or type(new) is not type(old[what])
            expected = {"changed", "unreadable"}
        case "remove":
            remove(attacker, seq, close_the_gap=what)
            expected = {"endMissing"} if seq == ROWS else {"removed"}
        case "insert":
            insert(attacker, seq, hashed=what)
            expected = {"inserted"}
        case _:
            changed = seq != what
            swap(attacker, seq, what)
            expected, seq = {"reordered"}, min(seq, what)
    report = asyncio.run(verify(attacker, database.audit.keys, "default"))
    undone.exec_driver_sql("ROLLBACK")
    assert report.valid is not changed
    if changed:
        assert report.first_bad is not None
        assert (report.first_bad.fault.value in expected, report.first_bad.seq) == (True, seq), report.first_bad


async def test_what_was_found_stays_in_the_log(database: Database) -> None:
    """Writing on makes the end good again. That it was not good stands in the log, and cannot be taken out."""
    with on_sqlite(path_of(database)) as attacker:
        attacker.run("UPDATE operator_audit_log SET content = 'forged' WHERE seq = 5")
        recompute_default(attacker, 5)
    async with recording(database) as recorder:
        await recorder.audit.append("default", audit_draft(content="after"))
        rows = [one async for one in recorder.audit.rows("default")]
        assert [one.action.value for one in rows[-2:]] == ["chain-seal", "inject"]
        seal = rows[-2]
        assert (seal.user_id, seal.actor_kind.value, seal.outcome) == ("mission-control", "policy", AuditOutcome.FAILED)
        assert seal.metadata["found"] == "rewritten"
        for _ in range(2):
            report = await recorder.audit.verify("default")
            assert report.first_bad is not None
            assert (report.first_bad.fault, report.first_bad.seq) == (Fault.CHANGED, 8)
            await recorder.audit.append("default", audit_draft(content="and on"))


def recompute_default(attacker: OnSqlite, first: int) -> None:
    attacker.run("DELETE FROM operator_audit_log WHERE workspace_id = 'other'")
    recompute(attacker, first)


async def test_a_log_that_is_set_back_while_it_is_written_is_noticed(database: Database, tmp_path: Path) -> None:
    async with recording(database) as recorder:
        first = await recorder.audit.append("default", audit_draft())
        with on_sqlite(path_of(database)) as attacker:
            kept = attacker.run("SELECT * FROM operator_audit_heads WHERE workspace_id = 'default'")[0]
            await recorder.audit.append("default", audit_draft())
            await recorder.audit.append("default", audit_draft())
            attacker.run("DELETE FROM operator_audit_log WHERE seq > ?", first.seq)
            attacker.run("DELETE FROM operator_audit_heads WHERE workspace_id = 'default'")
            attacker.run("INSERT INTO operator_audit_heads VALUES (?, ?, ?, ?, ?)", *kept)
        report = await recorder.audit.verify("default")
        assert report.first_bad is not None
        assert report.first_bad.fault is Fault.END_MISSING
        await recorder.audit.append("default", audit_draft())
        assert not (await recorder.audit.verify("default")).valid
    # Without that memory an end that was noted somewhere else tells.
    audit = database.audit
    report = await audit.verify("default")
    noted = ChainHead(seq=first.seq, hash=first.hash)
    assert (await audit.held_against(report, "default", noted)) == report


async def test_an_end_that_was_noted_elsewhere_must_still_be_there(database: Database) -> None:
    audit = database.audit
    report = await audit.verify("default")
    assert (await audit.held_against(report, "default", report.head)).valid
    older = ChainHead(seq=3, hash=[one async for one in audit.rows("default")][2].hash)
    assert (await audit.held_against(report, "default", older)).valid
    for head, fault in (
        (ChainHead(seq=11, hash="0" * 64), Fault.END_MISSING),
        (ChainHead(seq=8, hash="0" * 64), Fault.END_FORGED),
        (ChainHead(seq=3, hash=report.head.hash), Fault.END_FORGED),
    ):
        held = await audit.held_against(report, "default", head)
        assert held.first_bad is not None
        assert held.first_bad.fault is fault


async def test_a_log_without_a_proof_is_taken_over_once_and_says_so(database: Database, tmp_path: Path) -> None:
    """A database of the version before: its rows get an end at the first start, and a row that tells of it."""
    path = path_of(database)
    await database.close()
    older = path.with_name("older.db")
    connection = sqlite3.connect(older)
    build_first_schema(connection)
    connection.execute("ATTACH ? AS new", (str(path),))
    for table in ("meta", "operator_audit_log"):
        connection.execute(f"DELETE FROM {table}")
        connection.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")
    connection.commit()
    connection.close()
    opened = open_database(older, SEALER)
    report = await opened.audit.verify("default")
    assert (report.valid, report.rows, report.authenticated_from) == (True, ROWS + 1, ROWS + 1), report.first_bad
    rows = [one async for one in opened.audit.rows("default")]
    assert (rows[-1].action.value, rows[-1].outcome.value) == ("chain-seal", "done")
    assert rows[-1].metadata == {"found": "old", "last": f"8:{rows[-2].hash}"}
    assert (await opened.audit.verify("other")).authenticated_from == 2
    async with recording(opened) as recorder:
        await recorder.audit.append("default", audit_draft())
    await opened.close()
    again = open_database(older, SEALER)
    assert (await again.audit.verify("default")).rows == ROWS + 2, "only once"
    with on_sqlite(older) as attacker:
        attacker.run("DELETE FROM operator_audit_heads")
    assert not (await again.audit.verify("default")).valid
    await again.close()
    once_more = open_database(older, SEALER)
    assert not (await once_more.audit.verify("default")).valid, "a start does not make it good"
    await once_more.close()


def build_first_schema(connection: sqlite3.Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    from mission_control_desktop.storage.schema import MIGRATIONS

    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    with engine.begin() as opened:
        config.attributes["connection"] = opened
        command.upgrade(config, "0001")
    connection.commit()


async def test_a_lost_key_is_told_apart_and_the_log_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database.audit, "keys", other_key())
    report = await database.audit.verify("default")
    assert report.first_bad is not None
    assert report.first_bad.fault is Fault.KEY_LOST
    assert "no sign of tampering" in report.first_bad.problem
    async with recording(database) as recorder:
        await recorder.audit.append("default", audit_draft())
        report = await recorder.audit.verify("default")
    assert report.first_bad is not None
    assert (report.first_bad.fault, report.first_bad.seq) == (Fault.KEY_LOST, 9)
    assert report.authenticated_from == 9
    with on_sqlite(path_of(database)) as attacker:
        attacker.run("UPDATE operator_audit_log SET content = 'forged' WHERE seq = 10")
    report = await database.audit.verify("default")
    assert report.first_bad is not None
    assert (report.first_bad.fault, report.first_bad.seq) == (Fault.CHANGED, 10), "tampering comes before a lost key"


def other_key() -> Any:
    from mission_control_desktop.storage.sealing import MasterKey, Sealer

    return Sealer([MasterKey.generate()])
