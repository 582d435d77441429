"""The stop file: an order to end everything that needs no control plane. Standard library only.

It lies in the data directory under the name that launch.json gives (`stopFile`); who may write there can make it. It
counts if it is a plain file of this user or of root that nobody else may write. Its content is optional: an object of
JSON {scope?, reason?, actor?}, or any text, which is then the reason. Without a scope it means everything. A file that
cannot be understood stops all the same: a stop must not fail for want of a comma.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat

MAX_BYTES = 65536
MAX_CHARS = 500


class StopOrder:
    """`id` tells this file from an earlier or later one; `at` is when it was written (seconds since the epoch)."""

    __slots__ = ("actor", "at", "id", "owner", "reason", "scope")

    def __init__(self, id_: str, scope: str, reason: str, actor: str, owner: int, at: float) -> None:
        self.id, self.scope, self.reason, self.actor, self.owner, self.at = id_, scope, reason, actor, owner, at

    def covers(self, provider: str) -> bool:
        return self.scope in ("", "all", provider)

    def data(self) -> dict[str, object]:
        return {
            "id": self.id,
            "scope": self.scope or "all",
            "reason": self.reason,
            "actor": self.actor,
            "owner": self.owner,
            "at": self.at,
        }

    def words(self) -> str:
        by = f" by {self.actor}" if self.actor else ""
        return f"a stop file was written{by}" + (f" ({self.reason})" if self.reason else "")


class StopFile:
    """Looked at again and again; costs one system call while there is none or the same one."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: tuple[int, ...] = ()
        self._order: StopOrder | None = None

    def look(self) -> StopOrder | None:
        """The order that lies there; None if there is none, or none that counts."""
        try:
            now = os.lstat(self.path)
        except OSError:
            self._seen, self._order = (), None
            return None
        seen = (now.st_ino, now.st_mtime_ns, now.st_ctime_ns, now.st_size)
        if seen != self._seen:
            self._seen, self._order = seen, _read(self.path)
        return self._order


def _read(path: str) -> StopOrder | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
            return None
        try:
            content = file.read(MAX_BYTES)
        except OSError:
            content = b""
    text = content.decode("utf-8", "replace").strip()
    fields: dict[str, object] = {"reason": text}
    if text.startswith("{"):
        try:
            parsed = json.loads(text)
            fields = parsed if isinstance(parsed, dict) else fields
        except (ValueError, RecursionError):
            pass
    scope, reason, actor = (_text(fields.get(name)) for name in ("scope", "reason", "actor"))
    mark = f"{found.st_ino} {found.st_mtime_ns} ".encode() + content
    return StopOrder(hashlib.sha256(mark).hexdigest()[:32], scope, reason, actor, found.st_uid, found.st_mtime)


def _text(value: object) -> str:
    return " ".join(value.split())[:MAX_CHARS] if isinstance(value, str) else ""
