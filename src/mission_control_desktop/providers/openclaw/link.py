"""The link to one gateway: connects, stays connected, and says in words why it is not.

One connection at a time. Whoever listens is told of each new one, does what has to be done on it, and gets its events
in order from a bounded queue. Events that the queue has no room for are dropped and told as a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import MissionControlError, Unreachable
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.providers import StageName
from mission_control_desktop.providers.kinds import Keep
from mission_control_desktop.providers.openclaw.connection import Connection, EventSink, open_socket, shake_hands
from mission_control_desktop.providers.openclaw.frames import Event, Hello
from mission_control_desktop.providers.openclaw.identity import Device, Kept
from mission_control_desktop.providers.openclaw.machine import Handshake, Patience, Secret
from mission_control_desktop.providers.openclaw.scopes import missing_words
from mission_control_desktop.providers.openclaw.trouble import GatewayError, Later, Refused, seconds

MAX_EVENTS = 4_096
"""Events that may wait for the listener."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gap:
    """Events are missing here."""


class Listener(Protocol):
    async def connected(self, connection: Connection, *, rebooted: bool) -> None:
        """A new connection; its events follow when this returns. `rebooted`: the gateway was started anew since the
        last one. An error (of the tree, of the gateway) ends the connection, and the next one is tried."""
        ...

    async def event(self, event: Event | Gap) -> None: ...

    async def lost(self) -> None:
        """There is no connection any more."""
        ...


Progress = Callable[[StageName], None]


def _unheard(stage: StageName) -> None:
    """Nobody follows the way in."""


class Doorway:
    """How to come in at one gateway: its address, the credentials, and what is kept sealed of earlier times."""

    def __init__(self, url: str, credentials: Credentials, keep: Keep, *, version: str) -> None:
        self.url = url
        self._credentials = credentials
        self._keep = keep
        self._version = version
        self._kept: Kept | None = None

    async def open(self, on_event: EventSink, came_to: Progress = _unheard) -> Connection:
        """`came_to` is told of each stage that is passed on the way. Raises Refused; Unavailable if the sealed identity
        cannot be read or written."""
        kept = await self._identity()
        shared = Secret(self._credentials.token or "")
        own = kept.token_of(self.url)
        try:
            return await self._enter(Secret(own, of_device=True) if own else shared, kept, on_event, came_to)
        except Refused as refused:
            if own is None or not refused.forget_token:
                raise
            await self._save(Kept(device=kept.device))
            if not shared.value:
                raise
            return await self._enter(shared, kept, on_event, came_to)

    async def _enter(self, secret: Secret, kept: Kept, on_event: EventSink, came_to: Progress) -> Connection:
        websocket = await open_socket(self.url)
        came_to(StageName.REACHABLE)
        try:
            handshake = Handshake(kept.device, secret, self._version)
            hello = await shake_hands(websocket, handshake, lambda: came_to(StageName.PROTOCOL))
            await self._keep_token(hello, kept)
        except BaseException:
            await websocket.close()
            raise
        return Connection(websocket, hello, on_event)

    async def _identity(self) -> Kept:
        if self._kept is None:
            kept = Kept.of(await self._keep.load())
            if kept is None:
                kept = Kept(device=Device.new())
                # Before it is shown to the gateway: whoever approves it there approves what will come back.
                await self._save(kept)
            self._kept = kept
        return self._kept

    async def _keep_token(self, hello: Hello, kept: Kept) -> None:
        given = hello.auth.device_token
        if given and given != kept.token_of(self.url):
            await self._save(Kept(device=kept.device, token=given, token_for=self.url))

    async def _save(self, kept: Kept) -> None:
        await self._keep.save(kept.values())
        self._kept = kept


