"""Pictures of every room of the window in light, dark and high contrast, at 1280x800 and 2560x1440, into
`build/screenshots/rooms/`.

    QT_QPA_PLATFORM=offscreen python scripts/screenshots_rooms.py [--only TEXT] [--quick] [--size 1200x800]

The window, the control plane and the demo agents are real; further agents are the scripted one of the tests, a real
process each. `--only` takes rooms whose name contains the text; `--quick` takes 1280x800 alone; `--size` (as often as
wanted) takes other sizes, and `--scheme` not all schemes. With `QT_SCALE_FACTOR=2` the pictures are those of a screen
at 200 %, and are named so.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QPoint
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QApplication, QDialog, QMenu, QWidget

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from mission_control_desktop.domain.sessions import SessionStatus  # noqa: E402
from mission_control_desktop.ui import theme  # noqa: E402
from mission_control_desktop.ui.application import Desktop  # noqa: E402
from mission_control_desktop.ui.commands.actions import CommandActions  # noqa: E402
from mission_control_desktop.ui.dialogs.kill_all import KillAllDialog  # noqa: E402
from mission_control_desktop.ui.settings.dialog import SettingsDialog  # noqa: E402
from mission_control_desktop.ui.tray.entry import Followed, TrayEntry  # noqa: E402
from support.rig import Rig, dialogs, until  # noqa: E402
from support.rooms import every_room  # noqa: E402
from support.served import Served, served  # noqa: E402

FOLDER = ROOT / "build" / "screenshots" / "rooms"
SIZES = ((1280, 800), (2560, 1440))
SCHEMES: tuple[theme.Scheme, ...] = ("light", "dark", "contrast")
PATIENCE = 120.0
MANY = 60
ASKING = 56
SPOKEN_SECONDS = 12.0
DIALOGS = ("mission.new_agent", "session.terminate", "session.kill", "session.spawn_below", "layout.n", "desk.new",
           "desk.rename", "help.keys", "help.about")  # fmt: skip
TAKEN_ABOVE = {*DIALOGS, "mission.kill_all", "mission.attention", "view.audit", "mission.settings",
               *(f"settings, {key}" for key in ("connections", "providers", "profiles", "appearance", "keys",
                                                "notifications", "retention"))}  # fmt: skip


class Pictures:
    """One window and whatever lies on top of it."""

    def __init__(
        self, desk: Desktop, only: str, sizes: Sequence[tuple[int, int]], schemes: Sequence[theme.Scheme]
    ) -> None:
        self.desk, self._only, self._sizes, self._schemes = desk, only, sizes, schemes

    async def take(self, name: str, *above: QWidget) -> None:
        if self._only not in name:
            return
        scale = self.desk.window.devicePixelRatio()
        at = "" if scale == 1 else f"@{scale:g}x"
        for width, height in self._sizes:
            self.desk.window.resize(width, height)
            await asyncio.sleep(0.3)
            for scheme in self._schemes:
                theme.set_scheme(scheme)
                QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
                await asyncio.sleep(0.2)
                picture = self.desk.window.grab()
                painter = QPainter(picture)
                for one in above:
                    if isinstance(one, QDialog):
                        shade = QColor("#000000")
                        shade.setAlphaF(0.35)
                        painter.fillRect(self.desk.window.rect(), shade)
                    spot = QPoint((width - one.width()) // 2, (height - one.height()) // 2)
                    painter.drawPixmap(spot, one.grab())
                    painter.setPen(theme.current().border_strong)  # a desktop draws an edge round a window
                    painter.drawRect(spot.x(), spot.y(), one.width() - 1, one.height() - 1)
                painter.end()
                path = FOLDER / f"{name}-{width}x{height}{at}-{scheme}.png"
                picture.save(str(path))
            print(f"screenshots {FOLDER.relative_to(ROOT)}/{name}-{width}x{height}-*.png", flush=True)
        theme.set_scheme("light")


async def story(rig: Rig, plane: Served, pictures_of: partial[Pictures]) -> None:
    desk = await rig.open()
    window = desk.window
    pictures = pictures_of(desk)
    await until(lambda: window.launch.profiles, "the profiles", PATIENCE)
    await pictures.take("window-none")
    window.commands["view.audit"].trigger()
    await asyncio.sleep(0.5)
    await pictures.take("audit-empty")
    window.commands["view.audit"].trigger()
    window.commands["mission.attention"].trigger()
    await pictures.take("attention-none")
    window.commands["mission.attention"].trigger()

    # -- four agents: the demo mission and one more, all seen
    desk.presenter.start_demo()
    await until(lambda: len(desk.store.live()) >= 3, "the demo mission", PATIENCE)
    first = plane.spawn("[plan] [words 40 20] [tool] [thought] [permission]", title="Index the archive")
    await until(lambda: len(desk.store.approvals) >= 2, "questions of the agents", PATIENCE)
    await asyncio.sleep(SPOKEN_SECONDS)
    window.opening.open_live()
    window.open_session(first)
    await until(lambda: (panel := desk.panels.get(first)) and panel.model.entries, "the first words", PATIENCE)
    window.panels.arrange_in(2, 2)
    await asyncio.sleep(1)
    await pictures.take("window-four")
    await pictures.take("panel-approval")
    window.commands["mission.attention"].trigger()
    for number in range(2):
        plane.spawn("[permission]", title=f"Release check {number + 1}")
    await until(lambda: len(window.attention.items()) >= 5, "five things that need a person", PATIENCE)
    await pictures.take("attention-5")
    window.commands["mission.attention"].trigger()
    window.commands["view.audit"].trigger()
    await until(lambda: window.audit_model.rowCount() > 0, "the audit log", PATIENCE)
    await asyncio.sleep(0.5)
    await pictures.take("audit")
    window.commands["view.audit"].trigger()

    # -- settings
    window.commands["mission.settings"].trigger()
    await until(lambda: dialogs(window), "the settings")
    settings = next(d for d in dialogs(window) if isinstance(d, SettingsDialog))
    for number in range(settings.list.count()):
        settings.list.setCurrentRow(number)
        await asyncio.sleep(0.6)
        await pictures.take(f"settings-{settings.current.key}", settings)
    settings.reject()
    await asyncio.sleep(0.1)

    # -- dialogs, each by its command
    window.panels.activate(first)
    for command in DIALOGS:
        if not known(window.commands, command) or not window.commands[command].isEnabled():
            continue
        window.commands[command].trigger()
        await asyncio.sleep(0.5)
        shown = dialogs(window)
        await pictures.take(f"dialog-{command.replace('.', '-').replace('_', '-')}", *shown)
        for one in shown:
            one.reject()
        if not shown:
            window.show_page()
            window.leave_launch()
        await asyncio.sleep(0.1)
    for command in ("mission.palette", "view.palette", "help.palette"):
        if known(window.commands, command):
            window.commands[command].trigger()
            await asyncio.sleep(0.5)
            await pictures.take("palette")
            window.commands[command].trigger()

    await other_rooms(desk, first, pictures)

    # -- the tray's menu
    entry = TrayEntry(desk.store)
    entry.set_planes([Followed("", "this computer", connected=True)])
    entry.menu.ensurePolished()
    entry.menu.resize(entry.menu.sizeHint())
    await pictures.take("tray", entry.menu)
    entry.close()

    # -- many
    for number in range(ASKING):
        await asyncio.to_thread(plane.spawn, "[words 30 40] [permission]", title=f"Survey {number + 1:02d}")
    await until(lambda: len(window.attention.items()) >= MANY, "sixty things that need a person", PATIENCE)
    await until(lambda: len(desk.store.live()) >= MANY, "sixty agents", PATIENCE)
    window.opening.open_live()
    await asyncio.sleep(2)
    await pictures.take("window-sixty")
    window.commands["mission.attention"].trigger()
    await asyncio.sleep(0.3)
    await pictures.take("attention-60")
    window.commands["mission.attention"].trigger()
    dialog = desk.presenter.ask_kill_all()
    await asyncio.sleep(0.5)
    await pictures.take("kill-all", dialog)
    dialog.typed.setText("KILL ALL")
    dialog.reason.setText("The pictures are taken")
    await kill(desk, dialog)
    await pictures.take("kill-board", dialog)
    dialog.close()
    await until(lambda: all(s.status.final for s in desk.store.sessions.values()), "the end", PATIENCE)
    await pictures.take("window-ended")
    await desk.close()


async def kill(desk: Desktop, dialog: KillAllDialog) -> None:
    await until(lambda: dialog.act.isEnabled(), "the button")
    dialog.act.click()
    await until(
        lambda: not any(s.status is SessionStatus.RUNNING for s in desk.store.live()), "that everything ends", PATIENCE
    )
    await asyncio.sleep(1)


async def other_rooms(desk: Desktop, session_id: str, pictures: Pictures) -> None:
    """Whatever opens in the window and has no picture above."""
    taken = set(TAKEN_ABOVE)
    async for name, room in every_room(desk, session_id):
        file = "room-" + "-".join(re.findall(r"[a-z]+", name))
        if name in TAKEN_ABOVE or file in taken:
            continue
        taken.add(file)
        await asyncio.sleep(0.3)
        below = [d for d in dialogs(desk.window) if d is not room and d.isAncestorOf(room)]
        inside = isinstance(room, (QDialog, QMenu))
        await pictures.take(file, *below, *([room] if inside else []))


def known(commands: CommandActions, name: str) -> bool:
    try:
        return commands[name] is not None
    except KeyError:
        return False


def size(text: str) -> tuple[int, int]:
    """`1280x800` as two numbers."""
    width, height = text.split("x")
    return int(width), int(height)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="", help="take rooms whose name contains this")
    parser.add_argument("--quick", action="store_true", help="1280x800 alone")
    parser.add_argument("--size", action="append", type=size, metavar="WxH", help="of the window, in place of both")
    parser.add_argument("--scheme", action="append", choices=SCHEMES, help="in place of all three")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    app: Any = QApplication(sys.argv[:1])
    sizes = arguments.size or (SIZES[:1] if arguments.quick else SIZES)
    pictures = partial(Pictures, only=arguments.only, sizes=sizes, schemes=arguments.scheme or SCHEMES)
    with (
        tempfile.TemporaryDirectory(prefix="mission-control-pictures-") as folder,
        served(Path(folder) / "near") as near,
    ):
        near.double()
        rig = Rig(app, near.data_dir)
        rig.run(lambda: story(rig, near, pictures), seconds=3000)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
