"""What the window needs of the outside, as it needs it. `client.engine.EngineHost` is what stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from mission_control_desktop.domain.mission_control import MissionControl

T = TypeVar("T")


class Gateway(Protocol):
    """The way to the connected control plane; awaited on the window's loop, worked on the engine's."""

    async def call(self, work: Callable[[MissionControl], Coroutine[Any, Any, T]]) -> T:
        """Raises the tree of `domain.errors`; Unavailable while nothing is connected."""
        ...

    def begin(self, work: Callable[[MissionControl], Coroutine[Any, Any, T]]) -> Future[T]:
        """`call` that is under way when this returns, to be awaited later."""
        ...


class SessionFeeds(Protocol):
    """Streams of single sessions, into the inbox. Each call returns at once."""

    def open_session(self, session_id: str) -> object:
        """Open a session's stream; nothing if it is open."""
        ...

    def close_session(self, session_id: str) -> object:
        """Close it: nothing of it arrives afterwards."""
        ...
