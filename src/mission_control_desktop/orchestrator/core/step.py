"""One step of the fold: what one journal entry brings about, collected in the order in which it came up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.orchestrator.core.effects import Answered, Do, Effect, Relaunch, Send, SetTimer, Write
from mission_control_desktop.orchestrator.core.runtime import Outgoing
from mission_control_desktop.record.ops import RecordOp

IDS_PER_ENTRY = 256
"""More than can go out in one step. A request's id is entry number * 256 + place: unique, and the same on replay."""

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class Step:
    """Collects effects. The record's changes come first in the result, then answers, then what touches the world."""

    def __init__(self, n: int, t: float) -> None:
        self.n = n
        self.t = t
        self.durable = False
        self._ops: list[RecordOp] = []
        self._actions: list[Effect] = []
        self._keys: set[str] = set()
        self._answers: list[tuple[str, Callable[[], Any]]] = []
        self._refusals: list[Answered] = []
        self._ids = 0
        self._requests = 0
        self._at: datetime | None = None

    @property
    def at(self) -> datetime:
        """The entry's time."""
        if self._at is None:
            try:
                self._at = datetime.fromtimestamp(self.t, UTC)
            except (OverflowError, OSError, ValueError):
                self._at = _EARLIEST
        return self._at

    def new_id(self, prefix: str) -> str:
        """An id derived from the entry's number: PREFIX-N, then PREFIX-N-1 and so on."""
        place, self._ids = self._ids, self._ids + 1
        return f"{prefix}-{self.n}-{place}" if place else f"{prefix}-{self.n}"

    def next_request(self) -> int:
        place, self._requests = self._requests, self._requests + 1
        return self.n * IDS_PER_ENTRY + place

    def write(self, op: RecordOp) -> None:
        self._ops.append(op)

    def send(self, lines: Sequence[Outgoing]) -> str | None:
        """Have the lines written; the key of the last one, or None if there is none."""
        key = None
        for outgoing in lines:
            key = self._key(outgoing.name)
            self._actions.append(Send(key=key, line=outgoing.line))
        return key

    def do(self, what: Literal["freeze", "thaw", "eof", "term", "kill"]) -> str:
        key = self._key(what)
        self._actions.append(Do(key=key, what=what))
        return key

    def relaunch(self) -> None:
        self._actions.append(Relaunch())

    def _key(self, name: str) -> str:
        key, again = f"{self.n}:{name}", 1
        while key in self._keys:
            again += 1
            key = f"{self.n}:{name}.{again}"
        self._keys.add(key)
        return key

    def set_timer(self, name: str, seconds: float) -> str:
        """Start a timer; its name carries the entry's number, so that a late one is never taken for a newer one."""
        full = f"{name}:{self.n}"
        self._actions.append(SetTimer(name=full, seconds=seconds))
        return full

    def stop_timer(self, full_name: str | None) -> None:
        if full_name is not None:
            self._actions.append(SetTimer(name=full_name, seconds=None))

    def answer(self, command_id: str, value: Callable[[], Any]) -> None:
        """Answer a command with what `value` gives at the end of the step; it waits for a durable write."""
        self.durable = True
        self._answers.append((command_id, value))

    def refuse(self, command_id: str, error: MissionControlError) -> None:
        self.refuse_as(command_id, error.code, error.message)

    def refuse_as(self, command_id: str, code: str, message: str) -> None:
        self._refusals.append(Answered(command_id=command_id, error_code=code, error_message=message))

    def effects(self) -> list[Effect]:
        result: list[Effect] = []
        if self._ops:
            result.append(Write(ops=tuple(self._ops), durable=self.durable))
        result.extend(Answered(command_id=command_id, value=value()) for command_id, value in self._answers)
        result.extend(self._refusals)
        result.extend(self._actions)
        return result
