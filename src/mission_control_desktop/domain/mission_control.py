"""What a person can see and do: the one interface that window and CLI know.

Two implementations pass one contract suite: `client.http.HttpMissionControl` (HTTP + SSE) and
`control.service.MissionControlService` bound to a person (in process).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.audit import AuditEntry, ChainReport
from mission_control_desktop.domain.base import Record
from mission_control_desktop.domain.events import StreamEvent
from mission_control_desktop.domain.keys import KeyRotation, KeyStatus
from mission_control_desktop.domain.kill import WATCH_SECONDS, KillAll
from mission_control_desktop.domain.limits import PAGE_MAX
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.people import Me, Member, NewToken, Role, TokenInfo
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView, SpawnRequest
from mission_control_desktop.domain.providers import CheckReport, KindView, ProviderChange, ProviderDraft, ProviderView
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.retention import Workspace
from mission_control_desktop.domain.sessions import (
    INTERNAL_PROVIDER,
    AgentSession,
    Delivery,
    ProcessInfo,
    SessionStatus,
)

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True, rename="camel"):
    """A part of a list; `next_cursor` continues it, None ends it. `total` is how many there are in all parts, where
    that is known: in the first part of all sessions, or of those with one status."""

    items: tuple[T, ...]
    next_cursor: str | None = None
    total: int | msgspec.UnsetType = msgspec.UNSET


class TreeNode(Record, frozen=True, kw_only=True):
    session: AgentSession
    children: tuple[TreeNode, ...] = ()


class Health(Record, frozen=True, kw_only=True):
    status: str
    """`ok` or `degraded`."""
    version: str
    epoch: str = ""
    pid: int = 0
    """Who asks without a token learns `status` and `version` alone."""
    detail: dict[str, Any] = msgspec.field(default_factory=dict)


class AuditFilter(Record, frozen=True, kw_only=True):
    user: str | None = None
    session: str | None = None
    provider: str | None = None
    action: str | None = None
    outcome: str | None = None
    from_: datetime | None = msgspec.field(default=None, name="from")
    to: datetime | None = None


class People(Protocol):
    """Who may come in, as what (admins): tokens and members of the caller's workspace."""

    async def tokens(self) -> tuple[TokenInfo, ...]:
        """All of them, ended ones too; never the tokens themselves."""
        ...

    async def create_token(
        self, *, user: str, role: Role, workspace: str | None = None, expires_in: str | int | None = None
    ) -> NewToken:
        """Its `token` is shown this once. `expires_in` like "30d" or "12h", or seconds. It makes the user a member of
        the workspace, or raises them to its role."""
        ...

    async def revoke_token(self, token_id: str) -> None: ...

    async def members(self) -> tuple[Member, ...]: ...

    async def set_member(self, user: str, role: Role) -> Member:
        """Add a member or change their role; tokens above it are lowered, none is raised. Conflict for the last
        admin."""
        ...

    async def remove_member(self, user: str) -> None:
        """Take a member out; their tokens end. NotFound, and Conflict for the last admin."""
        ...


