"""How often: a moving window per key, kept in this process or, for several of them, in a Valkey that they share."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
import structlog
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import ConfigurationError

from mission_control_desktop.domain.errors import BadInput, RateLimited, Unavailable
from mission_control_desktop.domain.limits import BARGE_IN_PER_MINUTE
from mission_control_desktop.domain.tasks import Tasks

log = structlog.get_logger(__name__)

SHARED_SECONDS = 1.0
"""How long one question to the shared store may take; a message to an agent waits for it."""
PROBE_SECONDS = 2.0
"""How often a store that did not answer is asked again, in the background."""
_SCHEMES = {
    "valkey": "async+valkey",
    "valkeys": "async+valkeys",
    "redis": "async+valkey",
    "rediss": "async+valkeys",
    "unix": "async+valkey+unix",
}


class RateLimiter(Protocol):
    async def hit(self, *key: str) -> float | None:
        """Count one attempt. None if it is within the limit (and counted), else the seconds until the next one is; a
        refused attempt does not count."""
        ...

    def trouble(self) -> str | None:
        """Why the limit is not shared now although it should be."""
        ...

    async def close(self) -> None: ...


class MovingWindow:
    """At most `limit` hits in any `seconds` per key (library `limits`).

    With `shared` (valkey://HOST:PORT/DB, valkeys:// over TLS, redis://, rediss://, unix:///SOCKET) all processes that
    name the same store keep one limit. What this process itself let through is remembered here as well: while the
    store does not answer, or says no, or has lost its memory, each process keeps the limit by itself. A store that
    fails is not asked again by those who wait but in the background, until it answers. The window is measured with the
    clocks of the hosts that share it.

    Raises BadInput for an address that is none, Unavailable if the store's client library is not installed.
    """

    def __init__(self, *, limit: int, seconds: int, shared: str | None = None) -> None:
        self._item = RateLimitItemPerSecond(limit, seconds, namespace="mission-control")
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._store = None if shared is None else _store(shared)
        self._shared = None if self._store is None else MovingWindowRateLimiter(self._store)
        self._faults: tuple[type[Exception], ...] = (OSError, TimeoutError, *_faults_of(self._store))
        self._trouble: str | None = None
        self._tasks = Tasks(lambda name, error: log.error("rate limit task failed", task=name, error=repr(error)))

    def trouble(self) -> str | None:
        return self._trouble

    async def hit(self, *key: str) -> float | None:
        name = hashlib.sha256(msgspec.json.encode(key)).hexdigest()
        if self._shared is not None and self._trouble is None:
            if not await self._own.test(self._item, name):
                return await self._wait(self._own, name)
            try:
                async with asyncio.timeout(SHARED_SECONDS):
                    wait = await self._hit(self._shared, name)
            except self._faults as error:
                self._away(error)
            else:
                if wait is None:
                    await self._own.hit(self._item, name)
                return wait
        return await self._hit(self._own, name)

    async def close(self) -> None:
        await self._tasks.close()
        if self._store is not None:
            bridge: Any = self._store.bridge  # the library cannot close what it opened
            await bridge.get_connection().aclose()

    async def _hit(self, window: MovingWindowRateLimiter, name: str) -> float | None:
        return None if await window.hit(self._item, name) else await self._wait(window, name)

    async def _wait(self, window: MovingWindowRateLimiter, name: str) -> float:
        stats = await window.get_window_stats(self._item, name)
        return 0.0 if stats.remaining > 0 else max(0.0, stats.reset_time - time.time())

    def _away(self, error: Exception) -> None:
        if self._trouble is None:
            self._trouble = f"the shared store of rate limits does not answer ({type(error).__name__})"
            log.error("rate limits are kept by this process alone", why=self._trouble)
            self._tasks.start(self._probe(), name="rate limit store")

    async def _probe(self) -> None:
        while self._store is not None:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                async with asyncio.timeout(SHARED_SECONDS):
                    if await self._store.check():
                        break
            except self._faults as error:
                log.debug("rate limit store still away", error=type(error).__name__)
        self._trouble = None
        log.info("rate limits are shared again")


def _store(url: str) -> RedisStorage:
    scheme, _, rest = url.partition("://")
    try:
        parts = urlsplit(url)
        valid = scheme in _SCHEMES and bool(parts.path if scheme == "unix" else parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        # The address may hold a password: it is not repeated.
        raise BadInput(
            "valkey-url",
            "The Valkey address must be like valkey://HOST:6379/0, valkeys://… with TLS, or unix:///SOCKET.",
        )
    try:
        return RedisStorage(
            f"{_SCHEMES[scheme]}://{rest}",
            key_prefix="mission-control",
            socket_timeout=SHARED_SECONDS,
            socket_connect_timeout=SHARED_SECONDS,
        )
    except ConfigurationError as error:
        raise Unavailable("Valkey needs its client: install mission-control-desktop with the extra `team`.") from error


def _faults_of(store: RedisStorage | None) -> tuple[type[Exception], ...]:
    if store is None:
        return ()
    faults = store.base_exceptions
    return faults if isinstance(faults, tuple) else (faults,)


async def barge_in_allowed(limiter: RateLimiter, *, workspace_id: str, actor: str, session_id: str) -> None:
    """At most 10 a minute per operator per session, whatever token they use; `actor` tells people from agents. Raises
    RateLimited with the smallest number of whole seconds after which the next one is let through."""
    wait = await limiter.hit("barge-in", workspace_id, actor, session_id)
    if wait is not None:
        seconds = math.floor(wait) + 1
        raise RateLimited(
            f"At most {BARGE_IN_PER_MINUTE} messages a minute to one session; the next is possible in {seconds} s.",
            retry_after=seconds,
        )
