"""What a check comes to, and how the checks are named."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mission_control_desktop.providers.conformance.bench import Bench


class Broken(AssertionError):
    """A promise that was not kept; the message says what was promised and what was seen."""


class Skipped(Exception):
    """The check does not apply to this adapter; the message says why."""


class Verdict(StrEnum):
    KEPT = "kept"
    BROKEN = "BROKEN"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the contract. `part` groups checks in the table, `promise` is the sentence that is checked."""

    name: str
    part: str
    promise: str
    run: Callable[[Bench], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`detail` is the reason of what was skipped or broken; `seconds` is how long it took."""

    check: Check
    verdict: Verdict
    detail: str = ""
    seconds: float = 0.0


Run = Callable[["Bench"], Awaitable[None]]


class Part:
    """Collects the checks of one part of the contract. A check's name is its function's, its promise the docstring."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.checks: list[Check] = []

    def __call__(self, run: Run) -> Run:
        promise = " ".join((run.__doc__ or "").split())
        name = getattr(run, "__name__", "").replace("_", "-")
        if not promise or not name:
            raise TypeError("a check has a name, and its promise as its docstring")
        self.checks.append(Check(name=name, part=self.title, promise=promise, run=run))
        return run


def demand(holds: object, said: str) -> None:
    """Raises Broken with `said` unless it holds."""
    if not holds:
        raise Broken(said)
