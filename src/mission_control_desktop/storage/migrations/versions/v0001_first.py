"""The first tables.

Revision: 0001, from nothing
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String, nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )
    _sessions()
    _messages()
    _receipts_and_approvals()
    _audit()
    _rest()
    if op.get_context().dialect.name == "sqlite":
        _audit_guards_sqlite()
    else:
        _audit_guards_postgresql()


def _sessions() -> None:
    op.create_table(
        "agent_session_tree",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("session_id", sa.String, nullable=False),
        sa.Column("parent_session_id", sa.String),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("mission_id", sa.String),
        sa.Column("task_id", sa.String),
        sa.Column("task_source", sa.String, server_default="internal"),
        sa.Column("agent_type", sa.String),
        sa.Column("title", sa.String),
        sa.Column("status", sa.String, nullable=False, server_default="spawning"),
        sa.Column("spawned_at", TIME, nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("completed_at", TIME),
        sa.Column("error", sa.Text),
        sa.Column("run_id", sa.String),
        sa.Column("waiting_for", sa.String),
        sa.Column("capabilities", sa.JSON, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("usage", sa.JSON),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("wseq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agent_session_tree"),
        sa.UniqueConstraint("session_id", name="uq_agent_session_tree_session_id"),
    )
    for columns in (
        ["parent_session_id"],
        ["mission_id"],
        ["wseq"],
        ["status", "spawned_at"],
        ["spawned_at", "session_id"],
    ):
        _index("agent_session_tree", columns)
    op.create_table(
        "session_streams",
        sa.Column("session_id", sa.String, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("last_event_at", TIME),
        sa.PrimaryKeyConstraint("session_id", name="pk_session_streams"),
    )
    op.create_table(
        "stream_cursors",
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("stream_id", sa.String, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("provider", "stream_id", name="pk_stream_cursors"),
    )


def _messages() -> None:
    op.create_table(
        "agent_conversation_messages",
        sa.Column("session_id", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False, server_default="internal"),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("timestamp", TIME, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "id", name="pk_agent_conversation_messages"),
    )
    _index("agent_conversation_messages", ["session_id", "timestamp"])
    _index("agent_conversation_messages", ["session_id", "first_seq"], unique=True)
    _index("agent_conversation_messages", ["session_id", "last_seq"])
    op.create_table(
        "message_chunks",
        sa.Column("session_id", sa.String, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("message_id", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "seq", name="pk_message_chunks"),
        sa.ForeignKeyConstraint(
            ["session_id", "message_id"],
            ["agent_conversation_messages.session_id", "agent_conversation_messages.id"],
            name="fk_message_chunks_message",
            ondelete="CASCADE",
        ),
    )
    _index("message_chunks", ["session_id", "message_id", "seq"])


def _receipts_and_approvals() -> None:
    op.create_table(
        "receipts",
        sa.Column("injection_id", sa.String, nullable=False),
        sa.Column("session_id", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("position", sa.Integer),
        sa.Column("detail", sa.Text),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("wseq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("injection_id", name="pk_receipts"),
    )
    _index("receipts", ["wseq"])
    _index("receipts", ["session_id", "seq"])
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.String, nullable=False),
        sa.Column("session_id", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("answered_by", sa.String),
        sa.Column("answer", sa.String),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("wseq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("approval_id", name="pk_approvals"),
    )
    _index("approvals", ["wseq"])
    _index("approvals", ["session_id", "seq"])
    _index("approvals", ["state", "created_at"])


def _audit() -> None:
    op.create_table(
        "operator_audit_log",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("workspace_id", sa.String, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("wseq", sa.BigInteger, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("actor_kind", sa.String, nullable=False),
        sa.Column("session_id", sa.String),
        sa.Column("provider", sa.String),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("content", sa.Text),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("intent_id", sa.String),
        sa.Column("prev_hash", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_operator_audit_log"),
        sa.UniqueConstraint("workspace_id", "seq", name="uq_operator_audit_log_workspace_id_seq"),
    )
    for column in ("wseq", "created_at", "user_id", "session_id", "intent_id"):
        _index("operator_audit_log", [column])


def _rest() -> None:
    op.create_table(
        "kill_alls",
        sa.Column("kill_id", sa.String, nullable=False),
        sa.Column("workspace_id", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("runner_state", sa.LargeBinary, nullable=False),
        sa.Column("wseq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kill_id", name="pk_kill_alls"),
    )
    _index("kill_alls", ["state"])
    _index("kill_alls", ["wseq"])
    op.create_table(
        "provider_health",
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("detail", sa.Text),
        sa.Column("wseq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("provider", name="pk_provider_health"),
    )
    _index("provider_health", ["wseq"])
    op.create_table(
        "tokens",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("token_hash", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("workspace_id", sa.String, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("last_used_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_tokens_token_hash"),
    )
    _index("tokens", ["workspace_id"])
    op.create_table(
        "launch_profiles",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_launch_profiles"),
    )
    op.create_table(
        "agent_provider_configs",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("workspace_id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("gateway_url", sa.String, nullable=False),
        sa.Column("credentials", sa.LargeBinary),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.text("true")),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agent_provider_configs"),
        sa.UniqueConstraint("workspace_id", "name", name="uq_agent_provider_configs_workspace_id_name"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("principal", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("request_hash", sa.String, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("response", sa.LargeBinary, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name="pk_idempotency_keys"),
    )
    _index("idempotency_keys", ["created_at"])


def _index(table: str, columns: list[str], *, unique: bool = False) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns, unique=unique)


def _audit_guards_sqlite() -> None:
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER operator_audit_log_no_{event.lower()} BEFORE {event} ON operator_audit_log "
            "BEGIN SELECT RAISE(ABORT, 'operator_audit_log is append-only'); END"
        )
    # INSERT OR REPLACE would delete the old row without firing the DELETE trigger.
    op.execute(
        "CREATE TRIGGER operator_audit_log_no_replace BEFORE INSERT ON operator_audit_log WHEN EXISTS ("
        "SELECT 1 FROM operator_audit_log WHERE id = NEW.id OR (workspace_id = NEW.workspace_id AND seq = NEW.seq)"
        ") BEGIN SELECT RAISE(ABORT, 'operator_audit_log is append-only'); END"
    )


def _audit_guards_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION operator_audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'operator_audit_log is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER operator_audit_log_no_change BEFORE UPDATE OR DELETE ON operator_audit_log "
        "FOR EACH ROW EXECUTE FUNCTION operator_audit_log_refuse()"
    )
    op.execute(
        "CREATE TRIGGER operator_audit_log_no_truncate BEFORE TRUNCATE ON operator_audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION operator_audit_log_refuse()"
    )
