"""Ports that tests hold in their hands: calls are recorded, answers are given when the test says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import Page
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, Delivery


@dataclass
class Call:
    name: str
    arguments: dict[str, Any]
    answer: asyncio.Future[Any]


@dataclass
class HeldPort:
    """Each call waits until its future is set."""

    calls: list[Call] = field(default_factory=list)

    def named(self, name: str) -> list[Call]:
        return [call for call in self.calls if call.name == name]

    async def _call(self, name: str, **arguments: Any) -> Any:
        call = Call(name, arguments, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        return await call.answer

    async def inject(
        self,
        session_id: str,
        content: str,
        *,
        delivery: Delivery | None,
        pause_before_send: bool,
        expected_run_id: str | None,
        idempotency_key: str,
    ) -> Receipt:
        result: Receipt = await self._call(
            "inject",
            content=content,
            delivery=delivery,
            pause_before_send=pause_before_send,
            run=expected_run_id,
            key=idempotency_key,
        )
        return result

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt:
        result: Receipt = await self._call("withdraw", injection_id=injection_id)
        return result

    async def edit_message(self, session_id: str, injection_id: str, *, content: str, was: str) -> Receipt:
        result: Receipt = await self._call("edit_message", injection_id=injection_id, content=content, was=was)
        return result

    async def move_message(self, session_id: str, injection_id: str, *, position: int) -> Receipt:
        result: Receipt = await self._call("move_message", injection_id=injection_id, position=position)
        return result

    async def pause(self, session_id: str, *, level: str | None, expected_run_id: str | None) -> AgentSession:
        result: AgentSession = await self._call("pause", level=level, run=expected_run_id)
        return result

    async def resume(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        result: AgentSession = await self._call("resume")
        return result

    async def cancel(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        result: AgentSession = await self._call("cancel", run=expected_run_id)
        return result

    async def hold_commands(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        result: AgentSession = await self._call("hold_commands", run=expected_run_id)
        return result

    async def release_commands(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        result: AgentSession = await self._call("release_commands", run=expected_run_id)
        return result

    async def terminate(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        result: AgentSession = await self._call("terminate")
        return result

    async def kill(self, session_id: str, *, reason: str, expected_run_id: str | None) -> AgentSession:
        result: AgentSession = await self._call("kill", reason=reason, run=expected_run_id)
        return result

    async def answer(self, approval_id: str, option_id: str) -> Approval:
        result: Approval = await self._call("answer", approval_id=approval_id, option_id=option_id)
        return result

    async def messages(
        self, session_id: str, *, limit: int, before: int | None = None, after: int | None = None
    ) -> Page[AgentMessage]:
        result: Page[AgentMessage] = await self._call("messages", limit=limit, before=before, after=after)
        return result

    async def receipts(self, session_id: str) -> tuple[Receipt, ...]:
        return ()


async def eventually(check: Any, *, seconds: float = 5.0) -> None:
    """Let the loop run until something is so."""
    end = asyncio.get_running_loop().time() + seconds
    while not check():
        if asyncio.get_running_loop().time() > end:
            raise AssertionError("it did not come to pass")
        await asyncio.sleep(0.005)
