"""Notifications over a real session bus; the service behind it is ours, and answers as the specification says."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from jeepney import DBusAddress, MessageType, message_bus, new_error, new_method_call, new_method_return, new_signal
from jeepney.io.asyncio import DBusConnection, open_dbus_connection

from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.notifications import bus as bus_module
from mission_control_desktop.ui.notifications.bus import SERVICE, DesktopBus
from mission_control_desktop.ui.notifications.rules import NewsCause, Note

PATIENCE = 20.0
pytestmark = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="there is no dbus-daemon here")


@pytest.fixture
def session_bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    daemon = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert daemon.stdout is not None
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", daemon.stdout.readline().strip())
    yield daemon
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()


class Service:
    """The desktop's side: shows nothing, remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.connection: DBusConnection | None = None
        self._number = 0

    async def run(self) -> None:
        self.connection = await open_dbus_connection("SESSION")
        try:
            await self._serve(self.connection)
        finally:
            await self.connection.close()

    async def _serve(self, connection: DBusConnection) -> None:
        await connection.send(new_method_call(message_bus, "RequestName", "su", (SERVICE, 0)))
        while True:
            message = await connection.receive()
            if message.header.message_type is not MessageType.method_call:
                continue
            match message.header.fields.get(3):
                case "GetCapabilities":
                    answer = new_method_return(message, "as", (["actions", "body"],))
                case "Notify":
                    self._number += 0 if message.body[1] else 1
                    await connection.send(new_method_return(message, "u", (message.body[1] or self._number,)))
                    self.asked.append(message.body)  # only now: who sees it may click, and the number was told before
                    continue
                case _:
                    answer = new_error(message, "org.freedesktop.DBus.Error.UnknownMethod")
            await connection.send(answer)

    async def click(self, number: int) -> None:
        assert self.connection is not None
        ours = DBusAddress("/org/freedesktop/Notifications", interface=SERVICE)
        await self.connection.send(new_signal(ours, "ActionInvoked", "us", (number, "default")))


async def until(done: Any, what: str) -> None:
    end = asyncio.get_running_loop().time() + PATIENCE
    while not done():
        assert asyncio.get_running_loop().time() < end, f"{what} did not come about"
        await asyncio.sleep(0.01)


async def test_notes_are_shown_replaced_and_clicked(
    session_bus: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "RETRY_SECONDS", 0.05)
    clicks: list[str | None] = []
    tasks = Tasks(lambda name, error: None)
    service, ours = Service(), DesktopBus(clicks.append)
    tasks.start(ours.run(), name="ours")
    await asyncio.sleep(0)
    assert not ours.available, "without a service there is nothing to show it"
    tasks.start(service.run(), name="service")
    await until(lambda: ours.available, "the service")
    ours.show(Note(NewsCause.APPROVAL, "An agent needs your approval", "<b>Index & search</b>", "internal:a"))
    await until(lambda: len(service.asked) == 1, "the first")
    app, former, _icon, title, body, actions, hints, _timeout = service.asked[0]
    assert (app, former, title) == ("Mission Control", 0, "An agent needs your approval")
    assert body == "&lt;b&gt;Index &amp; search&lt;/b&gt;", "a service may read markup: there is none of the agent's"
    assert actions[0] == "default"
    assert hints["urgency"] == ("y", 2)
    ours.show(Note(NewsCause.FAILED, "An agent has failed", "b", None))
    await until(lambda: len(service.asked) == 2, "the second")
    ours.show(Note(NewsCause.APPROVAL, "2 approvals wait for you", "a, c", None))
    await until(lambda: len(service.asked) == 3, "the third")
    assert service.asked[1][1] == 0
    assert service.asked[2][1] == 1, "it replaces the first, which is of the same cause"
    await service.click(2)
    await service.click(99)
    await service.click(1)
    await until(lambda: len(clicks) == 2, "the clicks")
    assert clicks == [None, None], "the replaced one leads where the new one leads"
    ours.show(Note(NewsCause.STALLED, "An agent gives no sign of life", "c", "internal:c"))
    await until(lambda: len(service.asked) == 4, "the fourth")
    await service.click(3)
    await until(lambda: clicks[-1] == "internal:c", "the click")
    session_bus.kill()
    await until(lambda: not ours.available, "that the bus is missed")
    for _ in range(100):
        ours.show(Note(NewsCause.FAILED, "An agent has failed", "b", None))
    await tasks.close()


async def test_without_a_bus_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    ours = DesktopBus(lambda _session: None)
    await asyncio.wait_for(ours.run(), PATIENCE)
    assert not ours.available
