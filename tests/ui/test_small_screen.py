"""A screen of 1280 by 800 pixels at 200 %: the window and every dialog fit, and all of them can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QDialog, QFileDialog, QWidget

from support.accessible import focusable
from support.rig import Rig, until
from support.rooms import every_room
from support.screens import Screen, monitors
from support.served import Served, served

SCREEN = Screen("small", 0, 0, 640, 400)


@pytest.fixture
def house(rig: Rig, kept: object) -> Iterator[Served]:
    with served(rig.folder) as made, monitors(SCREEN):
        made.double()
        for title in ("Fix the gateway tests", "Write the release notes"):
            made.spawn("[wait]", title=title)
        yield made


async def out_of_sight(shown: QWidget) -> list[str]:
    """Controls that are not seen even while they have the focus."""
    found = []
    for control in focusable(shown):
        control.setFocus(Qt.FocusReason.TabFocusReason)
        await asyncio.sleep(0)
        if control.hasFocus() and control.visibleRegion().isEmpty():
            found.append(f"{type(control).__name__}#{control.objectName()} {control.accessibleName()}")
    return found


def test_everything_fits_and_is_within_reach(rig: Rig, house: Served) -> None:
    wrong: list[str] = []

    async def scenario() -> None:
        desk = await rig.open()
        desk.window.resize(SCREEN.width, SCREEN.height)
        await until(lambda: len(desk.store.live()) == 2)
        assert desk.window.size() == QSize(SCREEN.width, SCREEN.height)
        assert desk.window.header.minimumSizeHint().width() <= SCREEN.width
        async for name, shown in every_room(desk, next(iter(desk.store.sessions))):
            if not isinstance(shown, QDialog) or isinstance(shown, QFileDialog):
                continue
            size = shown.size()
            if size.width() > SCREEN.width or size.height() > SCREEN.height:
                wrong.append(f"{name} is {size.width()}x{size.height()}")
            wrong.extend(f"{name}: {one}" for one in await out_of_sight(shown))
        await desk.close()

    rig.run(scenario)
    assert not wrong, "\n".join(wrong)
