"""The desktop's own notifications (freedesktop.org specification 1.2), over the session bus.

Not through the tray icon: a desktop without a tray (plain GNOME) shows notifications all the same, and over the bus one
notification replaces another and tells which one was clicked. Qt's bus cannot send the unsigned number that the
specification asks for, so the messages are made by jeepney.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import structlog
from jeepney import DBusAddress, MatchRule, message_bus, new_method_call
from jeepney.io.asyncio import DBusRouter, open_dbus_connection
from jeepney.io.common import RouterClosed
from jeepney.wrappers import DBusErrorResponse, unwrap_msg

from mission_control_desktop.ui.notifications.rules import NewsCause, Note

log = structlog.get_logger(__name__)

SERVICE = "org.freedesktop.Notifications"
_ADDRESS = DBusAddress("/org/freedesktop/Notifications", bus_name=SERVICE, interface=SERVICE)
APP = "Mission Control"
DESKTOP_ENTRY = "mission-control-desktop"
RETRY_SECONDS = 30.0
CALL_SECONDS = 10.0
MAX_WAITING = 16
"""Notifications that wait for the bus; beyond that the oldest is dropped: the queue in the window holds everything."""
MAX_SHOWN = 64
"""Notifications whose click is still understood."""
_URGENT = {NewsCause.APPROVAL, NewsCause.QUESTION}


class DesktopBus:
    """`show` at any time; `run` until it is cancelled. `clicked` gets what a note leads to."""

    def __init__(self, clicked: Callable[[str | None], None]) -> None:
        self._clicked = clicked
        self._waiting: asyncio.Queue[Note] = asyncio.Queue(MAX_WAITING)
        self._leads: OrderedDict[int, str | None] = OrderedDict()
        self._last: dict[NewsCause, int] = {}
        self.available = False
        """Whether the desktop has a service for notifications that answers."""

    def show(self, note: Note) -> None:
        """Show a note soon; nothing waits for it."""
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(note)

    async def run(self) -> None:
        """Serve the bus; come back to it when it was lost."""
        if not os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
            return
        while True:
            try:
                await self._serve()
            except* (OSError, EOFError, TimeoutError, ValueError, RouterClosed, DBusErrorResponse) as lost:
                log.info("no desktop notifications", error=str(lost.exceptions[0]))
            finally:
                self.available = False
            await asyncio.sleep(RETRY_SECONDS)

    async def _serve(self) -> None:
        connection = await open_dbus_connection("SESSION")
        try:
            async with DBusRouter(connection) as router:
                await self._serve_over(router)
        finally:
            # Our own close: the library's leaves the socket open when the bus went first.
            with contextlib.suppress(OSError):
                await connection.close()

    async def _serve_over(self, router: Any) -> None:
        rule = MatchRule(type="signal", interface=SERVICE, member="ActionInvoked")
        asked = new_method_call(message_bus, "AddMatch", "s", (rule.serialise(),))
        unwrap_msg(await asyncio.wait_for(router.send_and_get_reply(asked), CALL_SECONDS))
        await self._call(router, "GetCapabilities")
        self.available = True
        with router.filter(rule, bufsize=MAX_WAITING) as clicks:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tell(router))
                group.create_task(self._follow(clicks))
                group.create_task(self._watch(router))

    async def _tell(self, router: Any) -> None:
        while True:
            await self._notify(router, await self._waiting.get())

    async def _follow(self, clicks: asyncio.Queue[Any]) -> None:
        while True:
            number, _action = (await clicks.get()).body
            if number in self._leads:
                self._clicked(self._leads[number])

    async def _watch(self, router: Any) -> None:
        """Nobody says that the bus is gone: it is asked."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            await self._call(router, "GetCapabilities")

    async def _notify(self, router: Any, note: Note) -> None:
        """The same cause's former notification is replaced: there is one of each."""
        hints = {
            "urgency": ("y", 2 if note.cause in _URGENT else 1),
            "desktop-entry": ("s", DESKTOP_ENTRY),
            "category": ("s", "im.received" if note.cause in _URGENT else "device"),
        }
        body = html.escape(note.body, quote=False)
        arguments = (
            APP,
            self._last.get(note.cause, 0),
            DESKTOP_ENTRY,
            note.title,
            body,
            ["default", "Open"],
            hints,
            -1,
        )
        (number,) = await self._call(router, "Notify", "susssasa{sv}i", arguments)
        self._last[note.cause] = number
        self._leads[number] = note.session_id
        self._leads.move_to_end(number)
        while len(self._leads) > MAX_SHOWN:
            self._leads.popitem(last=False)

    @staticmethod
    async def _call(router: Any, method: str, signature: str = "", arguments: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        message = new_method_call(_ADDRESS, method, signature or None, arguments)
        answer = await asyncio.wait_for(router.send_and_get_reply(message), CALL_SECONDS)
        return tuple(unwrap_msg(answer))
