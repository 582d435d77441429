"""Where things lie on this computer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

APP_NAME = "mission-control-desktop"

ENV_URL = "MISSION_CONTROL_URL"
ENV_TOKEN = "MISSION_CONTROL_TOKEN"  # noqa: S105 - a name, not a secret
ENV_DATA_DIR = "MISSION_CONTROL_DATA_DIR"

CONTROL_PLANE_FILE = "control-plane.json"
CONTROL_PLANE_LOG = "control-plane.log"
LOCAL_TOKEN_FILE = "local-token"  # noqa: S105 - a name, not a secret
START_LOCK_FILE = "start.lock"
TOKENS_FILE = "tokens.json"
TRAY_LOCK_FILE = "tray.lock"
TRAY_LOG = "tray.log"
WINDOW_LOG = "window.log"
WINDOWS_DIR = "window"


def data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The data directory: MISSION_CONTROL_DATA_DIR, else the platform's place for a user's application data."""
    chosen = (os.environ if environ is None else environ).get(ENV_DATA_DIR)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_data_path(APP_NAME, appauthor=False)


def make_private_dir(path: Path) -> Path:
    """Create the directory if need be, readable by its owner only."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
