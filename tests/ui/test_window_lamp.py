"""The stop lamp: armed only by a test of a short while ago, and only while the window is connected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mission_control_desktop.domain.events import ProviderHealth, StopChannel, StopState
from mission_control_desktop.domain.providers import DISABLED
from mission_control_desktop.ui.stop_words import lamp_view
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
