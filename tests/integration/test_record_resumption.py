"""Whatever happens to the connection, what a listener has equals what is on record."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.record import catchup, draft, hub, known
from mission_control_desktop.record.ops import PutApproval, PutMessage, PutReceipt, PutSession, RecordOp
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import SystemClock, Uuid7
from support.records import (
    Client,
    Errors,
    append,
    approval,
    fresh_database,
    message,
    on_record,
    receipt,
    session,
    until,
)

SESSIONS = ("a", "b")
MESSAGES = tuple(f"m{n}" for n in range(6))
TEXT = st.text(alphabet="ab é😀\n", min_size=1, max_size=12)
LIVING = st.sampled_from([SessionStatus.RUNNING, SessionStatus.WAITING, SessionStatus.PAUSED])


class Listener:
    """A client with a connection that can be cut, and that can stop reading for a while."""

    def __init__(self, target: str | None, *, replay: int | None, batches: bool) -> None:
        self.client = Client()
        self.target = target
        self.replay = replay
        self._batches = batches
        self._task: asyncio.Task[None] | None = None
        self.reading = asyncio.Event()
        self.reading.set()

    @property
    def connected(self) -> bool:
        return self._task is not None and not self._task.done()

    def connect(self, recorder: Recorder) -> None:
        self._task = asyncio.get_running_loop().create_task(self._listen(recorder))

    async def cut(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def failure(self) -> BaseException | None:
        task = self._task
        if task is None or not task.done() or task.cancelled():
            return None
        return task.exception()

    async def _listen(self, recorder: Recorder) -> None:
        last = self.client.last_id
        stream_of = (
            recorder.stream_workspace(last)
            if self.target is None
            else recorder.stream_session(f"internal:{self.target}", last, self.replay)
        )
        async with stream_of as stream:
            while True:
                await self.reading.wait()
                if self._batches:
                    events = await stream.batch()
                    if not events:
                        return
                else:
                    try:
                        events = [await anext(stream)]
                    except StopAsyncIteration:
                        return
                for event in events:
                    self.client.take(event.event)


class Resumption(RuleBasedStateMachine):
    """Writers that do anything, listeners that come, go, stall and return; with bounds so small that all are met."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.patches = [
            mock.patch.object(hub, "QUEUE_EVENTS", 4),
            mock.patch.object(catchup, "PAGE_ROWS", 2),
            mock.patch.object(catchup, "PAGE_CHARS", 60),
            mock.patch.object(draft, "FOLD_CHUNKS", 3),
            mock.patch.object(known, "CACHED", 3),
            mock.patch.object(draft, "MAX_STORED_CONTENT_CHARS", 60),
        ]
        for patch in self.patches:
            patch.start()
        self.directory = tempfile.TemporaryDirectory()
        self.errors = Errors()
        self.lengths: dict[tuple[str, str], int] = {}
        self.cursors = dict.fromkeys(SESSIONS, 0)
        self.sentinels = 0

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.run(self._begin())

    async def _begin(self) -> None:
        self.database = fresh_database(Path(self.directory.name))
        await self._start()
        for name in SESSIONS:
            await self._write(name, [PutSession(session=session(name))], durable=True)
        self.listeners = [
            Listener("a", replay=500, batches=True),
            Listener("a", replay=500, batches=False),
            Listener("b", replay=500, batches=True),
            Listener(None, replay=None, batches=False),
        ]
        self.newcomers: list[Listener] = []

    async def _start(self) -> None:
        self.recorder = Recorder(self.database, SystemClock(), Uuid7(), self.errors)
        await self.recorder.start()

    async def _write(self, name: str, ops: list[RecordOp], *, durable: bool) -> None:
        self.cursors[name] += 1
        record = self.recorder.provider_record("internal")
        await record.apply(name, ops, cursor=self.cursors[name], durable=durable)

    @rule(
        name=st.sampled_from(SESSIONS),
        steps=st.lists(st.tuples(st.sampled_from(MESSAGES), TEXT, st.sampled_from("papaaac")), min_size=1, max_size=8),
        durable=st.booleans(),
    )
    def talk(self, name: str, steps: list[tuple[str, str, str]], durable: bool) -> None:
        ops: list[RecordOp] = []
        for message_id, text, kind in steps:
            key = (name, message_id)
            if kind != "a" or key not in self.lengths:
                ops.append(PutMessage(message=message(message_id, text, of=name, complete=kind == "c")))
                self.lengths[key] = len(text)
            else:
                ops.append(append(message_id, self.lengths[key], text, of=name))
                self.lengths[key] += len(text)
        self.run(self._write(name, ops, durable=durable))

    @rule(name=st.sampled_from(SESSIONS), pieces=st.integers(1, 12))
    def stream_fast(self, name: str, pieces: int) -> None:
        """One message grows piece by piece, each in a transaction of its own."""

        async def work() -> None:
            key = (name, "m0")
            if key not in self.lengths:
                await self._write(name, [PutMessage(message=message("m0", "x", of=name))], durable=True)
                self.lengths[key] = 1
            for _ in range(pieces):
                await self._write(name, [append("m0", self.lengths[key], "yz", of=name)], durable=True)
                self.lengths[key] += 2

        self.run(work())

    @rule(name=st.sampled_from(SESSIONS), text=TEXT)
    def repeat_an_append(self, name: str, text: str) -> None:
        """What the content holds already is dropped."""
        length = self.lengths.get((name, "m1"), 0)
        if length >= len(text):
            self.run(self._write(name, [append("m1", length - len(text), text, of=name)], durable=False))

    @rule(name=st.sampled_from(SESSIONS))
    def repeat_a_position(self, name: str) -> None:
        """What lies at or below the cursor is on record."""
        work = self.recorder.provider_record("internal").apply(
            name, [PutMessage(message=message("m0", "doubled", of=name))], cursor=self.cursors[name]
        )
        self.run(work)

    @rule(name=st.sampled_from(SESSIONS), status=LIVING)
    def change_session(self, name: str, status: SessionStatus) -> None:
        self.run(self._write(name, [PutSession(session=session(name, status))], durable=False))

    @rule(name=st.sampled_from(SESSIONS), state=st.sampled_from(ReceiptState), n=st.integers(0, 2))
    def change_receipt(self, name: str, state: ReceiptState, n: int) -> None:
        self.run(self._write(name, [PutReceipt(receipt=receipt(f"r{name}{n}", state, of=name))], durable=False))

    @rule(name=st.sampled_from(SESSIONS), state=st.sampled_from(ApprovalState), n=st.integers(0, 2))
    def change_approval(self, name: str, state: ApprovalState, n: int) -> None:
        self.run(self._write(name, [PutApproval(approval=approval(f"p{name}{n}", state, of=name))], durable=False))

    @rule(index=st.integers(0, 3), seconds=st.sampled_from([0, 0.001, 0.004, 0.03]))
    def connect(self, index: int, seconds: float) -> None:
        async def work() -> None:
            listener = self.listeners[index]
            if not listener.connected:
                listener.connect(self.recorder)
            await asyncio.sleep(seconds)

        self.run(work())

    @rule(index=st.integers(0, 3))
    def cut(self, index: int) -> None:
        self.run(self.listeners[index].cut())

    @rule(index=st.integers(0, 3))
    def stall(self, index: int) -> None:
        self.listeners[index].reading.clear()

    @rule(index=st.integers(0, 3), seconds=st.sampled_from([0, 0.002, 0.02]))
    def read_on(self, index: int, seconds: float) -> None:
        async def work() -> None:
            self.listeners[index].reading.set()
            await asyncio.sleep(seconds)

        self.run(work())

    @precondition(lambda self: len(self.newcomers) < 2)
    @rule(replay=st.sampled_from([None, 0, 1, 2]))
    def someone_new(self, replay: int | None) -> None:
        """Opens without an id and so knows a part alone; that part must be right."""

        async def work() -> None:
            listener = Listener("a", replay=replay, batches=True)
            self.newcomers.append(listener)
            listener.connect(self.recorder)
            await asyncio.sleep(0.002)

        self.run(work())

    @rule()
    def restart(self) -> None:
        """The control plane goes and comes back on the same record."""

        async def work() -> None:
            await self.recorder.close()
            for listener in (*self.listeners, *self.newcomers):
                listener.reading.set()
                await until(lambda one=listener: not one.connected, "a stream ends with its recorder")
            await self._start()

        self.run(work())

    def teardown(self) -> None:
        try:
            if hasattr(self, "listeners"):
                self.run(self._compare())
        finally:
            if hasattr(self, "database"):
                self.run(self._stop())
            for patch in self.patches:
                patch.stop()
            self.loop.close()
            self.directory.cleanup()

    async def _compare(self) -> None:
        for name in SESSIONS:
            ops: list[RecordOp] = [
                PutMessage(message=message("the end", "the end", of=name, complete=True)),
                PutSession(session=session(name, SessionStatus.WAITING, title="the end")),
            ]
            await self._write(name, ops, durable=True)
        everyone = [*self.listeners, *self.newcomers]
        for listener in everyone:
            listener.reading.set()
            if not listener.connected and listener.failure() is None:
                listener.connect(self.recorder)
            wanted = SESSIONS if listener.target is None else (listener.target,)

            def there(listener: Listener = listener, wanted: tuple[str, ...] = wanted) -> bool:
                failure = listener.failure()
                if failure is not None:
                    raise failure
                got = listener.client.sessions
                return all((one := got.get(f"internal:{name}")) and one.title == "the end" for name in wanted)

            await until(there, "the listener is level")
        for listener in everyone:
            await self._equals_record(listener)
        assert not self.errors

    async def _stop(self) -> None:
        for listener in (*getattr(self, "listeners", ()), *getattr(self, "newcomers", ())):
            await listener.cut()
        await self.recorder.close()
        await self.database.close()

    async def _equals_record(self, listener: Listener) -> None:
        client, names = listener.client, SESSIONS if listener.target is None else (listener.target,)
        for name in names:
            # Evidence is read newer than it was shown.
            stored = await self.database.sessions.get(f"internal:{name}")
            shown = client.sessions[f"internal:{name}"]
            assert stored is not None
            assert (stored.status, stored.title) == (shown.status, shown.title)
            if listener.target is not None:
                transcript = await on_record(self.database, f"internal:{name}")
                if listener.replay == 500:
                    assert client.transcript() == transcript
                else:
                    by_id = {one.message_id: one for one in transcript}
                    assert all(by_id[one.message_id] == one for one in client.transcript())
            for one in await self.database.receipts.of_session(f"internal:{name}"):
                # A workspace stream opens without receipts, a session's without finished ones.
                got = client.receipts.get(one.injection_id)
                unseen = got is None and (listener.target is None or listener in self.newcomers or _ended(one))
                assert got == one or unseen
            for question in (await self.database.approvals.page(session_id=f"internal:{name}")).items:
                seen = client.approvals.get(question.approval_id)
                unseen = seen is None and (listener in self.newcomers or question.state != ApprovalState.OPEN)
                assert seen == question or unseen


def _ended(one: Any) -> bool:
    return one.state in (ReceiptState.ANSWERED, ReceiptState.FAILED, ReceiptState.WITHDRAWN)


TestResumption = pytest.mark.timeout(600)(Resumption.TestCase)
TestResumption.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
