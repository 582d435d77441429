"""How streams open, resume, reset and end, event by event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import update

from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.errors import BadInput, NotFound
from mission_control_desktop.domain.events import EventType, ProviderHealth
from mission_control_desktop.domain.kill import KillAll, KillState, KillTarget, TargetState
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.record import hub
from mission_control_desktop.record.encoded import Encoded
from mission_control_desktop.record.ops import PutApproval, PutMessage, PutReceipt, PutSession
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database
from mission_control_desktop.storage import tables as t
from support.records import (
    START,
    Client,
    append,
    approval,
    audit_draft,
    fresh_database,
    message,
    receipt,
    recording,
    session,
    until,
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = fresh_database(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def recorder(database: Database) -> AsyncIterator[Recorder]:
    async with recording(database) as started:
        yield started


async def tell(recorder: Recorder, *ops: object, of: str = "s") -> None:
    await recorder.provider_record("internal").apply(of, ops, durable=True)  # type: ignore[arg-type]


async def some_history(recorder: Recorder) -> None:
    """seq 1 session, 2 m0, 3 m1, 4 m2, 5 m1 again, 6 receipt, 7 approval."""
    await tell(recorder, PutSession(session=session()))
    for n in range(3):
        await tell(recorder, PutMessage(message=message(f"m{n}", str(n), complete=n != 2)))
    await tell(recorder, PutMessage(message=message("m1", "changed", complete=True)))
    await tell(recorder, PutReceipt(receipt=receipt("r", ReceiptState.QUEUED)))
    await tell(recorder, PutApproval(approval=approval("p")))


async def seen(stream: AsyncIterator[object], count: int) -> list[tuple[str, str | None]]:
    """Type and number of the next events."""
    found = []
    for _ in range(count):
        event = await asyncio.wait_for(anext(stream), 10)
        name = event.event.event_id  # type: ignore[attr-defined]
        found.append((event.type.value, name and name.rpartition("-")[2]))  # type: ignore[attr-defined]
    return found


async def test_opened_without_an_id_it_starts_with_the_session(recorder: Recorder) -> None:
    await some_history(recorder)
    async with recorder.stream_session("internal:s") as stream:
        assert await seen(stream, 1) == [("session", "7")]
        await tell(recorder, PutMessage(message=message("m3", "live")))
        assert await seen(stream, 1) == [("message", "8")]


async def test_replay_gives_the_last_messages_and_what_is_open(recorder: Recorder) -> None:
    await some_history(recorder)
    async with recorder.stream_session("internal:s", replay=2) as stream:
        expected = [("session", "3"), ("message", "4"), ("message", "5"), ("receipt", "6"), ("approval", "7")]
        assert await seen(stream, 5) == expected


async def test_any_id_of_an_opening_can_be_resumed_from(recorder: Recorder) -> None:
    await some_history(recorder)
    everything = Client()
    async with recorder.stream_session("internal:s", replay=10) as stream:
        for event in await stream.batch():
            everything.take(event.event)
    for stop in range(1, everything.events + 1):
        client = Client()
        async with recorder.stream_session("internal:s", replay=10) as stream:
            for event in (await stream.batch())[:stop]:
                client.take(event.event)
        if client.last_id != everything.last_id:
            async with recorder.stream_session("internal:s", last_event_id=client.last_id) as stream:
                for event in await stream.batch():
                    client.take(event.event)
        assert client.transcript() == everything.transcript()
        assert (client.receipts, client.approvals) == (everything.receipts, everything.approvals)


async def test_a_delta_to_a_message_that_was_never_given_becomes_the_whole_message(recorder: Recorder) -> None:
    await some_history(recorder)
    async with recorder.stream_session("internal:s") as stream:
        await seen(stream, 1)
        await tell(recorder, append("m2", 1, "+"))
        whole = await anext(stream)
        assert whole.type is EventType.MESSAGE
        assert whole.event.data.content == "2+"  # type: ignore[union-attr]
        await tell(recorder, append("m2", 2, "+"))
        assert (await anext(stream)).type is EventType.DELTA


async def test_deltas_of_one_frame_are_one_event(recorder: Recorder) -> None:
    await some_history(recorder)
    async with recorder.stream_session("internal:s", replay=5) as stream:
        await stream.batch()
        await tell(recorder, *(append("m2", 1 + n, "é") for n in range(50)))
        [delta] = await stream.batch()
        assert json.loads(delta.sse.splitlines()[2][6:]) == {"messageId": "m2", "offset": 1, "text": "é" * 50}
        assert delta.position == 8


async def test_an_id_of_another_epoch_or_from_the_future_resets(recorder: Recorder) -> None:
    await some_history(recorder)
    for wrong in (f"{recorder.epoch}-8", "0123456789ab-3"):
        async with recorder.stream_session("internal:s", wrong, replay=1) as stream:
            expected = [("reset", None), ("session", "3"), ("message", "4")]
            assert await seen(stream, 3) == expected
    async with recorder.stream_workspace(f"{recorder.epoch}-999") as stream:
        assert (await seen(stream, 1))[0] == ("reset", None)
    async with recorder.stream_session("internal:s", f"{recorder.epoch}-7") as stream:
        await tell(recorder, PutMessage(message=message("m3", "live")))
        assert await seen(stream, 1) == [("message", "8")]


@pytest.mark.parametrize("garbage", ["x", "7", "-7", "a-", "a-b", "a-٣", "a-" + "9" * 30, "a--1"])
async def test_a_garbled_id_is_refused(recorder: Recorder, garbage: str) -> None:
    await some_history(recorder)
    if garbage == "a--1":  # An epoch may hold a dash, so this is one of another record.
        async with recorder.stream_session("internal:s", garbage) as stream:
            assert (await seen(stream, 1))[0][0] == "reset"
        return
    with pytest.raises(BadInput) as refused:
        async with recorder.stream_session("internal:s", garbage):
            pass
    assert refused.value.field == "Last-Event-ID"


async def test_what_cannot_be_opened_is_refused(recorder: Recorder) -> None:
    with pytest.raises(NotFound):
        async with recorder.stream_session("internal:nobody"):
            pass
    with pytest.raises(NotFound):
        async with recorder.stream_session("internal:nobody", f"{recorder.epoch}-0"):
            pass
    for replay in (-1, 501):
        with pytest.raises(BadInput):
            recorder.stream_session("internal:s", replay=replay)
    assert recorder._hub.listeners() == 0, "who was refused does not listen"


async def test_frames_are_encoded_once_and_shared(recorder: Recorder) -> None:
    await some_history(recorder)
    async with (
        recorder.stream_session("internal:s") as one,
        recorder.stream_session("internal:s") as two,
        recorder.stream_workspace() as workspace,
    ):
        await asyncio.gather(one.batch(), two.batch(), workspace.batch())
        child = session(title="now", parent_session_id="internal:p")
        await tell(recorder, PutSession(session=child))
        first, second, third = await anext(one), await anext(two), await anext(workspace)
        assert first is second
        assert first.sse is second.sse
        assert first.payload is third.payload
        lines = first.sse.decode().split("\n")
        assert lines[0] == f"id: {recorder.epoch}-8"
        assert lines[1] == "event: session"
        assert lines[3:] == ["", ""]
        native = json.loads(first.sse_native.decode().split("\n")[2][6:])
        assert (native["sessionId"], native["parentSessionId"]) == ("s", "p")


async def test_a_slow_reader_costs_a_bounded_queue_and_is_brought_level(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "QUEUE_EVENTS", 10)
    await tell(recorder, PutSession(session=session()), PutMessage(message=message("m", "")))
    slow, quick = Client(), Client()
    async with recorder.stream_session("internal:s", replay=1) as stream:
        for event in await stream.batch():
            slow.take(event.event)
        async with recorder.stream_session("internal:s", replay=1) as other:
            for n in range(300):
                await tell(recorder, append("m", n, "x"))
                for event in await other.batch():
                    quick.take(event.event)
        assert len(stream._subscriber._queue) <= 10
        while slow.last_id != quick.last_id:
            slow.take((await anext(stream)).event)
        assert slow.transcript() == quick.transcript()
        assert slow.events < 10, "brought level by the whole message"
        await tell(recorder, append("m", 300, "!"))
        assert (await anext(stream)).type is EventType.DELTA


async def test_a_workspace_stream_shows_everything_but_messages(recorder: Recorder) -> None:
    await tell(recorder, PutSession(session=session("old", SessionStatus.COMPLETED)), of="old")
    await some_history(recorder)
    async with recorder.stream_workspace() as stream, recorder.stream_workspace(workspace_id="theirs") as theirs:
        opening = [event.event for event in await stream.batch()]
        assert [event.type.value for event in opening] == ["session", "session", "approval"]
        last = opening[-1].event_id
        await tell(recorder, PutApproval(approval=approval("p", ApprovalState.ANSWERED)))
        row = await recorder.audit.append("default", audit_draft())
        kill = KillAll(
            kill_id="k",
            state=KillState.KILLING,
            scope="all",
            started_at=START,
            targets=(KillTarget(session_id="internal:s", provider="internal", state=TargetState.DEAD, at=START),),
        )
        await recorder.publish_kill(kill, state=b"note")
        await recorder.publish_provider(ProviderHealth(provider="internal", state="degraded", detail="why"))
        live = [(await anext(stream)).event for _ in range(4)]
        assert [event.type.value for event in live] == ["approval", "audit", "kill", "provider"]
        assert [event.data for event in live[1:3]] == [row, kill]
        beta = recorder.provider_record("beta", workspace_id="theirs")
        elsewhere = session(session_id="beta:s", provider="beta")
        await beta.apply("s", [PutSession(session=elsewhere)], durable=True)
        assert (await anext(theirs)).event.data == elsewhere
    assert await recorder.kills.unfinished() == [("default", kill, b"note")]
    assert await recorder.kills.get("default", "k") == kill
    assert await recorder.kills.get("theirs", "k") is None
    async with recorder.stream_workspace(last) as stream:
        assert [event.event for event in await stream.batch()] == live
    async with recorder.stream_workspace(last, workspace_id="theirs") as stream:
        assert [event.event.data for event in await stream.batch()] == [elsewhere]
    async with recorder.stream_workspace() as stream:
        types = [event.type.value for event in await stream.batch()]
        assert types == ["session", "session", "kill", "provider"]


async def test_all_of_a_long_absence_is_given_in_pages(recorder: Recorder) -> None:
    await tell(recorder, PutSession(session=session()))
    for start in range(0, 900, 300):
        await tell(recorder, *(PutMessage(message=message(f"m{n}", "x")) for n in range(start, start + 300)))
        await asyncio.gather(*(recorder.audit.append("default", audit_draft()) for _ in range(100)))
    client, workspace = Client(), Client()
    async with recorder.stream_session("internal:s", f"{recorder.epoch}-1") as stream:
        while len(client.messages) < 900:
            batch = await stream.batch()
            assert len(batch) <= 200
            for event in batch:
                client.take(event.event)
    async with recorder.stream_workspace(f"{recorder.epoch}-1") as stream:
        while len(workspace.others) < 300:
            workspace.take((await anext(stream)).event)
    assert [one.seq for one in client.transcript()] == list(range(2, 902))


async def test_streams_end_with_the_recorder(database: Database) -> None:
    async with recording(database) as recorder:
        await some_history(recorder)
        async with recorder.stream_session("internal:s") as one, recorder.stream_workspace() as two:
            await asyncio.gather(one.batch(), two.batch())
            reading = asyncio.get_running_loop().create_task(two.batch())
            closing = asyncio.get_running_loop().create_task(recorder.close())
            assert [event async for event in one] == []
            assert await reading == []
            await closing
        async with recorder.stream_workspace() as late:
            assert len([event async for event in late]) == 2, "what is on record, then the end"


async def test_a_rebuilt_record_has_another_epoch(database: Database) -> None:
    async with recording(database) as recorder:
        await some_history(recorder)
        old = recorder.epoch
    await database.access.write(
        lambda c: c.execute(update(t.meta).where(t.meta.c.key == "epoch").values(value="rebuilt"))
    )
    async with (
        recording(database) as recorder,
        recorder.stream_session("internal:s", f"{old}-2") as stream,
    ):
        assert await seen(stream, 2) == [("reset", None), ("session", "7")]
        assert recorder.epoch == "rebuilt"


async def test_listeners_leave_nothing_behind(recorder: Recorder) -> None:
    await some_history(recorder)

    async def visit() -> None:
        async with recorder.stream_session("internal:s", replay=3) as stream:
            async for _ in stream:
                pass

    visits = [asyncio.get_running_loop().create_task(visit()) for _ in range(20)]
    await until(lambda: recorder._hub.listeners() == 20, "all listen")
    for task in visits:
        task.cancel()
    await asyncio.gather(*visits, return_exceptions=True)
    assert recorder._hub.listeners() == 0
    assert recorder._hub._sessions == {}


async def test_what_a_workspace_did_reaches_no_other_live_or_from_the_record(recorder: Recorder) -> None:
    """Everything that shows on a workspace's stream, written by a provider of each of two workspaces."""

    async def happen(provider: str, workspace_id: str) -> None:
        record = recorder.provider_record(provider, workspace_id=workspace_id)
        own = f"{provider}:s"
        one = session(session_id=own, provider=provider, title=f"of {provider}")
        asked = msgspec.structs.replace(approval(f"p-{provider}"), session_id=own, provider=provider)
        sent = msgspec.structs.replace(receipt(f"r-{provider}"), session_id=own)
        await record.apply("s", [PutSession(session=one)], durable=True)
        await record.apply("s", [PutApproval(approval=asked), PutReceipt(receipt=sent)], durable=True)
        await recorder.publish_provider(ProviderHealth(provider=provider, state="ok"), workspace_id=workspace_id)
        await recorder.audit.append(workspace_id, audit_draft(provider=provider))
        kill = KillAll(kill_id=f"k-{provider}", state=KillState.KILLING, scope=provider, started_at=START, targets=())
        await recorder.publish_kill(kill, workspace_id=workspace_id)

    everything = {"session", "approval", "receipt", "provider", "audit", "kill"}

    def shown(events: list[Encoded], provider: str) -> None:
        assert {event.type.value for event in events} == everything
        assert all(provider.encode() in event.sse for event in events)

    async with recorder.stream_workspace() as ours, recorder.stream_workspace(workspace_id="theirs") as theirs:
        await happen("alpha", "default")
        await happen("beta", "theirs")
        await happen("alpha", "default")
        shown([await anext(theirs) for _ in range(6)], "beta")
        shown([await anext(ours) for _ in range(6)], "alpha")
        shown([await anext(ours) for _ in range(6)], "alpha")
    for workspace_id, provider in (("default", "alpha"), ("theirs", "beta")):
        async with recorder.stream_workspace(f"{recorder.epoch}-0", workspace_id=workspace_id) as stream:
            shown(await stream.batch(), provider)
        async with recorder.stream_workspace(workspace_id=workspace_id) as stream:
            opening = await stream.batch()
            assert {event.type.value for event in opening} == {"session", "approval", "kill", "provider"}
            assert all(provider.encode() in event.sse for event in opening)


async def test_a_name_that_another_workspace_had_before_comes_upon_none_of_its_sessions(
    recorder: Recorder, database: Database
) -> None:
    first = recorder.provider_record("name", workspace_id="theirs")
    before = session(session_id="name:s", provider="name", title="before")
    await first.apply("s", [PutSession(session=before)], durable=True)
    second = recorder.provider_record("name", workspace_id="default")
    after = msgspec.structs.replace(before, title="after")
    said = msgspec.structs.replace(message("m", "mine"), session_id="name:s")
    await second.apply("s", [PutSession(session=after), PutMessage(message=said)], durable=True)
    assert await second.session("s") is None
    assert await second.sessions() == []
    assert await first.session("s") == before
    assert await database.sessions.workspaces_of("name") == {"theirs"}
    page = await database.messages.page("name:s", workspace_id="theirs")
    assert page.items == (), "nobody there is told what another workspace tried"
