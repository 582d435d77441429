"""A real OpenClaw gateway: who is let in, what is too big or too much, and what becomes of work when something dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from live.desks import IDLE, Desk, at, held_by
from live.gateway import RealGateway
from live.installed_agents import OPENCLAW, wants_openclaw
from live.model import play
from live.owner import owner_of
from live.seeding import add_messages, add_sessions
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import TooLarge, Unreachable
from mission_control_desktop.domain.providers import StageName, StageState
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import Delivery
from mission_control_desktop.providers.kinds import AdapterConfig, CheckLog
from mission_control_desktop.providers.openclaw.kind import OpenClawKind
from mission_control_desktop.providers.openclaw.link import Doorway
from mission_control_desktop.providers.openclaw.trouble import Refused
from support.gateway_double import MemoryKeep

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not wants_openclaw(), reason=f"{OPENCLAW}=no"),
]

LONG_HISTORY = 10_000
MANY_SESSIONS = 2_000


# Who is let in


async def test_the_check_says_what_is_there_or_wrong(gateway: RealGateway) -> None:
    async def check(token: str, keep: MemoryKeep) -> tuple[dict[StageName, StageState], str]:
        credentials = Credentials({"token": token})
        log = CheckLog(credentials)
        config = AdapterConfig(id="1", name="gate", kind="openclaw", gateway_url=gateway.url)
        await OpenClawKind().check(config, credentials, keep, log)
        failed = [one.detail or "" for one in log.stages() if one.state is StageState.FAILED]
        return {one.stage: one.state for one in log.stages()}, "".join(failed)

    stages, _ = await check(gateway.token, gateway.keep)
    assert set(stages.values()) == {StageState.OK}
    stages, why = await check("this-is-not-it", MemoryKeep())
    assert (stages[StageName.PROTOCOL], stages[StageName.AUTHENTICATED]) == (StageState.OK, StageState.FAILED)
    assert "The token is wrong" in why
    assert "this-is-not-it" not in why


async def test_a_new_device_is_let_in_by_the_owner_and_its_own_token_opens_alone(
    gateway: RealGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = MemoryKeep()

    async def refused(token: str) -> Refused:
        with pytest.raises(Refused) as caught:
            await Doorway(gateway.url, Credentials({"token": token}), keep, version="0").open(lambda _: None)
        assert caught.value.by_person
        return caught.value

    async with owner_of(gateway.url, gateway.token) as owner:

        async def approve(refusal: Refused) -> None:
            assert refusal.request_id is not None
            assert f"openclaw devices approve {refusal.request_id}" in refusal.words
            await owner.call("device.pair.approve", requestId=refusal.request_id)

        with monkeypatch.context() as narrow:
            narrow.setattr("mission_control_desktop.providers.openclaw.machine.SCOPES", ("operator.read",))
            unpaired = await refused(gateway.token)
            assert "does not know" in unpaired.words
            await approve(unpaired)
            doorway = Doorway(gateway.url, Credentials({"token": gateway.token}), keep, version="0")
            connection = await doorway.open(lambda _: None)
            assert not connection.can("operator.write")
            await connection.close()
        upgrade = await refused(gateway.token)
        assert upgrade.stage is StageName.SCOPES
        assert "not granted all" in upgrade.words
        await approve(upgrade)
    for token in ({"token": gateway.token}, {}):
        connection = await Doorway(gateway.url, Credentials(token), keep, version="0").open(lambda _: None)
        assert connection.can("operator.write")
        await connection.close()


# What is too big or too much


async def test_a_frame_over_the_gateways_limit_is_not_sent_and_a_long_text_comes_whole(desk: Desk) -> None:
    key = await desk.new()
    limit = desk.provider._link.connection.hello.policy.max_payload
    assert limit == 25 * 1024 * 1024
    with pytest.raises(TooLarge, match="at most 26214400 bytes"):
        await desk.provider._link.call("chat.send", {"sessionKey": key, "message": "x" * limit, "idempotencyKey": "x"})
    assert desk.provider.health().state == "ok"
    long = "long " * 60_000
    first = await desk.send(key, long)
    await desk.until_receipt(first, ReceiptState.ANSWERED)
    asked, answered = await desk.messages(key)
    assert asked.content.strip() == long.strip()
    assert answered.content.strip().endswith(long.strip())


async def test_a_history_of_ten_thousand_messages_is_read_whole(
    gateway: RealGateway, tmp_path: Path, note: Callable[[str, object], None]
) -> None:
    (tmp_path / "first").mkdir()
    async with at(gateway, tmp_path / "first") as desk:
        key = await desk.new()
        await desk.until_receipt(await desk.send(key, "hello"), ReceiptState.ANSWERED)
        await desk.until_state(key, *IDLE)
        session_id = desk.provider._board.need(key).session_id
    await asyncio.to_thread(add_messages, gateway.store, session_id, LONG_HISTORY)
    wanted = [f"{'a' if n % 2 else 'q'}{n}" for n in range(LONG_HISTORY)]
    began = time.monotonic()
    async with at(gateway, tmp_path) as desk:

        async def read() -> bool:
            if await desk.database.sessions.get(f"gate:{key}") is None:
                return False
            messages = (await desk.database.messages.page(f"gate:{key}", limit=1)).items
            return bool(messages) and messages[-1].content == wanted[-1]

        await desk.until("the newest message is on record", read)
        note("seconds for 10,000 messages", time.monotonic() - began)
        assert [m.content for m in await desk.messages(key)][2:] == wanted
    async with at(gateway, tmp_path, again=True) as desk:  # What is on record is not read again.
        await desk.until_receipt(await desk.send(key, "and on"), ReceiptState.ANSWERED)
        said = [m.content for m in await desk.messages(key)][2:]
        assert said[:-1] == [*wanted, "and on"]


# What becomes of work when something dies


async def test_another_process_goes_on_with_what_was_sent(gateway: RealGateway, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with at(gateway, tmp_path) as desk:
        key = await desk.new()
        script = play(held_by(go), {"say": "over"})
        await desk.send(key, script)
        await desk.until_tool(key)
        queued = await desk.send(key, "afterwards this", Delivery.QUEUE)
    async with at(gateway, tmp_path, again=True) as desk:
        go.touch()
        await desk.until_receipt(queued, ReceiptState.ANSWERED)
        await desk.until_state(key, *IDLE)
        await desk.transcript_is_the_gateways(key)
        assert await desk.sent_texts(key) == [script, "afterwards this"]


async def test_nothing_is_lost_when_the_gateway_is_restarted_in_a_turn(
    gateway: RealGateway, tmp_path: Path, desk: Desk
) -> None:
    go = tmp_path / "go"
    key = await desk.new()
    first = await desk.send(key, play(held_by(go), {"say": "over"}))
    await desk.until_tool(key)
    booted = desk.provider._link.connection.hello.server.boot_id
    await desk.owner.call("gateway.restart.request", reason="a test")
    go.touch()  # It lets the turn come to its end first.
    await desk.until_receipt(first, ReceiptState.ANSWERED)

    async def another() -> bool:
        if gateway.ended():
            await asyncio.to_thread(gateway.start)
        if desk.provider.health().state != "ok":
            return False
        try:
            return desk.provider._link.connection.hello.server.boot_id != booted
        except Unreachable:
            return False  # It ends in this moment.

    await desk.until("connected to the next one", another)
    async with owner_of(gateway.url, gateway.token) as desk.owner:
        again = await desk.send(key, "still there?")
        await desk.until_receipt(again, ReceiptState.ANSWERED)
        await desk.transcript_is_the_gateways(key)
    assert (await desk.sent_texts(key))[1:] == ["still there?"]


async def test_nothing_is_lost_when_the_gateway_is_killed_in_a_turn_and_two_thousand_sessions_are_listed(
    gateway: RealGateway, tmp_path: Path, desk: Desk, note: Callable[[str, object], None]
) -> None:
    go = tmp_path / "go"
    pattern, key, in_a_call = [await desk.new() for _ in range(3)]
    await desk.until_receipt(await desk.send(pattern, "hello"), ReceiptState.ANSWERED)
    await desk.until_state(pattern, *IDLE)
    await asyncio.to_thread(add_sessions, gateway.store, pattern, MANY_SESSIONS)
    await desk.send(key, play({"words": 100, "every": 0.1}))
    await desk.until_said(key, "w3 ")
    await desk.send(in_a_call, play(held_by(go), {"say": "over"}))
    await desk.until_tool(in_a_call)
    queued = await desk.send(key, "afterwards this", Delivery.QUEUE)
    await asyncio.to_thread(gateway.kill)
    go.touch()

    async def down() -> bool:
        return desk.provider.health().state != "ok"

    await desk.until("the loss is seen", down)
    await asyncio.to_thread(gateway.start)
    slowest = 0.0
    async with asyncio.TaskGroup() as group:

        async def pulse() -> None:
            nonlocal slowest
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                slowest = max(slowest, time.monotonic() - before - 0.01)

        pulsing = group.create_task(pulse())
        began = time.monotonic()
        await desk.connected()
        note("seconds to connect with 2,000 sessions", time.monotonic() - began)
        pulsing.cancel()
    note("longest hold of the event loop meanwhile, in seconds", slowest)
    assert len(await desk.provider.list_sessions()) > MANY_SESSIONS
    async with owner_of(gateway.url, gateway.token) as desk.owner:
        await desk.until_receipt(queued, ReceiptState.ANSWERED)
        await desk.until_state(key, *IDLE)
        await desk.transcript_is_the_gateways(key)
        await desk.until_state(in_a_call, *IDLE)
        await desk.transcript_is_the_gateways(in_a_call)
    assert (await desk.sent_texts(key))[1:] == ["afterwards this"]
    assert all(message.complete for message in [*await desk.messages(key), *await desk.messages(in_a_call)])

    async def listed() -> bool:
        return len(await desk.database.sessions.living(provider="gate", workspace_id="default")) > MANY_SESSIONS

    await desk.until("all are on record", listed)
