"""One person with another role on each of two control planes: each decides what can be done there."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QRadioButton

from mission_control_desktop.ui.approvals.dialog import ApprovalsDialog
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from mission_control_desktop.ui.settings.profiles import ProfilesPage
from mission_control_desktop.ui.settings.provider_table import Column
from mission_control_desktop.ui.settings.providers import ProvidersPage
from mission_control_desktop.ui.settings.retention import RetentionPage
from support.rig import Rig, dialog, press, until
from support.served import Served
from support.several_planes import LONG, Kept, add_team

UP, DOWN = Qt.Key.Key_Up, Qt.Key.Key_Down


def test_each_control_plane_decides_what_can_be_done_there(rig: Rig, planes: tuple[Served, Served], kept: Kept) -> None:
    home, team = planes
    home.double("only-home")
    team.double("only-team")
    here, again = home.spawn("[permission]", title="Here"), home.spawn("[wait]", title="Again")
    there = "team/" + team.spawn("[permission]", title="There")
    home.until(here, waitingFor="approval")
    team.until(there.removeprefix("team/"), waitingFor="approval")

    async def acting() -> None:
        desk = await rig.open()
        window, store = desk.window, desk.store
        await until(lambda: here in store.sessions, "what home has", LONG)
        window.show_launch()
        assert not window.launch.plane.isVisible(), "there is nothing to choose"
        window.leave_launch()
        await add_team(desk, team, team.token("observer")["token"])
        await until(lambda: len(store.approvals) == 2, "the questions of both", LONG)

        # The list: each question by the role on its own control plane.
        window.commands["mission.approvals"].trigger()
        asked = await dialog(ApprovalsDialog, window)
        await until(lambda: "2 questions wait" in asked.note.text(), "both", LONG)
        places = {row.session_id: place for place, row in enumerate(asked.rows)}
        listed = asked.table.model()
        named = {session_id: listed.index(place, 1).data() for session_id, place in places.items()}
        assert named == {here: "Here on this computer", there: "There on team"}
        asked.table.selectRow(places[there])
        assert not any(button.isEnabled() for button in asked.bar.option_buttons())
        assert all("observer on team" in button.toolTip() for button in asked.bar.option_buttons())
        assert "observer on team" in asked.refused.text()
        press(asked.table, Qt.Key.Key_1)
        asked.table.selectRow(places[here])
        assert asked.refused.isHidden()
        press(asked.table, Qt.Key.Key_1)
        await until(lambda: [a.session_id for a in store.approvals.values()] == [there], "the one here", LONG)
        assert team.session(there.removeprefix("team/"))["waitingFor"] == "approval"
        asked.close()

        # In the panels.
        for session_id, may in ((again, True), (there, False)):
            window.open_session(session_id)
            panel: Any = await until(lambda i=session_id: desk.panels.get(i), "its panel", LONG)  # type: ignore[misc]
            assert panel.header._kill.isEnabled() is may
            assert may or "observer on team" in panel.header._kill.toolTip()
            assert may or "observer on team" in panel.composer._edit.placeholderText()
        assert all("observer on team" in button.toolTip() for button in panel.approvals.option_buttons())
        assert panel.approvals.option_buttons()
        assert not panel.approvals.answer_number(1)

        # Commands: of one, and of several of which one is elsewhere.
        tree = window.roster.tree
        window.activateWindow()
        tree.setFocus()
        tree.select(there)
        assert not window.commands["session.kill"].isEnabled()
        assert "observer on team" in window.commands["session.kill"].toolTip()
        tree.selectAll()
        assert {again, there} <= set(tree.selected_ids())
        assert window.commands["session.kill"].isEnabled()
        assert window.roster.selection.buttons["kill"].isEnabled()
        for ask in (
            lambda: desk.presenter.several.ask_message([again, there]),
            lambda: desk.presenter.several.ask_end([again, there], kill=True),
        ):
            shown: Any = ask()
            assert shown.model.get(again).can
            assert not shown.model.get(there).can
            assert "observer on team" in shown.model.get(there).will
            shown.close()
        desk.presenter.several.act([again, there], "pause")
        await until(lambda: store.sessions[again].status.value == "paused", "the one that may be", LONG)
        ordered = desk.presenter.ask_kill_all()
        only: Any = ordered.findChild(QRadioButton, "scope.team/all")
        assert not only.isEnabled()
        assert ordered.scope == "everywhere"
        rest: Any = ordered.findChild(QRadioButton, "scope.everywhere")
        assert "All but team" in rest.text()
        ordered.close()
        # What was asked for is on its way before this answer comes.
        await desk.host.plane("team").call(lambda mc: mc.me())
        await desk.close()
        tried = [row["action"] for row in team.audit() if row["userId"] == "observer-person"]
        assert tried == [], "nothing went out that had to be refused"

    async def starting() -> None:
        desk = await rig.open()
        window, launch = desk.window, desk.window.launch
        await until(lambda: (found := desk.planes.get("team")) and found.role, "team, kept since the last time", LONG)
        window.show_launch()
        await until(lambda: launch.profile("only-home"), "the profiles of home", LONG)
        box = launch.plane.box
        await until(box.isVisible, "the choice")
        assert "observer on team" in box.itemText(1)
        box.setFocus()
        press(box, DOWN)
        assert launch.plane.current == "", "passed over: there the person only watches"
        assert launch.form.start.isEnabled()

        # Another token, another role: now it can be chosen, by key, and has profiles of its own.
        await desk.book.renew("team", team.token("admin")["token"])
        await until(lambda: (found := desk.planes.get("team")) and found.may_act, "the new role", LONG)
        await until(lambda: box.itemText(1) == "team")
        box.setFocus()
        press(box, DOWN)
        assert launch.plane.current == "team"
        await until(lambda: launch.profile("only-team"), "the profiles of team", LONG)
        assert launch.profile("only-home") is None
        assert not launch.form.cwd.choose.isVisible(), "folders there cannot be looked into"
        launch.choose("only-team")
        launch.form.prompt.setPlainText("[wait]")
        press(launch.form.start, Qt.Key.Key_Space)
        started = await until(lambda: window.panels.current_id, "its panel", LONG)
        assert started.startswith("team/")
        assert team.session(started.removeprefix("team/"))["provider"] == "internal"
        # Next time it begins where the session is that one is at.
        window.show_launch()
        assert launch.plane.current == "team"
        await desk.close()

    async def settings() -> None:
        desk = await rig.open()
        await until(lambda: (found := desk.planes.get("team")) and found.role, "team, kept since the last time", LONG)
        desk.window.settings_requested.emit("profiles")
        shown = await dialog(SettingsDialog, desk.window)

        def names() -> list[str]:
            listed = shown.page(ProfilesPage).list
            return [listed.item(row).text() for row in range(listed.count())]

        await until(lambda: any("double" in name for name in names()), "the profiles of home", LONG)
        assert not any("only-team" in name for name in names())
        box = shown.page(ProfilesPage).plane.box
        assert box.isVisible()
        box.setFocus()
        press(box, DOWN)
        await until(lambda: any("only-team" in name for name in names()), "the profiles of team", LONG)
        assert shown.focusWidget() is shown.page(ProfilesPage).plane.box, "the keys go on from there"

        # What is written goes there, and there alone.
        shown.show_page("retention")
        page = shown.page(RetentionPage)
        assert page.plane.current == "team"
        await until(page.default.isEnabled, "what is chosen there", LONG)
        page.default.click()
        page.days.setValue(77)
        press(page.apply, Qt.Key.Key_Space)
        await until(lambda: page.state.text().startswith("Kept so"), "the answer", LONG)

        def days(plane: Served) -> Any:
            return plane.admin.get("/api/workspace").json()["messageRetentionDays"]

        assert (days(home), days(team)) == (None, 77)

        # Someone who may not says so of that one alone.
        await desk.book.renew("team", team.token("operator")["token"])
        await until(lambda: not shown.page(RetentionPage).default.isEnabled(), "the role there", LONG)
        assert "admin's choice" in shown.page(RetentionPage).state.text()
        shown.show_page("providers")
        await until(lambda: shown.page(ProvidersPage).chosen, "the providers of team", LONG)
        assert "connected to team as operator" in shown.page(ProvidersPage).refusal.text()
        rows = shown.page(ProvidersPage).model
        assert rows.index(0, Column.ADDRESS).data() == "the computer of team"
        assert not shown.page(ProvidersPage).register_.isEnabled()
        press(shown.page(ProvidersPage).plane.box, UP)
        await until(lambda: shown.page(ProvidersPage).register_.isEnabled(), "here the person is an admin", LONG)
        shown.close()
        await desk.close()

    rig.run(acting)
    rig.run(starting)
    rig.run(settings)
