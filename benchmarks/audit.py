"""What the audit log's chain costs: verifying a million rows, and one intervention more.

    python -m benchmarks.audit [--rows 1000000] [--keep FILE]

The rows are made by the real hashing, linking and authentication, in larger transactions than a control plane's; the
log that results is the same. What an append costs is measured on an own database with one transaction per row, with
and without the chain, in turns. Prints text, and JSON to build/bench/audit.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome, ChainHead, chained
from mission_control_desktop.domain.base import to_json
from mission_control_desktop.domain.people import ActorKind
from mission_control_desktop.storage import Database, Uuid7, open_database
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.audit import append_audit, columns_of
from mission_control_desktop.storage.audit_end import write_end
from mission_control_desktop.storage.sealing import MasterKey, Sealer

BATCH = 5_000
WORKSPACE = "default"
START = datetime(2026, 1, 1, tzinfo=UTC)


def draft(n: int, ids: Uuid7) -> AuditEntry:
    """Every second row closes the intent before it."""
    closing = n % 2 == 1
    return AuditEntry(
        id=ids.new(),
        seq=0,
        created_at=START + timedelta(milliseconds=n * 37),
        user_id=f"operator-{n % 7}",
        actor_kind=ActorKind.PERSON,
        action=AuditAction.INJECT,
        outcome=AuditOutcome.DONE if closing else AuditOutcome.INTENDED,
        session_id=f"internal:{n % 60:032x}",
        provider="internal",
        content=None if closing else "Please look at the failing test first, and say what you find.",
        metadata={"intentId": f"{n:032x}", "receipt": "stored"} if closing else {"injectionId": f"{n:032x}"},
    )


def build(database: Database, rows: int) -> float:
    """Seconds that it took."""
    ids, began = Uuid7(), time.perf_counter()
    head = ChainHead()
    for first in range(0, rows, BATCH):

        def work(connection: Connection, first: int = first, at: ChainHead = head) -> ChainHead:
            values = []
            for n in range(first, min(first + BATCH, rows)):
                entry = chained(_placed(draft(n, ids), at.seq + 1), at.hash)
                values.append(columns_of(entry, WORKSPACE, n + 1))
                at = ChainHead(seq=entry.seq, hash=entry.hash)
            connection.execute(insert(t.audit_log), values)
            write_end(connection, database.sealer, WORKSPACE, at)
            return at

        head = database.access.write_now(work)
    return time.perf_counter() - began


def _placed(entry: AuditEntry, seq: int) -> AuditEntry:
    import msgspec

    return msgspec.structs.replace(entry, seq=seq)


async def verify(database: Database) -> dict[str, Any]:
    """The way of the API, and how much later than asked for the event loop wakes meanwhile, and without."""
    delays: list[float] = []

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(0.002)
            delays.append(loop.time() - began - 0.002)

    watching = asyncio.get_running_loop().create_task(watch())
    await asyncio.sleep(3)
    idle = spread(delays)
    delays.clear()
    began = time.perf_counter()
    report = await database.audit.verify(WORKSPACE)
    seconds = time.perf_counter() - began
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    assert report.valid, report
    return {"seconds": seconds, "rows": report.rows, "loop_delay_ms": spread(delays), "idle_delay_ms": idle}


async def write_export(database: Database, path: Path) -> float:
    began = time.perf_counter()
    with path.open("wb") as stream:
        async for entry in database.audit.rows(WORKSPACE):
            stream.write(to_json(entry) + b"\n")
    return time.perf_counter() - began


def verify_offline(path: Path) -> dict[str, Any]:
    """The command itself, in a process of its own."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "mission_control_desktop", "audit", "verify", "--json", "--file", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    report = json.loads(done.stdout)
    assert report["valid"], report
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"seconds": seconds, "rows": report["rows"], "peak_rss_mib": peak}


def append_cost(database: Database, count: int) -> dict[str, Any]:
    """One durable transaction per row, as an intervention writes it: the chain and its end against a bare insert."""
    ids = Uuid7()
    n = 0

    def bare(connection: Connection) -> None:
        entry = draft(n, ids)
        connection.execute(insert(t.audit_log), columns_of(_placed(entry, n), "bare", n))

    def whole(connection: Connection) -> None:
        append_audit(connection, database.sealer, WORKSPACE, draft(n, ids), n)

    ways: dict[str, Callable[[Connection], None]] = {"bare insert": bare, "chain and end": whole}
    found: dict[str, list[float]] = {name: [] for name in ways}
    inside: dict[str, list[float]] = {name: [] for name in ways}
    work: dict[str, float] = dict.fromkeys(ways, 0.0)
    for _ in range(count):
        for name, way in ways.items():
            n += 1

            def timed(connection: Connection, name: str = name, way: Callable[[Connection], None] = way) -> None:
                began = time.perf_counter()
                way(connection)
                inside[name].append(time.perf_counter() - began)

            worked, began = time.process_time(), time.perf_counter()
            database.access.write_now(timed)
            found[name].append(time.perf_counter() - began)
            work[name] += time.process_time() - worked
    return {
        # User and system time, which a machine that does other things too distorts least.
        "mean_cpu_ms": {name: round(seconds / count * 1000, 3) for name, seconds in work.items()},
        "transaction_ms": {name: spread(values) for name, values in found.items()},
        "without_commit_ms": {name: spread(values) for name, values in inside.items()},
    }


def spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    at = {"p50": 0.5, "p99": 0.99}
    found = {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 for name, share in at.items()}
    return {**{name: round(value, 3) for name, value in found.items()}, "max": round(ordered[-1] * 1000, 3)}


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), "load_before": load}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--appends", type=int, default=1_000)
    parser.add_argument("--keep", type=Path, help="leave the database here")
    args = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "rows": args.rows}
    sealer = Sealer([MasterKey.generate()])
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as directory:
        path = args.keep or Path(directory) / "log.db"
        database = open_database(path, sealer)
        result["build_seconds"] = round(build(database, args.rows), 1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        checked = asyncio.run(verify(database))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        result["verify"] = {**checked, "rows_per_second": round(args.rows / checked["seconds"]), "peak_rss_mib": after}
        result["verify"]["rss_growth_mib"] = round(after - before, 1)
        exported = Path(directory) / "log.jsonl"
        result["export_seconds"] = round(asyncio.run(write_export(database, exported)), 1)
        offline = verify_offline(exported)
        result["verify_file"] = {**offline, "rows_per_second": round(args.rows / offline["seconds"])}
        database.close_now()
        costs = open_database(Path(directory) / "costs.db", sealer)
        result["append"] = append_cost(costs, args.appends)
        costs.close_now()
    print(json.dumps(result, indent=2))
    out = Path("build/bench/audit.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
