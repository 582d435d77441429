"""The real window on a real control plane with real agents: child processes, sockets, a database."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from mission_control_desktop.domain.messages import MessageKind, MessageRole
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.several.broadcast import BroadcastDialog
from mission_control_desktop.ui.several.ending import EndSeveralDialog
from support.control_plane import ControlPlaneProcess
from support.rig import Rig, dialog, until

LONG = 60.0


@pytest.fixture
def plane(rig: Rig) -> Iterator[ControlPlaneProcess]:
    """A running control plane in the window's data directory; its agents end with it."""
    rig.folder.mkdir(mode=0o700)
    process = ControlPlaneProcess(rig.folder)
    process.start()
    try:
        yield process
    finally:
        process.stop()
        sweep(rig.folder)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Everything that runs for a data directory: keepers and agents name it in their command or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()) or process.cwd().startswith(str(folder)):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def sweep(folder: Path) -> None:
    """End what a test has left behind: only processes of its own data directory."""
    left = processes_of(folder)
    for process in left:
        for child in [*process.children(recursive=True), process]:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
    psutil.wait_procs(left, timeout=10)


def agent_words(desk: Desktop) -> dict[str, str]:
    """What agents have said so far, by session, as the open panels hold it."""
    said = {}
    for session_id in desk.window.panels.open_ids():
        panel = desk.panels.get(session_id)
        if panel is not None:
            spoken = (e for e in panel.model.entries if e.message.role is MessageRole.AGENT)
            entries = [e for e in spoken if e.message.kind is MessageKind.TEXT]
            said[session_id] = "\n".join(e.text for e in entries)
    return said


def by_operators(panel: Any) -> list[str]:
    """What a panel shows as said by operators."""
    return [entry.text for entry in panel.model.entries if entry.message.role is MessageRole.OPERATOR]


async def start_demo(desk: Desktop) -> list[str]:
    """The demo mission, streaming in three panels."""
    desk.presenter.start_demo()
    await until(lambda: len(desk.window.panels.open_ids()) == 3, "three panels", LONG)
    await until(
        lambda: len(said := agent_words(desk)) == 3 and all(len(text) > 40 for text in said.values()),
        "words in all three panels",
        LONG,
    )
    return list(desk.window.panels.open_ids())


def test_the_demo_streams_and_outlives_the_window(rig: Rig, plane: ControlPlaneProcess) -> None:
    roots: list[str] = []
    said: dict[str, str] = {}

    async def first() -> None:
        desk = await rig.open()
        roots.extend(await start_demo(desk))
        while len(desk.store.sessions) <= 3:
            # Agents ask before they go on; the panel's first answer allows.
            await until(lambda: len(desk.store.sessions) > 3 or desk.store.approvals, "questions or sub-agents", LONG)
            for approval in list(desk.store.approvals.values()):
                desk.window.next_attention()
                panel = desk.panels.get(approval.session_id)
                assert panel is not None
                shown = panel.approvals
                await until(
                    lambda a=approval, b=shown: a.approval_id not in desk.store.approvals or b.answer_number(1),  # type: ignore[misc]
                    "the question",
                    LONG,
                )
                await until(lambda a=approval: a.approval_id not in desk.store.approvals, "the answer", LONG)  # type: ignore[misc]
        assert any(s.parent_session_id in roots for s in desk.store.sessions.values())
        said.update(agent_words(desk))
        desk.state.put("closing_said", True)
        await desk.close()

    async def second() -> None:
        desk = await rig.open()
        assert desk.window.panels.open_ids() == roots, "the panels stand where they stood"
        await until(lambda: all(desk.panels.get(i) for i in roots), "live panels")
        await until(
            lambda: all(len(agent_words(desk)[i]) >= len(said[i]) for i in roots), "the whole transcripts", LONG
        )
        for session_id in roots:
            assert agent_words(desk)[session_id].startswith(said[session_id][:40])
            assert not desk.store.sessions[session_id].status.final
        await desk.close()

    rig.run(first)
    keepers = [p for p in processes_of(rig.folder) if "keeper" in " ".join(p.cmdline())]
    assert len(keepers) >= 3
    assert all(keeper.children() for keeper in keepers[:3]), "agents live on without a window"
    rig.run(second)


