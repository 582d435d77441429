"""A control plane of its own for a benchmark, with sessions on record that have as many messages as it says."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, update

from mission_control_desktop.control.assembly import DATABASE_FILE
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, Evidence, SessionStatus
from mission_control_desktop.record.ops import PutSession
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database, SystemClock, Uuid7, open_database
from mission_control_desktop.storage import tables as t

STEP = 20_000
WORDS = [
    "the", "agent", "reads", "a", "file", "and", "finds", "that", "its", "tests", "expect", "another", "key", "so",
    "it", "keeps", "both", "until", "dashboards", "change", "which", "`parse()`", "calls", "**must**", "be",
    "replaced", "before", "the", "release",
]  # fmt: skip
CODE = """```python
def consume(batch):
    for item in batch:
        log.info("item", id=item.id)
        handle(item)
```"""


def row(session_id: str, number: int, seq: int, rng: random.Random, started: datetime) -> dict[str, Any]:
    """One of a plausible mixture of entries."""
    content = " ".join(rng.choices(WORDS, k=rng.randint(5, 80)))
    metadata: dict[str, Any] = {"kind": "text", "complete": True}
    role = "operator" if number % 23 == 0 else "agent"
    if number % 5 == 0:
        title = f"rg -n word{number} src/"
        metadata |= {"kind": "tool_call", "title": title, "toolKind": "search", "status": "completed"}
        role = "agent"
    elif number % 7 == 0:
        content = f"{content}\n\n- {content[:60]}\n- {content[:40]}\n\n{CODE}"
    return {
        "session_id": session_id,
        "id": f"m{number}",
        "provider": "internal",
        "role": role,
        "content": content,
        "timestamp": started + timedelta(seconds=number),
        "metadata": metadata,
        "first_seq": seq,
        "last_seq": seq,
    }


async def _add_session(database: Database, name: str, title: str) -> None:
    def failed(what: str, error: BaseException) -> None:
        raise RuntimeError(what) from error

    recorder = Recorder(database, SystemClock(), Uuid7(), failed)
    await recorder.start()
    try:
        now = datetime.now(UTC)
        session = AgentSession(
            session_id=f"internal:{name}",
            provider="internal",
            status=SessionStatus.COMPLETED,
            spawned_at=now,
            started_at=now,
            completed_at=now,
            capabilities=Capabilities(),
            evidence=Evidence(last_event_at=now, source="benchmark"),
            title=title,
        )
        await recorder.provider_record("internal").apply(name, [PutSession(session=session)], durable=True)
    finally:
        await recorder.close()


def seed(folder: Path, transcripts: dict[str, int]) -> None:
    """Put finished sessions (`internal:NAME`) with so many messages on record. Their control plane must not run."""
    database = open_database(folder / DATABASE_FILE)
    try:
        for name, count in transcripts.items():
            asyncio.run(_add_session(database, name, f"{count:,} messages"))
            _fill(database, f"internal:{name}", count)
    finally:
        database.close_now()


def _fill(database: Database, session_id: str, count: int) -> None:
    rng, started = random.Random(count), datetime.now(UTC) - timedelta(days=20)
    first_seq = 1_000

    def write(connection: Connection, first: int, last: int) -> None:
        rows = [row(session_id, number, first_seq + number, rng, started) for number in range(first, last)]
        connection.execute(insert(t.messages), rows)
        stream = t.session_streams
        connection.execute(update(stream).where(stream.c.session_id == session_id).values(last_seq=first_seq + last))

    for first in range(0, count, STEP):
        last = min(first + STEP, count)
        database.access.write_now(lambda c, first=first, last=last: write(c, first, last))  # type: ignore[misc]


class Plane:
    """`serve` as a process of its own on a folder; `url` and `token` are for a client of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    @property
    def token(self) -> str:
        return (self.folder / "local-token").read_text().strip()

    def start(self) -> None:
        """Returns when it answers."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mission_control_desktop", "serve", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, "MISSION_CONTROL_DATA_DIR": str(self.folder)},
            text=True,
        )
        for line in self._process.stdout or ():
            if line.startswith("ready "):
                self.url = line.split()[1]
                return
        raise RuntimeError("the control plane did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
