"""How long a control plane takes, after one before it was killed, until it has every agent again.

    python -m benchmarks.reattach [--agents 100] [--entries 50 20000] [--out build/bench/reattach.json]

Real keepers, each around a small real process, on journals of so many entries (the first part is written beforehand: an
agent that was opened and talks). For each length three control planes, each in a process of its own, are started on
the same data directory and ended with SIGKILL: one without snapshots (every journal is folded from its first entry),
and, when it has written snapshots, two with them. Measured in that process, from the start of the orchestrator:

- shown: every session is on record as unreachable (requests would be answered from here on)
- attached: seconds until a session is live again; p50 and maximum over all
- wrong: sessions that were on record as anything but unreachable while they were not attached (looked at all the time)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from mission_control_desktop.domain.sessions import Freshness, split_id
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.orchestrator.core.effects import Send
from mission_control_desktop.orchestrator.core.entries import Entry
from mission_control_desktop.orchestrator.core.session import SessionCore
from mission_control_desktop.orchestrator.core.spec import SessionSpec
from mission_control_desktop.orchestrator.directories import JOURNAL, SessionDirectory
from mission_control_desktop.orchestrator.driver import SessionDriver
from mission_control_desktop.orchestrator.keeper import client as keeper
from mission_control_desktop.orchestrator.orchestrator import Orchestrator
from mission_control_desktop.orchestrator.profiles import ProfileStore
from mission_control_desktop.orchestrator.sweep import kill_tree_of_dead_keeper
from mission_control_desktop.record.ops import PutSession
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import SystemClock, Uuid7, open_database

AGENT = "import sys\nfor line in sys.stdin: pass"


def written(spec: SessionSpec, count: int) -> tuple[list[Entry], SessionCore]:
    """The journal of an agent that was opened, got one order and has talked since."""
    core = SessionCore(spec)
    entries: list[Entry] = []
    began = time.time() - count / 10

    def feed(kind: Any, **fields: Any) -> None:
        entry = Entry(n=len(entries) + 1, t=began + len(entries) / 10, kind=kind, **fields)
        entries.append(entry)
        for effect in core.feed(entry):
            if isinstance(effect, Send):
                feed("out", line=effect.line, key=effect.key)

    def answer(method: str, result: dict[str, Any]) -> None:
        sent = [json.loads(entry.line or "") for entry in entries if entry.kind == "out"]
        rpc_id = next(frame["id"] for frame in reversed(sent) if frame.get("method") == method)
        feed("in", line=json.dumps({"jsonrpc": "2.0", "id": rpc_id, "result": result}))

    feed("start", data={"pid": 2**22 - 1, "startTime": 1, "keeperPid": 2**22 - 2, "keeperStartTime": 1})
    answer("initialize", {"protocolVersion": 1, "agentInfo": {"name": "talker", "version": "1"}})
    answer("session/new", {"sessionId": "S"})
    while len(entries) < count:
        n = len(entries)
        update: dict[str, Any] = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": f"w{n} "}}
        if n % 20 == 0:
            update = {"sessionUpdate": "tool_call", "toolCallId": f"t{n}", "title": f"step {n}", "status": "completed"}
        feed("in", line=json.dumps({"method": "session/update", "params": {"sessionId": "S", "update": update}}))
    return entries, core


async def prepare(data: Path, agents: int, count: int) -> None:
    """Directories, journals, what the record has of them, and living keepers."""
    await asyncio.to_thread(data.mkdir, mode=0o700, parents=True)
    ids, clock = Uuid7(), SystemClock()
    database = await asyncio.to_thread(open_database, data / "control-plane.db")
    recorder = Recorder(database, clock, ids, lambda name, error: sys.exit(f"{name}: {error}"))
    await recorder.start()
    record = recorder.provider_record("internal")
    limit = asyncio.Semaphore(8)

    async def one() -> None:
        async with limit:
            spec = SessionSpec(
                session_id=ids.new(),
                provider="internal",
                run_id=ids.new(),
                profile="bench",
                runtime="acp",
                command=(sys.executable,),
                cwd="/",
                spawned_at=datetime.now(UTC),
                prompt="Talk",
            )
            directory = SessionDirectory(data / "agents" / spec.session_id)
            directory.create(spec)
            entries, core = written(spec, count)
            lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
            await asyncio.to_thread((directory.path / JOURNAL).write_bytes, lines)
            await record.apply(
                spec.session_id,
                [PutSession(session=session) for session in core.sessions.values()],
                cursor=core.last,
                durable=True,
            )
            command = (sys.executable, "-I", "-S", "-c", AGENT)
            await keeper.launch(directory.path, keeper.Launch(command=command, cwd="/", env={}), timeout=120)

    async with asyncio.TaskGroup() as group:
        for _ in range(agents):
            group.create_task(one())
    await recorder.close()
    await database.close()


async def control_plane(data: Path, agents: int) -> None:
    """Prints what was measured, then lives until it is killed."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    clock, ids = SystemClock(), Uuid7()
    database = await asyncio.to_thread(open_database, data / "control-plane.db")
    recorder = Recorder(database, clock, ids, lambda name, error: sys.exit(f"{name}: {error}"))
    await recorder.start()
    profiles = ProfileStore(database.profiles, environ=dict(os.environ))
    orchestrator = Orchestrator(data, profiles, clock=clock, ids=ids)
    began = time.perf_counter()
    live: dict[str, float] = {}
    told = orchestrator.driver_live

    def driver_live(driver: SessionDriver) -> None:
        live.setdefault(driver.native_id, time.perf_counter() - began)
        told(driver)

    orchestrator.driver_live = driver_live  # type: ignore[method-assign]
    await orchestrator.start(recorder.provider_record("internal"))
    shown = time.perf_counter() - began
    wrong: set[str] = set()
    looks = 0

    async def look() -> None:
        nonlocal looks
        while len(live) < agents:
            before = set(live)
            for session in await database.sessions.living(provider="internal"):
                native = split_id(session.session_id)[1]
                shown_live = session.evidence.freshness is not Freshness.UNREACHABLE
                if shown_live and native not in before and native not in live:
                    wrong.add(native)
            looks += 1
            await asyncio.sleep(0.05)

    tasks = Tasks(lambda name, error: sys.exit(f"{name}: {error}"))
    await asyncio.wait([tasks.start(look(), name="look")])
    times = sorted(live.values())
    found = {"shown": shown, "p50": statistics.median(times), "max": times[-1], "wrong": len(wrong), "looks": looks}
    print(json.dumps({key: round(value, 3) for key, value in found.items()}), flush=True)
    await asyncio.Event().wait()


