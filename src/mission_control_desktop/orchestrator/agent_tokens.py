"""The token with which an agent may use Mission Control: for its own subtree, and only while its session lives.

It is written to a file of mode 0600 in the session's directory, and read there by the MCP server that the agent starts;
it stands in no environment, no argument list and no journal. Here only its hash is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

TOKEN_FILE = "mcp-token"  # noqa: S105 - a file's name
PREFIX = "mca"


class AgentTokens:
    """Hashes of the tokens of living sessions."""

    def __init__(self) -> None:
        self._hashes: dict[str, bytes] = {}

    @staticmethod
    def path(directory: Path) -> Path:
        """Where the token of the session with this directory stands."""
        return directory / TOKEN_FILE

    def create(self, session_id: str, directory: Path) -> Path:
        """Write a new token for the session (native id); returns the file. OSError if it cannot be written."""
        token = f"{PREFIX}_{session_id}_{secrets.token_urlsafe(32)}"
        path = self.path(directory)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
        self._hashes[session_id] = _hash(token)
        return path

    def load(self, session_id: str, directory: Path) -> bool:
        """Accept the token that an earlier control plane wrote for a session that still lives."""
        try:
            token = (directory / TOKEN_FILE).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return False
        if not token.startswith(f"{PREFIX}_{session_id}_"):
            return False
        self._hashes[session_id] = _hash(token)
        return True

    def forget(self, session_id: str, directory: Path) -> None:
        """The session ended: its token is worth nothing any more, and its file goes."""
        self._hashes.pop(session_id, None)
        (directory / TOKEN_FILE).unlink(missing_ok=True)

    def verify(self, token: str) -> str | None:
        """The native id of the session that this token belongs to. Compares in constant time."""
        prefix, _, rest = token.partition("_")
        session_id = rest.partition("_")[0]
        expected = self._hashes.get(session_id)
        if prefix != PREFIX or expected is None:
            return None
        return session_id if hmac.compare_digest(expected, _hash(token)) else None


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
