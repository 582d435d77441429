"""`Idempotency-Key` on every POST of the route table: one act, one answer, for whoever sent it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from mission_control_desktop.control.policy import RULES
from mission_control_desktop.server.table import ROUTES, Route
from support.served import Served, served, wait_for

API = "/api/mission-control"


class Stage:
    """A control plane with two admins, and sessions of the scripted agent to act on."""

    def __init__(self, plane: Served) -> None:
        self.plane = plane
        self.ann = plane.admin
        self.bob = plane.caller(plane.token("admin", user="bob")["token"])
        self.me = str(self.ann.get("/api/me").json()["userId"])

    def make(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.ann.post(path, json=body)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def busy(self, prompt: str = "[hang]") -> str:
        session_id = self.plane.spawn(prompt)
        self.plane.until(session_id, status="running")
        return session_id

    def idle(self) -> str:
        session_id = self.plane.spawn()
        self.plane.until(session_id, waitingFor="operator")
        return session_id

    def act(self, session_id: str, verb: str, **body: Any) -> None:
        self.make(f"{API}/sessions/{quote(session_id, safe='')}/{verb}", body)

    def kill_all(self, **more: Any) -> str:
        self.busy()
        body = {"scope": "internal", "confirm": "KILL ALL", "reason": "before", **more}
        return str(self.make(f"{API}/kill-all", body)["killId"])

    def until_kill(self, kill_id: str, state: str) -> str:
        wait_for(lambda: self.ann.get(f"{API}/kill-all/{kill_id}").json()["state"] == state, f"{kill_id}: {state}")
        return kill_id

    def question(self) -> str:
        session_id = self.plane.spawn("[permission]")

        def asked() -> str | None:
            found = self.ann.get(f"{API}/approvals").json()["items"]
            return next((one["approvalId"] for one in found if one["sessionId"] == session_id), None)

        return wait_for(asked, "the question")

    def queued(self) -> tuple[str, str]:
        session_id = self.busy()
        path = f"{API}/sessions/{quote(session_id, safe='')}/inject"
        return session_id, str(self.make(path, {"content": "later", "delivery": "queue"})["injectionId"])

    def provider(self, name: str) -> str:
        return str(self.make("/api/agent-providers", {**PROVIDER, "name": name})["id"])


@dataclass(frozen=True)
class Case:
    """What is sent: the path's parameters, from what is made for it, and two bodies that are not the same; `other`
    None: there is one body only. `status`: what it is answered with, where that is not what the route promises."""

    body: dict[str, Any]
    other: dict[str, Any] | None = None
    target: Callable[[Stage], dict[str, str]] = lambda stage: {}
    status: int | None = None


def paused(stage: Stage) -> dict[str, str]:
    session_id = stage.busy()
    stage.act(session_id, "pause")
    return {"id": session_id}


def running(stage: Stage) -> dict[str, str]:
    return {"id": stage.busy()}


ONE, TWO = {"reason": "one"}, {"reason": "two"}
PROVIDER = {"name": "lab", "provider": "orchestrator", "gatewayUrl": "http://127.0.0.1:9", "isActive": False}
CASES: dict[str, Case] = {
    "/api/tokens": Case({"user": "kim", "role": "observer"}, {"user": "kim", "role": "operator"}),
    "/api/keys/rotate": Case({}),
    "/api/agent-providers": Case(PROVIDER, {**PROVIDER, "name": "other"}),
    "/api/agent-providers/{id}/check": Case({}, target=lambda stage: {"id": stage.provider("checked")}),
    f"{API}/sessions": Case({"profile": "double", "title": "one"}, {"profile": "double", "title": "two"}),
    f"{API}/approvals/{{id}}": Case(
        {"optionId": "allow"}, {"optionId": "reject"}, target=lambda stage: {"id": stage.question()}
    ),
    f"{API}/kill-all/{{killId}}/undo": Case(
        {}, target=lambda stage: {"killId": stage.until_kill(stage.kill_all(undoSeconds=30), "frozen")}
    ),
    f"{API}/kill-all/{{killId}}/close": Case(
        {}, target=lambda stage: {"killId": stage.until_kill(stage.kill_all(watchSeconds=300), "done")}
    ),
    "/agents/spawn": Case({"profile": "double", "title": "one"}, {"profile": "double", "title": "two"}),
    f"{API}/kill-all": Case(
        {"scope": "internal", "confirm": "KILL ALL", "reason": "one", "watchSeconds": 0},
        {"scope": "internal", "confirm": "KILL ALL", "reason": "two", "watchSeconds": 0},
        target=lambda stage: {"nothing": stage.busy()},
    ),
    "/agents/kill-all": Case(ONE, TWO),
    f"{API}/sessions/{{id}}/receipts/{{injectionId}}/withdraw": Case(
        {}, {"expectedRunId": "x"}, target=lambda stage: dict(zip(("id", "injectionId"), stage.queued(), strict=True))
    ),
    f"{API}/sessions/{{id}}/receipts/{{injectionId}}/edit": Case(
        {"content": "one", "was": "later"},
        {"content": "two", "was": "later"},
        target=lambda stage: dict(zip(("id", "injectionId"), stage.queued(), strict=True)),
    ),
    f"{API}/sessions/{{id}}/receipts/{{injectionId}}/move": Case(
        {"position": 1},
        {"position": 2},
        target=lambda stage: dict(zip(("id", "injectionId"), stage.queued(), strict=True)),
    ),
}
for _verb in ("hold-commands", "release-commands"):  # Agents of this computer are paused instead.
    CASES[f"{API}/sessions/{{id}}/{_verb}"] = Case(ONE, TWO, target=running, status=501)
for _base in (f"{API}/sessions/{{id}}", "/agents/{id}"):
    CASES[f"{_base}/inject"] = Case({"content": "one"}, {"content": "two"}, target=running)
    CASES[f"{_base}/pause"] = Case(ONE, TWO, target=running)
    CASES[f"{_base}/resume"] = Case(ONE, TWO, target=paused)
    CASES[f"{_base}/cancel"] = Case(ONE, TWO, target=lambda stage: {"id": stage.busy("[words 900 20]")})
    CASES[f"{_base}/terminate"] = Case(ONE, TWO, target=lambda stage: {"id": stage.idle()})
    CASES[f"{_base}/kill"] = Case(ONE, TWO, target=running)

POSTS = sorted((one for one in ROUTES if one.method == "POST"), key=lambda one: one.path.endswith("/agents/kill-all"))


def test_every_post_is_tried() -> None:
    assert {route.path for route in POSTS} == set(CASES), "a new POST needs an entry in CASES"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with served(tmp_path_factory.mktemp("posts") / "data") as plane:
        plane.double()
        yield Stage(plane)


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.path)
def test_a_key_means_one_act_and_one_answer(stage: Stage, route: Route) -> None:
    case = CASES[route.path]
    path = route.path
    for name, value in case.target(stage).items():
        native = path.startswith("/agents") and name == "id"
        path = path.replace(f"{{{name}}}", quote(value.partition(":")[2] if native else value, safe=""))
    key = {"Idempotency-Key": f"key of {route.path}".replace(" ", "-")}
    assert route.operation is not None
    rule = RULES[route.operation]
    known = {row["id"] for row in stage.plane.audit()}

    def post(client: httpx.Client, where: str, body: dict[str, Any]) -> httpx.Response:
        return client.post(where, json=body, headers=key)

    def attempts(user: str) -> list[str]:
        """What was begun, or failed before it began."""
        rows = [row for row in stage.plane.audit(user=user) if row["id"] not in known]
        return [row["action"] for row in rows if "intentId" not in row["metadata"]]

    with ThreadPoolExecutor(3) as pool:
        first, *rest = pool.map(lambda _: post(stage.ann, path, case.body), range(3))
    assert first.status_code == (case.status or route.status), first.text
    for again in (*rest, post(stage.ann, path, case.body)):
        assert (again.status_code, again.content) == (first.status_code, first.content)
    wanted = [rule.action.value] if rule.intervention and rule.action is not None else []
    assert attempts(stage.me) == wanted

    elsewhere = path if case.other is not None else "/api/agent-providers/nothing/check"
    refused = post(stage.ann, elsewhere, case.other or {})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_mismatch")
    assert attempts(stage.me) == wanted, "a request that was refused acted"

    theirs = post(stage.bob, path, case.body)
    assert theirs.status_code in {route.status, *route.errors}, theirs.text
    assert theirs.content != first.content or route.status != 201
    assert theirs.status_code < 400 or theirs.json()["error"]["code"] != "idempotency_mismatch"
    assert attempts("bob") == wanted
    assert post(stage.bob, path, case.body).content == theirs.content
    assert attempts("bob") == wanted
    assert post(stage.ann, path, case.body).content == first.content

    if route.secret:
        for answer in (first, theirs):
            secret = answer.json()["token"].encode()
            for file in stage.plane.data_dir.rglob("*"):
                assert not file.is_file() or secret not in file.read_bytes(), file
            assert secret.decode() not in stage.plane.log
