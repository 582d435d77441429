"""Long histories and many sessions in a real gateway's own store: asking a model for them would take hours."""

from __future__ import annotations

import copy
import json
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def _opened(store: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(store, timeout=60)) as connection, connection:
        connection.row_factory = sqlite3.Row
        # The store's checks use it, and SQLite before 3.43 does not have it.
        connection.create_function("octet_length", 1, _octet_length, deterministic=True)
        connection.execute("PRAGMA defer_foreign_keys = ON")
        yield connection


def _octet_length(value: str | bytes | None) -> int | None:
    return None if value is None else len(value.encode() if isinstance(value, str) else value)


def _insert(connection: sqlite3.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    names = list(rows[0])
    marks = ", ".join("?" * len(names))
    values = [tuple(row[name] for name in names) for row in rows]
    connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)


def add_messages(store: Path, session_id: str, count: int) -> None:
    """Questions and answers (`q0`, `a1`, `q2` ...) behind a session's last answer. The gateway may run, if the session
    does not."""
    with _opened(store) as connection:
        index = connection.execute(
            "SELECT * FROM session_transcript_index_state WHERE session_id = ?", (session_id,)
        ).fetchone()
        last, pattern = connection.execute(
            "SELECT seq, event_json FROM transcript_events WHERE session_id = ? ORDER BY seq DESC", (session_id,)
        ).fetchone()
        event = json.loads(pattern)
        assert event["message"]["role"] == "assistant"
        events, identities, active = [], [], []
        for number in range(count):
            made = copy.deepcopy(event) | {"id": str(uuid.uuid4()), "parentId": event["id"]}
            at = int(time.time() * 1000) + number
            if number % 2:
                made["message"] |= {"content": [{"type": "text", "text": f"a{number}"}], "timestamp": at}
            else:
                made["message"] = {"role": "user", "content": f"q{number}", "timestamp": at}
            own: dict[str, Any] = {"session_id": session_id, "seq": last + 1 + number, "created_at": at}
            said = json.dumps(made)
            events.append({**own, "event_json": said, "event_utf8_bytes": len(said.encode())})
            identity = {"event_id": made["id"], "event_type": "message", "parent_id": made["parentId"]}
            identities.append({**own, **identity})
            active.append(
                {
                    "session_id": session_id,
                    "active_position": index["active_event_count"] + number,
                    "event_seq": own["seq"],
                    "message_position": index["active_message_count"] + number,
                    "context_eligible": 1,
                }
            )
            event = {**event, "id": made["id"]}
        _insert(connection, "transcript_events", events)
        _insert(connection, "transcript_event_identities", identities)
        _insert(connection, "session_transcript_active_events", active)
        connection.execute(
            "UPDATE session_transcript_index_state SET indexed_seq = indexed_seq + ?, leaf_event_id = ?,"
            " active_event_count = active_event_count + ?, active_message_count = active_message_count + ?"
            " WHERE session_id = ?",
            (count, event["id"], count, count, session_id),
        )


def add_sessions(store: Path, key: str, count: int) -> None:
    """Sessions like that one, which must be at rest, without a word in them. Told when the gateway is started again."""
    with _opened(store) as connection:
        node = dict(connection.execute("SELECT * FROM session_nodes WHERE session_key = ?", (key,)).fetchone())
        own = node["current_session_id"]
        window = dict(connection.execute("SELECT * FROM session_windows WHERE session_id = ?", (own,)).fetchone())
        nodes, windows, events = [], [], []
        for number in range(count):
            session_id, other = str(uuid.uuid4()), f"agent:main:dashboard:{uuid.uuid4()}"
            entry = json.loads(node["entry_json"]) | {"sessionId": session_id}
            more = {"entry_json": json.dumps(entry), "display_name": f"seeded {number}"}
            nodes.append({**node, "session_key": other, "current_session_id": session_id, **more})
            windows.append({**window, "session_id": session_id, "session_key": other})
            said = json.dumps({"type": "session", "version": 4, "id": session_id, "cwd": "/"})
            events.append({"session_id": session_id, "seq": 0, "event_json": said, "created_at": node["created_at"]})
        _insert(connection, "session_nodes", nodes)
        _insert(connection, "session_windows", windows)
        # The gateway does not start on rows that were not found valid by whoever wrote them.
        keys = [(row["session_key"],) for row in nodes]
        connection.executemany("UPDATE session_nodes SET entry_valid = 1 WHERE session_key = ?", keys)
        _insert(connection, "transcript_events", events)
