"""The registry: providers by name, and what can be asked of all of them at once.

One dead or slow provider never hides or delays the others: everything that is asked of several is asked of all at the
same time, each with its own time limit, and a provider that does not keep it is named in the answer instead.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from mission_control_desktop.domain.errors import (
    BadInput,
    Conflict,
    MissionControlError,
    NotFound,
    Unavailable,
    Unreachable,
)
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE
from mission_control_desktop.domain.profiles import NAME_PATTERN
from mission_control_desktop.domain.sessions import AgentSession, split_id
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.providers.contract import AgentProvider, ProviderRecord

LIST_TIMEOUT = 5.0
START_TIMEOUT = 10.0
CLOSE_TIMEOUT = 5.0

log = structlog.get_logger(__name__)
T = TypeVar("T")
_NAME = re.compile(NAME_PATTERN)


@dataclass(slots=True)
class Registered:
    """One provider and where it belongs. `kind` is the adapter's name."""

    provider: AgentProvider
    kind: str
    workspace_id: str
    problem: str | None = None
    """Why it could not be started, or that it still starts; None when it did."""
    closing: bool = False


@dataclass(slots=True, frozen=True)
class Aggregate:
    """Sessions of several providers, and the providers that did not answer, with the reason."""

    sessions: tuple[AgentSession, ...]
    problems: dict[str, str] = field(default_factory=dict)


class ProviderRegistry:
    """Registers providers, finds them by session id, asks all of them.

    Time limits are in seconds. Not thread-safe: belongs to one event loop.
    """

    def __init__(self, *, list_timeout: float = LIST_TIMEOUT, start_timeout: float = START_TIMEOUT) -> None:
        self._list_timeout = list_timeout
        self._start_timeout = start_timeout
        self._entries: dict[str, Registered] = {}
        self._tasks = Tasks(lambda name, error: log.error("provider task failed", task=name, error=repr(error)))

    def add(self, provider: AgentProvider, *, kind: str | None = None, workspace_id: str = DEFAULT_WORKSPACE) -> None:
        """Register a provider. BadInput for a name outside the pattern, Conflict for a name that is taken."""
        name = provider.name
        if not _NAME.fullmatch(name):
            raise BadInput("name", f"A provider's name must match {NAME_PATTERN}: {name!r} does not.")
        if name in self._entries:
            raise Conflict(f"A provider named {name!r} is already registered.")
        self._entries[name] = Registered(provider=provider, kind=kind or name, workspace_id=workspace_id)

    async def remove(self, name: str) -> None:
        """Close the provider and forget it; its sessions stay on record."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            await self._close_one(name, entry)

    def names(self, workspace_id: str | None = None) -> tuple[str, ...]:
        """Names in order of registration, of one workspace or of all."""
        return tuple(
            name for name, entry in self._entries.items() if workspace_id is None or entry.workspace_id == workspace_id
        )

    def entry(self, name: str) -> Registered:
        """The registration. NotFound if there is none."""
        try:
            return self._entries[name]
        except KeyError:
            raise NotFound(f"There is no provider named {name!r}.", provider=name) from None

    def get(self, name: str) -> AgentProvider:
        return self.entry(name).provider

    def of(self, session_id: str) -> tuple[AgentProvider, str]:
        """The provider that owns a control-plane session id, and the session's native id. NotFound if none does."""
        name, native = split_id(session_id)
        return self.get(name), native

    async def start(self, record_for: Callable[[str], ProviderRecord]) -> None:
        """Start every provider. One that fails or does not start in time stays registered and says so in `health`."""

        async def start(name: str, entry: Registered) -> None:
            entry.problem = "still starting"
            try:
                await entry.provider.start(record_for(name))
            except MissionControlError as error:
                entry.problem = error.message
            except Exception as error:
                entry.problem = f"could not be started ({type(error).__name__})"
                log.exception("provider did not start", provider=name)
            else:
                entry.problem = None

        starting = [self._tasks.start(start(n, e), name=f"start {n}") for n, e in self._entries.items()]
        if starting:
            await asyncio.wait(starting, timeout=self._start_timeout)

    async def close(self) -> None:
        """Detach from all providers. Ends no session."""
        closing = [self._tasks.start(self._close_one(n, e), name=f"close {n}") for n, e in self._entries.items()]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_TIMEOUT)
        await self._tasks.close()

    async def _close_one(self, name: str, entry: Registered) -> None:
        if entry.closing:
            return
        entry.closing = True
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await entry.provider.close()
        except TimeoutError:
            log.warning("provider did not detach in time", provider=name)
        except Exception:
            log.exception("provider failed to detach", provider=name)

    def health(self, workspace_id: str | None = None) -> tuple[ProviderHealth, ...]:
        """How each provider does. A provider that cannot even say is `unreachable`."""
        return tuple(self._health_of(name) for name in self.names(workspace_id))

    def _health_of(self, name: str) -> ProviderHealth:
        entry = self._entries[name]
        if entry.problem is not None:
            return ProviderHealth(provider=name, state="unreachable", detail=entry.problem)
        try:
            return entry.provider.health()
        except Exception as error:
            log.exception("provider failed to tell its health", provider=name)
            return ProviderHealth(
                provider=name, state="unreachable", detail=f"does not answer ({type(error).__name__})"
            )

    async def call(self, name: str, work: Awaitable[T], *, timeout: float) -> T:
        """Wait for one provider's work at most `timeout` seconds.

        Errors of the tree pass through; a time-out and any other error become Unreachable. A call that ignores its
        cancellation is left behind, not waited for.
        """

        task: asyncio.Task[T | _Raised] = self._tasks.start(_caught(work), name=f"call {name}")
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            task.cancel()
            raise Unreachable(f"The provider {name!r} did not answer within {timeout:g} s.", provider=name)
        outcome = task.result()
        if not isinstance(outcome, _Raised):
            return outcome
        error = outcome.error
        if isinstance(error, MissionControlError):
            raise error
        log.error("provider failed", provider=name, error=repr(error), exc_info=error)
        raise Unreachable(f"The provider {name!r} failed ({type(error).__name__}).", provider=name) from error

    async def list_sessions(self, names: Iterable[str] | None = None) -> Aggregate:
        """The sessions of all (or the named) providers, asked at the same time, each with its time limit."""
        wanted = tuple(self.names() if names is None else names)
        sessions: list[AgentSession] = []
        problems: dict[str, str] = {}

        async def ask(name: str) -> None:
            try:
                entry = self.entry(name)
                if entry.problem is not None:
                    raise Unavailable(entry.problem)
                sessions.extend(await self.call(name, entry.provider.list_sessions(), timeout=self._list_timeout))
            except MissionControlError as error:
                problems[name] = error.message

        async with asyncio.TaskGroup() as group:
            for name in wanted:
                group.create_task(ask(name))
        return Aggregate(sessions=tuple(sessions), problems=problems)


@dataclass(slots=True, frozen=True)
class _Raised:
    error: Exception


async def _caught(work: Awaitable[T]) -> T | _Raised:
    """The work's outcome as a value: its error belongs to who waits, and must not be reported a second time."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - handed to the caller as a value
        return _Raised(error)
