"""People in workspaces, sealed secrets, the authenticated end of the audit chain, retention.

Revision: 0002, from 0001
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("agent_session_tree", sa.Column("workspace_id", sa.String, nullable=False, server_default="default"))
    op.create_index("ix_agent_session_tree_workspace_id", "agent_session_tree", ["workspace_id"])
    op.add_column("provider_health", sa.Column("stop", sa.JSON))
    for table in ("receipts", "approvals", "provider_health"):
        op.add_column(table, sa.Column("workspace_id", sa.String, nullable=False, server_default="default"))
    op.add_column("tokens", sa.Column("created_by", sa.String))
    op.add_column(
        "session_streams", sa.Column("removed_messages", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    )
    op.add_column("launch_profiles", sa.Column("sealed_env", sa.LargeBinary))
    op.add_column("agent_provider_configs", sa.Column("adapter_secrets", sa.LargeBinary))
    op.add_column(
        "agent_provider_configs",
        sa.Column("allow_insecure", sa.Boolean, nullable=False, server_default=sa.text("false")),
    )
    op.create_index("ix_agent_provider_configs_name", "agent_provider_configs", ["name"], unique=True)
    op.create_table(
        "operator_audit_heads",
        sa.Column("workspace_id", sa.String, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("key_id", sa.String),
        sa.Column("mac", sa.LargeBinary),
        sa.PrimaryKeyConstraint("workspace_id", name="pk_operator_audit_heads"),
    )
    op.create_table(
        "workspaces",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("message_retention_days", sa.Integer),
        sa.PrimaryKeyConstraint("id", name="pk_workspaces"),
    )
    op.create_table(
        "workspace_members",
        sa.Column("workspace_id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "user_id", name="pk_workspace_members"),
    )
    _people_of_now()


def _people_of_now() -> None:
    """Who has a token that was not revoked is a member, with the highest role of these."""
    now = datetime.now(UTC)
    connection = op.get_bind()
    workspaces = sa.table("workspaces", sa.column("id"), sa.column("created_at", TIME))
    members = sa.table(
        "workspace_members",
        *(sa.column(name) for name in ("workspace_id", "user_id", "role")),
        sa.column("created_at", TIME),
        sa.column("updated_at", TIME),
    )
    tokens = sa.table("tokens", *(sa.column(name) for name in ("workspace_id", "user_id", "role", "revoked_at")))
    column = tokens.c
    used = {"default", *connection.execute(sa.select(column.workspace_id).distinct()).scalars()}
    op.bulk_insert(workspaces, [{"id": workspace_id, "created_at": now} for workspace_id in sorted(used)])
    ranks = ("observer", "operator", "admin")
    highest: dict[tuple[str, str], str] = {}
    query = sa.select(column.workspace_id, column.user_id, column.role).where(column.revoked_at.is_(None))
    for workspace_id, user_id, role in connection.execute(query):
        known = highest.get((workspace_id, user_id), ranks[0])
        highest[workspace_id, user_id] = max(known, role, key=ranks.index)
    rows = [
        {"workspace_id": workspace_id, "user_id": user_id, "role": role, "created_at": now, "updated_at": now}
        for (workspace_id, user_id), role in highest.items()
    ]
    op.bulk_insert(members, rows)
