"""The queue of what needs a person, as plain data: no Qt, no clock of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MAX_DECIDED = 5_000
"""Decisions that are remembered about needs that are not there now; at the limit the oldest are forgotten."""


class Cause(StrEnum):
    """Why somebody is needed, in order of rank."""

    APPROVAL = "approval"
    QUESTION = "question"
    UNREACHABLE = "unreachable"
    STALLED = "stalled"
    FAILED = "failed"


_RANK = {cause: number for number, cause in enumerate(Cause)}


@dataclass(frozen=True)
class Need:
    """One thing that needs a person. `key` names the occurrence: a new approval or another failure has another key.
    `mark` is different as soon as anything about it is. `session_id` is None where a whole provider is meant.
    `blocked` counts live agents that wait with it."""

    key: str
    cause: Cause
    provider: str
    session_id: str | None
    name: str
    since: datetime
    blocked: int = 0
    mark: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Shelf:
    """Put away until a moment, or (`until` None) until its mark is another one than `mark`."""

    until: datetime | None
    mark: str = ""

    def holds(self, need: Need, now: datetime) -> bool:
        """Whether the need stays away."""
        return now < self.until if self.until is not None else need.mark == self.mark


def rank(need: Need) -> tuple[int, int, datetime, str]:
    """Sorts by the cost of waiting, the dearest first. The cause decides: an approval or a question stands still until
    a person answers; what cannot be reached is out of control; what is stalled may stand still; what has failed costs
    nothing more by waiting. Among equal causes comes first what more live agents wait with, then what has waited
    longer. The key makes the order total."""
    return _RANK[need.cause], -need.blocked, need.since, need.key


class AttentionQueue:
    """Needs by key, and what a person decided about them."""

    def __init__(self) -> None:
        self.needs: dict[str, Need] = {}
        self.acknowledged: dict[str, None] = {}
        self.shelved: dict[str, Shelf] = {}

    def replace(self, needs: Iterable[Need]) -> None:
        """Take everything that needs a person now."""
        self.needs = {need.key: need for need in needs}

    def open(self, now: datetime) -> list[Need]:
        """What is neither acknowledged nor shelved, by rank."""
        return sorted((need for need in self.needs.values() if not self.is_away(need, now)), key=rank)

    def is_away(self, need: Need, now: datetime) -> bool:
        """Whether a person has put it away, for good or until later."""
        if need.key in self.acknowledged:
            return True
        shelf = self.shelved.get(need.key)
        return shelf is not None and shelf.holds(need, now)

    def acknowledge(self, key: str) -> None:
        """It never comes back; a new cause has another key."""
        self.acknowledged[key] = None
        self.shelved.pop(key, None)

    def shelve(self, key: str, until: datetime | None) -> None:
        """Put it away until a moment, or (None) until something about it changes. Without effect if it is not there."""
        if (need := self.needs.get(key)) is not None:
            self.shelved[key] = Shelf(until, need.mark)

    def forget(self, now: datetime) -> list[str]:
        """Drop decisions that are over, and the oldest beyond the limit about what is not there; their keys."""
        gone = [key for key, shelf in self.shelved.items() if shelf.until is not None and shelf.until <= now]
        for kept in (self.acknowledged, self.shelved):
            idle = [key for key in kept if key not in self.needs]
            gone += idle[: max(0, len(idle) - MAX_DECIDED)]
        for key in gone:
            self.acknowledged.pop(key, None)
            self.shelved.pop(key, None)
        return gone
