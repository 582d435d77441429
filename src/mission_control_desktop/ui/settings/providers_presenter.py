"""What the providers' page asks for, carried to the control plane."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from PySide6.QtCore import QObject, QTimer
from shiboken6 import isValid

from mission_control_desktop.client.fleet import HOME, plane_of, qualified, unqualified
from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.providers import KindView, ProviderChange, ProviderDraft, ProviderView
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.error_words import refused, told, unread
from mission_control_desktop.ui.ports import Gateway
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.settings.check_view import CANCELLED
from mission_control_desktop.ui.settings.provider_form import ProviderForm
from mission_control_desktop.ui.settings.provider_removal import ProviderRemoval
from mission_control_desktop.ui.settings.providers import ProvidersPage

FOLLOW_SECONDS = 0.2
"""How often a check that is under way is looked at."""
COUNT_MS = 1_000
_OURS = (AuditAction.PROVIDER_CHANGE, AuditAction.PROVIDER_CHECK, AuditAction.PROVIDER_REMOVE)
"""What someone else does to providers is told as audit rows."""


def refusal_of(role: Role | None, where: str = "") -> str:
    """Why someone may not change providers; empty for admins."""
    match role:
        case Role.ADMIN:
            return ""
        case None:
            return "Not connected to a control plane: providers cannot be read or changed now."
        case _:
            return (
                f"You are connected{f' to {where}' if where else ''} as {role.value}: you see the providers, and only "
                "an admin can register, check, change or remove them."
            )


class ProvidersPresenter(QObject):
    """One page's requests. `close` ends all of them; a check's result is then not waited for."""

    def __init__(
        self,
        page: ProvidersPage,
        store: SessionStore,
        gateway: Gateway,
        tasks: Tasks,
        role: Role | None,
        *,
        plane: str = HOME,
        where: str = "",
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._plane = plane
        self._page, self._store, self._gateway, self._tasks = page, store, gateway, tasks
        self._running: set[asyncio.Task[Any]] = set()
        self._checks: dict[str, asyncio.Task[Any]] = {}
        self._intent: tuple[ProviderDraft, str] | None = None
        self._one = asyncio.Lock()
        self._waiting = 0
        self._closed = False
        page.set_refusal(refusal_of(role, where))
        page.turned_to.connect(self.load)
        page.register_requested.connect(self._register)
        page.edit_requested.connect(self._edit)
        page.check_requested.connect(self.check)
        page.cancel_requested.connect(self.cancel_check)
        page.active_requested.connect(lambda i, on: self._start(self._switch(i, on), "switch a provider"))
        page.remove_requested.connect(self._remove)
        store.provider_changed.connect(self._on_provider)
        store.audit_arrived.connect(self._on_audit)
        self._timer = QTimer(self)
        self._timer.setInterval(COUNT_MS)
        self._timer.timeout.connect(self._count)
        self._timer.start()
        self._count()

    def close(self) -> None:
        """The page goes: nothing is waited for any more."""
        self._closed = True
        self._timer.stop()
        for task in list(self._running):
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[Any]:
        task = self._tasks.start(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    # -- the list

    def load(self) -> None:
        """Read the list again; once more afterwards if it is asked for meanwhile."""
        if self._waiting == 0 and not self._closed:
            self._waiting += 1
            self._start(self._load(waited=True), "providers")

    async def _load(self, *, waited: bool = False) -> None:
        # One after the other: an older answer must not replace a newer one.
        async with self._one:
            if waited:
                self._waiting -= 1
            try:
                views, kinds = await self._gateway.call(_read)
            except MissionControlError as error:
                self._page.show_problem(unread("The providers cannot be read", error))
                return
            self._page.show_problem("")
            self._page.show_providers(views, kinds)

    def _on_provider(self, _name: str) -> None:
        self.load()

    def _on_audit(self, entries: list[AuditEntry], plane: str) -> None:
        ours = [one for one in entries if one.action in _OURS and one.outcome is not AuditOutcome.INTENDED]
        if ours and plane == self._plane:
            self.load()

    def _count(self) -> None:
        if not self._page.isVisible():
            return
        mine = [one for one in self._store.sessions.values() if plane_of(one.provider) == self._plane]
        known = Counter(unqualified(one.provider) for one in mine)
        live = Counter(unqualified(one.provider) for one in mine if not one.status.final)
        self._page.show_counts({name: (count, live[name]) for name, count in known.items()})

    # -- registering and changing

    def _register(self) -> None:
        form = ProviderForm(self._page.kinds, parent=self._page)
        form.draft_given.connect(lambda draft: self._start(self._create(form, draft), "register a provider"))
        form.finished.connect(self._forget_intent)
        form.open()

    def _forget_intent(self) -> None:
        self._intent = None

    async def _create(self, form: ProviderForm, draft: ProviderDraft) -> None:
        # The same draft again is the same intent: what was made although its answer was lost is not made twice.
        if self._intent is None or self._intent[0] != draft:
            self._intent = (draft, uuid.uuid4().hex)
        key = self._intent[1]
        work = partial(_create, draft=draft, key=key)
        made = await self._told(form, "The provider was not registered", work)
        if made is None:
            return
        await self._chosen_anew(form, made, check=made.is_active)

    def _edit(self, provider_id: str) -> None:
        view = self._page.view_of(provider_id)
        if view is None:
            return
        form = ProviderForm(self._page.kinds, view, parent=self._page)
        form.change_given.connect(lambda change: self._start(self._change(form, view, change), "change a provider"))
        form.open()

    async def _change(self, form: ProviderForm, view: ProviderView, change: ProviderChange) -> None:
        made = await self._told(form, f"{view.name} was not changed", lambda mc: mc.update_provider(view.id, change))
        if made is None:
            return
        other = change.gateway_url is not None or change.credentials is not None
        await self._chosen_anew(form, made, check=other and made.is_active)

    async def _told(
        self, form: ProviderForm, what: str, work: Callable[[MissionControl], Coroutine[Any, Any, ProviderView]]
    ) -> ProviderView | None:
        """None after its failure was shown in the form."""
        try:
            return await self._gateway.call(work)
        except MissionControlError as error:
            if isValid(form):
                form.failed(*refused(what, error))
            return None

    async def _chosen_anew(self, form: ProviderForm, view: ProviderView, *, check: bool) -> None:
        if isValid(form):
            form.accept()
        await self._load()
        self._page.choose(view.id)
        if check:
            self.check(view.id)

    # -- acts on one

    async def _switch(self, provider_id: str, on: bool) -> None:
        name = _name(self._page, provider_id)
        self._page.set_busy(provider_id, True)
        try:
            change = ProviderChange(is_active=on)
            await self._gateway.call(lambda mc: mc.update_provider(provider_id, change))
            await self._load()
        except MissionControlError as error:
            self._page.show_problem(told(f"{name} was not {'enabled' if on else 'disabled'}", error))
        finally:
            if isValid(self._page):
                self._page.set_busy(provider_id, False)

    def _remove(self, provider_id: str) -> None:
        view = self._page.view_of(provider_id)
        if view is None:
            return
        name = qualified(self._plane, view.name)
        sessions = [one for one in self._store.sessions.values() if one.provider == name]
        live = sum(not one.status.final for one in sessions)
        dialog = ProviderRemoval(view, len(sessions), live, self._page)
        dialog.confirmed.connect(lambda: self._start(self._removed(dialog, view), "remove a provider"))
        dialog.open()

    async def _removed(self, dialog: ProviderRemoval, view: ProviderView) -> None:
        try:
            await self._gateway.call(lambda mc: mc.delete_provider(view.id))
        except MissionControlError as error:
            if isValid(dialog):
                dialog.failed(told(f"{view.name} was not removed", error))
            return
        if isValid(dialog):
            dialog.accept()
        await self._load()

    # -- checking

    def check(self, provider_id: str) -> None:
        """Check one's connection, shown as it goes on; nothing if that is under way."""
        if provider_id not in self._checks:
            self._page.check_began(provider_id)
            task = self._start(self._check(provider_id), "check a provider")
            self._checks[provider_id] = task
            task.add_done_callback(lambda _task: self._checks.pop(provider_id, None))

    def cancel_check(self, provider_id: str) -> None:
        """Do not wait for it any longer."""
        if (task := self._checks.get(provider_id)) is not None:
            task.cancel()

    async def _check(self, provider_id: str) -> None:
        following = self._start(self._follow(provider_id), "follow a check")
        problem = ""
        try:
            await self._gateway.call(partial(_check, provider_id=provider_id))
        except MissionControlError as error:
            problem = unread("It could not be checked", error)
        except asyncio.CancelledError:
            if not self._closed:
                self._page.check_ended(provider_id, CANCELLED)
            raise
        finally:
            following.cancel()
        await self._load()
        self._page.check_ended(provider_id, problem)

    async def _follow(self, provider_id: str) -> None:
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            try:
                views = await self._gateway.call(_providers)
            except MissionControlError:
                return  # the check itself ends with what is wrong
            report = next((one.last_check for one in views if one.id == provider_id), None)
            if report is not None and report.under_way:
                self._page.check_told(provider_id, report)


async def _read(mission_control: MissionControl) -> tuple[tuple[ProviderView, ...], tuple[KindView, ...]]:
    return await mission_control.providers(), await mission_control.provider_kinds()


async def _providers(mission_control: MissionControl) -> tuple[ProviderView, ...]:
    return await mission_control.providers()


async def _create(mission_control: MissionControl, *, draft: ProviderDraft, key: str) -> ProviderView:
    return await mission_control.create_provider(draft, idempotency_key=key)


async def _check(mission_control: MissionControl, *, provider_id: str) -> object:
    return await mission_control.check_provider(provider_id)


def _name(page: ProvidersPage, provider_id: str) -> str:
    view = page.view_of(provider_id)
    return provider_id if view is None else view.name
