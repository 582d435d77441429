"""Reading a session's history: whole pages, what came since a cursor, and the whole of what was cut."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.providers.openclaw.rows import Known
from mission_control_desktop.providers.openclaw.transcript import cut
from mission_control_desktop.providers.openclaw.values import mapping, mappings, text, whole

PAGE = 200
MAX_PAGES = 500
"""Of one session's history: 100,000 rows. Older ones stay on the gateway."""

log = structlog.get_logger(__name__)
Call = Callable[[str, dict[str, Any]], Awaitable[Any]]


class History:
    """What was read: rows in their order, and the cursor to continue from. `head` is the newest page's rest."""

    __slots__ = ("cursor", "head", "rows")

    def __init__(self, rows: list[dict[str, Any]], head: dict[str, Any]) -> None:
        self.rows = rows
        self.head = head
        self.cursor = text(head, "deltaCursor")


def number_of(row: dict[str, Any]) -> int:
    return whole(mapping(row.get("__openclaw")), "seq") or 0


def running_of(head: dict[str, Any], known: Known) -> str | None:
    """The run that is under way, by the newest page of the history; None if the gateway does not tell. It also calls a
    message in flight that only waits for the run's end."""
    waiting, in_flight = _waiting(head), _in_flight(head)
    for run_id in (in_flight, known.run_id):
        if run_id is not None and run_id not in waiting:
            return run_id
    # The first turn is being prepared: its message stands in no transcript yet.
    return in_flight if in_flight == known.run_id else None


def finds_its_place(head: dict[str, Any], known: Known) -> bool:
    """Whether the gateway has just taken a message behind the run that is under way, and has not put it into its queue
    yet: it calls it in flight for so long (seen on 2026.9.6)."""
    in_flight = _in_flight(head)
    return in_flight is not None and in_flight != known.run_id and in_flight in _waiting(head)


def _waiting(head: dict[str, Any]) -> set[str | None]:
    return {text(item, "runId") for item in mappings(mapping(head.get("pendingInputs")).get("items"))}


def _in_flight(head: dict[str, Any]) -> str | None:
    return text(mapping(head.get("inFlightRun")), "runId")


async def read_since(call: Call, key: str, cursor: str) -> History | None:
    """What was written since; None if the gateway cannot tell, so that pages must be read."""
    answer = mapping(await call("chat.history", {"sessionKey": key, "cursor": cursor}))
    if text(answer, "kind") != "delta":
        return None
    return History([_row_of(one) for one in mappings(answer.get("messages"))], answer)


async def read_after(call: Call, key: str, number: int) -> History:
    """The newest rows back to the one of that number, which is included with the rest of its page."""
    head: dict[str, Any] = {}
    pages: list[list[dict[str, Any]]] = []
    offset = 0
    for _ in range(MAX_PAGES):
        wanted: dict[str, Any] = {"sessionKey": key, "limit": PAGE}
        if offset:
            wanted["offset"] = offset
        answer = mapping(await call("chat.history", wanted))
        head = head or answer
        rows = mappings(answer.get("messages"))
        pages.append(rows)
        following = whole(answer, "nextOffset")
        reached = bool(rows) and number > 0 and number_of(rows[0]) <= number
        if reached or answer.get("hasMore") is not True or following is None or following <= offset:
            break
        offset = following
    found: dict[tuple[object, int], dict[str, Any]] = {}
    for rows in reversed(pages):
        for row in rows:
            # Pages shift while something is written: the same row may stand on two of them.
            found[mapping(row.get("__openclaw")).get("id"), number_of(row)] = row
    return History(sorted(found.values(), key=number_of), head)


async def whole_row(call: Call, key: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row with all of its text, if the gateway shortened it."""
    row_id = text(mapping(row.get("__openclaw")), "id")
    if not cut(row) or row_id is None:
        return row
    try:
        answer = mapping(await call("chat.message.get", {"sessionKey": key, "messageId": row_id}))
    except MissionControlError as error:
        log.warning("a long message stays cut", session=key, error=error.message)
        return row
    full = mapping(answer.get("message"))
    return {**row, "content": full["content"]} if full.get("content") is not None else row


def _row_of(payload: dict[str, Any]) -> dict[str, Any]:
    """A delta's entries have the shape of `session.message` payloads."""
    return mapping(payload.get("message")) or payload


def row_of_event(payload: dict[str, Any]) -> dict[str, Any]:
    """The row of a `session.message` event, with its id and number where a row has them."""
    row = dict(mapping(payload.get("message")))
    about = dict(mapping(row.get("__openclaw")))
    about.setdefault("id", payload.get("messageId"))
    about.setdefault("seq", payload.get("messageSeq"))
    return {**row, "__openclaw": about}
