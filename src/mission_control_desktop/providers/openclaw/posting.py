"""Getting messages to the gateway: in order, each under its one key, again until the gateway has said what it did.

The gateway answers a key that it knows with what became of it, as long as it lives. One that was killed may have
forgotten; so what may have been sent before is looked for in the session's history before it is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from mission_control_desktop.domain.errors import MissionControlError, Unreachable
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import Delivery
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.providers.openclaw.board import Board
from mission_control_desktop.providers.openclaw.letters import Letters, Sent
from mission_control_desktop.providers.openclaw.transcript import key_of
from mission_control_desktop.providers.openclaw.trouble import Later

SEND_TIMEOUT = 300.0
"""A busy gateway may take long. Asking a second time while the first may still be under way is what could double it;
a connection that is dead is found out by its silence."""
RETRY_FOR = 15.0
"""Seconds in which a gateway that cannot take a message now is asked again."""
RETRY_EVERY, RETRY_MOST = 1.0, 30.0

QUEUE_MODES = {Delivery.STEER: "steer", Delivery.QUEUE: "followup", Delivery.INTERRUPT: "interrupt"}
UNCONFIRMED = "The gateway has not confirmed it yet. It is asked again, with the same key, until it does."
_WHAT: dict[Delivery | None, str] = {
    None: "it starts the next turn.",
    Delivery.STEER: "it goes into the running turn at the agent's next step, or after a turn that only just begins.",
    Delivery.QUEUE: "it waits for the end of the running turn.",
    Delivery.INTERRUPT: "the running turn was stopped for it.",
}

log = structlog.get_logger(__name__)
Call = Callable[..., Awaitable[Any]]


class Posting:
    """`look(key)` brings the session's history level and calls `release` then."""

    def __init__(self, letters: Letters, board: Board, call: Call, tasks: Tasks, look: Callable[[str], None]) -> None:
        self._letters = letters
        self._board = board
        self._call = call
        self._tasks = tasks
        self._look = look
        self._held: set[str] = set()
        self._under_way: set[str] = set()

    def hold(self, key: str) -> None:
        """Send nothing to the session before its history was looked at."""
        self._held.add(key)

    def release(self, key: str) -> None:
        self._held.discard(key)
        self.start(key)

    def start(self, key: str) -> None:
        """Send what waits for the session."""
        if key not in self._held and key not in self._under_way and any(one.waits for one in self._letters.of(key)):
            self._under_way.add(key)
            self._tasks.start(self._send_all(key), name=f"post {key}")

    async def _send_all(self, key: str) -> None:
        try:
            while key not in self._held:
                waiting = next((one for one in self._letters.of(key) if one.waits), None)
                if waiting is None:
                    return
                await self._send(waiting)
        finally:
            self._under_way.discard(key)

    async def _send(self, sent: Sent) -> None:
        try:
            steered = await self._post(sent)
        except Unreachable:
            sent.doubtful = True
            self.hold(sent.key)
            await self._letters.to(sent, sent.receipt.state, UNCONFIRMED)
            self._look(sent.key)
        except MissionControlError as error:
            sent.error = error
            await self._letters.to(sent, ReceiptState.FAILED, error.message)
        else:
            sent.confirmed, sent.doubtful = True, False
            detail = "The gateway has it; " + _WHAT[sent.letter.delivery if steered else None]
            await self._letters.to(sent, ReceiptState.QUEUED, detail)
        finally:
            sent.tried.set()

    async def _post(self, sent: Sent) -> bool:
        """Whether it went to a running turn. Raises Unreachable if it is not known whether the gateway has it; another
        error if it has not."""
        params: dict[str, Any] = {
            "sessionKey": sent.key,
            "message": sent.letter.content,
            "idempotencyKey": key_of(sent.id),
            # Also where no turn runs: the same key with another mode is another message to the gateway.
            "queueMode": QUEUE_MODES[sent.letter.delivery],
        }
        known = self._board.get(sent.key)
        working = known is not None and known.active
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + RETRY_FOR, RETRY_EVERY
        while True:
            try:
                await self._call("chat.send", params, timeout=SEND_TIMEOUT)
            except Later as error:
                # It took nothing now. What it may have taken before is not failed for that.
                wait = max(pause, error.retry_after or 0.0)
                if not sent.doubtful and loop.time() + wait - pause >= deadline:
                    raise
                await asyncio.sleep(wait)
                pause = pause if loop.time() < deadline else min(2 * pause, RETRY_MOST)
            else:
                return working
