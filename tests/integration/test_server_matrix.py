"""Every endpoint × every role, made from the route table: who may, who may not, and what is left of the attempt."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mission_control_desktop.control.policy import RULES, Operation
from mission_control_desktop.domain.people import Role
from mission_control_desktop.server import bodies
from mission_control_desktop.server.table import ROUTES, Route
from support.served import Served, served, wait_for

BODIES: dict[type[bodies.Input], dict[str, Any]] = {
    bodies.ProviderBody: {
        "name": "internal",
        "provider": "orchestrator",
        "gatewayUrl": "https://matrix.invalid",
        "credentials": "matrix-token",
    },
    bodies.ProviderChangeBody: {"isActive": False},
    bodies.TokenBody: {"user": "someone", "role": "observer", "expiresIn": "1h"},
    bodies.MemberBody: {"role": "observer"},
    bodies.SpawnBody: {"profile": "no-such-profile"},
    bodies.AgentSpawnBody: {"profile": "no-such-profile"},
    bodies.AgentInjectBody: {"content": "hello from the matrix"},
    bodies.InjectBody: {"content": "hello from the matrix"},
    bodies.NoBody: {},
    bodies.WithdrawBody: {"expectedRunId": "matrix"},
    bodies.PauseBody: {"reason": "matrix"},
    bodies.ActBody: {"reason": "matrix"},
    bodies.KillBody: {"reason": "matrix"},
    bodies.KillAllBody: {"scope": "internal", "confirm": "KILL ALL", "reason": "matrix"},
    bodies.AgentsKillAllBody: {"reason": "matrix"},
    bodies.AnswerBody: {"optionId": "yes"},
    bodies.ProfileBody: {"command": ["true"]},
    bodies.WorkspaceBody: {"messageRetentionDays": None},
}
TOKENED = [route for route in ROUTES if route.operation is not None]


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route) -> str:
    nobody = "0" * 32
    path = route.path.replace("{id}", nobody if route.path.startswith("/agents") else f"internal%3A{nobody}")
    return re.sub(r"\{\w+\}", "matrix", path)


def ask(client: httpx.Client, route: Route) -> tuple[int, Any]:
    """Status and decoded body; of a stream, its start alone."""
    body = None if route.body is None else BODIES[route.body]
    with client.stream(route.method, path_of(route), json=body) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return answer.status_code, None
        raw = answer.read()
        return answer.status_code, answer.json() if raw else None


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("matrix") / "data") as made:
        yield made


@pytest.fixture(scope="module")
def callers(plane: Served) -> dict[Role, httpx.Client]:
    return {role: plane.caller(plane.token(role.value)["token"]) for role in Role}


@pytest.fixture(scope="module")
def strangers(plane: Served) -> dict[str, httpx.Client]:
    """Callers who are nobody (any more)."""
    expired, revoked = plane.token("admin", expiresIn=1), plane.token("admin")
    assert plane.admin.delete(f"/api/tokens/{revoked['id']}").status_code == 204
    made = {
        "missing": plane.caller(None),
        "wrong": plane.caller("mc_" + "x" * 43),
        "revoked": plane.caller(revoked["token"]),
        "expired": plane.caller(expired["token"]),
        "of an agent that never was": plane.caller(f"mca_{'0' * 32}_{'x' * 43}"),
    }
    wait_for(lambda: made["expired"].get("/api/me").status_code == 401, "the token to expire")
    return made


@pytest.mark.parametrize("route", TOKENED, ids=named)
def test_nobody_gets_in_without_a_valid_token(strangers: dict[str, httpx.Client], route: Route) -> None:
    for why, client in strangers.items():
        status, body = ask(client, route)
        assert status == 401, why
        assert body["error"]["code"] == "not_authenticated"
        assert body["error"]["message"]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("route", TOKENED, ids=named)
def test_each_role_may_exactly_what_the_policy_says(
    plane: Served, callers: dict[Role, httpx.Client], route: Route, role: Role
) -> None:
    assert route.operation is not None
    rule = RULES[route.operation]
    known = {row["id"] for row in plane.audit(user=f"{role.value}-person")}
    status, body = ask(callers[role], route)
    if role.rank >= rule.role.rank:
        assert status in {route.status, *route.errors}, body
        if status >= 400:
            assert set(body["error"]) == {"code", "message", "details"}
        return
    assert status == 403, body
    assert body["error"]["code"] == "forbidden"
    (row,) = [row for row in plane.audit(user=f"{role.value}-person") if row["id"] not in known]
    assert (row["action"], row["outcome"]) == (rule.action.value, "refused")
    sent = {} if route.body is None else BODIES[route.body]
    assert row["content"] == sent.get("content")
    assert row["metadata"].get("reason") == sent.get("reason")
    assert (row["sessionId"] is not None) == (
        ("{id}" in route.path and "session" in route.path) or "/agents/{id}" in route.path
    )


@pytest.mark.parametrize("role", Role)
def test_who_is_refused_is_not_told_what_was_wrong_with_the_input(
    callers: dict[Role, httpx.Client], role: Role
) -> None:
    for route in TOKENED:
        assert route.operation is not None
        if role.rank >= RULES[route.operation].role.rank or route.body is None:
            continue
        answer = callers[role].request(route.method, path_of(route), content=b"{not json")
        assert answer.status_code == 403, named(route)


def test_health_is_open_to_all_and_says_more_to_those_who_are_known(
    plane: Served, callers: dict[Role, httpx.Client], strangers: dict[str, httpx.Client]
) -> None:
    for client in strangers.values():
        open_to_all = client.get("/api/health")
        assert open_to_all.status_code == 200
        assert open_to_all.json()["status"] == "ok"
        assert open_to_all.json()["detail"] == {}
    known = callers[Role.OBSERVER].get("/api/health").json()
    assert known["detail"]["providers"]["internal"]["state"] == "ok"
    assert known["pid"] == plane.process.pid
    assert [route.path for route in ROUTES if route.operation is None] == ["/api/health"]


def test_the_description_covers_every_route(callers: dict[Role, httpx.Client]) -> None:
    found = callers[Role.OBSERVER].get("/api/openapi.json").json()
    assert found["openapi"].startswith("3.1")
    described = {(path, method.upper()) for path, methods in found["paths"].items() for method in methods}
    assert described == {(route.path, route.method) for route in ROUTES}

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "$ref":
                    yield inner
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    schemas = found["components"]["schemas"]
    assert {reference.rpartition("/")[2] for reference in references(found)} <= set(schemas)
    assert {"AgentSession", "AgentMessage", "AuditEntry", "Approval", "Receipt"} <= set(schemas)
    assert schemas["AgentSession"]["properties"]["parentSessionId"]
    identifiers = [op["operationId"] for methods in found["paths"].values() for op in methods.values()]
    assert len(identifiers) == len(set(identifiers))


def test_another_workspace_sees_and_touches_nothing(plane: Served) -> None:
    plane.double()
    session_id = plane.spawn("[words 3 1]")
    made = plane.token("admin", workspace="elsewhere")
    assert made["workspaceId"] == "elsewhere"
    stranger = plane.caller(made["token"])
    for route in TOKENED:
        if "/sessions/{id}" not in route.path and "/agents/{id}" not in route.path:
            continue
        own = session_id.partition(":")[2] if route.path.startswith("/agents") else session_id
        path = route.path.replace("{id}", own).replace("{injectionId}", "x")
        body = None if route.body is None else BODIES[route.body]
        assert stranger.request(route.method, path, json=body).status_code == 404, named(route)
    assert stranger.get("/api/mission-control/sessions").json() == {"items": [], "nextCursor": None}
    assert stranger.get("/api/mission-control/tree").json() == {"items": [], "nextCursor": None}
    assert stranger.get("/api/mission-control/approvals").json()["items"] == []
    assert stranger.get("/agents").json()["items"] == []
    assert [one["id"] for one in stranger.get("/api/tokens").json()["items"]] == [made["id"]]
    assert {row["userId"] for row in stranger.get("/api/mission-control/audit").json()["items"]} == {"admin-person"}
    plane.admin.post(f"/api/mission-control/sessions/{session_id}/kill", json={"reason": "test"})


def test_an_agents_token_works_for_its_own_subtree_while_it_lives(plane: Served) -> None:
    plane.double()
    own, other = plane.spawn(title="own"), plane.spawn(title="other")
    for session_id in (own, other):
        plane.until(session_id, waitingFor="operator")
    native, other_native = own.partition(":")[2], other.partition(":")[2]
    token = (plane.data_dir / "agents" / native / "mcp-token").read_text().strip()
    agent = plane.caller(token)
    assert agent.get("/api/me").json()["userId"] == f"agent:{native}"
    child = agent.post("/agents/spawn", json={"profile": "double", "parentAgentId": native})
    assert child.status_code == 201, child.text
    child_id = child.json()["sessionId"]
    assert child.json()["parentSessionId"] == native
    assert agent.get(f"/agents/{child_id}").status_code == 200
    assert agent.post(f"/agents/{child_id}/inject", json={"content": "do it"}).status_code == 202
    seen = {one["sessionId"] for one in agent.get("/agents").json()["items"]}
    assert seen == {native, child_id}
    (root,) = agent.get("/agents/tree").json()["items"]
    assert (root["session"]["sessionId"], len(root["children"])) == (native, 1)
    for method, path, body in (
        ("GET", f"/agents/{other_native}", None),
        ("GET", f"/agents/{other_native}/messages", None),
        ("POST", f"/agents/{other_native}/inject", {"content": "psst"}),
        ("POST", "/agents/spawn", {"profile": "double", "parentAgentId": other_native}),
        ("POST", f"/agents/{child_id}/kill", {"reason": "x"}),
        ("POST", "/agents/kill-all", {"reason": "x"}),
        ("GET", "/api/mission-control/audit", None),
        ("GET", "/api/tokens", None),
        ("PUT", "/agents/profiles/mine", {"command": ["true"]}),
    ):
        assert agent.request(method, path, json=body).status_code == 403, path
    refused = [row for row in plane.audit(outcome="refused") if row["actorKind"] == "agent"]
    assert {row["userId"] for row in refused} == {f"agent:{native}"}
    killed = plane.admin.post(f"/api/mission-control/sessions/{own}/kill", json={"reason": "test"})
    assert killed.status_code == 200
    began = time.monotonic()
    wait_for(lambda: agent.get("/api/me").status_code == 401, "the agent's token to end")
    assert time.monotonic() - began < 10
    assert plane.until(f"internal:{child_id}", status="killed")
    plane.admin.post(f"/api/mission-control/sessions/{other}/kill", json={"reason": "test"})


def test_every_operation_has_a_route() -> None:
    assert {route.operation for route in TOKENED} == set(Operation) - {Operation.HEALTH_DETAIL}
