"""Settings → Providers on the real window: a real control plane, another one as a provider, a scripted gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QWidget

from mission_control_desktop.domain.providers import StageName, StageState
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.settings.check_view import CommandLine
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from mission_control_desktop.ui.settings.provider_form import ProviderForm
from mission_control_desktop.ui.settings.provider_removal import ProviderRemoval
from mission_control_desktop.ui.settings.providers import ProvidersPage
from support.gateway_double import TOKEN, GatewayDouble, Refuse, gateway_double
from support.rig import Rig, dialog, press, until
from support.served import Served, served

LONG = 40.0


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The window's control plane."""
    with served(tmp_path_factory.mktemp("near") / "data") as made:
        yield made


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Another one, with an agent that waits for words."""
    with served(tmp_path_factory.mktemp("far") / "data") as made:
        made.double()
        made.spawn(title="Far away")
        yield made


@pytest.fixture
def room(rig: Rig, near: Served) -> Iterator[Rig]:
    """A rig whose window uses `near`; what it registers is gone afterwards."""
    rig.folder = near.data_dir
    yield rig
    for one in near.admin.get("/api/agent-providers").json()["items"]:
        if not one["builtIn"]:
            near.admin.delete(f"/api/agent-providers/{one['id']}")


async def settings(desk: Desktop) -> ProvidersPage:
    """The page, as it is opened from the menu and by keyboard."""
    desk.window.commands["mission.settings"].trigger()
    shown = await dialog(SettingsDialog, desk.window)
    page = shown.page(ProvidersPage)
    press(shown.list, Qt.Key.Key_Home)
    while shown.current is not page:
        press(shown.list, Qt.Key.Key_Down)
    await until(lambda: page.model.rowCount() and page.kinds, "the list")
    return page


@asynccontextmanager
async def opened(rig: Rig) -> AsyncIterator[tuple[Desktop, ProvidersPage]]:
    desk = await rig.open()
    yield desk, await settings(desk)
    await desk.close()


def click(button: QPushButton) -> None:
    assert button.isEnabled(), button.text()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


async def fill(page: ProvidersPage, kind: str, name: str, address: str, token: str = "") -> ProviderForm:
    """The form, filled in by keyboard and not sent yet."""
    press(page.register_, Qt.Key.Key_Space)
    form = await dialog(ProviderForm, page)
    form.kind.setCurrentIndex(form.kind.findData(kind))
    QTest.keyClicks(form.name, name)
    QTest.keyClicks(form.address, address)
    QTest.keyClicks(form.credentials["token"], token)
    return form


async def ended(page: ProvidersPage) -> dict[StageName, StageState]:
    """The stages of the chosen provider's check, when it has come to its end."""
    await until(lambda: not page._checks and (v := page.chosen) and v.last_check, "the end of the check", LONG)
    view = page.chosen
    assert view is not None
    assert view.last_check is not None
    return {one.stage: one.state for one in view.last_check.stages}


async def register(page: ProvidersPage, kind: str, name: str, address: str, token: str = "") -> dict[Any, StageState]:
    form = await fill(page, kind, name, address, token)
    press(form.name, Qt.Key.Key_Return)
    await until(lambda: page.chosen is not None and page.chosen.name == name, "it in the list")
    return await ended(page)


def error_at(form: ProviderForm, field: str) -> str:
    label = form.findChild(QLabel, f"error.{field}")
    assert isinstance(label, QLabel)
    return label.text() if label.isVisible() else ""


def shown(page: ProvidersPage, stage: StageName) -> tuple[str, str]:
    """What stands in a stage's row: state and detail."""
    _, state, detail, _ = page.detail.rows[stage]
    return state.text(), detail.text()


def texts(widget: QWidget) -> str:
    """Everything that a person could read there, or a program through accessibility."""
    found = [one.text() + one.toolTip() + one.accessibleName() for one in widget.findChildren(QLabel)]
    return "\n".join(found)


