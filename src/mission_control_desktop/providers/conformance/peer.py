"""What the author of an adapter brings along: the runtime at the other end, and the hands to move it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.providers.contract import AgentProvider


class Cannot(Exception):
    """Raised by a `Peer` for what its runtime does not have. The check that wanted it is skipped, with this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How the adapter reaches the peer. `wrong` are credentials that the peer refuses; None if it takes any."""

    gateway_url: str
    credentials: Credentials
    wrong: Credentials | None = None


class Peer(Protocol):
    """A runtime that does what a check wants, from behind: as its own users, agents and accidents would.

    One peer serves all checks; each makes sessions of its own in it. Session ids are the runtime's own (native). Any
    method may raise `Cannot(reason)`. None may go through the adapter that is checked, where there is another way:
    what the adapter does is judged by what the peer saw. Calls come from one event loop, one after the other.
    """

    @property
    def patience(self) -> float:
        """Seconds within which anything comes about at this peer, however busy the computer is. Checks wait for
        states and never for times, so a large value costs nothing while all is well."""
        ...

    async def start(self, folder: Path) -> None:
        """Bring the runtime up. `folder` is empty, and gone afterwards."""
        ...

    async def close(self) -> None:
        """End the runtime and everything that it started. Called also when `start` failed half-way."""
        ...

    def access(self) -> Access:
        """Known once started. The address stays the same for the peer's whole life."""
        ...

    async def new_session(self, *, parent: str | None = None) -> str:
        """A new session that waits for an operator; with `parent` a sub-session of that one. Returns its id."""
        ...

    async def say(self, session: str, words: Sequence[str], *, pause: float = 0.0) -> None:
        """Have the agent of an idle session say these words, in order, `pause` seconds apart, and then be idle
        again. Returns once it has begun. Words have no spaces; what is around them does not matter, as long as each
        is said once. What makes the agent speak may stand in the transcript, but not as something the agent said."""
        ...

    async def work(self, session: str) -> None:
        """Have the agent of an idle session be at work, until it is stopped. Returns once it is."""
        ...

    async def works(self, session: str) -> bool:
        """Whether anything of the session is at work, by the runtime's own account (its processes, its list)."""
        ...

    async def end(self, session: str) -> None:
        """End the session, as its own user or the runtime would; nothing is done to one that has ended. The kit does it
        also to tidy up after a check."""
        ...

    async def heard(self, session: str) -> Sequence[str]:
        """The operators' messages that the runtime took for this session, each as often as it was handed over to the
        agent (or will be). More text around a message does not matter."""
        ...

    async def ask(self, session: str) -> None:
        """Have the agent of an idle session ask for permission, and wait for it. Returns once it does."""
        ...

    async def answers(self, session: str) -> Sequence[str]:
        """The ids of the options that the runtime was given as answers to the session's questions, in order."""
        ...

    async def cut(self) -> None:
        """Cut all connections to the runtime, as a network does. It runs on, and takes new connections."""
        ...

    async def away(self) -> None:
        """End the runtime, as a crash does: it is not reachable until `back`. Its sessions stay in its store."""
        ...

    async def back(self) -> None:
        """Start the runtime again, at the same address, with the sessions and transcripts that it had."""
        ...

    def spawning(self) -> SpawnRequest:
        """What starts a session through the adapter; `Cannot` if sessions are started elsewhere only."""
        ...


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """Names, in the place of a kind, a provider that no entry point brings: the peer itself makes it (`provider`)."""

    name: str


class Brings(Protocol):
    """What the peer of a `BuiltIn` has besides."""

    def provider(self) -> AgentProvider:
        """A new one over the same runtime, not started."""
        ...


class MemoryKeep:
    """`providers.kinds.Keep` in memory."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def load(self) -> dict[str, str]:
        return dict(self.values)

    async def save(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
