"""Several control planes as one.

The one that the window started with is home, and its ids stand as they are. The ids of every other are qualified with
its name, `team/internal:abc` for `internal:abc` on `team`: provider names have no slash, so that no two of them can be
the same, whatever two control planes call their providers and sessions. What is asked for by such an id goes to the
control plane that it belongs to; everything else goes home.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, cast

import msgspec

from mission_control_desktop.client.inbox import WORKSPACE
from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.domain.events import ProviderHealth, StreamEvent
from mission_control_desktop.domain.kill import KillAll, KillTarget
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import MissionControl, Page, TreeNode
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession

HOME = ""
EVERYWHERE = "everywhere"
"""The window's own scope of a Kill All: one order to each control plane."""
PLANE_NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,30}"

_replace = msgspec.structs.replace
_IDS = frozenset({"session_id", "approval_id", "kill_id", "provider", "scope"})
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(method).parameters)[1:]
    for name, method in inspect.getmembers(MissionControl, inspect.isfunction)
    if not name.startswith("_")
}
"""The names of each operation's arguments: from the protocol itself, so that no new one is forgotten here."""


def qualified(plane: str, identifier: str) -> str:
    """How the id (or provider, or scope) of a control plane is called beside those of others."""
    return f"{plane}/{identifier}" if plane else identifier


def plane_of(identifier: str) -> str:
    """The control plane that a qualified id names; `HOME` for one that names none."""
    plane, slash, _ = identifier.partition(":")[0].partition("/")
    return plane if slash else HOME


def unqualified(identifier: str) -> str:
    """The id as its own control plane knows it."""
    return identifier.removeprefix(f"{plane}/") if (plane := plane_of(identifier)) else identifier


def workspace_topic(plane: str) -> str:
    """The inbox's topic of a control plane's workspace events."""
    return f"{WORKSPACE}@{plane}" if plane else WORKSPACE


def topic_plane(topic: str) -> str:
    """Whose topic it is: of a workspace, or of a session."""
    head, at, plane = topic.partition("@")
    return plane if at and head == WORKSPACE else plane_of(topic)


def qualify(plane: str, value: Any) -> Any:
    """A record (or tuple, page or event of records) with its ids qualified. Rows of the audit log stay as they
    are: their hashes cover them."""
    match value:
        case StreamEvent():
            return _replace(value, data=qualify(plane, value.data))
        case AgentMessage() | Receipt():
            return _replace(value, session_id=qualified(plane, value.session_id))
        case AgentSession():
            parent = value.parent_session_id
            return _replace(
                value,
                session_id=qualified(plane, value.session_id),
                parent_session_id=qualified(plane, parent) if parent is not None else None,
                provider=qualified(plane, value.provider),
            )
        case Approval():
            return _replace(
                value,
                approval_id=qualified(plane, value.approval_id),
                session_id=qualified(plane, value.session_id),
                provider=qualified(plane, value.provider),
            )
        case KillTarget():
            return _replace(
                value, session_id=qualified(plane, value.session_id), provider=qualified(plane, value.provider)
            )
        case KillAll():
            return _replace(
                value,
                kill_id=qualified(plane, value.kill_id),
                scope=qualified(plane, value.scope),
                targets=qualify(plane, value.targets),
            )
        case ProviderHealth():
            return _replace(value, provider=qualified(plane, value.provider))
        case TreeNode():
            return _replace(value, session=qualify(plane, value.session), children=qualify(plane, value.children))
        case Page():
            return _replace(value, items=qualify(plane, value.items))
        case tuple():
            return tuple(qualify(plane, item) for item in value)
    return value


class Qualified:
    """A control plane that is not home: takes and gives qualified ids. A `MissionControl` by its behaviour."""

    def __init__(self, plane: str, inner: MissionControl) -> None:
        self._plane, self._inner = plane, inner

    def events(self, **more: Any) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        return self._mapped(self._inner.events(**more))

    def stream(self, session_id: str, **more: Any) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        return self._mapped(self._inner.stream(unqualified(session_id), **more))

    @asynccontextmanager
    async def _mapped(
        self, opened: AbstractAsyncContextManager[AsyncIterator[StreamEvent]]
    ) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        async with opened as events, aclosing(self._each(events)) as mapped:
            yield mapped

    async def _each(self, events: AsyncIterator[StreamEvent]) -> AsyncGenerator[StreamEvent, None]:
        async for event in events:
            yield qualify(self._plane, event)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)
        names = _ARGUMENTS[name]

        async def call(*given: Any, **named: Any) -> Any:
            plain = [_plain(argument, value) for argument, value in zip(names, given, strict=False)]
            return qualify(
                self._plane, await method(*plain, **{key: _plain(key, value) for key, value in named.items()})
            )

        return call


def _plain(argument: str, value: Any) -> Any:
    if isinstance(value, SpawnRequest) and value.parent_agent_id is not None:
        return _replace(value, parent_agent_id=unqualified(value.parent_agent_id))
    return unqualified(value) if argument in _IDS and isinstance(value, str) else value


class Fleet:
    """All control planes of one window. A `MissionControl` by its behaviour; used on the engine's loop."""

    def __init__(self) -> None:
        self._planes: dict[str, MissionControl | None] = {HOME: None}

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are connected."""
        return tuple(name for name, mission_control in self._planes.items() if mission_control is not None)

    def has(self, plane: str) -> bool:
        """Whether one is connected."""
        return self._planes.get(plane) is not None

    def put(self, plane: str, mission_control: MissionControl) -> None:
        """From now on this is the control plane of that name."""
        self._planes[plane] = cast("MissionControl", Qualified(plane, mission_control)) if plane else mission_control

    def take(self, plane: str) -> MissionControl | None:
        """It is connected no more. Its ids still belong to it: nothing that is asked for by them goes home."""
        mission_control = self._planes.get(plane)
        self._planes[plane] = None
        return mission_control

    def plane(self, plane: str) -> MissionControl:
        """One of them. Unavailable while it is not connected."""
        if (mission_control := self._planes.get(plane)) is None:
            what = f"the control plane {plane}" if plane else "a control plane"
            raise Unavailable(f"not connected to {what} yet")
        return mission_control

    def __getattr__(self, name: str) -> Callable[..., Any]:
        names = _ARGUMENTS.get(name)
        if names is None:
            raise AttributeError(name)

        def call(*given: Any, **named: Any) -> Any:
            plane = self._asked(dict(zip(names, given, strict=False)) | named)
            return getattr(self.plane(plane), name)(*given, **named)

        return call

    def _asked(self, arguments: dict[str, Any]) -> str:
        for argument, value in arguments.items():
            if isinstance(value, SpawnRequest) and value.parent_agent_id is not None:
                value = value.parent_agent_id  # a sub-agent belongs where its parent is
            elif argument not in _IDS:
                continue
            if isinstance(value, str) and (plane := plane_of(value)) in self._planes:
                return plane
        return HOME
