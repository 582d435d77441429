"""A rich conversation, built from domain objects, for looking at the panel without an agent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mission_control_desktop.domain.approvals import Approval, ApprovalOption
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import (
    AgentSession,
    Capabilities,
    Delivery,
    Evidence,
    PauseKind,
    SessionStatus,
    WaitingFor,
)

SESSION = "internal:0198c0ffee0000000000000000000001"


def sample_session(**changes: Any) -> AgentSession:
    """A running session with everything that the header can show."""
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "session_id": SESSION,
        "provider": "internal",
        "status": SessionStatus.RUNNING,
        "spawned_at": now - timedelta(minutes=12, seconds=31),
        "started_at": now - timedelta(minutes=12, seconds=29),
        "capabilities": Capabilities(
            inject=(Delivery.QUEUE, Delivery.INTERRUPT),
            pause=PauseKind.SUSPEND,
            terminate=True,
            kill=True,
            approvals=True,
            reasons={"steer": "This agent cannot take words into a running turn"},
        ),
        "evidence": Evidence(last_event_at=now - timedelta(seconds=2), source="agent output"),
        "agent_type": "claude-code",
        "title": "Move the ingest service to structured logging",
        "run_id": "run-1",
        "metadata": {"demo": True},
    }
    return AgentSession(**{**fields, **changes})


def sample_messages() -> list[AgentMessage]:
    """Every kind of entry at least once."""
    start = datetime.now(UTC) - timedelta(minutes=12)
    messages: list[AgentMessage] = []

    def add(role: MessageRole, content: str, seconds: float = 7, **metadata: Any) -> None:
        nonlocal start
        start += timedelta(seconds=seconds)
        number = len(messages) + 1
        messages.append(
            AgentMessage(
                message_id=f"m{number}",
                session_id=SESSION,
                role=role,
                content=content,
                timestamp=start,
                seq=number,
                metadata={"kind": "text", "complete": True, **metadata},
            )
        )

    agent, user, operator, system = MessageRole.AGENT, MessageRole.USER, MessageRole.OPERATOR, MessageRole.SYSTEM
    add(system, "Session started: claude-code in ~/src/ingest, mode default", kind="notice", level="info")
    add(
        user,
        "Move the ingest service from `print` and `logging` to **structlog**. "
        "Keep the log lines stable for the dashboards.",
    )
    add(
        agent,
        "The service has three places that log: the consumer loop, the HTTP handlers and the retry policy. "
        "I should look at the dashboards' queries first, because they match on exact keys.",
        kind="thought",
    )
    add(
        agent,
        "",
        kind="plan",
        entries=[
            {"content": "Find every log call and who reads it", "status": "completed"},
            {"content": "Configure structlog once, at start-up", "status": "completed"},
            {"content": "Rewrite the consumer loop, keep the keys that dashboards query", "status": "in_progress"},
            {"content": "Rewrite handlers and retry policy", "status": "pending"},
            {"content": "Run the tests and compare a day of logs", "status": "pending"},
        ],
    )
    add(agent, "I'll start by finding every call that writes a log line.")
    add(
        agent,
        "\n".join(f"src/ingest/consumer.py:{n * 13}: log.info(...)" for n in range(1, 43)),
        kind="tool_call",
        toolCallId="t1",
        title="rg -n 'print\\(|log\\.' src/",
        toolKind="search",
        status="completed",
        input={"pattern": "print\\(|log\\."},
    )
    add(
        agent,
        "",
        kind="tool_call",
        toolCallId="t2",
        title="src/ingest/consumer.py",
        toolKind="edit",
        status="completed",
        diffs=[
            {
                "path": "src/ingest/consumer.py",
                "oldText": "import logging\n\nlog = logging.getLogger(__name__)\n\n\ndef consume(batch):\n"
                '    print("batch", len(batch))\n    for item in batch:\n        handle(item)\n',
                "newText": "import structlog\n\nlog = structlog.get_logger(__name__)\n\n\ndef consume(batch):\n"
                '    log.info("batch.received", size=len(batch))\n    for item in batch:\n        handle(item)\n',
            }
        ],
    )
    add(
        agent,
        "## What I found\n\nThere are **42 call sites** in three modules. Two things need care:\n\n"
        "1. The dashboard *Ingest lag* matches the text `batch received`, so the event name must stay readable.\n"
        "2. `retry.py` logs inside a signal handler.\n   - structlog's processors allocate, which is fine there\n"
        "   - but rendering to JSON takes a lock\n\n"
        "> The retry policy must never block on I/O.\n\nThis is the configuration I propose:\n\n"
        '```python\nimport structlog\n\n\ndef configure(level: str = "info") -> None:\n'
        '    """Log as JSON lines to standard error."""\n    structlog.configure(\n        processors=[\n'
        "            structlog.contextvars.merge_contextvars,\n            structlog.processors.add_log_level,\n"
        '            structlog.processors.TimeStamper(fmt="iso", utc=True),  # as the dashboards expect\n'
        "            structlog.processors.JSONRenderer(),\n        ],\n    )\n```\n\n"
        "| module | calls | read by |\n|---|---:|---|\n| `consumer.py` | 17 | Ingest lag |\n"
        "| `handlers.py` | 21 | Errors by route |\n"
        "| `retry.py` | 4 | nobody |\n\n"
        "See the [structlog documentation](https://www.structlog.org/) for the processors.",
    )
    add(operator, "Leave `retry.py` alone for now, and do the handlers first.", operatorId="ana", injectionId="i1")
    add(agent, "Understood: handlers first, `retry.py` stays as it is.")
    add(
        agent,
        "============================= test session starts ==============================\n"
        "collected 128 items\n\ntests/test_consumer.py ..........F\n\nE   AssertionError: expected key 'batch'\n"
        "=================== 1 failed, 10 passed in 0.61s ====================",
        kind="tool_call",
        toolCallId="t3",
        title="pytest -x -q tests/test_consumer.py",
        toolKind="execute",
        status="failed",
        input={"command": "pytest -x -q tests/test_consumer.py", "timeout": 60},
    )
    add(
        agent,
        "",
        kind="permission",
        approvalId="a0",
        title="Install structlog",
        detail={"command": "uv pip install structlog==25.5"},
        options=[
            {"optionId": "y", "kind": "allow_once", "label": "Allow once"},
            {"optionId": "n", "kind": "reject_once", "label": "Reject"},
        ],
        state="answered",
        answer="y",
        answeredBy="ana",
    )
    add(system, "Rate limited by the model provider, trying again in 8 s", kind="notice", level="warning")
    add(operator, "Also keep the old logger name in each line, please.", operatorId="ben", injectionId="i2")
    add(
        agent,
        "",
        kind="tool_call",
        toolCallId="t4",
        title="sed -n 1,200p src/ingest/handlers.py",
        toolKind="read",
        status="in_progress",
    )
    add(
        agent,
        "The failing test expects the key `batch`; I renamed it to `size`. "
        "I will keep **both** keys until the dashboards have",
        complete=False,
    )
    return messages


def sample_receipts() -> list[Receipt]:
    now = datetime.now(UTC)
    return [
        Receipt(injection_id="i1", session_id=SESSION, state=ReceiptState.ANSWERED, at=now),
        Receipt(injection_id="i2", session_id=SESSION, state=ReceiptState.QUEUED, at=now, position=1),
    ]


def sample_approval(**changes: Any) -> Approval:
    fields: dict[str, Any] = {
        "approval_id": "a1",
        "session_id": SESSION,
        "provider": "internal",
        "title": "Run a command",
        "options": (
            ApprovalOption(option_id="once", kind="allow_once", label="Allow once"),
            ApprovalOption(option_id="always", kind="allow_always", label="Always allow `git push`"),
            ApprovalOption(option_id="no", kind="reject_once", label="Reject"),
        ),
        "created_at": datetime.now(UTC),
        "detail": {
            "toolKind": "execute",
            "command": "git push --force-with-lease origin logging",
            "cwd": "~/src/ingest",
        },
    }
    return Approval(**{**fields, **changes})


WAITING = {"status": SessionStatus.WAITING, "waiting_for": WaitingFor.APPROVAL}
STALE = {
    "evidence": Evidence(last_event_at=datetime.now(UTC) - timedelta(seconds=83), source="agent output"),
    "title": "A very long title of a task that does not fit into a narrow panel at all",
}
