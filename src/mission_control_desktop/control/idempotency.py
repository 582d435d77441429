"""The same request again: one effect, one answer.

A key belongs to the principal that sent it. While the first request with a key runs, a second one waits for it; after
it, it gets the same answer, also from another process or after a restart. A request that failed for a reason that may
pass (nothing was done, or the provider did not answer) frees its key.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from mission_control_desktop.control.ports import IdempotencyStore
from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import BadInput, Conflict, IdempotencyMismatch, Unavailable
from mission_control_desktop.domain.limits import KEY_HOURS, KEY_PATTERN, MAX_KEY_CHARS
from mission_control_desktop.domain.people import Principal
from mission_control_desktop.domain.tasks import Tasks

log = structlog.get_logger(__name__)

KEPT_FOR = timedelta(hours=KEY_HOURS)
PURGE_SECONDS = 3600.0
MAX_SECRETS = 256
"""Answers with a secret that are remembered, in memory alone; of older ones nothing but that they were given."""
INSIST_TIMEOUT = 2.0
FREED_STATUSES = frozenset({401, 403, 429, 500, 502, 503})


@dataclass(frozen=True, slots=True)
class KeyedAnswer:
    """An answer as it went out: HTTP status and JSON body. `secret`: the body is kept in memory only. `headers` go
    with the first answer alone."""

    status: int
    body: bytes
    secret: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()


Act = Callable[[str | None], Awaitable[KeyedAnswer]]
"""Does the request. Gets a seed (32 hex digits) that is the same whenever this very request is done again, for ids of
what it makes; None without a key."""


@dataclass(frozen=True, slots=True)
class _Keyed:
    owner: str
    key: str
    fingerprint: str
    repeatable: bool
    insist: bool

    def seed(self, at: datetime) -> str:
        text = "\0".join((self.owner, self.key, self.fingerprint, at.astimezone(UTC).isoformat()))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


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
        self._tasks.start(self._purge(), name="old keys")

    async def _purge(self) -> None:
        while True:
            await asyncio.sleep(PURGE_SECONDS)
            try:
                await self._store.purge(before=self._clock.now() - KEPT_FOR)
            except Unavailable as error:
                log.warning("old keys stay for another while", error=error.message)

    async def run(
        self,
        who: Principal,
        key: str | None,
        request: bytes,
        act: Act,
        *,
        repeatable: bool,
        insist: bool = False,
    ) -> KeyedAnswer:
        """Do it, or answer what the first request with this key was answered.

        `request` is what must be the same (method, path, canonical body). `repeatable` says that doing it twice with
        the same seed has the effect of once: then a request that a restart cut short is simply done again. `insist`: do
        it even if the key cannot be stored (a stop). Raises IdempotencyMismatch for the same key with another request,
        Conflict for one cut short that cannot be repeated, and what `act` raises.
        """
        if key is None:
            return await act(None)
        if len(key) > MAX_KEY_CHARS or not re.fullmatch(KEY_PATTERN, key):
            raise BadInput("Idempotency-Key", f"An idempotency key has 1 to {MAX_KEY_CHARS} visible ASCII characters.")
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
            self._owned(_Keyed(owner, key, fingerprint, repeatable, insist), mine, act),
            name=f"keyed request of {who.user_id}",
        )
        outcome: KeyedAnswer | Exception = await asyncio.shield(work)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def close(self) -> None:
        await self._tasks.close()

    async def _owned(self, keyed: _Keyed, mine: _Running, act: Act) -> KeyedAnswer | Exception:
        answer = None
        try:
            answer = await self._first(keyed, act)
        except Exception as error:  # noqa: BLE001 - handed to the caller as a value
            return error
        finally:
            del self._running[keyed.owner, keyed.key]
            mine.done.set_result(answer)
        return answer

    async def _first(self, keyed: _Keyed, act: Act) -> KeyedAnswer:
        at = self._clock.now()
        try:
            async with asyncio.timeout(INSIST_TIMEOUT if keyed.insist else None):
                stored = await self._store.reserve(
                    keyed.owner, keyed.key, keyed.fingerprint, at=at, forget=at - KEPT_FOR
                )
        except (Unavailable, TimeoutError) as error:
            if not keyed.insist:
                raise
            log.error("done although its key cannot be stored", error=repr(error))
            return await act(keyed.seed(at))
        if stored is not None:
            if stored.fingerprint != keyed.fingerprint:
                raise _mismatch()
            if stored.status is not None:
                return self._again(keyed, stored.status, stored.body)
            if not keyed.repeatable:
                raise Conflict(
                    "A request with this key was cut short by a restart. See whether it took effect; "
                    "to try again, use a new key."
                )
            at = stored.created_at or at
        try:
            answer = await act(keyed.seed(at))
        except Exception:
            await self._free(keyed)
            raise
        if answer.status in FREED_STATUSES:
            await self._free(keyed)
        else:
            await self._complete(keyed, answer)
        return answer

    async def _free(self, keyed: _Keyed) -> None:
        """Let the key be used again. What can be repeated keeps its place, and so its seed: if more was done than it
        seemed, doing it again adds nothing."""
        if not keyed.repeatable:
            await self._store.release(keyed.owner, keyed.key)

    async def _complete(self, keyed: _Keyed, answer: KeyedAnswer) -> None:
        if answer.secret:
            self._secrets[keyed.owner, keyed.key] = answer
            if len(self._secrets) > MAX_SECRETS:
                del self._secrets[next(iter(self._secrets))]
        body = b"" if answer.secret else answer.body
        try:
            await self._store.complete(keyed.owner, keyed.key, status=answer.status, body=body)
        except Exception as error:  # noqa: BLE001 - logged
            # It is done; saying that it failed would be wrong. A repetition after a restart is then not recognised.
            log.error("answer to a keyed request could not be stored", error=repr(error))

    def _again(self, keyed: _Keyed, status: int, body: bytes) -> KeyedAnswer:
        if body:
            return KeyedAnswer(status, body)
        kept = self._secrets.get((keyed.owner, keyed.key))
        if kept is None:
            raise Conflict("This was done already, and its answer was shown once. Revoke it and make a new one.")
        return kept


def _mismatch() -> IdempotencyMismatch:
    return IdempotencyMismatch("This idempotency key was used for another request.")
