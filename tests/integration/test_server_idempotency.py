"""Keyed requests over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.served import Served, served

SESSIONS = "/api/mission-control/sessions"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("keys") / "data") as made:
        made.double()
        yield made


def test_the_same_spawn_sent_many_times_starts_one_agent(plane: Served) -> None:
    key = {"Idempotency-Key": "spawn-1"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: plane.admin.post(SESSIONS, json={"profile": "double", "title": "one"}, headers=key), range(8)
            )
        )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len(plane.admin.get(SESSIONS, params={"q": "one"}).json()["items"]) == 1
    # White space and the order of fields do not make it another request; a value does.
    again = plane.admin.post(SESSIONS, content=b'{ "title": "one",  "profile": "double" }', headers=key)
    assert again.content == answers[0].content
    other = plane.admin.post(SESSIONS, json={"profile": "double", "title": "two"}, headers=key)
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "idempotency_mismatch"
    elsewhere = plane.admin.post("/agents/spawn", json={"profile": "double", "title": "one"}, headers=key)
    assert elsewhere.status_code == 409
    rows = [row for row in plane.audit(action="spawn") if row["outcome"] == "done"]
    assert len(rows) == 1


def test_keys_belong_to_their_sender(plane: Served) -> None:
    key = {"Idempotency-Key": "shared"}
    operator = plane.caller(plane.token("operator")["token"])
    mine = plane.admin.post(SESSIONS, json={"profile": "double"}, headers=key).json()["sessionId"]
    theirs = operator.post(SESSIONS, json={"profile": "double"}, headers=key).json()["sessionId"]
    assert mine != theirs


def test_answers_outlive_a_restart_and_a_message_is_sent_once(plane: Served) -> None:
    key = {"Idempotency-Key": "inject-1"}
    session_id = plane.spawn()
    plane.until(session_id, waitingFor="operator")
    first = plane.admin.post(f"{SESSIONS}/{session_id}/inject", json={"content": "[say once]"}, headers=key)
    assert first.status_code == 202, first.text
    plane.process.kill()
    plane.start()
    again = plane.admin.post(f"{SESSIONS}/{session_id}/inject", json={"content": "[say once]"}, headers=key)
    assert (again.status_code, again.content) == (202, first.content)
    plane.until(session_id, waitingFor="operator")
    sent = [one for one in plane.messages(session_id) if one["role"] == "operator"]
    assert len(sent) == 1
    receipts = plane.admin.get(f"{SESSIONS}/{session_id}/receipts").json()["items"]
    assert [receipt["injectionId"] for receipt in receipts] == [first.json()["injectionId"]]


def test_a_token_is_answered_again_but_its_text_is_on_no_disk(plane: Served) -> None:
    key = {"Idempotency-Key": "token-1"}
    body = {"user": "bob", "role": "observer"}
    first = plane.admin.post("/api/tokens", json=body, headers=key)
    assert first.status_code == 201
    assert plane.admin.post("/api/tokens", json=body, headers=key).content == first.content
    token = first.json()["token"].encode()
    for path in plane.data_dir.rglob("*"):
        assert not path.is_file() or token not in path.read_bytes(), path
    plane.process.stop()
    plane.start()
    late = plane.admin.post("/api/tokens", json=body, headers=key)
    assert late.status_code == 409
    assert plane.caller(first.json()["token"]).get("/api/me").json()["userId"] == "bob"
