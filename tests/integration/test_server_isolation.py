"""Who sees what of others, over every route of the table: two workspaces with things of their own, and an agent among
its kin. A route that is added is covered on that day, or the test says what it does not know of it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import msgspec
import pytest

from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.control.policy import RULES, Reach
from mission_control_desktop.domain.approvals import Approval, ApprovalOption, ApprovalState
from mission_control_desktop.domain.kill import KillState
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.people import Principal, Role
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.sessions import split_id
from mission_control_desktop.record.ops import PutMessage
from mission_control_desktop.server.running import Options, running
from mission_control_desktop.server.table import ROUTES, Route, by_path, parameters
from mission_control_desktop.storage import SystemClock
from support.orchestration import DOUBLE, House, eventually
from support.planes import ROOT, ScriptedProvider

TOKENED = [route for route in ROUTES if route.operation is not None]
THEIRS = Principal(user_id="theirs-boss", role=Role.ADMIN, workspace_id="theirs")
INSTALLATION = ("/api/keys",)
"""What belongs to the installation as a whole, so to the admins of its default workspace."""
SAMPLES: dict[str, Any] = {
    "command": ["true"],
    "confirm": "KILL ALL",
    "gatewayUrl": "http://127.0.0.1:9",
    "name": "somewhere",
    "provider": "no-such-kind",
    "content": "hello",
    "messageRetentionDays": 30,
    "optionId": "yes",
    "position": 1,
    "profile": "no-such-profile",
    "reason": "to see",
    "role": "observer",
    "scope": "no-such-provider",
    "user": "somebody",
    "was": "hi",
}
"""A value for every field that a request must have."""


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def body_of(route: Route) -> dict[str, Any] | None:
    if route.body is None:
        return None
    return {one.encode_name: SAMPLES[one.encode_name] for one in msgspec.structs.fields(route.body) if one.required}


@dataclass
class Things:
    """What a workspace has: `ids` by the part of a path before the parameter, `marks` are words that only stand in
    what is its own."""

    client: httpx.AsyncClient
    token: str
    ids: dict[str, str] = field(default_factory=dict)
    marks: set[str] = field(default_factory=set)

    def path(self, route: Route) -> str | None:
        """The route's path with this workspace's things in it; None where it has none of the kind."""
        path = route.path
        for name in parameters(path):
            before = path.partition(f"{{{name}}}")[0]
            if before not in self.ids:
                return None
            path = path.replace(f"{{{name}}}", quote(self.ids[before], safe=""), 1)
        return path


@dataclass
class World:
    plane: ControlPlane
    url: str
    data_dir: Path
    ours: Things
    theirs: Things
    stack: AsyncExitStack

    def client(self, token: str) -> httpx.AsyncClient:
        made = httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
        )
        self.stack.push_async_callback(made.aclose)
        return made


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(running(Options(data_dir=tmp_path / "data")))
        plane = served.plane
        nobody = Things(httpx.AsyncClient(), "")
        await nobody.client.aclose()
        made = World(plane, served.url, tmp_path / "data", nobody, nobody, stack)
        profile = LaunchProfile(name="double", command=(sys.executable, str(DOUBLE)), cwd=str(tmp_path))
        await plane.bind(ROOT).put_profile(profile)
        beta = ScriptedProvider("beta")
        plane.registry.add(beta, workspace_id="theirs")
        await beta.start(plane.record_for("beta"))
        yield made
    await asyncio.to_thread(House(tmp_path / "data").sweep)


async def furnish(world: World, who: Principal, provider: ScriptedProvider, mark: str) -> Things:
    """One of everything, marked."""
    plane = world.plane
    desk = plane.bind(who)
    token = await plane.tokens.create(user_id=f"{mark}-root", role=Role.ADMIN, workspace_id=who.workspace_id)
    things = Things(world.client(token.token), token.token)
    session_id = await provider.add(f"{mark}-one", title=f"{mark} title")
    now = SystemClock().now()
    asked = Approval(
        approval_id=f"{mark}-question",
        session_id=session_id,
        provider=provider.name,
        title=f"{mark} asks",
        options=(ApprovalOption(option_id="yes", kind="allow_once", label="Yes"),),
        created_at=now,
        state=ApprovalState.OPEN,
    )
    await provider.ask(f"{mark}-one", asked)
    said = AgentMessage(
        message_id="m",
        session_id=session_id,
        role=MessageRole.AGENT,
        content=f"{mark} words",
        timestamp=now,
        metadata={"kind": "text", "complete": True},
    )
    assert provider.record is not None
    await provider.record.apply(f"{mark}-one", [PutMessage(message=said)], durable=True)
    receipt = await desk.inject(session_id, f"{mark} order")
    ended = await provider.add(f"{mark}-ended")
    killed = await desk.kill_all(scope=provider.name, confirm="KILL ALL", reason=f"{mark} reason")

    async def over() -> bool:
        return (await desk.kill_state(killed.kill_id)).state is KillState.DONE

    await eventually(over, "the kill-all")
    again = await provider.add(f"{mark}-two", title=f"{mark} second")
    member = await desk.create_token(user=f"{mark}-kim", role=Role.OPERATOR)
    things.ids = {
        "/api/tokens/": member.id,
        "/api/members/": member.user_id,
        "/api/mission-control/sessions/": again,
        f"/api/mission-control/sessions/{quote(again, safe='')}/receipts/": receipt.injection_id,
        "/api/mission-control/kill-all/": killed.kill_id,
        "/api/mission-control/approvals/": asked.approval_id,
        "/api/agent-providers/": provider.name,
        "/agents/": split_id(again)[1],
    }
    things.marks = {mark, session_id, ended, again, member.id, killed.kill_id, receipt.injection_id}
    return things


async def test_no_workspace_sees_or_touches_anything_of_another(world: World) -> None:
    gamma = ScriptedProvider("gamma")
    world.plane.registry.add(gamma)
    await gamma.start(world.plane.record_for("gamma"))
    beta = world.plane.registry.get("beta")
    assert isinstance(beta, ScriptedProvider)
    real = await world.plane.bind(ROOT).spawn(SpawnRequest(profile="double", title="qours agent"))
    ours = await furnish(world, ROOT, gamma, "qours")
    theirs = await furnish(world, THEIRS, beta, "qtheirs")
    ours.ids |= {"/agents/": split_id(real.session_id)[1], "/agents/profiles/": "double"}
    ours.marks |= {real.session_id, split_id(real.session_id)[1], "gamma", "double"}
    theirs.marks |= {"beta"}
    looked = refused = 0
    # Streams first: what one tries later against the other stands in one's own log, and so in one's own stream.
    for route in TOKENED:
        if not route.stream or parameters(route.path):
            continue
        for me, other in ((theirs, ours), (ours, theirs)):
            for last in (None, f"{world.plane.recorder.epoch}-0"):
                text = await _beginning(me, other, route.path, last)
                assert not _marks_in(text, other), (named(route), last)
            looked += 1
    for me, other in ((theirs, ours), (ours, theirs)):
        for route in TOKENED:
            path = other.path(route)
            if path is None and route.method == "GET" and not parameters(route.path):
                raise AssertionError("a path without parameters is its own")
            if path is None:
                assert other is theirs, f"say what {named(route)} is about"
                assert "profiles" in route.path, f"say what {named(route)} is about"
                continue
            if not parameters(route.path) and route.method != "GET" and me is ours:
                continue  # it would be about what is its own
            if route.stream and not parameters(route.path):
                continue
            answer = await me.client.request(route.method, path, json=body_of(route))
            text = answer.text
            if route.method == "PUT" and "members" in route.path:
                assert answer.status_code == 200  # a member of one's own with the same name
                await me.client.delete(path)
                continue
            if parameters(route.path):
                assert answer.status_code == 404, (named(route), text)
                refused += 1
                for sent in path.split("/"):
                    text = text.replace(unquote(sent), "") if sent else text  # an answer may repeat what was asked for
            elif route.method == "GET":
                wanted = 403 if me is theirs and route.path.startswith(INSTALLATION) else 200
                assert answer.status_code == wanted, (named(route), text)
            # What one sent oneself stands in one's own log of attempts; nothing else of the other's does.
            if "audit" not in route.path:
                assert not _marks_in(text, other), (named(route), _marks_in(text, other))
            looked += 1
    assert refused > 40
    assert looked > 60
    # Nothing of it happened.
    assert [
        call
        for call in gamma.calls
        if call[0] in ("withdraw", "edit_message", "move_message", "answer", "terminate", "pause", "resume")
    ] == []
    assert (await world.plane.bind(ROOT).session(ours.ids["/api/mission-control/sessions/"])).status == "running"
    assert not (await world.plane.bind(ROOT).session(real.session_id)).status.final
    rows = (await world.plane.bind(THEIRS).audit(limit=500)).items
    assert {row.user_id for row in rows} <= {"theirs-boss", "qtheirs-root"}


async def test_sessions_outlive_their_provider_for_their_own_workspace_alone(world: World) -> None:
    beta = world.plane.registry.get("beta")
    assert isinstance(beta, ScriptedProvider)
    session_id = await beta.add("kept")
    await world.plane.registry.remove("beta")
    here, there = world.plane.bind(ROOT), world.plane.bind(THEIRS)
    assert [one.session_id for one in (await there.sessions()).items] == [session_id]
    assert (await there.session(session_id)).evidence.freshness == "unreachable"
    assert (await here.sessions()).items == ()
    assert len(await there.tree()) == 1
    assert await here.tree() == ()


def _marks_in(text: str, other: Things) -> set[str]:
    return {mark for mark in other.marks if mark in text}


async def _beginning(me: Things, other: Things, path: str, last_event_id: str | None) -> str:
    """A stream from its opening up to something that happens to its own workspace, after something in the other."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    text = ""
    async with asyncio.timeout(30), me.client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        chunks = answer.aiter_text()
        text += await anext(chunks)
        noise = next(mark for mark in other.marks if mark in ("qours", "qtheirs"))
        made = await other.client.post("/api/tokens", json={"user": f"{noise}-noise", "role": "observer"})
        assert made.status_code == 201
        if path.startswith("/agents"):
            return text
        name = f"n{len(text)}-end"
        await me.client.post("/api/tokens", json={"user": name, "role": "observer"})
        while name not in text:
            text += await anext(chunks)
    return text


