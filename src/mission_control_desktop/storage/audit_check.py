"""Verifying the audit log in the database: every row as it is stored, then the end.

It reads raw rows in small steps, each a transaction of its own. That is one consistent log all the same: the end is
read first, and rows up to it never change (if they do, that is what is to be found).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from mission_control_desktop.domain.audit import BadRow, ChainHead, ChainReport, Fault
from mission_control_desktop.domain.chain import ChainCheck, ChainRow
from mission_control_desktop.domain.chain_end import End, judged
from mission_control_desktop.storage.audit_end import Authenticator, read_end
from mission_control_desktop.storage.problems import unavailable_reason

T = TypeVar("T")

STEP_ROWS = 256
"""Rows per step: about a millisecond and a half. The event loop competes with a reading thread for the interpreter;
this is the longest that it then waits."""

_COLUMNS = (
    "seq, id, {time}, user_id, actor_kind, session_id, provider, action, outcome, content, {json}, prev_hash, hash, "
    "intent_id, wseq"
)
_FROM = " FROM operator_audit_log WHERE workspace_id = {p} AND "
# SQLite has times as text. Text of any other form than ours is no time of ours, and fits no hash.
_SQLITE_TIME = (
    "CASE WHEN typeof(created_at) = 'text' AND length(created_at) = 26 AND substr(created_at, 11, 1) = ' ' "
    "THEN substr(created_at, 1, 10) || 'T' || substr(created_at, 12) || '+00:00' END"
)
_SQLITE = "SELECT " + _COLUMNS.format(time=_SQLITE_TIME, json="metadata") + _FROM.format(p="?")
_POSTGRESQL = (
    "SELECT "
    + _COLUMNS.format(
        time="""to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')""", json="metadata::text"
    )
    + _FROM.format(p="%s")
)


@dataclass(slots=True)
class _Start:
    end: End
    count: int


class Reader(Protocol):
    """`storage.access.Access`, as far as it is needed here."""

    async def read(self, work: Callable[[Connection], T]) -> T: ...


async def verify(
    access: Reader, keys: Authenticator, workspace_id: str, *, remembered: ChainHead | None = None
) -> ChainReport:
    """Check one workspace's log as it is now. Raises Unavailable if the database cannot be read."""
    start = await access.read(partial(_begin, keys=keys, workspace_id=workspace_id, remembered=remembered))
    upto = max(start.end.last.seq if start.end.last is not None else 0, 0)
    end = start.end.stored if start.end.authentic else None
    check = ChainCheck()
    bad: BadRow | None = None
    after: int | float | None = None
    while True:
        step = await access.read(
            partial(_step, check=check, workspace_id=workspace_id, after=after, upto=upto, end=end)
        )
        bad = step.bad
        if bad is not None or step.last is None:
            break
        after = step.last
    if bad is None and start.count > check.rows:
        bad = await access.read(partial(_outside, workspace_id=workspace_id, upto=upto))
    return judged(check, start.end, bad)


@dataclass(slots=True)
class _Stepped:
    last: Any
    """The number of the last row; None: there are no more."""
    bad: BadRow | None = None


def _begin(connection: Connection, keys: Authenticator, workspace_id: str, remembered: ChainHead | None) -> _Start:
    end = read_end(connection, keys, workspace_id, remembered=remembered)
    ((count,),) = _rows(connection, "SELECT count(*)" + _from(connection) + "1 = 1", workspace_id)
    return _Start(end, count)


def _step(
    connection: Connection,
    check: ChainCheck,
    workspace_id: str,
    after: int | float | None,
    upto: int,
    end: ChainHead | None,
) -> _Stepped:
    """Check the next rows. `end` is where the log ends, if that is authentic."""
    p = _mark(connection)
    bounds = f"seq <= {p}"
    values: list[Any] = [upto]
    if after is not None:
        bounds, values = f"{bounds} AND seq > {p}", [*values, after]
    try:
        rows = _chain_rows(connection, f"{bounds} ORDER BY seq, id LIMIT {STEP_ROWS}", workspace_id, *values)
    except DBAPIError as error:
        if unavailable_reason(error) is not None:
            raise
        return _Stepped(None, _not_text(connection, check, workspace_id, after, upto))
    bad = check.feed(rows, stored=True)
    if bad is None:
        return _Stepped(rows[-1].seq if rows else None)
    place = rows.index(bad)
    following = rows[place + 1] if place + 1 < len(rows) else _one(connection, f"seq > {p}", workspace_id, bad.seq)
    return _Stepped(None, check.name(bad, following, partial(_successors, connection, workspace_id), end))


def _outside(connection: Connection, workspace_id: str, upto: int) -> BadRow:
    """A row that the order of the log does not reach: its number is none."""
    p = _mark(connection)
    found = _one(connection, f"NOT (seq <= {p}) OR seq IS NULL", workspace_id, upto)
    return BadRow(
        seq=None,
        id=None if found is None else str(found.id),
        fault=Fault.INSERTED,
        problem="it has no place in the order of the log",
    )


def _not_text(connection: Connection, check: ChainCheck, workspace_id: str, after: Any, upto: int) -> BadRow:
    """The row that holds bytes where text should be: read one by one."""
    p = _mark(connection)
    while True:
        try:
            row = _one(connection, f"seq > {p} AND seq <= {p}", workspace_id, check.rows, upto)
        except DBAPIError as error:
            if unavailable_reason(error) is not None:
                raise
            seq = check.rows + 1
            return BadRow(seq=seq, id=None, fault=Fault.UNREADABLE, problem="it holds bytes that are no text")
        if row is None or check.feed([row], stored=True) is not None:
            seq = check.rows + 1
            return BadRow(seq=seq, id=None, fault=Fault.UNREADABLE, problem="rows from here on cannot be read")


def _successors(connection: Connection, workspace_id: str, prev_hash: str) -> list[ChainRow]:
    condition = f"prev_hash = {_mark(connection)} ORDER BY seq LIMIT 100"
    return _chain_rows(connection, condition, workspace_id, prev_hash)


def _one(connection: Connection, condition: str, workspace_id: str, *values: Any) -> ChainRow | None:
    found = _chain_rows(connection, f"({condition}) ORDER BY seq LIMIT 1", workspace_id, *values)
    return found[0] if found else None


def _chain_rows(connection: Connection, condition: str, workspace_id: str, *values: Any) -> list[ChainRow]:
    sqlite = connection.dialect.name == "sqlite"
    found = _rows(connection, (_SQLITE if sqlite else _POSTGRESQL) + condition, workspace_id, *values)
    return [ChainRow._make(row) for row in found]


def _rows(connection: Connection, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
    """As the driver gives them: no column is converted to what it should be."""
    return connection.exec_driver_sql(statement, values).fetchall()


def _from(connection: Connection) -> str:
    return _FROM.format(p=_mark(connection))


def _mark(connection: Connection) -> str:
    return "?" if connection.dialect.name == "sqlite" else "%s"
