"""The audit log's rows and their chain.

Each row carries the hash of the row before it in its workspace, and its own hash over the canonical JSON of all its
other fields (keys sorted, no white space, UTF-8, times as RFC 3339 in UTC with microseconds). Changing, removing,
inserting or reordering a row breaks the chain at that row. The chain's end is authenticated with a key that is not in
the database (`storage.audit_end`): without that, the last rows could be cut off, or all of it computed anew.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from mission_control_desktop.domain.base import Record
from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.people import ActorKind

GENESIS_HASH = "0" * 64


class AuditAction(StrEnum):
    READ = "read"
    """Only ever with the outcome `refused`: reading leaves no row, being refused does."""
    SPAWN = "spawn"
    INJECT = "inject"
    WITHDRAW = "withdraw"
    EDIT_MESSAGE = "edit-message"
    MOVE_MESSAGE = "move-message"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    HOLD_COMMANDS = "hold-commands"
    RELEASE_COMMANDS = "release-commands"
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
    PROVIDER_CHECK = "provider-check"
    WORKSPACE_CHANGE = "workspace-change"
    RETENTION = "retention"
    """Old messages were removed; done by the policy, counted, and without their words."""
    MEMBER_CHANGE = "member-change"
    MEMBER_REMOVE = "member-remove"
    TOKEN_CREATE = "token-create"  # noqa: S105 - a verb, not a secret
    TOKEN_REVOKE = "token-revoke"  # noqa: S105 - a verb, not a secret
    CHAIN_SEAL = "chain-seal"
    """Written by the log itself where its end was not as it had been left; `metadata.found` says how."""
    KEYS_ROTATE = "keys-rotate"
    UNREADABLE = "unreadable"
    """Never written: how a row is shown that nobody of ours can have written (`metadata.unreadable`: by column, what
    stands in it)."""


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


class Fault(StrEnum):
    """What can be wrong with a row of the log, or with its end."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    REORDERED = "reordered"
    UNREADABLE = "unreadable"
    END_MISSING = "endMissing"
    """The last rows are gone, or what authenticates the last one."""
    END_FORGED = "endForged"
    """The chain does not lead to its authenticated end, or that end is not authentic: all of it may be made anew."""
    KEY_LOST = "keyLost"
    """Not a sign of tampering by itself: the key that authenticates the end is not here."""


class BadRow(Record, frozen=True, kw_only=True):
    """`seq` is the place in the log; `id` the row found there, if there is one; `line` that of a file."""

    seq: int | None
    id: str | None
    fault: Fault
    problem: str
    line: int | None = None


class ChainHead(Record, frozen=True, kw_only=True):
    """Where a chain ends. `0` and the genesis hash for an empty one."""

    seq: int = 0
    hash: str = GENESIS_HASH

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


class ChainReport(Record, frozen=True, kw_only=True):
    """Result of a verification. `rows` is how many were looked at, `first_bad` the first that does not fit.

    `authenticated_from` is the first row that was authenticated when it was written (None: none was, as in a file);
    rows before it were taken over from a version that did not authenticate its log, or their key is lost.
    """

    valid: bool
    rows: int
    first_bad: BadRow | None = None
    head: ChainHead = ChainHead()
    authenticated_from: int | None = None


def parse_head(text: str) -> ChainHead:
    """`SEQ:HASH`, as an export prints it. Raises BadInput."""
    seq, _, digest = text.strip().partition(":")
    if not re.fullmatch(r"[0-9]{1,18}", seq) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise BadInput("head", "A head is SEQ:HASH, as `audit export` prints it.")
    return ChainHead(seq=int(seq), hash=digest)
