"""What is known of each row's form: its height or a guess, its layout while it is kept, what a reader did to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from mission_control_desktop.domain.messages import MessageKind, MessageRole
from mission_control_desktop.ui.transcript.blocks import open_at_first
from mission_control_desktop.ui.transcript.entry import Entry
from mission_control_desktop.ui.transcript.heights import Heights
from mission_control_desktop.ui.transcript.highlight import Highlighter
from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.row import Looks, RowLayout, RowState
from mission_control_desktop.ui.transcript.shelf import DocumentShelf
from mission_control_desktop.ui.transcript.style import MARGIN, Style

KEPT_LAYOUTS = 96
"""Rows whose form is kept for painting and scrolling, with the documents of some of them (`shelf`)."""
KEPT_CHARS = 64_000
"""Their text, in characters: of long rows fewer are kept, but never fewer than a screen shows."""
KEPT_STATES = 2_000
GROUP_SECONDS = 300
"""Entries of one role within this time stand under one name."""


class Rows:
    """Rows of one transcript at one width. Level with the model: who changes the model says so here first."""

    def __init__(self, style: Style, highlighter: Highlighter) -> None:
        self.model: TranscriptModel | None = None
        self.style = style
        self.width = 0
        self.heights = Heights()
        self.unread_id: str | None = None
        """The message above which the line between read and unread stands."""
        self._highlighter = highlighter
        self._exact = bytearray()
        """Which heights are measured; the others are guesses, or of a form that has changed."""
        self._layouts: OrderedDict[str, RowLayout] = OrderedDict()
        self._laid_out: dict[str, int] = {}
        """Characters of each of them."""
        self._chars = 0
        """Of all of them."""
        self.on_screen = 1
        """How many rows the viewport showed last."""
        self.shelf = DocumentShelf()
        self._states: OrderedDict[str, RowState] = OrderedDict()

    def __len__(self) -> int:
        return len(self.heights)

    @property
    def kept(self) -> int:
        """How many layouts are kept."""
        return len(self._layouts)

    def require(self) -> TranscriptModel:
        if self.model is None:
            raise LookupError("no transcript is set")
        return self.model

    def entry(self, row: int) -> Entry:
        return self.require().entry(row)

    # -- level with the model ----------------------------------------------------------------------------------------

    def rebuild(self, width: int) -> None:
        """Forget all heights and layouts."""
        self.width = width
        self.forget_layouts()
        self.heights.clear()
        entries: Sequence[Entry] = self.model.entries if self.model is not None else ()
        self.heights.extend([self._estimate(entry) for entry in entries])
        self._exact = bytearray(len(entries))

    def reflow(self, width: int) -> None:
        """A new width: documents are kept and laid out again, heights are guesses until then."""
        self.width = width
        for layout in self._layouts.values():
            layout.set_width(width)
        self._exact = bytearray(len(self.heights))

    def restyle(self, style: Style) -> None:
        """New colours or fonts: all layouts are made anew."""
        self.style = style
        self.forget_layouts()
        self._exact = bytearray(len(self.heights))

    def insert(self, start: int, end: int) -> None:
        """Rows `start` to `end` are new."""
        self.heights.insert(start, [self._estimate(self.entry(row)) for row in range(start, end + 1)])
        self._exact[start:start] = bytes(end - start + 1)
        # Whether the next one stands under a name of its own depends on what is before it.
        self.doubt(end + 1)

    def forget_layouts(self) -> None:
        """Give their memory back; each is made again when it is needed."""
        self._layouts.clear()
        self._laid_out.clear()
        self._chars = 0
        self.shelf.clear()

    def leave(self, start: int, end: int) -> None:
        """Rows `start` to `end` are about to go: what is known of their form goes with them."""
        for row in range(start, min(end + 1, len(self))):
            self._let_go(self.entry(row).message.message_id)

    def _let_go(self, key: str) -> None:
        if (layout := self._layouts.pop(key, None)) is not None:
            layout.close()
            self._chars -= self._laid_out.pop(key)

    def remove(self, start: int, end: int) -> None:
        """Rows `start` to `end` are gone."""
        self.heights.remove(start, end + 1)
        del self._exact[start : end + 1]
        self.doubt(start)

    def doubt(self, row: int) -> None:
        """The row may look different now; it is measured again when it is near the viewport."""
        if 0 <= row < len(self._exact):
            self._exact[row] = 0

    def doubt_message(self, message_id: str) -> None:
        if self.model is not None and (row := self.model.row_of(message_id)) is not None:
            self.doubt(row)

    # -- form --------------------------------------------------------------------------------------------------------

    def exact(self, row: int) -> bool:
        """Whether the height is that of the row as it is now."""
        return bool(self._exact[row])

    def measure(self, row: int) -> int:
        """Bring the layout of a row up to date and its height with it; returns by how much that changed."""
        entry = self.entry(row)
        key = entry.message.message_id
        layout = self._layouts.get(key)
        if layout is None:
            layout = RowLayout(self.style, self.width, self._highlighter, self.shelf)
            self._layouts[key] = layout
        else:
            self._layouts.move_to_end(key)
        self._chars += entry.length - self._laid_out.get(key, 0)
        self._laid_out[key] = entry.length
        while len(self._layouts) > self.on_screen + 1 and (
            len(self._layouts) > KEPT_LAYOUTS or self._chars > KEPT_CHARS
        ):
            self._let_go(next(iter(self._layouts)))
        layout.update(entry, self._states.get(key) or RowState(), self._looks(row, entry))
        self._exact[row] = 1
        return self.heights.set(row, layout.height)

    def layout(self, row: int) -> RowLayout:
        """The layout of a row as it is now."""
        self.measure(row)
        return self._layouts[self.entry(row).message.message_id]

    def drawn(self, row: int) -> RowLayout | None:
        """The layout as it was measured last, whatever changed since: what is painted must fit its height."""
        key = self.entry(row).message.message_id
        if (layout := self._layouts.get(key)) is not None:
            self._layouts.move_to_end(key)
        return layout

    def state(self, row: int) -> RowState:
        """What the reader did to the row, to be changed."""
        key = self.entry(row).message.message_id
        state = self._states.setdefault(key, RowState())
        self._states.move_to_end(key)
        while len(self._states) > KEPT_STATES:
            self._states.popitem(last=False)
        return state

    def is_expanded(self, row: int) -> bool:
        entry = self.entry(row)
        state = self._states.get(entry.message.message_id)
        return open_at_first(entry) if state is None or state.expanded is None else state.expanded

    def _looks(self, row: int, entry: Entry) -> Looks:
        model = self.require()
        receipt = model.receipt_for(entry)
        unread = entry.message.message_id == self.unread_id
        grouped = False
        if row > 0 and not unread and entry.message.role is not MessageRole.OPERATOR:
            before = model.entry(row - 1)
            age = (entry.message.timestamp - before.message.timestamp).total_seconds()
            grouped = (
                before.message.role is entry.message.role
                and MessageKind.NOTICE not in (before.kind, entry.kind)
                and age < GROUP_SECONDS
            )
        return Looks(grouped, unread, receipt)

    def _estimate(self, entry: Entry) -> int:
        line = self.style.line
        if entry.kind in (MessageKind.TOOL_CALL, MessageKind.THOUGHT):
            return 2 * line
        characters = max(20, (self.width - 2 * MARGIN) // 7)
        return 2 * line + (entry.length // characters + 1) * line
