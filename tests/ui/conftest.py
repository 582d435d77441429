"""The window's tests run off-screen, with our palette, and fail on any Qt warning."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_LOGGING_RULES", "qt.qpa.*=false;qt.text.font.*=false")

from mission_control_desktop.domain.sessions import (
    AgentSession,
    Capabilities,
    Delivery,
    Evidence,
    PauseKind,
    SessionStatus,
    WaitingFor,
    global_id,
)


@pytest.fixture(autouse=True)
def collected_between_tests() -> Iterator[None]:
    """Garbage is collected between events alone, as in the window (`ui.garbage`): a widget in a cycle that is destroyed
    while Qt goes through all widgets, for a new style sheet, is an event sent to what is gone (seen as a crash)."""
    gc.disable()
    yield
    gc.collect()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test fails that lets Python hold items of layouts: looked at here while its widgets still stand, and in a
    `Rig` whenever an awaited state has come (`support.rig.until`)."""
    from support.wrappers import watch

    watch.begin()
    yield
    watch.check()


NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def make_session() -> Callable[..., AgentSession]:
    """Builds sessions: `make_session("a", parent="b", status="running")`; the n-th one is n seconds younger."""
    count = 0

    def make(native: str, *, parent: str | None = None, status: str = "running", **more: Any) -> AgentSession:
        nonlocal count
        count += 1
        spawned = more.pop("spawned_at", NOW + timedelta(seconds=count))
        waiting = more.pop("waiting_for", None)
        provider = more.pop("provider", "internal")
        return AgentSession(
            session_id=global_id(provider, native),
            parent_session_id=global_id(provider, parent) if parent else None,
            provider=provider,
            status=SessionStatus(status),
            waiting_for=WaitingFor(waiting) if waiting else None,
            spawned_at=spawned,
            started_at=spawned,
            title=more.pop("title", f"Agent {native}"),
            run_id=f"run-{native}",
            capabilities=Capabilities(
                inject=(Delivery.QUEUE, Delivery.INTERRUPT),
                pause=PauseKind.SUSPEND,
                terminate=True,
                kill=True,
                approvals=True,
            ),
            evidence=Evidence(last_event_at=spawned, source="agent"),
            **more,
        )

    return make


@pytest.fixture
def qt(qtbot: Any) -> Any:
    """qtbot with the light theme in effect."""
    from mission_control_desktop.ui import theme

    theme.set_appearance(theme.Appearance(scheme="light"))
    return qtbot


@pytest.fixture
def pane(qt: Any) -> Iterator[Any]:
    """A shown, empty `TranscriptPane` that waits for no frame."""
    from mission_control_desktop.ui.transcript.highlight import Highlighter
    from mission_control_desktop.ui.transcript.model import TranscriptModel
    from mission_control_desktop.ui.transcript.pane import TranscriptPane
    from mission_control_desktop.ui.transcript.scheduler import FlushScheduler

    highlighter = Highlighter()
    made = TranscriptPane(TranscriptModel(), scheduler=FlushScheduler(hold=0.0, budget=1.0), highlighter=highlighter)
    qt.addWidget(made)
    made.resize(420, 500)
    made.show()
    qt.waitExposed(made)
    yield made
    highlighter.wait()


@pytest.fixture
def run(qapp: Any) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a scenario on the loop that the application uses."""
    from qasync import QEventLoop

    def runner(scenario: Coroutine[Any, Any, None]) -> None:
        loop = QEventLoop(qapp)
        with loop:
            loop.run_until_complete(scenario)

    return runner


@pytest.fixture
def rig(qt: Any, qapp: Any, tmp_path: Path) -> Any:
    """The real window on an event loop of its own."""
    from support.rig import Rig

    return Rig(qapp, tmp_path / "data")


@pytest.fixture
def house(rig: Any) -> Iterator[Any]:
    """A control plane (`Served`) in the window's data directory, with the scripted agent as its profile."""
    from support.served import served

    with served(rig.folder) as made:
        made.double()
        yield made


@pytest.fixture
def kept() -> Iterator[Any]:
    """A keyring in memory."""
    import keyring

    from support.several_planes import Kept

    before, made = keyring.get_keyring(), Kept()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


@pytest.fixture
def planes(rig: Any, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """Home, in the window's own data directory, and a team's."""
    from support.served import served

    with ExitStack() as stack:
        home = stack.enter_context(served(rig.folder))
        team = stack.enter_context(served(tmp_path / "team"))
        for plane in (home, team):
            plane.double()
        yield home, team
