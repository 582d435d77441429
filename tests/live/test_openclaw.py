"""A real OpenClaw gateway, through the provider and a real record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from live.gateway import RealGateway
from live.installed_agents import OPENCLAW, wants_openclaw
from live.model import ScriptedModel, play
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import NotFound
from mission_control_desktop.domain.messages import AgentMessage, MessageKind
from mission_control_desktop.domain.providers import StageName, StageState
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, Delivery, SessionStatus, WaitingFor
from mission_control_desktop.providers.kinds import AdapterConfig, CheckLog
from mission_control_desktop.providers.openclaw.kind import OpenClawKind
from mission_control_desktop.providers.openclaw.link import Doorway
from mission_control_desktop.providers.openclaw.provider import OpenClawProvider
from mission_control_desktop.storage import Database
from support.gateway_double import MemoryKeep
from support.records import fresh_database, recording

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not wants_openclaw(), reason=f"{OPENCLAW}=no"),
]

DEADLINE = 120
"""Seconds for any one thing to happen."""
IDLE = (SessionStatus.WAITING, WaitingFor.OPERATOR)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    model = ScriptedModel().start()
    gateway = RealGateway(tmp_path_factory.mktemp("gateway"), model.url)
    try:
        yield gateway.start()
    finally:
        gateway.kill()
        model.stop()


def shell(command: str) -> dict[str, Any]:
    """The script's step that makes the agent run a command."""
    return {"tool": "exec", "with": {"command": command}}


class Desk:
    """One provider on the gateway with one record, and a second client that does what others do there."""

    def __init__(self, provider: OpenClawProvider, database: Database) -> None:
        self.provider = provider
        self.database = database
        self._injections = 0

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        try:
            async with asyncio.timeout(DEADLINE):
                while not await holds():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            sessions = [(s.session_id, s.status.value, s.run_id) for s in self.provider._board.listed()]
            raise AssertionError(f"not within {DEADLINE} s: {what}; {sessions}; {self.provider.health()}") from None

    async def connected(self) -> None:
        async def holds() -> bool:
            return self.provider.health().state == "ok"

        await self.until("connected", holds)

    async def new(self, agent: str = "main") -> str:
        """A session as another client of the gateway would begin it; returns its key."""
        key = str((await self.provider._link.call("sessions.create", {"agentId": agent}))["key"])

        async def holds() -> bool:
            return await self.provider.get_session(key) is not None

        await self.until("the new session is listed", holds)
        return key

    async def send(self, key: str, content: str, delivery: Delivery | None = None) -> str:
        self._injections += 1
        injection_id = f"{key[-12:]}-{self._injections}"
        await self.provider.inject(
            key, injection_id=injection_id, content=content, operator_id="ann", delivery=delivery
        )
        return injection_id

    async def session(self, key: str) -> AgentSession:
        session = await self.database.sessions.get(f"gate:{key}")
        assert session is not None
        return session

    async def until_state(self, key: str, status: SessionStatus, waiting_for: WaitingFor | None = None) -> None:
        async def holds() -> bool:
            session = await self.database.sessions.get(f"gate:{key}")
            return session is not None and (session.status, session.waiting_for) == (status, waiting_for)

        await self.until(f"{key} is {status.value} {waiting_for}", holds)

    async def messages(self, key: str) -> tuple[AgentMessage, ...]:
        return tuple((await self.database.messages.page(f"gate:{key}", limit=500)).items)

    async def until_said(self, key: str, words: str) -> None:
        async def holds() -> bool:
            return any(words in m.content for m in await self.messages(key) if m.kind is MessageKind.TEXT)

        await self.until(f"{words!r} in {key}", holds)

    async def until_receipt(self, injection_id: str, state: ReceiptState) -> None:
        async def holds() -> bool:
            receipt = await self.database.receipts.get(injection_id)
            return receipt is not None and receipt.state is state

        await self.until(f"{injection_id} is {state.value}", holds)

    async def until_asked(self, key: str) -> Approval:
        found: list[Approval] = []

        async def holds() -> bool:
            known = self.provider._board.need(key)
            for approval_id in known.approvals | known.questions:
                approval = await self.database.approvals.get(approval_id)
                found[:] = [approval] if approval is not None else []
            return bool(found)

        await self.until("a question is open", holds)
        return found[0]

    async def transcript_is_the_gateways(self, key: str) -> None:
        """What is on record says the same as the gateway's own history, in the same order, each thing once."""
        answer = await self.provider._link.call("chat.history", {"sessionKey": key, "limit": 1000})
        wanted: list[tuple[str, str]] = []
        calls: dict[str, int] = {}
        for row in answer["messages"]:
            content = row["content"] if isinstance(row["content"], list) else [{"type": "text", "text": row["content"]}]
            said = "\n\n".join(block["text"] for block in content if block["type"] == "text")
            if row["role"] == "toolResult":
                wanted[calls[row["toolCallId"]]] = ("tool", said)
                continue
            if said:
                wanted.append(("text", said))
            for block in content:
                if block["type"] == "toolCall":
                    calls[block["id"]] = len(wanted)
                    wanted.append(("tool", ""))

        seen: list[tuple[str, str]] = []

        async def holds() -> bool:
            kinds = {MessageKind.TEXT: "text", MessageKind.TOOL_CALL: "tool"}
            kept = [m for m in await self.messages(key) if m.kind in kinds and not m.metadata.get("interrupted")]
            seen[:] = [(kinds[m.kind], m.content) for m in kept]
            return seen == wanted

        try:
            await self.until("the transcript is the gateway's", holds)
        except AssertionError:
            assert seen == wanted
            raise


