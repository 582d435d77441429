"""A process that is killed in the middle of writing leaves a record that holds."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from mission_control_desktop.domain.events import parse_event_id
from mission_control_desktop.record.ops import PutMessage, RecordOp
from mission_control_desktop.storage import Database, open_database
from mission_control_desktop.storage import tables as t
from support.records import SEALER, Client, append, audit_draft, message, on_record, recording

WRITER = """
import asyncio, sys
from pathlib import Path
from mission_control_desktop.record.ops import PutMessage, PutSession
from mission_control_desktop.storage import open_database
from support.records import SEALER, append, audit_draft, message, recording, session

PIECES = 40

async def main():
    database = open_database(Path(sys.argv[1]), SEALER)
    async with recording(database) as recorder:
        async def stream(name):
            record = recorder.provider_record("internal")
            await record.apply(name, [PutSession(session=session(name))], durable=True)
            position = await record.cursor(name)
            while True:
                number, piece = divmod(position, PIECES)
                text = f"[{position}]"
                at = sum(len(f"[{p}]") for p in range(number * PIECES, position))
                if piece == 0:
                    ops = [PutMessage(message=message(f"m{number}", text, of=name))]
                else:
                    ops = [append(f"m{number}", at, text, of=name)]
                position += 1
                await record.apply(name, ops, cursor=position)
                if position % 50 == 0:
                    await asyncio.sleep(0)
        async def audit():
            while True:
                row = await recorder.audit.append("default", audit_draft())
                print(f"audited {row.seq}", flush=True)
        async def watch():
            async with recorder.stream_session("internal:a") as events:
                async for event in events:
                    print(f"shown {event.event.event_id}", flush=True)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(stream("a"))
            group.create_task(stream("b"))
            group.create_task(audit())
            while not await database.sessions.get("internal:a"):
                await asyncio.sleep(0.01)
            group.create_task(watch())

asyncio.run(main())
"""


def run_until_killed(path: Path, *, shown: int) -> tuple[str, int]:
    """Start a writing process, kill it in mid-stream; the last event id it showed and the last row it audited."""
    tests = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *sys.path])}
    last_shown, last_audited, count = "", 0, 0
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            word, value = line.split()
            if word == "shown":
                last_shown, count = value, count + 1
                if count == shown:
                    process.send_signal(signal.SIGKILL)
            else:
                last_audited = int(value)
    assert process.returncode == -signal.SIGKILL
    return last_shown, last_audited


@pytest.mark.parametrize("shown", [3, 40, 150])
async def test_after_a_kill_the_record_holds_and_goes_on(tmp_path: Path, shown: int) -> None:
    path = tmp_path / "record.db"
    last_shown = ""
    last_audited = 0
    for _ in range(2):
        last_shown, last_audited = await asyncio.to_thread(run_until_killed, path, shown=shown)
    database = open_database(path, SEALER)
    try:
        await _holds(database, last_shown, last_audited)
    finally:
        await database.close()


async def _holds(database: Database, last_shown: str, last_audited: int) -> None:
    parsed = parse_event_id(last_shown)
    assert parsed is not None
    heads = await _heads(database)
    assert heads["internal:a"] >= parsed[1], "what was shown is on record"
    async with recording(database) as recorder:
        assert recorder.epoch == parsed[0]
        report = await recorder.audit.verify("default")
        assert report.valid
        assert report.rows >= last_audited
        for name in ("a", "b"):
            record = recorder.provider_record("internal")
            transcript = await on_record(database, f"internal:{name}")
            content = "".join(one.content for one in transcript)
            position = await record.cursor(name)
            assert content == "".join(f"[{n}]" for n in range(position)), "content and cursor were committed together"
        client = Client()
        async with recorder.stream_session("internal:a", last_event_id=last_shown) as stream:
            number = (await record.cursor("a")) + 1
            again: list[RecordOp] = [PutMessage(message=message("after", "x", of="a")), append("after", 1, "y", of="a")]
            await recorder.provider_record("internal").apply("a", again, cursor=number, durable=True)
            while "after" not in client.messages or client.messages["after"].content != "xy":
                client.take((await anext(stream)).event)
        after = client.messages["after"]
        assert after.seq > heads["internal:a"], "numbers go on growing"
        assert (await recorder.audit.append("default", audit_draft())).seq == report.rows + 1
        assert (await recorder.audit.verify("default")).valid


async def _heads(database: Database) -> dict[str, int]:
    query = select(t.session_streams.c.session_id, t.session_streams.c.last_seq)
    newest = select(func.max(t.messages.c.last_seq)).where(t.messages.c.session_id == "internal:a")

    def work(connection):  # type: ignore[no-untyped-def]
        heads = {row.session_id: row.last_seq for row in connection.execute(query)}
        assert heads["internal:a"] >= connection.execute(newest).scalar_one()
        return heads

    found: dict[str, int] = await database.access.read(work)
    return found
