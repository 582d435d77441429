"""The audit log's rows and their chain.

Each row carries the hash of the row before it in its workspace, and its own hash over the canonical JSON of all its
other fields (keys sorted, no white space, UTF-8, times as RFC 3339 in UTC with microseconds). Changing, removing,
inserting or reordering a row breaks the chain at that row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from mission_control_desktop.domain.base import Record
from mission_control_desktop.domain.people import ActorKind

GENESIS_HASH = "0" * 64


class AuditAction(StrEnum):
    READ = "read"
    """Only ever with the outcome `refused`: reading leaves no row, being refused does."""
    SPAWN = "spawn"
    INJECT = "inject"
    WITHDRAW = "withdraw"
    PAUSE = "pause"
    RESUME = "resume"
    TERMINATE = "terminate"
    KILL = "kill"
    KILL_ALL = "kill-all"
    KILL_ALL_UNDO = "kill-all-undo"
    KILL_ALL_CLOSE = "kill-all-close"
    APPROVE = "approve"
    DENY = "deny"
    PROFILE_CHANGE = "profile-change"
    PROFILE_REMOVE = "profile-remove"
    PROVIDER_CHANGE = "provider-change"
    PROVIDER_REMOVE = "provider-remove"
    TOKEN_CREATE = "token-create"  # noqa: S105 - a verb, not a secret
    TOKEN_REVOKE = "token-revoke"  # noqa: S105 - a verb, not a secret


class AuditOutcome(StrEnum):
    INTENDED = "intended"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"


class AuditEntry(Record, frozen=True, kw_only=True):
    """One row. The outcome of an intent is a row of its own, linked by `metadata.intentId`: rows never change."""

    id: str
    seq: int
    created_at: datetime
    user_id: str
    actor_kind: ActorKind
    action: AuditAction
    outcome: AuditOutcome
    session_id: str | None = None
    provider: str | None = None
    content: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    prev_hash: str = GENESIS_HASH
    hash: str = ""


def canonical(entry: AuditEntry) -> bytes:
    """The bytes that an entry's hash covers: every field but `hash`."""
    body = {
        "id": entry.id,
        "seq": entry.seq,
        "createdAt": entry.created_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "userId": entry.user_id,
        "actorKind": entry.actor_kind.value,
        "action": entry.action.value,
        "outcome": entry.outcome.value,
        "sessionId": entry.session_id,
        "provider": entry.provider,
        "content": entry.content,
        "metadata": msgspec.to_builtins(entry.metadata),
        "prevHash": entry.prev_hash,
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def chained(entry: AuditEntry, previous: str) -> AuditEntry:
    """The entry with its place in the chain."""
    linked = msgspec.structs.replace(entry, prev_hash=previous, hash="")
    return msgspec.structs.replace(linked, hash=hashlib.sha256(canonical(linked)).hexdigest())


class ChainReport(Record, frozen=True, kw_only=True):
    """Result of a verification: `first_bad` names the first row that does not fit and says how."""

    valid: bool
    rows: int
    first_bad: dict[str, Any] | None = None


def verify_chain(entries: Iterable[AuditEntry]) -> ChainReport:
    """Check rows in the order of the log."""
    previous, rows, expected_seq = GENESIS_HASH, 0, 1
    for entry in entries:
        rows += 1
        problem = None
        if entry.seq != expected_seq:
            problem = f"row {expected_seq} is missing or out of order: found {entry.seq}"
        elif entry.prev_hash != previous:
            problem = "does not follow the row before it"
        elif hashlib.sha256(canonical(entry)).hexdigest() != entry.hash:
            problem = "its content was changed"
        if problem is not None:
            return ChainReport(valid=False, rows=rows, first_bad={"id": entry.id, "seq": entry.seq, "problem": problem})
        previous, expected_seq = entry.hash, expected_seq + 1
    return ChainReport(valid=True, rows=rows)
