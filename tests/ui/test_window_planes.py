"""One window on several control planes, each a process of its own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QRadioButton

from mission_control_desktop.client.paths import ENV_URL
from mission_control_desktop.domain.kill import KillState
from mission_control_desktop.domain.sessions import Freshness
from mission_control_desktop.orchestrator.living import living_sessions
from mission_control_desktop.ui import application
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.audit.model import AuditColumn
from mission_control_desktop.ui.dialogs import kill_flow
from mission_control_desktop.ui.dialogs.kill_all import KillAllDialog
from mission_control_desktop.ui.dialogs.kill_many import ManyKills
from mission_control_desktop.ui.settings.connections import PlaneForm, PlaneRemoval
from support.rig import Rig, dialog, press, until
from support.served import Served
from support.several_planes import Kept, add_team, connections, type_into

LONG = 60.0


def shown_actions(desk: Desktop) -> set[str]:
    model = desk.window.audit_model
    return {model.index(row, AuditColumn.ACTION).data() for row in range(model.rowCount())}


def test_two_control_planes_in_one_window(rig: Rig, planes: tuple[Served, Served], kept: Kept) -> None:
    home, team = planes
    here, there = home.spawn("[wait]", title="Here"), "team/" + team.spawn("[wait]", title="There")
    token = team.token("operator")["token"]

    async def first() -> None:
        desk = await rig.open()
        window, store = desk.window, desk.store
        shown, page = await connections(desk)
        QTest.mouseClick(page.add, Qt.MouseButton.LeftButton)
        form = await dialog(PlaneForm, page)
        type_into(form.name, "Not a name")
        type_into(form.address, team.url)
        type_into(form.token, "mc_wrong")
        QTest.mouseClick(form.act, Qt.MouseButton.LeftButton)
        at: Any = form.findChild(QLabel, "error.name")
        await until(lambda: "small letters" in at.text(), "what is wrong with the name")
        assert at.isVisible()
        assert form.focusWidget() is form.name
        type_into(form.name, "team")
        press(form.name, Qt.Key.Key_Return)
        wrong: Any = form.findChild(QLabel, "error.token")
        await until(wrong.isVisible, "the token is wrong")
        assert "Ask an admin there" in wrong.text()
        assert not at.isVisible()
        assert desk.planes.get("team") is None
        assert not kept.held
        form.close()
        shown.close()
        await add_team(desk, team, token)
        assert list(kept.held.values()) == [token]

        # Both stand in one roster, each by its own id, and each order goes where it belongs.
        await until(lambda: {here, there} <= set(store.sessions), "the sessions of both", LONG)
        assert store.sessions[there].provider == "team/internal"
        told = Qt.ItemDataRole.AccessibleTextRole
        # Rows that are being read in come in steps.
        row = await until(lambda: window.roster.model.index_for(there).data(told), "its row")
        assert "team/internal" in row
        assert window.header.connection.text() == "2 connected"
        window.open_session(there)
        panel: Any = await until(lambda: desk.panels.get(there))
        await until(lambda: panel.model.rowCount(), "its words")
        window.session_action.emit(there, "pause_resume")
        await until(lambda: store.sessions[there].status.value == "paused", "paused there", LONG)
        assert team.session(there.removeprefix("team/"))["status"] == "paused"
        assert home.session(here)["status"] == "running"
        window.session_action.emit(there, "pause_resume")
        await until(lambda: store.sessions[there].status.value == "running", "resumed there", LONG)

        # Its log, beside ours.
        window.commands["view.audit"].trigger()
        await until(lambda: window.audit_model.rowCount())
        assert window.audit.plane.isVisible()
        window.audit.plane.setCurrentIndex(1)
        await until(lambda: "resume" in shown_actions(desk), "the log of team")
        window.set_audit(False)

        # One is lost: what it had is drawn as it was, with its age; the other goes on.
        port = team.url.rpartition(":")[2]
        team.process.kill()
        await until(lambda: store.sessions[there].evidence.freshness is Freshness.UNREACHABLE, "team is away", LONG)
        assert store.sessions[here].evidence.freshness is Freshness.LIVE
        assert store.health["team/internal"].state == "unreachable"
        assert store.health["internal"].state == "ok"
        assert "team" in window.header.connection.text()
        window.session_action.emit(here, "pause_resume")
        await until(lambda: store.sessions[here].status.value == "paused", "paused here", LONG)
        team.start("--port", port)
        await until(lambda: window.header.connection.text() == "2 connected", "team is back", LONG)
        await until(lambda: store.sessions[there].evidence.freshness is Freshness.LIVE, "what it has now", LONG)
        await until(lambda: store.health["team/internal"].state == "ok", "how its provider is", LONG)
        desk.state.put("closing_said", True)
        await desk.close()
        secret = token.encode()
        assert all(secret not in path.read_bytes() for path in rig.folder.glob("desktop.sqlite3*"))

    async def second() -> None:
        desk = await rig.open()
        await until(lambda: {here, there} <= set(desk.store.sessions), "the token was entered once", LONG)
        await until(lambda: desk.panels.get(there), "its panel is back")
        shown, page = await connections(desk)
        page.table.setFocus()
        page.table.selectRow(0)
        QTest.mouseClick(page.remove, Qt.MouseButton.LeftButton)
        removal = await dialog(PlaneRemoval, page)
        assert any("1 of its sessions" in label.text() for label in removal.findChildren(QLabel))
        QTest.mouseClick(removal.act, Qt.MouseButton.LeftButton)
        await until(lambda: desk.planes.get("team") is None and there not in desk.store.sessions, "let go of")
        await until(lambda: not kept.held, "its token is forgotten")
        assert here in desk.store.sessions
        assert desk.window.header.connection.text() == "connected"
        assert team.session(there.removeprefix("team/"))["status"] == "running"
        shown.close()
        await desk.close()

    rig.run(first)
    rig.run(second)


def test_a_control_plane_elsewhere_is_not_called_this_computer(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for url, title, here in (
        (None, "this computer", True),
        ("http://127.0.0.1:8642", "this computer", True),
        ("https://team.example:8443", "team.example:8443", False),
    ):
        home = rig.desktop(url=url).planes.home
        assert (home.title, home.here) == (title, here)
        assert home.connection.own is (url is None)
    monkeypatch.setenv(ENV_URL, "https://other.example")
    home = rig.desktop().planes.home
    assert (home.title, home.here, home.connection.own) == ("other.example", False, False)


def test_one_confirmed_order_stops_every_control_plane(
    rig: Rig, planes: tuple[Served, Served], kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says of each target what became of it, of the control plane that is away too."""
    monkeypatch.setattr(kill_flow, "UNDO_SECONDS", 8.0)
    home, team = planes
    here, there = home.spawn("[wait]", title="Here"), "team/" + team.spawn("[wait]", title="There")

    async def scenario() -> None:
        desk = await rig.open()
        store = desk.store
        await add_team(desk, team, team.token("operator")["token"])
        await until(lambda: {here, there} <= set(store.sessions), "the sessions of both", LONG)

        # One alone: the other is not touched.
        asked = desk.presenter.ask_kill_all()
        assert asked.scope == "everywhere"
        assert "2 agents" in asked.summary.text()
        only: Any = asked.findChild(QRadioButton, "scope.team/all")
        QTest.mouseClick(only, Qt.MouseButton.LeftButton, pos=QPoint(8, only.height() // 2))
        assert asked.scope == "team/all"
        assert asked.model.rowCount() == 1
        await order(asked, "one at a time")
        await until(lambda: store.sessions[there].status.value == "killed", "killed there", LONG)
        assert home.session(here)["status"] == "running"
        asked.close()
        again = "team/" + team.spawn("[wait]", title="Again")
        await until(lambda: again in store.sessions and not store.sessions[again].status.final, "another one", LONG)

        # Both at once, frozen first, undone, then for good.
        asked = desk.presenter.ask_kill_all()
        await order(asked, "not yet")
        await until(lambda: asked.model.rowCount() == 2 and asked.undo.isVisible(), "both on the board", LONG)
        await until(lambda: "2 agents frozen" in asked.summary.text(), "both frozen", LONG)
        await until(lambda: sum(k.state is KillState.FROZEN for k in store.kills.values()) == 3, "each of them", LONG)
        press(asked.undo, Qt.Key.Key_Space)
        await until(lambda: asked.summary.text() == "Undone", "undone on both", LONG)
        await until(
            lambda: store.sessions[here].status.value == store.sessions[again].status.value == "running", "on", LONG
        )
        asked.close()

        # Away: its targets stand on the board with the reason, and what can be reached is dead.
        team.process.kill()
        asked = desk.presenter.ask_kill_all()
        await order(asked, "for good")
        await until(lambda: asked.model.rowCount() == 2, "both on the board", LONG)
        await until(lambda: "1 of 2 verified dead; 1 unreachable" in asked.summary.text(), "what became of them", LONG)
        assert "this computer: 1 of 1 verified dead." in asked._result.text()
        assert "team: did not take the order" in asked._result.text()
        await until(lambda: home.session(here)["status"] == "killed", "killed here", LONG)
        asked.close()
        await until(lambda: not desk.presenter.findChildren(ManyKills), "nothing of the boards is kept")
        assert not any(kill_id.startswith("all-") for kill_id in store.kills)
        team.start()
        await desk.close()

    rig.run(scenario)


def test_where_its_control_plane_does_not_answer_this_computer_is_stopped_by_the_file(
    rig: Rig, planes: tuple[Served, Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what no file reaches stands on the board as unreachable."""
    monkeypatch.setattr(application, "LOST_AFTER", 1_000_000)  # or the window starts another control plane
    home, _ = planes
    here = home.spawn("[wait]", title="Here")

    async def scenario() -> None:
        desk = await rig.open()
        await until(lambda: here in desk.store.sessions, "its session", LONG)
        behind = msgspec.structs.replace(desk.store.sessions[here], session_id="gateway:x", provider="gateway")
        desk.store.put([behind])
        home.process.kill()
        asked = desk.presenter.ask_kill_all()
        await order(asked, "nobody answers")
        await until(lambda: asked.summary.text() == "1 of 2 verified dead; 1 unreachable", "what became of them", LONG)
        assert "Done by the stop file" in asked._result.text()
        detail = {str(asked.model.index(row, 1).data()): str(asked.model.index(row, 4).data()) for row in range(2)}
        assert detail["gateway"] == "Only the control plane reaches gateway, and it does not answer"
        assert not living_sessions(rig.folder)
        asked.close()
        desk.state.put("closing_said", True)
        await desk.close()

    rig.run(scenario)


async def order(asked: KillAllDialog, reason: str) -> None:
    type_into(asked.reason, reason)
    type_into(asked.typed, "KILL ALL")
    press(asked.act, Qt.Key.Key_Space)
    await until(lambda: asked.act.isHidden(), "that the order is taken", LONG)