def test_another_mission_control_by_keyboard(room: Rig, far: Served) -> None:
    token = far.token("operator")["token"]

    async def scenario() -> None:
        async with opened(room) as (desk, page):
            assert desk.window.header.providers.isHidden(), "there is nothing to say"
            stages = await register(page, "orchestrator", "far", far.url, token)
            assert set(stages.values()) == {StageState.OK}
            assert shown(page, StageName.SESSIONS)[0] == "ok"
            assert "it works" in page.detail.heading.text()
            await until(lambda: any(s.provider == "far" for s in desk.store.sessions.values()), "its session", LONG)
            session = next(s for s in desk.store.sessions.values() if s.provider == "far")
            await until(lambda: desk.window.roster.model.index_for(session.session_id).isValid(), "the roster's row")
            await until(lambda: desk.window.header.providers.words == "2 providers", "the header")
            await until(lambda: page.model.sessions_words("far") == "1 (1 live)", "the count")
            assert token not in texts(page.window())
            # An edit never shows what is kept, and leaves it as it is.
            press(page.edit, Qt.Key.Key_Space)
            form = await dialog(ProviderForm, page)
            assert form.credentials["token"].text() == ""
            assert "kept sealed" in form.credentials["token"].placeholderText()
            assert not form.kind.isEnabled()
            form.name.selectAll()
            QTest.keyClicks(form.name, "far-away")
            press(form.name, Qt.Key.Key_Return)
            await until(lambda: error_at(form, "name"), "the reason at the name")
            assert "on record" in error_at(form, "name")
            press(form, Qt.Key.Key_Escape)
            # Switched off and on again.
            await until(lambda: not form.isVisible())
            click(page.switch)
            await until(lambda: page.chosen and not page.chosen.is_active and page.switch.isEnabled(), "off")
            assert page.switch.text() == "&Enable"
            assert page.detail.state.text() == "far: switched off"
            QTest.mouseDClick(page.switch, Qt.MouseButton.LeftButton)
            press(page.switch, Qt.Key.Key_Space)
            await until(lambda: page.chosen and page.chosen.is_active and page.switch.isEnabled(), "on again")
            # Removed: what remains is said first.
            click(page.remove)
            removal = await dialog(ProviderRemoval, page)
            assert "stays on record" in removal.what.text().lower()
            assert "1 live session goes on" in removal.what.text()
            press(removal.act, Qt.Key.Key_Space)
            await until(lambda: page.model.rowCount() == 1, "it gone")
            await until(lambda: "far" not in desk.store.health, "no word of it")
            assert session.session_id in desk.store.sessions

    room.run(scenario)


def test_a_gateways_stages_are_shown_as_they_come(room: Rig, near: Served) -> None:
    async def scenario() -> None:
        async with gateway_double() as gateway, opened(room) as (desk, page):
            go_on = asyncio.Event()
            await register(page, "openclaw", "claw", gateway.url, TOKEN)
            assert page.chosen is not None
            await until(
                lambda: "claw" in desk.store.health and desk.store.health["claw"].state == "ok", "the connection"
            )

            async def listed(_params: Any) -> Any:
                await go_on.wait()
                return {"sessions": [], "totalCount": 7, "hasMore": False, "nextOffset": None}

            gateway.answers["sessions.list"] = listed
            before = len(near.audit(action="provider-check", provider="claw", outcome="done"))
            QTest.mouseClick(page.check, Qt.MouseButton.LeftButton)
            QTest.mouseDClick(page.check, Qt.MouseButton.LeftButton)
            await until(lambda: shown(page, StageName.SCOPES)[0] == "ok", "the stages so far", LONG)
            assert shown(page, StageName.SESSIONS)[0] == "trying…"
            assert page.detail.heading.text() == "Checking…"
            assert not page.check.isEnabled()
            assert page.detail.cancel.isVisible()
            go_on.set()
            await ended(page)
            assert shown(page, StageName.SESSIONS) == ("ok", "The gateway has 7 sessions.")
            assert len(near.audit(action="provider-check", provider="claw", outcome="done")) == before + 1
            # It goes away: told with its age, in the list, in the header and in the roster.
            await gateway.drop()
            await gateway.stop()
            await until(lambda: desk.window.header.providers.words.startswith("claw unreachable, "), "the header", LONG)
            assert desk.window.header.providers.property("kind") == "attention"
            await until(lambda: page.detail.state.text().startswith("claw: unreachable, "), "the page")

    room.run(scenario)


