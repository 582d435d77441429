"""What a clean-up costs those who record meanwhile: the time of durable writes with and without one under way.

    python benchmarks/retention.py [--messages 1000000] [--sessions 200] [--rate 50] [--seconds 20]

A record of so many messages that are too old is made; then a writer records `--rate` short messages a second, each of
them waited for until it is on disk, first alone and then while the clean-up runs to its end (or `--most` seconds).
Prints one JSON document and writes it to build/bench/retention.json. Times in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

from sqlalchemy import Connection, insert

from mission_control_desktop.control.retention import Retention
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, Evidence, SessionStatus
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.record.ops import PutMessage, PutSession
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database, SystemClock, Uuid7, open_database
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.sealing import MasterKey, Sealer

WORDS = "An agent says something of a usual length, which is a sentence or two, and then calls a tool again. " * 3
STEP = 20_000


def session_of(number: int, at: datetime) -> AgentSession:
    return AgentSession(
        session_id=f"internal:{number}",
        provider="internal",
        status=SessionStatus.COMPLETED if number else SessionStatus.RUNNING,
        spawned_at=at,
        capabilities=Capabilities(),
        evidence=Evidence(last_event_at=at, source="benchmark"),
    )


def fill(database: Database, messages: int, sessions: int) -> None:
    """Old messages, written past the recorder: making them is not what is measured."""
    oldest = datetime.now(UTC) - timedelta(days=90)
    each = messages // sessions

    def write(connection: Connection, first: int, last: int) -> None:
        rows = [
            {
                "session_id": f"internal:{1 + number // each}",
                "id": f"m{number}",
                "provider": "internal",
                "role": "agent",
                "content": WORDS,
                "timestamp": oldest + timedelta(seconds=number),
                "metadata": {"kind": "text", "complete": True},
                "first_seq": number + 1,
                "last_seq": number + 1,
            }
            for number in range(first, last)
        ]
        connection.execute(insert(t.messages), rows)

    for first in range(0, messages, STEP):
        last = min(first + STEP, messages)
        database.access.write_now(lambda c, first=first, last=last: write(c, first, last))  # type: ignore[misc]


async def ingest(recorder: Recorder, rate: float, over: asyncio.Event) -> list[float]:
    """Seconds that each durable write took."""
    loop = asyncio.get_running_loop()
    took: list[float] = []
    due = loop.time()
    record = recorder.provider_record("internal")
    while not over.is_set():
        now = datetime.now(UTC)
        message = AgentMessage(
            message_id=f"new-{time.monotonic_ns()}",
            session_id="internal:0",
            role=MessageRole.AGENT,
            content=WORDS,
            timestamp=now,
            metadata={"kind": "text", "complete": True},
        )
        began = time.perf_counter()
        await record.apply("0", [PutMessage(message=message)], durable=True)
        took.append(time.perf_counter() - began)
        due = max(due + 1 / rate, loop.time())
        await asyncio.sleep(due - loop.time())
    return took


def figures(took: list[float]) -> dict[str, float]:
    cut = quantiles(took, n=100)
    return {
        "writes": len(took),
        "p50": round(cut[49] * 1000, 2),
        "p99": round(cut[98] * 1000, 2),
        "max": round(max(took) * 1000, 2),
    }


async def measure(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    failed: list[str] = []
    tasks = Tasks(lambda name, error: failed.append(f"{name}: {error!r}"))
    clock, ids = SystemClock(), Uuid7()
    recorder = Recorder(database, clock, ids, lambda name, error: failed.append(f"{name}: {error!r}"))
    await recorder.start()
    try:
        now = datetime.now(UTC)
        record = recorder.provider_record("internal")
        for number in range(options.sessions + 1):
            ops = [PutSession(session=session_of(number, now))]
            await record.apply(str(number), ops, durable=number == options.sessions)
        over = asyncio.Event()
        alone = tasks.start(ingest(recorder, options.rate, over), name="alone")
        await asyncio.sleep(options.seconds)
        over.set()
        without = await alone
        over = asyncio.Event()
        beside = tasks.start(ingest(recorder, options.rate, over), name="beside")
        began = time.perf_counter()
        retention = Retention(database.retention, recorder, clock, ids)
        running = tasks.start(retention.once(), name="retention")
        await asyncio.wait([running], timeout=options.most)
        seconds = time.perf_counter() - began
        over.set()
        during = await beside
        done = running.done()
        removed = running.result()["default"].messages if done else (await pending(database))
    finally:
        await tasks.close()
        await recorder.close()
    if failed:
        raise RuntimeError(failed)
    first, second = figures(without), figures(during)
    return {
        "without": first,
        "during": second,
        "ratio": {name: round(second[name] / first[name], 2) for name in ("p50", "p99", "max")},
        "removed": removed,
        "finished": done,
        "seconds": round(seconds, 1),
        "perSecond": round(removed / seconds),
    }


async def pending(database: Database) -> int:
    state = await database.retention.state("default")
    return 0 if state.pending is None else state.pending.messages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--most", type=float, default=600.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="retention-") as directory:
        path = Path(directory) / "record.db"
        database = open_database(path, Sealer([MasterKey(bytes(range(32)))]))  # a key that protects nothing
        began = time.perf_counter()
        fill(database, options.messages, options.sessions)
        filled = time.perf_counter() - began
        before = path.stat().st_size
        try:
            found = asyncio.run(measure(database, options))
        finally:
            database.close_now()
        found |= {
            "messages": options.messages,
            "fillSeconds": round(filled, 1),
            "fileBytes": {"before": before, "after": path.stat().st_size},
        }
    print(json.dumps(found, indent=2))
    place = Path(__file__).resolve().parent.parent / "build" / "bench"
    place.mkdir(parents=True, exist_ok=True)
    (place / "retention.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
