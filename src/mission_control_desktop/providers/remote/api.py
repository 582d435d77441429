"""What another orchestrator is asked: `/agents`, and `/api` where that has nothing (answers, withdrawing, processes).

Ids are the other side's own (native) ids. Errors that would be taken for this control plane's own (its token refused,
its record not writable) come as Unreachable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any
from urllib.parse import quote

from mission_control_desktop.client.transport import STOP_SECONDS, Transport
from mission_control_desktop.client.wire import decode_items
from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.base import to_builtins
from mission_control_desktop.domain.errors import Forbidden, MissionControlError, NotAuthenticated, Unreachable
from mission_control_desktop.domain.events import StreamEvent
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import Health, Page, TreeNode
from mission_control_desktop.domain.people import Me
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER, AgentSession, ProcessInfo, global_id

MESSAGE_PAGE = 200
MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Of one event: there may be as many streams as there are sessions, and all share this process's memory."""


class AgentsApi(Transport):
    """One other orchestrator."""

    async def hello(self) -> bytes:
        """Whatever it says of its health. Raises Unreachable, or the error that it answers with."""
        return await self._get("/api/health")

    async def health(self) -> Health:
        with theirs():
            return self._decode(await self.hello(), Health)

    def read_health(self, raw: bytes) -> Health:
        """Raises Unreachable if it is none."""
        return self._decode(raw, Health)

    async def me(self) -> Me:
        return self._decode(await self._get("/api/me"), Me)

    async def living(self) -> list[AgentSession]:
        """All that are not final, and the newest that are."""
        with theirs():
            nodes = decode_items(await self._get("/agents/tree"), TreeNode, what=self._what)
        found: list[AgentSession] = []
        todo = list(nodes)
        while todo:
            node = todo.pop()
            found.append(node.session)
            todo.extend(node.children)
        return found

    async def agent(self, native: str) -> AgentSession:
        with theirs():
            return self._decode(await self._get(_agent(native)), AgentSession)

    async def messages(self, native: str, *, after: int) -> Page[AgentMessage]:
        with theirs():
            raw = await self._get(_agent(native, "messages"), {"after": after, "limit": MESSAGE_PAGE})
            return self._decode(raw, Page[AgentMessage])

    async def spawn(self, request: SpawnRequest) -> AgentSession:
        with theirs():
            body = to_builtins(request)
            raw = await self._post("/agents/spawn", body, read_seconds=STOP_SECONDS)
            return self._decode(raw, AgentSession)

    async def inject(self, native: str, body: Mapping[str, Any]) -> Receipt:
        with theirs():
            return self._decode(await self._post(_agent(native, "inject"), body), Receipt)

    async def act(self, native: str, verb: str, body: Mapping[str, Any]) -> AgentSession:
        with theirs():
            return self._decode(await self._post(_agent(native, verb), body, read_seconds=STOP_SECONDS), AgentSession)

    async def change(self, native: str, injection_id: str, verb: str, body: Mapping[str, Any]) -> Receipt:
        """`withdraw`, `edit` or `move` a message that waits."""
        with theirs():
            path = _session(native, f"receipts/{quote(injection_id, safe='')}/{verb}")
            return self._decode(await self._post(path, body), Receipt)

    async def answer(self, approval_id: str, option_id: str) -> Approval:
        with theirs():
            path = f"/api/mission-control/approvals/{quote(approval_id, safe='')}"
            return self._decode(await self._post(path, {"optionId": option_id}), Approval)

    async def processes(self, native: str) -> list[ProcessInfo]:
        with theirs():
            return list(decode_items(await self._get(_session(native, "processes")), ProcessInfo, what=self._what))

    def events(self, last_event_id: str | None) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Every agent's session as it changes; without an id all that live, and the newest others, first."""
        return self._open("/agents/events", {}, last_event_id)

    def stream(self, native: str, last_event_id: str | None) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        return self._open(_agent(native, "messages/stream"), {}, last_event_id)


@contextmanager
def theirs() -> Iterator[None]:
    """Errors about the other side's callers and state, told as what they are for ours."""
    try:
        yield
    except (NotAuthenticated, Forbidden) as error:
        raise Unreachable(f"The other Mission Control refuses our token: {error.message}") from error
    except MissionControlError as error:
        if error.status in (500, 503):
            raise Unreachable(f"The other Mission Control cannot do it now: {error.message}") from error
        raise


def _agent(native: str, verb: str | None = None) -> str:
    path = f"/agents/{quote(native, safe='')}"
    return path if verb is None else f"{path}/{verb}"


def _session(native: str, verb: str) -> str:
    return f"/api/mission-control/sessions/{quote(global_id(INTERNAL_PROVIDER, native), safe='')}/{verb}"
