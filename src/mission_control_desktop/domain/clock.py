"""Time and ids are injected: one owner for each, so that tests decide."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC time."""
        ...


class IdSource(Protocol):
    def new(self) -> str:
        """A new unique id, sortable by time (UUIDv7, RFC 9562), as 32 hex digits."""
        ...
