"""Whatever an agent, an operator and the clock do, in any order: the session on record stays true.

A world is played from a list of numbers: frames of an agent (sensible, late, malformed), commands, timers, reports of
the keeper. After each entry the rules are checked; in the end the process dies, and everything must have an outcome.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mission_control_desktop.domain.receipts import RECEIPT_TRANSITIONS, ReceiptState
from mission_control_desktop.domain.sessions import FINAL_STATUSES, SessionStatus, transition_allowed
from mission_control_desktop.orchestrator.core.effects import Answered, Do, Effect, Relaunch, Send, SetTimer, Write
from mission_control_desktop.orchestrator.core.entries import Entry
from mission_control_desktop.orchestrator.core.inject import digest
from mission_control_desktop.orchestrator.core.session import SessionCore
from mission_control_desktop.orchestrator.core.snapshot import freeze, thaw
from mission_control_desktop.record.ops import PutReceipt, PutSession
from support.playing import ROOT, Play, can_go_on, spec

CHILDREN = ("C", "D", "E")
STATES: list[Any] = [
    {"state": "running"},
    {"state": "requires_action"},
    {"state": "idle", "stopReason": "end_turn"},
    {"state": "idle", "stopReason": "cancelled"},
    {"state": "idle"},
    {"state": "idle", "stopReason": {"type": "error", "message": "broken"}},
    None,
    "odd",
]
STEERED = ["injected", "promptRequired", "startedNewTurn", "failed", "odd", None]
ODD_LINES = [
    "",
    "garbage",
    "{}",
    '{"id":1}',
    '{"method":"session/update"}',
    '{"method":"session/update","params":{"sessionId":"S","update":{}}}',
    '{"method":"session/update","params":{"sessionId":7,"update":{"sessionUpdate":"tool_call"}}}',
    '{"method":"session/update","params":{"update":{"sessionUpdate":"plan","entries":"x"}}}',
    '{"id":99,"method":"session/request_permission","params":{}}',
    '{"id":"x","method":"fs/read_text_file"}',
    '{"id":12345,"result":{"stopReason":"end_turn"}}',
    '{"id":null,"error":{"code":-32700,"message":"parse"}}',
]

STEPS = st.lists(st.tuples(st.integers(0, 41), st.integers(0, 7), st.integers(0, 7)), min_size=25, max_size=90)
SETUP = st.fixed_dictionaries(
    {
        "steering": st.booleans(),
        "close": st.booleans(),
        "name": st.sampled_from(["test-agent", "qwen-code", "codex-acp", "gemini-cli"]),
        "end_when_idle": st.booleans(),
        "prompt": st.sampled_from(["Do it", None]),
        "opened": st.sampled_from([True, True, True, False]),
        "again": st.sampled_from([None, "resume", "load"]),
    }
)


class World(Play):
    """Plays a list of numbers. Lines are written and deeds are done when the world says so, in order."""

    def __init__(self, setup: dict[str, Any]) -> None:
        super().__init__(auto=False, prompt=setup["prompt"], end_when_idle=setup["end_when_idle"])
        self.setup = setup
        self.pending: list[Send | Do] = []
        self.open_calls: list[dict[str, Any]] = []
        self.asked = 1_000
        self.injections = 0
        self.exited = False
        self.started = False
        self.old_timers: list[str] = []
        self.relaunched = False
        self.stops: list[str] = []
        """Keys under which the keeper has still to report what a stop file made it kill."""
        self.stopped = False
        if setup["opened"]:
            self.auto = True
            self.open(name=setup["name"], steering=setup["steering"], close=setup["close"], again=setup["again"])
            self.auto = False
            self.started = True
            self.open_calls = self.requests("session/prompt")

    def feed(self, kind: Any, **fields: Any) -> list[Effect]:
        held = self.core._parts.pausing.held
        effects = super().feed(kind, **fields)
        still_held = held and self.core._parts.pausing.held
        for effect in effects:
            if isinstance(effect, Send | Do):
                self.pending.append(effect)
            if isinstance(effect, Relaunch):
                self.relaunched = True
            if isinstance(effect, SetTimer):
                self.old_timers.append(effect.name)
            if isinstance(effect, Send):
                message = json.loads(effect.line)
                if "method" in message and "id" in message:
                    self.open_calls.append(message)
                if still_held:
                    assert message.get("method") not in ("session/prompt", "_session/steering"), "sent while on hold"
                    outcome = message.get("result", {}).get("outcome")
                    assert outcome is None, "a permission reply while on hold"
        return effects

    def play(self, op: int, a: int, b: int) -> None:
        session = ("S", "S", "S", "S", "S", *CHILDREN)[a]
        if op < 4:
            self.text("abc"[b % 3], session=session)
        elif op == 4:
            self.update({"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": "t"}}, session)
        elif op == 5:
            status = ["pending", "in_progress", "completed", "failed", "odd", None, "cancelled", 5][a]
            self.update({"sessionUpdate": "tool_call_update", "toolCallId": f"t{b}", "status": status}, session)
        elif op == 6:
            self.update({"sessionUpdate": "plan", "entries": [{"content": "x", "status": "pending"}]}, session)
        elif op == 7:
            self.line(ODD_LINES[(a * 8 + b) % len(ODD_LINES)])
        elif op in (8, 9):
            update = {"sessionUpdate": "subagent_update", "sessionId": CHILDREN[a % 3], "state": STATES[b]}
            if a % 2:
                update["capabilities"] = {"cancel": {}}
            self.update(update, session=("S", *CHILDREN)[b % 4] if a == 7 else "S")
        elif op in (10, 11):
            self.permission(session)
        elif op == 12:
            self.line({"method": "$/cancel_request", "params": {"requestId": self.asked - b}})
        elif op == 13:
            self.line({"id": 5_000 + self.n, "method": "craft/drainMidTurnQueue", "params": {"sessionId": "S"}})
        elif op in (14, 15, 16, 17):
            self.respond(a, b)
        elif op in (18, 19, 20, 21):
            self.injections += 1
            fields: dict[str, Any] = {}
            if a < 3:
                fields["delivery"] = ["steer", "queue", "interrupt"][a]
            if b == 7:
                fields["pauseBeforeSend"] = True
            self.inject(f"i{self.injections}", f"message {self.injections}", **fields)
        elif op == 22 and self.injections:
            ref = f"i{1 + b % self.injections}"
            if a % 3 == 0:
                self.command("withdraw", injectionId=ref)
            elif a % 3 == 1:
                self.command("move", injectionId=ref, position=1 + b)
            else:
                was = digest(f"message {1 + b % self.injections}")
                self.command("edit", injectionId=ref, content=f"edited {a}", was=was, operatorId="bob")
        elif op == 23 and self.injections:
            self.inject(f"i{1 + b % self.injections}", "again")
        elif op in (24, 25):
            self.command("pause", **({"level": ["hold", "freeze"][a % 2]} if a < 4 else {}))
        elif op in (26, 27):
            self.command("resume")
        elif op == 28:
            self.command("terminate", **self.target(a))
        elif op == 29 and b < 3:
            self.command("kill", **self.target(a))
        elif op in (30, 31):
            self.answer(a, b)
        elif op == 32:
            self.timer(a, b)
        elif op in (33, 34, 35, 36):
            self.carry_out(b)
        elif op == 37:
            self.command("children", alive=a % 2)
        elif op == 38:
            self.feed("err", line="oops", data={"dropped": b})
        elif op == 39 and b == 0:
            self.die(a)
        elif op == 40:
            self.lose(a, b)
        elif op == 41:
            self.stop_file(a, b)
        elif not self.started:
            self.started = True
            self.feed("start", data={"error": "no"} if b == 7 else {"pid": 1, "startTime": 2})

    def target(self, a: int) -> dict[str, Any]:
        natives = sorted(self.core.sessions)
        return {"sessionId": natives[a % len(natives)]} if a > 3 else {}

    def permission(self, session: str) -> None:
        self.asked += 1
        options = [{"optionId": "yes", "kind": "allow_once", "name": "Yes"}]
        params = {"sessionId": session, "toolCall": {"toolCallId": f"p{self.asked}"}, "options": options}
        self.line({"id": self.asked, "method": "session/request_permission", "params": params})

    def respond(self, a: int, b: int) -> None:
        if not self.open_calls:
            return
        call = self.open_calls.pop(a % len(self.open_calls))
        result: Any = {"stopReason": ["end_turn", "cancelled", "max_tokens", "end_turn"][b % 4]}
        if call["method"] == "initialize":
            result = {"protocolVersion": 1, "agentInfo": {"name": self.setup["name"], "version": "2"}}
            result["_meta"] = {"steering": {"supported": self.setup["steering"]}}
            result["agentCapabilities"] = can_go_on(self.setup["again"])
        elif call["method"] == "session/new":
            result = {"sessionId": "S"}
        elif call["method"] == "_session/steering":
            result = {"outcome": STEERED[b % len(STEERED)]}
        if b == 7:
            self.line({"id": call["id"], "error": {"code": -32603, "message": "no"}})
        else:
            self.line({"id": call["id"], "result": result})

    def answer(self, a: int, b: int) -> None:
        approvals = sorted(self.record.approvals)
        if approvals:
            option = "no such" if b == 7 else "yes"
            self.command("answer", approvalId=approvals[a % len(approvals)], optionId=option, userId="ann")

    def timer(self, a: int, b: int) -> None:
        names = sorted(self.timers) if b < 6 else self.old_timers
        if names:
            name = names[a % len(names)]
            self.timers.pop(name, None)
            self.command("timer", name=name)

    def carry_out(self, b: int) -> None:
        if self.stops:
            self.report_stop(b)
            return
        if not self.pending or self.exited:
            return
        effect = self.pending.pop(0)
        if isinstance(effect, Send):
            self.feed("out", line=effect.line, key=effect.key)
        else:
            left = [4, 5] if b == 7 and not self.exited else []
            self.feed(
                "did", key=effect.key, data={"key": effect.key, "what": effect.what, "ok": not left, "left": left}
            )

    def stop_file(self, a: int, b: int) -> None:
        """The keeper finds a stop file, and reports later on what it killed; sometimes a file that says nothing."""
        if not self.started or self.exited:
            return
        self.stopped = self.stopped or not self.root.status.final
        key = f"stop-file:{self.n}"
        order: dict[str, Any] = {"id": f"{self.n}", "scope": "all", "reason": "r" * a, "actor": "ann" if b else None}
        self.feed("stop", data=order | {"key": key})
        self.stops.append(key)

    def report_stop(self, b: int) -> None:
        key = self.stops.pop(0)
        left = [4] if b == 7 else []
        self.feed("did", key=key, data={"key": key, "what": "kill", "ok": not left, "pids": [1, 4], "left": left})

    def die(self, a: int) -> None:
        if self.started and not self.exited:
            self.exited = True
            self.exit([0, 1, None, None][a % 4], 9 if a % 4 == 2 else None, left=[7] if a > 5 else [])

    def lose(self, a: int, b: int) -> None:
        """The keeper is killed: nothing that was on its way arrives any more."""
        if not self.started or (self.exited and not self.stops):
            return
        for effect in [one for one in self.pending if isinstance(one, Do)]:
            self.feed("did", key=effect.key, data={"key": effect.key, "ok": True, "left": []})
        self.pending.clear()
        self.stops.clear()
        self.open_calls.clear()
        self.relaunched = False
        data = {"cause": "restart" if a % 2 else "killed", "killed": a, "left": [7] if b == 7 else []}
        if b == 6:
            data["denied"] = "a kill-all is under way"
        if b == 5 and not self.exited:
            self.feed("exit", data={"code": None, "signal": 15, "left": [], "keeperEnding": True})
            if not self.relaunched and not self.root.status.final:
                self.feed("lost", data=data)
        else:
            self.feed("lost", data=data)
        self.exited = not self.relaunched
        self.started = not self.relaunched

    def finish(self) -> None:
        """The process dies, what was asked for is done, and every timer runs out."""
        if not self.started:
            self.started = True
            self.feed("start", data={"error": "never"})
        elif not self.exited:
            self.die(0)
        for _ in range(50):
            if self.stops:
                self.report_stop(0)
            elif self.pending:
                effect = self.pending.pop(0)
                if isinstance(effect, Do):
                    self.feed("did", key=effect.key, data={"key": effect.key, "ok": True, "left": []})
            elif self.timers and not self.core.finished:
                self.timer(0, 0)
            else:
                return


def check(world: World) -> None:
    effects = world.effects
    assert world.core.faults == 0
    keys = [effect.key for effect in effects if isinstance(effect, Send | Do)]
    assert len(keys) == len(set(keys))
    status: dict[str, tuple[str | None, SessionStatus]] = {}
    receipts: dict[str, ReceiptState] = {}
    for effect in effects:
        if not isinstance(effect, Write):
            continue
        for op in effect.ops:
            if isinstance(op, PutSession):
                session = op.session
                run, before = status.get(session.session_id, (session.run_id, SessionStatus.SPAWNING))
                if run == session.run_id:
                    same = before is session.status
                    assert same or transition_allowed(before, session.status), (before, session.status)
                else:
                    assert before in FINAL_STATUSES
                    assert session.status is SessionStatus.SPAWNING
                assert (session.completed_at is not None) == session.status.final
                assert (session.waiting_for is None) or session.status is SessionStatus.WAITING
                status[session.session_id] = (session.run_id, session.status)
            elif isinstance(op, PutReceipt):
                receipt = op.receipt
                last = receipts.get(receipt.injection_id)
                assert last is not None or receipt.state is ReceiptState.STORED
                assert last is None or receipt.state in RECEIPT_TRANSITIONS[last], (last, receipt.state)
                receipts[receipt.injection_id] = receipt.state
    one_prompt_at_a_time(world)
    nothing_sent_twice(world)
    one_answer_each(world)


def one_prompt_at_a_time(world: World) -> None:
    """By the order of the journal: a prompt goes out only when the one before it was answered."""
    running: int | None = None
    stopped = False
    entries = {entry.n: entry for entry in world.entries}
    by_entry: dict[int, list[Send]] = {}
    for effect in world.effects:
        if isinstance(effect, Send):
            by_entry.setdefault(int(effect.key.split(":")[0]), []).append(effect)
    for number in sorted(entries):
        entry = entries[number]
        stopped = stopped or entry.kind == "stop"
        if entry.kind == "lost" or (entry.data or {}).get("keeperEnding"):
            running = None
        if entry.kind == "in" and entry.line and running is not None:
            try:
                message = json.loads(entry.line)
            except ValueError:
                message = None
            if isinstance(message, dict) and "method" not in message and message.get("id") == running:
                running = None
        for send in by_entry.get(number, []):
            message = json.loads(send.line)
            if message.get("method") in ("session/prompt", "session/new", "session/load", "session/resume"):
                assert not stopped, "work for an agent that a stop file ends"
            if message.get("method") == "session/prompt":
                assert running is None, "a second prompt while one runs"
                running = message["id"]


def nothing_sent_twice(world: World) -> None:
    prompts = world.prompts()
    assert len(prompts) == len(set(prompts))
    steers = {message["params"]["prompt"][0]["text"]: message["id"] for message in world.requests("_session/steering")}
    assert len(steers) == len(world.requests("_session/steering"))
    pulled = [text for message in world.sent for text in (message.get("result") or {}).get("messages", [])]
    assert len(pulled) == len(set(pulled))
    assert not set(pulled) & set(prompts)
    answers: dict[Any, Any] = {}
    for entry in world.entries:
        if entry.kind == "in" and entry.line and entry.line.startswith('{"id"'):
            message = json.loads(entry.line)
            answers.setdefault(message.get("id"), message)
    for text in set(steers) & set(prompts):
        answer = answers[steers[text]]
        assert "error" in answer or answer["result"]["outcome"] in ("promptRequired", "failed")


def one_answer_each(world: World) -> None:
    replied = [message["id"] for message in world.sent if "method" not in message and message["id"] not in ("x", 99)]
    assert len(replied) == len(set(replied))
    for history in world.record.approvals.values():
        states = [approval.state.value for approval in history]
        assert states in (
            ["open"],
            ["open", "answered"],
            ["open", "expired"],
            ["open", "answered", "expired"],
        )


@given(setup=SETUP, steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_the_record_stays_true_whatever_happens(setup: dict[str, Any], steps: list[tuple[int, int, int]]) -> None:
    world = World(setup)
    for step in steps:
        world.play(*step)
    check(world)
    world.finish()
    check(world)
    assert world.root.status.final
    assert not world.stopped or world.root.status is not SessionStatus.COMPLETED, "a stop file kills"
    assert world.core.finished or world.core._ending.left == (7,), "only what would not die is left"
    assert all(session.status.final for session in world.core.sessions.values())
    assert world.record.sessions == {session.session_id: session for session in world.core.sessions.values()}
    for injection_id in world.record.receipts:
        assert world.state(injection_id) in ("delivered", "answered", "failed", "withdrawn")
    for history in world.record.approvals.values():
        assert history[-1].state.value != "open"
    assert all(message.complete for message in world.record.messages.values())
    accepted = {entry.data["id"] for entry in world.entries if entry.kind == "cmd" and entry.data is not None}
    timers = {
        entry.data["id"]
        for entry in world.entries
        if entry.kind == "cmd" and entry.data is not None and entry.data["command"] in ("timer", "children")
    }
    assert set(world.answers) == accepted - timers, "every command is answered"


@given(setup=SETUP, steps=STEPS, cut=st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_folding_again_gives_the_same(setup: dict[str, Any], steps: list[tuple[int, int, int]], cut: int) -> None:
    world = World(setup)
    for step in steps:
        world.play(*step)
    again = SessionCore(spec(prompt=setup["prompt"], end_when_idle=setup["end_when_idle"]))
    effects: list[Effect] = []
    for number, entry in enumerate(world.entries):
        effects.extend(again.feed(entry))
        if number == cut:
            assert [again.feed(old) for old in world.entries[: cut + 1]] == [[]] * (cut + 1)
    # `World` interleaves the effects of nested entries; by entry they are the same.
    assert sorted(map(repr, effects)) == sorted(map(repr, world.effects))
    assert again.sessions == world.core.sessions
    assert again.finished == world.core.finished


KEYS = (
    *("content", "type", "text", "path", "newText", "status", "state", "title", "sessionId", "toolCallId", "rawInput"),
    *("rawOutput", "locations", "entries", "optionId", "kind", "name", "used", "size", "cost", "amount", "plan"),
    *("planId", "stopReason", "error", "message", "capabilities", "cancel"),
)
FIELD_NAMES = (
    *("sessionId", "content", "toolCallId", "title", "kind", "status", "rawInput", "rawOutput", "locations", "entries"),
    *("plan", "planId", "used", "size", "cost", "availableCommands", "currentModeId", "configOptions", "severity"),
    *("description", "compactionId", "summary", "state", "capabilities", "messageId", "senderSessionId"),
    *("recipientSessionId", "stopReason"),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["S", "C", "running", "idle", "text", "completed", "diff", "content", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "content",
                    "type",
                    "text",
                    "path",
                    "newText",
                    "status",
                    "state",
                    "title",
                    "sessionId",
                    "toolCallId",
                    "rawInput",
                    "rawOutput",
                    "locations",
                    "entries",
                    "optionId",
                    "kind",
                    "name",
                    "used",
                    "size",
                    "cost",
                    "amount",
                    "plan",
                    "planId",
                    "stopReason",
                    "error",
                    "message",
                    "capabilities",
                    "cancel",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        [
            "sessionId",
            "content",
            "toolCallId",
            "title",
            "kind",
            "status",
            "rawInput",
            "rawOutput",
            "locations",
            "entries",
            "plan",
            "planId",
            "used",
            "size",
            "cost",
            "availableCommands",
            "currentModeId",
            "configOptions",
            "severity",
            "description",
            "compactionId",
            "summary",
            "state",
            "capabilities",
            "messageId",
            "senderSessionId",
            "recipientSessionId",
            "stopReason",
        ]
    ),
    VALUES,
    max_size=6,
)
KINDS = [
    "agent_message_chunk",
    "agent_thought_chunk",
    "user_message_chunk",
    "tool_call",
    "tool_call_update",
    "tool_call_content_chunk",
    "plan",
    "plan_update",
    "plan_removed",
    "available_commands_update",
    "current_mode_update",
    "config_option_update",
    "session_info_update",
    "usage_update",
    "notice",
    "compaction_update",
    "compaction_summary_chunk",
    "state_update",
    "subagent_update",
    "subagent_spawned",
    "subagent_state_update",
    "subagent_finished",
    "session_message",
    "session_message_chunk",
    "unheard_of",
]


@given(st.lists(st.tuples(st.sampled_from(KINDS), FIELDS, st.sampled_from(["S", "C", None, 3])), max_size=12))
@settings(max_examples=120, deadline=None)
def test_malformed_updates_never_fail(updates: list[tuple[str, dict[str, Any], Any]]) -> None:
    play = Play().open()
    for kind, fields, session in updates:
        update = {**fields, "sessionUpdate": kind}
        play.line(json.dumps({"method": "session/update", "params": {"sessionId": session, "update": update}}))
    assert play.core.faults == 0
    play.exit(1)
    assert play.core.faults == 0
    assert play.core.finished


@given(
    st.lists(st.tuples(st.sampled_from(["initialize", "session/new", "session/prompt"]), VALUES), max_size=6), VALUES
)
@settings(max_examples=60, deadline=None)
def test_malformed_answers_never_fail(answers: list[tuple[str, Any]], params: Any) -> None:
    play = Play()
    play.start()
    for method, result in answers:
        if play.requests(method):
            play.line(json.dumps({"id": play.requests(method)[-1]["id"], "result": result}))
            play.line(json.dumps({"id": play.requests(method)[-1]["id"], "error": result}))
    for number, method in enumerate(
        ["session/request_permission", "craft/drainMidTurnQueue", "$/cancel_request", "x/y"]
    ):
        play.line(json.dumps({"id": number, "method": method, "params": params}))
        play.line(json.dumps({"method": method, "params": params}))
    assert play.core.faults == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["start", "in", "out", "err", "cmd", "did", "oversize", "exit", "unheard of"]),
            st.none()
            | st.dictionaries(st.sampled_from(["pid", "error", "key", "left", "ok", "code", "id", "command"]), VALUES),
            st.none() | st.text(max_size=5),
            st.floats(),
        ),
        max_size=10,
    )
)
@settings(max_examples=80, deadline=None)
def test_malformed_entries_never_fail(entries: list[tuple[Any, Any, str | None, float]]) -> None:
    core = SessionCore(spec())
    for number, (kind, data, line, t) in enumerate(entries, 1):
        for effect in core.feed(Entry(n=number, t=t, kind=kind, data=data, line=line, key=line)):
            assert isinstance(effect, Write | Send | Do | Answered | SetTimer)
    assert core.faults == 0
    assert core.sessions[ROOT].session_id == f"internal:{ROOT}"


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(Exception, match="no runtime"):
        SessionCore(spec(runtime="telepathy"))


@given(setup=SETUP, steps=STEPS, cuts=st.lists(st.integers(0, 120), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_a_snapshot_and_the_rest_give_what_the_whole_gives(
    setup: dict[str, Any], steps: list[tuple[int, int, int]], cuts: list[int]
) -> None:
    world = World(setup)
    for step in steps:
        world.play(*step)
    world.finish()
    own = spec(prompt=setup["prompt"], end_when_idle=setup["end_when_idle"])
    whole, core = SessionCore(own), SessionCore(own)
    for number, entry in enumerate(world.entries):
        if number in cuts:
            core, more = thaw(own, freeze(core, {"n": core.last}))
            assert more == {"n": whole.last}
        assert repr(core.feed(entry)) == repr(whole.feed(entry))
    assert core.sessions == whole.sessions
    assert core.finished == whole.finished
