"""The OpenClaw provider on a real record: sessions, transcripts, stops; a scripted gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.domain.errors import Conflict, NotFound, Unreachable, Unsupported
from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from mission_control_desktop.providers.openclaw.provider import OpenClawProvider
from mission_control_desktop.storage import Database
from support.gates import KEY, Gate, any_of, fresh_database_again, history_row, inject, opened, refuses
from support.gateway_double import Refuse, gateway_double
from support.records import fresh_database


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with gateway_double() as double:
        yield Gate(double)


# Sessions


async def test_many_sessions_are_listed_and_only_changes_are_written(gate: Gate, tmp_path: Path) -> None:
    for number in range(600):
        gate.put(f"agent:main:dashboard:{number}", status="done", label=f"session {number}")
    gate.put("agent:main:subagent:x", status="done", spawnedBy="agent:main:dashboard:7")
    database = fresh_database(tmp_path)
    async with opened(gate, database) as desk:
        assert len(await desk.provider.list_sessions()) == 601
        child = await desk.provider.get_session("agent:main:subagent:x")
        assert child is not None
        assert (child.parent_session_id, child.status) == ("gate:agent:main:dashboard:7", SessionStatus.COMPLETED)
        await desk.until_status(SessionStatus.WAITING, WaitingFor.OPERATOR, "agent:main:dashboard:599")
    before = await _last_change(database)
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        assert len(await desk.provider.list_sessions()) == 601
        assert await _last_change(desk.database) == before


async def test_statuses_follow_the_gateway_and_a_new_run_follows_an_end(gate: Gate, tmp_path: Path) -> None:
    gate.put(status="done")
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await desk.until_status(SessionStatus.WAITING, WaitingFor.OPERATOR)
        await gate.changed(hasActiveRun=True, activeRunIds=["r1"], status="running")
        await desk.until_status(SessionStatus.RUNNING)
        await gate.double.tell(
            "agent",
            {
                "sessionKey": KEY,
                "runId": "r1",
                "stream": "run_status",
                "data": {"phase": "retrying", "message": "in 5s"},
            },
        )
        await desk.until_status(SessionStatus.WAITING, WaitingFor.PROVIDER)
        await gate.changed(hasActiveRun=False, activeRunIds=[], status="failed", lastRunId="r1", lastRunError="no key")
        await desk.until_status(SessionStatus.FAILED)
        await gate.changed(hasActiveRun=True, activeRunIds=["r2"], status="running")
        await desk.until_status(SessionStatus.RUNNING)
        del gate.rows[KEY]
        await gate.double.tell("sessions.changed", {"sessionKey": KEY, "reason": "delete"})
        await desk.until_status(SessionStatus.COMPLETED)
        with pytest.raises(NotFound):
            await inject(desk)


# Messages


async def test_what_happened_while_nobody_listened_is_read(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.histories[KEY] = [history_row(n, "user", f"m{n}", run=None) for n in range(1, 451)]
    database = fresh_database(tmp_path)
    async with opened(gate, database) as desk:
        await desk.until_texts(*(f"m{n}" for n in range(1, 451)))
        await gate.say(history_row(451, "assistant", [{"type": "text", "text": "live"}]))
        await desk.until_texts(*(f"m{n}" for n in range(1, 451)), "live")
        await gate.double.drop()
        gate.histories[KEY].append(history_row(452, "assistant", [{"type": "text", "text": "missed"}]))
        await desk.until_texts(*(f"m{n}" for n in range(1, 451)), "live", "missed")
    gate.histories[KEY].append(history_row(453, "assistant", [{"type": "text", "text": "later"}]))
    pages = [params for method, params in gate.double.calls if method == "chat.history" and "offset" in params]
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        await desk.until_texts(*(f"m{n}" for n in range(1, 451)), "live", "missed", "later")
        ids = [message.message_id for message in await desk.messages()]
        assert ids[-3:] == ["r1:1", "r1:2", "r1:3"]
    again = [params for method, params in gate.double.calls if method == "chat.history" and "offset" in params]
    assert len(again) == len(pages)  # What is on record is not read a second time.


async def test_a_streamed_text_becomes_its_row_and_tool_results_come_at_the_end(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await gate.say(history_row(1, "user", "go", run=None))
        call = {"type": "toolCall", "id": "c", "name": "exec", "arguments": {"command": "ls"}}
        await gate.say(history_row(2, "assistant", [call]))
        await desk.until_texts("go", "")
        for said in ("He", "Hello"):
            data = {"text": said, "itemId": "x:2"}
            await gate.double.tell("agent", {"sessionKey": KEY, "runId": "r1", "stream": "assistant", "data": data})
        await desk.until_texts("go", "", "Hello")
        assert not (await desk.messages())[-1].complete
        gate.histories[KEY].append(history_row(3, "toolResult", "a b", toolCallId="c"))
        await gate.say(history_row(4, "assistant", [{"type": "text", "text": "Hello."}]))
        await gate.changed(hasActiveRun=False, activeRunIds=[], status="done", reason="agent.input.settled")
        await desk.until_texts("go", "a b", "Hello.")
        assert all(message.complete for message in await desk.messages())


async def test_a_message_that_was_cut_is_read_whole(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    cut = history_row(1, "user", "begin…", run=None)
    cut["__openclaw"]["truncated"] = True
    gate.histories[KEY] = [cut]
    gate.double.answers["chat.message.get"] = {"ok": True, "message": {"content": "x" * 50_000}}
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await desk.until_texts("x" * 50_000)


async def test_a_gap_in_the_events_is_read_up(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.histories[KEY] = [history_row(1, "user", "a", run=None)]
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await desk.until_texts("a")
        await gate.double.tell("tick", {})
        gate.histories[KEY].append(history_row(2, "user", "b", run=None))
        await gate.double.tell("tick", {}, skip=2)
        await desk.until_texts("a", "b")


# Stops


async def test_kill_ends_the_tree_and_its_commands_and_says_so_only_when_the_gateway_does(
    gate: Gate, tmp_path: Path
) -> None:
    child = "agent:main:subagent:x"
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.put(child, hasActiveRun=True, activeRunIds=["r2"], spawnedBy=KEY)
    gate.tasks["t1"] = {"taskId": "t1", "kind": "exec", "status": "running", "sessionKey": child, "title": "sleep"}
    gate.tasks["t2"] = {"taskId": "t2", "kind": "exec", "status": "running", "sessionKey": "another", "title": "sleep"}
    async with opened(gate, fresh_database(tmp_path)) as desk:
        session = await desk.provider.kill(KEY)
        assert session.status is SessionStatus.KILLED
        await desk.until_status(SessionStatus.KILLED, key=child)
        assert [task["status"] for task in gate.tasks.values()] == ["cancelled", "running"]
        assert ("sessions.abort", {"key": KEY, "clearQueued": True}) in gate.double.calls
        with pytest.raises(Conflict):
            await desk.provider.kill(KEY)


async def test_an_idle_session_that_was_killed_stays_killed(gate: Gate, tmp_path: Path) -> None:
    gate.put(status="done", lastRunId="r1")
    gate.double.answers["sessions.abort"] = {"ok": True, "status": "no-active-run"}
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await desk.provider.kill(KEY)
        await desk.until_status(SessionStatus.KILLED)
        with pytest.raises(Conflict):
            await inject(desk)
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        assert [one.status for one in await desk.provider.list_sessions()] == [SessionStatus.KILLED]


async def test_a_kill_that_does_not_take_is_not_called_done(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mission_control_desktop.providers.openclaw.stopping.KILL_SECONDS", 0.5)
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.stuck.add(KEY)
    async with opened(gate, fresh_database(tmp_path)) as desk:
        with pytest.raises(Unreachable, match="still lists 1 running"):
            await desk.provider.kill(KEY)
        assert await desk.status() == (SessionStatus.RUNNING, None)


async def test_terminate_asks_first_and_ends_completed_or_else_aborts(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mission_control_desktop.providers.openclaw.stopping.GRACE_SECONDS", 1.0)
    other = "agent:main:dashboard:2"
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.put(other, hasActiveRun=True, activeRunIds=["r9"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        session = await desk.provider.terminate(KEY)
        assert (session.status, session.metadata["ending"]) == (SessionStatus.RUNNING, True)
        await desk.until(lambda: any_of(gate.sent))
        assert "finish" in next(iter(gate.sent.values()))["message"]
        gate.double.answers["sessions.abort"] = {"ok": True, "status": "no-active-run"}
        await gate.changed(hasActiveRun=False, activeRunIds=[], status="done", lastRunId="r1")
        await desk.until_status(SessionStatus.COMPLETED)
        gate.double.answers["sessions.abort"] = gate._abort
        await desk.provider.terminate(other)
        await desk.until_status(SessionStatus.KILLED, key=other)


async def test_a_cancelled_turn_ends_alone_and_the_session_goes_on_also_in_the_next_process(
    gate: Gate, tmp_path: Path
) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"], status="running")
    gate.pending[KEY] = [{"runId": "mc-later", "state": "queued"}]
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await desk.until_status(SessionStatus.RUNNING)
        with pytest.raises(Conflict, match="Another run"):
            await desk.provider.cancel_turn(KEY, expected_run_id="r0")
        gate.in_flight[KEY] = "mc-later"  # So the gateway tells it until it stands in the queue.
        before = len(gate.double.calls)
        async with asyncio.TaskGroup() as group:
            cancelling = group.create_task(desk.provider.cancel_turn(KEY, expected_run_id="r1"))
            await desk.until(lambda: any_of([] if len(gate.double.calls) < before + 3 else [True]))
            assert "chat.abort" not in {method for method, _ in gate.double.calls}  # It would take the message with it.
            del gate.in_flight[KEY]
        session = cancelling.result()
        assert (session.status, session.waiting_for) == (SessionStatus.WAITING, WaitingFor.OPERATOR)
        assert session.capabilities.inject
        assert ("chat.abort", {"sessionKey": KEY, "runId": "r1"}) in gate.double.calls
        assert not [method for method, _ in gate.double.calls if method in ("sessions.abort", "tasks.cancel")]
        assert [one["runId"] for one in gate.pending[KEY]] == ["mc-later"]
        await desk.until_status(SessionStatus.WAITING, WaitingFor.OPERATOR)
        with pytest.raises(Conflict, match="No turn is running"):
            await desk.provider.cancel_turn(KEY)
        assert "No turn" in session.capabilities.reasons["cancelTurn"]
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        assert [one.status for one in await desk.provider.list_sessions()] == [SessionStatus.WAITING]
        await gate.changed(hasActiveRun=True, activeRunIds=["r2"], status="running")
        await desk.until_status(SessionStatus.RUNNING)
        await gate.changed(hasActiveRun=False, activeRunIds=[], status="killed", lastRunId="r2")
        await desk.until_status(SessionStatus.KILLED)  # An abort of somebody else is one.


async def test_a_message_that_never_finds_its_place_does_not_keep_a_turn_alive(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mission_control_desktop.providers.openclaw.stopping.PLACE_SECONDS", 0.2)
    gate.put(hasActiveRun=True, activeRunIds=["r1"], status="running")
    gate.pending[KEY], gate.in_flight[KEY] = [{"runId": "mc-later", "state": "queued"}], "mc-later"
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await desk.until_status(SessionStatus.RUNNING)
        await desk.provider.cancel_turn(KEY)
        assert ("chat.abort", {"sessionKey": KEY, "runId": "r1"}) in gate.double.calls


async def test_a_turn_that_ended_by_itself_or_goes_on_is_not_called_cancelled(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mission_control_desktop.providers.openclaw.stopping.KILL_SECONDS", 0.5)
    gate.put(hasActiveRun=True, activeRunIds=["r1"], status="running")
    async with opened(gate, fresh_database(tmp_path)) as desk:
        gate.double.answers["chat.abort"] = refuses(Refuse("INVALID_REQUEST", "unauthorized"))
        with pytest.raises(Unsupported, match="or an admin"):
            await desk.provider.cancel_turn(KEY)
        await gate.changed(hasActiveRun=False, activeRunIds=[], status="killed", lastRunId="r1")
        await desk.until_status(SessionStatus.KILLED)  # By somebody else.
        await gate.changed(hasActiveRun=True, activeRunIds=["r2"], status="running", lastRunId=None)
        await desk.until_status(SessionStatus.RUNNING)
        gate.double.answers["chat.abort"] = {"ok": True, "aborted": True, "runIds": ["r2"]}
        with pytest.raises(Unreachable, match="still runs it"):
            await desk.provider.cancel_turn(KEY)
        assert await desk.status() == (SessionStatus.RUNNING, None)
        gate.double.answers["chat.abort"] = {"ok": True, "aborted": False, "runIds": []}
        with pytest.raises(Conflict, match="by itself"):
            await desk.provider.cancel_turn(KEY)
        gate.double.scopes = ("operator.read",)
        await gate.double.drop()
        await desk.until(lambda: _reads_only(desk.provider))
        with pytest.raises(Unsupported, match="did not grant"):
            await desk.provider.cancel_turn(KEY)


async def test_what_a_dead_run_left_open_is_settled_also_by_the_next_process(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"], status="running")
    call = {"type": "toolCall", "id": "c", "name": "exec", "arguments": {"command": "sleep 9"}}

    async def runs_on(run: str, text: str, *, settled: bool) -> None:
        data = {"text": text, "itemId": "x:9"}
        await gate.double.tell("agent", {"sessionKey": KEY, "runId": run, "stream": "assistant", "data": data})

        async def holds() -> bool:
            by_text = {message.content: message.complete for message in await desk.messages()}
            return by_text.get(text) is False and by_text.get("") is settled

        await desk.until(holds)

    async with opened(gate, fresh_database(tmp_path)) as desk:
        await gate.say(history_row(1, "user", "go", run=None))
        await gate.say(history_row(2, "assistant", [call]))
        await runs_on("r1", "I will", settled=False)
        gate.double.boot_id = "boot-2"  # It was killed, and has another run now.
        gate.put(hasActiveRun=True, activeRunIds=["r2"])
        await gate.double.drop()

        async def over() -> bool:
            return all(message.complete for message in await desk.messages())

        await desk.until(over)
        (_, tool, text) = await desk.messages()
        assert (tool.metadata["status"], tool.metadata["interrupted"]) == ("in_progress", True)
        assert text.metadata["interrupted"] is True
        await runs_on("r2", "Again", settled=True)
    gate.put(hasActiveRun=False, activeRunIds=[], status="failed", lastRunId="r2")
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        await desk.until(over)


async def test_an_end_that_was_begun_is_gone_on_with(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mission_control_desktop.providers.openclaw.stopping.GRACE_SECONDS", 1.0)
    other = "agent:main:dashboard:2"
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.put(other, hasActiveRun=True, activeRunIds=["r9"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await desk.provider.terminate(KEY)
        await desk.until(lambda: any_of(gate.sent))
        await gate.double.drop()  # Gone on with by the next connection,
        await desk.until_status(SessionStatus.KILLED)
        await desk.provider.terminate(other)
        await desk.until(lambda: any_of(len(gate.sent) == 2))
    async with opened(gate, fresh_database_again(tmp_path)) as desk:  # or by the next process.
        await desk.until_status(SessionStatus.KILLED, key=other)
    assert sorted(gate.sent) == ["finish-r1", "finish-r9"]


async def test_the_way_to_stop_is_tried_without_stopping(gate: Gate, tmp_path: Path) -> None:
    gate.put(status="done")
    async with opened(gate, fresh_database(tmp_path)) as desk:
        assert "1 sessions" in await desk.provider.probe_stop()
        assert not [method for method, _ in gate.double.calls if "abort" in method or "cancel" in method]
        gate.double.scopes = ("operator.read",)
        await gate.double.drop()
        await desk.until(lambda: _reads_only(desk.provider))
        with pytest.raises(Unsupported, match="nothing can be stopped"):
            await desk.provider.probe_stop()


async def _reads_only(provider: OpenClawProvider) -> bool:
    session = await provider.get_session(KEY)
    return session is not None and not session.capabilities.kill


async def _last_change(database: Database) -> Any:
    sessions = await database.sessions.living(provider="gate")
    return sorted((session.session_id, session.evidence.last_event_at) for session in sessions)
