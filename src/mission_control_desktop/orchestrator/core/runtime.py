"""The seam between the session's pure heart and one kind of agent.

A runtime is a pure state machine too: it turns the agent's lines into events, and the core's intents into lines. It
owns the protocol and nothing else; turns, queues, approvals, pausing and stopping are the core's and the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.orchestrator.core.events import Event
from mission_control_desktop.orchestrator.core.spec import SessionSpec

Steering = Literal["request", "pull"]

NextId = Callable[[], int]
"""Gives request ids, derived from the journal entry that is being folded: the same on every replay."""


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One line for the agent. `name` says what it is; the key of the effect is made of it and the entry's number."""

    name: str
    line: str


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What a line meant, and what the protocol itself wants sent in answer."""

    events: tuple[Event, ...] = ()
    out: tuple[Outgoing, ...] = ()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the agent: probed where possible, else from the table of known agents."""

    agent: str = "The agent"
    """How to call it in a sentence."""
    steering: Steering | None = None
    """How a message gets into a running turn: we send a request, the agent pulls, or not at all (None)."""
    can_close: bool = False
    ignores_eof: bool = False
    cancel_leaves_tools: bool = False
    no_resume: str | None = "It does not offer to resume a session in a new process."
    """Why a session cannot go on in a new process; None: it can."""
    resume_repeats: bool = False
    """In a new process it would carry out the order that it had not answered once more."""
    notes: tuple[str, ...] = ()
    """Sentences for the operator about how this agent differs."""


class Runtime(Protocol):
    """No method raises for anything that an agent says."""

    @property
    def facts(self) -> Facts: ...

    @property
    def stage(self) -> str:
        """The step of the opening that is waited for (each has a time limit), or `ready`, or `failed`."""
        ...

    def open(self) -> Sequence[Outgoing]:
        """Begin to talk. `Ready` or `Failed` follows."""
        ...

    def lost(self, *, fresh: bool) -> None:
        """The process is gone; `open` comes again, to a new one. `fresh`: nothing was said to the old one, so that a
        new session will do; else the session is resumed."""
        ...

    def receive(self, line: str) -> Received: ...

    def prompt(self, ref: str, text: str) -> Sequence[Outgoing]:
        """Start a turn. A `TurnState` idle with this `ref` ends it. Called only when no turn of ours is running."""
        ...

    def steer(self, ref: str, text: str) -> Sequence[Outgoing]:
        """Put a message into the running turn; `SteerResult` follows. Called only if `facts.steering` is `request`."""
        ...

    def cancel(self, session: str | None = None) -> Sequence[Outgoing]:
        """Stop the turn of the root, or the work of a sub-agent that allows it."""
        ...

    def answer(self, token: str, option_id: str | None) -> Sequence[Outgoing]:
        """Answer a permission question; None says that the turn was cancelled. Empty if it is not open any more."""
        ...

    def withdrawn(self, token: str) -> Sequence[Outgoing]:
        """Confirm that a question which the agent took back was dropped."""
        ...

    def pulled(self, token: str, messages: Sequence[str]) -> Sequence[Outgoing]: ...

    def close(self) -> Sequence[Outgoing]:
        """Ask the agent to close the session; `Closed` follows. Called only if `facts.can_close`."""
        ...


def _acp(spec: SessionSpec, next_id: NextId) -> Runtime:
    # Imported late: the runtimes import this module.
    from mission_control_desktop.orchestrator.acp.runtime import AcpRuntime

    return AcpRuntime(spec, next_id)


RUNTIMES: dict[str, Callable[[SessionSpec, NextId], Runtime]] = {"acp": _acp}
"""By the name that launch profiles use. A new kind of agent is added here and nowhere else."""


def create_runtime(spec: SessionSpec, next_id: NextId) -> Runtime:
    """The runtime that a session asks for. Raises BadInput for a name that is not registered."""
    factory = RUNTIMES.get(spec.runtime)
    if factory is None:
        raise BadInput("runtime", f"There is no runtime {spec.runtime!r}; there is: {', '.join(sorted(RUNTIMES))}.")
    return factory(spec, next_id)
