"""The engine's home: a thread with an asyncio loop of its own, and the ways to it from the window's thread.

Everything of `client` runs there. The window gets batches through the inbox, and answers through futures:
`await host.call(lambda mc: mc.pause(session_id))` on the window's own loop, whatever loop that is.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import structlog

from mission_control_desktop.client.feeds import REPLAY, Feeds
from mission_control_desktop.client.fleet import HOME, Fleet
from mission_control_desktop.client.inbox import Inbox
from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.tasks import ErrorSink, Tasks

log = structlog.get_logger(__name__)

T = TypeVar("T")

STOP_SECONDS = 5.0


class EngineHost:
    """One engine thread with the control planes of a window: the one that is home, and others by their names.
    Thread-safe."""

    def __init__(
        self,
        inbox: Inbox | None = None,
        *,
        on_error: ErrorSink | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`on_error` (name, exception) hears of every failure that nobody waits for; called on the engine's thread."""
        self.inbox = inbox or Inbox()
        self._on_error = on_error or _log_error
        self._jitter = jitter
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._accepting = False
        self._futures: set[concurrent.futures.Future[Any]] = set()
        self._tasks = Tasks(self._on_error)
        self._fleet = Fleet()
        self._feeds: Feeds | None = None

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread; returns when its loop runs. Nothing if it runs already."""
        if self._thread is not None:
            return
        self._started.clear()
        self._thread = threading.Thread(target=self._main, name="mission-control-engine", daemon=True)
        self._thread.start()
        self._started.wait()

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """Cancel everything, wait for it (seconds, at most), end the thread. True if it ended in time; a thread that
        did not is a daemon and keeps nobody from leaving."""
        thread = self._thread
        if thread is None:
            return True
        with self._lock:
            self._accepting = False
            if self._loop is not None and self._stop is not None:
                self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(timeout)
        with self._lock:
            waiting = list(self._futures)
        for future in waiting:
            future.cancel()
        if thread.is_alive():
            log.warning("the engine did not end in time", timeout=timeout, waiting=len(waiting))
            return False
        self._thread = None
        return True

    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._loop_error)
        self._stop = stop = asyncio.Event()
        with self._lock:
            self._loop = loop
            self._accepting = True
        self._started.set()
        try:
            await stop.wait()
        finally:
            try:
                await self._disconnect_all()
                await self._tasks.close()
            finally:
                with self._lock:
                    self._loop = None
        # asyncio.run cancels and awaits whatever is left.

    def _loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._on_error("engine loop", error if error is not None else RuntimeError(str(context.get("message"))))

    # --- work ----------------------------------------------------------------------------------------------------

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]]) -> concurrent.futures.Future[T]:
        """Run `work()` on the engine's loop. Cancelling the future cancels the coroutine. Unavailable (through the
        future) if the engine does not run."""
        with self._lock:
            if not self._accepting or self._loop is None:
                refused: concurrent.futures.Future[T] = concurrent.futures.Future()
                refused.set_exception(Unavailable("the connection to the control plane is shut down"))
                return refused
            future = asyncio.run_coroutine_threadsafe(_begin(work), self._loop)
            self._futures.add(future)
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            self._futures.discard(future)

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """`submit`, awaited on the caller's loop. Cancellation goes across."""
        return await asyncio.wrap_future(self.submit(work))

    async def call(self, work: Callable[[MissionControl], Coroutine[Any, Any, T]]) -> T:
        """`work` on the connected control plane, awaited on the caller's loop: `host.call(lambda mc: mc.tree())`."""
        return await asyncio.wrap_future(self.begin(work))

    def begin(self, work: Callable[[MissionControl], Coroutine[Any, Any, T]]) -> concurrent.futures.Future[T]:
        """`call` that is awaited later; cancelling the future cancels the work."""
        return self.submit(lambda: work(self.mission_control))

    # --- the control planes --------------------------------------------------------------------------------------

    async def connect(self, open_: Callable[[], Coroutine[Any, Any, MissionControl]], *, plane: str = HOME) -> None:
        """Make `open_()` (run on the engine's loop) the control plane of that name, in place of any before it.
        Awaited on the caller's loop; raises what `open_` raises, and then leaves things as they were."""
        await self.run(lambda: self._connect(open_, plane))

    async def disconnect(self, plane: str = HOME) -> None:
        await self.run(lambda: self._disconnect(plane))

    @property
    def connected(self) -> bool:
        return self._fleet.has(HOME)

    @property
    def mission_control(self) -> MissionControl:
        """The connected control planes as one (`client.fleet`), for use on the engine's loop. What is asked of one that
        is not connected is Unavailable."""
        return cast("MissionControl", self._fleet)

    def plane(self, name: str) -> PlaneGateway:
        """The way to one of them."""
        return PlaneGateway(self, name)

    def mission_control_of(self, plane: str) -> MissionControl:
        """One of them, for use on the engine's loop. Unavailable while it is not connected."""
        return self._fleet.plane(plane)

    @property
    def feeds(self) -> Feeds:
        """The connected control planes' feeds, for use on the engine's loop. Unavailable before `connect`."""
        if self._feeds is None:
            raise Unavailable("not connected to a control plane yet")
        return self._feeds

    def open_workspace(self, plane: str = HOME) -> concurrent.futures.Future[None]:
        return self.submit(lambda: self._open_workspace(plane))

    def open_session(self, session_id: str, replay: int = REPLAY) -> concurrent.futures.Future[None]:
        return self.submit(lambda: self._open_session(session_id, replay))

    def close_session(self, session_id: str) -> concurrent.futures.Future[None]:
        return self.submit(lambda: self.feeds.close_session(session_id))

    async def _open_workspace(self, plane: str) -> None:
        self.feeds.open_workspace(plane, self._fleet.plane(plane))

    async def _open_session(self, session_id: str, replay: int) -> None:
        self.feeds.open_session(session_id, replay)

    async def _connect(self, open_: Callable[[], Coroutine[Any, Any, MissionControl]], plane: str) -> None:
        mission_control = await open_()
        await self._disconnect(plane)
        self._fleet.put(plane, mission_control)
        if self._feeds is None:
            self._feeds = Feeds(self.mission_control, self.inbox, self._tasks, jitter=self._jitter)

    async def _disconnect(self, plane: str) -> None:
        mission_control = self._fleet.take(plane)
        try:
            if self._feeds is not None:
                await self._feeds.close_plane(plane)
        finally:
            if mission_control is not None:
                await mission_control.close()

    async def _disconnect_all(self) -> None:
        for plane in self._fleet.names:
            await self._disconnect(plane)
        if self._feeds is not None:
            await self._feeds.close()
            self._feeds = None


class PlaneGateway:
    """`EngineHost.call` on one control plane."""

    def __init__(self, host: EngineHost, plane: str) -> None:
        self._host, self._plane = host, plane

    async def call(self, work: Callable[[MissionControl], Coroutine[Any, Any, T]]) -> T:
        """Raises the tree of `domain.errors`; Unavailable while it is not connected."""
        return await asyncio.wrap_future(self.begin(work))

    def begin(self, work: Callable[[MissionControl], Coroutine[Any, Any, T]]) -> concurrent.futures.Future[T]:
        """`call` that is awaited later; cancelling the future cancels the work."""
        return self._host.submit(lambda: work(self._host.mission_control_of(self._plane)))


async def _begin(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return await work()


def _log_error(name: str, error: BaseException) -> None:
    log.error("engine task failed", task=name, exc_info=error)
