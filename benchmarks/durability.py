"""What it costs that what is acknowledged survives a power cut: audit rows, orders to agents, and the journal's sync.

    python -m benchmarks.durability [--count 400] [--directory DIR]

The same writes, one at a time and in turns: as they are (`synchronous=FULL`: the commit waits for the disk) and with
the database told not to wait (`synchronous=NORMAL`, which a power cut can take back). An order's acknowledgement waits
for the slower of two syncs, the record's and the journal's; the journal is measured apart, with a line before each.
DIR should lie on the disk that matters, not on one in memory. Prints JSON, also to build/bench/durability.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.audit import draft, machine, spread

from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, Evidence, SessionStatus
from mission_control_desktop.orchestrator.directories import JOURNAL, SessionDirectory
from mission_control_desktop.record.ops import PutMessage, PutReceipt, PutSession
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database, SystemClock, Uuid7, open_database
from mission_control_desktop.storage.sealing import MasterKey, Sealer

SESSION = "internal:s"
Way = Callable[[int], Awaitable[object]]


def session() -> AgentSession:
    now = datetime.now(UTC)
    return AgentSession(
        session_id=SESSION,
        provider="internal",
        status=SessionStatus.RUNNING,
        capabilities=Capabilities(),
        evidence=Evidence(last_event_at=now, source="bench"),
        spawned_at=now,
        run_id="r",
    )


async def opened(path: Path, sealer: Sealer, *, wait: bool) -> tuple[Recorder, Database]:
    database = await asyncio.to_thread(open_database, path, sealer)
    if not wait:
        connection = database.access._writer_connection
        database.access._writer_connection = lambda durable: connection(False)  # type: ignore[method-assign]
    recorder = Recorder(database, SystemClock(), Uuid7(), lambda name, error: sys.exit(f"{name}: {error}"))
    await recorder.start()
    await recorder.provider_record("internal").apply("s", [PutSession(session=session())], durable=True)
    return recorder, database


def ways(recorder: Recorder) -> dict[str, Way]:
    ids = Uuid7()
    record = recorder.provider_record("internal")

    async def audit(n: int) -> None:
        await recorder.audit.append(DEFAULT_WORKSPACE, draft(n, ids))

    async def order(n: int) -> None:
        now = datetime.now(UTC)
        words = AgentMessage(
            message_id=f"m{n}", session_id=SESSION, role=MessageRole.OPERATOR, content="Go on. " * 20, timestamp=now
        )
        receipt = Receipt(injection_id=f"i{n}", session_id=SESSION, state=ReceiptState.STORED, at=now)
        await record.apply("s", [PutMessage(message=words), PutReceipt(receipt=receipt)], durable=True)

    return {"audit row": audit, "order": order}


async def run(directory: Path, count: int) -> dict[str, Any]:
    sealer = Sealer([MasterKey.generate()])
    waiting, first = await opened(directory / "full.db", sealer, wait=True)
    hasty, second = await opened(directory / "normal.db", sealer, wait=False)
    found: dict[str, Any] = {}
    for name in ways(waiting):
        took: dict[str, list[float]] = {"FULL": [], "NORMAL": []}
        pair = {"FULL": ways(waiting)[name], "NORMAL": ways(hasty)[name]}
        for n in range(count):
            for way, write in pair.items():
                began = time.perf_counter()
                await write(n)
                took[way].append(time.perf_counter() - began)
        found[name] = compared(took)
    for recorder, database in ((waiting, first), (hasty, second)):
        await recorder.close()
        await database.close()
    found["journal sync"] = spread(await asyncio.to_thread(journal, directory / "j", count))
    return found


def journal(path: Path, count: int) -> list[float]:
    path.mkdir()
    took = []
    with (path / JOURNAL).open("ab", buffering=0) as file:
        for n in range(count):
            file.write(b'{"n":%d,"kind":"cmd"}\n' % n * 10)
            began = time.perf_counter()
            SessionDirectory(path).sync_journal()
            took.append(time.perf_counter() - began)
    return took


def compared(took: dict[str, list[float]]) -> dict[str, Any]:
    shown = {way: spread(times) for way, times in took.items()}
    ratio = {at: round(shown["FULL"][at] / shown["NORMAL"][at], 2) for at in ("p50", "p99")}
    return {f"{way} ms": values for way, values in shown.items()} | {"ratio": ratio}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--directory", type=Path, help="where to write (default: the place for temporary files)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-durability-", dir=args.directory) as directory:
        result = {"machine": machine(), "count": args.count, **asyncio.run(run(Path(directory), args.count))}
    print(json.dumps(result, indent=2))
    out = Path("build/bench/durability.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
