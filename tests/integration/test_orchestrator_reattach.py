"""A control plane that starts again: it goes on from snapshots where they fit, and claims nothing before it knows."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mission_control_desktop.domain.sessions import AgentSession, Freshness, SessionStatus
from mission_control_desktop.orchestrator.core.session import SessionCore
from mission_control_desktop.orchestrator.keeper.client import read_identity, read_journal
from support.orchestration import House, eventually, house


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path / "data") as built:
        yield built


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the entries that are folded."""
    numbers: list[int] = []
    feed = SessionCore.feed

    def counting(self: SessionCore, entry: object) -> object:
        numbers.append(entry.n)  # type: ignore[attr-defined]
        return feed(self, entry)  # type: ignore[arg-type]

    monkeypatch.setattr(SessionCore, "feed", counting)
    return numbers


async def snapshot_of(home: House, native: str) -> Path:
    """Wait until there is one that lacks nothing."""
    path = home.directory(native) / "snapshot"

    def whole() -> bool:
        if not path.exists():
            return False
        head = json.loads(path.read_bytes().partition(b"\n")[0])
        return bool(head["n"] == list(read_journal(home.directory(native)))[-1].n)

    async def probe() -> bool:
        return await asyncio.to_thread(whole)

    await eventually(probe, "a snapshot")
    return path


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def of_another_version(path: Path) -> None:
    head, _, state = path.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps(json.loads(head) | {"fingerprint": "other"}).encode() + b"\n" + state)


def ahead(path: Path) -> None:
    head, _, state = path.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps(json.loads(head) | {"needs": 10**6}).encode() + b"\n" + state)


@pytest.mark.parametrize("spoil", [None, torn, of_another_version, ahead])
async def test_goes_on_from_a_snapshot_or_from_the_first_entry(
    home: House, fed: list[int], spoil: Callable[[Path], None] | None
) -> None:
    native = await home.spawn("[words 300 1][tool][permission][say the end]")
    approval = await home.open_approval(native)
    await home.orchestrator.inject(native, injection_id="queued", content="[say queued]", operator_id="ann")
    path = await snapshot_of(home, native)
    await home.stop()
    if spoil is not None:
        spoil(path)
    fed.clear()
    await home.start()
    await home.orchestrator.answer(native, approval.approval_id, "allow", user_id="ann")
    await home.until_said(native, "queued")
    await home.until_idle(native)
    assert (1 in fed) is (spoil is not None)
    assert await home.said(native) == home.journal_text(native)
    receipt = await home.orchestrator.inject(native, injection_id="queued", content="again", operator_id="ann")
    assert receipt.state.value == "answered"
    await home.orchestrator.kill(native)
    await home.gone(native)
    assert not path.exists()


async def test_until_it_is_attached_a_session_is_unreachable(home: House) -> None:
    native = await home.spawn("[say first][permission]")
    before = await home.until(native, lambda session: session.waiting_for is not None)
    await snapshot_of(home, native)
    identity = read_identity(home.directory(native))
    assert identity is not None
    await home.stop()
    os.kill(identity.pid, signal.SIGSTOP)
    try:
        await home.start()
        shown = await home.session(native)
        assert shown.evidence.freshness is Freshness.UNREACHABLE
        assert (shown.status, shown.waiting_for) == (before.status, before.waiting_for)
        assert shown.evidence.last_event_at == before.evidence.last_event_at
        [told] = await home.orchestrator.list_sessions()
        assert told.evidence.freshness is Freshness.UNREACHABLE
        assert told.status is before.status
    finally:
        os.kill(identity.pid, signal.SIGCONT)

    def live(session: AgentSession) -> bool:
        return session.evidence.freshness is Freshness.LIVE

    assert (await home.until(native, live)).waiting_for is before.waiting_for


async def test_what_a_power_cut_took_from_the_journal_stays_on_record(home: House, tmp_path: Path) -> None:
    await home.profile("resumes", "--resume", str(tmp_path))
    native = await home.spawn("[words 20 1][say before the cut]", profile="resumes")
    await home.until_idle(native)
    await home.stop()
    await asyncio.to_thread(home.sweep)
    journal = home.directory(native) / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-8]))
    (home.directory(native) / "snapshot").unlink(missing_ok=True)
    await home.start()
    await home.until(
        native, lambda session: session.status is SessionStatus.WAITING and session.metadata.get("revivals")
    )
    await home.orchestrator.inject(native, injection_id="x", content="[say after the cut]", operator_id="ann")
    said = await home.until_said(native, "after the cut")
    assert "before the cut" in said
    assert "word19 " in said