class MissionControl(People, Protocol):
    """Every method raises the tree of `domain.errors`; session ids are control-plane ids (`PROVIDER:ID`)."""

    async def health(self) -> Health: ...
    async def me(self) -> Me: ...

    async def sessions(
        self,
        *,
        provider: str | None = None,
        status: SessionStatus | None = None,
        q: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[AgentSession]: ...
    async def session(self, session_id: str) -> AgentSession: ...
    async def tree(self) -> tuple[TreeNode, ...]: ...
    async def messages(
        self, session_id: str, *, limit: int = 100, before: int | None = None, after: int | None = None
    ) -> Page[AgentMessage]:
        """Entries in ascending `seq`. Without `after`: the newest `limit` before `before`; `next_cursor` is then the
        `before` of the page of older ones. With `after`: the oldest `limit` after it; `next_cursor` the next
        `after`."""
        ...

    async def processes(self, session_id: str) -> tuple[ProcessInfo, ...]: ...

    async def profiles(self) -> tuple[ProfileView, ...]: ...
    async def put_profile(self, profile: LaunchProfile) -> ProfileView: ...
    async def delete_profile(self, name: str) -> None: ...
    async def spawn(
        self, request: SpawnRequest, *, provider: str = INTERNAL_PROVIDER, idempotency_key: str | None = None
    ) -> AgentSession: ...

    async def inject(
        self,
        session_id: str,
        content: str,
        *,
        delivery: Delivery | None = None,
        pause_before_send: bool = False,
        expected_run_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt: ...
    async def receipts(self, session_id: str) -> tuple[Receipt, ...]:
        """What is known of each message that was put into the session, oldest first."""
        ...

    async def withdraw(self, session_id: str, injection_id: str, *, expected_run_id: str | None = None) -> Receipt:
        """Take a message back that is still queued. Conflict once it was delivered."""
        ...

    async def edit_message(
        self, session_id: str, injection_id: str, *, content: str, was: str, expected_run_id: str | None = None
    ) -> Receipt:
        """Give a message that is still queued other words. `was` are those on record when the new ones were written.
        Conflict if it has others by now or is not queued any more, Unsupported where the provider cannot."""
        ...

    async def move_message(
        self, session_id: str, injection_id: str, *, position: int, expected_run_id: str | None = None
    ) -> Receipt:
        """Put a message that is still queued at another place (from 1), or at the nearest that it may have:
        interruptions stay before the rest. Conflict and Unsupported as for `edit_message`."""
        ...

    async def pause(
        self,
        session_id: str,
        *,
        level: str | None = None,
        reason: str | None = None,
        expected_run_id: str | None = None,
    ) -> AgentSession:
        """`level`: "hold" (no prompts out, permission replies withheld) or "freeze" (and the processes stopped);
        None is the strongest that the session's capability names."""
        ...

    async def resume(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession: ...
    async def cancel(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        """Cancel the running turn, not the session. Conflict if none runs, Unsupported where the provider cannot."""
        ...

    async def hold_commands(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        """Let each further command wait for an approval (`Capabilities.hold_commands` says what else it does). Conflict
        if they are held, Unsupported where the provider cannot."""
        ...

    async def release_commands(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        """Undo `hold_commands`. Conflict if they are not held, or while a kill-all is under way."""
        ...

    async def terminate(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession: ...
    async def kill(self, session_id: str, *, reason: str, expected_run_id: str | None = None) -> AgentSession: ...
    async def kill_all(
        self,
        *,
        scope: str,
        confirm: str,
        reason: str,
        undo_seconds: float = 0,
        watch_seconds: float = WATCH_SECONDS,
        idempotency_key: str | None = None,
    ) -> KillAll:
        """`watch_seconds`: how long a target that comes back is hit again, unless it is closed before."""
        ...

    async def kill_state(self, kill_id: str) -> KillAll: ...

    async def kill_undo(self, kill_id: str) -> KillAll:
        """Thaw what is frozen, while it is. Conflict afterwards."""
        ...

    async def kill_close(self, kill_id: str) -> KillAll:
        """When it is done: from now on targets that come back are let be. Conflict before."""
        ...

    async def workspace(self) -> Workspace:
        """The workspace's settings, and what was last removed from it."""
        ...

    async def set_message_retention(self, days: int | None) -> Workspace:
        """Keep messages for 1 to 3650 days; None is the default period. What is older goes with the next run."""
        ...

    async def providers(self) -> tuple[ProviderView, ...]: ...
    async def provider_kinds(self) -> tuple[KindView, ...]:
        """The kinds of providers that can be registered there."""
        ...

    async def create_provider(self, draft: ProviderDraft, *, idempotency_key: str | None = None) -> ProviderView:
        """BadInput names the field that is wrong; Conflict for a name that is taken or reserved."""
        ...

    async def update_provider(self, provider_id: str, change: ProviderChange) -> ProviderView:
        """Conflict for the built-in provider, and for a new name once sessions are on record under the old one."""
        ...

    async def delete_provider(self, provider_id: str) -> None:
        """Its sessions stay on record and can only be read."""
        ...

    async def check_provider(self, provider_id: str) -> CheckReport:
        """Try the connection now; some 15 s at most. What fails is told in the report, not raised."""
        ...

    async def approvals(
        self,
        *,
        state: ApprovalState | None = None,
        limit: int = PAGE_MAX,
        cursor: str | None = None,
        newest_first: bool = False,
    ) -> Page[Approval]:
        """Who waits longest first, or the newest first. A cursor is good for the order that it was given in."""
        ...

    async def answer(self, approval_id: str, option_id: str, *, expected_run_id: str | None = None) -> Approval: ...

    async def audit(
        self,
        filters: AuditFilter | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        oldest_first: bool = False,
    ) -> Page[AuditEntry]:
        """Newest first, or in the order of the log. A cursor is good for the order that it was given in."""
        ...

    async def audit_verify(self, *, head: str | None = None) -> ChainReport:
        """Check every row of the workspace's log, and its end; with `head` (`SEQ:HASH`), also that it still holds the
        row that was its end once. Who asks while a check runs gets the result of that one."""
        ...

    async def key_status(self) -> KeyStatus:
        """Which master keys secrets are sealed with (admins of the default workspace)."""
        ...

    async def rotate_keys(self) -> KeyRotation:
        """A new master key for everything that is sealed (admins of the default workspace)."""
        ...

    def events(self, *, last_event_id: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """All of the workspace but messages. One connection: it ends with an error when the connection does; who
        wants to go on opens it again with the last id it handled. Without an id it starts with every session that is
        not final, then goes on live."""
        ...

    def stream(
        self, session_id: str, *, last_event_id: str | None = None, replay: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """One session's stream (api.md, "Streams"): same rules."""
        ...

    async def close(self) -> None: ...
