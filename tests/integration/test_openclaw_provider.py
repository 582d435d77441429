"""The OpenClaw provider on a real record: sessions, transcripts, receipts, questions, stops; a scripted gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import Conflict, NotFound, Unreachable, Unsupported
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import Delivery, SessionStatus, WaitingFor
from mission_control_desktop.providers.kinds import AdapterConfig
from mission_control_desktop.providers.openclaw.provider import OpenClawProvider
from mission_control_desktop.storage import Database, SystemClock, Uuid7
from support.gateway_double import TOKEN, GatewayDouble, MemoryKeep, Refuse, gateway_double
from support.records import fresh_database, recording

PATIENCE = 30
KEY = "agent:main:dashboard:1"
T0 = 1_795_398_700_000


def history_row(seq: int, role: str, content: Any, *, run: str | None = "r1", **more: Any) -> dict[str, Any]:
    about = {"id": f"row-{seq}", "seq": seq, **({"runId": run} if run else {})}
    return {"role": role, "content": content, "timestamp": T0 + seq, "__openclaw": about, **more}


class Gate:
    """What the scripted gateway has: sessions, histories, questions, tasks."""

    def __init__(self, double: GatewayDouble) -> None:
        self.double = double
        self.rows: dict[str, dict[str, Any]] = {}
        self.histories: dict[str, list[dict[str, Any]]] = {}
        self.pending: dict[str, list[dict[str, Any]]] = {}
        self.sent: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.stuck: set[str] = set()
        self.at = 0
        double.answers |= {
            "sessions.list": self._list,
            "chat.history": self._history,
            "chat.send": self._send,
            "chat.abort": self._withdraw,
            "sessions.abort": self._abort,
            "tasks.list": lambda _: {"tasks": [task for task in self.tasks.values() if task["status"] == "running"]},
            "tasks.cancel": self._cancel,
        }

    def put(self, key: str = KEY, **row: Any) -> dict[str, Any]:
        self.at += 1
        before = self.rows.get(key, {"key": key, "sessionId": f"t-{key}", "agentId": "main", "createdAt": T0})
        self.rows[key] = {**before, **row, "snapshotAt": self.at, "updatedAt": T0 + self.at}
        return self.rows[key]

    async def changed(self, key: str = KEY, *, reason: str = "send", **row: Any) -> None:
        await self.double.tell(
            "sessions.changed", {"sessionKey": key, "reason": reason, "session": self.put(key, **row)}
        )

    async def say(self, row: dict[str, Any], key: str = KEY) -> None:
        self.histories.setdefault(key, []).append(row)
        about = row["__openclaw"]
        payload = {"sessionKey": key, "messageId": about["id"], "messageSeq": about["seq"], "message": row}
        await self.double.tell("session.message", payload)

    def _list(self, params: dict[str, Any]) -> dict[str, Any]:
        rows, offset, limit = list(self.rows.values()), params.get("offset", 0), params["limit"]
        more = offset + limit < len(rows)
        page = [{**row, "snapshotAt": self.at} for row in rows[offset : offset + limit]]
        return {
            "sessions": page,
            "totalCount": len(rows),
            "hasMore": more,
            "nextOffset": offset + limit if more else None,
        }

    def _history(self, params: dict[str, Any]) -> dict[str, Any]:
        key = params["sessionKey"]
        rows = self.histories.get(key, [])
        extra = {"pendingInputs": {"items": self.pending.get(key, [])}, "deltaCursor": f"c{len(rows)}"}
        if "cursor" in params:
            since = int(params["cursor"].removeprefix("c"))
            return {"kind": "delta", "messages": [{"message": row} for row in rows[since:]], **extra}
        end = len(rows) - params.get("offset", 0)
        start = max(0, end - params["limit"])
        more = start > 0
        return {
            "messages": rows[start:end],
            "hasMore": more,
            "nextOffset": len(rows) - start if more else None,
            **extra,
        }

    def _send(self, params: dict[str, Any]) -> dict[str, Any]:
        again = params["idempotencyKey"] in self.sent
        self.sent[params["idempotencyKey"]] = params
        return {"runId": params["idempotencyKey"], "status": "in_flight" if again else "started"}

    def _withdraw(self, params: dict[str, Any]) -> dict[str, Any]:
        kept = [one for one in self.pending.get(params["sessionKey"], []) if one["runId"] != params.get("runId")]
        self.pending[params["sessionKey"]] = kept
        return {"ok": True}

    def _abort(self, params: dict[str, Any]) -> dict[str, Any]:
        if params["key"] not in self.stuck:
            self.put(params["key"], hasActiveRun=False, activeRunIds=[], status="killed", abortedLastRun=True)
        return {"ok": True, "status": "aborted"}

    def _cancel(self, params: dict[str, Any]) -> dict[str, Any]:
        self.tasks[params["taskId"]]["status"] = "cancelled"
        return {"ok": True}


class Desk:
    def __init__(self, provider: OpenClawProvider, gate: Gate, database: Database) -> None:
        self.provider = provider
        self.gate = gate
        self.database = database

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not await holds():
                await asyncio.sleep(0.01)

    async def status(self, key: str = KEY) -> tuple[SessionStatus, WaitingFor | None] | None:
        session = await self.database.sessions.get(f"gate:{key}")
        return None if session is None else (session.status, session.waiting_for)

    async def until_status(self, status: SessionStatus, waiting_for: WaitingFor | None = None, key: str = KEY) -> None:
        async def holds() -> bool:
            return await self.status(key) == (status, waiting_for)

        await self.until(holds)

    async def messages(self, key: str = KEY) -> tuple[AgentMessage, ...]:
        if await self.status(key) is None:
            return ()
        return tuple((await self.database.messages.page(f"gate:{key}", limit=500)).items)

    async def until_texts(self, *wanted: str, key: str = KEY) -> None:
        seen: list[str] = []

        async def holds() -> bool:
            seen[:] = [message.content for message in await self.messages(key)]
            return seen == list(wanted)

        try:
            await self.until(holds)
        except TimeoutError:
            raise AssertionError(f"wanted {wanted}, seen {seen}") from None

    async def until_receipt(self, injection_id: str, state: ReceiptState) -> None:
        async def holds() -> bool:
            receipt = await self.database.receipts.get(injection_id)
            return receipt is not None and receipt.state is state

        await self.until(holds)

    async def approval(self, approval_id: str, state: ApprovalState) -> Approval:
        found: list[Approval] = []

        async def holds() -> bool:
            approval = await self.database.approvals.get(approval_id)
            found[:] = [approval] if approval is not None and approval.state is state else []
            return bool(found)

        await self.until(holds)
        return found[0]

    async def until_connected(self) -> None:
        async def holds() -> bool:
            return self.provider.health().state == "ok"

        await self.until(holds)


@asynccontextmanager
async def opened(gate: Gate, database: Database) -> AsyncIterator[Desk]:
    async with recording(database) as recorder:
        config = AdapterConfig(id="1", name="gate", kind="openclaw", gateway_url=gate.double.url)
        credentials = Credentials({"token": TOKEN})
        provider = OpenClawProvider(config, credentials, MemoryKeep(), clock=SystemClock(), ids=Uuid7())
        await provider.start(recorder.provider_record("gate"))
        try:
            desk = Desk(provider, gate, database)
            await desk.until_connected()
            yield desk
        finally:
            await provider.close()


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with gateway_double() as double:
        yield Gate(double)


async def inject(desk: Desk, injection_id: str = "i1", content: str = "hello", **more: Any) -> ReceiptState:
    receipt = await desk.provider.inject(KEY, injection_id=injection_id, content=content, operator_id="ann", **more)
    return receipt.state


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


# Operators' messages


async def test_the_ladder_of_a_message(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        assert await inject(desk, delivery=Delivery.QUEUE) is ReceiptState.QUEUED
        assert gate.sent["mc-i1"]["queueMode"] == "followup"
        assert await inject(desk) is ReceiptState.QUEUED  # The same message again is not sent again.
        assert [method for method, _ in gate.double.calls].count("chat.send") == 1
        await gate.say(history_row(1, "user", "hello", run=None, idempotencyKey="mc-i1:user"))
        await desk.until_receipt("i1", ReceiptState.DELIVERED)
        await gate.say(history_row(2, "assistant", [{"type": "text", "text": "hi"}], run="r2"))
        await desk.until_receipt("i1", ReceiptState.ANSWERED)
        (sent, _) = await desk.messages()
        assert (sent.role.value, sent.metadata["injectionId"], sent.metadata["operatorId"]) == ("operator", "i1", "ann")


async def test_a_message_whose_acknowledgement_was_lost_is_sent_again_under_its_key(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        send = gate.double.answers["chat.send"]

        async def hang_up(params: dict[str, Any]) -> Any:
            gate.double.answers["chat.send"] = send
            send(params)
            await gate.double.drop(1011, "crash")

        gate.double.answers["chat.send"] = hang_up
        assert await inject(desk) is ReceiptState.STORED
        await desk.until_receipt("i1", ReceiptState.QUEUED)
        keys = [params["idempotencyKey"] for method, params in gate.double.calls if method == "chat.send"]
        assert keys == ["mc-i1", "mc-i1"]


async def test_a_message_whose_run_was_stopped_says_so(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["mc-i1"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await inject(desk)
        await gate.say(history_row(1, "user", "hello", run=None, idempotencyKey="mc-i1:user"))
        await desk.until_receipt("i1", ReceiptState.DELIVERED)
        data = {"phase": "error", "aborted": True}
        await gate.double.tell("agent", {"sessionKey": KEY, "runId": "mc-i1", "stream": "lifecycle", "data": data})
        await desk.until_receipt("i1", ReceiptState.FAILED)


async def test_a_message_that_a_killed_gateway_forgot_is_sent_again(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await inject(desk, delivery=Delivery.QUEUE)
        gate.sent.clear()
        gate.pending[KEY] = [{"runId": "mc-i1", "state": "interrupted"}]
        gate.double.boot_id = "boot-2"
        await gate.double.drop()
        await desk.until(lambda: _any(gate.sent))
        assert list(gate.sent) == ["mc-i1"]


async def test_a_receipt_goes_on_in_the_next_process(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await inject(desk, delivery=Delivery.QUEUE)
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        await gate.say(history_row(1, "user", "hello", run=None, idempotencyKey="mc-i1:user"))
        await desk.until_receipt("i1", ReceiptState.DELIVERED)


async def test_messages_that_cannot_go_are_refused(gate: Gate, tmp_path: Path) -> None:
    gate.put(status="done", lastRunId="r0")
    gate.put("agent:main:subagent:x", hasActiveRun=True, spawnedBy=KEY)
    async with opened(gate, fresh_database(tmp_path)) as desk:
        provider = desk.provider
        more: dict[str, Any] = {"content": "x", "operator_id": "ann"}
        with pytest.raises(NotFound):
            await provider.inject("agent:main:unknown", injection_id="a", **more)
        with pytest.raises(Unsupported, match="after its run"):
            await provider.inject("agent:main:subagent:x", injection_id="b", delivery=Delivery.STEER, **more)
        with pytest.raises(Unsupported, match="no pause"):
            await provider.inject(KEY, injection_id="c", pause_before_send=True, **more)
        with pytest.raises(Conflict, match="Another run"):
            await provider.inject(KEY, injection_id="d", expected_run_id="other", **more)
        assert gate.sent == {}
        gate.double.answers["chat.send"] = _refuses(Refuse("INVALID_REQUEST", "session is archived"))
        with pytest.raises(Conflict, match="archived"):
            await provider.inject(KEY, injection_id="e", **more)
        await desk.until_receipt("e", ReceiptState.FAILED)
        await gate.double.stop()
        await desk.until(lambda: _is_down(provider))
        with pytest.raises(Unreachable):
            await provider.inject(KEY, injection_id="f", **more)
        with pytest.raises(Unreachable):
            await provider.list_sessions()
        assert await desk.database.receipts.get("f") is None


async def test_a_queued_message_is_withdrawn_and_a_consumed_one_is_not(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await inject(desk)
        with pytest.raises(Conflict, match="with the agent"):
            await desk.provider.withdraw(KEY, "i1")
        gate.pending[KEY] = [{"runId": "mc-i1", "state": "queued"}]
        receipt = await desk.provider.withdraw(KEY, "i1")
        assert receipt.state is ReceiptState.WITHDRAWN
        await desk.until_receipt("i1", ReceiptState.WITHDRAWN)
        with pytest.raises(NotFound):
            await desk.provider.withdraw(KEY, "unknown")


# Approvals and questions

ASKED = {
    "id": "a1",
    "request": {"command": "rm x", "cwd": "/w", "sessionKey": KEY, "allowedDecisions": ["allow-once", "deny"]},
    "createdAtMs": T0,
}
QUESTION = {
    "id": "q1",
    "sessionKey": KEY,
    "questions": [{"id": "color", "question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}],
    "createdAtMs": T0,
}


async def test_an_approval_is_answered_exactly_once(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.double.answers["exec.approval.resolve"] = {"ok": True}
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await gate.double.tell("exec.approval.requested", ASKED)
        approval = await desk.approval("gate:exec:a1", ApprovalState.OPEN)
        assert [option.option_id for option in approval.options] == ["allow-once", "deny"]
        assert approval.detail == {"toolKind": "execute", "command": "rm x", "cwd": "/w"}
        await desk.until_status(SessionStatus.WAITING, WaitingFor.APPROVAL)
        answered = await desk.provider.answer(KEY, "gate:exec:a1", "deny", user_id="ann")
        assert (answered.state, answered.answered_by, answered.answer) == (ApprovalState.ANSWERED, "ann", "deny")
        await gate.double.tell("exec.approval.resolved", {"id": "a1", "decision": "deny", "resolvedBy": "Mission"})
        await desk.until_status(SessionStatus.RUNNING)
        with pytest.raises(Conflict):
            await desk.provider.answer(KEY, "gate:exec:a1", "allow-once", user_id="bob")
        assert [params for method, params in gate.double.calls if method == "exec.approval.resolve"] == [
            {"id": "a1", "decision": "deny"}
        ]
        assert (await desk.approval("gate:exec:a1", ApprovalState.ANSWERED)).answered_by == "ann"


async def test_a_question_is_answered_by_its_label(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.double.answers |= {"question.resolve": {"ok": True}, "question.list": {"questions": [QUESTION]}}
    async with opened(gate, fresh_database(tmp_path)) as desk:
        approval = await desk.approval("gate:question:q1", ApprovalState.OPEN)
        assert [option.label for option in approval.options] == ["Red", "Blue", "Do not answer"]
        await desk.until_status(SessionStatus.WAITING, WaitingFor.OPERATOR)
        await desk.provider.answer(KEY, approval.approval_id, "1", user_id="ann")
        assert gate.double.calls[-1] == (
            "question.resolve",
            {"id": "q1", "answers": {"answers": {"color": ["Blue"]}}},
        )
        await desk.until_status(SessionStatus.RUNNING)


async def test_what_was_answered_elsewhere_or_expired_is_shown_so(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.double.answers["exec.approval.list"] = [ASKED, {**ASKED, "id": "a2"}, {**ASKED, "id": "a3"}]
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await desk.approval("gate:exec:a3", ApprovalState.OPEN)
        await gate.double.tell("exec.approval.resolved", {"id": "a1", "decision": "allow-once", "resolvedBy": "Web"})
        assert (await desk.approval("gate:exec:a1", ApprovalState.ANSWERED)).answered_by == "Web"
        gate.double.answers["exec.approval.resolve"] = _refuses(
            Refuse("INVALID_REQUEST", "unknown or expired approval id", details={"reason": "APPROVAL_NOT_FOUND"})
        )
        with pytest.raises(Conflict, match="expired"):
            await desk.provider.answer(KEY, "gate:exec:a2", "deny", user_id="ann")
        await desk.approval("gate:exec:a2", ApprovalState.EXPIRED)
    gate.double.answers["exec.approval.list"] = []
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        await desk.approval("gate:exec:a3", ApprovalState.EXPIRED)


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
        await desk.until(lambda: _any(gate.sent))
        assert "finish" in next(iter(gate.sent.values()))["message"]
        gate.double.answers["sessions.abort"] = {"ok": True, "status": "no-active-run"}
        await gate.changed(hasActiveRun=False, activeRunIds=[], status="done", lastRunId="r1")
        await desk.until_status(SessionStatus.COMPLETED)
        gate.double.answers["sessions.abort"] = gate._abort
        await desk.provider.terminate(other)
        await desk.until_status(SessionStatus.KILLED, key=other)


async def test_there_is_no_pause_and_no_process_to_see(gate: Gate, tmp_path: Path) -> None:
    gate.put(status="done")
    async with opened(gate, fresh_database(tmp_path)) as desk:
        for call in (desk.provider.pause(KEY), desk.provider.resume(KEY), desk.provider.processes(KEY)):
            with pytest.raises(Unsupported):
                await call


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


def fresh_database_again(directory: Path) -> Database:
    """The same database, opened by another process."""
    from mission_control_desktop.storage import open_database

    return open_database(directory / "record.db")


async def _last_change(database: Database) -> Any:
    sessions = await database.sessions.living(provider="gate")
    return sorted((session.session_id, session.evidence.last_event_at) for session in sessions)


async def _is_down(provider: OpenClawProvider) -> bool:
    return provider.health().state == "unreachable"


async def _any(values: Any) -> bool:
    return bool(values)


def _refuses(error: Refuse) -> Callable[[Any], None]:
    def answer(_: Any) -> None:
        raise error

    return answer