class Link:
    """Owned by a provider; `run` is its one task."""

    def __init__(
        self,
        provider: str,
        doorway: Doorway,
        listener: Listener,
        *,
        random: Callable[[], float],
        scrub: Callable[[str], str],
    ) -> None:
        self._provider = provider
        self._doorway = doorway
        self._listener = listener
        self._scrub = scrub
        self._patience = Patience(random)
        self._connection: Connection | None = None
        self._events: asyncio.Queue[Event | Gap] = asyncio.Queue(MAX_EVENTS)
        self._dropped = False
        self._last_seq: int | None = None
        self._boot_id: str | None = None
        self._health = ProviderHealth(provider=provider, state="unreachable", detail="connecting")
        self._settled = asyncio.Event()
        self._nudged = asyncio.Event()
        self._resting = asyncio.Event()

    def health(self) -> ProviderHealth:
        return self._health

    async def settled(self) -> None:
        """Wait until the first attempt has come to an end, good or bad."""
        await self._settled.wait()

    async def stopped(self) -> None:
        """Wait until it does nothing more before a person has done something."""
        await self._resting.wait()

    def nudge(self) -> None:
        """Try again now: a person has done something. A connection that lacks nothing stays."""
        self._nudged.set()

    @property
    def connection(self) -> Connection:
        """Raises Unreachable with the reason."""
        connection = self._connection
        if connection is None or not connection.alive:
            why = self._health.detail or "connecting"
            raise Unreachable(f"The gateway of {self._provider!r} is not connected: {why}", provider=self._provider)
        return connection

    async def call(self, method: str, params: dict[str, Any] | None = None, **options: Any) -> Any:
        """See `Connection.call`; a refusal is raised as an error of the tree."""
        try:
            return await self.connection.call(method, params, **options)
        except GatewayError as error:
            raise error.in_the_tree() from error

    async def run(self) -> None:
        """Until cancelled. Where a person has to do something first, it rests until `nudge`."""
        loop = asyncio.get_running_loop()
        while True:
            by_person, retry_after = False, None
            try:
                ended = await self._stay(await self._doorway.open(self._took_event))
                self._tell("unreachable", f"The connection ended: {ended}. Connecting again.")
            except Refused as refused:
                by_person, retry_after = refused.by_person, refused.retry_after
                self._tell("unreachable", refused.words)
            except GatewayError as error:
                retry_after = error.retry_after
                self._tell("unreachable", error.in_the_tree().message)
            except MissionControlError as error:
                retry_after = error.retry_after if isinstance(error, Later) else None
                self._tell("unreachable", error.message)
            except Exception as error:
                log.exception("gateway connection failed", provider=self._provider)
                self._tell("unreachable", f"failed ({type(error).__name__}); see the log of the control plane")
            self._settled.set()
            wait = self._patience.next(loop.time(), by_person=by_person, retry_after=retry_after)
            if wait is None:
                log.warning("gateway needs a person", provider=self._provider, why=self._health.detail)
                self._resting.set()
            elif self._patience.restarting(loop.time()):
                self._tell("degraded", "The gateway restarts. Connecting again.")
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._nudged.wait()
            self._nudged.clear()
            self._resting.clear()

    async def _stay(self, connection: Connection) -> str:
        """Everything on one connection; tells why it ended. Raises what kept the listener from using it."""
        self._events = asyncio.Queue(MAX_EVENTS)
        self._dropped, self._last_seq = False, None
        boot_id = connection.hello.server.boot_id
        rebooted = self._boot_id is not None and boot_id != self._boot_id
        self._boot_id = boot_id
        failure: list[Exception] = []
        try:
            async with asyncio.TaskGroup() as group:
                serving = [group.create_task(self._serve(connection, rebooted, failure))]
                if missing_words(connection.hello.auth.scopes) is not None:
                    serving.append(group.create_task(self._renew(connection)))
                try:
                    ended = await connection.run()
                finally:
                    for task in serving:
                        task.cancel()
        finally:
            self._connection = None
            await self._listener.lost()
        if failure:
            raise failure[0]
        return ended

    async def _renew(self, connection: Connection) -> None:
        """More may have been granted since: the next connection asks again."""
        await self._nudged.wait()
        await connection.close()

    async def _serve(self, connection: Connection, rebooted: bool, failure: list[Exception]) -> None:
        try:
            # Calls of the listener go through: what it needs to be ready is asked on this connection.
            self._connection = connection
            await self._listener.connected(connection, rebooted=rebooted)
            self._patience.connected()
            missing = missing_words(connection.hello.auth.scopes)
            self._tell("ok" if missing is None else "degraded", missing)
            self._settled.set()
            log.info("gateway connected", provider=self._provider, version=connection.hello.server.version)
            while True:
                await self._listener.event(await self._events.get())
                if self._dropped and self._events.empty():
                    self._dropped = False
                    await self._listener.event(Gap())
        except Exception as error:  # noqa: BLE001 - handed over
            failure.append(error)
            await connection.close()

    def _took_event(self, event: Event) -> None:
        if event.seq is not None:
            if self._last_seq is not None and event.seq != self._last_seq + 1:
                self._dropped = True
            self._last_seq = event.seq
        if event.event == "shutdown":
            expected = event.payload.get("restartExpectedMs") if isinstance(event.payload, dict) else None
            self._patience.shutting_down(asyncio.get_running_loop().time(), seconds(expected))
            return
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self._dropped = True

    def _tell(self, state: str, detail: str | None) -> None:
        self._health = ProviderHealth(
            provider=self._provider, state=state, detail=None if detail is None else self._scrub(detail)
        )
