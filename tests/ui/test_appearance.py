"""What a person chooses about the looks is in effect at once, everywhere, and after the next start."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDateTimeEdit, QLabel, QWidget

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.audit.drawer import AuditDrawer
from mission_control_desktop.ui.audit.filters import AuditFilters
from mission_control_desktop.ui.audit.model import AuditModel
from mission_control_desktop.ui.settings.appearance import AppearancePage
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from support.rig import Rig, dialog, press, until
from support.scripted_plane import ScriptedPlane, session


async def appearance_page(desk: Desktop) -> AppearancePage:
    desk.window.commands["mission.settings"].trigger()
    shown = await dialog(SettingsDialog, desk.window)
    shown.show_page("appearance")
    return shown.page(AppearancePage)


def too_small(root: QWidget) -> list[str]:
    return [
        f"{type(w).__name__} {w.objectName()} {w.font().pixelSize()}"
        for w in [root, *root.findChildren(QWidget)]
        if w.font().pixelSize() < theme.MINIMUM_PIXELS
    ]


def test_choices_take_effect_at_once_and_stay_over_a_restart(rig: Rig) -> None:
    plane = ScriptedPlane()
    plane.tell(session("a"))

    async def first() -> None:
        desk = await rig.open(plane.open)
        window = desk.window
        await until(lambda: desk.panels.get("internal:a"))
        page = await appearance_page(desk)
        header, rows = window.header.height(), window.roster.tree.sizeHintForRow(0)
        page.schemes["contrast"].click()
        assert theme.current() is theme.CONTRAST
        assert window.palette().window().color() == theme.CONTRAST.surface
        page.densities["comfortable"].setFocus()
        await until(page.densities["comfortable"].hasFocus, "the focus")
        press(page.densities["comfortable"], Qt.Key.Key_Right)
        assert theme.appearance().density == "compact"
        assert window.header.height() < header
        assert window.roster.tree.sizeHintForRow(0) < rows
        panel = desk.panels.get("internal:a")
        assert panel is not None
        page.text.setCurrentIndex(page.text.findData(20))
        assert window.header.kill_all.font().pixelSize() == 20
        assert all(label.font().pixelSize() >= 19 for label in panel.findChildren(QLabel))
        assert window.roster.tree.sizeHintForRow(0) > rows
        page.zones[True].click()
        assert page.sample.text().endswith("+00:00")
        page.still.click()
        assert theme.appearance().still
        await desk.close()

    async def second() -> None:
        theme.set_appearance(theme.Appearance())
        desk = rig.desktop(plane.open)
        assert theme.appearance() == theme.Appearance("contrast", "compact", 20, still=True, utc=True)
        await desk.show()
        page_of = desk.window
        page_of.commands["view.text_plain"].trigger()
        assert theme.metrics.text == 13
        page_of.commands["view.text_smaller"].trigger()
        page_of.commands["view.text_smaller"].trigger()
        page_of.commands["view.text_smaller"].trigger()
        assert theme.metrics.text == min(theme.TEXT_SIZES)
        page_of.commands["view.text_larger"].trigger()
        assert theme.metrics.text == 12
        assert too_small(page_of) == []
        await desk.close()

    rig.run(first)
    rig.run(second)


def test_no_text_is_too_small_and_the_window_fits_into_1200_pixels(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a"))
        desk = await rig.open(plane.open)
        await until(lambda: desk.panels.get("internal:a"))
        for size in theme.TEXT_SIZES:
            theme.set_appearance(theme.Appearance("light", "comfortable", size))
            await asyncio.sleep(0)
            assert too_small(desk.window) == []
            assert desk.window.minimumSizeHint().width() <= 1200, size
        await desk.close()

    rig.run(scenario)


def test_a_font_is_kept_as_the_theme_is_now(qt: Any) -> None:
    label = QLabel("agent")
    qt.addWidget(label)
    theme.keep_font(label, "text_large", mono=True)
    assert label.font().pixelSize() == 15
    theme.set_appearance(replace(theme.appearance(), text=17))
    assert label.font().pixelSize() == 19
    theme.set_appearance(replace(theme.appearance(), text=11))
    assert label.font().pixelSize() == 13
    assert theme.metrics.text_small == 11, "what is smaller than running text stops at the least"


def test_without_motion_the_drawer_is_there_at_once(qt: Any) -> None:
    host = QWidget()
    qt.addWidget(host)
    host.resize(1200, 600)
    drawer = AuditDrawer(AuditModel(str, host), host)
    host.show()
    theme.set_appearance(replace(theme.appearance(), still=True))
    drawer.slide(show=True)
    assert drawer.isVisible()
    assert drawer.geometry().right() == host.rect().right()
    drawer.slide(show=False)
    assert not drawer.isVisible()


def test_a_resize_does_not_hold_a_drawer_that_is_leaving(qt: Any) -> None:
    host = QWidget()
    qt.addWidget(host)
    host.resize(1200, 600)
    drawer = AuditDrawer(AuditModel(str, host), host)
    host.show()
    drawer.slide(show=True)
    host.resize(1100, 600)
    assert drawer.isVisible()
    drawer.slide(show=False)
    assert drawer.isVisible(), "it slides"
    host.resize(1000, 600)
    assert not drawer.isVisible()


def test_the_limits_of_the_audit_log_stay_the_same_moments_in_utc(qt: Any) -> None:
    filters = AuditFilters()
    qt.addWidget(filters)
    (since, until_) = filters.findChildren(QDateTimeEdit)[:2]
    before = [edit.dateTime().toSecsSinceEpoch() for edit in (since, until_)]
    theme.set_appearance(replace(theme.appearance(), utc=True))
    assert since.timeZone().id() == "UTC"
    assert since.dateTime().timeZone().id() == "UTC"
    assert [edit.dateTime().toSecsSinceEpoch() for edit in (since, until_)] == before


def test_high_contrast_is_far_above_what_is_asked_for() -> None:
    look = theme.CONTRAST
    for ink in (look.text, look.text_muted, look.attention, look.error, look.accent, *look.status.values()):
        for ground in (look.window, look.surface, look.surface_raised, look.hover):
            assert theme.contrast(ink, ground) >= 7, (ink.name(), ground.name())
    assert theme.contrast(look.border, look.surface) >= 3
