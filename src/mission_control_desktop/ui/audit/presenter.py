"""Reads the log for the drawer: pages when asked, new rows as they are written, the cache when nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from mission_control_desktop.domain.audit import AuditEntry
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.mission_control import AuditFilter
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import words
from mission_control_desktop.ui.audit.drawer import AuditDrawer
from mission_control_desktop.ui.audit.model import AuditModel
from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.ports import Gateway
from mission_control_desktop.ui.sessions import SessionStore

PAGE = 100


class AuditPresenter:
    """`source` names the control plane in the cache (its address): rows of two of them never mix."""

    def __init__(
        self, gateway: Gateway, store: SessionStore, drawer: AuditDrawer, state: LocalState, tasks: Tasks
    ) -> None:
        self._gateway = gateway
        self._drawer = drawer
        self._model: AuditModel = drawer.model
        self._state = state
        self._tasks = tasks
        self._cursor: str | None = None
        self._turn = 0
        self._fresh = False
        self.source = ""
        drawer.filter_changed.connect(self.reload)
        drawer.refresh_requested.connect(self.reload)
        self._model.more_wanted.connect(self._on_more)
        store.audit_arrived.connect(self._on_arrived)

    def reload(self) -> None:
        """Read the first page again."""
        self._turn += 1
        self._tasks.start(self._load(self._turn), name="audit page")

    async def _load(self, turn: int) -> None:
        filters = self._drawer.filters()
        self._drawer.say("reading…")
        try:
            page = await self._gateway.call(lambda mc: mc.audit(filters, limit=PAGE))
        except MissionControlError as error:
            if turn == self._turn:
                await self._show_cache(filters, error.message)
            return
        if turn != self._turn:
            return
        self._cursor = page.next_cursor
        self._fresh = True
        self._model.replace(page.items, more=page.next_cursor is not None)
        self._drawer.set_away("")
        self._keep(page.items)
        self._count()

    def _on_more(self) -> None:
        if self._cursor is None:
            return
        self._tasks.start(self._load_more(self._turn, self._cursor), name="audit page")

    async def _load_more(self, turn: int, cursor: str) -> None:
        filters = self._drawer.filters()
        try:
            page = await self._gateway.call(lambda mc: mc.audit(filters, limit=PAGE, cursor=cursor))
        except MissionControlError as error:
            if turn == self._turn:
                self._model.page_failed()
                self._drawer.set_away(f"Older rows cannot be read now: {error.message}")
            return
        if turn != self._turn:
            return
        self._cursor = page.next_cursor
        self._model.add_page(page.items, more=page.next_cursor is not None)
        self._keep(page.items)
        self._count()

    def _on_arrived(self, entries: list[AuditEntry]) -> None:
        self._keep(entries)
        if not self._fresh:
            return
        filters = self._drawer.filters()
        self._model.add_new(e for e in entries if passes(e, filters))
        self._count()

    async def _show_cache(self, filters: AuditFilter, why: str) -> None:
        self._fresh = False
        self._cursor = None
        raw = await asyncio.wrap_future(self._state.cached_audit(self.source))
        entries = [msgspec.json.decode(row, type=AuditEntry) for row in raw]
        self._model.replace([e for e in entries if passes(e, filters)], more=False)
        self._drawer.set_away(
            f"The control plane is away ({why}). These rows are from this computer's cache and may be incomplete."
        )
        self._count()

    def _keep(self, entries: Sequence[AuditEntry]) -> None:
        self._state.cache_audit(self.source, [(e.seq, msgspec.json.encode(e)) for e in entries])

    def _count(self) -> None:
        self._drawer.say(words.plural(self._model.rowCount(), "row"))


def passes(entry: AuditEntry, filters: AuditFilter) -> bool:
    """Whether a row passes a filter, as the control plane would judge."""
    return (
        filters.user in (None, entry.user_id)
        and filters.session in (None, entry.session_id)
        and filters.action in (None, entry.action.value)
        and filters.outcome in (None, entry.outcome.value)
        and filters.provider in (None, entry.provider)
    )