# --- agents


async def test_an_agents_token_reaches_its_own_subtree_and_nothing_else_on_any_route(world: World) -> None:
    gamma = ScriptedProvider("gamma")
    world.plane.registry.add(gamma)
    await gamma.start(world.plane.record_for("gamma"))
    beta = world.plane.registry.get("beta")
    assert isinstance(beta, ScriptedProvider)
    desk = world.plane.bind(ROOT)

    async def start(title: str, parent: str | None) -> str:
        request = SpawnRequest(profile="double", title=title, parent_agent_id=parent)
        return split_id((await desk.spawn(request)).session_id)[1]

    parent = await start("parent", None)
    me = await start("me", parent)
    sibling = await start("qsibling", parent)
    child = await start("child", me)
    grandchild = await start("grandchild", child)
    stranger = await start("qstranger", None)
    foreign = [await gamma.add("qforeign", title="qforeign"), await beta.add("qelsewhere", title="qelsewhere")]
    targets = {me: Reach.SELF, child: Reach.BELOW, grandchild: Reach.BELOW}
    targets |= dict.fromkeys((parent, sibling, stranger, *foreign, "0" * 32), Reach.OUTSIDE)
    token = (world.data_dir / "agents" / me / "mcp-token").read_text().strip()
    agent = world.client(token)
    asked = 0

    async def ask(route: Route, path: str, reach: Reach, **more: str) -> None:
        nonlocal asked
        assert route.operation is not None
        body = body_of(route)
        answer = await agent.request(route.method, path, json=None if body is None else {**body, **more})
        asked += 1
        where = (named(route), path, reach.value, answer.text[:300])
        if reach not in RULES[route.operation].agents:
            assert answer.status_code == 403, where
            return
        assert answer.status_code in {route.status, *route.errors}, where
        for secret in ("qsibling", "qstranger", "qforeign", "qelsewhere", sibling, stranger):
            assert secret not in answer.text, where

    for route in TOKENED:
        of_session = "/sessions/{id}" in route.path or route.path.startswith("/agents/{id}")
        if not of_session:
            if route.path.endswith(("/spawn", "/sessions")) and route.method == "POST":
                await ask(route, route.path, Reach.SELF)  # no parent named: the agent itself is
                for target, reach in targets.items():
                    if ":" not in target:
                        await ask(route, route.path, reach, parentAgentId=target)
                continue
            await ask(route, re.sub(r"\{\w+\}", "x", route.path), Reach.NO_TARGET)
            continue
        for target, reach in targets.items():
            if route.path.startswith("/agents"):
                if ":" in target:
                    continue
                session_id = target
            else:
                session_id = target if ":" in target else f"internal:{target}"
            await ask(route, re.sub(r"\{\w+\}", "x", route.path.replace("{id}", quote(session_id, safe=""))), reach)
    assert asked > 150
    own = {one["sessionId"] for one in (await agent.get("/agents")).json()["items"]}
    assert own == {me, child, grandchild}
    for other in (parent, sibling, stranger):
        assert not (await desk.session(f"internal:{other}")).status.final
    refused = [row for row in (await desk.audit(limit=500)).items if row.actor_kind == "agent"]
    assert {row.user_id for row in refused} == {f"agent:{me}"}


# --- the table itself


def test_a_route_that_nobody_gave_a_rule_is_not_served() -> None:
    by_path(ROUTES)
    health, other = ROUTES[0], ROUTES[1]
    open_by_mistake = Route("GET", "/api/everything", None, other.handler, "No rule")
    unknown = Route("GET", "/api/everything", "everything", other.handler, "No rule")  # type: ignore[arg-type]
    for bad in (open_by_mistake, unknown):
        with pytest.raises(ValueError, match="no rule that says who may"):
            by_path([*ROUTES, bad])
    assert health.operation is None
    assert [route.path for route in ROUTES if route.operation is None] == ["/api/health"]
