"""Alembic's entry: always run by `storage.schema` with an open connection; there is no alembic.ini."""

from alembic import context

from mission_control_desktop.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
