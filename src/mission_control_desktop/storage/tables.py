"""The tables. The migrations build the same; a test compares them.

What has a `workspace_id` belongs to that workspace alone: it is given when the row is made and never changes.
Times are aware UTC (`UtcDateTime`). `seq` is a session's sequence number of a row's last change, `wseq` the workspace
stream's. Both strictly grow and are never used twice, also across restarts.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from mission_control_desktop.storage.types import RowId, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)
"""`epoch`: changes only when the record is rebuilt. `wseq`: the workspace stream's last number."""

sessions = Table(
    "agent_session_tree",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("session_id", String, nullable=False, unique=True),
    Column("parent_session_id", String, index=True),
    Column("provider", String, nullable=False),
    Column("workspace_id", String, nullable=False, server_default="default"),
    Column("mission_id", String, index=True),
    Column("task_id", String),
    Column("task_source", String, server_default="internal"),
    Column("agent_type", String),
    Column("title", String),
    Column("status", String, nullable=False, server_default="spawning"),
    Column("spawned_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Column("error", Text),
    Column("run_id", String),
    Column("waiting_for", String),
    Column("capabilities", JSON, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("usage", JSON),
    Column("metadata", JSON, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("wseq", BigInteger, nullable=False, index=True),
    Index("ix_agent_session_tree_pages", "workspace_id", "spawned_at", "session_id"),
    Index("ix_agent_session_tree_pages_by_status", "status", "workspace_id", "spawned_at", "session_id"),
    Index("ix_agent_session_tree_spawned_at_session_id", "spawned_at", "session_id"),
)

session_streams = Table(
    "session_streams",
    metadata,
    Column("session_id", String, primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
    Column("last_event_at", UtcDateTime),
    Column("removed_messages", BigInteger, nullable=False, server_default=text("0")),
)
"""Each session's last sequence number, the time of the newest sign of life on record for it, and how many messages
retention took from it."""

stream_cursors = Table(
    "stream_cursors",
    metadata,
    Column("provider", String, primary_key=True),
    Column("stream_id", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
)
"""Up to which position of a provider's own log (an agent's journal) the record is written."""

messages = Table(
    "agent_conversation_messages",
    metadata,
    Column("session_id", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("provider", String, nullable=False, server_default="internal"),
    Column("role", String, nullable=False),
    Column("content", Text, nullable=False),
    Column("timestamp", UtcDateTime, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Index("ix_agent_conversation_messages_session_id_timestamp", "session_id", "timestamp"),
    Index("ix_agent_conversation_messages_session_id_first_seq", "session_id", "first_seq", unique=True),
    Index("ix_agent_conversation_messages_session_id_last_seq", "session_id", "last_seq"),
)
"""`first_seq` is the message's place, `last_seq` its last change but for the appends that stand in `message_chunks`."""

message_chunks = Table(
    "message_chunks",
    metadata,
    Column("session_id", String, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", String, nullable=False),
    Column("text", Text, nullable=False),
    ForeignKeyConstraint(
        ["session_id", "message_id"],
        ["agent_conversation_messages.session_id", "agent_conversation_messages.id"],
        name="fk_message_chunks_message",
        ondelete="CASCADE",
    ),
    Index("ix_message_chunks_session_id_message_id_seq", "session_id", "message_id", "seq"),
)
"""Text appended to a message since its content was written last: a growing message costs what is new of it."""

receipts = Table(
    "receipts",
    metadata,
    Column("injection_id", String, primary_key=True),
    Column("session_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("position", Integer),
    Column("detail", Text),
    Column("workspace_id", String, nullable=False, server_default="default"),
    Column("seq", BigInteger, nullable=False),
    Column("wseq", BigInteger, nullable=False, index=True),
    Index("ix_receipts_session_id_seq", "session_id", "seq"),
)

letters = Table(
    "letters",
    metadata,
    Column("injection_id", String, primary_key=True),
    Column("provider", String, nullable=False, index=True),
    Column("stored_at", UtcDateTime, nullable=False),
    Column("content", Text, nullable=False),
    Column("operator_id", String, nullable=False),
    Column("delivery", String, nullable=False),
)
"""Operators' messages that a runtime without a journal of ours may have to be sent again; gone once that is settled."""

approvals = Table(
    "approvals",
    metadata,
    Column("approval_id", String, primary_key=True),
    Column("session_id", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("options", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("state", String, nullable=False),
    Column("answered_by", String),
    Column("answer", String),
    Column("workspace_id", String, nullable=False, server_default="default"),
    Column("seq", BigInteger, nullable=False),
    Column("wseq", BigInteger, nullable=False, index=True),
    Index("ix_approvals_session_id_seq", "session_id", "seq"),
    Index("ix_approvals_state_created_at", "state", "created_at"),
)

kill_alls = Table(
    "kill_alls",
    metadata,
    Column("kill_id", String, primary_key=True),
    Column("workspace_id", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("body", JSON, nullable=False),
    Column("runner_state", LargeBinary, nullable=False),
    Column("wseq", BigInteger, nullable=False, index=True),
)
"""`body` is the KillAll as shown; `runner_state` is what its runner needs to go on after a restart."""

provider_health = Table(
    "provider_health",
    metadata,
    Column("provider", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("detail", Text),
    Column("stop", JSON),
    Column("since", UtcDateTime),
    Column("workspace_id", String, nullable=False, server_default="default"),
    Column("wseq", BigInteger, nullable=False, index=True),
)
"""How each provider was doing when it was last heard of by this run of the control plane; emptied at its start."""

audit_log = Table(
    "operator_audit_log",
    metadata,
    Column("id", String, primary_key=True),
    Column("workspace_id", String, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("wseq", BigInteger, nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    Column("user_id", String, nullable=False, index=True),
    Column("actor_kind", String, nullable=False),
    Column("session_id", String, index=True),
    Column("provider", String),
    Column("action", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("content", Text),
    Column("metadata", JSON, nullable=False),
    Column("intent_id", String, index=True),
    Column("prev_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    UniqueConstraint("workspace_id", "seq"),
)
"""Append-only: triggers refuse UPDATE, DELETE (and TRUNCATE); rows are chained per workspace by `seq` and hashes.

`intent_id` repeats `metadata.intentId` so that open intents are found by an index; the chain covers the metadata."""

audit_heads = Table(
    "operator_audit_heads",
    metadata,
    Column("workspace_id", String, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String, nullable=False),
    Column("key_id", String),
    Column("mac", LargeBinary),
)
"""Where each workspace's chain ends, authenticated with a key that is not in the database: a chain alone cannot tell
that its last rows are gone, or that all of it was computed anew."""

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", String, primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("message_retention_days", Integer),
)
"""`message_retention_days` NULL: the default period."""

members = Table(
    "workspace_members",
    metadata,
    Column("workspace_id", String, primary_key=True),
    Column("user_id", String, primary_key=True),
    Column("role", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)
"""Who is in a workspace, and the highest role that a token of theirs can have."""

tokens = Table(
    "tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("token_hash", String, nullable=False, unique=True),
    Column("user_id", String, nullable=False),
    Column("role", String, nullable=False),
    Column("workspace_id", String, nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("created_by", String),
)
"""A token itself is never stored."""

launch_profiles = Table(
    "launch_profiles",
    metadata,
    Column("name", String, primary_key=True),
    Column("body", JSON, nullable=False),
    Column("sealed_env", LargeBinary),
)
"""`body` without the environment, which may hold secrets: that is sealed bytes in `sealed_env`."""

provider_configs = Table(
    "agent_provider_configs",
    metadata,
    Column("id", String, primary_key=True),
    Column("workspace_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("gateway_url", String, nullable=False),
    Column("credentials", LargeBinary),
    Column("adapter_secrets", LargeBinary),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("allow_insecure", Boolean, nullable=False, server_default=text("false")),
    Column("last_check", JSON),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("workspace_id", "name"),
    Index("ix_agent_provider_configs_name", "name", unique=True),
)
"""A name is unique over all workspaces, because it is part of session ids.

`credentials` are sealed bytes, and so are `adapter_secrets`: what an adapter made itself and must keep (a device's
identity, a token that the gateway gave it). Whoever stores them encrypts them first."""

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("principal", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("request_hash", String, nullable=False),
    Column("status", Integer),
    Column("response", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
)
"""`status` is NULL while the first request runs."""
