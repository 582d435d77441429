"""The same request again: one effect, one answer.

A key belongs to the principal that sent it. While the first request with a key runs, a second one waits for it; after
it, it gets the same answer, also from another process or after a restart. A request that failed for a reason that may
pass (nothing was done, or the provider did not answer) frees its key.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from mission_control_desktop.control.ports import IdempotencyStore
from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import BadInput, Conflict, IdempotencyMismatch
from mission_control_desktop.domain.people import Principal
from mission_control_desktop.domain.tasks import Tasks

log = structlog.get_logger(__name__)

KEPT_FOR = timedelta(days=2)
MAX_KEY_CHARS = 200
FREED_STATUSES = frozenset({401, 403, 429, 500, 502, 503})


@dataclass(frozen=True, slots=True)
class KeyedAnswer:
    """An answer as it went out: HTTP status and JSON body. `secret`: the body is kept in memory only. `headers` go
    with the first answer alone."""

    status: int
    body: bytes
    secret: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(slots=True)
class _Running:
    fingerprint: str
    done: asyncio.Future[KeyedAnswer | None]


class Idempotency:
    """Runs keyed requests once."""

    def __init__(self, store: IdempotencyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._running: dict[tuple[str, str], _Running] = {}
        self._tasks = Tasks(lambda name, error: log.error("keyed request failed", task=name, error=repr(error)))
        self._secrets: dict[tuple[str, str], KeyedAnswer] = {}

    async def start(self) -> None:
        await self._store.purge(before=self._clock.now() - KEPT_FOR)

    async def run(
        self,
        who: Principal,
        key: str | None,
        request: bytes,
        act: Callable[[], Awaitable[KeyedAnswer]],
        *,
        repeatable: bool,
    ) -> KeyedAnswer:
        """Do it, or answer what the first request with this key was answered.

        `request` is what must be the same (method, path, canonical body). `repeatable` says that doing it twice has the
        effect of once: then a request that a restart cut short is simply done again. Raises IdempotencyMismatch for the
        same key with another request, Conflict for one cut short that cannot be repeated, and what `act` raises.
        """
        if key is None:
            return await act()
        if not key or len(key) > MAX_KEY_CHARS or not key.isprintable():
            raise BadInput("Idempotency-Key", f"An idempotency key has 1 to {MAX_KEY_CHARS} printable characters.")
        owner = f"{who.workspace_id}/{who.actor_kind.value}/{who.user_id}"
        fingerprint = hashlib.sha256(request).hexdigest()
        place = (owner, key)
        while (running := self._running.get(place)) is not None:
            if running.fingerprint != fingerprint:
                raise _mismatch()
            answer = await asyncio.shield(running.done)
            if answer is not None:
                return answer
        mine = self._running[place] = _Running(fingerprint, asyncio.get_running_loop().create_future())
        # In a task of its own: a caller that goes away must not free the key of what is being done.
        work = self._tasks.start(
            self._owned(place, mine, act, repeatable=repeatable), name=f"keyed request of {who.user_id}"
        )
        outcome: KeyedAnswer | Exception = await asyncio.shield(work)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def close(self) -> None:
        await self._tasks.close()

    async def _owned(
        self,
        place: tuple[str, str],
        mine: _Running,
        act: Callable[[], Awaitable[KeyedAnswer]],
        *,
        repeatable: bool,
    ) -> KeyedAnswer | Exception:
        answer = None
        try:
            answer = await self._first(*place, mine.fingerprint, act, repeatable=repeatable)
        except Exception as error:  # noqa: BLE001 - handed to the caller as a value
            return error
        finally:
            del self._running[place]
            mine.done.set_result(answer)
        return answer

    async def _first(
        self,
        owner: str,
        key: str,
        fingerprint: str,
        act: Callable[[], Awaitable[KeyedAnswer]],
        *,
        repeatable: bool,
    ) -> KeyedAnswer:
        stored = await self._store.reserve(owner, key, fingerprint, at=self._clock.now())
        if stored is not None:
            if stored.fingerprint != fingerprint:
                raise _mismatch()
            if stored.status is not None:
                return self._again(owner, key, stored.status, stored.body)
            if not repeatable:
                raise Conflict(
                    "A request with this key was cut short by a restart. See whether it took effect; "
                    "to try again, use a new key."
                )
        try:
            answer = await act()
        except Exception:
            await self._store.release(owner, key)
            raise
        if answer.status in FREED_STATUSES:
            await self._store.release(owner, key)
            return answer
        if answer.secret:
            self._secrets[owner, key] = answer
        try:
            await self._store.complete(owner, key, status=answer.status, body=b"" if answer.secret else answer.body)
        except Exception as error:  # noqa: BLE001 - logged
            # It is done; saying that it failed would be wrong. A repetition after a restart is then not recognised.
            log.error("answer to a keyed request could not be stored", error=repr(error))
        return answer

    def _again(self, owner: str, key: str, status: int, body: bytes) -> KeyedAnswer:
        if body:
            return KeyedAnswer(status, body)
        kept = self._secrets.get((owner, key))
        if kept is None:
            raise Conflict("This was done already, and its answer was shown once. Revoke it and make a new one.")
        return kept


def _mismatch() -> IdempotencyMismatch:
    return IdempotencyMismatch("This idempotency key was used for another request.")
