"""A power cut took the end of the journal, and the record knows more than the fold: what follows from that.

What the record has as handed over is not sent again; what it has and the journal has not can be sent no more, and says
so; a session whose end is on record stays ended.
"""

from __future__ import annotations

from typing import Any

from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.orchestrator.core.ending import Ending, Outcome
from mission_control_desktop.orchestrator.core.inject import Phase
from mission_control_desktop.orchestrator.core.parts import Parts
from mission_control_desktop.orchestrator.core.step import Step
from mission_control_desktop.record.ops import PutReceipt

LOST = "A power cut took it from the session's journal before it was handed over. Send it again."
UNCERTAIN = "A power cut took the end of the session's journal: it was handed over, and what became of it is not known."
FIRST_UNCERTAIN = (
    "A power cut took the end of the session's journal: whether the first message was handed over is not known, so it "
    "is not sent again."
)

_WAITS = (ReceiptState.STORED, ReceiptState.QUEUED)
_HANDED = (*_WAITS, ReceiptState.DELIVERED)


def close(step: Step, parts: Parts, ending: Ending, data: dict[str, Any]) -> None:
    """Take what the record has: `data` of a `void` entry."""
    for cell in (parts.root, *parts.children.cells()):
        cell.transcript.gap()
    session_id = parts.root.record.session_id
    for item in parts.queue:
        if item.receipt is None:
            parts.queue.take(item, Phase.DONE)
            parts.root.transcript.notice(step, "warning", FIRST_UNCERTAIN)
    states = _states(data.get("receipts"))
    for item in parts.queue.unfinished():
        state = states.pop(item.ref, None)
        if state is None or state in _WAITS:
            continue
        if item.phase is Phase.WAITING:
            ended = state in (ReceiptState.ANSWERED, ReceiptState.FAILED, ReceiptState.WITHDRAWN)
            parts.queue.finish(step, item, state if ended else ReceiptState.FAILED, detail=None if ended else UNCERTAIN)
    for injection_id, state in states.items():
        if state in _HANDED and parts.queue.get(injection_id) is None:
            why = UNCERTAIN if state is ReceiptState.DELIVERED else LOST
            receipt = Receipt(
                injection_id=injection_id, session_id=session_id, state=ReceiptState.FAILED, at=step.at, detail=why
            )
            step.write(PutReceipt(receipt=receipt))
    if ending.outcome is None and (status := _final(data.get("status"))) is not None:
        ending.outcome = Outcome(status, ended_by=data.get("endedBy") if isinstance(data.get("endedBy"), str) else None)


def _states(given: Any) -> dict[str, ReceiptState]:
    found = {}
    for injection_id, state in given.items() if isinstance(given, dict) else ():
        try:
            found[str(injection_id)] = ReceiptState(state)
        except ValueError:
            continue
    return found


def _final(given: Any) -> SessionStatus | None:
    try:
        status = SessionStatus(given)
    except ValueError:
        return None
    return status if status.final else None