def measure(data: Path, agents: int, *, snapshots: bool) -> dict[str, Any]:
    """Start a control plane, take its numbers, wait for all snapshots if there are to be some, and kill it."""
    arguments = [sys.executable, "-m", "benchmarks.reattach", "--serve", str(data), "--agents", str(agents)]
    log = data.parent / "control-plane.log"
    with log.open("a") as errors, subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=errors) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"the control plane ended by itself:\n{log.read_text()[-4000:]}")
            deadline = time.monotonic() + 300
            while snapshots and time.monotonic() < deadline:
                if len(list((data / "agents").glob("*/snapshot"))) >= agents:
                    break
                time.sleep(0.2)
            time.sleep(1)
        finally:
            process.send_signal(signal.SIGKILL)
    found: dict[str, Any] = json.loads(line)
    return found


async def clean_up(data: Path) -> None:
    for directory in (data / "agents").iterdir():
        identity = keeper.read_identity(directory)
        if identity is not None and keeper.keeper_alive(directory):
            os.kill(identity.pid, signal.SIGKILL)
            while keeper.keeper_alive(directory):
                await asyncio.sleep(0.01)
        await asyncio.to_thread(kill_tree_of_dead_keeper, directory)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--entries", type=int, nargs="+", default=[50, 20_000])
    parser.add_argument("--out", type=Path, default=Path("build/bench/reattach.json"))
    parser.add_argument("--serve", type=Path)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(control_plane(options.serve, options.agents))
        return
    results: list[dict[str, Any]] = []
    for count in options.entries:
        work = Path(tempfile.mkdtemp(prefix="reattach-"))
        data = work / "data"
        try:
            asyncio.run(prepare(data, options.agents, count))
            without = measure(data, options.agents, snapshots=True)
            runs = [measure(data, options.agents, snapshots=False) for _ in range(2)]
        finally:
            asyncio.run(clean_up(data))
            shutil.rmtree(work)
        best = min(runs, key=lambda run: run["max"])
        ratio = round(without["max"] / best["max"], 1)
        results.append({"entries": count, "without": without, "with": runs, "ratio": ratio})
        print(json.dumps(results[-1]), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"agents": options.agents, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
