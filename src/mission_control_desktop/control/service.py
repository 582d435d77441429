"""`MissionControlService`: what one caller can see and do, in process.

The server calls it for every request, and a window with `--in-process` holds it directly. Each method asks the policy
first; each intervention leaves its audit rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from mission_control_desktop.control.caller import whole_id
from mission_control_desktop.control.interventions import Attempt, optional_reason, required_reason
from mission_control_desktop.control.limits import barge_in_allowed
from mission_control_desktop.control.people import PeopleService
from mission_control_desktop.control.policy import RULES, Operation
from mission_control_desktop.control.provider_admin import ProviderAdmin
from mission_control_desktop.control.upkeep import Upkeep
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.audit import AuditAction
from mission_control_desktop.domain.errors import (
    BadInput,
    Conflict,
    NotFound,
    StopUnderWay,
    Unsupported,
)
from mission_control_desktop.domain.kill import (
    CONFIRM_WORDS,
    MAX_UNDO_SECONDS,
    MAX_WATCH_SECONDS,
    SCOPE_ALL,
    WATCH_SECONDS,
    KillAll,
)
from mission_control_desktop.domain.limits import MAX_INJECT_BYTES, MAX_INJECT_CHARS
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import (
    INTERNAL_PROVIDER,
    AgentSession,
    Delivery,
    global_id,
    known_as,
    split_id,
)
from mission_control_desktop.providers.contract import AgentProvider, CancelsTurns, EditsQueue, HoldsCommands

T = TypeVar("T")

ACT_TIMEOUT = 30.0
KILL_TIMEOUT = 60.0
SPAWN_TIMEOUT = 60.0
WAS_CHARS = 500
"""How much of the words that an edit replaced stands in its audit row: the message's own row has all of them."""
NOT_RECORDED = "auditPending"
"""In the metadata of a killed session: its audit rows could not be written yet."""