def test_what_is_wrong_leads_to_the_mend(room: Rig) -> None:
    async def scenario() -> None:
        async with gateway_double() as gateway, opened(room) as (_desk, page):
            # A wrong token, mended by a right one.
            stages = await register(page, "openclaw", "claw", gateway.url, "a-wrong-token")
            assert stages[StageName.AUTHENTICATED] is StageState.FAILED
            assert "Copy it again" in shown(page, StageName.AUTHENTICATED)[1]
            assert shown(page, StageName.SESSIONS)[0] == "not tried"
            assert "a-wrong-token" not in texts(page.window())
            page.table.setFocus()
            press(page.table, Qt.Key.Key_Return)
            form = await dialog(ProviderForm, page)
            QTest.keyClicks(form.credentials["token"], TOKEN)
            click(form.save)
            await until(lambda: "it works" in page.detail.heading.text(), "the mend", LONG)

            # A device that nobody has let in yet: the request's id, and the command to copy.
            unpaired = Refuse("NOT_PAIRED", "pairing required", details={"requestId": "req-42", "reason": "not-paired"})
            gateway.refuse_connect = [unpaired] * 50
            click(page.check)
            await until(lambda: shown(page, StageName.AUTHENTICATED)[0] == "failed", "the refusal", LONG)
            await ended(page)
            assert "request req-42" in shown(page, StageName.AUTHENTICATED)[1]
            assert "let it in once" in shown(page, StageName.AUTHENTICATED)[1]
            assert page.detail.commands() == ["openclaw devices approve req-42"]
            copy = page.detail.findChild(CommandLine)
            assert isinstance(copy, CommandLine)
            click(copy.copy)
            assert QApplication.clipboard().text() == "openclaw devices approve req-42"

            # It was let in, and not with everything.
            gateway.refuse_connect = []
            gateway.scopes = ("operator.read",)

            def missing() -> bool:
                # Pressed again as long as a check still meets the refusal of before.
                if shown(page, StageName.SCOPES)[0] != "failed" and not page._checks and page.check.isEnabled():
                    click(page.check)
                return shown(page, StageName.SCOPES)[0] == "failed"

            await until(missing, "the missing scopes", LONG)
            await ended(page)
            assert "operator.write" in shown(page, StageName.SCOPES)[1]
            assert page.detail.commands() == ["openclaw devices list"]

    room.run(scenario)


