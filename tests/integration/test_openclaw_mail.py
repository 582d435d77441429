"""Operators' messages to an OpenClaw gateway: sent once, followed to the answer, whatever dies on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.domain.errors import Conflict, NotFound, Unavailable, Unreachable, Unsupported
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import Delivery
from support.gates import KEY, Gate, any_of, fresh_database_again, history_row, inject, is_down, opened, refuses
from support.gateway_double import Refuse, gateway_double
from support.records import fresh_database


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with gateway_double() as double:
        yield Gate(double)


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


async def test_a_gateway_that_takes_nothing_now_is_asked_again_when_it_wants_to_be(gate: Gate, tmp_path: Path) -> None:
    gate.put(status="done")
    async with opened(gate, fresh_database(tmp_path)) as desk:
        send, loop = gate.double.answers["chat.send"], asyncio.get_running_loop()
        asked: list[float] = []

        def busy_once(params: dict[str, Any]) -> Any:
            asked.append(loop.time())
            if len(asked) == 1:
                raise Refuse("UNAVAILABLE", "server is busy", retryable=True, retryAfterMs=1_600)
            return send(params)

        gate.double.answers["chat.send"] = busy_once
        assert await inject(desk) is ReceiptState.QUEUED
        first, second = asked
        assert second - first >= 1.6
        gate.double.answers["chat.send"] = refuses(
            Refuse("UNAVAILABLE", "draining", retryable=True, retryAfterMs=60_000)
        )
        with pytest.raises(Unavailable, match="draining"):  # Nobody waits for that long.
            await inject(desk, "i2")
        await desk.until_receipt("i2", ReceiptState.FAILED)


async def test_a_message_whose_run_was_stopped_says_so(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["mc-i1"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await inject(desk)
        await gate.say(history_row(1, "user", "hello", run=None, idempotencyKey="mc-i1:user"))
        await desk.until_receipt("i1", ReceiptState.DELIVERED)
        data = {"phase": "error", "aborted": True}
        await gate.double.tell("agent", {"sessionKey": KEY, "runId": "mc-i1", "stream": "lifecycle", "data": data})
        await desk.until_receipt("i1", ReceiptState.FAILED)


async def test_a_message_whose_run_failed_without_a_word_says_so(gate: Gate, tmp_path: Path) -> None:
    gate.put(status="failed", lastRunId="mc-i0", lastRunError="not this one")
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await inject(desk)
        await gate.changed(hasActiveRun=True, activeRunIds=["mc-i1"], status="running", lastRunId=None)
        await gate.say(history_row(1, "user", "hello", run=None, idempotencyKey="mc-i1:user"))
        await desk.until_receipt("i1", ReceiptState.DELIVERED)
        failed = {"status": "failed", "lastRunId": "mc-i1", "lastRunError": "the store is locked"}
        await gate.changed(hasActiveRun=False, activeRunIds=[], reason="agent.input.settled", **failed)
        await desk.until_receipt("i1", ReceiptState.FAILED)
        receipt = await desk.database.receipts.get("i1")
        assert receipt is not None
        assert receipt.detail == "Delivered, but the run failed: the store is locked"


async def test_a_message_for_which_no_turn_begins_says_so_until_one_does(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mission_control_desktop.providers.openclaw.mail.SILENT_AFTER", 0.3)
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await inject(desk, delivery=Delivery.QUEUE)
        await gate.say(history_row(1, "user", "hello", run=None, idempotencyKey="mc-i1:user"))
        await desk.until_receipt("i1", ReceiptState.DELIVERED)
        killed = {"status": "killed", "lastRunId": "r1"}
        await gate.changed(hasActiveRun=False, activeRunIds=[], reason="agent.input.settled", **killed)

        async def said() -> bool:
            receipt = await desk.database.receipts.get("i1")
            assert receipt is not None
            assert receipt.state is ReceiptState.DELIVERED
            return receipt.detail is not None and "no turn answered it" in receipt.detail

        async def taken_back() -> bool:
            return not await said()

        await desk.until(said)
        await gate.changed(hasActiveRun=True, activeRunIds=["r2"], status="running", lastRunId=None)
        call = {"type": "toolCall", "id": "c", "name": "exec", "arguments": {"command": "sleep 9"}}
        await gate.say(history_row(2, "assistant", [call], run="r2"))
        await desk.until(taken_back)
        await gate.say(history_row(3, "assistant", [{"type": "text", "text": "hi"}], run="r2"))
        await desk.until_receipt("i1", ReceiptState.ANSWERED)


async def test_a_message_that_a_killed_gateway_forgot_is_sent_again(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await inject(desk, delivery=Delivery.QUEUE)
        gate.sent.clear()
        gate.pending[KEY] = [{"runId": "mc-i1", "state": "interrupted"}]
        gate.double.boot_id = "boot-2"
        await gate.double.drop()
        await desk.until(lambda: any_of(gate.sent))
        assert list(gate.sent) == ["mc-i1"]


async def test_a_receipt_goes_on_in_the_next_process(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await inject(desk, delivery=Delivery.QUEUE)
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        await gate.say(history_row(1, "user", "hello", run=None, idempotencyKey="mc-i1:user"))
        await desk.until_receipt("i1", ReceiptState.DELIVERED)


async def test_the_next_process_sends_what_the_gateway_does_not_have_and_nothing_twice(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mission_control_desktop.providers.openclaw.mail.ANSWER_WITHIN", 0.05)
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    send = gate.double.answers["chat.send"]

    async def swallow(params: dict[str, Any]) -> Any:
        await asyncio.Event().wait()

    gate.double.answers["chat.send"] = swallow
    async with opened(gate, fresh_database(tmp_path)) as desk:
        assert await inject(desk, "lost") is ReceiptState.STORED
        assert await inject(desk, "behind it") is ReceiptState.STORED
    gate.double.answers["chat.send"] = send
    gate.double.calls.clear()
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        await desk.until_receipt("behind it", ReceiptState.QUEUED)
        assert list(gate.sent) == ["mc-lost", "mc-behind it"]  # In their order.
        asked = [method for method, _ in gate.double.calls if method in ("chat.history", "chat.send")]
        assert asked[0] == "chat.history"  # What may have arrived is looked for before it is sent again.
        await gate.say(history_row(1, "user", "hello", run=None, idempotencyKey="mc-lost:user"))
        await desk.until_receipt("lost", ReceiptState.DELIVERED)
    gate.pending[KEY] = [{"runId": "mc-behind it", "state": "queued"}]
    gate.double.calls.clear()
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        await gate.say(history_row(2, "assistant", [{"type": "text", "text": "hi"}], run="r2"))
        await desk.until_receipt("lost", ReceiptState.ANSWERED)
        receipt = await desk.provider.withdraw(KEY, "behind it")
        assert receipt.state is ReceiptState.WITHDRAWN
        assert "chat.send" not in [method for method, _ in gate.double.calls]
        assert (await desk.messages())[0].metadata["operatorId"] == "ann"

        async def dropped() -> bool:
            return not await desk.database.receipts.letters("gate", workspace_id="default")

        await gate.changed(hasActiveRun=False, activeRunIds=[], reason="agent.input.settled")
        await desk.until(dropped)
        again = await desk.provider.inject(KEY, injection_id="lost", content="hello", operator_id="ann")
        assert again.state is ReceiptState.ANSWERED
        with pytest.raises(Conflict, match="answered already"):
            await desk.provider.withdraw(KEY, "lost")


async def test_a_message_whose_session_is_gone_in_the_next_process_says_so(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await inject(desk, delivery=Delivery.QUEUE)
    del gate.rows[KEY]
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        await desk.until_receipt("i1", ReceiptState.FAILED)


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
        gate.double.answers["chat.send"] = refuses(Refuse("INVALID_REQUEST", "session is archived"))
        with pytest.raises(Conflict, match="archived"):
            await provider.inject(KEY, injection_id="e", **more)
        await desk.until_receipt("e", ReceiptState.FAILED)
        await gate.double.stop()
        await desk.until(lambda: is_down(provider))
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
