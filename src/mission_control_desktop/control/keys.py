"""A new master key for everything that is sealed, and what is known of the keys."""

from __future__ import annotations

import asyncio

import structlog

from mission_control_desktop.domain.errors import Unavailable, Unsupported
from mission_control_desktop.domain.keys import KeyRotation, KeyStatus, Unopenable
from mission_control_desktop.storage.database import Database
from mission_control_desktop.storage.master_keys import MasterKeys
from mission_control_desktop.storage.sealed import keys_in_use, reseal_all, unopenable

log = structlog.get_logger(__name__)


class Keys:
    """`source` None: of a control plane that was given its keys by hand; they cannot be rotated."""

    def __init__(self, database: Database, source: MasterKeys | None) -> None:
        self._database = database
        self._sealer = database.sealer
        self._source = source
        self._lock = asyncio.Lock()
        self.closed = 0
        """How many secrets could not be opened when they were looked at last."""

    async def check(self) -> None:
        """Name in the log what cannot be opened."""
        found = await self._database.access.read(lambda c: list(unopenable(c, self._sealer)))
        for place, problem in found:
            log.error("a secret cannot be opened", place=place, problem=problem)
        self.closed = len(found)

    async def status(self) -> KeyStatus:
        try:
            await asyncio.to_thread(self._sealer.follow)
        except Unavailable as error:
            log.error("the current master key is not to be had", problem=error.message)
        rows: dict[str, dict[str, int]] = {}
        for column, counted in (await self._database.access.read(keys_in_use)).items():
            for key_id, number in counted.items():
                rows.setdefault(key_id or "damaged", {})[column] = number
        closed = await self._database.access.read(lambda c: list(unopenable(c, self._sealer)))
        return KeyStatus(
            source=await self._place(),
            key_id=self._sealer.key_id,
            known=self._sealer.key_ids,
            rows=rows,
            unopenable=tuple(Unopenable(place=place, problem=problem) for place, problem in closed),
        )

    async def rotate(self) -> KeyRotation:
        """Make a new key (with one of the environment: take what it says now), seal everything with it in one
        transaction, and only then forget the old ones. Cut short anywhere, everything can still be opened, and doing
        it again finishes it. Raises Unavailable if the key or the record cannot be written."""
        source = self._source
        if source is None:
            raise Unsupported("This control plane was given its master key by the program that runs it.")
        async with self._lock:
            previous = self._sealer.key_id
            keys = await asyncio.to_thread(source.begin_rotation)
            self._sealer.use(keys)
            done = await self._database.access.write(lambda c: reseal_all(c, self._sealer))
            in_use = await self._database.access.write(keys_in_use)
            keep = {keys[0].id, *(key_id for counted in in_use.values() for key_id in counted)}
            forgotten = await asyncio.to_thread(source.forget, sorted(keep))
            self._sealer.use(await asyncio.to_thread(source.load))
            self.closed = len(done.left)
            log.info("the master key was changed", key=keys[0].id, previous=previous, resealed=done.values)
            return KeyRotation(
                source=await self._place(),
                key_id=keys[0].id,
                previous_key_id=previous,
                resealed=done.values,
                refreshed=done.others,
                left=done.left,
                forgotten=forgotten,
            )

    async def _place(self) -> str | None:
        if self._source is None:
            return None
        try:
            place = await asyncio.to_thread(lambda source: source.place, self._source)
        except Unavailable as error:
            log.warning("the place of the master key is not known", problem=error.message)
            return None
        return None if place is None else place.value
