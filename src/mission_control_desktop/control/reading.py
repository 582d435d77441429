"""What a caller can see: the record's sessions, messages, questions and audit log, and their streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from mission_control_desktop.control.caller import Caller, whole_id
from mission_control_desktop.control.policy import Operation
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.audit import AuditEntry, ChainReport, parse_head
from mission_control_desktop.domain.errors import Unreachable
from mission_control_desktop.domain.events import StreamEvent
from mission_control_desktop.domain.kill import KillAll
from mission_control_desktop.domain.limits import PAGE_DEFAULT, PAGE_MAX
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import AuditFilter, Health, Page, TreeNode
from mission_control_desktop.domain.people import Me
from mission_control_desktop.domain.profiles import ProfileView
from mission_control_desktop.domain.providers import KindView, ProviderView
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.retention import Workspace
from mission_control_desktop.domain.sessions import (
    INTERNAL_PROVIDER,
    AgentSession,
    ProcessInfo,
    SessionStatus,
    global_id,
)
from mission_control_desktop.storage.written import WrittenSession, session_from, unreachable, written

if TYPE_CHECKING:
    from mission_control_desktop.record.streams import EventStream

LOOK_TIMEOUT = 10.0


class Reader(Caller):
    """The reading half of `domain.mission_control.MissionControl`. A refused read leaves an audit row."""

    async def health(self) -> Health:
        return await self._plane.health(detailed_for=self._workspace if self.may(Operation.HEALTH_DETAIL) else None)

    async def me(self) -> Me:
        await self._permit(Operation.ME)
        return Me(user_id=self._who.user_id, role=self._who.role, workspace_id=self._workspace)

    async def sessions(
        self,
        *,
        provider: str | None = None,
        status: SessionStatus | None = None,
        q: str | None = None,
        limit: int = PAGE_DEFAULT,
        cursor: str | None = None,
    ) -> Page[AgentSession]:
        page = await self.written_sessions(provider=provider, status=status, q=q, limit=limit, cursor=cursor)
        return Page(items=tuple(map(session_from, page.items)), next_cursor=page.next_cursor, total=page.total)

    async def written_sessions(
        self,
        *,
        provider: str | None = None,
        status: SessionStatus | None = None,
        q: str | None = None,
        limit: int = PAGE_DEFAULT,
        cursor: str | None = None,
    ) -> Page[WrittenSession]:
        """`sessions`, as they go out: for who encodes them and nothing else."""
        await self._permit(Operation.SESSIONS)
        if self._agent is not None:
            return await self._own_sessions(provider, status, limit)
        page = await self._plane.database.sessions.page(
            workspace_id=self._workspace, provider=provider, status=status, q=q, limit=limit, cursor=cursor
        )
        away = {name for name in {one.provider for one in page.items} if not self._plane.reachable(name)}
        if not away:
            return page
        known = (unreachable(one) if one.provider in away else one for one in page.items)
        return Page(items=tuple(known), next_cursor=page.next_cursor, total=page.total)

    async def session(self, session_id: str) -> AgentSession:
        session_id = whole_id(session_id)
        await self._permit(Operation.SESSION, session_id)
        return await self._on_record(session_id)

    async def tree(self) -> tuple[TreeNode, ...]:
        await self._permit(Operation.TREE)
        nodes = await self._plane.database.sessions.tree(workspace_id=self._workspace)
        return nodes if self._agent is None else _subtree(nodes, global_id(INTERNAL_PROVIDER, self._agent))

    async def messages(
        self, session_id: str, *, limit: int = PAGE_DEFAULT, before: int | None = None, after: int | None = None
    ) -> Page[AgentMessage]:
        session_id = whole_id(session_id)
        await self._permit(Operation.MESSAGES, session_id)
        return await self._plane.database.messages.page(
            session_id, workspace_id=self._workspace, limit=limit, before=before, after=after
        )

    async def receipts(self, session_id: str) -> tuple[Receipt, ...]:
        """What became of the messages sent to a session (the newest 500), oldest change first."""
        session_id = whole_id(session_id)
        await self._permit(Operation.RECEIPTS, session_id)
        await self._on_record(session_id)
        found = await self._plane.database.receipts.of_session(session_id, limit=PAGE_MAX)
        return tuple(reversed(found))

    async def processes(self, session_id: str) -> tuple[ProcessInfo, ...]:
        session_id = whole_id(session_id)
        await self._permit(Operation.PROCESSES, session_id)
        provider, native = self._provider(session_id)
        found = await self._plane.registry.call(provider.name, provider.processes(native), timeout=LOOK_TIMEOUT)
        return tuple(found)

    async def approvals(
        self,
        *,
        state: ApprovalState | None = None,
        limit: int = PAGE_MAX,
        cursor: str | None = None,
        newest_first: bool = False,
    ) -> Page[Approval]:
        await self._permit(Operation.APPROVALS)
        return await self._plane.database.approvals.page(
            workspace_id=self._workspace, state=state, limit=limit, cursor=cursor, newest_first=newest_first
        )

    async def audit(
        self,
        filters: AuditFilter | None = None,
        *,
        limit: int = PAGE_DEFAULT,
        cursor: str | None = None,
        oldest_first: bool = False,
    ) -> Page[AuditEntry]:
        await self._permit(Operation.AUDIT)
        return await self._plane.database.audit.page(
            self._workspace, filters or AuditFilter(), limit=limit, cursor=cursor, oldest_first=oldest_first
        )

    async def audit_verify(self, *, head: str | None = None) -> ChainReport:
        await self._permit(Operation.AUDIT_VERIFY)
        noted = None if head is None else parse_head(head)
        report = await self._plane.verifications.report(self._workspace)
        if noted is None:
            return report
        return await self._plane.database.audit.held_against(report, self._workspace, noted)

    async def profiles(self) -> tuple[ProfileView, ...]:
        await self._permit(Operation.PROFILES)
        return tuple(await self._plane.profiles.list()) if self._has(INTERNAL_PROVIDER) else ()

    async def providers(self) -> tuple[ProviderView, ...]:
        """The providers that exist, and how they do."""
        await self._permit(Operation.PROVIDERS)
        return await self._plane.provider_views(self._workspace)

    async def provider_kinds(self) -> tuple[KindView, ...]:
        """The kinds of providers that can be registered here."""
        await self._permit(Operation.PROVIDERS)
        return self._plane.providers.kinds()

    async def workspace(self) -> Workspace:
        await self._permit(Operation.WORKSPACE)
        return await self._plane.workspace(self._who.workspace_id)

    async def kill_state(self, kill_id: str) -> KillAll:
        await self._permit(Operation.KILL_STATE)
        return await self._plane.kill_alls.state(self._workspace, kill_id)

    async def open_stream(
        self, session_id: str, *, last_event_id: str | None = None, replay: int | None = None
    ) -> AbstractAsyncContextManager[EventStream]:
        """One session's encoded events. Raises before anything is sent."""
        session_id = whole_id(session_id)
        await self._permit(Operation.STREAM, session_id)
        await self._on_record(session_id)
        return self._plane.recorder.stream_session(session_id, last_event_id, replay)

    async def open_events(self, *, last_event_id: str | None = None) -> AbstractAsyncContextManager[EventStream]:
        """The workspace's encoded events."""
        await self._permit(Operation.EVENTS)
        return self._plane.recorder.stream_workspace(last_event_id, workspace_id=self._workspace)

    @asynccontextmanager
    async def events(self, *, last_event_id: str | None = None) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        async with await self.open_events(last_event_id=last_event_id) as subscription:
            yield _decoded(subscription)

    @asynccontextmanager
    async def stream(
        self, session_id: str, *, last_event_id: str | None = None, replay: int | None = None
    ) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        async with await self.open_stream(session_id, last_event_id=last_event_id, replay=replay) as subscription:
            yield _decoded(subscription)

    async def _own_sessions(
        self, provider: str | None, status: SessionStatus | None, limit: int
    ) -> Page[WrittenSession]:
        """What an agent sees: itself and what is below it."""
        own = global_id(INTERNAL_PROVIDER, self._agent or "")
        sessions = self._plane.database.sessions
        me = await sessions.get(own, workspace_id=self._workspace)
        found = [*([] if me is None else [me]), *await sessions.descendants(own, workspace_id=self._workspace)]
        wanted = [
            one
            for one in found
            if (provider is None or one.provider == provider) and (status is None or one.status is status)
        ]
        return Page(items=tuple(map(written, wanted[:limit])))


def _subtree(nodes: tuple[TreeNode, ...], session_id: str) -> tuple[TreeNode, ...]:
    todo = list(nodes)
    while todo:
        node = todo.pop()
        if node.session.session_id == session_id:
            return (node,)
        todo.extend(node.children)
    return ()


async def _decoded(stream: EventStream) -> AsyncIterator[StreamEvent]:
    """The events for a listener in this process; like a connection, it ends with an error when the record closes."""
    async for event in stream:
        yield event.event
    raise Unreachable("The control plane closed the stream.")
