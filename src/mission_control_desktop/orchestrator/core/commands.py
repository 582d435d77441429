"""Decisions of the control plane, as they stand in the journal (`cmd` entries)."""

from __future__ import annotations

import msgspec

from mission_control_desktop.domain.sessions import Delivery


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag=str.lower, rename="camel"):
    """Base of all; `id` is unique per decision and deduplicates it. `session_id` is the native id of the target: the
    root session of this agent process or one of the sub-sessions that the agent reported; None is the root."""

    id: str
    session_id: str | None = None
    expected_run_id: str | None = None


class Inject(Command, frozen=True, kw_only=True):
    """`id` is the injection id."""

    content: str
    operator_id: str
    delivery: Delivery | None = None
    pause_before_send: bool = False


class Withdraw(Command, frozen=True, kw_only=True):
    injection_id: str


class Edit(Command, frozen=True, kw_only=True):
    """Other words for a message that waits. `was` is the `inject.digest` of those that it had for who wrote them."""

    injection_id: str
    content: str
    was: str
    operator_id: str


class Move(Command, frozen=True, kw_only=True):
    """Another place for a message that waits; `position` counts from 1."""

    injection_id: str
    position: int


class Pause(Command, frozen=True, kw_only=True):
    level: str | None = None


class Resume(Command, frozen=True, kw_only=True):
    pass


class Cancel(Command, frozen=True, kw_only=True):
    """The running turn, not the session."""


class Terminate(Command, frozen=True, kw_only=True):
    pass


class Kill(Command, frozen=True, kw_only=True):
    pass


class Answer(Command, frozen=True, kw_only=True):
    approval_id: str
    option_id: str
    user_id: str


class Timer(Command, frozen=True, kw_only=True):
    name: str


class Children(Command, frozen=True, kw_only=True):
    """How many sub-agent sessions that this agent spawned through Mission Control are alive now."""

    alive: int


AnyCommand = Inject | Withdraw | Edit | Move | Pause | Resume | Cancel | Terminate | Kill | Answer | Timer | Children
