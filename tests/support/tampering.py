"""An attacker on the database of an audit log: triggers dropped, rows written by hand, hashes computed at will."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mission_control_desktop.domain.audit import GENESIS_HASH, AuditEntry, chained

COLUMNS = (
    "id",
    "workspace_id",
    "seq",
    "wseq",
    "created_at",
    "user_id",
    "actor_kind",
    "session_id",
    "provider",
    "action",
    "outcome",
    "content",
    "metadata",
    "intent_id",
    "prev_hash",
    "hash",
)


class Attacker(Protocol):
    def run(self, statement: str, *values: Any) -> list[Any]:
        """One statement with `?` for values, behind the triggers' backs."""
        ...


class OnSqlite:
    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=20)
        for (name,) in self.run("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            self.run(f"DROP TRIGGER {name}")

    def run(self, statement: str, *values: Any) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        self._connection.close()


def row(attacker: Attacker, seq: int) -> dict[str, Any]:
    (found,) = attacker.run(f"SELECT {', '.join(COLUMNS)} FROM operator_audit_log WHERE seq = ?", seq)
    return dict(zip(COLUMNS, found, strict=True))


def put(attacker: Attacker, values: dict[str, Any]) -> None:
    names = list(values)
    marks = ", ".join("?" for _ in names)
    attacker.run(f"INSERT INTO operator_audit_log ({', '.join(names)}) VALUES ({marks})", *values.values())


def last_seq(attacker: Attacker) -> int:
    return int(attacker.run("SELECT max(seq) FROM operator_audit_log")[0][0])


def renumber(attacker: Attacker, first: int, by: int) -> None:
    """Move all rows from `first` on, by way of numbers that are free."""
    attacker.run("UPDATE operator_audit_log SET seq = seq + 1000000 WHERE seq >= ?", first)
    attacker.run("UPDATE operator_audit_log SET seq = seq - ? WHERE seq >= 1000000", 1_000_000 - by)


def swap(attacker: Attacker, one: int, other: int) -> None:
    for old, new in ((one, -7), (other, one), (-7, other)):
        attacker.run("UPDATE operator_audit_log SET seq = ? WHERE seq = ?", new, old)


def remove(attacker: Attacker, seq: int, *, close_the_gap: bool = False) -> None:
    attacker.run("DELETE FROM operator_audit_log WHERE seq = ?", seq)
    if close_the_gap:
        renumber(attacker, seq + 1, -1)


def insert(attacker: Attacker, seq: int, *, hashed: bool) -> str:
    """A row of the attacker's in this place; the rows from there on move down. Its id."""
    values = row(attacker, min(seq, last_seq(attacker)))
    before = GENESIS_HASH if seq == 1 else row(attacker, seq - 1)["hash"]
    renumber(attacker, seq, 1)
    values |= {"id": f"forged{seq}", "seq": seq, "content": "forged", "prev_hash": before, "wseq": values["wseq"]}
    if hashed:
        values["hash"] = digest(attacker, values)
    put(attacker, values)
    return str(values["id"])


def digest(attacker: Attacker, values: dict[str, Any]) -> str:
    """The right hash for a row's content."""
    metadata, created = values["metadata"], values["created_at"]
    wire = {
        "id": values["id"],
        "seq": values["seq"],
        "createdAt": created.isoformat() if not isinstance(created, str) else created.replace(" ", "T") + "Z",
        "userId": values["user_id"],
        "actorKind": values["actor_kind"],
        "action": values["action"],
        "outcome": values["outcome"],
        "sessionId": values["session_id"],
        "provider": values["provider"],
        "content": values["content"],
        "metadata": msgspec.json.decode(metadata) if isinstance(metadata, str) else metadata,
    }
    return chained(msgspec.convert(wire, AuditEntry), values["prev_hash"]).hash


def recompute(attacker: Attacker, first: int) -> None:
    """All hashes from this row on, so that the chain is whole again."""
    for seq in range(first, last_seq(attacker) + 1):
        values = row(attacker, seq)
        values["prev_hash"] = GENESIS_HASH if seq == 1 else row(attacker, seq - 1)["hash"]
        attacker.run(
            "UPDATE operator_audit_log SET prev_hash = ?, hash = ? WHERE seq = ?",
            values["prev_hash"],
            digest(attacker, values),
            seq,
        )


Tamper = Callable[[Attacker], object]


def update(statement: str) -> Tamper:
    return lambda attacker: attacker.run(f"UPDATE operator_audit_log SET {statement}")


def steps(*parts: Tamper) -> Tamper:
    def run(attacker: Attacker) -> None:
        for part in parts:
            part(attacker)

    return run


def end(statement: str) -> Tamper:
    return lambda attacker: attacker.run(statement.replace("HEADS", "operator_audit_heads"))


Case = tuple[str, Tamper, str, "int | None"]
CASES: Sequence[Case] = (
    # what, how, the fault that is named, and where; on a log of eight rows
    ("content", update("content = 'forged' WHERE seq = 5"), "changed", 5),
    ("content removed", update("content = NULL WHERE seq = 5"), "changed", 5),
    ("NULL for empty", update("content = NULL WHERE seq = 3"), "changed", 3),
    ("empty for NULL", update("provider = '' WHERE seq = 3"), "changed", 3),
    ("user", update("user_id = 'eve' WHERE seq = 5"), "changed", 5),
    ("kind of actor", update("actor_kind = 'agent' WHERE seq = 5"), "changed", 5),
    ("session", update("session_id = 'internal:other' WHERE seq = 5"), "changed", 5),
    ("action", update("action = 'pause' WHERE seq = 5"), "changed", 5),
    ("unknown action", update("action = 'nothing' WHERE seq = 5"), "changed", 5),
    ("outcome", update("outcome = 'failed' WHERE seq = 5"), "changed", 5),
    ("time", update("created_at = '2020-01-01 00:00:00.000000' WHERE seq = 5"), "changed", 5),
    ("reason", update('metadata = \'{"reason":"other"}\' WHERE seq = 5'), "changed", 5),
    (
        "a field twice",
        update('metadata = \'{"n":2,"n":1}\' WHERE seq = 4'),
        "changed",
        4,
    ),
    ("1.0 for 1", update("metadata = '{\"n\":1.0}' WHERE seq = 4"), "changed", 4),
    ("true for 1", update("metadata = '{\"n\":true}' WHERE seq = 4"), "changed", 4),
    ("white space", update("metadata = '{\"n\": 1}' WHERE seq = 4"), "changed", 4),
    ("the intent", update("intent_id = 'other' WHERE seq = 5"), "changed", 5),
    ("an intent", update("intent_id = 'other' WHERE seq = 4"), "changed", 4),
    ("the place in the stream", update("wseq = 1 WHERE seq = 5"), "changed", 5),
    ("hash", update("hash = prev_hash WHERE seq = 5"), "changed", 5),
    ("previous hash", update("prev_hash = hash WHERE seq = 5"), "changed", 5),
    ("id", update("id = 'another' WHERE seq = 5"), "changed", 5),
    ("first row", update("content = 'forged' WHERE seq = 1"), "changed", 1),
    ("last row", update("content = 'forged' WHERE seq = 8"), "changed", 8),
    ("workspace", update("workspace_id = 'elsewhere' WHERE seq = 5"), "removed", 5),
    ("number", update("seq = 500 WHERE seq = 5"), "reordered", 5),
    ("number of the last", update("seq = 500 WHERE seq = 8"), "reordered", 8),
    ("negative number", update("seq = -1 WHERE seq = 5"), "inserted", -1),
    ("row removed", lambda a: remove(a, 5), "removed", 5),
    ("row removed, the rest moved up", lambda a: remove(a, 5, close_the_gap=True), "removed", 5),
    ("first removed", lambda a: remove(a, 1), "removed", 1),
    ("last removed", lambda a: remove(a, 8), "endMissing", 8),
    ("last two removed", steps(lambda a: remove(a, 7), lambda a: remove(a, 8)), "endMissing", 7),
    ("all removed", lambda a: a.run("DELETE FROM operator_audit_log"), "endMissing", 1),
    ("row inserted", lambda a: insert(a, 5, hashed=False), "inserted", 5),
    ("row inserted with its hash", lambda a: insert(a, 5, hashed=True), "inserted", 5),
    ("row inserted first", lambda a: insert(a, 1, hashed=True), "inserted", 1),
    ("row added", lambda a: insert(a, 9, hashed=True), "inserted", 9),
    ("neighbours swapped", lambda a: swap(a, 4, 5), "reordered", 4),
    ("rows swapped", lambda a: swap(a, 2, 7), "reordered", 2),
    (
        "changed, with its hash",
        steps(update("content = 'forged' WHERE seq = 5"), lambda a: rehash(a, 5)),
        "changed",
        5,
    ),
    (
        "last changed, with its hash",
        steps(update("content = 'forged' WHERE seq = 8"), lambda a: rehash(a, 8)),
        "endForged",
        8,
    ),
    ("computed anew", steps(update("content = 'forged' WHERE seq = 5"), lambda a: recompute(a, 5)), "endForged", 8),
    (
        "computed anew, and the end with it",
        steps(
            update("content = 'forged' WHERE seq = 5"),
            lambda a: recompute(a, 5),
            end("UPDATE HEADS SET hash = (SELECT hash FROM operator_audit_log WHERE seq = 8)"),
        ),
        "endForged",
        8,
    ),
    (
        "cut off, and the end with it",
        steps(
            lambda a: remove(a, 8),
            end("UPDATE HEADS SET seq = 7, hash = (SELECT hash FROM operator_audit_log WHERE seq = 7)"),
        ),
        "endForged",
        7,
    ),
    ("the end removed", end("DELETE FROM HEADS"), "endMissing", 8),
    ("the end without a proof", end("UPDATE HEADS SET mac = NULL"), "endForged", 8),
    ("the end without a key", end("UPDATE HEADS SET key_id = NULL"), "endForged", 8),
    ("the end of another key", end("UPDATE HEADS SET key_id = 'nobodys'"), "keyLost", 8),
)


def rehash(attacker: Attacker, seq: int) -> None:
    attacker.run("UPDATE operator_audit_log SET hash = ? WHERE seq = ?", digest(attacker, row(attacker, seq)), seq)


@contextlib.contextmanager
def on_sqlite(path: Path):  # type: ignore[no-untyped-def]
    attacker = OnSqlite(path)
    try:
        yield attacker
    finally:
        attacker.close()
