"""The registry: providers by name, and what can be asked of all of them at once.

One dead or slow provider never hides or delays the others: everything that is asked of several is asked of all at the
same time, each with its own time limit, and a provider that does not keep it is named in the answer instead.
"""

from __future__ import annotations

import asyncio
import re
import traceback
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
LAUNCH_TIMEOUT = 30.0
STILL_STARTING = "still starting"
CLOSE_TIMEOUT = 5.0

log = structlog.get_logger(__name__)
T = TypeVar("T")
Ready = Callable[[Callable[[str], None]], Awaitable[None]]
_NAME = re.compile(NAME_PATTERN)


@dataclass(slots=True)
class Registered:
    """One provider and where it belongs. `kind` is the adapter's name."""

    provider: AgentProvider
    kind: str
    workspace_id: str
    scrub: Callable[[str], str] = str
    """Takes the provider's credentials out of a text, before anyone sees it."""
    problem: str | None = None
    """Why it could not be started, or that it still starts; None when it did."""
    closing: bool = False
    starting: asyncio.Task[None] | None = None


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

    def add(
        self,
        provider: AgentProvider,
        *,
        kind: str | None = None,
        workspace_id: str = DEFAULT_WORKSPACE,
        scrub: Callable[[str], str] = str,
    ) -> None:
        """Register a provider. BadInput for a name outside the pattern, Conflict for a name that is taken."""
        name = provider.name
        if not _NAME.fullmatch(name):
            raise BadInput("name", f"A provider's name must match {NAME_PATTERN}: {name!r} does not.")
        if name in self._entries:
            raise Conflict(f"A provider named {name!r} is already registered.")
        self._entries[name] = Registered(provider=provider, kind=kind or name, workspace_id=workspace_id, scrub=scrub)

    async def remove(self, name: str) -> None:
        """Close the provider and forget it; its sessions stay on record."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            if entry.starting is not None:
                entry.starting.cancel()
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
        starting = [
            self._tasks.start(self._start_one(n, e, record_for(n), None), name=f"start {n}")
            for n, e in self._entries.items()
        ]
        if starting:
            await asyncio.wait(starting, timeout=self._start_timeout)

    def launch(self, name: str, record: ProviderRecord, ready: Ready) -> None:
        """Start one provider that was added later, once `ready` returns, without waiting for either. `ready` is given
        what shows why it does not start yet. NotFound if there is none."""
        entry = self.entry(name)
        entry.problem = STILL_STARTING
        entry.starting = self._tasks.start(self._start_when(ready, name, entry, record), name=f"start {name}")

    async def _start_when(self, ready: Ready, name: str, entry: Registered, record: ProviderRecord) -> None:
        def tell(why: str) -> None:
            entry.problem = why

        try:
            await ready(tell)
        except MissionControlError as error:
            tell(entry.scrub(error.message))
            return
        await self._start_one(name, entry, record, LAUNCH_TIMEOUT)

    async def _start_one(self, name: str, entry: Registered, record: ProviderRecord, timeout: float | None) -> None:
        entry.problem = STILL_STARTING
        try:
            async with asyncio.timeout(timeout):
                await entry.provider.start(record)
        except TimeoutError:
            entry.problem = "could not be started in time"
            log.error("provider did not start in time", provider=name)
        except MissionControlError as error:
            entry.problem = entry.scrub(error.message)
        except Exception as error:  # noqa: BLE001 - logged
            entry.problem = f"could not be started ({type(error).__name__})"
            _log_scrubbed("provider did not start", name, entry, error)
        else:
            entry.problem = None

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
        except Exception as error:  # noqa: BLE001 - logged
            _log_scrubbed("provider failed to detach", name, entry, error)

    def health(self, workspace_id: str | None = None) -> tuple[ProviderHealth, ...]:
        """How each provider does. A provider that cannot even say is `unreachable`."""
        return tuple(self._health_of(name) for name in self.names(workspace_id))

    def _health_of(self, name: str) -> ProviderHealth:
        entry = self._entries[name]
        if entry.problem is not None:
            return ProviderHealth(provider=name, state="unreachable", detail=entry.problem)
        try:
            told = entry.provider.health()
            return ProviderHealth(
                provider=name, state=told.state, detail=None if told.detail is None else entry.scrub(told.detail)
            )
        except Exception as error:  # noqa: BLE001 - logged
            _log_scrubbed("provider failed to tell its health", name, entry, error)
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
        entry = self._entries.get(name)
        if isinstance(error, MissionControlError):
            raise error if entry is None else _scrubbed(error, entry)
        _log_scrubbed("provider failed", name, entry, error)
        # Without its cause: what a foreign library puts into an exception may be a credential.
        raise Unreachable(f"The provider {name!r} failed ({type(error).__name__}).", provider=name) from None

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


def _scrubbed(error: MissionControlError, entry: Registered) -> MissionControlError:
    """The error without credentials in what it tells."""
    error.message = entry.scrub(error.message)
    error.args = (error.message,)
    error.details = {key: entry.scrub(one) if isinstance(one, str) else one for key, one in error.details.items()}
    return error


def _log_scrubbed(event: str, name: str, entry: Registered | None, error: Exception) -> None:
    """Log an adapter's failure with its trace, without credentials in it."""
    scrub = str if entry is None else entry.scrub
    trace = "".join(traceback.format_exception(error))
    log.error(event, provider=name, error=scrub(repr(error)), exception=scrub(trace))


@dataclass(slots=True, frozen=True)
class _Raised:
    error: Exception


async def _caught(work: Awaitable[T]) -> T | _Raised:
    """The work's outcome as a value: its error belongs to who waits, and must not be reported a second time."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - handed to the caller as a value
        return _Raised(error)
