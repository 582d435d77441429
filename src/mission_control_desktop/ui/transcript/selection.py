"""Selected text, across rows: two ends, each a message and a place in its text."""

from __future__ import annotations

from dataclasses import dataclass

from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.row import Place, Span


@dataclass(frozen=True, slots=True)
class End:
    """One end: a message, and a place in it; None is the message as a whole."""

    message_id: str
    place: Place | None


class Selection:
    """From where the reader pressed to where the pointer is. Rows come and go; ends name messages, not rows."""

    def __init__(self) -> None:
        self.start: End | None = None
        self.end: End | None = None

    def clear(self) -> bool:
        """True if something was selected."""
        had = self.start is not None
        self.start = self.end = None
        return had

    def begin(self, end: End) -> None:
        self.start = self.end = end

    def extend(self, end: End) -> None:
        if self.start is None:
            self.start = end
        self.end = end

    def ordered(self, model: TranscriptModel) -> tuple[int, Place | None, int, Place | None] | None:
        """First row and place, last row and place; None without a selection (or when its messages are gone)."""
        if self.start is None or self.end is None:
            return None
        first, last = model.row_of(self.start.message_id), model.row_of(self.end.message_id)
        if first is None or last is None:
            return None
        start, end = self.start.place, self.end.place
        if first > last:
            return last, end, first, start
        if first == last and start is not None and end is not None and _key(start) > _key(end):
            return first, end, last, start
        return first, start, last, end

    def span_of(self, row: int, model: TranscriptModel) -> Span | None:
        """What is selected of a row."""
        ordered = self.ordered(model)
        if ordered is None:
            return None
        first, start, last, end = ordered
        if not first <= row <= last:
            return None
        return Span(start if row == first else None, end if row == last else None)

    def empty(self) -> bool:
        return self.start is None or (self.start == self.end and self.start.place is not None)


def _key(place: Place) -> tuple[int, int]:
    return place.segment, place.position
