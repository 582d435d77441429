"""Pictures of Settings → Providers in each of its states, light and dark, into `build/screenshots/`.

    QT_QPA_PLATFORM=offscreen python scripts/screenshots_providers.py

The window is real, and so are its control plane, the other Mission Control that it registers and the agent there; the
gateway is the scripted one of the tests.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QPoint
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QApplication, QDialog

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from mission_control_desktop.ui import theme  # noqa: E402
from mission_control_desktop.ui.application import Desktop  # noqa: E402
from mission_control_desktop.ui.settings.dialog import SettingsDialog  # noqa: E402
from mission_control_desktop.ui.settings.provider_form import ProviderForm  # noqa: E402
from mission_control_desktop.ui.settings.provider_removal import ProviderRemoval  # noqa: E402
from mission_control_desktop.ui.settings.providers import ProvidersPage  # noqa: E402
from support.gateway_double import TOKEN, GatewayDouble, Refuse  # noqa: E402
from support.rig import Rig, dialog, until  # noqa: E402
from support.served import Served, served  # noqa: E402

FOLDER = ROOT / "build" / "screenshots"
PATIENCE = 60.0


class Pictures:
    """One window, its settings, and whatever lies on top of them."""

    def __init__(self, desk: Desktop) -> None:
        self.desk = desk

    async def take(self, name: str, *above: QDialog) -> None:
        for scheme in ("light", "dark"):
            theme.set_scheme("dark" if scheme == "dark" else "light")
            QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
            await asyncio.sleep(0.15)
            picture = self.desk.window.grab()
            painter = QPainter(picture)
            for one in above:
                shade = QColor("#000000")
                shade.setAlphaF(0.35)
                painter.fillRect(picture.rect(), shade)
                room, box = picture.deviceIndependentSize().toSize(), one.size()
                spot = QPoint((room.width() - box.width()) // 2, (room.height() - box.height()) // 2)
                painter.drawPixmap(spot, one.grab())
            painter.end()
            path = FOLDER / f"providers-{name}-{scheme}.png"
            picture.save(str(path))
            print(f"screenshot {path.relative_to(ROOT)}", flush=True)
        theme.set_scheme("light")


async def register(page: ProvidersPage, kind: str, name: str, address: str, token: str) -> None:
    page.register_requested.emit()
    form = await dialog(ProviderForm, page)
    form.kind.setCurrentIndex(form.kind.findData(kind))
    form.name.setText(name)
    form.address.setText(address)
    form.credentials["token"].setText(token)
    form.save.click()
    await until(lambda: page.chosen is not None and page.chosen.name == name, name, PATIENCE)


async def checked(page: ProvidersPage) -> None:
    await until(lambda: not page.detail.cancel.isVisible() and page.chosen.last_check, "the check", PATIENCE)  # type: ignore[union-attr]


async def again(page: ProvidersPage, name: str) -> None:
    row = next(n for n in range(page.model.rowCount()) if page.model.view_at(n).name == name)  # type: ignore[union-attr]
    page.choose(page.model.view_at(row).id)  # type: ignore[union-attr]
    page.check.click()
    await until(lambda: page.detail.cancel.isVisible(), "the check")
    await checked(page)


async def story(rig: Rig, far: Served) -> None:
    gateway = GatewayDouble()
    await gateway.start()
    desk = await rig.open()
    pictures = Pictures(desk)
    desk.window.commands["mission.settings"].trigger()
    settings = await dialog(SettingsDialog, desk.window)
    page = settings.page(ProvidersPage)
    await until(lambda: page.kinds and page.model.rowCount(), "the list", PATIENCE)
    for key in ("connections", "profiles", "appearance"):
        settings.show_page(key)
        await pictures.take(f"page-{key}", settings)
    settings.show_page("providers")
    await pictures.take("empty", settings)

    page.register_requested.emit()
    form = await dialog(ProviderForm, page)
    await pictures.take("form", settings, form)
    form.name.setText("Far Away")
    form.address.setText("http://far.example:18789")
    form.save.click()
    await pictures.take("form-refused", settings, form)
    form.reject()

    await register(page, "orchestrator", "far-lab", far.url, far.token("operator")["token"])
    await checked(page)
    await until(lambda: any(s.provider == "far-lab" for s in desk.store.sessions.values()), "far sessions", PATIENCE)
    await asyncio.sleep(1.2)
    await pictures.take("well", settings)

    gateway.silent = True
    await register(page, "openclaw", "claw-prod", gateway.url, "a-wrong-token")
    await until(lambda: page.detail.rows[list(page.detail.rows)[1]][1].text() == "trying…", "the first stage", PATIENCE)
    await pictures.take("checking", settings)
    page.detail.cancel.click()
    await until(lambda: not page.detail.cancel.isVisible(), "cancelled")
    await pictures.take("cancelled", settings)
    gateway.silent = False
    await gateway.drop()
    await again(page, "claw-prod")
    await pictures.take("wrong-token", settings)
    page.edit.click()
    form = await dialog(ProviderForm, page)
    await pictures.take("form-edit", settings, form)
    details = {"code": "PAIRING_REQUIRED", "reason": "not-paired", "requestId": "9f31c2a4-7d"}
    gateway.refuse_connect = [Refuse("NOT_PAIRED", "pairing required", details=details)] * 50
    form.credentials["token"].setText(TOKEN)
    form.save.click()
    await until(lambda: page.detail.commands(), "the command", PATIENCE)
    await checked(page)
    await pictures.take("unpaired", settings)
    gateway.refuse_connect = []
    gateway.scopes = ("operator.read", "operator.write")
    await again(page, "claw-prod")
    await pictures.take("scopes", settings)
    gateway.scopes = ("operator.read", "operator.write", "operator.approvals", "operator.questions")
    await again(page, "claw-prod")
    await register(page, "orchestrator", "nowhere", "https://127.0.0.1:9", "some-token")
    await checked(page)
    await pictures.take("unreachable", settings)
    page.switch.click()
    await until(lambda: page.chosen and not page.chosen.is_active, "disabled", PATIENCE)
    await pictures.take("disabled", settings)
    page.choose(next(one.id for n in range(5) if (one := page.model.view_at(n)) and one.name == "far-lab"))
    page.remove.click()
    removal = await dialog(ProviderRemoval, page)
    await pictures.take("remove", settings, removal)
    removal.reject()
    settings.reject()
    await gateway.stop()
    await gateway.drop()
    far.process.stop()
    await until(lambda: "abnormal" in desk.window.header.providers.words, "what is away", PATIENCE)
    for width, height in ((1200, 760), (1280, 800), (2560, 1440)):
        desk.window.resize(width, height)
        await pictures.take(f"header-{width}")
    await desk.close()


async def observer(rig: Rig) -> None:
    desk = await rig.open()
    pictures = Pictures(desk)
    desk.window.settings_requested.emit("providers")
    settings = await dialog(SettingsDialog, desk.window)
    await until(lambda: settings.page(ProvidersPage).model.rowCount(), "the list")
    await pictures.take("observer", settings)
    await desk.close()


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    app: Any = QApplication(sys.argv[:1])
    with (
        tempfile.TemporaryDirectory(prefix="mission-control-pictures-") as folder,
        served(Path(folder) / "near") as near,
        served(Path(folder) / "far") as far,
    ):
        far.double()
        far.spawn(title="Index the archive")
        far.spawn(title="Watch the queue")
        rig = Rig(app, near.data_dir)
        rig.run(lambda: story(rig, far), seconds=500)
        os.environ["MISSION_CONTROL_TOKEN"] = near.token("observer")["token"]
        rig.run(lambda: observer(rig))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