def test_pause_resume_message_and_kill_reach_the_agent(rig: Rig, plane: ControlPlaneProcess) -> None:
    async def scenario() -> None:
        desk = await rig.open()
        roots = await start_demo(desk)
        session_id = roots[1]
        status: Any = lambda: desk.store.sessions[session_id].status  # noqa: E731
        desk.window.session_action.emit(session_id, "pause_resume")
        await until(lambda: status() is SessionStatus.PAUSED, "paused", LONG)
        desk.window.session_action.emit(session_id, "pause_resume")
        await until(lambda: status() is not SessionStatus.PAUSED, "resumed", LONG)
        panel = desk.panels.get(session_id)
        assert panel is not None
        panel.composer.edit.setPlainText("Where are you?")
        panel.composer.send_wanted.emit(panel.composer.current_draft())
        await until(
            lambda: any(e.message.role is MessageRole.OPERATOR for e in panel.model.entries),
            "the operator's words",
            LONG,
        )
        shown = desk.presenter.ask_kill_all()
        assert shown.model.rowCount() == len(desk.store.live())
        shown.reason.setText("the test is over")
        shown.typed.setText("KILL ALL")
        shown.act.click()
        await until(lambda: desk.store.kills, "the order", LONG)
        await until(lambda: "Finished" in shown._result.text(), "all verified", LONG)
        await until(lambda: not desk.store.live(), "nothing alive", LONG)
        shown.cancel.click()
        desk.window.commands["view.audit"].trigger()
        await until(lambda: desk.window.audit_model.rowCount() > 4, "audit rows")
        await desk.close()

    rig.run(scenario)


def test_one_message_to_several_agents_and_the_end_of_all_of_them(rig: Rig, plane: ControlPlaneProcess) -> None:
    async def scenario() -> None:
        desk = await rig.open()
        roots = await start_demo(desk)
        tree = desk.window.roster.tree
        desk.window.activateWindow()
        tree.setFocus()
        tree.select_ids(roots)
        desk.window.commands["session.broadcast"].trigger()
        shown = await dialog(BroadcastDialog, desk.window)
        shown.way.setCurrentText("Interrupt")
        shown.edit.setPlainText("All of you: say where you are.")
        shown.act.click()

        def did() -> list[str]:
            return [one.did for one in shown.model.targets]

        await until(lambda: all("delivered" in text for text in did()), "three receipts", LONG)
        shown.close_button.click()
        for session_id in roots:
            panel = desk.panels.get(session_id)
            assert panel is not None
            await until(partial(by_operators, panel), "an operator's words", LONG)
            assert by_operators(panel) == ["All of you: say where you are."]
        tree.setFocus()
        tree.select_ids(roots)
        desk.window.roster.selection.buttons["kill"].click()
        ending = await dialog(EndSeveralDialog, desk.window)
        ending.reason.setText("the test is over")
        ending.act.click()
        await until(lambda: not desk.store.live(), "nothing alive", LONG)
        await until(lambda: all(one.did == "killed" for one in ending.model.targets), "what became of each", LONG)
        ending.cancel.click()
        await desk.close()

    rig.run(scenario)


def test_the_control_plane_is_killed_and_the_window_finds_its_successor(rig: Rig, plane: ControlPlaneProcess) -> None:
    async def scenario() -> None:
        desk = await rig.open()
        roots = await start_demo(desk)
        before = agent_words(desk)
        plane.kill()
        await until(lambda: "reconnecting" in desk.window.header.connection.text(), "that it is away", LONG)
        await until(lambda: desk.window.header.connection.text() == "connected", "its successor", LONG)
        await until(lambda: all(len(agent_words(desk).get(i, "")) > len(before[i]) for i in roots), "new words", LONG)
        for session_id in roots:
            assert agent_words(desk)[session_id].startswith(before[session_id][:40])
        await desk.close()

    rig.run(scenario)


def test_two_windows_on_one_control_plane_agree(rig: Rig, plane: ControlPlaneProcess) -> None:
    async def scenario() -> None:
        one = await rig.open()
        roots = await start_demo(one)
        two = await rig.open()
        await until(lambda: all(i in two.store.sessions for i in roots), "the same sessions")
        one.window.session_action.emit(roots[0], "pause_resume")
        await until(lambda: two.store.sessions[roots[0]].status is SessionStatus.PAUSED, "paused in both", LONG)
        two.window.session_action.emit(roots[0], "pause_resume")
        await until(lambda: one.store.sessions[roots[0]].status is not SessionStatus.PAUSED, "resumed in both", LONG)
        await two.close()
        await one.close()

    rig.run(scenario)
