"""How a provider's connection did when it was last checked, and since when it is as it is.

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
