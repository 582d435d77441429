"""The messages of one session as a Qt list model: a bounded window on the record, in the order of `seq`."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from mission_control_desktop.domain.events import Delta, Reset, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.ui.transcript.entry import Entry, Growth
from mission_control_desktop.ui.transcript.search import Search

WINDOW = 600
"""Entries kept while the view follows the end; older ones are fetched again when they are wanted."""
WINDOW_CHARS = 256_000
"""Their weight, in characters: with long messages fewer are kept."""
FEWEST = 20
"""Entries that stay however long they are, and so do those that the view is near to."""
SLACK = 100
"""How far over the window the list may grow before it is cut: cutting is done in one go."""
READING_MAX = 5_000
"""Entries kept while somebody reads old ones; beyond it those far away are let go until they are wanted again."""
READING_CHARS = 4 * WINDOW_CHARS
"""Their weight."""
LOOSE_RECEIPTS = 100
"""Receipts kept of messages that are not loaded; the newest."""
WAITING_DELTAS = 2_000
"""Deltas kept for a message whose content has to be read again; beyond it they wait for the whole message."""

EntryRole = int(Qt.ItemDataRole.UserRole) + 1
"""The `Entry` of a row."""

_Index = QModelIndex | QPersistentModelIndex


class TranscriptModel(QAbstractListModel):
    """A window on the transcript of one session. Deltas go in at once; what they change is announced once a batch."""

    older_wanted = Signal(int)
    """Entries before this `seq` are wanted (`add_older`)."""
    newer_wanted = Signal(int)
    """Entries after this `seq` are wanted (`add_newer`)."""
    level_wanted = Signal(str)
    """What we have does not fit what came (the text says why): read the newest page again and `load` it."""
    receipt_changed = Signal(str)
    """The receipt of the message with this injection id."""
    beginning_wanted = Signal()
    """The first page of the record is wanted (`show_window`)."""
    search_wanted = Signal(object)
    """A `Search` is to go through what is not loaded; `show_window` and `end_search` answer it."""
    search_stopped = Signal()
    """Nobody waits for the search any more."""
    search_progress = Signal(int)
    """So many messages that are not loaded were looked at."""
    search_ended = Signal(object, str)
    """The `Search`, and the id of what was found (it is loaded now); an empty one if there was nothing."""
    room_wanted = Signal()
    """Entries are about to be let go: whoever shows some of them says at once which ones stay (`near`)."""
    came_beyond = Signal(int)
    """So many messages came whose place is after the newest entries that were let go."""

    def __init__(self, parent: QObject | None = None, *, window: int = WINDOW) -> None:
        super().__init__(parent)
        self._window = window
        self._entries: list[Entry] = []
        self._index: dict[str, Entry] = {}
        self._trimmed = 0
        """Entries when the window was last looked at: only a new one can be one too many."""
        self.near = range(0)
        """Rows that a view shows, or is so near to that it would fetch them again at once."""
        self._first = 0
        """Ordinal of row 0: an entry's row is its ordinal minus this."""
        self._receipts: dict[str, Receipt] = {}
        self._injections: dict[str, str] = {}
        self._waiting: deque[Delta] = deque(maxlen=WAITING_DELTAS)
        self._levelling = False
        self._rebuilt = False
        """The record is another one now: nothing of what is shown is kept."""
        self.has_older = False
        self.has_newer = False
        """The newest entries were let go: what is appended to the session is not shown until it is read again."""
        self.loading_older = False
        self._older_failed = False
        self.following = True
        """Set by the view: while it follows the end, old entries may be let go."""
        self.newest_seq = -1
        """Place of the newest entry that was ever seen, shown or not."""

    # -- reading -----------------------------------------------------------------------------------------------------

    def rowCount(self, parent: _Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._entries)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self._entries):
            return None
        entry = self._entries[index.row()]
        if role == EntryRole:
            return entry
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return entry.spoken()
        return None

    def entry(self, row: int) -> Entry:
        return self._entries[row]

    @property
    def entries(self) -> Sequence[Entry]:
        return self._entries

    def row_of(self, message_id: str) -> int | None:
        entry = self._index.get(message_id)
        return None if entry is None else entry.ordinal - self._first

    def find(self, message_id: str) -> Entry | None:
        return self._index.get(message_id)

    def receipt_for(self, entry: Entry) -> Receipt | None:
        """What is known of the delivery of an operator's message."""
        injection = entry.message.metadata.get("injectionId")
        return self._receipts.get(injection) if isinstance(injection, str) else None

    # -- writing -----------------------------------------------------------------------------------------------------

    def load(self, messages: Sequence[AgentMessage], *, has_older: bool) -> None:
        """Take the newest page of the record. What is already shown and still fits stays as it is."""
        self._levelling = False
        waiting = list(self._waiting)
        self._waiting.clear()
        ordered = sorted(messages, key=lambda message: message.seq)
        joined = (
            bool(ordered)
            and bool(self._entries)
            and not self.has_newer
            and self._entries[0].seq <= ordered[0].seq <= self._entries[-1].seq
        )
        beyond = bool(ordered) and bool(self._entries) and ordered[0].seq > self._entries[-1].seq
        if joined:
            for message in ordered:
                self._upsert_level(message)
        elif not self.following and not self._rebuilt and (beyond or self.has_newer):
            # Somebody reads what is older: it stays, and what is between is read when they get there.
            self.has_newer = True
            for message in ordered:
                self._note_beyond(message)
        else:
            self._replace(ordered, has_older=has_older, has_newer=False)
        self._rebuilt = False
        changed: dict[str, None] = {}
        for delta in waiting:
            self._apply_delta(delta, changed)
        self._announce(changed)
        self._trim()

    def apply(self, events: Iterable[StreamEvent]) -> None:
        """Take a batch of the session's stream, in order."""
        changed: dict[str, None] = {}
        new: list[AgentMessage] = []
        for event in events:
            data = event.data
            if isinstance(data, Delta):
                if new and data.message_id not in self._index:
                    self._append(new)
                self._apply_delta(data, changed)
            elif isinstance(data, AgentMessage):
                self._take(data, new, changed)
            elif isinstance(data, Receipt):
                self._append(new)
                self._take_receipt(data, changed)
            elif isinstance(data, Reset):
                self._append(new)
                self._rebuilt = True
                self._want_level(data.reason)
        self._append(new)
        self._announce(changed)
        self._trim()

    def show_window(self, messages: Sequence[AgentMessage], *, has_older: bool, has_newer: bool) -> None:
        """Show another part of the record. Who calls it then tells the view where to go."""
        self.following = False
        self._replace(sorted(messages, key=lambda m: m.seq), has_older=has_older, has_newer=has_newer)

    def end_search(self, search: Search, message_id: str = "") -> None:
        """What became of a search: the id of the entry, which is loaded, or nothing."""
        self.search_ended.emit(search, message_id)

    def _replace(self, ordered: Sequence[AgentMessage], *, has_older: bool, has_newer: bool) -> None:
        self.beginResetModel()
        self._entries = [Entry(message, ordinal) for ordinal, message in enumerate(ordered)]
        self._first = 0
        self._index = {entry.message.message_id: entry for entry in self._entries}
        self._injections.clear()
        for entry in self._entries:
            self._note_injection(entry.message)
        if self._entries:
            newest = self._entries[-1].seq
            self.newest_seq = newest if self._rebuilt else max(self.newest_seq, newest)
        self.has_older, self.has_newer = has_older, has_newer
        self.loading_older = self._older_failed = False
        self.endResetModel()

    def add_older(self, messages: Sequence[AgentMessage], *, has_older: bool) -> None:
        """Put a page of older entries in front."""
        self.loading_older, self.has_older = False, has_older
        limit = self._entries[0].seq if self._entries else None
        fresh = sorted(
            (m for m in messages if m.message_id not in self._index and (limit is None or m.seq < limit)),
            key=lambda message: message.seq,
        )
        if not fresh:
            return
        self.beginInsertRows(QModelIndex(), 0, len(fresh) - 1)
        self._first -= len(fresh)
        entries = [Entry(message, self._first + place) for place, message in enumerate(fresh)]
        self._entries[:0] = entries
        self._register(entries)
        self.endInsertRows()
        if not self.following:
            self._let_newest_go()

    def add_newer(self, messages: Sequence[AgentMessage], *, has_newer: bool) -> None:
        """Continue a window whose newest entries had been let go."""
        fresh = [m for m in sorted(messages, key=lambda message: message.seq) if m.message_id not in self._index]
        self.has_newer = False
        self._append(fresh)
        self.has_newer = has_newer
        if not self.following:
            self._let_oldest_go()

    def fetch_older(self, *, again: bool = False) -> None:
        """Ask for the page before the first entry, once. After a failure only with `again`: somebody wants it."""
        if self.has_older and not self.loading_older and self._entries and (again or not self._older_failed):
            self.loading_older, self._older_failed = True, False
            self.older_wanted.emit(self._entries[0].seq)

    def older_failed(self) -> None:
        """The page could not be read."""
        self.loading_older, self._older_failed = False, True

    def level_failed(self) -> None:
        """The newest page could not be read; the next event that does not fit asks again."""
        self._levelling = False

    def set_receipts(self, receipts: Iterable[Receipt]) -> None:
        """Receipts as they were when the panel opened."""
        changed: dict[str, None] = {}
        for receipt in receipts:
            self._take_receipt(receipt, changed)
        self._announce(changed)

    # -- one event ---------------------------------------------------------------------------------------------------

    def _take(self, message: AgentMessage, new: list[AgentMessage], changed: dict[str, None]) -> None:
        known = self._index.get(message.message_id)
        if known is None and new and any(waiting.message_id == message.message_id for waiting in new):
            self._append(new)
            known = self._index.get(message.message_id)
        if known is not None:
            if known.replace(message):
                changed[message.message_id] = None
            self._note_injection(message)
            return
        last = new[-1].seq if new else (self._entries[-1].seq if self._entries else -1)
        if message.seq > last or (message.seq == 0 and not self.has_newer):
            if self.has_newer:
                self._note_beyond(message)
            else:
                new.append(message)
        elif self._entries and message.seq < self._entries[0].seq and self.has_older:
            return
        else:
            self._append(new)
            self._insert(message)

    def _append(self, messages: list[AgentMessage]) -> None:
        if not messages or self.has_newer:
            messages.clear()
            return
        start = len(self._entries)
        self.beginInsertRows(QModelIndex(), start, start + len(messages) - 1)
        entries = [Entry(message, self._first + start + place) for place, message in enumerate(messages)]
        self._entries.extend(entries)
        self._register(entries)
        self.endInsertRows()
        messages.clear()

    def _note_beyond(self, message: AgentMessage) -> None:
        """A message after the newest that were let go: it is not shown, but a reader is told that it came."""
        if message.seq > self.newest_seq:
            self.newest_seq = message.seq
            self.came_beyond.emit(1)

    def _insert(self, message: AgentMessage) -> None:
        """A message whose place is between others: rare, so everything after it is numbered again."""
        row = bisect_left(self._entries, message.seq, key=lambda entry: entry.seq)
        self.beginInsertRows(QModelIndex(), row, row)
        self._entries.insert(row, Entry(message, self._first + row))
        for place in range(row + 1, len(self._entries)):
            self._entries[place].ordinal = self._first + place
        self._register([self._entries[row]])
        self.endInsertRows()

    def _upsert_level(self, message: AgentMessage) -> None:
        """A message of a page that was read again; the stream may already have brought us further than the page."""
        known = self._index.get(message.message_id)
        if known is None:
            if message.seq > self._entries[-1].seq:
                self._append([message])
            else:
                self._insert(message)
            return
        known.broken = False
        if not message.complete and not known.complete and known.text.startswith(message.content):
            return
        if known.replace(message):
            self._announce({message.message_id: None})

    def _apply_delta(self, delta: Delta, changed: dict[str, None]) -> None:
        entry = self._index.get(delta.message_id)
        if entry is None:
            # Of an entry outside the window. It can only be one that we should have if nothing was ever let go.
            if not self.has_older and not self.has_newer:
                self._waiting.append(delta)
                self._want_level(f"text for an unknown message {delta.message_id}")
            return
        growth = Growth.GAP if entry.broken else entry.append(delta.offset, delta.text)
        if growth is Growth.GROWN:
            changed[delta.message_id] = None
        elif growth is Growth.GAP:
            self._waiting.append(delta)
            self._want_level(f"text at {delta.offset} where {entry.came} was expected")

    def _want_level(self, reason: str) -> None:
        if not self._levelling:
            self._levelling = True
            self.level_wanted.emit(reason)

    def _take_receipt(self, receipt: Receipt, changed: dict[str, None]) -> None:
        self._receipts[receipt.injection_id] = receipt
        while len(self._receipts) > len(self._injections) + LOOSE_RECEIPTS:
            del self._receipts[next(key for key in self._receipts if key not in self._injections)]
        if (message_id := self._injections.get(receipt.injection_id)) is not None and message_id in self._index:
            self._index[message_id].revision += 1
            changed[message_id] = None
        self.receipt_changed.emit(receipt.injection_id)

    # -- bookkeeping -------------------------------------------------------------------------------------------------

    def _register(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._index[entry.message.message_id] = entry
            self._note_injection(entry.message)
        if entries:
            self.newest_seq = max(self.newest_seq, entries[-1].seq)

    def _note_injection(self, message: AgentMessage) -> None:
        if isinstance(injection := message.metadata.get("injectionId"), str):
            self._injections[injection] = message.message_id

    def _announce(self, changed: dict[str, None]) -> None:
        rows = sorted({row for message_id in changed if (row := self.row_of(message_id)) is not None})
        start = 0
        while start < len(rows):
            end = start
            while end + 1 < len(rows) and rows[end + 1] == rows[end] + 1:
                end += 1
            self.dataChanged.emit(self.index(rows[start]), self.index(rows[end]))
            start = end + 1

    def _trim(self) -> None:
        count = len(self._entries)
        if count == self._trimmed:
            return
        if not self.following:
            self._let_newest_go()
        elif count > self._window + SLACK:
            self._remove(0, count - self._window)
            self.has_older = True
        elif count > FEWEST and sum(entry.weight for entry in self._entries) > WINDOW_CHARS:
            self.room_wanted.emit()
            fewest = max(FEWEST, count - self.near.start) if self.near else FEWEST
            kept = chars = 0
            while kept < count and (kept < fewest or chars < WINDOW_CHARS // 2):
                kept += 1
                chars += self._entries[-kept].weight
            if kept < count:
                self._remove(0, count - kept)
                self.has_older = True
        self._trimmed = len(self._entries)

    def _let_newest_go(self) -> None:
        """Somebody reads what is older: beyond the bound, what is newest is not kept for them."""
        count, chars = len(self._entries), sum(entry.weight for entry in self._entries)
        if count <= READING_MAX and chars <= READING_CHARS:
            return
        self.room_wanted.emit()
        end, fewest = count, max(FEWEST, self.near.stop)
        while end > fewest and (end > READING_MAX - WINDOW or chars > READING_CHARS // 2):
            end -= 1
            chars -= self._entries[end].weight
        if end < count:
            self._remove(end, count)
            self.has_newer = True

    def _let_oldest_go(self) -> None:
        """The same for somebody who reads on towards the end."""
        count, chars = len(self._entries), sum(entry.weight for entry in self._entries)
        if count <= READING_MAX and chars <= READING_CHARS:
            return
        self.room_wanted.emit()
        start, most = 0, count - FEWEST
        if self.near:
            most = min(most, self.near.start)
        while start < most and (count - start > READING_MAX - WINDOW or chars > READING_CHARS // 2):
            chars -= self._entries[start].weight
            start += 1
        if start:
            self._remove(0, start)
            self.has_older = True

    def _remove(self, start: int, end: int) -> None:
        self.beginRemoveRows(QModelIndex(), start, end - 1)
        for entry in self._entries[start:end]:
            del self._index[entry.message.message_id]
            if isinstance(injection := entry.message.metadata.get("injectionId"), str):
                self._injections.pop(injection, None)
        del self._entries[start:end]
        if start == 0:
            self._first += end
        self.endRemoveRows()