@asynccontextmanager
async def at(gateway: RealGateway, folder: Path) -> AsyncIterator[Desk]:
    database = fresh_database(folder)
    async with recording(database) as recorder:
        config = AdapterConfig(id="1", name="gate", kind="openclaw", gateway_url=gateway.url)
        provider = OpenClawKind().open(config, Credentials({"token": gateway.token}), MemoryKeep())
        assert isinstance(provider, OpenClawProvider)
        await provider.start(recorder.provider_record("gate"))
        try:
            desk = Desk(provider, database)
            await desk.connected()
            yield desk
        finally:
            await provider.close()


@pytest.fixture
async def desk(gateway: RealGateway, tmp_path: Path) -> AsyncIterator[Desk]:
    async with at(gateway, tmp_path) as desk:
        yield desk


async def test_the_check_says_what_is_there(gateway: RealGateway) -> None:
    async def check(token: str) -> dict[StageName, StageState]:
        credentials = Credentials({"token": token})
        log = CheckLog(credentials)
        config = AdapterConfig(id="1", name="gate", kind="openclaw", gateway_url=gateway.url)
        await OpenClawKind().check(config, credentials, MemoryKeep(), log)
        return {one.stage: one.state for one in log.stages()}

    assert set((await check(gateway.token)).values()) == {StageState.OK}
    wrong = await check("this-is-not-it")
    assert wrong[StageName.PROTOCOL] is StageState.OK
    assert wrong[StageName.AUTHENTICATED] is StageState.FAILED


async def test_the_device_token_opens_the_door_alone(gateway: RealGateway) -> None:
    keep = MemoryKeep()
    for token in ({"token": gateway.token}, {}):
        connection = await Doorway(gateway.url, Credentials(token), keep, version="0").open(lambda _: None)
        assert connection.can("operator.write")
        await connection.close()


async def test_a_turn_is_streamed_steered_and_answered(desk: Desk) -> None:
    key = await desk.new()
    first = await desk.send(key, play(shell("sleep 4; echo tool-done"), {"say": "over"}))
    await desk.until_state(key, SessionStatus.RUNNING)

    async def tool_runs() -> bool:
        return any(m.kind is MessageKind.TOOL_CALL for m in await desk.messages(key))

    await desk.until("the tool runs", tool_runs)
    second = await desk.send(key, "please hurry")
    await desk.until_receipt(first, ReceiptState.ANSWERED)
    await desk.until_receipt(second, ReceiptState.ANSWERED)
    await desk.until_state(key, *IDLE)
    await desk.transcript_is_the_gateways(key)
    messages = await desk.messages(key)
    assert [m.role.value for m in messages] == ["operator", "agent", "operator", "agent"]
    assert "tool-done" in messages[1].content
    usage = (await desk.session(key)).usage
    assert usage is not None
    assert usage["totalTokens"] > 0


async def test_words_come_while_they_are_said_and_an_interrupt_ends_them(desk: Desk) -> None:
    key = await desk.new()
    await desk.send(key, play({"words": 200, "every": 0.1}))

    async def streams() -> bool:
        return any("w3 " in m.content and not m.complete for m in await desk.messages(key))

    await desk.until("words stream", streams)
    second = await desk.send(key, "stop and do this", Delivery.INTERRUPT)
    await desk.until_receipt(second, ReceiptState.ANSWERED)
    await desk.until_state(key, *IDLE)
    await desk.transcript_is_the_gateways(key)


