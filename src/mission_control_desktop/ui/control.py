"""What a person does, carried to the control plane: the ports of panels and of the window over one gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import msgspec

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import Page
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, Delivery
from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.panel.port import Draft
from mission_control_desktop.ui.ports import Gateway
from mission_control_desktop.ui.transcript.place import ReadingPlace

PLACE_PREFIX = "place:"
MAX_PLACES = 200
DRAFT_PREFIX = "draft:"
MAX_DRAFTS = 500
"""Drafts kept at most; the ones stored first make room."""


class GatewayPort:
    """`PanelPort` over a gateway; the window's own actions on sessions go the same way."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

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
        return await self._gateway.call(
            lambda mc: mc.inject(
                session_id,
                content,
                delivery=delivery,
                pause_before_send=pause_before_send,
                expected_run_id=expected_run_id,
                idempotency_key=idempotency_key,
            )
        )

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt:
        return await self._gateway.call(lambda mc: mc.withdraw(session_id, injection_id))

    async def edit_message(self, session_id: str, injection_id: str, *, content: str, was: str) -> Receipt:
        return await self._gateway.call(lambda mc: mc.edit_message(session_id, injection_id, content=content, was=was))

    async def move_message(self, session_id: str, injection_id: str, *, position: int) -> Receipt:
        return await self._gateway.call(lambda mc: mc.move_message(session_id, injection_id, position=position))

    async def pause(self, session_id: str, *, level: str | None, expected_run_id: str | None) -> AgentSession:
        return await self._gateway.call(lambda mc: mc.pause(session_id, level=level, expected_run_id=expected_run_id))

    async def resume(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        return await self._gateway.call(lambda mc: mc.resume(session_id, expected_run_id=expected_run_id))

    async def cancel(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        return await self._gateway.call(lambda mc: mc.cancel(session_id, expected_run_id=expected_run_id))

    async def hold_commands(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        return await self._gateway.call(lambda mc: mc.hold_commands(session_id, expected_run_id=expected_run_id))

    async def release_commands(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        return await self._gateway.call(lambda mc: mc.release_commands(session_id, expected_run_id=expected_run_id))

    async def terminate(
        self, session_id: str, *, expected_run_id: str | None, reason: str | None = None
    ) -> AgentSession:
        return await self._gateway.call(
            lambda mc: mc.terminate(session_id, reason=reason, expected_run_id=expected_run_id)
        )

    async def kill(self, session_id: str, *, reason: str, expected_run_id: str | None) -> AgentSession:
        return await self._gateway.call(lambda mc: mc.kill(session_id, reason=reason, expected_run_id=expected_run_id))

    async def answer(self, approval_id: str, option_id: str) -> Approval:
        return await self._gateway.call(lambda mc: mc.answer(approval_id, option_id))

    def messages(
        self, session_id: str, *, limit: int, before: int | None = None, after: int | None = None
    ) -> Awaitable[Page[AgentMessage]]:
        """It is under way when this returns."""
        begun = self._gateway.begin(lambda mc: mc.messages(session_id, limit=limit, before=before, after=after))
        coming = asyncio.wrap_future(begun)
        # What goes wrong is told to who waits for it, and to nobody if nobody does any more.
        coming.add_done_callback(lambda done: done.cancelled() or done.exception())
        return coming

    async def receipts(self, session_id: str) -> tuple[Receipt, ...]:
        return await self._gateway.call(lambda mc: mc.receipts(session_id))


class StateDrafts:
    """`DraftStore` over the local state."""

    def __init__(self, state: LocalState) -> None:
        self._state = state

    async def load(self, session_id: str) -> Draft | None:
        raw = self._state.get(DRAFT_PREFIX + session_id)
        if raw is None:
            return None
        try:
            return msgspec.convert(raw, Draft)
        except msgspec.ValidationError:
            return None

    def save(self, session_id: str, draft: Draft | None) -> None:
        self._state.put(DRAFT_PREFIX + session_id, None if draft is None else msgspec.to_builtins(draft))
        kept = self._state.keys(DRAFT_PREFIX)
        for key in kept[: max(0, len(kept) - MAX_DRAFTS)]:
            self._state.put(key, None)


class StatePlaces:
    """Where readers were, over the local state."""

    def __init__(self, state: LocalState) -> None:
        self._state = state

    def load(self, session_id: str) -> ReadingPlace | None:
        """The place that was kept for a session."""
        raw = self._state.get(PLACE_PREFIX + session_id)
        if raw is None:
            return None
        try:
            return msgspec.convert(raw, ReadingPlace)
        except msgspec.ValidationError:
            return None

    def save(self, session_id: str, place: ReadingPlace | None) -> None:
        """Keep a place; None forgets it."""
        self._state.put(PLACE_PREFIX + session_id, None if place is None else msgspec.to_builtins(place))
        kept = self._state.keys(PLACE_PREFIX)
        for key in kept[: max(0, len(kept) - MAX_PLACES)]:
            self._state.put(key, None)
