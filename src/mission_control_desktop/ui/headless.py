"""Without a display: the same window off-screen, the demo mission for a while, and pictures of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from PySide6.QtCore import QEvent, QPoint
from PySide6.QtGui import QColor, QPainter, QPixmap
from PySide6.QtWidgets import QApplication, QDialog, QWidget

from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.messages import MessageRole
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.application import Desktop

log = structlog.get_logger(__name__)

FOLDER = Path("build") / "screenshots"
SIZES = ((1280, 800), (2560, 1440))
SETTLE_SECONDS = 1.0
SPEAK_BEFORE_SECONDS = 8.0
PROFILES_SECONDS = 5.0
END_SECONDS = 15.0
ENOUGH_MESSAGES = 5


async def run_headless(desktop: Desktop, seconds: float) -> int:
    """Run the demo for so many seconds and save screenshots; 0 if it streamed, 1 if not."""
    say = _say
    say(f"No display was found: rendering off-screen. The demo mission runs for {seconds:g} s.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    desktop.window.resize(*SIZES[0])
    await desktop.show()
    loop = asyncio.get_running_loop()
    started: list[AgentSession] = []
    try:
        try:
            await desktop.reach()
        except MissionControlError as error:
            say(f"Not connected: {error.message}")
            return 1
        await _until(loop.time() + PROFILES_SECONDS, lambda: bool(desktop.window.launch.profiles))
        say(_shoot(desktop.window, "first-run"))
        end = loop.time() + seconds
        before = {s.session_id for s in desktop.store.live()}
        desktop.presenter.start_demo()
        # The mission is watched and steered for most of the time, so that the pictures show it at work.
        await _operate(desktop, loop.time() + seconds * 0.75)
        started = [s for s in desktop.store.sessions.values() if s.session_id not in before and words.is_demo(s)]
        streamed = _streamed(desktop)
        if streamed:
            for line in await _pictures(desktop):
                say(line)
        await _until(end, lambda: False)
        say(
            f"Demo: {words.plural(len(started), 'session')}, {words.plural(streamed, 'message')} of agents shown, "
            f"{words.plural(len(desktop.store.approvals), 'open question')}."
        )
        if streamed < ENOUGH_MESSAGES:
            say("The demo did not stream.")
            return 1
        return 0
    finally:
        await _end(desktop, started)
        await desktop.close()


async def _operate(desktop: Desktop, deadline: float) -> None:
    """Do what an operator does: put a word into one running session, allow what is asked but for one question."""
    loop = asyncio.get_running_loop()
    told = False
    left_open: str | None = None
    while loop.time() < deadline:
        for approval in list(desktop.store.approvals.values()):
            left_open = left_open or approval.approval_id
            allowed = next((option for option in approval.options if option.kind == "allow_once"), None)
            if approval.approval_id != left_open and allowed is not None:
                await _try(desktop, partial(_answer, approval_id=approval.approval_id, option_id=allowed.option_id))
        running = [s for s in desktop.store.live() if words.is_demo(s) and s.status is SessionStatus.RUNNING]
        if running and not told and loop.time() > deadline - SPEAK_BEFORE_SECONDS:
            told = True
            await _try(desktop, partial(_tell, session_id=running[0].session_id))
        await asyncio.sleep(0.5)


async def _try(desktop: Desktop, work: Callable[[MissionControl], Coroutine[Any, Any, object]]) -> None:
    try:
        await desktop.host.call(work)
    except MissionControlError as error:
        log.warning("the demo's operator was refused", error=error.message)


async def _answer(mission_control: MissionControl, *, approval_id: str, option_id: str) -> object:
    return await mission_control.answer(approval_id, option_id)


async def _tell(mission_control: MissionControl, *, session_id: str) -> object:
    return await mission_control.inject(session_id, "Where are you? Say it in one sentence, then go on.")


async def _pictures(desktop: Desktop) -> list[str]:
    lines: list[str] = []
    window = desktop.window
    for width, height in SIZES:
        window.resize(width, height)
        await asyncio.sleep(SETTLE_SECONDS)
        window.grab()  # what a hidden window puts off until it is painted happens now
        for scheme in ("light", "dark"):
            theme.set_scheme("dark" if scheme == "dark" else "light")
            await asyncio.sleep(SETTLE_SECONDS)
            lines.append(_shoot(window, f"window-{width}x{height}-{scheme}"))
    window.resize(*SIZES[0])
    theme.set_scheme("light")
    dialog = desktop.presenter.ask_kill_all()
    await asyncio.sleep(SETTLE_SECONDS)
    lines.append(_shoot(window, "kill-all", dialog))
    dialog.reject()
    window.commands["view.audit"].trigger()
    await _until(asyncio.get_running_loop().time() + 3, lambda: window.audit_model.rowCount() > 0)
    await asyncio.sleep(SETTLE_SECONDS)
    lines.append(_shoot(window, "audit"))
    window.commands["view.audit"].trigger()
    await asyncio.sleep(SETTLE_SECONDS)
    return lines


def _shoot(window: QWidget, name: str, dialog: QDialog | None = None) -> str:
    QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
    picture = window.grab()
    if dialog is not None:
        _overlay(picture, dialog.grab())
    path = FOLDER / f"{name}.png"
    picture.save(str(path))
    return f"screenshot {path}"


def _overlay(picture: QPixmap, dialog: QPixmap) -> None:
    """Off-screen windows do not lie over each other; the picture shows them as a desktop would."""
    painter = QPainter(picture)
    shade = QColor("#000000")
    shade.setAlphaF(0.35)
    painter.fillRect(picture.rect(), shade)
    painter.drawPixmap(
        QPoint((picture.width() - dialog.width()) // 2, (picture.height() - dialog.height()) // 2), dialog
    )
    painter.end()


def _streamed(desktop: Desktop) -> int:
    count = 0
    for session_id in desktop.window.panels.open_ids():
        panel = desktop.panels.get(session_id)
        if panel is not None:
            count += sum(e.message.role is MessageRole.AGENT for e in panel.model.entries)
    return count


async def _end(desktop: Desktop, started: list[AgentSession]) -> None:
    """The demo was started for the pictures; without a window nobody would end it."""
    roots = [s for s in started if s.parent_session_id is None]
    for session in roots:
        try:
            await desktop.host.call(partial(_terminate, session_id=session.session_id))
        except MissionControlError as error:
            log.warning("demo session not ended", session=session.session_id, error=error.message)
    known = desktop.store.sessions
    await _until(
        asyncio.get_running_loop().time() + END_SECONDS,
        lambda: all(known[s.session_id].status.final for s in roots if s.session_id in known),
    )


async def _terminate(mission_control: MissionControl, *, session_id: str) -> AgentSession:
    return await mission_control.terminate(session_id, reason="the demo without a display is over")


async def _until(deadline: float, done: Callable[[], bool]) -> None:
    """Until the loop's clock reads so much, or it is done."""
    loop = asyncio.get_running_loop()
    while not done() and (left := deadline - loop.time()) > 0:
        await asyncio.sleep(min(0.1, left))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
