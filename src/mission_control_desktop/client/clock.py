"""The real clock and id source of a client process."""

from __future__ import annotations

from datetime import UTC, datetime

import uuid_utils


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Uuid7Ids:
    def new(self) -> str:
        return uuid_utils.uuid7().hex
