"""The conformance kit itself: a package of others passes it, and each way to break a promise is caught by its check."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import Conflict, NotFound, Unreachable
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.providers import StageName
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, SessionStatus
from mission_control_desktop.providers.conformance import CHECKS, Outcome, Verdict, bench, run_checks, table
from mission_control_desktop.providers.conformance.__main__ import main
from mission_control_desktop.providers.conformance.checks import trouble
from mission_control_desktop.providers.contract import AgentProvider, ProviderRecord
from mission_control_desktop.providers.kinds import AdapterConfig, CheckLog, Keep
from mission_control_desktop.record.ops import AppendText, PutApproval, PutMessage, PutReceipt, PutSession, RecordOp
from mission_control_desktop.storage import SystemClock, Uuid7
from tinyrun.adapter import TinyrunKind, TinyrunProvider
from tinyrun.peer import TinyrunPeer
from tinyrun.runtime import TOKEN

PEER = "tinyrun.peer:TinyrunPeer"
THIRD_PARTY = Path(__file__).parent.parent / "third_party"


def installed(folder: Path) -> Path:
    """The package as its users have it: built into a wheel, and unpacked."""
    built, site = folder / "dist", folder / "site"
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=THIRD_PARTY, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_a_package_of_others_is_found_by_its_entry_point_and_passes(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mission_control_desktop.providers.conformance", "tinyrun", "--peer", PEER],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed(tmp_path))},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = [line.split() for line in ran.stdout.splitlines()]
    told = {line[1]: line[0] for line in lines if len(line) > 1 and line[0] in list(Verdict)}
    assert set(told) == {one.name for one in CHECKS}
    skipped = {name for name, verdict in told.items() if verdict == Verdict.SKIPPED}
    assert skipped == {
        "no-pause-is-said-so",
        "the-way-to-stop-is-tried-without-stopping",
        "a-turn-is-cancelled-and-the-session-goes-on",
        "what-waits-is-changed-and-moved",
    }
    assert "`pause` is suspend" in ran.stdout


def test_what_cannot_be_run_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    peer = ("--peer", PEER)
    assert main(["nobody", *peer, "--only", "is-found-by-its-entry-point"]) == 1
    assert "no installed package brings the kind 'nobody'" in capsys.readouterr().out
    for arguments in (["--peer", "tinyrun.peer:Nobody"], ["--peer", "tinyrun.peer"], [*peer, "--only", "no-such"]):
        assert main(["tinyrun", *arguments]) == 2
        assert capsys.readouterr().err
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(one.promise in listed for one in CHECKS)


# Adapters that break a promise


class Broken(TinyrunProvider):
    """The honest adapter, to be spoilt by a subclass."""


class Loses(Broken):
    """Goes on with what is new after a reconnect."""

    connections = 0

    def _follow_from(self, stored: int) -> int:
        self.connections += 1
        return stored if self.connections == 1 else 1_000_000


class LivesNow(Broken):
    """Never looks back."""

    def _follow_from(self, stored: int) -> int:
        return 1_000_000


class Doubles(Broken):
    """Begins anew after each reconnect, with other ids and without a position."""

    connection = 0

    def _follow_from(self, stored: int) -> int:
        self.connection += 1
        return 0

    async def _apply(self, number: int, ops: list[RecordOp]) -> None:
        await self._on_record.apply("log", [_renamed(op, str(self.connection)) for op in ops])
        self._position = number
        self._moved.set()


def _renamed(op: RecordOp, by: str) -> RecordOp:
    match op:
        case PutMessage(message=message):
            return PutMessage(message=msgspec.structs.replace(message, message_id=message.message_id + by))
        case AppendText():
            return msgspec.structs.replace(op, message_id=op.message_id + by)
    return op


class OtherIds(Broken):
    """Names messages by the process that read them."""

    async def start(self, record: ProviderRecord) -> None:
        self.process = Uuid7().new()
        await super().start(record)

    def _follow_from(self, stored: int) -> int:
        return 0

    async def _apply(self, number: int, ops: list[RecordOp]) -> None:
        await self._on_record.apply("log", [_renamed(op, self.process) for op in ops])
        self._position = number
        self._moved.set()


class LateWords(Broken):
    """Tells a message when it is complete."""

    def _ops(self, event: dict[str, Any]) -> list[RecordOp]:
        if event["kind"] == "text" or (event["kind"] == "message" and not event["complete"]):
            return []
        return super()._ops(event)


class WrongOffsets(Broken):
    def _ops(self, event: dict[str, Any]) -> list[RecordOp]:
        ops = super()._ops(event)
        return [msgspec.structs.replace(op, offset=op.offset + 1) if isinstance(op, AppendText) else op for op in ops]


class TakesAnything(Broken):
    """A message to an unknown session is said to be on its way."""

    async def inject(self, session_id: str, *, injection_id: str, **more: Any) -> Receipt:
        try:
            return await super().inject(session_id, injection_id=injection_id, **more)
        except NotFound:
            at = SystemClock().now()
            own = f"{self.name}:{session_id}"
            return Receipt(injection_id=injection_id, session_id=own, state=ReceiptState.STORED, at=at)


class NewKeys(Broken):
    """Sends under a key of its own each time."""

    async def inject(self, session_id: str, *, injection_id: str, **more: Any) -> Receipt:
        receipt = await super().inject(session_id, injection_id=Uuid7().new(), **more)
        receipt = msgspec.structs.replace(receipt, injection_id=injection_id)
        await self._on_record.apply("log", [PutReceipt(receipt=receipt)], durable=True)
        return receipt


class ClimbsDown(Broken):
    """Puts a receipt back to where it began."""

    async def inject(self, session_id: str, **more: Any) -> Receipt:
        receipt = await super().inject(session_id, **more)
        stored = msgspec.structs.replace(receipt, state=ReceiptState.STORED)
        await self._on_record.apply("log", [PutReceipt(receipt=stored), PutReceipt(receipt=receipt)])
        return receipt


class AnyRun(Broken):
    async def inject(self, session_id: str, *, expected_run_id: str | None = None, **more: Any) -> Receipt:
        return await super().inject(session_id, **more)


class KillsNobody(Broken):
    """Says what was wished for."""

    async def kill(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        session = await self.get_session(session_id)
        assert session is not None
        ended = msgspec.structs.replace(session, status=SessionStatus.KILLED, completed_at=SystemClock().now())
        await self._on_record.apply("log", [PutSession(session=ended)])
        return ended


class KillsAll(Broken):
    async def kill(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        ended = await super().kill(session_id, expected_run_id=expected_run_id)
        for one in await self.list_sessions():
            if not one.status.final:
                await super().kill(one.session_id.partition(":")[2])
        return ended


class RaisesTheDead(Broken):
    """Tells of a session that has ended as running."""

    async def kill(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        ended = await super().kill(session_id, expected_run_id=expected_run_id)
        again = msgspec.structs.replace(ended, status=SessionStatus.RUNNING)
        await self._on_record.apply("log", [PutSession(session=again)])
        return ended


class OnlyTheTop(Broken):
    """Loses the tree."""

    def _session(self, state: dict[str, Any]) -> AgentSession:
        return super()._session({**state, "parent": None})


class PausesNobody(Broken):
    """Says paused, and the agent goes on."""

    async def pause(self, session_id: str, **more: Any) -> AgentSession:
        session = await self.get_session(session_id)
        assert session is not None
        paused = msgspec.structs.replace(session, status=SessionStatus.PAUSED, waiting_for=None)
        await self._on_record.apply("log", [PutSession(session=paused)])
        return paused

    async def resume(self, session_id: str, **more: Any) -> AgentSession:
        session = await self.get_session(session_id)
        assert session is not None
        await self._on_record.apply("log", [PutSession(session=session)])
        return session


class CannotPause(Broken):
    """Declares no pause, with or without a reason, and pauses all the same."""

    reasons: dict[str, str] = {"pause": "It cannot."}  # noqa: RUF012

    def _session(self, state: dict[str, Any]) -> AgentSession:
        session = super()._session(state)
        has = session.capabilities
        lacks = Capabilities(
            inject=has.inject, terminate=has.terminate, kill=has.kill, approvals=has.approvals, reasons=self.reasons
        )
        return msgspec.structs.replace(session, capabilities=lacks)


class CannotSayWhy(CannotPause):
    reasons: dict[str, str] = {}  # noqa: RUF012


class FirstAndLast(Broken):
    """Takes every answer."""

    async def answer(self, session_id: str, approval_id: str, option_id: str, *, user_id: str) -> Approval:
        try:
            return await super().answer(session_id, approval_id, option_id, user_id=user_id)
        except Conflict:
            asked = await self._on_record.approval(approval_id)
            assert asked is not None
            return msgspec.structs.replace(asked, state=ApprovalState.ANSWERED, answer=option_id)


class AsksAgain(Broken):
    """Names a question by the process that heard it."""

    async def start(self, record: ProviderRecord) -> None:
        for session in await record.sessions():
            asked = await record.approval(f"{self.name}:{session.metadata.get('asked')}")
            if asked is not None and asked.state is ApprovalState.OPEN:
                again = msgspec.structs.replace(asked, approval_id=f"{asked.approval_id}-again")
                gone = msgspec.structs.replace(asked, state=ApprovalState.EXPIRED)
                await record.apply("log", [PutApproval(approval=gone), PutApproval(approval=again)], durable=True)
        await super().start(record)

    def _ops(self, event: dict[str, Any]) -> list[RecordOp]:
        if event["kind"] == "question":
            self.asked = event["id"]
        ops = super()._ops(event)
        asked = {"asked": getattr(self, "asked", None)}
        return [
            PutSession(session=msgspec.structs.replace(op.session, metadata=asked))
            if isinstance(op, PutSession)
            else op
            for op in ops
        ]


class Forgets(Broken):
    """Has no answer for what is not there."""

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt:
        raise KeyError(injection_id)


class ChangesNothing(Broken):
    """Takes every change of what waits, and leaves it as it is."""

    def _session(self, state: dict[str, Any]) -> AgentSession:
        session = super()._session(state)
        can = msgspec.structs.replace(session.capabilities, edit_queue=True)
        return msgspec.structs.replace(session, capabilities=can)

    async def edit_message(self, session_id: str, injection_id: str, **more: Any) -> Receipt:
        return await self._as_it_is(injection_id)

    async def move_message(self, session_id: str, injection_id: str, **more: Any) -> Receipt:
        return await self._as_it_is(injection_id)

    async def _as_it_is(self, injection_id: str) -> Receipt:
        found = await self._on_record.receipt(injection_id)
        if found is None:
            raise NotFound("There is no such message.")
        return found


class MakesSessions(Broken):
    """Has every session."""

    async def get_session(self, session_id: str) -> AgentSession | None:
        return await super().get_session(session_id) or self._session(
            (await self._call("begin"))["session"] | {"id": session_id}
        )


class Twice(Broken):
    async def list_sessions(self) -> list[AgentSession]:
        return 2 * await super().list_sessions()


class Waits(Broken):
    """Hopes that the peer comes back."""

    async def list_sessions(self) -> list[AgentSession]:
        while self._line is None:
            await asyncio.sleep(0.05)
        return await super().list_sessions()


class AlwaysWell(Broken):
    def health(self) -> ProviderHealth:
        return ProviderHealth(provider=self.name, state="ok")


class WaitsAtTheStart(Broken):
    async def start(self, record: ProviderRecord) -> None:
        await super().start(record)
        while self._line is None:
            await asyncio.sleep(0.05)


class HangsAtTheEnd(Broken):
    async def close(self) -> None:
        await asyncio.Event().wait()


class EndsAll(Broken):
    """Takes its sessions with it."""

    async def close(self) -> None:
        if self._line is not None:
            for one in await self.list_sessions():
                if not one.status.final:
                    await self.kill(one.session_id.partition(":")[2])
        await super().close()


class Talks(Broken):
    """Logs what it was given."""

    async def start(self, record: ProviderRecord) -> None:
        structlog.get_logger("talks").info("connecting", token=self._credentials.token)
        await super().start(record)


class ConnectsAtOnce(TinyrunKind):
    """Looks whether somebody is there when it is opened."""

    def open(self, config: AdapterConfig, credentials: Credentials, keep: Keep) -> AgentProvider:
        import socket
        from urllib.parse import urlsplit

        address = urlsplit(config.gateway_url)
        try:
            with socket.create_connection((address.hostname, address.port), timeout=1):
                pass
        except OSError:
            raise Unreachable("Nobody is there.") from None
        return super().open(config, credentials, keep)


class ChecksNothing(TinyrunKind):
    async def check(self, config: AdapterConfig, credentials: Credentials, keep: Keep, log: CheckLog) -> None:
        for stage in StageName:
            log.ok(stage, "fine")


class ChecksAloud(TinyrunKind):
    """Repeats the token, in a form that nobody looks for."""

    async def check(self, config: AdapterConfig, credentials: Credentials, keep: Keep, log: CheckLog) -> None:
        await super().check(config, credentials, keep, log)
        structlog.get_logger("check").info("checked", what=f"{config.gateway_url}?token={credentials.token}")


class OpensA(TinyrunKind):
    def __init__(self, provider: type[TinyrunProvider]) -> None:
        self._provider = provider

    def open(self, config: AdapterConfig, credentials: Credentials, keep: Keep) -> AgentProvider:
        return self._provider(config, credentials)


class HastyPeer(TinyrunPeer):
    patience = 2.5


def outcomes_of(kind: TinyrunKind, monkeypatch: pytest.MonkeyPatch, *only: str) -> list[Outcome]:
    monkeypatch.setattr(bench, "installed_adapters", lambda: {"tinyrun": kind})
    monkeypatch.setattr(bench, "BOUND", 1.0)
    monkeypatch.setattr(bench, "CLOSE_BOUND", 1.0)
    monkeypatch.setattr(trouble, "START_TIMEOUT", 0.5)
    monkeypatch.setattr(trouble, "GRACE", 0.5)
    return asyncio.run(run_checks("tinyrun", HastyPeer(), only=only))


@pytest.mark.parametrize(
    ("check", "spoilt", "said"),
    [
        ("a-cut-connection-loses-and-doubles-nothing", Loses, "text was appended"),
        ("what-was-said-unheard-is-read-up", LivesNow, "lost: "),
        ("a-cut-connection-loses-and-doubles-nothing", Doubles, "more than once"),
        ("ids-are-the-same-after-a-restart", OtherIds, "more than once"),
        ("words-come-while-they-are-said", LateWords, "at once"),
        ("words-are-on-record-once-and-in-order", WrongOffsets, ""),
        ("an-unknown-session-is-refused", TakesAnything, "was not refused"),
        ("the-same-key-is-one-message", NewKeys, "the message"),
        ("a-message-arrives-once-and-is-followed", ClimbsDown, "to stored"),
        ("another-run-is-refused", AnyRun, "was not refused"),
        ("a-withdrawn-message-never-arrives", Forgets, "KeyError"),
        ("what-waits-is-changed-and-moved", ChangesNothing, "was not refused"),
        ("a-kill-is-verified", KillsNobody, "still works"),
        ("a-kill-hits-nothing-else", KillsAll, "another session"),
        ("what-has-ended-takes-no-orders", RaisesTheDead, "from killed to running"),
        ("sub-sessions-name-their-parent", OnlyTheTop, "parent"),
        ("a-suspended-agent-says-nothing", PausesNobody, "while it was paused"),
        ("no-pause-is-said-so", CannotPause, "pause was not refused"),
        ("what-is-missing-has-a-reason", CannotSayWhy, "does not say why"),
        ("an-answer-arrives-exactly-once", FirstAndLast, "3 of three answers"),
        ("a-question-outlives-the-control-plane", AsksAgain, "another id"),
        ("an-unknown-session-is-none", MakesSessions, "answered"),
        ("a-new-session-is-listed-and-on-record", Twice, "2 times"),
        ("an-absent-peer-is-said-in-bounded-time", Waits, "did not return within"),
        ("a-peer-that-crashed-is-taken-up-again", AlwaysWell, "the peer is away"),
        ("it-starts-while-the-peer-is-away", WaitsAtTheStart, "start did not return"),
        ("closing-ends-no-session", HangsAtTheEnd, "close did not return"),
        ("closing-ends-no-session", EndsAll, "ended the session's work"),
        ("secrets-are-told-nowhere", Talks, "a secret is told"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_a_broken_promise_is_caught(
    check: str, spoilt: type[Broken], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (outcome,) = outcomes_of(OpensA(spoilt), monkeypatch, check)
    assert outcome.verdict is Verdict.BROKEN, outcome
    assert said in outcome.detail
    assert TOKEN not in table([outcome], title="")


@pytest.mark.parametrize(
    ("check", "kind", "said"),
    [
        ("opens-without-the-peer", ConnectsAtOnce, "Unreachable"),
        ("check-tells-wrong-credentials", ChecksNothing, "do not fail"),
        ("check-tells-a-peer-that-is-away", ChecksNothing, "is ok"),
    ],
)
def test_a_broken_kind_is_caught(
    check: str, kind: Callable[[], TinyrunKind], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (outcome,) = outcomes_of(kind(), monkeypatch, check)
    assert outcome.verdict is Verdict.BROKEN, outcome
    assert said in outcome.detail


def test_what_one_check_saw_counts_for_the_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    check, secrets = outcomes_of(
        ChecksAloud(), monkeypatch, "check-passes-where-all-is-well", "secrets-are-told-nowhere"
    )
    assert check.verdict is Verdict.KEPT
    assert secrets.verdict is Verdict.BROKEN
    assert TOKEN not in secrets.detail


def test_after_a_broken_check_the_next_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("sub-sessions-name-their-parent", "a-kill-is-verified", "words-are-on-record-once-and-in-order")
    found = outcomes_of(OpensA(KillsNobody), monkeypatch, *names)
    assert {one.check.name: one.verdict for one in found} == {
        "sub-sessions-name-their-parent": Verdict.KEPT,
        "words-are-on-record-once-and-in-order": Verdict.KEPT,
        "a-kill-is-verified": Verdict.BROKEN,
    }
