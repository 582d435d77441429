"""What is painted in parts while a message grows is what would be painted whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QImage

from mission_control_desktop.domain.events import Delta, EventType, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.ui.transcript.highlight import Highlighter
from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.scheduler import FlushScheduler
from mission_control_desktop.ui.transcript.view import TranscriptView

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TEXTS = {
    "words": "Words (some of them long, like incomprehensibilities) that fill a line, and another: Ägypten, gypsum. "
    * 5,
    "one word without an end": "x" * 400,
    "styled": "Plain first. Then *leaning*, **bold** and `code` in one paragraph that goes on for some lines. " * 3,
    "paragraphs": "One paragraph of several words here.\n\nAnother, which is a little longer than the first one.\n\n"
    * 3,
    "list": "Before it:\n\n- one thing that is said in so many words that they need a second line\n- another\n\nafter",
    "code": "Look:\n\n```python\ndef f(x):\n    return [number + 1 for number in x if number] or [a_long_name_here]\n"
    "\n    # more\n```\n\nThat was it.",
    "right to left": "שלום עולם, these are words of both directions, שוב ושוב, and so on and on. " * 3,
}


@pytest.fixture
def view(qt: Any) -> Iterator[TranscriptView]:
    highlighter = Highlighter()
    made = TranscriptView(scheduler=FlushScheduler(hold=0.0, budget=1.0), highlighter=highlighter)
    made.set_transcript(TranscriptModel())
    qt.addWidget(made)
    made.resize(300, 260)
    made.show()
    qt.waitExposed(made)
    yield made
    highlighter.wait()


def on_screen(view: TranscriptView) -> QImage:
    """The window's own picture, put together from all the parts that were painted."""
    # A paint event of no more than is waited for: nothing is painted that was not asked for.
    image = view.screen().grabWindow(view.winId()).toImage()
    assert not image.isNull()
    return image.convertToFormat(QImage.Format.Format_RGB32)


def settled(qt: Any, view: TranscriptView) -> None:
    """Laid out and painted, with the colours of its code."""
    paints = view.paints
    view.flush()
    qt.waitUntil(lambda: view.paints > paints)
    qt.waitUntil(lambda: not view._highlighter._asked)
    QCoreApplication.processEvents()


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("step", [1, 9])
def test_a_message_that_grows_looks_as_if_it_were_painted_whole(
    qt: Any, view: TranscriptView, kind: str, step: int
) -> None:
    model, text = view.require_transcript(), TEXTS[kind]
    begun = AgentMessage(
        message_id="m",
        session_id="internal:s",
        role=MessageRole.AGENT,
        content="",
        timestamp=AT,
        seq=1,
        metadata={"kind": "text", "complete": False},
    )
    model.apply([StreamEvent(event_id=None, type=EventType.MESSAGE, data=begun)])
    for number, offset in enumerate(range(0, len(text), step)):
        piece = Delta(message_id="m", offset=offset, text=text[offset : offset + step])
        model.apply([StreamEvent(event_id=None, type=EventType.DELTA, data=piece)])
        if step == 1 and number % 3:
            continue
        settled(qt, view)
        if step == 1 and number % 6:
            continue
        in_parts = on_screen(view)
        view.viewport().repaint()
        assert on_screen(view) == in_parts, f"after {text[: offset + step]!r}"


def test_a_receipt_that_comes_later_is_painted(qt: Any, view: TranscriptView) -> None:
    model = view.require_transcript()
    own = AgentMessage(
        message_id="m",
        session_id="internal:s",
        role=MessageRole.OPERATOR,
        content="Do it.",
        timestamp=AT,
        seq=1,
        metadata={"kind": "text", "complete": True, "injectionId": "i"},
    )
    model.apply([StreamEvent(event_id=None, type=EventType.MESSAGE, data=own)])
    settled(qt, view)
    before = on_screen(view)
    receipt = Receipt(injection_id="i", session_id="internal:s", state=ReceiptState.DELIVERED, at=AT)
    model.apply([StreamEvent(event_id=None, type=EventType.RECEIPT, data=receipt)])
    settled(qt, view)
    in_parts = on_screen(view)
    assert in_parts != before
    view.viewport().repaint()
    assert on_screen(view) == in_parts