def test_fields_that_are_refused_say_so(room: Rig) -> None:
    async def scenario() -> None:
        async with opened(room) as (_desk, page):
            form = await fill(page, "orchestrator", "Far Away", "http://far.example:1")
            assert form.insecure.isVisible()
            click(form.save)
            assert "not encrypted" in error_at(form, "gatewayUrl")
            form.address.clear()
            QTest.keyClicks(form.address, "http://127.0.0.1:9")
            assert not form.insecure.isVisible()
            click(form.save)
            await until(lambda: error_at(form, "name"), "the name's error")
            assert form.name.hasFocus()
            form.name.clear()
            QTest.keyClicks(form.name, "nowhere")
            click(form.save)
            await until(lambda: error_at(form, "credentials"), "the missing token")
            assert error_at(form, "name") == ""
            QTest.keyClicks(form.credentials["token"], "whatever")
            QTest.mouseClick(form.save, Qt.MouseButton.LeftButton)
            QTest.mouseDClick(form.save, Qt.MouseButton.LeftButton)
            await until(lambda: page.chosen and page.chosen.name == "nowhere", "it in the list")
            assert (await ended(page))[StageName.REACHABLE] is StageState.FAILED
            assert "Is it running" in shown(page, StageName.REACHABLE)[1]
            assert page.model.rowCount() == 2
            # The same name again, and one that means something else.
            for name, why in (("nowhere", "already"), ("internal", "meaning of its own")):
                form = await fill(page, "orchestrator", name, "http://127.0.0.1:9", "whatever")
                click(form.save)
                await until(lambda f=form: error_at(f, "name"), "the conflict at the name")  # type: ignore[misc]
                assert why in error_at(form, "name")
                press(form, Qt.Key.Key_Escape)
            # As long as nothing is on record of it, it can be named anew.
            click(page.edit)
            form = await dialog(ProviderForm, page)
            form.name.clear()
            QTest.keyClicks(form.name, "elsewhere")
            click(form.save)
            await until(lambda: page.chosen and page.chosen.name == "elsewhere", "its new name")
            # Another computer gets the credentials only if they are given again.
            click(page.edit)
            form = await dialog(ProviderForm, page)
            form.address.clear()
            QTest.keyClicks(form.address, "http://127.0.0.1:8")
            click(form.save)
            await until(lambda: error_at(form, "credentials"), "the credentials")
            press(form, Qt.Key.Key_Escape)

    room.run(scenario)


def checks_of_the_window() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if "check" in task.get_name()]


def test_a_check_can_be_cancelled_and_ends_with_the_dialog(room: Rig) -> None:
    def silent(gateway: GatewayDouble) -> None:
        gateway.silent = True

    async def scenario() -> None:
        async with gateway_double(silent) as gateway, opened(room) as (desk, page):
            form = await fill(page, "openclaw", "mute", gateway.url)
            press(form.save, Qt.Key.Key_Space)
            await until(lambda: shown(page, StageName.PROTOCOL)[0] == "trying…", "the way that far", LONG)
            assert shown(page, StageName.REACHABLE)[0] == "ok"
            assert checks_of_the_window()
            press(page.detail.cancel, Qt.Key.Key_Space)
            await until(lambda: not checks_of_the_window(), "the end of it")
            assert page.detail.heading.text() == "The check was cancelled."
            assert page.check.isEnabled()
            click(page.check)
            await until(lambda: checks_of_the_window(), "another one")
            window = page.window()
            assert isinstance(window, SettingsDialog)
            press(window, Qt.Key.Key_Escape)
            await until(lambda: not checks_of_the_window(), "nothing waits for it any more")
            # The control plane goes on by itself, and whoever looks again sees it.
            page = await settings(desk)
            page.choose(next(one.id for row in range(2) if (one := page.model.view_at(row)) and not one.built_in))
            assert page.chosen is not None
            assert page.chosen.last_check is not None
            assert page.chosen.last_check.under_way
            assert page.detail.heading.text() == "Checking…"

    room.run(scenario)


@pytest.mark.parametrize("role", ["observer", "operator"])
def test_who_may_not_change_providers_sees_why(
    room: Rig, near: Served, monkeypatch: pytest.MonkeyPatch, role: str, tmp_path: Path
) -> None:
    made = near.admin.post(
        "/api/agent-providers",
        json={
            "name": "shown",
            "provider": "orchestrator",
            "gatewayUrl": "http://127.0.0.1:9",
            "credentials": "some-token",
        },
    )
    assert made.status_code == 201
    monkeypatch.setenv("MISSION_CONTROL_TOKEN", near.token(role)["token"])

    async def scenario() -> None:
        async with opened(room) as (_desk, page):
            assert page.refusal.isVisible()
            assert role in page.refusal.text()
            assert "admin" in page.refusal.text()
            assert page.model.rowCount() == 2
            page.choose(made.json()["id"])
            for button in (page.register_, page.check, page.edit, page.switch, page.remove):
                assert not button.isEnabled()
                assert button.toolTip() == page.refusal.text()
            press(page.table, Qt.Key.Key_Return)
            assert page.findChild(ProviderForm) is None

    room.run(scenario)
