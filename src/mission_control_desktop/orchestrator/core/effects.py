"""What the core wants done. Every effect that touches the world has a key derived from the entry that caused it, so
that after a crash the effects of the whole journal are computed again and only those not yet carried out are done."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mission_control_desktop.record.ops import RecordOp


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """Write one JSON-RPC line to the agent (keeper op `send`); done when an `out` entry has this key."""

    key: str
    line: str


class Do(msgspec.Struct, frozen=True, kw_only=True):
    """Have the keeper freeze, thaw, close standard input, or signal the tree; done when a `did` entry has this key."""

    key: str
    what: Literal["freeze", "thaw", "eof", "term", "kill"]


class Relaunch(msgspec.Struct, frozen=True, kw_only=True):
    """Start a new keeper on this journal; done when a `start` entry follows."""


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """Changes for the record, in order; idempotent through the journal cursor. `durable`: someone waits for them."""

    ops: tuple[RecordOp, ...]
    durable: bool = False


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of the command with this id: a value for the caller, or an error of `domain.errors` by code."""

    command_id: str
    value: Any = None
    error_code: str | None = None
    error_message: str | None = None


class SetTimer(msgspec.Struct, frozen=True, kw_only=True):
    """After so many seconds (counted from the entry's time) journal the command `timer` with this name.

    Setting a name again replaces it; `seconds=None` cancels it.
    """

    name: str
    seconds: float | None


Effect = Send | Do | Relaunch | Write | Answered | SetTimer
