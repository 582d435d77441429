"""Every endpoint × every role × every kind of token, made from the contract that the server itself publishes.

Nothing here names an endpoint: paths, methods, parameters, bodies and the role that is needed come out of
`/api/openapi.json`, so that a new route is tried on the day that it is added.
"""

from __future__ import annotations

import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from mission_control_desktop.control.policy import Operation
from mission_control_desktop.domain.people import Role
from mission_control_desktop.server.table import ROUTES
from support.served import Served, served, wait_for

TOKENS = ("missing", "wrong", "revoked", "expired", "foreign", "valid")
NOBODY = ("missing", "wrong", "revoked", "expired")
FOREIGN = "elsewhere"
CANDIDATES = ("matrix", "30d", "matrix-1", "https://matrix.example", "/matrix")
NAMED = {"scope": "internal", "provider": "internal", "profile": "double", "watchSeconds": 0}
"""What a body would do real harm with, if it were let in."""
NO_RECORD = {"operator_audit_log", "operator_audit_heads", "audit_heads", "provider_health", "alembic_version", "meta"}
"""Tables that may change by themselves: the attempts themselves, and how providers do."""


@dataclass(frozen=True)
class Endpoint:
    """One operation of the contract, with a request that it would take."""

    method: str
    path: str
    described: dict[str, Any]
    url: str
    body: Any

    @property
    def open_to_all(self) -> bool:
        return self.described.get("security") == []

    @property
    def role(self) -> Role:
        return Role(self.described["x-role"])

    @property
    def documented(self) -> set[int]:
        return {int(status) for status in self.described["responses"]}

    @property
    def success(self) -> int:
        return min(self.documented)

    def ask(self, client: httpx.Client) -> tuple[int, Any]:
        """Status and decoded body; of a stream, its start alone."""
        with client.stream(self.method, self.url, json=self.body) as answer:
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                return answer.status_code, None
            raw = answer.read()
            return answer.status_code, answer.json() if raw else None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def sample(schema: dict[str, Any], schemas: dict[str, Any], name: str = "") -> Any:
    """A small value that fits; AssertionError if this does not know how."""
    if "$ref" in schema:
        return sample(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    if name in NAMED:
        return NAMED[name]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return sample(next(one for one in schema["anyOf"] if one.get("type") != "null"), schemas, name)
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            wanted = {*schema.get("required", ()), *(set(NAMED) & set(properties))}
            return {key: sample(properties[key], schemas, key) for key in sorted(wanted)}
        case "array":
            return [sample(schema["items"], schemas)] * schema.get("minItems", 0)
        case "string":
            fitting = [one for one in CANDIDATES if re.search(schema.get("pattern", ""), one)]
            assert fitting, f"no candidate fits {name}: {schema}"
            return fitting[0]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
    raise AssertionError(f"cannot make a {name}: {schema}")


class Matrix:
    """A control plane with something behind every kind of id, callers of every kind, and the endpoints."""

    def __init__(self, plane: Served) -> None:
        self.plane = plane
        plane.double()
        killed = plane.admin.post(
            "/api/mission-control/kill-all",
            json={"scope": "internal", "confirm": "KILL ALL", "reason": "for its id", "watchSeconds": 0},
        )
        assert killed.status_code == 202, killed.text
        wait_for(
            lambda: (
                plane.admin.get(f"/api/mission-control/kill-all/{killed.json()['killId']}").json()["state"] == "done"
            ),
            "the kill-all to end",
        )
        self.session_id = plane.spawn("[permission]")
        approvals = wait_for(lambda: self._items("/api/mission-control/approvals?state=open"), "a question")
        sent = plane.admin.post(
            f"/api/mission-control/sessions/{self.session_id}/inject", json={"content": "x", "delivery": "queue"}
        )
        assert sent.status_code == 202, sent.text
        self.known = {
            "/api/tokens/{id}": plane.token("admin")["id"],
            "/api/mission-control/approvals/{id}": approvals[0]["approvalId"],
            "/api/agent-providers/{id}": self._items("/api/agent-providers")[0]["id"],
            "killId": killed.json()["killId"],
            "injectionId": sent.json()["injectionId"],
            "name": "double",
            "user": "admin-person",
        }
        contract = plane.admin.get("/api/openapi.json").json()
        schemas = contract["components"]["schemas"]
        self.endpoints = [
            self._endpoint(path, method, described, schemas)
            for path, methods in contract["paths"].items()
            for method, described in methods.items()
        ]
        self.callers = {(role, kind): self._caller(role, kind) for role in Role for kind in TOKENS}
        for role in Role:
            expired = self.callers[role, "expired"]
            wait_for(lambda c=expired: c.get("/api/me").status_code == 401, "the token to expire")  # type: ignore[misc]

    def _items(self, path: str) -> list[dict[str, Any]]:
        return list(self.plane.admin.get(path).json()["items"])

    def _endpoint(self, path: str, method: str, described: dict[str, Any], schemas: dict[str, Any]) -> Endpoint:
        url = path
        for parameter in described["parameters"]:
            name = parameter["name"]
            if parameter["in"] != "path":
                assert not parameter["required"], f"{path}: how is {name} to be filled?"
                continue
            value = next((value for key, value in self.known.items() if path.startswith(key)), None)
            if name != "id":
                value = self.known[name]
            elif value is None:
                value = self.session_id
                value = value if path.startswith("/api/mission-control/sessions") else value.partition(":")[2]
            url = url.replace(f"{{{name}}}", quote(value, safe=""))
        body = described.get("requestBody")
        schema = None if body is None else body["content"]["application/json"]["schema"]
        return Endpoint(
            method=method.upper(),
            path=path,
            described=described,
            url=url,
            body=None if schema is None else sample(schema, schemas),
        )

    def _caller(self, role: Role, kind: str) -> httpx.Client:
        plane = self.plane
        if kind == "missing":
            made = plane.caller(None)
            if role is not Role.OBSERVER:
                made.headers["Authorization"] = "Bearer" if role is Role.OPERATOR else "Basic YWRtaW46YWRtaW4="
            return made
        special: dict[str, dict[str, Any]] = {"foreign": {"workspace": FOREIGN}, "expired": {"expiresIn": 1}}
        token = plane.token(role.value, user=f"{kind}-{role.value}", **special.get(kind, {}))
        if kind == "revoked":
            assert plane.admin.delete(f"/api/tokens/{token['id']}").status_code == 204
        shown = token["token"]
        return plane.caller(shown if kind != "wrong" else shown[:-1] + ("A" if shown[-1] != "A" else "B"))

    def record(self) -> dict[str, list[Any]]:
        """Everything on record but the audit log; of the foreign workspace nothing."""
        found: dict[str, list[Any]] = {}
        for name, rows in self._tables():
            found[name] = [
                {key: value for key, value in row.items() if key != "last_used_at"}
                for row in rows
                if FOREIGN not in (row.get("workspace_id"), row.get("id"))
            ]
        return found

    def last_row(self) -> int:
        with closing(self._open()) as connection:
            return int(connection.execute("SELECT coalesce(max(rowid), 0) FROM operator_audit_log").fetchone()[0])

    def audit(self, after: int) -> list[dict[str, Any]]:
        """Rows of all workspaces that came after this one."""
        with closing(self._open()) as connection:
            query = "SELECT * FROM operator_audit_log WHERE rowid > ? ORDER BY rowid"
            return [dict(row) for row in connection.execute(query, (after,))]

    def _tables(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        with closing(self._open()) as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for name in set(names) - NO_RECORD:
                yield name, [dict(row) for row in connection.execute(f'SELECT * FROM "{name}" ORDER BY rowid')]

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(f"file:{self.plane.data_dir / 'control-plane.db'}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        return connection

    def settle(self) -> dict[str, list[Any]]:
        """The record once nothing changes by itself any more."""
        before = self.record()
        while True:
            time.sleep(0.3)
            if (now := self.record()) == before:
                return now
            before = now


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    with served(tmp_path_factory.mktemp("matrix") / "data") as made:
        yield Matrix(made)


def test_who_is_refused_is_not_told_what_was_wrong_with_the_input(matrix: Matrix) -> None:
    for endpoint in matrix.endpoints:
        for role in Role:
            if endpoint.body is None or role.rank >= endpoint.role.rank:
                continue
            answer = matrix.callers[role, "valid"].request(endpoint.method, endpoint.url, content=b"{not json")
            assert answer.status_code == 403, (str(endpoint), role)


def test_an_agent_may_nothing_that_the_contract_does_not_grant_to_agents(matrix: Matrix) -> None:
    native = matrix.plane.spawn(title="agent").partition(":")[2]
    agent = matrix.plane.caller((matrix.plane.data_dir / "agents" / native / "mcp-token").read_text().strip())
    assert agent.get("/api/me").status_code == 200
    denied = [one for one in matrix.endpoints if not one.open_to_all and not one.described["x-agents"]]
    assert len(denied) > 20
    for endpoint in denied:
        assert endpoint.ask(agent)[0] == 403, str(endpoint)


def test_another_workspace_sees_nothing(matrix: Matrix) -> None:
    stranger = matrix.callers[Role.ADMIN, "foreign"]
    for path in ("sessions", "tree", "approvals"):
        assert stranger.get(f"/api/mission-control/{path}").json()["items"] == []
    assert stranger.get("/agents").json()["items"] == []
    assert {one["workspaceId"] for one in stranger.get("/api/tokens").json()["items"]} == {FOREIGN}
    assert matrix.callers[Role.OBSERVER, "foreign"].get("/api/tokens").status_code == 403
    rows = stranger.get("/api/mission-control/audit").json()["items"]
    assert {row["userId"] for row in rows} <= {f"foreign-{role.value}" for role in Role}


def test_the_description_covers_every_route(matrix: Matrix) -> None:
    found = matrix.plane.admin.get("/api/openapi.json").json()
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


def test_an_agents_token_works_for_its_own_subtree_while_it_lives(matrix: Matrix) -> None:
    plane = matrix.plane
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
    assert f"agent:{native}" in {row["userId"] for row in refused}
    killed = plane.admin.post(f"/api/mission-control/sessions/{own}/kill", json={"reason": "test"})
    assert killed.status_code == 200
    began = time.monotonic()
    wait_for(lambda: agent.get("/api/me").status_code == 401, "the agent's token to end")
    assert time.monotonic() - began < 10
    assert plane.until(f"internal:{child_id}", status="killed")
    plane.admin.post(f"/api/mission-control/sessions/{other}/kill", json={"reason": "test"})


def test_every_operation_has_a_route() -> None:
    assert {route.operation for route in ROUTES} - {None} == set(Operation) - {Operation.HEALTH_DETAIL}


@pytest.mark.timeout(400)
def test_every_combination(matrix: Matrix, capsys: pytest.CaptureFixture[str]) -> None:
    """Who is refused changes nothing and, if known, leaves a row; who may is answered as the contract says."""
    told: list[str] = []
    counts: dict[str, int] = {}
    before = matrix.settle()

    def fault(endpoint: Endpoint, role: Role, kind: str, what: str) -> None:
        told.append(f"{endpoint} as {role.value} with a {kind} token: {what}")

    refusals_first = sorted(TOKENS, key=lambda kind: kind == "valid")
    for kind in refusals_first:
        for endpoint in matrix.endpoints:
            for role in Role:
                last = matrix.last_row()
                status, body = endpoint.ask(matrix.callers[role, kind])
                # Of this caller alone: an earlier kill-all may write its outcome meanwhile.
                new = [row for row in matrix.audit(last) if row["user_id"] == f"{kind}-{role.value}"]
                low = not endpoint.open_to_all and role.rank < endpoint.role.rank
                counts[kind] = counts.get(kind, 0) + 1
                if status not in endpoint.documented:
                    fault(endpoint, role, kind, f"{status} is not documented")
                if status >= 400 and set(body["error"]) != {"code", "message", "details"}:
                    fault(endpoint, role, kind, f"an error of another shape: {body}")
                if endpoint.open_to_all:
                    if status != endpoint.success:
                        fault(endpoint, role, kind, f"{status} though it is open to all")
                elif kind in NOBODY:
                    if status != 401 or new:
                        fault(endpoint, role, kind, f"{status} instead of 401, rows {new}")
                elif low:
                    wanted = (endpoint.described["x-action"], "refused", f"{kind}-{role.value}")
                    if status != 403 or [(row["action"], row["outcome"], row["user_id"]) for row in new] != [wanted]:
                        fault(endpoint, role, kind, f"{status} instead of 403, rows {new}")
                elif status in (401, 403) and not (kind == "foreign" and status == 403):
                    fault(endpoint, role, kind, f"{status}: {body}")
                elif kind == "foreign" and "{user}" in endpoint.path:
                    pass  # a name means somebody in each workspace; that the record stays as it was is looked at below
                elif kind == "foreign" and "{" in endpoint.path and 404 in endpoint.documented and status != 404:
                    fault(endpoint, role, kind, f"{status} instead of 404: {body}")
                elif kind == "foreign" and endpoint.method != "GET" and "{" in endpoint.path and status < 400:
                    fault(endpoint, role, kind, f"let in: {status} {body}")
            if kind != "valid" and (after := matrix.record()) != before:
                changed = sorted(name for name in after if after[name] != before.get(name))
                told.append(f"{endpoint} with a {kind} token: the record changed: {changed}")
                before = matrix.settle()
    assert not told, "\n".join(told)
    assert counts == dict.fromkeys(TOKENS, len(matrix.endpoints) * len(Role))
    total = sum(counts.values())
    assert total >= 45 * 18
    with capsys.disabled():
        sys.stdout.write(
            f"\nmatrix: {len(matrix.endpoints)} endpoints × {len(Role)} roles × {len(TOKENS)} tokens = {total}\n"
        )
