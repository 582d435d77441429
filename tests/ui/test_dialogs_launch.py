"""Starting agents: cards, forms, the server's complaints at their fields."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.domain.demo import DEMO_MISSION
from mission_control_desktop.domain.errors import BadInput, Unavailable, Unreachable
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.ui.launch.profile_form import ProfileForm, parse_command, parse_environment
from mission_control_desktop.ui.launch.spawn_dialog import SpawnDialog
from support.rig import Rig, dialog, until
from support.scripted_plane import ScriptedPlane, session
from support.served import served


def test_commands_and_environments_are_read_as_a_shell_would() -> None:
    assert parse_command("my-agent --acp 'a b'") == ("my-agent", "--acp", "a b")
    assert parse_environment("A=1\n\nB=x=y\n") == {"A": "1", "B": "x=y"}
    with pytest.raises(BadInput, match="cannot be read"):
        parse_command("broken 'quote")
    with pytest.raises(BadInput, match="Line 2"):
        parse_environment("A=1\nnonsense")


def test_the_demo_starts_three_marked_agents(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await rig.open(plane.open)
        launch = desk.window.launch
        await until(lambda: launch.profile("demo"))
        launch.form.start.click()
        await until(lambda: len(desk.window.panels.open_ids()) == 3)
        spawned = [request for name, request in plane.calls if name == "spawn"]
        assert all(isinstance(r, SpawnRequest) and r.profile == "demo" for r in spawned)
        assert desk.window.header.demo.isVisible()
        assert desk.window.pages.currentWidget() is desk.window.panels
        await desk.close()

    rig.run(scenario)


def test_a_demo_that_was_started_in_part_is_completed_and_not_started_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await rig.open(plane.open)
        launch, form = desk.window.launch, desk.window.launch.form
        await until(lambda: launch.profile("demo"))
        desk.window.show_launch()
        real = plane.spawn

        async def full(request: SpawnRequest, *, idempotency_key: str | None = None) -> AgentSession:
            if len(desk.store.live()) == room:
                raise Unavailable("There is no room for another agent.")
            return await real(request, idempotency_key=idempotency_key)

        def running() -> list[str]:
            return sorted(s.title or "" for s in desk.store.live())

        monkeypatch.setattr(plane, "spawn", full)
        room = 2
        form.start.click()
        await until(form.error.isVisible)
        assert form.error.text().startswith("1 of the demo mission's 3 agents could not be started.")
        assert len(running()) == 2
        # One of them ends before the next press: it is missing, too.
        first = next(s for s in desk.store.live() if s.title == DEMO_MISSION[0].title)
        plane.tell(msgspec.structs.replace(first, status=SessionStatus.COMPLETED))
        await until(lambda: len(running()) == 1)
        room = 100
        form.start.click()
        await until(lambda: desk.window.pages.currentWidget() is desk.window.panels)
        assert running() == sorted(request.title or "" for request in DEMO_MISSION)
        assert len([name for name, _ in plane.calls if name == "spawn"]) == 4

        # The whole one is wanted again: that is another one.
        desk.window.show_launch()
        form.start.click()
        await until(lambda: len(running()) == 6)
        await desk.close()

    rig.run(scenario)


def test_an_agent_whose_start_was_not_answered_is_not_started_twice(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real control plane: the answer to the first press is lost, and the person presses again."""
    real = HttpMissionControl.spawn
    answers = []

    async def lost(*args: Any, **more: Any) -> AgentSession:
        answers.append(await real(*args, **more))
        if len(answers) == 1:
            raise Unreachable("The connection broke before the answer came.")
        return answers[-1]

    with served(rig.folder) as house:
        house.double()

        async def scenario() -> None:
            desk = await rig.open()
            launch = desk.window.launch
            desk.window.show_launch()
            await until(lambda: launch.profile("double"), "the profiles", 60)
            monkeypatch.setattr(HttpMissionControl, "spawn", lost)
            launch.choose("double")
            form = launch.form
            form.prompt.setPlainText("[wait]")
            for turn in range(3):
                form.start.click()
                if turn == 0:
                    await until(form.error.isVisible, "what is not known", 60)
                    assert "start it again, and it is there once" in form.error.text()
                else:
                    await until(lambda: desk.window.pages.currentWidget() is desk.window.panels, "its panel", 60)
                    assert form.prompt.toPlainText() == ""
                    desk.window.show_launch()
                    launch.choose("double")
                    form.prompt.setPlainText("[wait]")
            assert len(answers) == 3
            assert answers[1].session_id == answers[0].session_id
            assert answers[2].session_id != answers[0].session_id, "what was answered is another one the next time"
            desk.state.put("closing_said", True)
            await desk.close()

        rig.run(scenario)
        assert len(house.admin.get("/api/mission-control/sessions").json()["items"]) == 2


