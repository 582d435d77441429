"""Storage: tables, migrations and repositories over SQLite (default) or PostgreSQL.

`open_database(path_or_url)` is the way in. All database work runs in threads of its own: one writer, a few readers.
"""

from mission_control_desktop.storage.database import Database, open_database
from mission_control_desktop.storage.system import SystemClock, Uuid7

__all__ = ["Database", "SystemClock", "Uuid7", "open_database"]