async def test_a_queued_message_waits_and_a_withdrawn_one_never_arrives(desk: Desk) -> None:
    key = await desk.new()
    await desk.send(key, play(shell("sleep 5"), {"say": "over"}))

    async def tool_runs() -> bool:
        return any(m.kind is MessageKind.TOOL_CALL for m in await desk.messages(key))

    await desk.until("the tool runs", tool_runs)
    queued = await desk.send(key, "afterwards this", Delivery.QUEUE)
    taken_back = await desk.send(key, "never this", Delivery.QUEUE)
    assert (await desk.provider.withdraw(key, taken_back)).state is ReceiptState.WITHDRAWN
    await desk.until_receipt(queued, ReceiptState.ANSWERED)
    await desk.until_state(key, *IDLE)
    assert all("never this" not in m.content for m in await desk.messages(key))
    await desk.transcript_is_the_gateways(key)


async def test_an_unknown_session_is_not_made_by_a_message(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.send("agent:main:dashboard:unknown", "hello")
    assert await desk.provider.get_session("agent:main:dashboard:unknown") is None


async def test_an_approval_is_asked_and_answered(desk: Desk) -> None:
    key = await desk.new("guarded")
    await desk.send(key, play(shell("echo approved-42 && date"), {"say": "over"}))
    approval = await desk.until_asked(key)
    assert "approved-" in approval.detail["command"]
    await desk.until_state(key, SessionStatus.WAITING, WaitingFor.APPROVAL)
    answered = await desk.provider.answer(key, approval.approval_id, "allow-once", user_id="ann")
    assert answered.state is ApprovalState.ANSWERED
    await desk.until_state(key, *IDLE)
    await desk.transcript_is_the_gateways(key)
    assert any("approved-42" in m.content for m in await desk.messages(key))


async def test_a_question_is_asked_and_answered(desk: Desk) -> None:
    key = await desk.new()
    options = [{"label": "Red"}, {"label": "Blue"}]
    asked = {"questions": [{"id": "color", "header": "Color", "question": "Which color?", "options": options}]}
    await desk.send(key, play({"tool": "ask_user", "with": asked}, {"say": "over"}))
    question = await desk.until_asked(key)
    assert [option.label for option in question.options][:2] == ["Red", "Blue"]
    await desk.provider.answer(key, question.approval_id, "1", user_id="ann")
    await desk.until_state(key, *IDLE)
    await desk.transcript_is_the_gateways(key)
    assert any("Blue" in m.content for m in await desk.messages(key))


async def test_kill_ends_sub_agents_and_background_commands(desk: Desk) -> None:
    key = await desk.new()
    child_does = play(shell("sleep 300"))
    spawn = {"tool": "sessions_spawn", "with": {"task": child_does, "label": "kid"}}
    await desk.send(
        key, play(spawn, {"tool": "exec", "with": {"command": "sleep 301", "background": True}}, {"say": "over"})
    )

    async def all_there() -> bool:
        tree = desk.provider._board.below(key)
        return len(tree) == 2 and tree[1].active and any(known.tasks for known in tree)

    await desk.until("a sub-agent and a background command run", all_there)
    child = desk.provider._board.below(key)[1].key
    assert (await desk.session(child)).parent_session_id == f"gate:{key}"
    session = await desk.provider.kill(key)
    assert session.status is SessionStatus.KILLED
    await desk.until_state(child, SessionStatus.KILLED)
    running = await desk.provider._link.call("tasks.list", {"status": "running"})
    assert [task for task in running["tasks"] if task.get("sessionKey") in (key, child)] == []
    listed = await desk.provider._link.call("sessions.list", {"limit": 200})
    assert not any(row.get("hasActiveRun") for row in listed["sessions"] if row["key"] in (key, child))


async def test_nothing_is_lost_when_the_gateway_is_killed_in_a_turn(gateway: RealGateway, desk: Desk) -> None:
    key = await desk.new()
    await desk.send(key, play({"words": 100, "every": 0.1}))

    async def streams() -> bool:
        return any("w3 " in m.content for m in await desk.messages(key))

    await desk.until("words stream", streams)
    await asyncio.to_thread(gateway.kill)

    async def down() -> bool:
        return desk.provider.health().state != "ok"

    await desk.until("the loss is seen", down)
    await asyncio.to_thread(gateway.start)
    await desk.connected()
    await desk.until_state(key, *IDLE)
    await desk.transcript_is_the_gateways(key)
