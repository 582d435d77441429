"""The token with which programs of the same account reach their own control plane without a set-up."""

from __future__ import annotations

import asyncio
import getpass
from pathlib import Path

import structlog

from mission_control_desktop.control.tokens import Tokens, token_hash
from mission_control_desktop.domain.people import Role
from mission_control_desktop.server.place import write_private

log = structlog.get_logger(__name__)

TOKEN_FILE = "local-token"  # noqa: S105 - a file's name


def local_user() -> str:
    """The account's name, as it stands in the audit log."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "local"


async def ensure_local_token(tokens: Tokens, data_dir: Path) -> None:
    """Make the file if it is missing, or if its token is not known to this record. One that was revoked or has expired
    was ended on purpose and stays so. Raises Unavailable if it cannot be written."""
    path = data_dir / TOKEN_FILE
    token = await asyncio.to_thread(_read, path)
    if token:
        known = await tokens.by_hash(token_hash(token))
        if known is not None:
            if known.revoked_at is not None:
                log.warning("the local token was revoked; local programs need another one", file=TOKEN_FILE)
            return
        log.warning("the local token is not known to this record; making a new one", file=TOKEN_FILE)
    made = await tokens.create(user_id=local_user(), role=Role.ADMIN, created_by=local_user())
    await asyncio.to_thread(write_private, path, made.token.encode() + b"\n")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
