"""Reads the log for the drawer: pages when asked, new rows as they are written, the cache when nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from PySide6.QtCore import QObject, Signal
from shiboken6 import isValid

from mission_control_desktop.client.fleet import HOME, qualified
from mission_control_desktop.domain.audit import AuditEntry
from mission_control_desktop.domain.errors import MissionControlError, NotFound, Unavailable, Unreachable
from mission_control_desktop.domain.mission_control import AuditFilter
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import times, words
from mission_control_desktop.ui.audit.chain import Checked, checked
from mission_control_desktop.ui.audit.drawer import AuditDrawer
from mission_control_desktop.ui.audit.exporting import Exporting
from mission_control_desktop.ui.audit.filters import contains, passes
from mission_control_desktop.ui.audit.model import MAX_ROWS, AuditModel
from mission_control_desktop.ui.error_words import unread
from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.ports import Gateway
from mission_control_desktop.ui.sessions import SessionStore

PAGE = 100
SEARCH_PAGE = 500
ENOUGH = 50
"""Rows with the text that is looked for; further ones are read when the table is scrolled to its end."""
READ_AT, CHAIN = "audit_read:", "audit_chain:"

NO_ROWS = "No audit rows yet.\nEvery intervention of a person is written down here."
NONE_FOUND = "No row passes these filters."


@dataclass(frozen=True)
class AuditSource:
    """One control plane's log. `key` names it in this computer's cache: rows of two of them never mix. `plane` is what
    it is called in this window."""

    key: str
    name: str
    gateway: Gateway
    plane: str = HOME


class AuditPresenter(QObject):
    """Shows one log at a time; keeps the rows of all."""

    session_wanted = Signal(str, object)
    """A session is to be opened, at this time (datetime)."""

    def __init__(
        self, sources: Sequence[AuditSource], store: SessionStore, drawer: AuditDrawer, state: LocalState, tasks: Tasks
    ) -> None:
        super().__init__(drawer)
        self._sources = {source.key: source for source in sources}
        self._source = sources[0]
        self._store = store
        self._drawer = drawer
        self._model: AuditModel = drawer.model
        self._state = state
        self._tasks = tasks
        self._cursor: str | None = None
        self._turn = 0
        self._reading = False
        self._fresh = self._verifying = False
        self._check: asyncio.Task[Any] | None = None
        self.exporting = Exporting(drawer.exporting, tasks, self)
        self._model.set_plane(self._source.plane)
        drawer.set_planes([(s.key, s.name) for s in sources], self._source.key)
        drawer.filter_changed.connect(self.reload)
        drawer.refresh_requested.connect(self.reload)
        drawer.filters.text_changed.connect(self._on_text)
        drawer.plane_chosen.connect(self.choose)
        drawer.export_requested.connect(self.export)
        drawer.chain.check_requested.connect(self.verify)
        drawer.chain.cancel_requested.connect(self.cancel_verify)
        drawer.chain.row_wanted.connect(self._on_row_wanted)
        drawer.jump_requested.connect(self._on_jump)
        self._model.more_wanted.connect(self._on_more)
        store.audit_arrived.connect(self._on_arrived)

    # -- whose log

    def set_sources(self, sources: Sequence[AuditSource]) -> None:
        """The control planes that there are now, at least one."""
        self._sources = {source.key: source for source in sources}
        self._drawer.set_planes([(s.key, s.name) for s in sources], self._source.key)
        if self._source.key in self._sources:
            self._source = self._sources[self._source.key]
        else:
            self.choose(sources[0].key)

    def choose(self, key: str) -> None:
        """Show the log of another control plane."""
        if key in self._sources and key != self._source.key:
            self._source = self._sources[key]
            self._fresh = False
            self._model.set_plane(self._source.plane)
            self._model.replace([], more=False)
            self.reload()

    # -- reading

    def reload(self) -> None:
        """Read the first page again."""
        self._turn += 1
        self._tasks.start(self._load(self._turn), name="audit page")

    async def _load(self, turn: int) -> None:
        filters, source = self._drawer.filters.filter(), self._source
        self._drawer.set_empty_text(NO_ROWS if self._unfiltered(filters) else NONE_FOUND)
        self._drawer.say("reading…")
        try:
            page = await source.gateway.call(lambda mc: mc.audit(filters, limit=PAGE))
        except (Unreachable, Unavailable) as error:
            if turn == self._turn:
                await self._show_cache(source, filters, error.message)
            return
        except MissionControlError as error:
            if turn == self._turn:
                self._show_refusal(unread("The log cannot be read", error))
            return
        if turn != self._turn:
            return
        self._cursor = page.next_cursor
        self._fresh = True
        self._model.replace(page.items, more=page.next_cursor is not None)
        self._drawer.set_away("")
        self._state.put(READ_AT + source.key, words.utc_now().isoformat())
        self._keep(source, page.items)
        self._count()
        self._read_on()

    def _on_more(self) -> None:
        if self._cursor is not None and not self._reading:
            self._tasks.start(self._load_more(self._turn, self._cursor), name="audit page")

    def _read_on(self) -> None:
        """A text is looked for, and too few rows with it were found: read further back."""
        wanted = self._drawer.filters.words and self._model.rowCount() < ENOUGH
        if wanted and self._model.read_count < MAX_ROWS:
            self._on_more()

    async def _load_more(self, turn: int, cursor: str) -> None:
        filters, source = self._drawer.filters.filter(), self._source
        size = SEARCH_PAGE if self._drawer.filters.words else PAGE
        self._reading = True
        try:
            page = await source.gateway.call(lambda mc: mc.audit(filters, limit=size, cursor=cursor))
        except MissionControlError as error:
            if turn == self._turn:
                self._model.page_failed()
                self._drawer.set_away(unread("Older rows cannot be read now", error))
            return
        finally:
            self._reading = False
        if turn != self._turn:
            return
        self._cursor = page.next_cursor
        self._model.add_page(page.items, more=page.next_cursor is not None)
        self._keep(source, page.items)
        self._count()
        self._read_on()

    def _on_text(self, text: str) -> None:
        self._model.set_text(text)
        self._drawer.set_empty_text(NO_ROWS if self._unfiltered(self._drawer.filters.filter()) else NONE_FOUND)
        self._count()
        self._read_on()

    def _on_arrived(self, entries: list[AuditEntry], plane: str) -> None:
        for source in self._sources.values():
            if source.plane == plane:
                self._keep(source, entries)
        if not self._fresh or self._source.plane != plane:
            return
        filters = self._drawer.filters.filter()
        self._model.add_new(e for e in entries if passes(e, filters))
        self._count()

    # -- when it cannot be read

    async def _show_cache(self, source: AuditSource, filters: AuditFilter, why: str) -> None:
        self._fresh = False
        self._cursor = None
        raw = await asyncio.wrap_future(self._state.cached_audit(source.key))
        entries = [msgspec.json.decode(row, type=AuditEntry) for row in raw]
        self._model.replace([e for e in entries if passes(e, filters)], more=False)
        self._drawer.set_away(
            f"The control plane is away ({why}). These rows are from this computer's cache, {self._age(source)}; "
            "newer rows, and older ones that were never read here, are missing. They are read when it is back."
        )
        self._count()

    def _age(self, source: AuditSource) -> str:
        read_at = self._state.get(READ_AT + source.key)
        if read_at is None:
            return "never read from the control plane"
        age = words.utc_now() - datetime.fromisoformat(read_at)
        return f"last read {words.duration(age.total_seconds())} ago"

    def _show_refusal(self, why: str) -> None:
        """Not a fault that passes: what the cache has is not for this person, or not what was asked for."""
        self._fresh = False
        self._cursor = None
        self._model.replace([], more=False)
        self._drawer.set_empty_text(why)
        self._drawer.set_away("")
        self._count()

    def note_link(self, plane: str, connected: bool) -> None:
        """The stream of a control plane came back or was lost."""
        if plane != self._source.plane:
            return
        if not self._drawer.isVisible():
            self._fresh = False
        elif connected and not self._fresh:
            self.reload()
        elif not connected and self._fresh:
            self._fresh = False
            self._state.put(READ_AT + self._source.key, words.utc_now().isoformat())
            self._drawer.set_away(
                "The control plane is away. What is shown is what was read until "
                f"{times.wall(words.utc_now())}; newer rows are missing."
            )

    # -- the chain

    def _show_chain(self) -> None:
        raw = self._state.get(CHAIN + self._source.key)
        try:
            known = None if raw is None else msgspec.convert(raw, Checked)
        except msgspec.ValidationError:
            known = None
        self._drawer.chain.show_known(known, self._model.newest_seq)

    def verify(self) -> None:
        """Have the whole chain checked; nothing if that is under way."""
        if self._check is None or self._check.done():
            self._check = self._tasks.start(self._verify(self._source), name="audit verify")

    def cancel_verify(self) -> None:
        """Do not wait for the check any longer."""
        if self._check is not None:
            self._check.cancel()

    async def _verify(self, source: AuditSource) -> None:
        raw = self._state.get(CHAIN + source.key) or {}
        head = raw.get("head") if raw.get("valid") and raw.get("rows") else None
        self._drawer.chain.show_checking(self._model.newest_seq)
        self._verifying = True
        try:
            report = await source.gateway.call(lambda mc: mc.audit_verify(head=head))
        except MissionControlError as error:
            if source is self._source:
                self._drawer.chain.show_failed(unread("The chain was not checked", error))
            return
        except asyncio.CancelledError:
            if isValid(self._drawer):
                self._drawer.chain.show_failed("The check was cancelled here. It changes nothing.")
            raise
        finally:
            self._verifying = False
        self._state.put(CHAIN + source.key, msgspec.to_builtins(checked(report, words.utc_now())))
        if source is self._source:
            self._show_chain()

    def _on_row_wanted(self, seq: int) -> None:
        if not self._drawer.choose(seq):
            self._drawer.set_away(f"Row {seq} is not among the rows shown: widen the filters, or scroll further back.")

    # -- going on from here

    def export(self, found_only: bool) -> None:
        """Ask for a file and write the log into it, or what the filters find."""
        filters, text = AuditFilter(), ""
        if found_only:
            filters, text = self._drawer.filters.filter(), self._drawer.filters.words.lower()
        keep = (lambda entry: contains(entry, text)) if text else None
        self.exporting.ask(self._source.gateway, filters, keep, self._drawer)

    def _on_jump(self, entry: AuditEntry) -> None:
        self._tasks.start(self._jump(self._source, entry), name="audit jump")

    async def _jump(self, source: AuditSource, entry: AuditEntry) -> None:
        native = entry.session_id or ""
        session_id = qualified(source.plane, native)
        if session_id not in self._store.sessions:
            try:
                session = await source.gateway.call(lambda mc: mc.session(session_id))
            except NotFound:
                self._drawer.set_away(f"{native} is no longer on record.")
                return
            except MissionControlError as error:
                self._drawer.set_away(unread("The session cannot be opened", error))
                return
            self._store.put([session])
        self.session_wanted.emit(session_id, entry.created_at)

    # -- the rest

    def _keep(self, source: AuditSource, entries: Sequence[AuditEntry]) -> None:
        self._state.cache_audit(source.key, [(e.seq, msgspec.json.encode(e)) for e in entries])

    def _unfiltered(self, filters: AuditFilter) -> bool:
        return filters == AuditFilter() and not self._drawer.filters.words

    def _count(self) -> None:
        shown = words.plural(self._model.rowCount(), "row")
        if not self._verifying:
            self._show_chain()
        if self._drawer.filters.words:
            shown = f"{shown} with this text, {self._model.read_count:,} read"
        if self._model.read_count >= MAX_ROWS:
            shown += "; more are in the log: narrow the filters"
        self._drawer.say(shown)
