"""A page of sessions is read from an index, instead of sorting all of the workspace for each.

Revision: 0004, from 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLE = "agent_session_tree"


def upgrade() -> None:
    op.create_index("ix_agent_session_tree_pages", _TABLE, ["workspace_id", "spawned_at", "session_id"])
    op.create_index(
        "ix_agent_session_tree_pages_by_status", _TABLE, ["status", "workspace_id", "spawned_at", "session_id"]
    )
    op.drop_index("ix_agent_session_tree_workspace_id", _TABLE)
    op.drop_index("ix_agent_session_tree_status_spawned_at", _TABLE)
