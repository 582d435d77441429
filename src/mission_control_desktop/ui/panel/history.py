"""Reads the record for a transcript: older and newer pages, the newest again, its beginning, and what is looked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog
from PySide6.QtCore import QObject, SignalInstance

from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.limits import PAGE_DEFAULT, PAGE_MAX
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import Page
from mission_control_desktop.ui.panel.port import PanelPort
from mission_control_desktop.ui.panel.wording import reading_words
from mission_control_desktop.ui.transcript.entry import Entry
from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.search import Search

CALL_SECONDS = 30.0
"""An action without an answer for so long is given up; whether it took effect is then said to be unknown."""
SLICE_SECONDS = 0.004
"""So long a search may look at messages before the window gets its turn."""

log = structlog.get_logger(__name__)

Begin = Callable[[str, Callable[[], Coroutine[Any, Any, None]]], bool]


class HistoryReader(QObject):
    """Answers what one transcript's model wants. `begin` runs one action of a kind at a time; `failed` says why not."""

    def __init__(
        self,
        session_id: str,
        port: PanelPort,
        model: TranscriptModel,
        begin: Begin,
        failed: SignalInstance,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._session_id, self._port, self._model = session_id, port, model
        self._begin, self._failed = begin, failed
        self._search: Search | None = None
        model.older_wanted.connect(self._on_older_wanted)
        model.newer_wanted.connect(self._on_newer_wanted)
        model.level_wanted.connect(self._on_level_wanted)
        model.beginning_wanted.connect(self._on_beginning_wanted)
        model.search_wanted.connect(self._on_search_wanted)
        model.search_stopped.connect(self._on_search_stopped)

    def _on_older_wanted(self, before: int) -> None:
        if not self._begin("older", partial(self._older, before)):
            self._model.older_failed()

    def _on_newer_wanted(self, after: int) -> None:
        self._begin("newer", partial(self._newer, after))

    def _on_level_wanted(self, reason: str) -> None:
        log.info("panel.level", session=self._session_id, reason=reason)
        self._begin("level", self._level)

    async def _older(self, before: int) -> None:
        try:
            page = await self._read(limit=PAGE_DEFAULT, before=before)
        except (MissionControlError, TimeoutError, OSError) as error:
            self._model.older_failed()
            self._failed.emit("older", f"Older messages could not be read: {reading_words(error)}")
        else:
            self._model.add_older(page.items, has_older=page.next_cursor is not None)

    async def _newer(self, after: int) -> None:
        try:
            page = await self._read(limit=PAGE_DEFAULT, after=after)
        except (MissionControlError, TimeoutError, OSError) as error:
            self._failed.emit("newer", f"Newer messages could not be read: {reading_words(error)}")
        else:
            self._model.add_newer(page.items, has_newer=page.next_cursor is not None)

    async def _level(self) -> None:
        try:
            page = await self._read(limit=PAGE_DEFAULT)
        except (MissionControlError, TimeoutError, OSError) as error:
            self._model.level_failed()
            self._failed.emit("level", f"The transcript could not be read again: {reading_words(error)}")
        else:
            self._model.load(page.items, has_older=page.next_cursor is not None)

    def _on_beginning_wanted(self) -> None:
        self._begin("beginning", self._beginning)

    async def _beginning(self) -> None:
        try:
            page = await self._read(limit=PAGE_MAX, after=0)
        except (MissionControlError, TimeoutError, OSError) as error:
            self._failed.emit("beginning", f"The first messages could not be read: {reading_words(error)}")
        else:
            self._model.show_window(page.items, has_older=False, has_newer=page.next_cursor is not None)

    def _on_search_wanted(self, search: Search) -> None:
        self._search = search
        self._begin("search", self._search_all)

    def _on_search_stopped(self) -> None:
        self._search = None

    async def _search_all(self) -> None:
        # Another search may be wanted while a page of the last one is on its way.
        while (search := self._search) is not None:
            try:
                found = await self._search_record(search)
            except (MissionControlError, TimeoutError, OSError) as error:
                self._failed.emit("search", f"The search was broken off: {reading_words(error)}")
                found = ""
            if self._search is search:
                self._search = None
                if found is not None:
                    self._model.end_search(search, found)

    async def _search_record(self, search: Search) -> str | None:
        """Page by page, from the edge of what is loaded; the window is put around what is found. None: given up."""
        entries = self._model.entries
        if not entries:
            return ""
        edge, looked = entries[-1].seq if search.forwards else entries[0].seq, 0
        while True:
            page = await self._read(limit=PAGE_MAX, **{"after" if search.forwards else "before": edge})
            found = await self._first_match(search, page.items if search.forwards else page.items[::-1])
            if self._search is not search:
                return None
            if found is not None:
                return await self._show_around(search, found)
            looked += len(page.items)
            self._model.search_progress.emit(looked)
            if page.next_cursor is None or not page.items:
                return ""
            edge = page.items[-1].seq if search.forwards else page.items[0].seq

    async def _first_match(self, search: Search, messages: Sequence[AgentMessage]) -> AgentMessage | None:
        slice_end = time.perf_counter() + SLICE_SECONDS
        for message in messages:
            if search.wanted(Entry(message, 0)):
                return message
            if time.perf_counter() > slice_end:
                await asyncio.sleep(0)
                slice_end = time.perf_counter() + SLICE_SECONDS
        return None

    async def _show_around(self, search: Search, found: AgentMessage) -> str | None:
        before = await self._read(limit=PAGE_DEFAULT, before=found.seq + 1)
        after = await self._read(limit=PAGE_DEFAULT, after=found.seq)
        if self._search is not search:
            return None
        has_older, has_newer = before.next_cursor is not None, after.next_cursor is not None
        self._model.show_window([*before.items, *after.items], has_older=has_older, has_newer=has_newer)
        return found.message_id

    async def _read(self, *, limit: int, before: int | None = None, after: int | None = None) -> Page[AgentMessage]:
        call = self._port.messages(self._session_id, limit=limit, before=before, after=after)
        return await asyncio.wait_for(call, CALL_SECONDS)
