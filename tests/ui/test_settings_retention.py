"""Settings, Retention: an admin chooses, everybody else sees it and why it is not theirs to choose."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.retention import RetentionRun
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from mission_control_desktop.ui.settings.retention import RetentionPage
from support.rig import Rig, dialog, until
from support.scripted_plane import ScriptedPlane


async def retention(desk: Desktop) -> RetentionPage:
    desk.window.commands["mission.settings"].trigger()
    shown = await dialog(SettingsDialog, desk.window)
    shown.show_page("retention")
    page = shown.page(RetentionPage)
    await until(lambda: page.last.text(), "what is chosen")
    return page


def test_an_admin_chooses_how_long_messages_are_kept(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        moment = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
        run = RetentionRun(at=moment, cutoff=moment, days=30, messages=1)
        plane.settings = msgspec.structs.replace(plane.settings, last_retention=run)
        desk = await rig.open(plane.open)
        page = await retention(desk)
        assert page.default.isChecked()
        assert page.days.value() == 30
        assert not page.apply.isEnabled(), "nothing is different yet"
        assert "1 message from before 2026-11-20" in page.last.text()
        page.default.click()
        page.days.setValue(90)
        assert page.warning.isHidden()
        page.days.setValue(7)
        assert "older than 7 days for good" in page.warning.text()
        page.apply.click()
        assert not page.apply.isEnabled(), "once"
        await until(lambda: plane.settings.message_retention_days == 7, "the change")
        await until(lambda: page.state.text().startswith("Kept so"), "the answer")
        plane.fail["set_message_retention"] = Unavailable("The control plane does not answer. Try again in a moment.")
        page.default.click()
        page.apply.click()
        await until(lambda: "The change was not taken" in page.state.text(), "what went wrong")
        assert page.apply.isEnabled(), "to be tried again"
        await desk.close()

    rig.run(scenario)


def test_others_see_it_and_why_it_is_not_theirs(rig: Rig) -> None:
    async def scenario() -> None:
        desk = await rig.open(ScriptedPlane(role=Role.OPERATOR).open)
        page = await retention(desk)
        for control in (page.default, page.days, page.apply):
            assert not control.isEnabled()
        assert "an admin's choice" in page.state.text()
        assert page.days.value() == 30
        await desk.close()

    rig.run(scenario)
