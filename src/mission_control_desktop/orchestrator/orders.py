"""Decisions on their way into a session's journal, and those who wait for what comes of them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import structlog

from mission_control_desktop.domain.errors import (
    BadInput,
    MissionControlError,
    RateLimited,
    Unavailable,
    Unreachable,
    by_code,
)
from mission_control_desktop.orchestrator.core.commands import Command
from mission_control_desktop.orchestrator.core.effects import Answered
from mission_control_desktop.orchestrator.keeper import client as keeper

log = structlog.get_logger(__name__)

MAX_WAITING_COMMANDS = 256
_ENDS = ("kill", "terminate")


class Orders:
    """Posted to the keeper by `run`, while there is a `link`; those on the way when a connection broke are brought
    again. An order acts when it comes back as a journal entry (`journaled`), and is `answered` by the fold."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._unsent: dict[str, dict[str, Any]] = {}
        """Commands that are not in the journal yet, by id."""
        self._posted: set[str] = set()
        self._journaled: dict[str, asyncio.Event] = {}
        self._news = asyncio.Event()
        self._waiters: dict[str, list[asyncio.Future[tuple[int, Answered]]]] = {}
        self._link: keeper.KeeperLink | None = None

    # -- what the driver tells

    def attached(self, link: keeper.KeeperLink) -> None:
        """A new connection: what was on the way over the old one may not have arrived."""
        self._posted.clear()

    def live(self, link: keeper.KeeperLink) -> None:
        """The journal is folded up to now: what it lacks is posted."""
        self._link = link
        self._news.set()

    def detached(self) -> None:
        self._link = None

    def journaled(self, command_id: str) -> None:
        """The command stands in the journal."""
        self._unsent.pop(command_id, None)
        self._posted.discard(command_id)
        if (seen := self._journaled.get(command_id)) is not None:
            seen.set()

    def answered(self, number: int, answer: Answered) -> None:
        """Entry `number` gave the command's outcome."""
        for future in self._waiters.get(answer.command_id, []):
            if not future.done():
                future.set_result((number, answer))

    def over(self, error: MissionControlError) -> None:
        """Nothing will be carried out any more."""
        self.refuse(error)
        self._unsent.clear()

    def refuse(self, error: MissionControlError) -> None:
        for futures in self._waiters.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)

    def ends(self) -> list[dict[str, Any]]:
        """Orders to end the session that have not reached the journal."""
        return [data for data in self._unsent.values() if data.get("command") in _ENDS]

    # -- orders

    def post(self, command: Command) -> None:
        """Journal a command as soon as possible, and ask for no answer."""
        self._unsent.setdefault(command.id, msgspec.to_builtins(command))
        self._news.set()

    async def journal(self, command: Command, *, seconds: float) -> bool:
        """Journal a command and wait until it stands there; False if it did not within `seconds`."""
        seen = self._journaled.setdefault(command.id, asyncio.Event())
        self.post(command)
        try:
            async with asyncio.timeout(seconds):
                await seen.wait()
        except TimeoutError:
            return False
        finally:
            self._journaled.pop(command.id, None)
        return True

    async def carried_out(self, command: Command, *, deadline: float) -> tuple[int, Answered]:
        """Journal a command and wait for its outcome: the number of the entry that gave it, and the answer.

        TimeoutError after `deadline` (the loop's time); Unavailable when too many wait.
        """
        if len(self._waiters) >= MAX_WAITING_COMMANDS:
            raise Unavailable("Too many commands are waiting for this session. Try again in a moment.")
        future: asyncio.Future[tuple[int, Answered]] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(command.id, []).append(future)
        self.post(command)
        try:
            async with asyncio.timeout_at(deadline):
                return await future
        finally:
            waiting = self._waiters.get(command.id, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._waiters.pop(command.id, None)

    async def run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            for command_id, data in list(self._unsent.items()):
                if self._link is None:
                    break  # posted when there is one again
                if command_id in self._posted:
                    continue
                self._posted.add(command_id)
                try:
                    await self._link.command(data)
                except keeper.KeeperRefused as error:
                    self._unsent.pop(command_id, None)
                    refusal = Unavailable(f"The agent's keeper did not take this: {error}.")
                    for future in self._waiters.get(command_id, []):
                        if not future.done():
                            future.set_exception(refusal)
                except keeper.KeeperGone as error:
                    log.info("command not posted, connection lost", session=self._session_id, error=str(error))
                    break


def error_of(answer: Answered) -> MissionControlError:
    """The refusal that an answer stands for."""
    message = answer.error_message or "refused"
    cls = by_code().get(answer.error_code or "", MissionControlError)
    if issubclass(cls, BadInput):
        return cls("", message)
    if issubclass(cls, RateLimited):
        return cls(message, retry_after=1)
    return cls(message)


def not_carried_out(seconds: float, problem: str | None) -> Unreachable:
    return Unreachable(
        f"The agent's keeper did not carry this out within {seconds:.0f} seconds"
        + (f" ({problem})" if problem else "")
        + ". It may still happen; watch the session."
    )
