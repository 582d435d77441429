"""How a provider's connection did when it was last checked, and since when it is as it is; operators' messages that a
provider may have to be sent again.

Revision: 0003, from 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("provider_health", sa.Column("since", sa.DateTime(timezone=True)))
    op.add_column("agent_provider_configs", sa.Column("last_check", sa.JSON))
    op.create_table(
        "letters",
        sa.Column("injection_id", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("operator_id", sa.String, nullable=False),
        sa.Column("delivery", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("injection_id", name="pk_letters"),
    )
    op.create_index("ix_letters_provider", "letters", ["provider"])
