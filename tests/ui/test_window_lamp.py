"""The stop lamp: armed only by a test of a short while ago, and only while the window is connected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PySide6.QtWidgets import QWidget

from mission_control_desktop.domain.events import ProviderHealth, StopChannel, StopState
from mission_control_desktop.domain.providers import DISABLED
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.main_window.lamp import StopLamp
from mission_control_desktop.ui.stop_words import FIRST_TEST, lamp_view
from support.rig import Rig, until
from support.scripted_plane import ScriptedPlane, session

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def told(provider: str, state: StopState, seconds: float | None = 5, detail: str | None = None) -> ProviderHealth:
    tested = None if seconds is None else NOW - timedelta(seconds=seconds)
    return ProviderHealth(provider=provider, state="ok", stop=StopChannel(state=state, tested_at=tested, detail=detail))


@pytest.mark.parametrize(
    ("health", "state", "said"),
    [
        ([], StopState.UNTESTED, "No provider was heard of yet."),
        ([told("a", StopState.ARMED)], StopState.ARMED, "a: armed, tested 5s ago"),
        ([told("a", StopState.ARMED, 91)], StopState.UNTESTED, "a: untested, tested 1m 31s ago"),
        (
            [told("a", StopState.ARMED), told("b", StopState.UNTESTED, None, "It cannot.")],
            StopState.UNTESTED,
            "It cannot.",
        ),
        (
            [told("a", StopState.UNTESTED, None), told("b", StopState.DEGRADED, 3, "1 of 2 lost")],
            StopState.DEGRADED,
            "b: degraded, tested 3s ago. 1 of 2 lost",
        ),
        (
            [told("a", StopState.ARMED), ProviderHealth(provider="b", state=DISABLED)],
            StopState.ARMED,
            "b: switched off. A stop does not reach what runs there",
        ),
    ],
)
def test_the_worst_is_shown_and_each_is_told(health: list[ProviderHealth], state: StopState, said: str) -> None:
    view = lamp_view({one.provider: one for one in health}, NOW, connected=True)
    assert view.state is state
    assert view.text == f"Stop {state.value}"
    assert said in view.detail


def first_seen(seconds: float, detail: str | None = None) -> ProviderHealth:
    since = NOW - timedelta(seconds=seconds)
    return ProviderHealth(provider="a", state="ok", stop=StopChannel(detail=detail), since=since)


@pytest.mark.parametrize(
    ("health", "due", "abnormal"),
    [
        ([], 5, False),
        ([], -1, True),
        ([told("a", StopState.ARMED)], None, False),
        ([told("a", StopState.UNTESTED, None)], 5, False),
        ([told("a", StopState.UNTESTED, None)], -1, True),
        ([told("a", StopState.UNTESTED, None)], None, True),
        ([told("a", StopState.UNTESTED, None, "It cannot.")], 5, True),
        ([told("a", StopState.ARMED, 91)], 5, True),
        ([told("a", StopState.DEGRADED)], 5, True),
        ([told("b", StopState.UNTESTED, None), told("a", StopState.DEGRADED)], 5, True),
        ([first_seen(20)], None, False),
        ([first_seen(20, "It cannot.")], None, True),
        ([first_seen(60)], None, True),
    ],
)
def test_untested_is_abnormal_once_a_test_was_due(
    health: list[ProviderHealth], due: float | None, abnormal: bool
) -> None:
    until_then = None if due is None else NOW + timedelta(seconds=due)
    view = lamp_view({one.provider: one for one in health}, NOW, connected=True, due=until_then)
    assert view.abnormal is abnormal


def test_the_lamp_is_grey_until_a_test_was_due_and_missed(qt: Any) -> None:
    now = NOW
    health: dict[str, ProviderHealth] = {}
    lamp = StopLamp(health, now=lambda: now)

    def abnormal() -> bool:
        return lamp.view.abnormal

    assert not abnormal(), "it has not even had the time to connect"
    assert theme.current().warning.name() not in colours(lamp)
    lamp.set_connected(True)
    health["a"] = told("a", StopState.UNTESTED, None)
    lamp.refresh()
    assert not abnormal()
    now += FIRST_TEST
    lamp.refresh()
    assert abnormal()
    assert theme.current().warning.name() in colours(lamp)
    lamp.set_connected(False)
    now += timedelta(seconds=1)
    lamp.refresh()
    assert abnormal(), "a connection that was lost is abnormal at once"


def colours(widget: QWidget) -> set[str]:
    picture = widget.grab().toImage()
    return {picture.pixelColor(x, y).name() for x in range(picture.width()) for y in range(picture.height())}


def test_nothing_is_armed_without_a_connection() -> None:
    assert lamp_view({"a": told("a", StopState.ARMED)}, NOW, connected=False).state is StopState.UNTESTED


def test_the_header_follows_what_is_told(rig: Rig, qt: Any) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a"))
        desk = await rig.open(plane.open)
        lamp = desk.window.header.lamp
        await until(lambda: desk.store.live())
        assert lamp.view.state is StopState.UNTESTED
        fresh = StopChannel(state=StopState.ARMED, tested_at=datetime.now(UTC), detail="all answered")
        plane.tell(ProviderHealth(provider="internal", state="ok", stop=fresh))
        await until(lambda: lamp.view.state is StopState.ARMED)
        assert "all answered" in lamp.toolTip()
        assert lamp.accessibleName().startswith("Stop armed")
        await desk.close()

    rig.run(scenario)
