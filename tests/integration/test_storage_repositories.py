"""What is stored comes back as it was, in pages and as a tree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.errors import BadInput, Conflict, NotFound, Unavailable
from mission_control_desktop.domain.mission_control import TreeNode
from mission_control_desktop.domain.people import Role, TokenInfo
from mission_control_desktop.domain.profiles import LaunchProfile, view
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import (
    Capabilities,
    Delivery,
    Evidence,
    Freshness,
    PauseKind,
    SessionStatus,
    TaskSource,
    WaitingFor,
)
from mission_control_desktop.record.ops import PutApproval, PutMessage, PutReceipt, PutSession, RecordOp
from mission_control_desktop.storage import Database, access
from mission_control_desktop.storage.configs import StoredProviderConfig
from support.records import START, append, approval, fresh_database, message, receipt, recording, session


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = fresh_database(tmp_path)
    yield opened
    await opened.close()


async def stored(database: Database, *ops: RecordOp) -> None:
    async with recording(database) as recorder:
        await recorder.provider_record("internal").apply("s", ops, durable=True)


FULL = session(
    "full",
    SessionStatus.WAITING,
    parent_session_id="internal:p",
    mission_id="mission",
    task_id="task",
    task_source=TaskSource.MOSAIC_QUEUE,
    agent_type="coder",
    title="Ünïcode 100%_\\",
    started_at=START,
    completed_at=START + timedelta(microseconds=1),
    error="why",
    run_id="run",
    waiting_for=WaitingFor.APPROVAL,
    usage={"tokens": 1},
    metadata={"deep": {"er": [1, None, "ü"]}},
    capabilities=Capabilities(
        inject=(Delivery.STEER, Delivery.QUEUE), pause=PauseKind.SUSPEND, kill=True, reasons={"terminate": "no"}
    ),
    evidence=Evidence(last_event_at=START, source="stdout", freshness=Freshness.STALE),
)


async def test_a_session_comes_back_whole(database: Database) -> None:
    await stored(database, PutSession(session=FULL))
    assert await database.sessions.get("internal:full") == FULL
    assert await database.sessions.get("internal:other") is None


async def test_sessions_are_listed_newest_first_filtered_and_paged(database: Database) -> None:
    many = [
        session(
            f"s{n}",
            SessionStatus.FAILED if n % 4 == 0 else SessionStatus.RUNNING,
            spawned_at=START + timedelta(seconds=n // 2),
            title=f"Task {n}",
        )
        for n in range(25)
    ]
    await stored(database, PutSession(session=FULL), *(PutSession(session=one) for one in many))

    async def ids(limit: int = 7, **filters: object) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            page = await database.sessions.page(limit=limit, cursor=cursor, **filters)  # type: ignore[arg-type]
            found.extend(one.session_id for one in page.items)
            cursor = page.next_cursor
            if cursor is None:
                return found

    everything = await ids()
    assert len(everything) == len(set(everything)) == 26
    assert everything == await ids(limit=500)
    assert everything[0] == "internal:s24"
    assert len(await ids(status=SessionStatus.FAILED)) == 7
    assert await ids(provider="nobody") == []
    for words in ("ÜNÏCODE", "100%", "%_\\", "MISSION", "Coder", "task", "internal:full"):
        assert "internal:full" in await ids(q=words), words
    assert await ids(q="task 7") == ["internal:s7"]
    assert await ids(q="_ask") == []
    for bad in ({"limit": 0}, {"limit": 501}, {"cursor": "x"}, {"cursor": "W10"}, {"cursor": "é"}):
        with pytest.raises(BadInput):
            await database.sessions.page(**bad)


def _shape(nodes: tuple[TreeNode, ...]) -> list[object]:
    return [[node.session.session_id.removeprefix("internal:"), *_shape(node.children)] for node in nodes]


async def test_the_tree_survives_missing_parents_and_circles(database: Database) -> None:
    def child(name: str, parent: str | None, second: int, status: SessionStatus = SessionStatus.RUNNING) -> PutSession:
        return PutSession(
            session=session(
                name,
                status,
                parent_session_id=parent and f"internal:{parent}",
                spawned_at=START + timedelta(seconds=second),
            )
        )

    await stored(
        database,
        child("leaf", "mid", 0),
        child("root", None, 1, SessionStatus.COMPLETED),
        child("mid", "root", 2, SessionStatus.FAILED),
        child("orphan", "gone", 3),
        child("x", "y", 4),
        child("y", "x", 5),
        child("below", "y", 6),
        child("self", "self", 7),
        child("done", None, 8, SessionStatus.COMPLETED),
    )
    whole = [["root", ["mid", ["leaf"]]], ["orphan"], ["x", ["y", ["below"]]], ["self"], ["done"]]
    assert _shape(await database.sessions.tree()) == whole
    assert _shape(await database.sessions.tree(finals=0)) == whole[:-1], "ancestors of the living are shown"
    assert [one.session_id for one in await database.sessions.children("internal:root")] == ["internal:mid"]
    below = [one.session_id for one in await database.sessions.descendants("internal:root")]
    assert below == ["internal:mid", "internal:leaf"]
    assert len(await database.sessions.descendants("internal:x")) == 2


async def test_messages_are_paged_by_their_place(database: Database) -> None:
    await stored(
        database,
        PutSession(session=session()),
        *(PutMessage(message=message(f"m{n}", f"{n}")) for n in range(10)),
        PutMessage(message=message("m3", "changed")),
        append("m9", 1, "!"),
    )

    async def page(**place: int) -> tuple[list[str], str | None]:
        found = await database.messages.page(
            "internal:s", limit=4, before=place.get("before"), after=place.get("after")
        )
        return [one.content for one in found.items], found.next_cursor

    assert await page() == (["6", "7", "8", "9!"], "8")
    assert await page(before=8) == (["2", "changed", "4", "5"], "4")
    assert await page(before=4) == (["0", "1"], None)
    assert await page(after=0) == (["0", "1", "2", "changed"], "5")
    assert await page(after=5) == (["4", "5", "6", "7"], "9")
    assert await page(after=9) == (["8", "9!"], None)
    assert await page(after=3, before=6) == (["2", "changed"], None)
    assert await page(after=99) == ([], None)
    assert (await database.messages.get("internal:s", "m9")).content == "9!"  # type: ignore[union-attr]
    with pytest.raises(NotFound):
        await database.messages.page("internal:nobody")
    with pytest.raises(BadInput):
        await database.messages.page("internal:s", before=2**70)


async def test_one_message_id_may_occur_in_two_sessions(database: Database) -> None:
    await stored(
        database,
        *(PutSession(session=session(name)) for name in "ab"),
        *(PutMessage(message=message("m", name, of=name)) for name in "ab"),
        append("m", 1, "+", of="b"),
    )
    for name, content in (("a", "a"), ("b", "b+")):
        [one] = (await database.messages.page(f"internal:{name}")).items
        assert one.content == content


async def test_approvals_and_receipts(database: Database) -> None:
    asked = [msgspec.structs.replace(approval(f"p{n}"), created_at=START + timedelta(seconds=n)) for n in range(5)]
    asked[2] = msgspec.structs.replace(
        asked[2], state=ApprovalState.ANSWERED, answer="yes", answered_by="ada", detail={"command": "rm"}
    )
    await stored(
        database,
        *(PutApproval(approval=one) for one in asked),
        PutReceipt(receipt=msgspec.structs.replace(receipt("r1", ReceiptState.QUEUED), position=2, detail="soon")),
        PutReceipt(receipt=receipt("r2")),
        PutReceipt(receipt=receipt("r1", ReceiptState.DELIVERED)),
    )
    first = await database.approvals.page(limit=3)
    rest = await database.approvals.page(limit=3, cursor=first.next_cursor)
    assert [*first.items, *rest.items] == asked
    newest = await database.approvals.page(limit=3, newest_first=True)
    before = await database.approvals.page(limit=3, cursor=newest.next_cursor, newest_first=True)
    assert [*newest.items, *before.items] == asked[::-1]
    assert before.next_cursor is None
    assert len((await database.approvals.page(state=ApprovalState.OPEN)).items) == 4
    assert await database.approvals.get("p2") == asked[2]
    assert await database.receipts.get("r1") == receipt("r1", ReceiptState.DELIVERED)
    assert [one.injection_id for one in await database.receipts.of_session("internal:s")] == ["r1", "r2"]


async def test_tokens_are_found_by_their_hash_alone(database: Database) -> None:
    token = TokenInfo(id="t", user_id="ada", role=Role.OPERATOR, workspace_id="w", created_at=START, expires_at=START)
    await database.tokens.add(token, token_hash="abc")
    assert await database.tokens.by_hash("abc") == token
    assert await database.tokens.by_hash("t") is None
    await database.tokens.used("t", at=START)
    await database.tokens.revoke("t", at=START)
    await database.tokens.revoke("t", at=START + timedelta(days=1))
    expected = msgspec.structs.replace(token, last_used_at=START, revoked_at=START)
    assert await database.tokens.get("t") == expected
    assert await database.tokens.page("w") == [expected]
    assert await database.tokens.page("other") == []


async def test_an_idempotency_key_is_taken_once(database: Database) -> None:
    keys = database.idempotency
    taken = await asyncio.gather(*(keys.reserve("ada", "k", "hash", at=START) for _ in range(10)))
    assert taken.count(None) == 1
    running = next(one for one in taken if one is not None)
    assert (running.fingerprint, running.status) == ("hash", None)
    assert await keys.reserve("bob", "k", "other", at=START) is None
    await keys.complete("ada", "k", status=201, body=b"{}")
    again = await keys.reserve("ada", "k", "hash", at=START)
    assert again is not None
    assert (again.status, again.body) == (201, b"{}")
    await keys.release("bob", "k")
    assert await keys.reserve("bob", "k", "third", at=START) is None
    await keys.purge(before=START + timedelta(seconds=1))
    assert await keys.reserve("ada", "k", "new", at=START) is None


async def test_profiles_and_providers(database: Database) -> None:
    profile = LaunchProfile(name="a", command=("x", "--y"), env={"KEY": "secret"}, cwd="/tmp")
    await database.profiles.put(msgspec.structs.replace(profile, title="old"))
    await database.profiles.put(profile)
    assert await database.profiles.all() == [view(profile)]
    assert await database.profiles.get("a") == profile
    assert await database.profiles.delete("a")
    assert not await database.profiles.delete("a")
    assert await database.profiles.get("a") is None

    config = StoredProviderConfig(
        id="1",
        workspace_id="w",
        name="claw",
        provider="openclaw",
        gateway_url="ws://localhost",
        created_at=START,
        updated_at=START,
    )
    other = msgspec.structs.replace(config, id="2", name="second")
    config = await database.provider_configs.add(config, b"token")
    assert database.sealer.open(config.credentials or b"", place="agent_provider_configs/1/credentials") == b"token"
    assert await database.provider_configs.add(other) == other
    with pytest.raises(Conflict):
        await database.provider_configs.add(msgspec.structs.replace(config, id="3"))
    with pytest.raises(Conflict):
        await database.provider_configs.update(msgspec.structs.replace(other, name="claw"), credentials=None)
    changed = msgspec.structs.replace(config, is_active=False)
    assert await database.provider_configs.update(changed) == changed
    assert await database.provider_configs.all("w") == [changed, other]
    cleared = await database.provider_configs.update(changed, credentials=None)
    assert cleared == msgspec.structs.replace(changed, credentials=None)
    assert await database.provider_configs.update(msgspec.structs.replace(changed, id="3")) is None
    assert await database.provider_configs.get("else", "1") is None
    assert await database.provider_configs.delete("w", "1")
    assert not await database.provider_configs.delete("w", "1")


async def test_a_crowd_is_refused_and_a_closed_database_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "MAX_WAITING", 5)
    results = await asyncio.gather(*(database.sessions.get("x") for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(one, Unavailable) for one in results) == 3
    await database.close()
    with pytest.raises(Unavailable):
        await database.sessions.get("x")