def test_an_agent_is_started_with_words_and_folder(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await rig.open(plane.open)
        launch, form = desk.window.launch, desk.window.launch.form
        await until(lambda: launch.profile("claude"))
        launch.choose("claude")
        form.prompt.setPlainText("Fix the parser")
        form.cwd.line.setText("/nowhere")
        form.title.setText("Parser")
        plane.fail["spawn"] = BadInput("cwd", "The folder /nowhere does not exist.")
        form.start.click()
        label = await until(lambda: form.findChild(type(form.error), "error.cwd"))
        await until(label.isVisible)
        assert label.text() == "The folder /nowhere does not exist."
        assert form.cwd.line.property("invalid") == "true"
        plane.fail["spawn"] = Unavailable("The record cannot be written.")
        form.start.click()
        await until(form.error.isVisible)
        assert not label.isVisible()
        del plane.fail["spawn"]
        form.cwd.line.setText("/tmp")
        form.start.click()
        await until(lambda: desk.window.panels.current_id)
        _, request = (
            plane.calls[-1] if plane.calls[-1][0] == "spawn" else [c for c in plane.calls if c[0] == "spawn"][-1]
        )
        assert (request.profile, request.prompt, request.cwd, request.title) == (
            "claude",
            "Fix the parser",
            "/tmp",
            "Parser",
        )
        assert form.prompt.toPlainText() == ""
        await desk.close()

    rig.run(scenario)


def test_a_profile_of_ones_own(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await rig.open(plane.open)
        launch = desk.window.launch
        await until(lambda: launch.profile("demo"))
        launch.own_requested.emit()
        form = await dialog(ProfileForm, desk.window)
        form.name.setText("Mine!")
        form.command.setText("my-agent 'oops")
        form.save.click()
        assert form.command.property("invalid") == "true"
        form.command.setText("my-agent --acp")
        form.env.setPlainText("KEY=secret")
        plane.fail["put_profile"] = BadInput("name", "Lower-case letters, please.")
        form.save.click()
        await until(lambda: form.name.property("invalid") == "true")
        del plane.fail["put_profile"]
        form.name.setText("mine")
        form.save.click()
        await until(lambda: launch.profile("mine"))
        saved = [value for name, value in plane.calls if name == "put_profile"][-1]
        assert saved == LaunchProfile(name="mine", command=("my-agent", "--acp"), env={"KEY": "secret"})
        assert launch.form.heading.text() == "mine"
        launch.form.edit.click()
        form = await dialog(ProfileForm, desk.window)
        assert form.name.isReadOnly()
        assert form.env.toPlainText() == "", "values of the environment never come back"
        form.remove.click()
        await until(lambda: not launch.profile("mine"))
        await desk.close()

    rig.run(scenario)


def test_an_agent_below_another_one(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a", title="Alpha"))
        desk = await rig.open(plane.open)
        await until(lambda: desk.window.panels.open_ids() and desk.window.launch.profile("codex"))
        desk.window.session_action.emit("internal:a", "spawn_below")
        shown = await dialog(SpawnDialog, desk.window)
        shown.profile.setCurrentIndex(shown.profile.findText("Codex"))
        shown.form.start.click()
        await until(lambda: len(desk.store.sub_agents("internal:a")) == 1)
        request = [value for name, value in plane.calls if name == "spawn"][-1]
        assert (request.profile, request.parent_agent_id) == ("codex", "internal:a")
        await desk.close()

    rig.run(scenario)
