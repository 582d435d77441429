"""Carries out what the page of connections asks for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from PySide6.QtCore import QObject
from shiboken6 import isValid

from mission_control_desktop.client.fleet import plane_of
from mission_control_desktop.domain.errors import MissionControlError, NotAuthenticated, Unavailable, Unreachable
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.error_words import refused, told
from mission_control_desktop.ui.main_window.planes_view import plane_view
from mission_control_desktop.ui.plane_book import Entered, PlaneBook
from mission_control_desktop.ui.planes import Plane, Planes
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.settings.connections import ConnectionsPage, PlaneForm, PlaneRemoval, PlaneRow


class ConnectionsPresenter(QObject):
    """Lives as long as its page."""

    def __init__(
        self,
        page: ConnectionsPage,
        book: PlaneBook,
        planes: Planes,
        store: SessionStore,
        tasks: Tasks,
        told: Callable[[str], object],
    ) -> None:
        """`told` hears, in words for a person, what was done."""
        super().__init__(page)
        self._page, self._book, self._planes, self._store = page, book, planes, store
        self._tasks, self._told = tasks, told
        page.add_requested.connect(self._add)
        page.token_requested.connect(self._renew)
        page.remove_requested.connect(self._remove)
        planes.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        addresses = {one.name: one.url for one in self._book.saved}
        others = [plane for plane in self._planes if plane is not self._planes.home]
        self._page.show_planes([_row(plane, addresses.get(plane.key, plane.where)) for plane in others])

    def _add(self) -> None:
        form = PlaneForm(self._page)
        form.entered.connect(lambda *given: self._start(form, lambda: self._book.add(*given), given[0]))
        form.open()

    def _renew(self, name: str) -> None:
        address = next((one.url for one in self._book.saved if one.name == name), "")
        form = PlaneForm(self._page, name=name, address=address)
        form.entered.connect(lambda _n, _a, token: self._start(form, lambda: self._book.renew(name, token), name))
        form.open()

    def _start(self, form: PlaneForm, work: Callable[[], Coroutine[Any, Any, Entered]], name: str) -> None:
        self._tasks.start(self._enter(form, work, name), name="enter a token")

    async def _enter(self, form: PlaneForm, work: Callable[[], Coroutine[Any, Any, Entered]], name: str) -> None:
        try:
            entered = await work()
        except MissionControlError as error:
            if isValid(form):
                form.failed(*_refused(name, error))
            return
        if isValid(form):
            form.accept()
        self._told(f"{name}: you are {entered.me.user_id} ({entered.me.role.value}). The token is {entered.kept}.")

    def _remove(self, name: str) -> None:
        live = sum(plane_of(session.session_id) == name for session in self._store.live())
        dialog = PlaneRemoval(name, live, self._page)
        dialog.confirmed.connect(dialog.accept)
        dialog.confirmed.connect(lambda: self._tasks.start(self._removed(name), name="remove a control plane"))
        dialog.open()

    async def _removed(self, name: str) -> None:
        try:
            await self._book.remove(name)
        except MissionControlError as error:
            self._told(told(f"{name} was not removed", error))


def _refused(name: str, error: MissionControlError) -> tuple[str | None, str]:
    """An address where nobody answers, and a token that is not taken, are said at their fields, too."""
    if isinstance(error, Unreachable | Unavailable):
        return "url", f"{error.message.rstrip('.')}. Nothing was kept: look at the address, and whether it runs there."
    if isinstance(error, NotAuthenticated):
        return "token", f"{error.message} Ask an admin there for another one."
    return refused(f"{name} was not connected", error)


def _row(plane: Plane, address: str) -> PlaneRow:
    view = plane_view(plane)
    who = f"{plane.user} ({plane.role.value})" if plane.role else "not known yet"
    problem = "" if view.connected else view.detail
    return PlaneRow(plane.key, address, who, view.text, problem)
