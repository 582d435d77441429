"""What the live tests of OpenClaw stand on: our provider with a real record, and the gateway's owner beside it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from live.gateway import RealGateway
from live.owner import Owner, owner_of
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.messages import AgentMessage, MessageKind, MessageRole
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, Delivery, SessionStatus, WaitingFor
from mission_control_desktop.providers.kinds import AdapterConfig
from mission_control_desktop.providers.openclaw.kind import OpenClawKind
from mission_control_desktop.providers.openclaw.provider import OpenClawProvider
from mission_control_desktop.storage import Database, open_database
from support.records import fresh_database, on_record, recording

DEADLINE = 240
"""Seconds for any one thing to happen."""
IDLE = (SessionStatus.WAITING, WaitingFor.OPERATOR)


def shell(command: str) -> dict[str, Any]:
    """The script's step that makes the agent run a command."""
    return {"tool": "exec", "with": {"command": command}}


def held_by(file: Path, words: str = "tool-done") -> dict[str, Any]:
    """A command that ends, with these words, once there is this file."""
    return shell(f"while [ ! -e {file} ]; do sleep 0.05; done; echo {words}")


class Desk:
    """One provider on the gateway with one record, and a second client that does what others do there."""

    def __init__(self, provider: OpenClawProvider, database: Database, owner: Owner) -> None:
        self.provider = provider
        self.database = database
        self.owner = owner

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
        key = str((await self.owner.call("sessions.create", agentId=agent))["key"])

        async def holds() -> bool:
            return await self.provider.get_session(key) is not None

        await self.until("the new session is listed", holds)
        return key

    async def send(self, key: str, content: str, delivery: Delivery | None = None) -> str:
        injection_id = uuid.uuid4().hex
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
        if await self.database.sessions.get(f"gate:{key}") is None:
            return ()
        return tuple(await on_record(self.database, f"gate:{key}"))

    async def sent_texts(self, key: str) -> list[str]:
        """What operators said, as it is on record."""
        return [m.content for m in await self.messages(key) if m.role is MessageRole.OPERATOR]

    async def until_said(self, key: str, words: str) -> None:
        async def holds() -> bool:
            return any(words in m.content for m in await self.messages(key) if m.kind is MessageKind.TEXT)

        await self.until(f"{words!r} in {key}", holds)

    async def until_receipt(self, injection_id: str, state: ReceiptState) -> None:
        async def holds() -> bool:
            receipt = await self.database.receipts.get(injection_id)
            return receipt is not None and receipt.state is state

        try:
            await self.until(f"{injection_id} is {state.value}", holds)
        except AssertionError as error:
            error.add_note(f"it is {await self.database.receipts.get(injection_id)}")
            raise

    async def until_asked(self, key: str, count: int = 1) -> list[Approval]:
        """So many open ones, in their order."""
        found: list[Approval] = []

        async def holds() -> bool:
            known = self.provider._board.need(key)
            asked = [await self.database.approvals.get(one) for one in known.approvals | known.questions]
            found[:] = sorted((one for one in asked if one is not None), key=lambda one: one.created_at)
            return len(found) == count and all(one.state is ApprovalState.OPEN for one in found)

        await self.until(f"{count} questions are open", holds)
        return found

    async def until_approval(self, approval_id: str, state: ApprovalState) -> Approval:
        found: list[Approval] = []

        async def holds() -> bool:
            approval = await self.database.approvals.get(approval_id)
            found[:] = [approval] if approval is not None and approval.state is state else []
            return bool(found)

        await self.until(f"{approval_id} is {state.value}", holds)
        return found[0]

    async def until_tool(self, key: str) -> None:
        async def holds() -> bool:
            return any(m.kind is MessageKind.TOOL_CALL for m in await self.messages(key))

        await self.until(f"a tool runs in {key}", holds)

    async def transcript_is_the_gateways(self, key: str) -> list[tuple[str, str]]:
        """What is on record says the same as the gateway's own history, in the same order, each thing once."""
        seen: list[tuple[str, str]] = []
        wanted: list[tuple[str, str]] = []

        async def holds() -> bool:
            wanted[:] = await self._of_gateway(key)
            kinds = {MessageKind.TEXT: "text", MessageKind.TOOL_CALL: "tool"}
            # The gateway keeps no text that was cut off by an interrupt; a call without a result it does.
            kept = [m for m in await self.messages(key) if m.kind in kinds]
            kept = [m for m in kept if m.kind is MessageKind.TOOL_CALL or not m.metadata.get("interrupted")]
            seen[:] = [(kinds[m.kind], m.content) for m in kept]
            return seen == wanted

        try:
            await self.until("the transcript is the gateway's", holds)
        except AssertionError:
            assert seen == wanted
            raise
        return seen

    async def _of_gateway(self, key: str) -> list[tuple[str, str]]:
        answer = await self.owner.call("chat.history", sessionKey=key, limit=1000)
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
        return wanted


@asynccontextmanager
async def at(gateway: RealGateway, folder: Path, *, again: bool = False) -> AsyncIterator[Desk]:
    """`again`: on the record that an earlier one left in the folder."""
    database = open_database(folder / "record.db") if again else fresh_database(folder)
    config = AdapterConfig(id="1", name="gate", kind="openclaw", gateway_url=gateway.url)
    async with recording(database) as recorder, owner_of(gateway.url, gateway.token) as owner:
        provider = OpenClawKind().open(config, Credentials({"token": gateway.token}), gateway.keep)
        assert isinstance(provider, OpenClawProvider)
        await provider.start(recorder.provider_record("gate"))
        try:
            desk = Desk(provider, database, owner)
            await desk.connected()
            yield desk
        finally:
            await provider.close()
