"""Clocks that tests move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class MovedClock:
    """The computer's time, and as much later as a test says."""

    def __init__(self) -> None:
        self.later = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.later


class StoppedClock:
    """Stands still until a test says that time passes."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
