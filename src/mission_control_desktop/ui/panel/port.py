"""What a panel needs from the world; the application puts it together from the client and the local store."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

import msgspec

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import Page
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, Delivery
from mission_control_desktop.ui.transcript.place import ReadingPlace


class PanelPort(Protocol):
    """Acts on sessions; one object serves all panels. Every method raises the tree of `domain.errors`.

    Called on the GUI thread's loop; an implementation awaits the client's thread.
    """

    async def inject(
        self,
        session_id: str,
        content: str,
        *,
        delivery: Delivery | None,
        pause_before_send: bool,
        expected_run_id: str | None,
        idempotency_key: str,
    ) -> Receipt: ...

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt: ...

    async def edit_message(self, session_id: str, injection_id: str, *, content: str, was: str) -> Receipt:
        """As `MissionControl.edit_message`."""
        ...

    async def move_message(self, session_id: str, injection_id: str, *, position: int) -> Receipt:
        """As `MissionControl.move_message`."""
        ...

    async def pause(self, session_id: str, *, level: str | None, expected_run_id: str | None) -> AgentSession: ...

    async def resume(self, session_id: str, *, expected_run_id: str | None) -> AgentSession: ...

    async def cancel(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        """As `MissionControl.cancel`: the running turn."""
        ...

    async def hold_commands(self, session_id: str, *, expected_run_id: str | None) -> AgentSession: ...

    async def release_commands(self, session_id: str, *, expected_run_id: str | None) -> AgentSession: ...

    async def terminate(self, session_id: str, *, expected_run_id: str | None) -> AgentSession: ...

    async def kill(self, session_id: str, *, reason: str, expected_run_id: str | None) -> AgentSession: ...

    async def answer(self, approval_id: str, option_id: str) -> Approval: ...

    def messages(
        self, session_id: str, *, limit: int, before: int | None = None, after: int | None = None
    ) -> Awaitable[Page[AgentMessage]]:
        """As `MissionControl.messages`."""
        ...

    async def receipts(self, session_id: str) -> tuple[Receipt, ...]:
        """Receipts of this session's messages that are still on their way (and the newest finished ones)."""
        ...


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a session's input and was not accepted yet.

    `sending_key` is the idempotency key under which the text was sent without an answer: sending the same text again
    must use it again, so that the message cannot arrive twice, not even across a restart of the window.
    """

    text: str
    delivery: Delivery | None = None
    pause_before_send: bool = False
    sending_key: str | None = None


class DraftStore(Protocol):
    """Drafts by session. `save` returns at once; the store writes in the background, the newest state wins."""

    async def load(self, session_id: str) -> Draft | None: ...

    def save(self, session_id: str, draft: Draft | None) -> None:
        """None forgets the draft."""
        ...


class PlaceStore(Protocol):
    """Where readers were, by session. `save` returns at once."""

    def load(self, session_id: str) -> ReadingPlace | None: ...

    def save(self, session_id: str, place: ReadingPlace | None) -> None:
        """None: the reader was at the end."""
        ...


class MemoryDrafts:
    """Drafts that live as long as the program: for tests and for windows without a local store."""

    def __init__(self) -> None:
        self.drafts: dict[str, Draft] = {}

    async def load(self, session_id: str) -> Draft | None:
        return self.drafts.get(session_id)

    def save(self, session_id: str, draft: Draft | None) -> None:
        if draft is None:
            self.drafts.pop(session_id, None)
        else:
            self.drafts[session_id] = draft