class MissionControlService(PeopleService, ProviderAdmin, Upkeep):
    """Implements `domain.mission_control.MissionControl` for one principal."""

    async def spawn(
        self,
        request: SpawnRequest,
        *,
        provider: str = INTERNAL_PROVIDER,
        idempotency_key: str | None = None,
        seed: str | None = None,
    ) -> AgentSession:
        """`seed` is an idempotency key's (`Idempotency.run`): with the same one it is the same session."""
        if idempotency_key is not None:
            return await self._keyed(
                idempotency_key,
                ("spawn", provider, request),
                AgentSession,
                lambda seed: self.spawn(request, provider=provider, seed=seed),
                repeatable=provider == INTERNAL_PROVIDER,
            )
        chosen = request.session_id is not None
        native_id = request.session_id or seed or self._plane.ids.new()
        parent = request.parent_agent_id
        owner = provider
        if parent is not None:
            owner, native = split_id(parent)
            request = msgspec.structs.replace(request, parent_agent_id=native)
        elif self._agent is not None:
            request = msgspec.structs.replace(request, parent_agent_id=self._agent)
        request = msgspec.structs.replace(request, session_id=native_id)
        attempt = Attempt(
            who=self._who,
            action=AuditAction.SPAWN,
            provider=provider,
            content=request.prompt,
            metadata={"wantedId": native_id}
            | {
                key: value
                for key in ("profile", "cwd", "title", "parent_agent_id", "mission_id", "task_id", "agent_type")
                if (value := getattr(request, key)) is not None
            },
        )

        async def check_() -> None:
            if owner != provider:
                raise BadInput("parentAgentId", f"The parent belongs to {owner!r}, not to {provider!r}.")
            below = request.parent_agent_id
            await self._decide(Operation.SPAWN, None if below is None else global_id(provider, below))
            if chosen and self._agent is not None:
                raise BadInput("sessionId", "An agent cannot choose the id of what it starts.")
            if not self._has(provider):
                raise NotFound(f"There is no provider named {provider!r}.")
            self._require_no_stop(provider)

        async def act() -> AgentSession:
            adapter = self._plane.registry.get(provider)
            started = await self._plane.registry.call(
                provider, adapter.spawn(request, actor=self._who.user_id), timeout=SPAWN_TIMEOUT
            )
            session = known_as(started)
            attempt.session_id = session.session_id
            return session

        return await self._plane.interventions.run(attempt, check=check_, act=act)

    async def inject(
        self,
        session_id: str,
        content: str,
        *,
        delivery: Delivery | None = None,
        pause_before_send: bool = False,
        expected_run_id: str | None = None,
        idempotency_key: str | None = None,
        injection_id: str | None = None,
        seed: str | None = None,
    ) -> Receipt:
        """`injection_id`: the id (32 hex digits) that its receipt shall have. `seed` is an idempotency key's
        (`Idempotency.run`). With the same one it is the same message."""
        session_id = whole_id(session_id)
        if idempotency_key is not None:
            return await self._keyed(
                idempotency_key,
                ("inject", session_id, content, delivery, pause_before_send, expected_run_id, injection_id),
                Receipt,
                lambda seed: self.inject(
                    session_id,
                    content,
                    delivery=delivery,
                    pause_before_send=pause_before_send,
                    expected_run_id=expected_run_id,
                    injection_id=injection_id,
                    seed=seed,
                ),
                repeatable=True,
            )
        chosen, receipt_id = injection_id is not None, injection_id or seed or self._plane.ids.new()
        attempt = Attempt(
            who=self._who,
            action=AuditAction.INJECT,
            session_id=session_id,
            provider=split_id(session_id)[0],
            content=content,
            metadata={"injectionId": receipt_id, "delivery": delivery, "pauseBeforeSend": pause_before_send},
        )

        async def check_() -> None:
            await self._decide(Operation.INJECT, session_id)
            self._same_run(await self._on_record(session_id), expected_run_id, attempt)
            self._require_no_stop(split_id(session_id)[0])
            there = await self._plane.database.receipts.get(receipt_id) if chosen else None
            if there is not None and there.session_id != session_id:
                raise Conflict("This id belongs to a message that was sent to another session.")
            if (wrong := _wrong_words(content)) is not None:
                raise wrong
            await barge_in_allowed(
                self._plane.barge_in, workspace_id=self._who.workspace_id, actor=self._user, session_id=session_id
            )

        async def act() -> Receipt:
            provider, native = self._running(session_id)
            receipt = await self._plane.registry.call(
                provider.name,
                provider.inject(
                    native,
                    injection_id=receipt_id,
                    content=content,
                    operator_id=self._who.user_id,
                    delivery=delivery,
                    pause_before_send=pause_before_send,
                    expected_run_id=expected_run_id,
                ),
                timeout=ACT_TIMEOUT,
            )
            attempt.result["receipt"] = receipt.state.value
            return msgspec.structs.replace(receipt, session_id=session_id)

        return await self._plane.interventions.run(attempt, check=check_, act=act)

    async def withdraw(self, session_id: str, injection_id: str, *, expected_run_id: str | None = None) -> Receipt:
        """Take back a message that is not delivered yet. Conflict if it is."""
        session_id = whole_id(session_id)

        async def act(provider: AgentProvider, native: str) -> Receipt:
            receipt = await provider.withdraw(native, injection_id)
            return msgspec.structs.replace(receipt, session_id=session_id)

        return await self._intervene(
            Operation.WITHDRAW,
            session_id,
            act,
            reason=None,
            metadata={"injectionId": injection_id},
            expected_run_id=expected_run_id,
        )

    async def edit_message(
        self, session_id: str, injection_id: str, *, content: str, was: str, expected_run_id: str | None = None
    ) -> Receipt:
        """Other words for a message that waits. The intent's row has the new ones, and the start of the old ones."""
        session_id = whole_id(session_id)

        async def act(provider: AgentProvider, native: str) -> Receipt:
            receipt = await _editing(provider).edit_message(
                native,
                injection_id,
                content=content,
                was=was,
                operator_id=self._who.user_id,
                expected_run_id=expected_run_id,
            )
            return msgspec.structs.replace(receipt, session_id=session_id)

        return await self._intervene(
            Operation.EDIT_MESSAGE,
            session_id,
            act,
            reason=None,
            content=content,
            metadata={"injectionId": injection_id, "was": was[:WAS_CHARS]},
            expected_run_id=expected_run_id,
            wrong=_wrong_words(content),
            against_stop=True,
        )

    async def move_message(
        self, session_id: str, injection_id: str, *, position: int, expected_run_id: str | None = None
    ) -> Receipt:
        """Another place for a message that waits."""
        session_id = whole_id(session_id)

        async def act(provider: AgentProvider, native: str) -> Receipt:
            receipt = await _editing(provider).move_message(
                native, injection_id, position=position, expected_run_id=expected_run_id
            )
            return msgspec.structs.replace(receipt, session_id=session_id)

        return await self._intervene(
            Operation.MOVE_MESSAGE,
            session_id,
            act,
            reason=None,
            metadata={"injectionId": injection_id, "position": position},
            expected_run_id=expected_run_id,
            wrong=None if position >= 1 else BadInput("position", "Places are counted from 1."),
        )

    async def pause(
        self,
        session_id: str,
        *,
        level: str | None = None,
        reason: str | None = None,
        expected_run_id: str | None = None,
    ) -> AgentSession:
        async def act(provider: AgentProvider, native: str) -> AgentSession:
            return known_as(await provider.pause(native, level=level, expected_run_id=expected_run_id))

        return await self._intervene(
            Operation.PAUSE,
            session_id,
            act,
            reason=reason,
            metadata={} if level is None else {"level": level},
            expected_run_id=expected_run_id,
            wrong=None if level in (None, "hold", "freeze") else BadInput("level", 'A pause is "hold" or "freeze".'),
        )

    async def resume(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        async def act(provider: AgentProvider, native: str) -> AgentSession:
            return known_as(await provider.resume(native, expected_run_id=expected_run_id))

        return await self._intervene(
            Operation.RESUME, session_id, act, reason=reason, expected_run_id=expected_run_id, against_stop=True
        )

    async def cancel(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        async def act(provider: AgentProvider, native: str) -> AgentSession:
            if not isinstance(provider, CancelsTurns):
                raise Unsupported("This provider cannot cancel a turn without ending the session.")
            return known_as(await provider.cancel_turn(native, expected_run_id=expected_run_id))

        return await self._intervene(Operation.CANCEL, session_id, act, reason=reason, expected_run_id=expected_run_id)

    async def hold_commands(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        async def act(provider: AgentProvider, native: str) -> AgentSession:
            held = await _holding(provider).hold_commands(native, expected_run_id=expected_run_id)
            return known_as(held)

        return await self._intervene(
            Operation.HOLD_COMMANDS, session_id, act, reason=reason, expected_run_id=expected_run_id
        )

    async def release_commands(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        async def act(provider: AgentProvider, native: str) -> AgentSession:
            released = await _holding(provider).release_commands(native, expected_run_id=expected_run_id)
            return known_as(released)

        return await self._intervene(
            Operation.RELEASE_COMMANDS,
            session_id,
            act,
            reason=reason,
            expected_run_id=expected_run_id,
            against_stop=True,
        )

    async def terminate(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        async def act(provider: AgentProvider, native: str) -> AgentSession:
            return known_as(await provider.terminate(native, expected_run_id=expected_run_id))

        return await self._intervene(
            Operation.TERMINATE, session_id, act, reason=reason, expected_run_id=expected_run_id
        )

    async def kill(self, session_id: str, *, reason: str, expected_run_id: str | None = None) -> AgentSession:
        """Acts even if it cannot be recorded now; then the answer's metadata says so (`auditPending`)."""
        session_id = whole_id(session_id)
        attempt = self._attempt(AuditAction.KILL, session_id, reason=reason)
        attempt.unstoppable = True

        async def check_() -> None:
            await self._decide(Operation.KILL, session_id)
            required_reason(reason)
            try:
                self._provider(session_id)
            except NotFound:
                await self._on_record(session_id)
                self._running(session_id)
            # The run is left to the provider: a kill does not wait for the record.
            if expected_run_id is not None:
                attempt.metadata["expectedRunId"] = expected_run_id

        async def act() -> AgentSession:
            provider, native = self._provider(session_id)
            killed = await self._plane.registry.call(
                provider.name, provider.kill(native, expected_run_id=expected_run_id), timeout=KILL_TIMEOUT
            )
            if "stopSteps" in killed.metadata:
                attempt.result["steps"] = killed.metadata["stopSteps"]
            return known_as(killed)

        session = await self._plane.interventions.run(attempt, check=check_, act=act)
        if attempt.recorded:
            return session
        return msgspec.structs.replace(session, metadata={**session.metadata, NOT_RECORDED: True})

    async def kill_all(
        self,
        *,
        scope: str,
        confirm: str,
        reason: str,
        undo_seconds: float = 0,
        watch_seconds: float = WATCH_SECONDS,
        idempotency_key: str | None = None,
    ) -> KillAll:
        """`watch_seconds`: how long a target that comes back is hit again, unless it is closed before."""
        attempt = Attempt(
            who=self._who,
            action=AuditAction.KILL_ALL,
            provider=None if scope == SCOPE_ALL else scope,
            metadata={"reason": reason, "scope": scope},
            unstoppable=True,
        )
        mine = self._plane.registry.names(self._workspace)

        async def check_() -> None:
            await self._decide(Operation.KILL_ALL, None)
            if confirm != CONFIRM_WORDS:
                raise BadInput("confirm", f'Type the words "{CONFIRM_WORDS}" to confirm.')
            if scope != SCOPE_ALL and scope not in mine:
                raise BadInput("scope", f'The scope is "{SCOPE_ALL}" or a provider; there is none named {scope!r}.')
            if not 0 <= undo_seconds <= MAX_UNDO_SECONDS:
                raise BadInput("undoSeconds", f"The time to undo is 0 to {MAX_UNDO_SECONDS:g} seconds.")
            if not 0 <= watch_seconds <= MAX_WATCH_SECONDS:
                raise BadInput("watchSeconds", f"The time to watch is 0 to {MAX_WATCH_SECONDS:g} seconds.")
            required_reason(reason)

        return await self._keyed(
            idempotency_key,
            ("kill-all", scope, confirm, reason, undo_seconds, watch_seconds),
            KillAll,
            lambda _: self._plane.kill_alls.begin(
                attempt,
                check=check_,
                scope=scope,
                names=mine if scope == SCOPE_ALL else (scope,),
                undo_seconds=undo_seconds,
                watch_seconds=watch_seconds,
            ),
            repeatable=False,
            insist=True,
        )

    async def kill_undo(self, kill_id: str) -> KillAll:
        """While it is frozen: let its targets go on. Conflict when it is too late."""
        attempt = Attempt(who=self._who, action=AuditAction.KILL_ALL_UNDO, metadata={"killId": kill_id})

        async def check_() -> None:
            await self._decide(Operation.KILL_ALL_UNDO, None)
            await self._plane.kill_alls.state(self._workspace, kill_id)

        return await self._plane.interventions.run(
            attempt, check=check_, act=lambda: self._plane.kill_alls.undo(self._workspace, kill_id)
        )

    async def kill_close(self, kill_id: str) -> KillAll:
        """End the watch over a kill-all that is done: targets that come back are let be. Conflict before."""
        attempt = Attempt(who=self._who, action=AuditAction.KILL_ALL_CLOSE, metadata={"killId": kill_id})

        async def check_() -> None:
            await self._decide(Operation.KILL_ALL_CLOSE, None)
            await self._plane.kill_alls.state(self._who.workspace_id, kill_id)

        return await self._plane.interventions.run(
            attempt, check=check_, act=lambda: self._plane.kill_alls.end_watch(self._who.workspace_id, kill_id)
        )

    def _require_no_stop(self, provider: str) -> None:
        if self._plane.kill_alls.covers(provider):
            raise StopUnderWay(f"A kill-all over {provider!r} is under way; nothing is started or sent there now.")

    async def answer(self, approval_id: str, option_id: str, *, expected_run_id: str | None = None) -> Approval:
        attempt = Attempt(
            who=self._who,
            action=AuditAction.APPROVE,
            metadata={"approvalId": approval_id, "optionId": option_id},
        )

        async def check_() -> None:
            await self._decide(Operation.ANSWER, None)
            approval = await self._plane.database.approvals.get(approval_id, workspace_id=self._workspace)
            if approval is None:
                raise NotFound("There is no such permission question.")
            attempt.session_id, attempt.provider, attempt.content = (
                approval.session_id,
                approval.provider,
                approval.title,
            )
            if expected_run_id is not None:
                self._same_run(await self._on_record(approval.session_id), expected_run_id, attempt)
            option = next((one for one in approval.options if one.option_id == option_id), None)
            if option is None:
                raise BadInput("optionId", "This is none of the question's options.")
            attempt.metadata["optionKind"] = option.kind
            if not option.kind.startswith("allow"):
                attempt.action = AuditAction.DENY
            if approval.state is not ApprovalState.OPEN:
                raise Conflict(
                    "This question is no longer open.", state=approval.state.value, answeredBy=approval.answered_by
                )

        async def act() -> Approval:
            session_id = attempt.session_id or ""
            provider, native = self._running(session_id)
            answered = await self._plane.registry.call(
                provider.name,
                provider.answer(native, approval_id, option_id, user_id=self._who.user_id),
                timeout=ACT_TIMEOUT,
            )
            return msgspec.structs.replace(answered, session_id=session_id)

        return await self._plane.interventions.run(attempt, check=check_, act=act)

    async def close(self) -> None:
        """Nothing to release: the control plane belongs to who made it."""

    def _attempt(
        self, action: AuditAction, session_id: str, *, reason: str | None, metadata: dict[str, Any] | None = None
    ) -> Attempt:
        found = dict(metadata or {})
        if reason and reason.strip():
            found["reason"] = reason.strip()
        return Attempt(
            who=self._who,
            action=action,
            session_id=session_id,
            provider=split_id(session_id)[0],
            metadata=found,
        )

    async def _intervene(
        self,
        operation: Operation,
        session_id: str,
        act: Callable[[AgentProvider, str], Awaitable[T]],
        *,
        reason: str | None,
        content: str | None = None,
        metadata: dict[str, Any] | None = None,
        expected_run_id: str | None = None,
        wrong: BadInput | None = None,
        against_stop: bool = False,
    ) -> T:
        """`wrong` is what is wrong with the request itself. `against_stop`: it would let go on what a kill-all has
        stopped, so it is refused while one is under way."""
        session_id = whole_id(session_id)
        attempt = self._attempt(RULES[operation].action, session_id, reason=reason, metadata=metadata)
        attempt.content = content

        async def check_() -> None:
            await self._decide(operation, session_id)
            optional_reason(reason)
            if wrong is not None:
                raise wrong
            self._same_run(await self._on_record(session_id), expected_run_id, attempt)
            if against_stop:
                self._require_no_stop(split_id(session_id)[0])

        async def carry_out() -> T:
            provider, native = self._running(session_id)
            return await self._plane.registry.call(provider.name, act(provider, native), timeout=ACT_TIMEOUT)

        return await self._plane.interventions.run(attempt, check=check_, act=carry_out)

    @staticmethod
    def _same_run(session: AgentSession, expected: str | None, attempt: Attempt) -> None:
        """Refuse what was meant for another run, before anything happens. The provider looks once more: the record may
        be behind. Raises Conflict."""
        if expected is None:
            return
        attempt.metadata["expectedRunId"] = expected
        if session.run_id is not None and session.run_id != expected:
            raise Conflict("This is another run of the session by now.", runId=session.run_id)


def _wrong_words(content: str) -> BadInput | None:
    """What is wrong with the words of a message."""
    if not content.strip():
        return BadInput("content", "There is nothing to send.")
    if len(content) > MAX_INJECT_CHARS:
        return BadInput("content", f"A message has at most {MAX_INJECT_CHARS} characters.")
    if len(content.encode(errors="replace")) > MAX_INJECT_BYTES:
        return BadInput("content", f"A message has at most {MAX_INJECT_BYTES} bytes in UTF-8.")
    return None


def _editing(provider: AgentProvider) -> EditsQueue:
    if not isinstance(provider, EditsQueue):
        raise Unsupported("This provider cannot change messages that wait. Withdraw the message and send it again.")
    return provider


def _holding(provider: AgentProvider) -> HoldsCommands:
    if not isinstance(provider, HoldsCommands):
        raise Unsupported("This provider cannot hold the commands of a session.")
    return provider
