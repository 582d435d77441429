"""Messages that wait are changed and moved through the control plane, which dies before they are handed over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.served import Served, served, wait_for

API = "/api/mission-control/sessions"


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "plane") as made:
        made.double()
        yield made


def ask(
    plane: Served, session_id: str, path: str, body: dict[str, Any], *, token: str | None = None
) -> tuple[int, Any]:
    client = plane.admin if token is None else plane.caller(token)
    answer = client.post(f"{API}/{quote(session_id, safe='')}/{path}", json=body)
    return answer.status_code, answer.json()


def said(plane: Served, session_id: str, words: str) -> str:
    status, receipt = ask(plane, session_id, "inject", {"content": words, "delivery": "queue"})
    assert status == 202, receipt
    return str(receipt["injectionId"])


def waiting(plane: Served, session_id: str) -> list[tuple[int, str]]:
    items = plane.admin.get(f"{API}/{quote(session_id, safe='')}/receipts").json()["items"]
    return sorted((one["position"], one["injectionId"]) for one in items if one["state"] == "queued")


def test_what_was_changed_before_a_crash_is_what_is_handed_over_after_it(plane: Served) -> None:
    session_id = plane.spawn("[wait]")
    plane.until(session_id, status="running")
    one, two, three = (said(plane, session_id, words) for words in ("first words", "second words", "third words"))
    path = f"receipts/{three}/edit"
    status, receipt = ask(plane, session_id, path, {"content": "better words", "was": "third words"})
    assert (status, receipt["injectionId"], receipt["position"]) == (200, three, 3)
    assert ask(plane, session_id, f"receipts/{three}/move", {"position": 1})[1]["position"] == 1
    plane.process.kill()
    plane.start()
    plane.until(session_id, status="running")
    assert waiting(plane, session_id) == [(1, three), (2, one), (3, two)]
    # The process that comes after takes changes too, and knows those of before.
    assert ask(plane, session_id, path, {"content": "better words", "was": "third words"})[0] == 200
    assert ask(plane, session_id, path, {"content": "other words", "was": "third words"})[0] == 409
    assert ask(plane, session_id, f"receipts/{two}/move", {"position": 2})[1]["position"] == 2
    plane.process.kill()
    plane.start()
    assert ask(plane, session_id, "cancel", {})[0] == 200

    def heard() -> list[str]:
        spoken = " ".join(m["content"] for m in plane.messages(session_id) if m["role"] == "agent")
        return [part.split(" words")[0].split()[-1] for part in spoken.split("you said: ")[1:]]

    wait_for(lambda: len(heard()) >= 3 and plane.session(session_id)["waitingFor"] == "operator", "all three")
    assert heard() == ["better", "second", "first"]
    operators = {m["metadata"]["injectionId"]: m for m in plane.messages(session_id) if m["role"] == "operator"}
    assert [operators[key]["content"] for key in (one, two, three)] == ["first words", "second words", "better words"]
    assert operators[three]["metadata"]["editedBy"] == plane.admin.get("/api/me").json()["userId"]
    for verb, body in (("edit", {"content": "late", "was": "better words"}), ("move", {"position": 1})):
        status, refused = ask(plane, session_id, f"receipts/{three}/{verb}", body)
        assert (status, refused["error"]["code"]) == (409, "conflict")
        assert "already" in refused["error"]["message"]

    rows = plane.audit(action="edit-message")[::-1]
    assert rows[0]["outcome"] == "intended"
    assert (rows[0]["content"], rows[0]["metadata"]["was"]) == ("better words", "third words")
    assert rows[0]["metadata"]["injectionId"] == three
    assert [row["outcome"] for row in rows] == ["intended", "done"] * 2 + ["intended", "failed"] * 2
    moves = plane.audit(action="move-message")[::-1]
    assert [row["metadata"].get("position") for row in moves if row["outcome"] == "intended"] == [1, 2, 1]
    observer = plane.token("observer")["token"]
    assert ask(plane, session_id, f"receipts/{one}/move", {"position": 1}, token=observer)[0] == 403
