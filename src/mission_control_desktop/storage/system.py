"""The real clock and the real source of ids."""

from __future__ import annotations

from datetime import UTC, datetime

import uuid_utils


class SystemClock:
    """`domain.clock.Clock` on the computer's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Uuid7:
    """`domain.clock.IdSource`: UUIDv7 (RFC 9562) as 32 hex digits. Safe to call from any thread."""

    def new(self) -> str:
        return uuid_utils.uuid7().hex
