"""Several control planes as one: ids never collide, and each order goes where its id belongs."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from mission_control_desktop.client.engine import EngineHost
from mission_control_desktop.client.fleet import (
    Fleet,
    plane_of,
    qualified,
    qualify,
    topic_plane,
    unqualified,
    workspace_topic,
)
from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.domain.events import EventType
from mission_control_desktop.domain.kill import KillAll, KillState, KillTarget, TargetState
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.profiles import SpawnRequest
from support.scripted_plane import ScriptedPlane, message, session


@pytest.fixture
def planes() -> dict[str, ScriptedPlane]:
    """Two that call everything the same."""
    made = {"": ScriptedPlane(), "team": ScriptedPlane()}
    for plane in made.values():
        plane.tell(session("a"), session("b", parent_session_id="internal:a"))
        plane.texts["internal:a"] = [message("internal:a", 1)]
    return made


@pytest.fixture
def fleet(planes: dict[str, ScriptedPlane]) -> MissionControl:
    made = Fleet()
    for name, plane in planes.items():
        made.put(name, cast("MissionControl", plane))
    return cast("MissionControl", made)


def asked(plane: ScriptedPlane) -> list[str]:
    return [name for name, _ in plane.calls]


@pytest.mark.parametrize(
    ("identifier", "plane"),
    [
        ("internal:a", ""),
        ("openclaw-prod:agent/main/dm", ""),
        ("team/internal:a", "team"),
        ("team/internal:x/y:z", "team"),
        ("team/all", "team"),
        ("all", ""),
    ],
)
def test_an_id_names_its_control_plane(identifier: str, plane: str) -> None:
    assert plane_of(identifier) == plane
    assert qualified(plane, unqualified(identifier)) == identifier
    if ":" in identifier:
        assert topic_plane(identifier) == plane
    assert topic_plane(workspace_topic(plane)) == plane


async def test_orders_go_where_the_id_belongs(fleet: MissionControl, planes: dict[str, ScriptedPlane]) -> None:
    paused = await fleet.pause("team/internal:a")
    assert (paused.session_id, paused.provider) == ("team/internal:a", "team/internal")
    assert asked(planes[""]) == []
    assert planes["team"].calls[-1] == ("pause", "internal:a")
    await fleet.kill("internal:a", reason="wild")
    assert planes[""].calls[-1] == ("kill", ("internal:a", "wild"))
    assert asked(planes["team"]) == ["pause"]
    killed = await fleet.kill_all(scope="team/all", confirm="KILL ALL", reason="now")
    assert (killed.kill_id, killed.scope) == ("team/k1", "team/all")
    assert planes["team"].calls[-1][1][0] == "all"
    assert {target.session_id for target in killed.targets} == {"team/internal:a", "team/internal:b"}
    await fleet.kill_undo(killed.kill_id)
    assert planes["team"].calls[-1] == ("kill_undo", "k1")
    born = await fleet.spawn(SpawnRequest(profile="demo", parent_agent_id="team/internal:a"))
    assert born.parent_session_id == "team/internal:a"
    assert cast("Any", planes["team"].calls[-1][1]).parent_agent_id == "internal:a"
    assert asked(planes[""]) == ["kill"]


async def test_all_that_is_told_of_a_plane_is_qualified(fleet: MissionControl) -> None:
    page = await fleet.messages("team/internal:a")
    assert [m.session_id for m in page.items] == ["team/internal:a"]
    async with fleet.stream("team/internal:a", replay=5) as events:
        first = [await anext(events), await anext(events)]
    assert [e.type for e in first] == [EventType.SESSION, EventType.MESSAGE]
    assert {cast("Any", e.data).session_id for e in first} == {"team/internal:a"}
    child = await fleet.session("team/internal:b")
    assert child.parent_session_id == "team/internal:a"


async def test_a_plane_that_is_away_is_asked_nothing_and_nobody_is_asked_instead(
    fleet: MissionControl, planes: dict[str, ScriptedPlane]
) -> None:
    cast("Fleet", fleet).take("team")
    with pytest.raises(Unavailable, match="team"):
        await fleet.kill("team/internal:a", reason="wild")
    assert asked(planes[""]) == asked(planes["team"]) == []


def test_every_operation_of_the_protocol_is_routed() -> None:
    """By the protocol's own signatures: what names a session by another word would go home."""
    known = {"session_id", "approval_id", "kill_id", "provider", "scope"}
    about_home = {"token_id", "provider_id", "name", "user"}
    for name, method in inspect.getmembers(MissionControl, inspect.isfunction):
        if not name.startswith("_"):
            ids = {p for p in inspect.signature(method).parameters if p.endswith("_id")} - {
                "last_event_id",
                "expected_run_id",
                "injection_id",
                "option_id",
            }
            assert ids <= known | about_home, name


def test_records_of_several_kinds() -> None:
    now = datetime.now(UTC)
    target = KillTarget(session_id="internal:a", provider="internal", state=TargetState.DEAD, at=now)
    kill = KillAll(kill_id="k", state=KillState.DONE, scope="all", started_at=now, targets=(target,))
    told = qualify("team", (kill, "text", None))
    assert (told[0].kill_id, told[0].targets[0].provider, told[1:]) == ("team/k", "team/internal", ("text", None))


async def test_one_that_goes_takes_only_its_own_streams(planes: dict[str, ScriptedPlane]) -> None:
    host = EngineHost()
    host.start()
    try:
        for name, plane in planes.items():
            await host.connect(plane.open, plane=name)
            await host.run(lambda name=name: _follow(host, name))  # type: ignore[misc]
        topics = host.feeds.topics
        assert topics == {"workspace", "internal:a", "workspace@team", "team/internal:a"}
        await host.disconnect("team")
        assert host.feeds.topics == {"workspace", "internal:a"}
        with pytest.raises(Unavailable):
            await host.plane("team").call(lambda mc: mc.me())
        assert (await host.call(lambda mc: mc.session("internal:a"))).session_id == "internal:a"
    finally:
        assert host.stop()


async def _follow(host: EngineHost, name: str) -> None:
    host.feeds.open_workspace(name, host.mission_control_of(name))
    host.feeds.open_session(qualified(name, "internal:a"))
